"""The import policy: what public scripts may import, and that what a library imports is never held against them.

First what a script's source says, then the policy by itself in a process with a library of the test's own, then
scripts sent to a server.
"""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import textwrap
import zipfile
from typing import Any, Callable, Dict, List

import pytest
from servers import RunningServer
from support import ROOT

from pyexec.child import import_scan
from pyexec.client import ServiceError

# -- what a source says ------------------------------------------------------------------------------------------------


def named(source: str) -> List[Any]:
    return [tuple(each)[:2] for each in import_scan.named(ast.parse(textwrap.dedent(source)))]


def test_the_modules_of_a_source_are_found_in_its_order() -> None:
    source = """
        import a.b, c as d
        from . import no
        from .no import no
        def f():
            from e.f import g
            class C:
                __import__("h")
        lambda: __import__("i", fromlist=["x"])
        __import__(name)
        """
    assert [name for name, _ in named(source)] == ["a.b", "c", "e.f", "h", "i"]


def test_what_is_taken_from_a_module_is_found() -> None:
    found = import_scan.named(ast.parse("import a.b\nfrom a.b import c as d, e\nfrom f import *"))
    assert [(each.name, each.items) for each in found] == [("a.b", ()), ("a.b", ("c", "e")), ("f", ("*",))]


@pytest.mark.parametrize(
    ("handlers", "tried"),
    [
        ("except ImportError", True),
        ("except ModuleNotFoundError as error", True),
        ("except (OSError, ImportError)", True),
        ("except builtins.ImportError", True),
        ("except Exception", True),
        ("except BaseException", True),
        ("except", True),
        ("except ValueError:\n    pass\nexcept ImportError", True),
        ("except OSError", False),
        ("except (OSError, ValueError)", False),
        ("finally", False),
    ],
)
def test_a_try_counts_if_it_handles_an_import_error(handlers: str, tried: bool) -> None:
    source = "try:\n    import a\n%s:\n    import b\nimport c\n" % handlers
    assert named(source) == [("a", tried), ("b", False), ("c", False)]
    lines = [number for lines in import_scan.tried_lines(ast.parse(source)) for number in lines]
    assert lines == ([2] if tried else [])


def test_a_try_counts_at_any_depth() -> None:
    source = """
        try:
            if True:
                try:
                    import a
                finally:
                    import b
        except ImportError:
            try:
                import c
            except OSError:
                import d
        else:
            import e
        """
    assert named(source) == [("a", True), ("b", True), ("c", False), ("d", False), ("e", False)]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="except* is grammar of Python 3.11")
def test_a_try_with_groups_counts() -> None:
    assert named("try:\n    import a\nexcept* ImportError:\n    pass") == [("a", True)]


def test_a_deep_source_is_no_recursion() -> None:
    tree = ast.parse("import a")
    for _ in range(20000):
        tree = ast.Module([ast.If(ast.Constant(1), [tree], [])], [])  # type: ignore[list-item]
    assert [each.name for each in import_scan.named(tree)] == ["a"]


# -- a policy with a library of its own --------------------------------------------------------------------------------

# Not loaded by anything that the process below imports.
UNUSED = "sched"

LIBRARY = {
    "fake/__init__.py": """
        import ctypes
        by_c_code = ctypes.pythonapi.PyImport_ImportModule
        by_c_code.restype, by_c_code.argtypes = ctypes.py_object, (ctypes.c_char_p,)
        as_cython = ctypes.pythonapi.PyImport_ImportModuleLevelObject
        as_cython.restype, as_cython.argtypes = ctypes.py_object, (ctypes.py_object,) * 4 + (ctypes.c_int,)

        def lazily():
            import sched, os
            return sched, os

        def generated(source, names=None):
            names = {} if names is None else names
            exec(compile(source, "<generated>", "exec"), names)
            return names

        def of_this_module(source):
            names = {}
            exec(source, globals(), names)
            return names
        """,
    "fake/part.py": "import sched",
    "shared/__init__.py": "",
    "wide/__init__.py": "x = 1",
    "wide/part/__init__.py": "name = 'part'",
    "wide/part/below.py": "name = 'below'",
    "wide/other.py": "",
    "wide/deep/__init__.py": "",
    "wide/deep/down.py": "name = 'down'",
}
PROCESS = """
import json, os, sys, sysconfig
request = json.load(sys.stdin)
for directory, files in request["files"].items():
    for name, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(directory, name)), exist_ok=True)
        with open(os.path.join(directory, name), "w") as file:
            file.write(text)
stdlib = [path for path in sys.path if path.startswith(sysconfig.get_paths()["stdlib"])]
from pyexec.child import import_policy, script
sys.path[:] = [request["library"]] + stdlib
def refuse(names):
    print("refused:", *names)
    sys.stdout.flush()
    os._exit(0)
policy = import_policy.Policy(frozenset(["fake", "wide.part", "wide.deep.down"]), stdlib + [request["library"]], refuse)
policy.install(request["run"])
sys.path.insert(0, request["run"])
os.chdir(request["run"])
code = script.run(open("script.py").read(), request["run"], policy.check_source)
sys.stdout.flush()
os._exit(code)
"""


