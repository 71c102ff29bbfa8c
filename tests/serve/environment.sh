# Makes the Python environment of these tests, and says where models are. It is sourced in the root of the repository.
SERVE_ENV=$PWD/${CARGO_TARGET_DIR:-target}/serve-env
case ${CARGO_TARGET_DIR:-} in /*) SERVE_ENV=$CARGO_TARGET_DIR/serve-env ;; esac
if ! cmp --silent tests/serve/requirements.txt "$SERVE_ENV/requirements.txt"; then
    rm -rf "$SERVE_ENV"
    "${PYTHON:-python3}" -m venv "$SERVE_ENV"
    "$SERVE_ENV/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --requirement tests/serve/requirements.txt
    cp tests/serve/requirements.txt "$SERVE_ENV/requirements.txt"
fi
export MEMPACK_EMBEDDER=${MEMPACK_EMBEDDER:-$PWD/models/all-MiniLM-L6-v2}
export MEMPACK_BASE=${MEMPACK_BASE:-$PWD/models/SmolLM2-135M-Instruct}
# Idle threads of libgomp sleep instead of spinning.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
# Nothing here goes through a proxy: all of it is on this machine.
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
