"""The kind of the setting `modules`: the whole list of what public scripts may import, or a change to the usual one.

`json math` is the whole list; `+pandas -sys` adds to the default list and takes from it; `+data` stands for the
libraries of a code interpreter. A name may be dotted: it then allows that module and those below it. Pure.
"""

from __future__ import annotations

import keyword
from typing import Any

from pyexec.config_kinds import Words

DATA = "data"  # reserved: never a module's own name
# Import names of what `pip install ".[data]"` installs.
DATA_MODULES = tuple(
    "pandas matplotlib scipy sympy sklearn seaborn statsmodels networkx openpyxl xlsxwriter docx pptx pypdf lxml bs4"
    " yaml tabulate qrcode plotly imageio".split()
)


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
            names = DATA_MODULES if name == DATA else (self.item(name),)
            if sign == "+":
                found.update(dict.fromkeys(names))
                continue
            for name in names:
                if name not in found:
                    raise ValueError(f"{name!r} can't be taken away: it isn't in the list")
                del found[name]
        return tuple(found)

    def item(self, item: Any) -> str:
        """Return one name of the list."""
        name = super().item(item)
        if name == DATA:
            raise ValueError(f"'{DATA}' is a reserved name: +{DATA} adds {', '.join(DATA_MODULES)}")
        return name
