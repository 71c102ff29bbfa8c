#!/usr/bin/env bash
# Builds the Python package, checks its types and style, and tests it as it is installed.
#
# usage: python/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
. python/environment.sh
wheels=$PYTHON_ENV/wheels
rm -rf "$wheels"
# The profile of the other tests: `make wheel` takes minutes longer.
VIRTUAL_ENV=$PYTHON_ENV "$PYTHON_ENV/bin/maturin" build --quiet --locked --profile dev --manifest-path python/Cargo.toml --out "$wheels"
"$PYTHON_ENV/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$wheels"/*.whl
cd python
"$PYTHON_ENV/bin/ruff" format --check --quiet mempack tests
"$PYTHON_ENV/bin/ruff" check --quiet mempack tests
# hf/ is checked where transformers and torch are: hf.sh. ray/ is checked where Ray is: ray.sh.
"$PYTHON_ENV/bin/mypy" mempack --exclude 'mempack/(hf|ray)'
# Not from the folder that has the sources: what is installed is tested.
cd tests
exec "$PYTHON_ENV/bin/python" -m pytest -p no:cacheprovider --rootdir . --ignore hf --ignore ray "$@"
