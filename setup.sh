#!/bin/sh
# sh setup.sh serve [FLAG...]   make .venv with what scripts use, then serve
# sh setup.sh check             make .venv with what the tests use, then format, lint, types, all tests
# sh setup.sh test [FLAG...]    the tests alone, with flags for pytest
# sh setup.sh bench [FLAG...]   what a run costs, beside what it is compared with (bubblewrap only if it is installed)
# sh setup.sh prove             what takes longer: four kinds of host, other Pythons, a real browser, load, leaks
#
# PYTHON names the interpreter (default: python3, for root /usr/bin/python3), VENV the environment (default: .venv).
# Nothing is written outside this folder, but for missing Debian packages, which are installed when we are root and
# named when we are not. What is missing in the environment comes from PyPI.
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

environment() { # EXTRAS: make the virtual environment
    packages "$python" python3
    if [ ! -x "$venv/bin/pip" ]; then
        echo "setup.sh: making $venv; this takes a minute" >&2
        rm -rf "$venv"
        "$python" -c 'import ensurepip, venv' 2>/dev/null || add_package "$python -m venv" python3-venv
        "$python" -m venv "$venv"
    fi
    # What was installed for these extras, and from which list, is remembered: a second start needs no network.
    wanted="$1 $(cksum <setup.cfg)"
    if ! grep -qxsF "$wanted" "$venv/installed"; then
        "$venv/bin/pip" install -q --disable-pip-version-check ".$1"
        # Only its dependencies are wanted: what runs is this checkout.
        "$venv/bin/pip" uninstall -q -y pyexec
        echo "$wanted" >>"$venv/installed"
    fi
}

case ${1:-} in
serve)
    shift
    environment ""
    exec "$venv/bin/python" -m pyexec "$@"
    ;;
test)
    shift
    packages curl curl
    environment "[${EXTRAS:-test}]"
    exec "$venv/bin/python" -m pytest "$@"
    ;;
check)
    packages curl curl
    environment "[test,lint]"
    "$venv/bin/ruff" format --check -q pyexec tests benchmarks
    "$venv/bin/ruff" check -q pyexec tests benchmarks
    "$venv/bin/mypy"
    exec "$venv/bin/python" -m pytest
    ;;
bench)
    shift
    environment ""
    exec "$venv/bin/python" -m benchmarks "$@"
    ;;
prove)
    exec sh tests/prove/run
    ;;
*)
    sed -n 's/^# \(sh setup.sh\)/\1/p' "$0"
    exit 2
    ;;
esac
