"""Imports of public scripts: what the list doesn't name is refused however it is spelt, and nothing else is."""

from __future__ import annotations

from typing import Callable

import pytest
from servers import RunningServer

from pyexec.client import ServiceError

FORBIDDEN = {
    "import": ("import os", "os"),
    "submodule": ("import os.path", "os.path"),
    "from": ("from os import path", "os"),
    "star": ("from os import *", "os"),
    "as": ("import math, os as json", "os"),
    "after a semicolon": ("x = 1; import os", "os"),
    "call": ("__import__('os')", "os"),
    "call with a name": ("__import__(name='os')", "os"),
    "call with a built name": ("__import__('o' + 's')", "os"),
    "caught": ("try:\n    import os\nexcept ImportError:\n    print('caught')", "os"),
    "caught altogether": ("try:\n    __import__('o' 's')\nexcept BaseException:\n    print('caught')", "os"),
    "never called": ("def f():\n    import os", "os"),
    "never reached": ("if False:\n    import os", "os"),
    "in a class": ("class A:\n    import os", "os"),
    "in a lambda": ("(lambda: __import__('os'))()", "os"),
    "builtins module": ("import builtins", "builtins"),
    "builtins": ("__builtins__.__import__('os')", "os"),
    "builtins, built": ("getattr(__builtins__, '__imp' + 'ort__')('os')", "os"),
    "of a library": ("import numpy\nnumpy.__builtins__['__import__']('os')", "os"),
    "of a function": ("import numpy\nnumpy.poly1d.__init__.__globals__['__builtins__']['__import__']('os')", "os"),
    "importlib": ("import importlib", "importlib"),
    "importlib as attribute": ("import reportlab.lib.utils as u\nu.importlib.import_module('os')", "os"),
    "importlib, found": (
        "import typing\nfor m in typing.sys.modules.copy().values():\n"
        "    if getattr(m, '__name__', '') == 'importlib':\n        m.import_module('os')",
        "os",
    ),
    "exec": ("exec('import os')", "os"),
    "exec, built": ("exec('imp' + 'ort os')", "os"),
    "eval": ("eval('__import__(\"os\")')", "os"),
    "compile": ("exec(compile('import os', 'x', 'exec'))", "os"),
    "in the name of a library": ("import numpy\nexec(compile('import os', 'x', 'exec'), numpy.__dict__)", "os"),
    "subprocess": ("import subprocess", "subprocess"),
    "ctypes": ("import ctypes", "ctypes"),
    "socket": ("import socket", "socket"),
    "threading": ("import threading", "threading"),
    "private": ("import _io", "_io"),
    "not installed": ("import no_such_module", "no_such_module"),
    "like an allowed one": ("import numpy_", "numpy_"),
    "other case": ("import Math", "Math"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_forbidden_import_in_every_spelling(server: RunningServer, name: str) -> None:
    code, module = FORBIDDEN[name]
    with pytest.raises(ServiceError) as caught:
        server.client.execute("print('before', flush=True)\n" + code)
    document = caught.value.document
    assert (caught.value.type, caught.value.status) == ("ForbiddenImportError", 400), document
    assert document["error_details"]["modules"] == [module]
    assert "'%s'" % module in document["error_details"]["message"]
    assert "execution_details" not in document
    assert server.admin.execute("import os\nprint(os.path.sep)").stdout == "/\n"


def test_all_forbidden_modules_of_a_source_are_named_at_once(server: RunningServer) -> None:
    code = "import os, math, sys\nfrom socket import *\ndef f():\n    import os, a.b"
    with pytest.raises(ServiceError) as caught:
        server.client.execute(code)
    assert (caught.value.type, caught.value.status) == ("ForbiddenImportError", 400)
    assert sorted(caught.value.document["error_details"]["modules"]) == ["a.b", "os", "socket"]


@pytest.mark.parametrize(
    "code",
    [
        "'import os'",
        "# import os",
        "print('import os')",
        "class import_os: pass",
        "def __import(os): pass",
        "x = 'import os' in 'a'",
    ],
)
def test_what_only_looks_like_an_import(server: RunningServer, code: str) -> None:
    assert server.client.execute(code).success


def test_the_list_is_a_setting(start_server: Callable[..., RunningServer]) -> None:
    running = start_server(modules="math os", rate_per_minute=100)
    assert running.client.execute("import os, math; print(os.path.sep)").stdout == "/\n"
    for code in ("import json", "import sys", "import numpy"):
        with pytest.raises(ServiceError, match="ForbiddenImportError"):
            running.client.execute(code)


@pytest.mark.parametrize("modules", ["", "json"])
def test_children_warm_up_with_what_is_allowed(start_server: Callable[..., RunningServer], modules: str) -> None:
    """Also those that have the libraries: a forbidden import while they wait would be the end of the next run."""
    running = start_server(modules=modules, rate_per_minute=100, rate_per_day=100)
    for _ in range(5):
        assert running.client.execute("print('numpy')").stdout == "numpy\n"
