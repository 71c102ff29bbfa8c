#!/usr/bin/env bash
# All tests of the page: against the mock, then against `mempack serve` with a small pack.
#
#     tests/page/all.sh MEMPACK
#
# Without a browser it says that the page was not tested; `REQUIRE_BROWSER=1` makes that an error, as CI does.
set -euo pipefail
mempack=$(realpath "$1")
cd "$(dirname "$0")"

if [ -z "${CHROMIUM:-}" ] && ! command -v chromium chromium-browser google-chrome >/dev/null; then
    echo "tests/page: there is no Chromium, so the page was NOT tested (Debian: apt-get install chromium)" >&2
    exit "${REQUIRE_BROWSER:-0}"
fi
# Most of the time of a test is waiting.
./run.sh -n 3

scratch=$(mktemp -d)
server=
cleanup() {
    if [ -n "$server" ]; then kill "$server" && wait "$server" || true; fi
    rm -rf "$scratch"
}
trap cleanup EXIT
samples=../../kb-samples/medical
head -n 12 "$samples/corpus.jsonl" >"$scratch/corpus.jsonl"
"$mempack" build "$scratch/corpus.jsonl" -o "$scratch/medical.mpk" --codec SQ8 >/dev/null
"$mempack" serve "$scratch/medical.mpk" --listen 127.0.0.1:0 >"$scratch/out" 2>"$scratch/log" &
server=$!
url=
for _ in $(seq 300); do
    url=$(grep -o 'http://[0-9.:]*' "$scratch/out" || true)
    [ -n "$url" ] && break
    kill -0 "$server" 2>/dev/null || { cat "$scratch/log" >&2; exit 1; }
    sleep 0.2
done
[ -n "$url" ] || { echo "tests/page: mempack serve did not begin" >&2; exit 1; }
question=$(head -n 1 "$samples/questions.jsonl" | python3 -c 'import json, sys; print(json.load(sys.stdin)["question"])')
PAGE_URL=$url PAGE_QUESTION=$question ./run.sh -n 2
