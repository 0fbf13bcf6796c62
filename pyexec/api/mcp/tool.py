"""The one tool, `execute_python`, as a model is told about it: made from the settings of this very server. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from pyexec import units
from pyexec.config import Config

NAME = "execute_python"
TITLE = "Run Python"
ARGUMENTS = ("code", "stdin", "files", "return_files")
CONTENT = "content_base64"  # of a file that isn't text, as answers of the HTTP API spell it
PICTURE_BYTES = 1 << 20  # of all pictures of a result
NAMED_CHARS = 100_000  # of all files of a result that are named, and come as text


@dataclass(frozen=True)
class Server:
    """What a caller may know of a server: its settings, its Python, and what is installed for scripts.

    Attributes:
        python: the version. libraries: name → version. admin: whether imports are free and no quota applies.
        quotas: whether runs are counted at all. data: name → where scripts find it. own_tree: whether runs have a
            file tree of their own. deletes: whether public scripts can delete files.
    """

    config: Config
    python: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)
    admin: bool = False
    quotas: bool = True
    data: Mapping[str, str] = field(default_factory=dict)
    own_tree: bool = True
    deletes: bool = True


def definition(server: Server) -> dict[str, Any]:
    """Return the tool as `tools/list` has it."""
    return {
        "name": NAME,
        "title": TITLE,
        "description": description(server),
        "inputSchema": schema(server.config),
        # A run can change nothing but its own directory, which is gone afterwards, and reaches no network.
        "annotations": {
            "title": TITLE,
            "readOnlyHint": True,
            "destructiveHint": False,
            "idempotentHint": True,
            "openWorldHint": False,
        },
    }


def description(server: Server) -> str:
    """Return the description, most important first: some clients cut it after 2 KB."""
    config, budget = server.config, server.config.budget
    lines = [
        f"Runs a script of {f'Python {server.python}'.strip()} in a fresh, confined process and returns what it prints."
        " Print what you want to see.",
        "Nothing is kept between calls, neither variables nor files: send the whole script, and its files, each time.",
        "No network, no shell, no pip.",
        "Write files to the current directory. " + _files_back(),
        f"Limits: {units.seconds(budget.wall_s)}, {units.size(budget.memory_bytes)} of memory,"
        f" {units.size(budget.workdir_bytes)} of files, {units.count(config.code_chars, 'character')} of code"
        f"{_quota(server)}. Printed text beyond {units.count(config.mcp_chars, 'character')} is cut in the middle.",
    ]
    if server.libraries:
        lines.append(f"Libraries: {', '.join(f'{name} {version}' for name, version in server.libraries.items())}.")
    if server.data:
        lines.append(f"Read-only data: {', '.join(f'{name} in {path}' for name, path in server.data.items())}.")
    if server.admin:
        lines.append("Any module that is installed may be imported.")
    else:
        others = [name for name in config.modules if name not in server.libraries and name != "__future__"]
        lines.append(f"Other modules that may be imported: {', '.join(others)}.")
    return "\n".join(lines)


def _files_back() -> str:
    return (
        "Pictures that it writes or shows (PNG, JPEG, GIF, WebP) come back as images, up to"
        f" {units.size(PICTURE_BYTES)} in all, and short text files as text;"
        f" what return_files names comes whole, up to {units.count(NAMED_CHARS, 'character')} as text,"
        " others as attachments."
    )


def _quota(server: Server) -> str:
    if server.admin or not server.quotas:
        return ""
    config = server.config
    rates = [(config.rate_per_minute, "a minute"), (config.rate_per_day, "a day")]
    said = [f"{rate:,} {per}" for rate, per in rates if rate is not None]
    return f", runs: {' and '.join(said)}" if said else ""


def schema(config: Config) -> dict[str, Any]:
    """Return the JSON Schema of the arguments.

    The limits are in the descriptions: a client that checks a `maxLength` itself would tell its model less than we do.
    """
    text = {"type": "string", "description": "the file as text"}
    content = {"type": "string", "description": f"at most {units.size(config.attachment_bytes)} after decoding"}
    binary = {
        "type": "object",
        "properties": {CONTENT: content},
        "required": [CONTENT],
        "additionalProperties": False,
        "description": "a file that isn't text, in Base64",
    }
    return {
        "type": "object",
        "properties": {
            "code": {
                "type": "string",
                "description": f"the script, plain Python, at most {units.count(config.code_chars, 'character')};"
                " no code fences, no %magic, no !commands",
            },
            "stdin": {
                "type": "string",
                "description": "the script's standard input, for input() and sys.stdin; at most"
                f" {units.size(config.stdin_bytes)}",
            },
            "files": {
                "type": "object",
                "additionalProperties": {"anyOf": [text, binary]},
                "description": f"files for the script's directory, name to content; at most"
                f" {units.count(config.attachments, 'file')}. The script opens them by name.",
            },
            "return_files": {
                "type": "array",
                "items": {"type": "string"},
                "description": f"names of files that the script writes and that are to come back; at most"
                f" {config.return_files}",
            },
        },
        "required": ["code"],
        "additionalProperties": False,
    }