@pytest.fixture
def said(tmp_path: Any) -> Callable[..., str]:
    """Run a script under a policy that allows `fake` and two modules of `wide`; return what it prints or was refused."""

    def run(source: str, **own: str) -> str:
        library, directory = str(tmp_path / "library"), str(tmp_path / "run")
        files: Dict[str, Dict[str, str]] = {
            library: {name: textwrap.dedent(text) for name, text in LIBRARY.items()},
            directory: dict({name + ".py": text for name, text in own.items()}, **{"script.py": source}),
        }
        done = subprocess.run(
            [sys.executable, "-c", PROCESS],
            input=json.dumps({"files": files, "library": library, "run": directory}),
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": ROOT},
            encoding="utf-8",
            cwd=ROOT,
            timeout=60,
        )
        return done.stdout.strip()

    return run


OF_LIBRARIES = {
    "from its Python code": "fake.lazily()",
    "from its C code": "fake.by_c_code(b'sched')",
    "from its C code, loaded already": "fake.by_c_code(b'os')",
    "from its Cython code": "fake.as_cython('sched', {}, {}, (), 0)",
    "from its Cython code, a submodule": "fake.as_cython('json', {}, {}, ('tool',), 0)",
    "by a submodule of its own": "import fake.part",
    "by code that it executes": "fake.generated('import sched')",
    "by a class that it executes": "fake.generated('class A:\\n    import sched')",
    "by a function with its names": "fake.of_this_module('def f():\\n    import sched')['f']()",
    "by code in the name of the script": "fake.generated('import sched', dict(globals()))",
}


@pytest.mark.parametrize("name", OF_LIBRARIES)
def test_what_a_library_imports_is_never_refused(said: Callable[..., str], name: str) -> None:
    assert said("import fake\n%s\nprint('done')" % OF_LIBRARIES[name]) == "done"
    # Inside a function of the script's, and by a thread of the library's, it's the same.
    assert said("import fake\ndef f():\n    %s\nf()\nprint('done')" % OF_LIBRARIES[name]) == "done"


OF_THE_SCRIPT = {
    "a name that is built": "__import__('sch' 'ed')",
    "with a list, as C code has": "__import__('sch' + 'ed', fromlist=['x'])",
    "with an empty list": "__import__('sch' + 'ed', globals(), {}, [], 0)",
    "executed by itself": "exec('import sched')",
    "in the name of a library": "exec('import sched', vars(fake))",
    "under a library's file name": "exec(compile('import sched', fake.__file__, 'exec'), {})",
    "under a library's file name, with its names": "exec(compile('import sched', fake.__file__, 'exec'), vars(fake))",
    "a function under a library's file name": (
        "names = {}\nexec(compile('def f():\\n    import sched', fake.__file__, 'exec'), names)\nnames['f']()"
    ),
    "under the name of the interpreter": "exec(compile('import sched', '<frozen os>', 'exec'), {})",
    "by importlib": "fake.ctypes._os.sys.modules['importlib'].import_module('sched')",
    "by a part of importlib": "fake.ctypes._os.sys.modules['importlib']._bootstrap._gcd_import('sched')",
    "called back by a library": "fake.ctypes._os.sys.modules['re'].sub('a', lambda _: __import__('sch' 'ed'), 'a')",
}


