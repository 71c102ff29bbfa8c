#!/usr/bin/env bash
# Tests the crate `store` with S3: starts the server of moto on a free port of 127.0.0.1, runs the tests, and ends it.
#
# usage: tests/store/run.sh [ROUND_TRIPS]
#   ROUND_TRIPS   random round trips with faults, in place of 12
set -euo pipefail
cd "$(dirname "$0")/../.."
trips=${1:-12}

. scripts/python_env.sh
python_env store-env tests/store/requirements.txt
# With the features that `make test` builds with, so that nothing is built twice.
tests() { "${CARGO:-cargo}" test --workspace --exclude mempack-python "$@"; }
# Built before the server starts.
tests --test s3 --test faults --no-run

port=$("$env/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
log=$(mktemp)
"$env/bin/moto_server" --host 127.0.0.1 --port "$port" >"$log" 2>&1 &
server=$!
trap 'status=$?; kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; [ "$status" = 0 ] || tail -n 20 "$log" >&2; rm -f "$log"; exit "$status"' EXIT

# Nothing here goes through a proxy: all of it is on this machine.
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
"$env/bin/python" - "$port" <<'PYTHON'
import sys, time, urllib.request

address = f"http://127.0.0.1:{sys.argv[1]}"
for attempt in range(300):
    try:
        urllib.request.urlopen(urllib.request.Request(f"{address}/mempack", method="PUT"), timeout=5)
        break
    except OSError as error:
        if attempt == 299:
            sys.exit(f"the server does not answer: {error}")
        time.sleep(0.1)
PYTHON

export AWS_ENDPOINT=http://127.0.0.1:$port AWS_ALLOW_HTTP=true AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
tests --test s3 -- --ignored
MEMPACK_STORE_S3=mempack MEMPACK_STORE_FAULTS=$trips tests --test faults -- --nocapture
