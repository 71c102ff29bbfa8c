# test_extra EXTRA MEMPACK_BINARY [pytest arguments]: builds the package, installs it with the pinned packages of an extra, and tests `mempack.EXTRA` beside the
# program, whose path is absolute. It is sourced in the root of the repository.
test_extra() {
    local extra=$1 program=$2
    shift 2
    . python/environment.sh
    python_env "$extra-env" "python/requirements-$extra.txt"
    local wheels=$env/wheels
    rm -rf "$wheels"
    VIRTUAL_ENV=$PYTHON_ENV "$PYTHON_ENV/bin/maturin" build --quiet --locked --profile dev --manifest-path python/Cargo.toml --out "$wheels"
    "$env/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$wheels"/*.whl
    export "REQUIRE_${extra^^}=1" MEMPACK_PROGRAM=$program
    "$env/bin/python" -m mypy --config-file python/pyproject.toml "python/mempack/$extra"
    cd python/tests
    exec "$env/bin/python" -m pytest -p no:cacheprovider --rootdir . "$@" "$extra"
}
