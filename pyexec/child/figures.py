"""The figures of matplotlib that a script leaves open, and those that it has saved itself.

A figure that is open at the end is shown, as in a notebook. One that the script has saved as a picture in its directory
is there already, unless it has changed since: matplotlib marks a figure as stale at every change, and the mark is
taken off here when it has been saved.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_saved: dict[int, str] = {}  # id of a figure → the file that it was saved to last


def watch() -> None:
    """Take note of what matplotlib, which is loaded, saves from now on."""
    # No import statement: in a run that would be one of the script's.
    canvas_class = sys.modules["matplotlib.backend_bases"].FigureCanvasBase
    save = canvas_class.print_figure

    @functools.wraps(save)
    def save_and_note(canvas: Any, filename: Any, *arguments: Any, **named: Any) -> Any:
        figure, stale = canvas.figure, canvas.figure.stale
        returned = save(canvas, filename, *arguments, **named)
        path = os.path.abspath(os.fspath(filename)) if isinstance(filename, (str, os.PathLike)) else ""
        if path and not os.path.isfile(path):
            path += ".png"  # which matplotlib adds to a name without any
        if path.lower().endswith(_PICTURES):
            _saved[id(figure)], stale = path, False
        figure.stale = stale  # drawing it in order to save it has changed the mark
        return returned

    canvas_class.print_figure = save_and_note


def saved_as(figure: Any, directory: str) -> str | None:
    """Return the name of the picture in a directory, or below it, that has a figure as it is now; None if none has."""
    path = _saved.get(id(figure))
    if path is None or getattr(figure, "stale", True):
        return None
    name = os.path.relpath(os.path.realpath(path), os.path.realpath(directory))
    return name if os.path.isfile(path) and not name.startswith("../") else None


def still_open() -> list[Any]:
    """Return the figures of pyplot that aren't closed, and that have something in them."""
    managers = sys.modules["matplotlib._pylab_helpers"].Gcf.get_all_fig_managers()
    figures = [manager.canvas.figure for manager in managers]
    return [figure for figure in figures if figure.get_children()[1:]]  # the first one is its background


def is_drawn(value: Any) -> bool:
    """Return whether a value is something that is drawn in a figure, or a figure, or a few of these."""
    kind = type(value)
    if kind.__name__ == "ndarray" and kind.__module__ == "numpy":
        value = value.ravel()[:1].tolist() if value.dtype.hasobject else []
    elif not issubclass(kind, (list, tuple)):
        value = [value]
    return any(str(type(each).__module__).startswith("matplotlib.") for each in value[:4])
