"""Pictures that a script shows: `plt.show()` and `Image.show()` write each into the run's directory, and never fail.

A run has no screen. What a notebook would show comes back as a file instead (`figure-1.png`, ...), as if the caller had
asked for it. Installed in a zygote once its libraries are loaded; of others, by the run that loads them.
A script's own words about its pictures are worth what the script is worth, so the server applies the rules of
`return_files` to them.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import os
import sys
from typing import Any, Callable

from pyexec.child.figures import saved_as, still_open, watch

MOST = 10  # as many files as an answer may have

# Modes that no PNG has → the one that keeps how transparent they are; Pillow turns La into no other.
_TRANSPARENT = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}

_directory = "."
_names: list[str] = []
_troubles: list[str] = []


def begin(directory: str) -> None:
    """Write to this directory, whatever the script makes its current one."""
    global _directory
    _directory = directory
    del _names[:], _troubles[:]


def found() -> dict[str, list[str]] | None:
    """Return the names of the pictures' files, relative to the run's directory, and why others couldn't be written.

    Each reason once. None if nothing was shown.
    """
    return {"names": _names, "troubles": list(dict.fromkeys(_troubles))} if _names or _troubles else None


def collect() -> bool:
    """Show the figures of matplotlib, which is loaded, that are still open; return whether there are any."""
    found = still_open()
    for figure in found:
        if saved_as(figure, _directory) is None:
            _show_figure(figure)
    return bool(found)


def _show_figure(figure: Any) -> None:
    """Write a figure to a file, or have the file come back that it is in already."""
    name = saved_as(figure, _directory)
    if name is None:
        _write(lambda path: figure.savefig(path, format="png"))
    elif name not in _names and len(_names) < MOST:
        _names.append(name)


def install() -> None:
    """Make the picture libraries show pictures by writing them: those that are loaded now, and others once they are."""
    if "PIL.Image" in sys.modules:
        importlib.import_module("PIL.ImageShow")  # which `Image.show` imports
    for name, hook in _HOOKS.items():
        if name in sys.modules:
            hook(sys.modules[name])
    sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds those libraries as ever, and has them loaded with their hooks (PEP 451)."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a module that has a hook, None for any other."""
        hook = _HOOKS.get(name)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if hook is not None else None
        if hook is not None and spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            execute = spec.loader.exec_module

            def execute_and_hook(module: Any) -> None:
                execute(module)
                # One of the script's own may have that name, and none of what is looked for.
                with contextlib.suppress(AttributeError, KeyError):
                    hook(module)

            spec.loader.exec_module = execute_and_hook  # type: ignore[method-assign]
        return spec


def _write(save: Callable[[str], Any]) -> None:
    """Have a picture saved under the next name that is free."""
    if len(_names) == MOST:
        _troubles.append(f"only the first {MOST} pictures shown are written")
        return
    number = 1
    while os.path.lexists(os.path.join(_directory, f"figure-{number}.png")):
        number += 1
    name = f"figure-{number}.png"
    try:
        save(os.path.join(_directory, name))
    except Exception as error:  # noqa: BLE001
        # Whatever a picture's own code raises; to show one is no reason to fail where nobody is looking.
        _troubles.append(f"a picture could not be written: {type(error).__name__}: {error}"[:200])
    else:
        _names.append(name)


def _hook_pillow(image_show: Any) -> None:
    class FileViewer(image_show.Viewer):  # type: ignore[misc]
        def show(self, image: Any, **options: Any) -> bool:
            _write(lambda path: as_png_has_it(image).save(path, "PNG"))
            return True

    def as_png_has_it(image: Any) -> Any:
        plain = image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B")
        return image if plain else image.convert(_TRANSPARENT.get(image.mode, "RGB"))

    image_show._viewers.insert(0, FileViewer())  # `register` would take it for a program and look for that first


def _hook_matplotlib(pyplot: Any) -> None:
    # No import statement: in a run that would be one of the script's, which may be allowed only what imports pyplot.
    figures, figure_class = sys.modules["matplotlib._pylab_helpers"].Gcf, sys.modules["matplotlib.figure"].Figure

    def show(*args: Any, **kwargs: Any) -> None:
        """Write every open figure to a file and close it, as a user closes the windows."""
        for manager in figures.get_all_fig_managers():
            show_figure(manager.canvas.figure)
        pyplot.close("all")

    def show_figure(figure: Any, warn: bool = True) -> None:
        """Write the figure to a file."""
        _show_figure(figure)

    pyplot.show = show
    figure_class.show = show_figure
    watch()


_HOOKS: dict[str, Callable[[Any], None]] = {
    "PIL.ImageShow": _hook_pillow,
    "matplotlib.pyplot": _hook_matplotlib,
}
