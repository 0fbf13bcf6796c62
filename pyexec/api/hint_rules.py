"""The rules of `hints`: what tells a well-known mistake, and the advice for it.

Each rule looks at a `Scene` and returns its advice, or None where it doesn't apply. The first one that applies speaks,
so the order of `RULES` is part of them.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

from pyexec.api import hint_limits
from pyexec.api.hint_scene import LINE_BREAK, TAIL, Scene

_ENTITIES = ("&lt;", "&gt;", "&amp;", "&quot;", "&#39;", "&#x27;")
_NO_NETWORK = ("URLError", "gaierror", "ConnectionError", "ConnectError", "ConnectorError", "MaxRetryError")
_CONSTANTS = {"true": "True", "false": "False", "null": "None"}
_SIGNALS = {
    4: "an illegal instruction",
    6: "an abort, which native code calls when it finds its own state broken",
    7: "a bus error: a mapped file is shorter than the mapping, or the run's directory is full",
    8: "an arithmetic fault in native code",
    11: "a crash: recursion too deep for the stack, or a fault in native code",
    31: "a system call that scripts may not make",
}


class Rule(NamedTuple):
    """A rule: its name, and what it says of a scene, None if it doesn't apply."""

    name: str
    advice: Callable[[Scene], str | None]


# -- what models send that isn't a plain script ------------------------------------------------------------------------


def _shell_line(scene: Scene) -> str | None:
    words = scene.line.split(None, 2)
    notebook = scene.line[:1] in ("!", "%") and scene.line.lstrip("!%")[:1].isalpha()
    pip = words[:1] in (["pip"], ["pip3"], ["conda"]) and words[1:2] == ["install"]
    if scene.kind != "SyntaxError" or not (notebook or pip):
        return None
    return f"This is a plain Python script, without shell commands and %magic: remove the line. {_installed(scene)}"


def _fences(scene: Scene) -> str | None:
    if scene.kind == "SyntaxError" and scene.line.startswith(("```", "~~~")):
        return "Remove the code fences (```): send the Python code alone."
    return None


def _prompts(scene: Scene) -> str | None:
    if scene.kind == "SyntaxError" and (scene.line.startswith(">>> ") or scene.line == ">>>"):
        return "Remove the prompts '>>>' and '...', and the output between them: send the Python code alone."
    return None


def _cells(scene: Scene) -> str | None:
    # "In [1]: x" is the annotation of a variable.
    known = scene.kind == "SyntaxError" or scene.message.startswith(("name 'In'", "name 'Out'"))
    if known and scene.line.startswith(("In [", "Out[")) and "]:" in scene.line[:12]:
        return "Remove the marks 'In [1]:' and 'Out[1]:' of the notebook: send the Python code alone."
    return None


def _entities(scene: Scene) -> str | None:
    code = _outside_of_strings(scene.line)
    escaped = next((entity for entity in _ENTITIES if entity in code), None)
    named = scene.kind == "NameError" and scene.message.startswith(("name 'lt'", "name 'gt'", "name 'amp'"))
    if escaped is None or not (scene.kind == "SyntaxError" or named):
        return None
    return f"The code is HTML-escaped ('{escaped}'): send '<', '>', '&' and quotes as they are."


def _escaped_twice(scene: Scene) -> str | None:
    if scene.kind != "SyntaxError" or "after line continuation character" not in scene.message:
        return None
    _, _, after = _outside_of_strings(scene.line).partition("\\")
    if after[:1] not in ("n", "t", "r", '"', "'"):
        return None
    return r"The code was escaped twice: it has '\n' (or '\"') as text. Send real line breaks; in JSON each is '\n'."


def _outside_of_strings(line: str) -> str:
    """Return a line of code without what stands in its strings."""
    kept, quote, place = [], "", 0
    while place < len(line):
        character = line[place]
        if quote:
            place += character == "\\"
            quote = "" if character == quote else quote
        else:
            quote = character if character in "'\"" else ""
            kept.append(line[place : place + 2] if character == "\\" else character)
            place += character == "\\"
        place += 1
    return "".join(kept)


def _await_at_top(scene: Scene) -> str | None:
    outside = scene.message.startswith(("'await' outside", "'async with' outside", "'async for' outside"))
    if scene.kind != "SyntaxError" or not (outside or scene.message.startswith("asynchronous comprehension outside")):
        return None
    if not scene.may_import("asyncio"):
        return "'await' works only inside an 'async def' function."
    return "Put it into 'async def main():' and start that with 'import asyncio' and 'asyncio.run(main())'."


def _display(scene: Scene) -> str | None:
    if scene.kind == "NameError" and scene.message.startswith("name 'display'"):
        return "display() exists in notebooks only: use print(), and save pictures to files."
    if scene.kind == "NameError" and scene.message.startswith("name 'get_ipython'"):
        return "This is a plain Python script, not a notebook: remove get_ipython() and everything that uses it."
    return None


def _constants_of_json(scene: Scene) -> str | None:
    name = scene.message.partition("'")[2].partition("'")[0]
    if scene.kind == "NameError" and name in _CONSTANTS:
        return f"'{name}' is JSON; in Python it is {_CONSTANTS[name]}."
    return None


