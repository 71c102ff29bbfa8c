#!/usr/bin/env bash
# Builds llama.cpp's server, for `tests/serve/load.py --llama`, from the sources in the source package of llama-cpp-python, and prints the path of its binary.
# Needs a C++ compiler and Python 3; takes about ten minutes on two cores, once.
#
#     benches/peers/llama_server.sh
#     target/llama-env/llama-server -m target/decode-env/Q8_0.gguf --port 8081 --parallel 16 --ctx-size 16384
set -euo pipefail
cd "$(dirname "$0")/../.."
env=target/llama-env
if [ ! -x "$env/llama-server" ]; then
    mkdir -p "$env"
    ${PYTHON:-python3} -m venv "$env/venv"
    pip=("$env/venv/bin/pip" --quiet --disable-pip-version-check)
    "${pip[@]}" install --only-binary=:all: --require-hashes --requirement benches/peers/llama_server_build.txt
    "${pip[@]}" download --no-deps --no-binary=llama-cpp-python --no-build-isolation --require-hashes --requirement benches/peers/llama_server.txt --dest "$env"
    tar -xzf "$env"/llama_cpp_python-*.tar.gz -C "$env"
    export PATH="$PWD/$env/venv/bin:$PATH"
    cmake -S "$env"/llama_cpp_python-*/vendor/llama.cpp -B "$env/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF >&2
    cmake --build "$env/build" --target llama-server >&2
    cp "$env/build/bin/llama-server" "$env/llama-server"
    rm -r "$env/build" "$env"/llama_cpp_python-*
fi
echo "$env/llama-server"
