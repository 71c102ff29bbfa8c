#!/usr/bin/env bash
# Tests of the page that `mempack serve` shows, in a headless Chromium.
#
#     tests/page/run.sh [PYTEST ARGUMENTS]        against a mock server
#     PAGE_URL=http://127.0.0.1:8080 tests/page/run.sh
#                                                 against a running `mempack serve`: the tests that need no mock. PAGE_KEY: its API key, if it
#                                                 demands one. PAGE_QUESTION: a question that its packs answer.
#     tests/page/run.sh --screenshots DIR         writes pictures of the page into DIR, from the mock or from PAGE_URL
#
# Needs Python 3.11 or newer with venv, and Chromium: `CHROMIUM` names it, or it is found on the path. The Python packages come from
# requirements.txt, by their digests, into target/page-env.
set -euo pipefail
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-../../target}

fail() {
    printf 'tests/page: %s\n' "$1" >&2
    exit 1
}

# What the caller names is relative to where the caller stands.
screenshots=
if [ "${1:-}" = --screenshots ]; then
    [ $# -ge 2 ] || fail "--screenshots needs a folder"
    screenshots=$(cd "$OLDPWD" && mkdir -p "$2" && cd "$2" && pwd)
    shift 2
fi

if [ -z "${CHROMIUM:-}" ]; then
    for name in chromium chromium-browser google-chrome; do
        if CHROMIUM=$(command -v "$name"); then break; fi
    done
fi
[ -n "${CHROMIUM:-}" ] || fail "there is no Chromium on the path. Install it (Debian: apt-get install chromium), or set CHROMIUM to its path"
[ -x "$CHROMIUM" ] || fail "CHROMIUM=$CHROMIUM is not a program"
export CHROMIUM

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || fail "$python is not Python 3.11 or newer"

environment=$target/page-env
wanted=$(sha256sum requirements.txt | cut -d ' ' -f 1)-$("$python" -c 'import sys; print(*sys.version_info[:2], sep=".")')
if [ "$(cat "$environment/installed" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$environment"
    "$python" -m venv "$environment" || fail "no virtual environment can be made in $environment (Debian: apt-get install python3-venv)"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r requirements.txt ||
        fail "the packages of requirements.txt cannot be installed into $environment"
    printf '%s' "$wanted" >"$environment/installed"
fi

export PYTHONDONTWRITEBYTECODE=1
if [ -n "$screenshots" ]; then
    exec "$environment/bin/python" screenshots.py "$screenshots"
fi
if [ -n "${PAGE_URL:-}" ]; then
    printf 'tests/page: against %s; the tests that need the mock do not run\n' "$PAGE_URL"
    exec "$environment/bin/python" -m pytest -p no:cacheprovider -m "not mock" "$@"
fi
exec "$environment/bin/python" -m pytest -p no:cacheprovider "$@"
