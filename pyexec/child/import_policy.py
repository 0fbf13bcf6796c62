"""The import policy of public scripts: which modules the script's own code may name.

Policy, not a boundary: whoever reaches a forbidden module by some other way finds the kernel's layers all the same.
What an allowed library imports for itself is not the script's doing. Made ready in the zygote, installed in the child
after the layers are on; never active for admin scripts.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
import types
from typing import Any, Callable, Sequence

# Modules that the interpreter's C code imports by itself when a script calls it, as datetime.strptime does; such an
# import shows the script's frame as its caller.
_BY_THE_INTERPRETER = frozenset(
    "_strptime _io io locale _bootlocale codecs encodings copyreg warnings traceback linecache re _pydecimal"
    " _pydatetime _pylong unicodedata _ast _weakrefset _collections_abc threading pickle _compat_pickle operator"
    " importlib tokenize _opcode posixpath".split()
)

# What `import sys` gives a public script: streams, exit, argv and facts; not the table of loaded modules.
_SYS_SETTABLE = frozenset("stdin stdout stderr excepthook displayhook unraisablehook tracebacklimit".split())
_SYS_NAMES = _SYS_SETTABLE | frozenset(
    "__stdin__ __stdout__ __stderr__ __excepthook__ __displayhook__ __unraisablehook__ api_version argv byteorder"
    " builtin_module_names copyright dont_write_bytecode exc_info exception exit flags float_info float_repr_style"
    " get_int_max_str_digits set_int_max_str_digits getdefaultencoding getfilesystemencoding"
    " getfilesystemencodeerrors getrecursionlimit setrecursionlimit getrefcount getsizeof getswitchinterval hash_info"
    " hexversion implementation int_info intern is_finalizing last_exc last_traceback last_type last_value maxsize"
    " maxunicode platform stdlib_module_names thread_info version version_info warnoptions".split()
)


def scan(tree: ast.AST, allowed: frozenset[str]) -> tuple[str, ...]:
    """Return the forbidden modules that the source names in import statements or `__import__("name")`, in order."""
    found: list[str] = []
    for node in ast.walk(tree):
        names: Sequence[str] = ()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "__import__"
            and node.args
        ):
            value = getattr(node.args[0], "value", None)
            names = [value] if isinstance(value, str) else ()
        for name in names:
            if top_level(name) not in allowed and name not in found:
                found.append(name)
    return tuple(found)


def top_level(name: str) -> str:
    """Return the part of a module's name that the policy looks at."""
    return name.partition(".")[0]


class SystemFacade(types.ModuleType):
    """The `sys` of a public script: the names in `_SYS_NAMES`, always those of the real module."""

    def __init__(self, allowed: frozenset[str]) -> None:
        """Make the module; `allowed` bounds what its `modules` shows."""
        super().__init__("sys", sys.__doc__)
        self.__dict__["_allowed"] = allowed

    def __getattr__(self, name: str) -> Any:
        if name in _SYS_NAMES:
            return getattr(sys, name)
        if name == "modules":
            allowed = self.__dict__["_allowed"] | {"__main__"}
            return {key: value for key, value in sys.modules.items() if top_level(key) in allowed and key != "sys"}
        if name == "path":
            return []
        if name == "executable":
            return ""
        raise AttributeError(f"module 'sys' has no attribute {name!r} that public scripts may use")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _SYS_SETTABLE:
            setattr(sys, name, value)
        else:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted(name for name in _SYS_NAMES if hasattr(sys, name))


class Policy:
    """The policy at run time: a guard around every way to import that looks at whose code is asking."""

    def __init__(
        self, allowed: frozenset[str], trusted: Sequence[str], refuse: Callable[[tuple[str, ...]], None]
    ) -> None:
        """Prepare all that can be made ahead, in the zygote; `install` makes it effective.

        Args:
            allowed: top-level names that the script may import.
            trusted: directories of installed code, which may import what it needs.
            refuse: called with the module's name; ends the run.
        """
        self._allowed = allowed
        self._trusted = tuple(directory.rstrip("/") + "/" for directory in trusted) + ("<frozen ",)
        self._refuse = refuse
        self._sys = SystemFacade(allowed)
        self._known: dict[str, bool] = {}
        self._guards = self._make_guards()

    def _is_trusted(self, frame: types.FrameType) -> bool:
        filename = frame.f_code.co_filename
        if filename not in self._known:
            self._known[filename] = filename.startswith(self._trusted)
        return self._known[filename]

    def _check(self, name: Any, asking: types.FrameType | None, from_c: bool) -> bool:
        """Refuse a forbidden module; return whether it's the script that asks for an allowed one."""
        if asking is None or self._is_trusted(asking) or not isinstance(name, str):
            return False
        if top_level(name) in self._allowed:
            return True
        if not (from_c and top_level(name) in _BY_THE_INTERPRETER):
            self._refuse((name,))
        return False

    def _make_guards(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        original = builtins.__import__
        original_import_module = importlib.import_module

        def guarded_import(name, globals=None, locals=None, fromlist=(), level=0):  # type: ignore[no-untyped-def]
            # The compiler passes None or a tuple as fromlist, the C API a list.
            by_script = not level and self._check(name, sys._getframe(1), isinstance(fromlist, list))
            if by_script and name == "sys":
                return self._sys
            return original(name, globals, locals, fromlist, level)

        def guarded_import_module(name, package=None):  # type: ignore[no-untyped-def]
            by_script = self._check(name, sys._getframe(1), False)
            return self._sys if by_script and name == "sys" else original_import_module(name, package)

        guarded_import.__name__ = guarded_import.__qualname__ = "__import__"
        guarded_import_module.__name__ = guarded_import_module.__qualname__ = "import_module"
        return guarded_import, guarded_import_module

    def install(self) -> None:
        """Guard `__import__`, `importlib.import_module` and the search for modules, for this process, for good."""
        builtins.__import__ = importlib.__import__ = self._guards[0]
        importlib.import_module = self._guards[1]
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Refuse a forbidden module that some other spelling asks for; find nothing (PEP 451)."""
        frame: types.FrameType | None = sys._getframe(1)
        while frame is not None and (
            frame.f_code.co_filename == __file__ or frame.f_code.co_filename.startswith("<frozen importlib")
        ):
            frame = frame.f_back
        self._check(name, frame, True)
