#!/usr/bin/env bash
# The gateway beside nginx, HAProxy, Envoy and Caddy, all doing the same job. See README.md; ./setup.sh once, as root.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OURS_CMD=${OURS_CMD:-"$PWD/target/release/smh-gateway serve --config {config}/gateway.yaml"}
export OURS_CONFIG=${OURS_CONFIG:-$PWD/benches/peers/ours}
export OURS_NAME=${OURS_NAME:-smh-gateway}
export OURS_ENV=${OURS_ENV-SMH_GATEWAY_LOG=error}
exec python3 benches/peers/bench.py "$@"
