# Makes the Python environment in which the package is built and tested. It is sourced in the root of the repository.
PYTHON_ENV=$PWD/${CARGO_TARGET_DIR:-target}/python-env
case ${CARGO_TARGET_DIR:-} in /*) PYTHON_ENV=$CARGO_TARGET_DIR/python-env ;; esac
export MYPY_CACHE_DIR=$PYTHON_ENV/mypy RUFF_CACHE_DIR=$PYTHON_ENV/ruff
if ! cmp --silent python/requirements.txt "$PYTHON_ENV/requirements.txt"; then
    rm -rf "$PYTHON_ENV"
    "${PYTHON:-python3}" -m venv "$PYTHON_ENV"
    "$PYTHON_ENV/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --requirement python/requirements.txt
    cp python/requirements.txt "$PYTHON_ENV/requirements.txt"
fi
