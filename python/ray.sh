#!/usr/bin/env bash
# Tests `mempack.ray` with clusters on this machine: its scheduling with a program that computes nothing, and the bank with MEMPACK_BINARY. Needs `make build`.
#
# usage: python/ray.sh MEMPACK_BINARY [pytest arguments]
set -euo pipefail
program=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
. python/environment.sh
env=$(dirname "$PYTHON_ENV")/ray-env
if ! cmp --silent python/requirements-ray.txt "$env/requirements.txt"; then
    rm -rf "$env"
    "${PYTHON:-python3}" -m venv "$env"
    "$env/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --requirement python/requirements-ray.txt
    cp python/requirements-ray.txt "$env/requirements.txt"
fi
wheels=$env/wheels
rm -rf "$wheels"
VIRTUAL_ENV=$PYTHON_ENV "$PYTHON_ENV/bin/maturin" build --quiet --locked --profile dev --manifest-path python/Cargo.toml --out "$wheels"
"$env/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$wheels"/*.whl
export REQUIRE_RAY=1 MEMPACK_PROGRAM=$program
"$env/bin/python" -m mypy --config-file python/pyproject.toml python/mempack/ray
cd python/tests
exec "$env/bin/python" -m pytest -p no:cacheprovider --rootdir . "$@" ray
