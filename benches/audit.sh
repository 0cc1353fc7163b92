#!/usr/bin/env bash
# What a journal costs: throughput and latency without one, handed to the kernel, and on disk.
#
#   benches/audit.sh [seconds] [rounds]
#
# Needs wrk and nginx (Debian), and `cargo build --release`. Everything is on loopback; two workers, nothing pinned, and
# gateway, upstream and load share the processors. The journal is in TMPDIR: it should be on the disk that is meant.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly SECONDS_EACH=${1:-8} ROUNDS=${2:-3}
. benches/common.sh

config none 18712 ''
config buffered 18713 'audit: { file: buffered.jsonl, durability: buffered }'
ADMIN='{ address: 127.0.0.1:18715 }' config sync 18714 'audit: { file: sync.jsonl, durability: sync }'
for kind in none buffered sync; do "$GATEWAY" serve --config "$dir/$kind.yaml" 2>/dev/null & done
sleep 2

for ((round = 0; round < ROUNDS; round++)); do
    for connections in 1 64; do
        load none 18712 "$connections" "$SECONDS_EACH"
        load buffered 18713 "$connections" "$SECONDS_EACH"
        load sync 18714 "$connections" "$SECONDS_EACH"
    done
done
curl -s http://127.0.0.1:18715/metrics | awk '
    /^smh_gateway_audit_records_total/ { records = $2 } /^smh_gateway_audit_commit_seconds_count/ { commits = $2 }
    /^smh_gateway_audit_commit_seconds_sum/ { sum = $2 }
    END { printf "sync: %d records in %d fdatasync: %.1f each, %.2f ms each\n", records, commits, records / commits, sum / commits * 1000 }'
