"""The import policy of public scripts: which modules the script's own code may name.

Policy, not a boundary: a script that gets at a forbidden module some other way meets the kernel's layers all the same.
What the code of a library imports isn't the script's doing, whether it is Python, C, or code that the library generates
and executes. So each import is judged by whose code asks for it:

- `import` statements and calls of `__import__` and `import_module` show the frame of the code that asks; see `_asks`.
- `PyImport_Import`, which most C code uses, calls `__import__` with the frame of whoever called the C code. It is known
  by its arguments: one and the same dictionary twice, and an empty list. A script that spells that is not caught.
- `PyImport_ImportModuleLevel`, which Cython uses, comes without `__import__` straight to importlib's `_find_and_load`.
- Whatever else is called in importlib comes to the finder in `sys.meta_path`.

Made in the zygote and installed in the child once the layers are on; never for admin scripts.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import types
from typing import Any, Callable, Iterable, Sequence

from pyexec.child import import_scan
from pyexec.job import SCRIPT_NAME

# Every interpreter has them, and scripts reach them without an import; pickle, timeit and codecs name them.
NEVER_REFUSED = frozenset({"__main__", "builtins", "_codecs"})
_OURS = os.path.dirname(os.path.dirname(__file__)) + "/"
_NEW_LOCALS = 2  # CO_NEWLOCALS: the code of a function; modules, class bodies and what exec runs have it not
_BY_C_CODE = ("_find_and_load", "_handle_fromlist")  # importlib's functions that the interpreter calls itself
_ARCHIVES = tuple(".zip .whl .egg .tar .gz .tgz .bz2 .xz".split())


def top_level(name: str) -> str:
    """Return the part of a module's name that the policy looks at."""
    return name.partition(".")[0]