# -- what a script can't have here -------------------------------------------------------------------------------------


def _no_stdin(scene: Scene) -> str | None:
    if scene.kind != "EOFError" or scene.message != "EOF when reading a line":
        return None
    if scene.job.stdin:
        return f"input() asked for more lines than {scene.names.stdin} has."
    return f"input() found no standard input: send the lines that it reads in {scene.names.stdin}."


def _arguments(scene: Scene) -> str | None:
    required = b"error: the following arguments are required" in scene.outcome.stderr[-TAIL:]
    if scene.outcome.exit_code == 2 and required:
        return "A script gets no command-line arguments: give them defaults, or set sys.argv before they are parsed."
    return None


def _missing_module(scene: Scene) -> str | None:
    name = scene.message.partition("No module named '")[2].partition("'")[0]
    if scene.kind != "ModuleNotFoundError" or not name or not scene.message.startswith("No module named"):
        return None
    return f"The module isn't installed here, and scripts can't install any. {_installed(scene)}"


def _missing_file(scene: Scene) -> str | None:
    path = scene.path
    if scene.kind != "FileNotFoundError" or scene.errno != 2 or not path:
        return None
    if path.startswith("/"):
        return (
            "There is no such file where the script runs, which sees none of your machine's files: send files in"
            f" {scene.names.attachments}, open them by name alone, and write to the current directory."
        )
    attached = ", ".join(attachment.filename for attachment in scene.job.attachments)
    if not attached:
        return f"Nothing was attached: a file that the script is to read has to be sent in {scene.names.attachments}."
    return f"The script's directory has what was attached ({attached}) and what the script itself wrote."


def _read_only(scene: Scene) -> str | None:
    if scene.kind not in ("PermissionError", "OSError") or scene.errno not in (13, 30) or not scene.path[:1] == "/":
        return None
    return (
        "Read from and write to the current directory, by relative paths such as 'result.txt': other places are closed."
    )


def _no_network(scene: Scene) -> str | None:
    if not scene.kind.endswith(_NO_NETWORK):
        return None
    return f"Scripts have no network: send the data in {scene.names.attachments}."


# -- ends without a traceback ------------------------------------------------------------------------------------------


def _crash(scene: Scene) -> str | None:
    number = -scene.outcome.exit_code
    if number == 11 and "setrecursionlimit" in scene.job.code:
        return "The script crashed: its recursion went deeper than the stack. Lower the recursion limit, or use a loop."
    if number in _SIGNALS:
        return f"The script was ended by signal {number}: {_SIGNALS[number]}."
    return None


def _shadowed(scene: Scene) -> str | None:
    for attachment in scene.job.attachments:
        name, _, extension = attachment.filename.rpartition(".")
        taken = name in scene.config.modules or name in scene.libraries
        if extension == "py" and taken and _imports(scene.job.code, name):
            return (
                f"The attached {attachment.filename} was not imported: the module '{name}' was loaded before the"
                " script began. Give the file another name."
            )
    return None


def _imports(code: str, name: str) -> bool:
    """Return whether a line of the script begins with the import of a module."""
    lines = (line.split() for line in LINE_BREAK.split(code) if name in line and "import" in line)
    return any(words[0] in ("import", "from") and words[1].strip(",") == name for words in lines if len(words) > 1)


def _silence(scene: Scene) -> str | None:
    outcome = scene.outcome
    if outcome.stdout or outcome.stderr or outcome.files or outcome.value is not None:
        return None
    names = scene.names.return_files
    return f"The script printed nothing: print() what you want to see. Files come back if {names} names them."


def _pictures(scene: Scene) -> str | None:
    if not scene.outcome.picture_troubles:
        return None
    return f"Not every picture could be shown: {scene.outcome.picture_troubles[0]}."


def _installed(scene: Scene) -> str:
    names = ", ".join(scene.libraries)
    return f"Installed beside the standard library: {names}." if names else "Only the standard library is installed."


RULES = (
    Rule("shell line", _shell_line),
    Rule("code fences", _fences),
    Rule("prompts", _prompts),
    Rule("notebook cells", _cells),
    Rule("HTML escapes", _entities),
    Rule("escaped twice", _escaped_twice),
    Rule("await at the top", _await_at_top),
    Rule("display", _display),
    Rule("constants of JSON", _constants_of_json),
    Rule("no standard input", _no_stdin),
    Rule("arguments", _arguments),
    Rule("attached module not imported", _shadowed),
    Rule("module not installed", _missing_module),
    Rule("file not there", _missing_file),
    Rule("read-only place", _read_only),
    Rule("no network", _no_network),
    Rule("memory", hint_limits.memory),
    Rule("full directory", hint_limits.full_directory),
    Rule("descriptors", hint_limits.descriptors),
    Rule("threads", hint_limits.threads),
    Rule("processes", hint_limits.processes),
    Rule("no processes", hint_limits.no_processes),
    Rule("no semaphores", hint_limits.no_semaphores),
    Rule("crash", _crash),
)
OF_SUCCESS = (
    Rule("attached module not imported", _shadowed),
    Rule("pictures", _pictures),
    Rule("no output", _silence),
)
