"""The kinds of the settings `modules`, the whole list of what public scripts may import or a change to it, and `data`.

`json math` is the whole list; `+pandas -sys` adds to the default list and takes from it; `+data` stands for the
libraries of a code interpreter. A name may be dotted: it then allows that module and those below it. Pure.
"""

from __future__ import annotations

import keyword
import os
import re
from typing import Any

from pyexec.config_kinds import Words
from pyexec.job import COMPANIONS

_DATA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")
DATA = "data"  # reserved: never a module's own name
# Import names of what `pip install ".[data]"` installs, and of what these bring along and scripts import by name.
DATA_MODULES = tuple(
    "pandas matplotlib scipy sympy sklearn seaborn statsmodels networkx openpyxl xlsxwriter docx pptx pypdf lxml bs4"
    " yaml tabulate qrcode plotly imageio".split()
    + list(COMPANIONS)
)
# What a distribution has beside the module that it is known by.
_TOGETHER = {"matplotlib": ("mpl_toolkits",)}


def is_module_name(name: Any) -> bool:
    """Return whether a name could be that of a module, dotted or not."""
    return isinstance(name, str) and all(
        part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")
    )


class DottedNames(Words):
    """Names of modules, dotted or not."""

    def item(self, item: Any) -> str:
        """Return one name."""
        if not is_module_name(item):
            raise ValueError(f"{item!r} is not a module's name")
        return str(item)


class Modules(DottedNames):
    """Names of modules, or changes to a default list."""

    def __init__(self, default: tuple[str, ...]) -> None:
        self._default = default

    def check(self, value: Any) -> tuple[str, ...]:
        """Return the whole list, without changes in it."""
        if not isinstance(value, (tuple, list)):
            raise ValueError("must be a tuple or list")
        changes = [item for item in value if isinstance(item, str) and item[:1] in "+-" and item]
        if not changes:
            return super().check(value)
        if len(changes) < len(value):
            raise ValueError(
                "must be either a whole list of names, or changes to the default one, each with + or - before its name"
            )
        return self._changed(changes)

    def _changed(self, changes: list[str]) -> tuple[str, ...]:
        found = dict.fromkeys(self._default)
        for change in changes:
            sign, name = change[0], change[1:]
            names = DATA_MODULES if name == DATA else (self.item(name), *_TOGETHER.get(name, ()))
            if sign == "+":
                found.update(dict.fromkeys(names))
                continue
            if names[0] not in found:
                top = names[0].partition(".")[0]
                advice = f"; take away {top!r} as a whole" if top in found else ""
                raise ValueError(f"{names[0]!r} can't be taken away: it isn't in the list{advice}")
            for each in names:
                found.pop(each, None)
        return tuple(found)

    def item(self, item: Any) -> str:
        """Return one name of the list."""
        name = super().item(item)
        if name == DATA:
            raise ValueError(f"'{DATA}' is a reserved name: +{DATA} adds {', '.join(DATA_MODULES)}")
        return name


class DataDirectories(Words):
    """Names with a directory each, `NAME=DIR`; the flag may be given several times."""

    metavar = "NAME=DIR"
    repeats = True

    def check(self, value: Any) -> tuple[tuple[str, str], ...]:
        """Return (name, absolute path) of each, given as pairs or as text."""
        found = super().check(value)
        names = [name for name, _ in found]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the name {name!r} appears twice")
        return found

    def item(self, item: Any) -> tuple[str, str]:
        """Return one entry, whose directory exists."""
        pair = tuple(item.split("=", 1)) if isinstance(item, str) else item
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[1], (str, os.PathLike)):
            raise ValueError(f"{item!r} is not NAME=DIR")
        name, path = pair[0], os.fspath(pair[1])
        if not isinstance(name, str) or not _DATA_NAME.match(name):
            raise ValueError(f"{name!r} is not a name of up to 64 letters, digits, _ and -, the first a letter")
        if not os.path.isdir(path):
            raise ValueError(f"{path!r} is not a directory")
        return name, os.path.realpath(path)

    def written(self, value: tuple[Any, ...]) -> str:
        """Return the entries separated by spaces."""
        return " ".join(f"{name}={path}" for name, path in value)