class Policy:
    """The policy: a check of the source before the run, and a guard around every way to import during it."""

    def __init__(
        self, allowed: frozenset[str], trusted: Sequence[str], refuse: Callable[[tuple[str, ...]], None]
    ) -> None:
        """Prepare; `install` makes it effective.

        Args:
            allowed: modules that the script may import, with all that is below them. Those above a dotted name are
                loaded on the way to it: they may be named as well, but nothing else may be taken from them.
            trusted: directories of installed code, which may import what it needs.
            refuse: called with the modules' names; ends the run.
        """
        self._allowed = allowed | NEVER_REFUSED
        self._above = frozenset(name[:place] for name in allowed for place, sign in enumerate(name) if sign == ".")
        self._trusted = tuple(directory.rstrip("/") + "/" for directory in trusted)
        self._refuse = refuse
        self._installed_path = list(sys.path)
        self._directory = "."
        self._guards = self._make_guards()
        self._guard_codes = tuple(guard.__code__ for guard in self._guards)

    def _make_guards(self) -> tuple[Any, Any]:
        original, original_import_module = builtins.__import__, importlib.import_module

        def guarded_import(name, globals=None, locals=None, fromlist=(), level=0):  # type: ignore[no-untyped-def]
            by_c_code = type(fromlist) is list and not fromlist and globals is locals and globals is not None
            if not level and not by_c_code:
                self._check(name, sys._getframe(1), fromlist or ())
            return original(name, globals, locals, fromlist, level)

        def guarded_import_module(name, package=None):  # type: ignore[no-untyped-def]
            self._check(_absolute(name, package), sys._getframe(1))
            return original_import_module(name, package)

        guarded_import.__name__ = guarded_import.__qualname__ = "__import__"
        guarded_import_module.__name__ = guarded_import_module.__qualname__ = "import_module"
        return guarded_import, guarded_import_module

    def install(self, directory: str) -> None:
        """Guard `__import__`, `importlib.import_module` and the search for modules, for this process, for good.

        Args:
            directory: that of the run; modules in it are the script's own, and may be imported.
        """
        self._directory = directory
        builtins.__import__ = importlib.__import__ = self._guards[0]
        importlib.import_module = self._guards[1]
        sys.meta_path.insert(0, self)

    def check_source(self, text: str) -> None:
        """Refuse a script whose source names forbidden modules."""
        # Every import statement contains the word; a script without it needs no second parse.
        if "import" in text:
            found: list[str] = []
            for name, tried, items in import_scan.named(ast.parse(text, SCRIPT_NAME)):
                top = top_level(name)
                if top not in self._allowed and not self._is_own(top):
                    if self._is_installed(top) or not (tried or self._may_be_made(top, text)):
                        found += self._beyond(name, items)
            if found:
                self._refuse(tuple(dict.fromkeys(found)))

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Refuse a forbidden module that some other spelling asks for; find nothing (PEP 451)."""
        frame: types.FrameType | None = sys._getframe(1)
        entered = ""
        while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
            entered, frame = frame.f_code.co_name, frame.f_back
        if frame is not None and frame.f_code not in self._guard_codes and entered not in _BY_C_CODE:
            self._check(name, frame)

    def _check(self, name: Any, asking: types.FrameType, items: Iterable[str] = ()) -> None:
        """Refuse a forbidden module if it's the script that asks for it."""
        if not isinstance(name, str) or top_level(name) in self._allowed or self._asks_for_a_library(asking):
            return
        top, found = top_level(name), self._beyond(name, items)
        if found and not self._is_own(top) and (self._is_installed(top) or not self._is_tried(asking)):
            self._refuse(found)

    def _beyond(self, name: str, items: Iterable[str] = ()) -> tuple[str, ...]:
        """Return what of an import is not allowed: the module, or some of what is taken from it."""
        parts = name.split(".")
        if any(".".join(parts[:count]) in self._allowed for count in range(1, len(parts) + 1)):
            return ()
        if name not in self._above:
            return (name,)
        return tuple(each for each in [f"{name}.{item}" for item in items] if self._beyond(each))

    def _asks_for_a_library(self, frame: types.FrameType | None) -> bool:
        """Return whether the code of a frame is a library's, or was executed by a library.

        A function belongs to the module whose names it uses. Code at the level of a module may use any names (that is
        what exec is for), so that it belongs to the code that executes it. A file name alone says nothing: whoever
        compiles code chooses it.
        """
        while frame is not None:
            filename = frame.f_code.co_filename
            if filename == SCRIPT_NAME or filename.startswith(_OURS):
                return False
            home = _home(frame.f_globals.get("__spec__"))
            if home and not home.startswith(self._trusted) and home != "frozen":
                return False  # a module of the script's own
            if home and frame.f_code.co_flags & _NEW_LOCALS:
                return True
            frame = frame.f_back
        return False

    def _is_own(self, top: str) -> bool:
        """Return whether a module is the script's own: in the run's directory, or in what it adds to `sys.path`."""
        if top in sys.builtin_module_names:
            return False
        if top in sys.modules:
            module = sys.modules[top]
            home = _home(getattr(module, "__spec__", None)) or str(getattr(module, "__file__", None) or "")
            return home != "frozen" and not home.startswith(self._trusted)
        own_path = [self._directory]
        own_path += [each for each in sys.path if isinstance(each, str) and each not in self._installed_path]
        return importlib.machinery.PathFinder.find_spec(top, own_path) is not None

    def _is_installed(self, top: str) -> bool:
        if top in sys.modules or top in sys.builtin_module_names:
            return True
        return importlib.machinery.PathFinder.find_spec(top, self._installed_path) is not None

    def _may_be_made(self, top: str, text: str) -> bool:
        """Return whether a script may still write, unpack or register a module; if so, it's judged at its import."""
        if f"{top}.py" in text or f"{top}/" in text or "modules" in text:
            return True
        return any(name.lower().endswith(_ARCHIVES) for name in os.listdir(self._directory))

    def _is_tried(self, frame: types.FrameType) -> bool:
        """Return whether a frame's current line is within a `try` that handles ImportError, by its file's source."""
        try:
            with open(os.path.join(self._directory, frame.f_code.co_filename), "rb") as file:
                tree = ast.parse(file.read())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # generated code has no file
            return False
        return any(frame.f_lineno in lines for lines in import_scan.tried_lines(tree))


def _absolute(name: Any, package: Any) -> Any:
    """Return the name that `import_module` makes of a relative one; None for one that it refuses itself."""
    if not isinstance(name, str) or not name.startswith("."):
        return name
    try:
        return importlib.util.resolve_name(name, package)
    except (ImportError, ValueError, TypeError, AttributeError):
        return None


def _home(spec: Any) -> str:
    """Return where a module was loaded from, "frozen" for what is part of the interpreter, "" if that isn't known."""
    if getattr(spec, "loader", None) is importlib.machinery.FrozenImporter:
        return "frozen"
    origin = getattr(spec, "origin", None)
    if isinstance(origin, str):
        return "frozen" if origin == "built-in" else origin
    # A package without an __init__ has only places to look in.
    return next((place for place in getattr(spec, "submodule_search_locations", None) or () if place), "")
