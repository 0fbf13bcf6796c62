"""The rules of `hints`: what tells a well-known mistake, and the advice for it.

Each rule looks at a `Scene` and returns its advice, or None where it doesn't apply. The first one that applies speaks,
so the order of `RULES` is part of them.
"""

from __future__ import annotations

import signal
from typing import Callable, NamedTuple

from pyexec.api import hint_files, hint_input, hint_limits, hint_network, hint_text
from pyexec.api.hint_scene import LINE_BREAK, Scene

_SIGNALS = {
    4: "an illegal instruction",
    6: "an abort, which native code calls when it finds its own state broken",
    7: "a bus error: a mapped file is shorter than the mapping, or the run's directory is full",
    8: "an arithmetic fault in native code",
    9: "a kill, sent by itself or by a program that it started",
    11: "a crash: recursion too deep for the stack, or a fault in native code",
    13: "a pipe whose reader had gone",
    14: "an alarm that it had set",
    15: "a request to end. `timeout` and `kill 0` send it to all processes of a run: use subprocess.run(…, timeout=…)",
    24: "a limit of processor time, which it had set itself",
    31: "a system call that scripts may not make",
}


class Rule(NamedTuple):
    """A rule: its name, and what it says of a scene, None if it doesn't apply."""

    name: str
    advice: Callable[[Scene], str | None]


# -- what a script can't have here -------------------------------------------------------------------------------------


def _missing_module(scene: Scene) -> str | None:
    name = scene.message.partition("No module named '")[2].partition("'")[0]
    if scene.kind != "ModuleNotFoundError" or not name or not scene.message.startswith("No module named"):
        return None
    return f"The module isn't installed here, and scripts can't install any. {scene.installed}"


# -- ends without a traceback ------------------------------------------------------------------------------------------


def _crash(scene: Scene) -> str | None:
    number = -scene.outcome.exit_code
    if number == 11 and "setrecursionlimit" in scene.job.code:
        return "The script crashed: its recursion went deeper than the stack. Lower the recursion limit, or use a loop."
    if number == 9 and "RLIMIT_CPU" in scene.job.code:
        return "The script was ended by signal 9: a limit of processor time, which it may have set itself."
    if number <= 0 or number == signal.SIGINT:  # of which there is a traceback
        return None
    return f"The script was ended by signal {number}: {_SIGNALS.get(number) or signal.strsignal(number) or 'unknown'}."


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
    imports = (words[1] for words in lines if len(words) > 1 and words[0] in ("import", "from"))
    return any(imported.strip(",").partition(".")[0] == name for imported in imports)


def _silence(scene: Scene) -> str | None:
    outcome = scene.outcome
    if outcome.stdout or outcome.stderr or outcome.files or outcome.value is not None:
        return None
    return f"The script printed nothing: print() what you want to see. {scene.names.coming_back}"


def _no_browser(scene: Scene) -> str | None:
    code = scene.job.code
    if ".show(" not in code or "write_" in code or not _imports(code, "plotly"):
        return None
    # A figure of matplotlib has been written to a file.
    if "plt.show(" in code or any(file.name.startswith("figure-") for file in scene.outcome.files):
        return None
    return "plotly shows a figure in a browser, and there is none: write it to a file, fig.write_html('a.html')."


def _pictures(scene: Scene) -> str | None:
    if not scene.outcome.picture_troubles:
        return None
    return f"Not every picture could be shown: {scene.outcome.picture_troubles[0]}."


RULES = (
    Rule("shell line", hint_text.shell_line),
    Rule("code fences", hint_text.fences),
    Rule("question", hint_text.question),
    Rule("prompts", hint_text.prompts),
    Rule("notebook cells", hint_text.cells),
    Rule("HTML escapes", hint_text.entities),
    Rule("escaped twice", hint_text.escaped_twice),
    Rule("await at the top", hint_text.await_at_top),
    Rule("display", hint_text.display),
    Rule("constants of JSON", hint_text.constants_of_json),
    Rule("no standard input", hint_input.no_stdin),
    Rule("arguments", hint_input.arguments),
    Rule("empty standard input", hint_input.empty_stdin),
    Rule("attached module not imported", _shadowed),
    Rule("module not installed", _missing_module),
    Rule("no semaphores", hint_limits.no_semaphores),
    Rule("no file tree", hint_limits.no_tree),
    Rule("no entry for the user", hint_limits.no_entry),
    Rule("journal modes", hint_limits.journal_modes),
    Rule("no font", hint_files.no_font),
    Rule("empty database", hint_files.empty_database),
    Rule("file not there", hint_files.missing),
    Rule("no deletion", hint_files.no_deletion),
    Rule("not deleted", hint_files.not_deleted),
    Rule("vacuum into", hint_files.vacuum_into),
    Rule("read-only place", hint_files.read_only),
    Rule("no manager", hint_network.no_manager),
    Rule("no server", hint_network.no_server),
    Rule("no network", hint_network.no_network),
    Rule("memory", hint_limits.memory),
    Rule("full directory", hint_limits.full_directory),
    Rule("descriptors", hint_limits.descriptors),
    Rule("threads", hint_limits.threads),
    Rule("processes", hint_limits.processes),
    Rule("no processes", hint_limits.no_processes),
    Rule("crash", _crash),
    Rule("written elsewhere", hint_files.written_elsewhere),
    Rule("pictures", _pictures),
)
OF_SUCCESS = (
    Rule("attached module not imported", _shadowed),
    Rule("no browser", _no_browser),
    Rule("pictures", _pictures),
    Rule("written elsewhere", hint_files.written_elsewhere),
    Rule("nothing comes back", hint_files.nothing_comes_back),
    Rule("no output", _silence),
)
OF_TIMEOUT = (
    Rule("server that waited", hint_network.waiting_server),
    Rule("endless input", hint_input.endless_input),
)