@pytest.mark.parametrize("name", OF_THE_SCRIPT)
def test_what_the_script_imports_is_refused_whatever_it_looks_like(said: Callable[..., str], name: str) -> None:
    code = "import fake\ntry:\n%s\nexcept OSError:\n    pass\nprint('done')" % textwrap.indent(
        OF_THE_SCRIPT[name], "    "
    )
    assert said(code) == "refused: sched"


def test_a_relative_name_is_judged_by_what_it_stands_for(said: Callable[..., str]) -> None:
    begin = "import fake\nload = fake.ctypes._os.sys.modules['importlib'].import_module\n"
    assert said(begin + "print(load('.part', 'fake').__name__)") == "fake.part"
    assert said(begin + "load('.tool', 'json')") == "refused: json.tool"
    wrong = "for name, package in (('.x', None), ('.x', ''), ('...x', 'fake'), ('.x', 3)):\n    try:\n"
    wrong += "        load(name, package)\n    except Exception as error:\n"
    assert said(begin + wrong + "        print(end=type(error).__name__[0])") in ("TTIT", "TTVT")


def test_interpreters_own_modules_are_never_refused(said: Callable[..., str]) -> None:
    assert said("import __main__, builtins, _codecs\nprint(__main__.__name__)") == "__main__"
    assert said("import fake\nprint(fake.generated('from __main__ import x', {})['x'])\nx = 1") != "1"
    assert said("import fake\nx = 1\nprint(fake.generated('from __main__ import x', {})['x'])") == "1"


TRIED = {
    "statement": "import no_such_module",
    "submodule": "import no_such_package.part as x",
    "from": "from no_such_module import x",
    "call": "__import__('no_such_module')",
    "call with a built name": "__import__('no_such' + '_module')",
    "in a function": "def f():\n    import no_such_module\nf()",
}


@pytest.mark.parametrize("name", TRIED)
def test_a_module_that_is_not_installed_may_be_tried(said: Callable[..., str], name: str) -> None:
    body = textwrap.indent(TRIED[name], "    ")
    code = "try:\n%s\nexcept ImportError as error:\n    print(type(error).__name__, error.name[:7])\n" % body
    assert said(code) == "ModuleNotFoundError no_such"
    assert said(code.replace("ImportError", "OSError")).startswith("refused: no_such")
    assert said("def tries():\n%s\ntries()" % textwrap.indent(code, "    ")) == "ModuleNotFoundError no_such"
    assert said("import own", own=code) == "ModuleNotFoundError no_such"


def test_an_installed_module_may_not_be_tried(said: Callable[..., str]) -> None:
    for module in ("shared", "os", "sched", "os.path"):
        assert said("try:\n    import %s\nexcept ImportError:\n    print('caught')" % module) == "refused: " + module
    assert said("try:\n    __import__('sh' + 'ared')\nexcept:\n    print('caught')") == "refused: shared"


def test_modules_beside_the_script_may_be_imported(said: Callable[..., str]) -> None:
    assert said("import own\nfrom own import x as y\nprint(own.x, y)", own="x = 1") == "1 1"
    assert said("import own", own="import fake, other\nprint(other.x)", other="x = 2") == "2"
    # What they import is the script's doing.
    assert said("import own", own="import sched") == "refused: sched"
    assert said("import own\nown.f()", own="def f():\n    import sched") == "refused: sched"
    # One that isn't loaded yet is found as under plain Python, before the installed one.
    assert said("import shared\nprint(shared.x)", shared="x = 3") == "3"


def test_a_file_with_the_name_of_a_loaded_module_opens_no_door(said: Callable[..., str]) -> None:
    assert said("import os\nprint(os.sep)", os="sep = 1") == "refused: os"
    assert said("import posix", posix="") == "refused: posix"
    assert said("import fake\nprint(fake.lazily is not None)", fake="lazily = 1") == "True"


def test_modules_that_the_script_makes_may_be_imported(said: Callable[..., str]) -> None:
    code = "with open('made.py', 'w') as file:\n    file.write('x = 4')\nimport made\nprint(made.x)"
    assert said(code) == "4"
    assert said(code.replace("made.py", "more.py").replace("import made", "import nothing")) == "refused: nothing"
    assert said("# more.py\nimport more") == "refused: more"


