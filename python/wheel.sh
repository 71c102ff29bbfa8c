#!/usr/bin/env bash
# Builds the wheel that is published, in target/wheels, and checks that it runs on the systems that its name says.
set -euo pipefail
cd "$(dirname "$0")/.."
. python/environment.sh
wheels=$(dirname "$PYTHON_ENV")/wheels
rm -rf "$wheels"
VIRTUAL_ENV=$PYTHON_ENV "$PYTHON_ENV/bin/maturin" build --locked --release --manifest-path python/Cargo.toml --out "$wheels"
"$PYTHON_ENV/bin/auditwheel" show "$wheels"/*.whl
ls -l "$wheels"
