#!/usr/bin/env bash
# usage: tests/serve/soak.sh MEMPACK_BINARY [--minutes N] [--seed N] [--out FILE]; soak.py says what it does.
set -euo pipefail
if [ $# -lt 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 MEMPACK_BINARY [--minutes N] [--seed N] [--out FILE]" >&2
    exit 2
fi
program=$(realpath "$1")
shift
cd "$(dirname "$0")/../.."
. tests/serve/environment.sh
exec "$SERVE_ENV/bin/python" tests/serve/soak.py "$program" "$@"