def test_modules_that_the_script_registers_may_be_imported(said: Callable[..., str]) -> None:
    code = (
        "import fake\nsys = fake.ctypes._os.sys\nsys.modules['made'] = type(sys)('made')\nsys.modules['made'].x = 5\n"
    )
    assert said(code + "import made\nfrom made import x\nprint(made.x, x)") == "5 5"
    assert said(code + "import other") == "refused: other"
    assert said(code + "import sched") == "refused: sched"


OF_DOTTED = [
    "import wide.part as m",
    "import wide, wide.part\nm = wide.part",
    "import wide.part.below\nm = wide.part",
    "from wide import part as m",
    "from wide.part.below import name\nimport wide.part as m",
    "from wide.part import *\nimport wide\nm = wide.part",
    "from wide import deep\nfrom wide.deep import down\nfrom wide import part as m",
    "import wide.deep.down\nm = __import__('wide.part', fromlist=['name'])",
    "m = __import__('wi' + 'de.part.below').part",
    "m = __import__('wi' + 'de', fromlist=('part',)).part",
]
BEYOND_DOTTED = {
    "import wide.other": "wide.other",
    "import wide.part, wide.other": "wide.other",
    "import wide.partly": "wide.partly",
    "from wide import other": "wide.other",
    "from wide import part, other, x": "wide.other wide.x",
    "from wide import *": "wide.*",
    "from wide.deep import other": "wide.deep.other",
    "import wide.deep.other": "wide.deep.other",
    "__import__('wi' + 'de.other')": "wide.other",
    "__import__('wi' + 'de', fromlist=['part', 'other'])": "wide.other",
    "exec('from wide import other')": "wide.other",
    "import fake\nfake.ctypes._os.sys.modules['importlib'].import_module('wide.other')": "wide.other",
    "import fake\nfake.ctypes._os.sys.modules['importlib']._bootstrap._gcd_import('wide.other')": "wide.other",
}


@pytest.mark.parametrize("code", OF_DOTTED)
def test_a_dotted_name_allows_its_module_and_what_is_below(said: Callable[..., str], code: str) -> None:
    assert said(code + "\nprint(m.name)") == "part"


@pytest.mark.parametrize("code", BEYOND_DOTTED)
def test_a_dotted_name_allows_nothing_beside_it(said: Callable[..., str], code: str) -> None:
    assert said(code + "\nprint('done')") == "refused: " + BEYOND_DOTTED[code]


# -- scripts at a server -----------------------------------------------------------------------------------------------

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
    "builtins": ("__builtins__.__import__('os')", "os"),
    "builtins, built": ("getattr(__builtins__, '__imp' + 'ort__')('os')", "os"),
    "of a library": ("import numpy\nnumpy.__builtins__['__import__']('os')", "os"),
    "of a function": ("import numpy\nnumpy.poly1d.__init__.__globals__['__builtins__']['__import__']('os')", "os"),
    "importlib": ("import importlib", "importlib"),
    "importlib as attribute": ("import reportlab.lib.utils as u\nu.importlib.import_module('os')", "os"),
    "importlib, found": ("import sys\nsys.modules['importlib'].import_module('os')", "os"),
    "exec": ("exec('import os')", "os"),
    "exec, built": ("exec('imp' + 'ort os')", "os"),
    "eval": ("eval('__import__(\"os\")')", "os"),
    "compile": ("exec(compile('import os', 'x', 'exec'))", "os"),
    "in the name of a library": ("import numpy\nexec(compile('import os', 'x', 'exec'), numpy.__dict__)", "os"),
    "subprocess": ("import subprocess", "subprocess"),
    "ctypes": ("import ctypes", "ctypes"),
    "socket": ("import socket", "socket"),
    "multiprocessing": ("import multiprocessing", "multiprocessing"),
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
    assert (caught.value.status, caught.value.type) == (400, "ForbiddenImportError")
    details = caught.value.document["error_details"]
    assert details["modules"] == [module] and "'%s'" % module in details["message"]
    assert "execution_details" not in caught.value.document
    assert server.admin.execute("import os\nprint(os.path.sep)").stdout == "/\n"


def test_all_forbidden_modules_of_a_source_are_named_at_once(server: RunningServer) -> None:
    code = "import os, math, sys\nfrom socket import *\ndef f():\n    import os, a.b"
    with pytest.raises(ServiceError) as caught:
        server.client.execute(code)
    assert (caught.value.type, caught.value.status) == ("ForbiddenImportError", 400)
    assert caught.value.document["error_details"]["modules"] == ["os", "socket", "a.b"]


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


