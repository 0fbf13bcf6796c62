"""What to say to a caller whose script named modules that it may not import: what there is, and what does the same.

Modules are looked for, and none is loaded. Names come from hostile scripts, so that only a few of a sensible length are
looked at.
"""

from __future__ import annotations

import difflib
import importlib.machinery
import sys
from typing import Sequence

from pyexec.api import import_tables as tables
from pyexec.config import DEFAULT_MODULES
from pyexec.job import LIBRARIES

_MODULES, _CHARACTERS = 4, 40  # looked at, and in each
_SIMILAR = 0.75
_STANDARD = tables.STANDARD | frozenset(getattr(sys, "stdlib_module_names", ()))
_REASONS = (
    (tables.NO_NETWORK, "Scripts have no network: attach the data as files."),
    (tables.SERVERS, "Scripts have no network and can't listen: call the functions directly."),
    (tables.NO_PROCESSES, "Public scripts can't start processes: do the work in Python itself."),
    (tables.NO_SCREEN, "Scripts have no screen: draw into a picture, and save it."),
    (tables.WINDOWS, "This isn't Windows."),
    (tables.INSTALLERS, "Scripts can't install anything."),
)

WHERE_ALL = "'allowed' lists all modules."  # the last sentence, for readers of HTTP's answers


def advice(modules: Sequence[str], allowed: Sequence[str], attached: Sequence[str] = ()) -> str:
    """Return what helps, as sentences, after these modules were refused.

    Args:
        modules: names as the script has them, with their submodules. allowed: those that it may import, dotted or not.
        attached: names of the files that came with the script.
    """
    tops = [each for each in dict.fromkeys(name.partition(".")[0] for name in modules) if len(each) <= _CHARACTERS]
    shadowed = [top for top in tops[:_MODULES] if f"{top}.py" in attached]
    looked_at = [top for top in tops[:_MODULES] if top not in shadowed]
    sentences = [
        f"The attached {top}.py can't be imported: the module '{top}' is loaded before the script begins. Give the file"
        " another name."
        for top in shadowed
    ]
    sentences += [_of_one(top, allowed) for top in looked_at]
    sentences += [sentence for names, sentence in _REASONS if not names.isdisjoint(looked_at)]
    added = [top for top in looked_at if _for_the_operator(top, allowed)]
    if added:
        sentences.append(f"The server's operator can add {_listed(added, 'and')}, with --modules.")
    libraries = ", ".join(_libraries(allowed))
    sentences.append(f"Libraries that may be imported: {libraries}." if libraries else "No library may be imported.")
    sentences.append(WHERE_ALL)
    return " ".join(filter(None, sentences))


def _of_one(top: str, allowed: Sequence[str]) -> str:
    below = [name for name in allowed if name.startswith(top + ".")]
    if below:
        return f"Of '{top}' only {_listed(below, 'and')} may be imported."
    instead = _instead(top, allowed)
    sentence = f"Instead of '{top}' use {_listed(instead, 'or')}. " if instead else ""
    if not instead or top not in tables.PACKAGES:
        sentence += tables.SAID.get(top, "")
    if sentence or _known(top):
        return sentence.rstrip()
    near = [name for name in allowed if name.lower() == top.lower()]
    near = near or difflib.get_close_matches(top, allowed, 1, _SIMILAR)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"If '{top}' is a module of your own, attach it as {top}.py." if top.isidentifier() else ""


def _instead(top: str, allowed: Sequence[str]) -> list[str]:
    return [name for name in tables.INSTEAD.get(top, "").split() if name in allowed]


def _known(top: str) -> bool:
    """Return whether this is the name of something that exists, so neither misspelt nor a module of the caller's."""
    known = top in tables.INSTEAD or top in tables.PACKAGES or any(top in names for names, _ in _REASONS)
    return known or _there(top)


def _there(top: str) -> bool:
    """Return whether a module is Python's own, or installed."""
    if top in _STANDARD or top in sys.builtin_module_names:
        return True
    return bool(top.isidentifier() and importlib.machinery.PathFinder.find_spec(top))


def _for_the_operator(top: str, allowed: Sequence[str]) -> bool:
    """Return whether this is a library that operators add, or a module of which there is nothing else to say."""
    if any(name.partition(".")[0] == top for name in allowed) or top.startswith("_"):
        return False
    if top in tables.PACKAGES:
        return True
    explained = top in tables.INSTEAD or top in tables.SAID or any(top in names for names, _ in _REASONS)
    return not explained and _there(top)


def _listed(names: list[str], conjunction: str) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {conjunction} {quoted[-1]}"


def _libraries(allowed: Sequence[str]) -> list[str]:
    standard = set(getattr(sys, "stdlib_module_names", ())) | set(DEFAULT_MODULES) - set(LIBRARIES)
    return [name for name in allowed if name.partition(".")[0] not in standard]
