#!/usr/bin/env bash
# What a shared store costs: throughput and latency with three limits in this process, and in a Redis.
#
#   benches/shared-limits.sh [seconds] [rounds]
#
# Needs wrk, nginx and redis-server (Debian), and `cargo build --release`. Everything is on loopback; two workers, nothing
# pinned, and gateway, Redis, upstream and load share the processors, so the Redis has to be paid for as well.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly SECONDS_EACH=${1:-8} ROUNDS=${2:-3}
. benches/common.sh

cat > "$dir/policy.yaml" <<END
rate_limits:
  - { name: per caller, per: [caller], limit: 1000000/s }
  - { name: daily, per: [caller, tenant], limit: 4000000000/day }
  - { name: library, per: [library], limit: 1000000/s }
END
config here 18702 'policy: policy.yaml'
config shared 18703 'policy: policy.yaml
rate_limit_store: { redis: { url: "redis://127.0.0.1:18704" }, replicas: 1 }'

redis-server --port 18704 --bind 127.0.0.1 --save '' --dir "$dir" >/dev/null &
"$GATEWAY" serve --config "$dir/here.yaml" 2>/dev/null &
"$GATEWAY" serve --config "$dir/shared.yaml" 2>"$dir/shared.log" &
sleep 2

for ((round = 0; round < ROUNDS; round++)); do
    for connections in 1 64; do
        load here 18702 "$connections" "$SECONDS_EACH"
        load shared 18703 "$connections" "$SECONDS_EACH"
    done
done
awk '/not in use/ { times++ } END { printf "times that the store was left alone: %d\n", times }' "$dir/shared.log"
