#!/usr/bin/env bash
# What a journal costs: throughput and latency without one, handed to the kernel, and on disk.
#
#   benches/audit.sh [seconds] [rounds]
#
# Needs wrk and nginx (Debian), and `cargo build --release`. Everything is on loopback; two workers, nothing pinned, and
# gateway, upstream and load share the processors. The journal is in TMPDIR: it should be on the disk that is meant.
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
$3
END
}
echo acctk-of-the-benchmark > "$dir/token"
echo "$KEY" > "$dir/app.key"
config none 18712 ''
config buffered 18713 'audit: { file: buffered.jsonl, durability: buffered }'
config sync 18714 'audit: { file: sync.jsonl, durability: sync }'
sed -i 's/admin: none/admin: { address: 127.0.0.1:18715 }/' "$dir/sync.yaml"

nginx -c "$dir/nginx.conf" 2>/dev/null &
for kind in none buffered sync; do "$GATEWAY" serve --config "$dir/$kind.yaml" 2>/dev/null & done
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
        load none 18712 "$connections"
        load buffered 18713 "$connections"
        load sync 18714 "$connections"
    done
done
curl -s http://127.0.0.1:18715/metrics | awk '
    /^smh_gateway_audit_records_total/ { records = $2 } /^smh_gateway_audit_commit_seconds_count/ { commits = $2 }
    /^smh_gateway_audit_commit_seconds_sum/ { sum = $2 }
    END { printf "sync: %d records in %d fdatasync: %.1f each, %.2f ms each\n", records, commits, records / commits, sum / commits * 1000 }'
