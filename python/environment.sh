# Makes the Python environment in which the package is built and tested. It is sourced in the root of the repository.
. scripts/python_env.sh
python_env python-env python/requirements.txt
PYTHON_ENV=$env
export MYPY_CACHE_DIR=$PYTHON_ENV/mypy RUFF_CACHE_DIR=$PYTHON_ENV/ruff