def test_the_list_may_have_dotted_names(start_server: Callable[..., RunningServer]) -> None:
    running = start_server(modules="+concurrent.futures -concurrent +reportlab.lib -reportlab", rate_per_minute=100)
    code = "from concurrent.futures import ThreadPoolExecutor as a\nimport reportlab.lib.units\nfrom reportlab import lib\n"
    assert running.client.execute(code + "print(reportlab.lib.units.inch)").stdout == "72.0\n"
    with pytest.raises(ServiceError) as caught:
        running.client.execute("from reportlab import pdfgen\nimport reportlab.graphics")
    details = caught.value.document["error_details"]
    assert details["modules"] == ["reportlab.pdfgen", "reportlab.graphics"]
    assert "Of 'reportlab' only 'reportlab.lib' may be imported." in details["message"]


def test_every_module_of_the_list_can_be_imported(server: RunningServer) -> None:
    about = json.loads(server.get("/about")[1])
    newer = {"zoneinfo": (3, 9), "graphlib": (3, 9), "tomllib": (3, 11)}
    names = [name for name in about["modules"] if sys.version_info >= newer.get(name, (3, 8))]
    for part in (names[:60], names[60:]):
        result = server.client.execute("import %s\nprint('done')" % ", ".join(part))
        assert (result.stdout, result.stderr) == ("done\n", "")


def test_numpy_reads_and_writes_raw_files(server: RunningServer) -> None:
    code = "import numpy as np\nnp.arange(6, dtype='<i4').tofile('raw.bin')\nprint(np.fromfile('raw.bin', '<i4').sum())"
    result = server.client.execute(code, return_files=["raw.bin"])
    assert (result.stdout, result.stderr) == ("15\n", "")
    assert len(result.files["raw.bin"]) == 24


def test_a_script_reaches_its_own_names_by_main(server: RunningServer) -> None:
    code = """
import pickle, timeit
class Point:
    x = 3
def f():
    return 1
print(pickle.loads(pickle.dumps(Point())).x, timeit.timeit("f()", "from __main__ import f", number=2) > 0)
"""
    assert server.client.execute(code).stdout == "3 True\n"


def test_attached_modules_can_be_imported(server: RunningServer) -> None:
    solution = b"import math\n\ndef mean(xs):\n    return math.fsum(xs) / len(xs)\n"
    result = server.client.execute(
        "from solution import mean\nprint(mean([1, 2, 6]))", attachments={"solution.py": solution}
    )
    assert (result.stdout, result.stderr) == ("3.0\n", "")
    with pytest.raises(ServiceError) as caught:
        server.client.execute("import solution", attachments={"solution.py": b"import os"})
    assert caught.value.document["error_details"]["modules"] == ["os"]
    result = server.client.execute(
        "import random\nprint(random.choice([1, 1]))", attachments={"random.py": b"choice = lambda _: 'mine'"}
    )
    assert result.stdout == "1\n"


def test_an_attached_module_with_a_forbidden_name_is_told_what_to_do(server: RunningServer) -> None:
    with pytest.raises(ServiceError) as caught:
        server.client.execute("import os\nprint(os.x)", attachments={"os.py": b"x = 1"})
    assert "The attached os.py can't be imported" in caught.value.document["error_details"]["message"]


def test_an_attached_package_can_be_imported(server: RunningServer) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("package/__init__.py", "from .part import x\n")
        archive.writestr("package/part.py", "x = 7\n")
    code = "import sys\nsys.path.insert(0, 'package.zip')\nimport package\nprint(package.x)"
    result = server.client.execute(code, attachments={"package.zip": content.getvalue()})
    assert (result.stdout, result.stderr) == ("7\n", "")


@pytest.mark.parametrize("modules", ["", "json"])
def test_children_warm_up_with_what_is_allowed(start_server: Callable[..., RunningServer], modules: str) -> None:
    """Also those that have the libraries: a forbidden import while they wait would be the end of the next run."""
    running = start_server(modules=modules, rate_per_minute=100, rate_per_day=100)
    for _ in range(5):
        assert running.client.execute("print('numpy')").stdout == "numpy\n"
