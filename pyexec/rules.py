"""The rules for the parts of a job that hold whoever makes it, over HTTP or embedded. Pure.

`contract` applies them to a request, whose fields it can name exactly, and `job` to every `Job` and `Attachment`, so
that an agent framework which forwards a model's words is refused in the same way. What a setting bounds is checked by
`contract` and `Sandbox.run`, who know the settings.
"""

from __future__ import annotations

from typing import Any, Iterable, NoReturn, Tuple

from pyexec.errors import ValidationError

SCRIPT_NAME = "script.py"
_LONGEST_NAME = 255  # NAME_MAX of Linux file systems
_LONGEST_PATH = 4095  # PATH_MAX, less the final NUL
_KINDS = {str: "a string", bytes: "bytes", tuple: "a tuple", bool: "True or False"}


def _fail(field: str, message: str) -> NoReturn:
    raise ValidationError(message, field)


def kind(value: Any, wanted: type, field: str) -> None:
    """Check the type of what an embedder gave. Raises ValidationError."""
    if not isinstance(value, wanted):
        _fail(field, "'%s' must be %s, not %s." % (field, _KINDS[wanted], type(value).__name__))


def characters(text: str, field: str) -> None:
    """Check that a text can be written as UTF-8 and has no NUL. Raises ValidationError."""
    if not text.isascii():  # which is known without a look at a large string
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            _fail(
                field,
                "'%s' has bytes that are not UTF-8, or a lone surrogate, at character %d. Encode the body as UTF-8."
                % (field, error.start),
            )
    if "\0" in text:
        _fail(field, "'%s' has a NUL character at character %d." % (field, text.index("\0")))


def filename(name: str, field: str) -> None:
    """Check the name of an attached file. Raises ValidationError."""
    characters(name, field)
    if not 1 <= len(name.encode("utf-8")) <= _LONGEST_NAME:
        _fail(field, "'%s' must have 1 to %d bytes in UTF-8." % (field, _LONGEST_NAME))
    if "/" in name or "\\" in name or name in (".", ".."):
        _fail(field, "'%s' must be a plain file name, not a path." % field)
    # The categories Cc of Unicode: C0, DEL and C1.
    if any(ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F for character in name):
        _fail(field, "'%s' has a control character." % field)
    if name == SCRIPT_NAME:
        _fail(field, "'%s' must not be '%s', the script's own name." % (field, SCRIPT_NAME))


def another(name: str, earlier: Iterable[str], field: str) -> None:
    """Check that an attached file has a name of its own. Raises ValidationError."""
    if name in earlier:
        _fail(field, "Two attachments are named '%s'." % name)


def path(name: str, field: str) -> None:
    """Check the path of a file to return. Raises ValidationError."""
    characters(name, field)
    if not 1 <= len(name.encode("utf-8")) <= _LONGEST_PATH:
        _fail(field, "'%s' must have 1 to %d bytes in UTF-8." % (field, _LONGEST_PATH))
    if name.startswith("/"):
        _fail(field, "'%s' must be a relative path." % field)
    if ".." in name.split("/"):
        _fail(field, "'%s' must not contain '..'." % field)


def at_most(count: int, most: int, what: str, field: str) -> None:
    """Check a number of things against a setting. Raises ValidationError."""
    if count > most:
        _fail(field, "'%s' may have at most %d %s; it has %d." % (field, most, what, count))


def canonical(name: str) -> str:
    """Return the one spelling of a checked path that all its spellings share: `a` for `a`, `./a` and `.//a`."""
    parts: Tuple[str, ...] = tuple(part for part in name.split("/") if part not in ("", "."))
    return "/".join(parts) or "."
