#!/usr/bin/env bash
# What a shared store costs: throughput and latency with three limits in this process, and in a Redis.
#
#   benches/shared-limits.sh [seconds] [rounds]
#
# Needs wrk, nginx and redis-server (Debian), and `cargo build --release`. Everything is on loopback; two workers, nothing
# pinned, and gateway, Redis, upstream and load share the processors, so the Redis has to be paid for as well.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly SECONDS_EACH=${1:-8} ROUNDS=${2:-3} KEY=a-key-for-the-benchmark-0123456789
readonly GATEWAY=target/release/smh-gateway
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT

cat > "$dir/nginx.conf" <<END
worker_processes 1; daemon off; pid $dir/nginx.pid; error_log /dev/null;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000;
  server { listen 127.0.0.1:18701; location / { default_type application/json; return 200 '{"recycledItemId":1}'; } } }
END
cat > "$dir/policy.yaml" <<END
rate_limits:
  - { name: per caller, per: [caller], limit: 1000000/s }
  - { name: daily, per: [caller, tenant], limit: 4000000000/day }
  - { name: library, per: [library], limit: 1000000/s }
END
config() { # NAME PORT STORE
    cat > "$dir/$1.yaml" <<END
listeners: [{ address: 127.0.0.1:$2 }]
admin: none
upstream: { url: "http://127.0.0.1:18701" }
libraries: { lib: { token: { file: token } } }
tenants: { t: { library: lib, space: s } }
callers: { app: { api_key: { file: app.key }, tenants: [t] } }
workers: 2
log: { deletes: off }
policy: policy.yaml
$3
END
}
echo acctk-of-the-benchmark > "$dir/token"
echo "$KEY" > "$dir/app.key"
config here 18702 ''
config shared 18703 'rate_limit_store: { redis: { url: "redis://127.0.0.1:18704" }, replicas: 1 }'

nginx -c "$dir/nginx.conf" 2>/dev/null &
redis-server --port 18704 --bind 127.0.0.1 --save '' --dir "$dir" >/dev/null &
"$GATEWAY" serve --config "$dir/here.yaml" 2>/dev/null &
"$GATEWAY" serve --config "$dir/shared.yaml" 2>"$dir/shared.log" &
sleep 2

load() { # NAME PORT CONNECTIONS RATE-SCRIPT
    wrk -t1 -c"$3" -d"${SECONDS_EACH}s" --latency -s "$dir/delete.lua" "http://127.0.0.1:$2" |
        awk -v name="$1" -v c="$3" '
            /50%/ { p50 = $2 } /99%/ { p99 = $2 } /Requests\/sec/ { rate = $2 } /Non-2xx/ { bad = $NF }
            END { printf "%-8s %4d connections  %9.0f deletes/s  p50 %s  p99 %s  refused %d\n", name, c, rate, p50, p99, bad }'
}
cat > "$dir/delete.lua" <<END
wrk.method = "DELETE"
wrk.path = "/v1/files/t/2025/a.jpg"
wrk.headers["Authorization"] = "Bearer $KEY"
END
for ((round = 0; round < ROUNDS; round++)); do
    for connections in 1 64; do
        load here 18702 "$connections"
        load shared 18703 "$connections"
    done
done
grep -c 'not in use' "$dir/shared.log" | sed 's/^/times that the store was left alone: /' || true
