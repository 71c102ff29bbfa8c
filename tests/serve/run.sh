#!/usr/bin/env bash
# Tests a running `mempack serve` with the clients that people use.
#
# usage: tests/serve/run.sh MEMPACK_BINARY [pytest arguments]
#   --all-questions   every sample question, alone and 16 at once, in place of some
#   --thorough        10,000 idle connections and 10,000 random requests of two keys, in place of 2,000 and 300
set -euo pipefail
if [ $# -lt 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 MEMPACK_BINARY [pytest arguments]" >&2
    exit 2
fi
program=$(realpath "$1")
shift
cd "$(dirname "$0")/../.."
. tests/serve/environment.sh
cd tests/serve
exec "$SERVE_ENV/bin/python" -m pytest -p no:cacheprovider -rsx --durations=5 --rootdir . "--mempack=$program" "$@"
