# Python environments of tests. It is sourced in the root of the repository.

# python_env NAME REQUIREMENTS: makes the environment target/NAME of the pinned packages, unless it is there, and sets `env` to its path.
python_env() {
    case ${CARGO_TARGET_DIR:-} in
    /*) env=$CARGO_TARGET_DIR/$1 ;;
    *) env=$PWD/${CARGO_TARGET_DIR:-target}/$1 ;;
    esac
    if ! cmp --silent "$2" "$env/requirements.txt"; then
        rm -rf "$env"
        "${PYTHON:-python3}" -m venv "$env"
        "$env/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --requirement "$2"
        cp "$2" "$env/requirements.txt"
    fi
}
