#!/usr/bin/env bash
# Tests `mempack.hf` with transformers and torch, on the sample packs, beside `mempack ask`. Needs `make build models`; the environment takes 5 GB, because torch
# from the package index brings CUDA.
#
# usage: python/hf.sh MEMPACK_BINARY [pytest arguments]
set -euo pipefail
program=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
. python/environment.sh
env=$(dirname "$PYTHON_ENV")/hf-env
if ! cmp --silent python/requirements-hf.txt "$env/requirements.txt"; then
    rm -rf "$env"
    "${PYTHON:-python3}" -m venv "$env"
    "$env/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --requirement python/requirements-hf.txt
    cp python/requirements-hf.txt "$env/requirements.txt"
fi
wheels=$env/wheels
rm -rf "$wheels"
VIRTUAL_ENV=$PYTHON_ENV "$PYTHON_ENV/bin/maturin" build --quiet --locked --profile dev --manifest-path python/Cargo.toml --out "$wheels"
"$env/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$wheels"/*.whl
export REQUIRE_HF=1 MEMPACK_PROGRAM=$program
"$env/bin/python" -m mypy --config-file python/pyproject.toml python/mempack/hf
cd python/tests
exec "$env/bin/python" -m pytest -p no:cacheprovider --rootdir . "$@" hf
