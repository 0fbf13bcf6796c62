"""Validation rules for a job that apply wherever it comes from, HTTP or an embedding program. Pure.

`api.request` applies them to a request, whose fields it can name exactly, and `job` to every `Job` and `Attachment`, so
an agent framework that embeds pyexec and forwards a model's output gets the same errors. Limits that come from settings
are checked by `api.request` and `Sandbox.run`, which know the settings.
"""

from __future__ import annotations

from typing import Any, Iterable, NoReturn

from pyexec.errors import ValidationError

SCRIPT_NAME = "script.py"
MOST_STARS = 8  # of a pattern
_LONGEST_NAME = 255  # NAME_MAX of Linux file systems
_LONGEST_SHOWN = 100
_LONGEST_PATH = 4095  # PATH_MAX, less the final NUL
_KINDS = {str: "a string", bytes: "bytes", tuple: "a tuple", bool: "True or False"}


def _fail(field: str, message: str) -> NoReturn:
    raise ValidationError(message, field)


def kind(value: Any, wanted: type, field: str) -> None:
    """Check the type of a value passed by an embedding program. Raises ValidationError."""
    if not isinstance(value, wanted):
        _fail(field, f"'{field}' must be {_KINDS[wanted]}, not {type(value).__name__}.")


def characters(text: str, field: str) -> None:
    """Check that a text can be written as UTF-8 and has no NUL. Raises ValidationError."""
    if not text.isascii():  # a flag stored in the string, so a large one isn't scanned
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            _fail(
                field,
                f"'{field}' has bytes that are not UTF-8, or a lone surrogate, at character {error.start}."
                " Encode the body as UTF-8.",
            )
    if "\0" in text:
        _fail(field, f"'{field}' has a NUL character at character {text.index(chr(0))}.")


def filename(name: str, field: str) -> None:
    """Check the name of an attached file. Raises ValidationError."""
    characters(name, field)
    if not 1 <= len(name.encode("utf-8")) <= _LONGEST_NAME:
        _fail(field, f"'{field}' must have 1 to {_LONGEST_NAME} bytes in UTF-8.")
    if "/" in name or "\\" in name or name in (".", ".."):
        _fail(field, f"'{field}' must be a plain file name, not a path.")
    # Unicode's category Cc: C0, DEL and C1.
    if any(ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F for character in name):
        _fail(field, f"'{field}' has a control character.")
    if name == SCRIPT_NAME:
        _fail(field, f"'{field}' must not be '{SCRIPT_NAME}', the script's own name.")


def another(name: str, earlier: Iterable[str], field: str) -> None:
    """Check that no earlier attachment has this name. Raises ValidationError."""
    if name in earlier:
        _fail(field, f"Two attachments are named '{name}'.")


def path(name: str, field: str) -> None:
    """Check the path of a file to return, or a pattern of such paths. Raises ValidationError."""
    characters(name, field)
    if not 1 <= len(name.encode("utf-8")) <= _LONGEST_PATH:
        _fail(field, f"'{field}' must have 1 to {_LONGEST_PATH} bytes in UTF-8.")
    if name.startswith("/"):
        inside = name[len("/mnt/data/") :] if name.startswith("/mnt/data/") else name.rpartition("/")[2]
        short = 0 < len(inside) <= _LONGEST_SHOWN and inside.isprintable()
        instead = f": write '{inside}', by name alone, and ask for that" if short else ""
        _fail(field, f"'{field}' must be a relative path{instead}.")
    if ".." in name.split("/"):
        _fail(field, f"'{field}' must not contain '..'.")
    if name.count("*") > MOST_STARS:
        _fail(field, f"'{field}' may have at most {MOST_STARS} stars; it has {name.count('*')}.")


def at_most(count: int, most: int, what: str, field: str) -> None:
    """Check a number of things against a setting. Raises ValidationError."""
    if count > most:
        _fail(field, f"'{field}' may have at most {most} {what}; it has {count}.")


def canonical(name: str) -> str:
    """Return the canonical spelling of a checked path: `a` for `a`, `./a` and `.//a`."""
    return "/".join(part for part in name.split("/") if part not in ("", ".")) or "."
