# Makes the Python environment of these tests, and says where models are. It is sourced in the root of the repository.
. scripts/python_env.sh
python_env serve-env tests/serve/requirements.txt
SERVE_ENV=$env
export MEMPACK_EMBEDDER=${MEMPACK_EMBEDDER:-$PWD/models/all-MiniLM-L6-v2}
export MEMPACK_BASE=${MEMPACK_BASE:-$PWD/models/SmolLM2-135M-Instruct}
# Idle threads of libgomp sleep instead of spinning.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
# Nothing here goes through a proxy: all of it is on this machine.
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
