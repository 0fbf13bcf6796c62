"""The figures of matplotlib that a script leaves open, and those that it has saved itself.

A figure that is open at the end is shown, as in a notebook. One that the script has saved as a picture in its directory
is there already, unless it has changed since: matplotlib marks a figure as stale at every change. That mark is taken
off here when the figure has been saved. To draw a figure takes it off as well, so one that is drawn while it is stale
counts as never saved.
"""

from __future__ import annotations

import functools
import os
import sys
import weakref
from typing import Any

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
# figure → the file that it was saved to last; not by id, which a new figure may have from one that is gone
_saved: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def watch() -> None:
    """Take note of what matplotlib, which is loaded, saves and draws from now on."""
    # No import statement: in a run that would be one of the script's.
    figure_class = sys.modules["matplotlib.figure"].Figure
    canvas_class = sys.modules["matplotlib.backend_bases"].FigureCanvasBase
    draw, save = figure_class.draw, canvas_class.print_figure

    @functools.wraps(draw)
    def draw_and_note(figure: Any, *arguments: Any, **named: Any) -> Any:
        if figure.stale:
            _saved.pop(figure, None)
        return draw(figure, *arguments, **named)

    @functools.wraps(save)
    def save_and_note(canvas: Any, filename: Any, *arguments: Any, **named: Any) -> Any:
        figure = canvas.figure
        saved, stale = _saved.get(figure), figure.stale
        try:
            returned = save(canvas, filename, *arguments, **named)
            path = _picture(filename)
            if path is not None:
                saved, stale = path, False
        finally:
            # To save it has drawn it, even if in vain, and so changed both.
            if saved is not None:
                _saved[figure] = saved
            figure.stale = stale  # last: where pyplot is interactive, a stale one is drawn at once
        return returned

    figure_class.draw = draw_and_note
    canvas_class.print_figure = save_and_note


def _picture(file: Any) -> str | None:
    """Return the path of a file that a figure was saved to, None if it is no picture."""
    if not isinstance(file, (str, os.PathLike)):
        return None
    path = os.path.abspath(os.fsdecode(file))
    if not os.path.isfile(path):
        path += ".png"  # which matplotlib adds to a name without any
    return path if path.lower().endswith(_PICTURES) else None


def saved_as(figure: Any, directory: str) -> str | None:
    """Return the name of the picture in a directory, or below it, that has a figure as it is now; None if none has."""
    path = _saved.get(figure)
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
