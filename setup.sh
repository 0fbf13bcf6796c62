#!/bin/sh
# sh setup.sh serve [FLAG...]       make .venv with the scripts' libraries, then serve
# sh setup.sh mcp [FLAG...]         the same, but serve one MCP client on standard input and output
# sh setup.sh check                 make .venv with what the tests need, then check format, lint, types; run all tests
# sh setup.sh test [FLAG...]        run the tests only: all of them, or those that flags for pytest select
# sh setup.sh bench [FLAG...]       measure what a run costs, beside the alternatives (bubblewrap if it is installed)
# sh setup.sh prove                 prove on four kinds of host, other Pythons, in a browser, under load, without leaks
# sh setup.sh prove-slow [FLAG...]  prove what takes hours, before a release; writes docs/prove-slow.md
#
# PYTHON names the interpreter (default: python3, for root /usr/bin/python3), VENV the environment (default: .venv), and
# WORKERS how many processes share all tests (default: 2; they wait more than they compute).
# Nothing is written outside this directory except missing Debian packages: root installs them; for other users their
# names are printed. What the environment lacks comes from PyPI, at the versions and hashes in requirements/.
set -eu
cd "$(dirname "$0")"
# Root's own Python may be where runs under another uid can't read it; the system's isn't.
if [ -z "${PYTHON:-}" ] && [ "$(id -u)" = 0 ] && [ -x /usr/bin/python3 ]; then
    PYTHON=/usr/bin/python3
fi
python=${PYTHON:-python3}
venv=${VENV:-.venv}

packages() { # COMMAND PACKAGE: make sure that there is such a command
    command -v "$1" >/dev/null || add_package "$1" "$2"
}

add_package() { # WHAT PACKAGE: install the package that has what is missing, or say which one that is
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$2" >/dev/null
    else
        echo "setup.sh: $1 is missing; as root: apt-get install $2" >&2
        exit 1
    fi
}

mark="$venv/made-by-pyexec-setup"

# An unusable environment is recreated, but removed only if it is one that this script made.
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
    # Only wheels: building from source would fetch build requirements without hashes.
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: \
        -r "requirements/$1.txt"
}

# pip before 20.3, which early Python 3.8 and 3.9 releases shipped, doesn't recognise today's wheel names.
NEW_PIP='import pip, sys; sys.exit([int(part) for part in pip.__version__.split(".")[:2]] < [20, 3])'

environment() { # LOCK...: make the virtual environment with what these lock files pin
    packages "$python" python3
    "$venv/bin/python" -c 'import pip' 2>/dev/null || make_venv
    for name in "$@"; do
        # Installed lists are recorded, so that a second start needs no network.
        wanted="$name $(cksum <"requirements/$name.txt")"
        if ! grep -qxsF "$wanted" "$venv/installed"; then
            "$venv/bin/python" -c "$NEW_PIP" || pip_install pip
            pip_install "$name"
            echo "$wanted" >>"$venv/installed"
        fi
    done
}

# Each file in one process, since servers are shared by the tests of a file.
in_parallel="-n ${WORKERS:-2} --dist loadfile"

case ${1:-} in
serve)
    shift
    environment runtime
    exec "$venv/bin/python" -m pyexec "$@"
    ;;
mcp)
    shift
    environment runtime
    exec "$venv/bin/python" -m pyexec mcp "$@"
    ;;
test)
    shift
    packages curl curl
    environment runtime test ${LOCKS:-}
    # shellcheck disable=SC2086 # words
    [ $# != 0 ] || set -- $in_parallel
    exec "$venv/bin/python" -m pytest "$@"
    ;;
check)
    packages curl curl
    environment runtime test lint
    "$venv/bin/ruff" format --check -q pyexec tests benchmarks examples
    "$venv/bin/ruff" check -q pyexec tests benchmarks examples
    "$venv/bin/mypy"
    contracts=$("$venv/bin/lint-imports") || { echo "$contracts" >&2; exit 1; }
    # shellcheck disable=SC2086 # words
    exec "$venv/bin/python" -m pytest $in_parallel
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
    case " $* " in
    "  " | *" kernels "*)
        packages qemu-system-x86_64 qemu-system-x86
        packages qemu-system-aarch64 qemu-system-arm
        ;;
    esac
    environment runtime test prove_slow
    exec "$venv/bin/python" -m tests.prove_slow "$@"
    ;;
*)
    sed -n 's/^# \(sh setup.sh\)/\1/p' "$0"
    exit 2
    ;;
esac
