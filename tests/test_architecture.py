"""The shape of the code, as loaded: what a zygote has of the server, and the server of anything installed.

Which module may import which is in `setup.cfg`, for import-linter, which `make check` runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Dict, Iterator

import pytest
from support import ROOT

PACKAGE = os.path.join(ROOT, "pyexec")


def _modules() -> Iterator[str]:
    for directory, _, files in os.walk(PACKAGE):
        for name in files:
            if name.endswith(".py"):
                path = os.path.relpath(os.path.join(directory, name), PACKAGE)[:-3].replace(os.sep, ".")
                yield path[: -len(".__init__")] if path.endswith(".__init__") else path


@pytest.mark.parametrize("module", sorted(_modules()))
def test_files_stay_readable(module: str) -> None:
    path = os.path.join(PACKAGE, module.replace(".", os.sep))
    path = os.path.join(path, "__init__.py") if os.path.isdir(path) else path + ".py"
    with open(path, encoding="utf-8") as file:
        assert len(file.readlines()) <= 300


def _loaded(code: str, *flags: str) -> Dict[str, str]:
    script = "import sys; sys.path.append(%r)\n%s\n" % (ROOT, code)
    script += "print(*('%s=%s' % (n, getattr(m, '__file__', None)) for n, m in sys.modules.items()), sep='\\n')"
    out = subprocess.run([sys.executable, *flags, "-c", script], stdout=subprocess.PIPE, check=True).stdout.decode()
    return dict(line.split("=", 1) for line in out.splitlines())


def test_server_loads_the_standard_library_only() -> None:
    loaded = _loaded("import pyexec.cli.main, pyexec.client", "-I")
    own = {name for name in loaded if name.split(".")[0] == "pyexec"}
    plain = _loaded("", "-I")
    for name in set(loaded) - own - set(plain):
        path = loaded[name]
        assert "-packages" not in path, "%s comes from %s" % (name, path)
    assert not {"numpy", "PIL", "reportlab", "fpdf"} & set(loaded)


def test_a_command_loads_nothing_of_the_others() -> None:
    """A server's start is measured in milliseconds."""
    assert not {"pyexec.client", "pyexec.cli.batch_course", "ssl", "concurrent.futures"} & set(
        _loaded("import pyexec.cli.main")
    )


def test_a_zygote_loads_nothing_of_the_server() -> None:
    loaded = _loaded("import pyexec.zygote.start", "-I")
    own = {name[len("pyexec.") :] for name in loaded if name.startswith("pyexec.")}
    shared = {"messages", "job", "findings", "rules", "errors", "units"}
    assert {name for name in own if name.split(".")[0] not in ("zygote", "child", "kernel")} == shared
    # Python 3.13's own sysconfig loads threading.
    brought = set(loaded) - set(_loaded("import sysconfig", "-I"))
    assert not {"http.server", "subprocess", "threading", "ssl", "asyncio"} & brought


def test_only_config_sources_reads_the_environment() -> None:
    for module in _modules():
        path = os.path.join(PACKAGE, module.replace(".", os.sep))
        path = os.path.join(path, "__init__.py") if os.path.isdir(path) else path + ".py"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        # The child alone writes to it: where its directory is.
        assert module in (
            "config_sources",
            "child.main",
            "child.sqlite_files",
            "zygote.row",
            "zygote.cache_directory",
            "zygote.as_before",
        ) or ("environ" not in text.replace("environment", "") and "getenv" not in text), module


def test_public_names_are_lazy() -> None:
    assert "pyexec.sandbox" not in _loaded("import pyexec")
    assert "pyexec.sandbox" in _loaded("from pyexec import Sandbox")
    assert subprocess.run(
        [sys.executable, "-c", "import pyexec; pyexec.nothing"], cwd=ROOT, stderr=subprocess.PIPE
    ).returncode
