#!/usr/bin/env bash
# How exact a limit is that three gateways share by a Redis: what they let through in half a minute, of what may pass;
# and the same with the Redis killed in the middle, and back after five seconds.
#
#   benches/three-gateways.sh [seconds]
#
# Needs wrk, nginx and redis-server (Debian), and `cargo build --release`.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly LASTS=${1:-30} RATE=300 BURST=300
. benches/common.sh

echo "rate_limits: [{ name: all, limit: $RATE/s, burst: $BURST }]" > "$dir/policy.yaml"
# Each connection asks 200 times a second at most.
echo 'function delay() return 5 end' >> "$dir/delete.lua"
redis() { redis-server --port 18724 --bind 127.0.0.1 --save '' --dir "$dir" >/dev/null & }
redis
for number in 1 2 3; do
    config "$number" "1873$number" 'policy: policy.yaml
rate_limit_store: { redis: { url: "redis://127.0.0.1:18724" }, replicas: 3 }'
    "$GATEWAY" serve --config "$dir/$number.yaml" 2>/dev/null &
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
