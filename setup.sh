#!/bin/sh
# sh setup.sh serve [FLAG...]   make .venv with what scripts use, then serve
# sh setup.sh check             make .venv with what the tests use, then format, lint, types, all tests
# sh setup.sh test [FLAG...]    the tests alone, with flags for pytest
# sh setup.sh bench [FLAG...]   what a run costs, beside what it is compared with (bubblewrap only if it is installed)
# sh setup.sh prove             what takes longer: four kinds of host, other Pythons, a real browser, load, leaks
# sh setup.sh prove-slow [FLAG...]  what takes longest, before a release: docs/prove-slow.md is written anew
#
# PYTHON names the interpreter (default: python3, for root /usr/bin/python3), VENV the environment (default: .venv).
# Nothing is written outside this folder, but for missing Debian packages, which are installed when we are root and
# named when we are not. What is missing in the environment comes from PyPI, as requirements/ pins it with hashes.
set -eu
cd "$(dirname "$0")"
# Root's own Python may lie where runs under another uid can't read it; the system's doesn't.
if [ -z "${PYTHON:-}" ] && [ "$(id -u)" = 0 ] && [ -x /usr/bin/python3 ]; then
    PYTHON=/usr/bin/python3
fi
python=${PYTHON:-python3}
venv=${VENV:-.venv}

packages() { # COMMAND PACKAGE: make sure that a command is there
    command -v "$1" >/dev/null || add_package "$1" "$2"
}

add_package() { # WHAT PACKAGE: install the package that has what is missing, or say so
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$2" >/dev/null
    else
        echo "setup.sh: $1 is missing; as root: apt-get install $2" >&2
        exit 1
    fi
}

mark="$venv/made-by-pyexec-setup"

# What can't be used is made anew. It is removed only if it is a virtual environment, and one that we have made.
make_venv() {
    if [ -f "$mark" ] && [ -f "$venv/pyvenv.cfg" ]; then
        rm -rf "$venv"
    elif [ ! -f "$mark" ] && { [ -e "$venv" ] || [ -L "$venv" ]; } && ! rmdir "$venv" 2>/dev/null; then
        echo "setup.sh: $venv is in the way: pip doesn't work in it, and setup.sh didn't make it." >&2
        echo "setup.sh: move it away, or name another place: VENV=DIRECTORY sh setup.sh ..." >&2
        exit 1
    fi
    echo "setup.sh: making $venv; this takes a minute" >&2
    "$python" -c 'import ensurepip, venv' 2>/dev/null || add_package "$python -m venv" python3-venv
    mkdir -p "$venv"
    echo "setup.sh removes this directory when it no longer works." >"$mark"
    "$python" -m venv "$venv"
}

pip_install() { # LOCK: install what this lock file pins
    # Wheels alone: an archive of sources would bring what it is built with, and that without hashes.
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: \
        -r "requirements/$1.txt"
}

# Older than 20.3, as Python 3.8 and 3.9 came with at first, pip doesn't know the names that wheels have today.
NEW_PIP='import pip, sys; sys.exit([int(part) for part in pip.__version__.split(".")[:2]] < [20, 3])'

environment() { # LOCK...: make the virtual environment, with what these lock files pin
    packages "$python" python3
    "$venv/bin/python" -c 'import pip' 2>/dev/null || make_venv
    for name in "$@"; do
        # What was installed, and from which list, is remembered: a second start needs no network.
        wanted="$name $(cksum <"requirements/$name.txt")"
        if ! grep -qxsF "$wanted" "$venv/installed"; then
            "$venv/bin/python" -c "$NEW_PIP" || pip_install pip
            pip_install "$name"
            echo "$wanted" >>"$venv/installed"
        fi
    done
}

case ${1:-} in
serve)
    shift
    environment runtime
    exec "$venv/bin/python" -m pyexec "$@"
    ;;
test)
    shift
    packages curl curl
    environment runtime test ${LOCKS:-}
    exec "$venv/bin/python" -m pytest "$@"
    ;;
check)
    packages curl curl
    environment runtime test lint
    "$venv/bin/ruff" format --check -q pyexec tests benchmarks
    "$venv/bin/ruff" check -q pyexec tests benchmarks
    "$venv/bin/mypy"
    contracts=$("$venv/bin/lint-imports") || { echo "$contracts" >&2; exit 1; }
    exec "$venv/bin/python" -m pytest
    ;;
bench)
    shift
    environment runtime
    exec "$venv/bin/python" -m benchmarks "$@"
    ;;
prove)
    exec sh tests/prove/run
    ;;
prove-slow)
    shift
    packages git git
    environment runtime test prove_slow
    exec "$venv/bin/python" -m tests.prove_slow "$@"
    ;;
*)
    sed -n 's/^# \(sh setup.sh\)/\1/p' "$0"
    exit 2
    ;;
esac
