#!/usr/bin/env bash
# How exact a limit is that three gateways share by a Redis: what they let through in half a minute, of what may pass;
# and the same with the Redis killed in the middle, and back after five seconds.
#
#   benches/three-gateways.sh [seconds]
#
# Needs wrk, nginx and redis-server (Debian), and `cargo build --release`.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly LASTS=${1:-30} RATE=300 BURST=300 KEY=a-key-for-the-benchmark-0123456789
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT

cat > "$dir/nginx.conf" <<END
worker_processes 1; daemon off; pid $dir/nginx.pid; error_log /dev/null;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000;
  server { listen 127.0.0.1:18721; location / { default_type application/json; return 200 '{"recycledItemId":1}'; } } }
END
echo "rate_limits: [{ name: all, limit: $RATE/s, burst: $BURST }]" > "$dir/policy.yaml"
echo acctk-of-the-benchmark > "$dir/token"
echo "$KEY" > "$dir/app.key"
cat > "$dir/delete.lua" <<END
wrk.method = "DELETE"
wrk.path = "/v1/files/t/2025/a.jpg"
wrk.headers["Authorization"] = "Bearer $KEY"
function delay() return 5 end
END
redis() { redis-server --port 18724 --bind 127.0.0.1 --save '' --dir "$dir" >/dev/null & }
nginx -c "$dir/nginx.conf" 2>/dev/null &
redis
for number in 1 2 3; do
    cat > "$dir/$number.yaml" <<END
listeners: [{ address: 127.0.0.1:1873$number }]
admin: none
upstream: { url: "http://127.0.0.1:18721" }
libraries: { lib: { token: { file: token } } }
tenants: { t: { library: lib, space: s } }
callers: { app: { api_key: { file: app.key }, tenants: [t] } }
workers: 2
log: { deletes: off }
policy: policy.yaml
rate_limit_store: { redis: { url: "redis://127.0.0.1:18724" }, replicas: 3 }
END
    target/release/smh-gateway serve --config "$dir/$number.yaml" 2>/dev/null &
done
sleep 2

# Each gateway is asked for twice its third.
measure() {
    local number
    sleep 3 # The burst grows back.
    for number in 1 2 3; do
        wrk -t1 -c2 -d"${LASTS}s" -s "$dir/delete.lua" "http://127.0.0.1:1873$number" > "$dir/out$number" &
        loads[number]=$!
    done
    if [[ $1 == killed ]]; then
        sleep $((LASTS / 2))
        pkill -KILL -f 'redis-server 127.0.0.1:18724'
        sleep 5
        redis
    fi
    wait "${loads[@]}"
    awk -v kind="$1" -v may=$((BURST + RATE * LASTS)) '
        / requests in / { asked += $1 } /Non-2xx/ { refused += $NF }
        END { passed = asked - refused
              printf "%-8s %d asked, %d passed of %d that may: %.2f %%\n", kind, asked, passed, may, 100 * passed / may }' "$dir"/out?
}
loads=()
measure whole
measure killed
