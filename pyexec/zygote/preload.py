"""What a zygote loads ahead of its forks, and which paths hold it: no run pays for an import that others share.

Runs in the zygotes, before they leave the host's file tree.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from typing import Sequence

from pyexec.child import warmup
from pyexec.job import COMPANIONS, DISTRIBUTIONS, LIBRARIES

# Submodules that scripts use and that importing the packages doesn't load.
_PARTS = (
    "numpy.random numpy.linalg numpy.fft PIL.Image PIL.ImageDraw PIL.ImageFont PIL.ImageFilter PIL.ImageOps"
    " PIL.ImageEnhance PIL.PngImagePlugin PIL.JpegImagePlugin reportlab.pdfgen.canvas reportlab.lib.pagesizes"
    " reportlab.lib.styles reportlab.platypus"
).split()

_LAZY = ["_strptime"]  # loaded by datetime on first use

# Not /etc/localtime: without it, programs started without TZ use UTC too; in a tree it is UTC. Nor /dev/zero: a shared
# mapping of it is memory that no limit counts.
_SYSTEM_READ = (
    "/lib /lib64 /usr/lib /usr/lib64 /usr/local/lib /usr/share/zoneinfo /usr/share/fonts /usr/local/share/fonts"
    " /etc/ld.so.cache /dev/urandom /dev/random"
    # What `mimetypes` reads, wherever it finds one.
    " /etc/mime.types /etc/httpd/mime.types /etc/httpd/conf/mime.types /etc/apache/mime.types /etc/apache2/mime.types"
    " /usr/local/etc/httpd/conf/mime.types /usr/local/etc/mime.types /usr/local/lib/netscape/mime.types"
).split()
_SYSTEM_EXECUTE = (
    "/bin /usr/bin /usr/local/bin /lib /lib64 /usr/lib /usr/lib64 /usr/libexec /usr/local/lib"
    " /etc/alternatives"  # links, by which Debian has awk and which
).split()


def installed_code() -> list[str]:
    """Return the directories of the interpreter's library and of installed packages."""
    paths = sysconfig.get_paths()
    found = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages", "lib-dynload")]
    return sorted({path for path in found if path and os.path.isdir(path)})


def read_paths() -> tuple[str, ...]:
    """Return what every run may read: code, libraries, fonts, time zones, media types; no home, little of `/etc`."""
    libraries = [sysconfig.get_config_var("LIBDIR") or ""]
    return tuple(
        sorted({path for path in installed_code() + libraries + _SYSTEM_READ if path and os.path.exists(path)})
    )


def execute_paths() -> tuple[str, ...]:
    """Return what an admin run may also execute: the system's programs and this interpreter."""
    interpreters = [sys.executable, os.path.realpath(sys.executable), os.path.join(sys.prefix, "pyvenv.cfg")]
    paths = _SYSTEM_EXECUTE + interpreters + installed_code()
    return tuple(sorted({path for path in paths if path and os.path.exists(path)}))


def standard_library(names: Sequence[str]) -> None:
    """Load standard library modules, and what these load lazily."""
    # A build of Python may lack one of these; a script that imports it gets the ImportError itself.
    _import([*names, *_LAZY])


def sort_out(modules: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Return those of the standard library, those that an operator added, and those that nothing provides.

    Imports nothing, so that a module which only its package's own code would make (`six.moves`) counts as missing.
    """
    standard: list[str] = []
    added: list[str] = []
    unknown: list[str] = []
    for name in modules:
        top = name.partition(".")[0]
        try:
            spec = None if top == "__main__" else importlib.util.find_spec(top)
        except (ImportError, ValueError):  # a module without a spec, as `__main__`'s may be
            spec = None
        is_there = spec is not None or top in sys.builtin_module_names
        if top in LIBRARIES or name in COMPANIONS and not is_there:
            # Any of these may be missing altogether.
            unknown += [name] if is_there and not _has_parts(spec, name) else []
        elif not is_there or not _has_parts(spec, name):
            unknown.append(name)
        else:
            # Before Python 3.9 the specs of `sys` and `builtins` don't say where they come from.
            (standard if top in sys.builtin_module_names or _is_standard(spec) else added).append(name)
    return standard, added, unknown


def _has_parts(spec: importlib.machinery.ModuleSpec | None, name: str) -> bool:
    """Return whether there is a module of this dotted name, whose top-level package has this spec."""
    for place in [place for place, sign in enumerate(name + ".") if sign == "."][1:]:
        full = name[:place]
        if full in sys.modules:  # `os.path` is in no package
            spec = getattr(sys.modules[full], "__spec__", None)
            continue
        where = spec.submodule_search_locations if spec is not None else None
        spec = importlib.machinery.PathFinder.find_spec(full, where) if where else None
        if spec is None:
            return False
    return True


def _is_standard(spec: importlib.machinery.ModuleSpec | None) -> bool:
    if spec is None or spec.origin in ("built-in", "frozen"):
        return True
    paths = sysconfig.get_paths()
    found = [spec.origin or "", *(spec.submodule_search_locations or [])]
    installed = [path for path in installed_code() if os.path.basename(path) in ("site-packages", "dist-packages")]
    inside = [path for path in found for library in installed if path.startswith(library + os.sep)]
    standard = (paths["stdlib"], paths["platstdlib"])
    return not inside and any(path.startswith(tuple(each + os.sep for each in standard)) for path in found if path)


def versions_of(names: Sequence[str]) -> dict[str, str]:
    """Return the versions of loaded libraries, "?" where one doesn't say."""
    found: dict[str, str] = {}
    if not names:
        return found
    import importlib.metadata  # only where something was added: it loads much by itself

    for name in dict.fromkeys(each.partition(".")[0] for each in names):
        try:
            version = getattr(sys.modules.get(name), "__version__", None)
            if not isinstance(version, str):
                version = importlib.metadata.version(DISTRIBUTIONS.get(name, name))
        except BaseException:  # noqa: BLE001
            # Not installed by this name; or code of the library's, whose failure must not end a zygote that works.
            version = None
        # `str`: metadata may lack it, and what is one already may be of a class of the library's.
        found[name] = str.__str__(version) if isinstance(version, str) else "?"
    return found


def libraries(wanted: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Load these libraries; return the versions of those that are there, and which are missing."""
    versions, missing = {}, []
    for name in wanted:
        try:
            versions[name] = str(getattr(importlib.import_module(name), "__version__", "?"))
        except ImportError:
            missing.append(name)
    # Some releases lack one of these.
    _import([name for name in _PARTS if name.partition(".")[0] in versions])
    if "PIL" in versions:
        importlib.import_module("PIL.Image").init()
        with contextlib.suppress(ImportError):  # before Pillow 11.3
            # It would take a thread for each processor of the host, however few a run may have.
            vars(importlib.import_module("PIL.AvifImagePlugin"))["DEFAULT_MAX_THREADS"] = 1
    return versions, missing


def _import(names: Sequence[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def rehearse(modules: Sequence[str]) -> list[str]:
    """Run the warm-up for the loaded modules; return the snippets that each child must run again."""
    again = {}
    for name, source in warmup.snippets(modules):
        try:
            warmup.run(source, "/", lambda _: None)
        except Exception as error:  # noqa: BLE001
            # A library release with a different API. Scripts may fail the same way, and get the error themselves.
            print(f"pyexec: the warm-up for {name} failed: {error!r}", file=sys.stderr, flush=True)
        else:
            again[name] = source
    return [again[name] for name in warmup.FOR_CHILDREN if name in again]
