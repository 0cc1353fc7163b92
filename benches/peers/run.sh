#!/usr/bin/env bash
# The gateway beside nginx, HAProxy, Envoy and Caddy, all doing the same job. See README.md; ./setup.sh once, as root.
set -euo pipefail
exec python3 "$(dirname "$0")/bench.py" "$@"
