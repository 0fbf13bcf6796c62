"""The shape of the code: imports point down, the child loads no parent module, the server needs nothing installed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import Dict, Iterator, Set

import pytest
from conftest import ROOT

PACKAGE = os.path.join(ROOT, "pyexec")

# Row by row, as README's map of the code has it: a module imports only from rows below its own.
ROWS = {
    "__main__": 11,
    "cli": 10,
    "serve": 9,
    "server": 8,
    "handler": 7,
    "service": 6,
    "forkserver": 6,
    "spawner": 5,
    "sandbox": 5,
    "child": 4,
    "usage": 3,
    "guard": 1,
    "results": 3,
    "openapi": 4,
    "schemas": 2,
    "metrics": 1,
    "log": 1,
    "contract": 3,
    "document": 1,
    "answers": 3,
    "template": 2,
    "pool": 4,
    "limits": 2,
    "static": 2,
    "connection": 3,
    "table": 3,
    "bodies": 2,
    "chunks": 1,
    "pace": 1,
    "linger": 0,
    "threads": 0,
    "kernel.layers": 2,
    "workspace": 1,
    "base": 2,
    "floor": 2,
    "preload": 3,
    "warmup": 2,
    "warden": 2,
    "script": 1,
    "timing": 1,
    "config": 1,
    "http1": 1,
    "authority": 0,
    "accounts": 0,
    "keys": 3,
    "hosts": 2,
    "media": 2,
    "browsers": 1,
    "kernel.namespaces": 1,
    "kernel.rlimits": 1,
    "kernel.identity": 1,
    "kernel.landlock": 1,
    "kernel.seccomp": 1,
    "imports": 1,
    "wire": 1,
    "client": 1,
    "kernel.libc": 0,
    "kernel.calls": -1,
    "kernel.bpf": 0,
    "kernel": -1,
    "job": 0,
    "rules": -1,
    "errors": -2,
    "__init__": -1,
}
CHILD_SIDE = {
    "spawner",
    "forkserver",
    "child",
    "preload",
    "warmup",
    "warden",
    "script",
    "imports",
    "kernel.layers",
    "kernel.namespaces",
    "kernel.rlimits",
} | {
    "kernel.identity",
    "kernel.landlock",
    "kernel.seccomp",
    "kernel.bpf",
}
BOTH_SIDES = {"wire", "job", "rules", "errors", "kernel.libc", "kernel.calls", "kernel", "__init__"}


def _modules() -> Iterator[str]:
    for directory, _, files in os.walk(PACKAGE):
        for name in files:
            if name.endswith(".py"):
                path = os.path.relpath(os.path.join(directory, name), PACKAGE)[:-3].replace(os.sep, ".")
                yield path[: -len(".__init__")] if path.endswith(".__init__") else path


def _imports(module: str) -> Set[str]:
    path = os.path.join(PACKAGE, module.replace(".", os.sep))
    path = os.path.join(path, "__init__.py") if os.path.isdir(path) else path + ".py"
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    known = set(_modules())
    found: Set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pyexec":
            inside = (node.module or "")[len("pyexec.") :]
            for alias in node.names:
                name = (inside + "." if inside else "") + alias.name
                found.add(name if name in known else inside or "__init__")
        elif isinstance(node, ast.Import):
            found |= {alias.name[len("pyexec.") :] for alias in node.names if alias.name.startswith("pyexec.")}
    return found


def test_every_module_has_its_row() -> None:
    assert set(_modules()) == set(ROWS)


@pytest.mark.parametrize("module", sorted(set(ROWS) - {"__init__"}))
def test_imports_point_down(module: str) -> None:
    for other in _imports(module):
        assert ROWS[other] < ROWS[module], "%s imports %s" % (module, other)


@pytest.mark.parametrize("module", sorted(set(ROWS) - {"__init__"}))
def test_sides_do_not_meet(module: str) -> None:
    others = _imports(module) - BOTH_SIDES
    if module in CHILD_SIDE:
        assert others <= CHILD_SIDE
    elif module not in BOTH_SIDES:
        assert not others & CHILD_SIDE


@pytest.mark.parametrize("module", sorted(ROWS))
def test_files_stay_readable(module: str) -> None:
    path = os.path.join(PACKAGE, module.replace(".", os.sep))
    path = os.path.join(path, "__init__.py") if os.path.isdir(path) else path + ".py"
    with open(path, encoding="utf-8") as file:
        assert len(file.readlines()) <= 350


def _loaded(code: str, *flags: str) -> Dict[str, str]:
    script = "import sys; sys.path.append(%r)\n%s\n" % (ROOT, code)
    script += "print(*('%s=%s' % (n, getattr(m, '__file__', None)) for n, m in sys.modules.items()), sep='\\n')"
    out = subprocess.run([sys.executable, *flags, "-c", script], stdout=subprocess.PIPE, check=True).stdout.decode()
    return dict(line.split("=", 1) for line in out.splitlines())


def test_server_loads_the_standard_library_only() -> None:
    loaded = _loaded("import pyexec.cli, pyexec.client", "-I")
    own = {name for name in loaded if name.split(".")[0] == "pyexec"}
    plain = _loaded("", "-I")
    for name in set(loaded) - own - set(plain):
        path = loaded[name]
        assert "-packages" not in path, "%s comes from %s" % (name, path)
    assert not {"numpy", "PIL", "reportlab", "fpdf"} & set(loaded)


def test_template_loads_nothing_of_the_server() -> None:
    loaded = _loaded("import pyexec.forkserver", "-I")
    own = {name[len("pyexec.") :] for name in loaded if name.startswith("pyexec.")}
    assert own == (CHILD_SIDE | BOTH_SIDES) - {"__init__"}
    # Python 3.13's own sysconfig loads threading.
    brought = set(loaded) - set(_loaded("import sysconfig", "-I"))
    assert not {"http.server", "subprocess", "threading", "ssl", "asyncio"} & brought


def test_only_config_reads_the_environment() -> None:
    for module in _modules():
        path = os.path.join(PACKAGE, module.replace(".", os.sep))
        path = os.path.join(path, "__init__.py") if os.path.isdir(path) else path + ".py"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        assert module == "config" or ("environ" not in text.replace("environment", "") and "getenv" not in text), module


def test_public_names_are_lazy() -> None:
    assert "pyexec.sandbox" not in _loaded("import pyexec")
    assert "pyexec.sandbox" in _loaded("from pyexec import Sandbox")
    assert subprocess.run(
        [sys.executable, "-c", "import pyexec; pyexec.nothing"], cwd=ROOT, stderr=subprocess.PIPE
    ).returncode
