"""What the rules of `hint_rules` may look at: a job, what came of it, and what its stderr ends with.

Linear in the script and in the last 4 KiB of its stderr, and no more of stderr is looked at. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyexec.config import Config
from pyexec.job import Job, Outcome

LINE_BREAK = re.compile(r"\r\n|\r|\n")
TAIL = 4096  # bytes of stderr that are looked at
# The run's own directory, where scripts have its whole path from __file__, cwd() or resolve(): in a tree of their own,
# of which two are links to the first, and on a disk or tmpfs that runs share.
_OWN_IN_TREE = re.compile(r"/(?:run/box/work|work|mnt/data)/")
_OWN_BESIDE_OTHERS = re.compile(r"/pyexec-[0-9a-f]{32}/[0-9a-f]{32}/work/")
_LOCATION = 'File "script.py", line '
_ERRORS = ("Error", "Exception", "Interrupt", "Exit", "Iteration", "error")


@dataclass(frozen=True)
class Names:
    """What the caller's interface calls the things that a hint may name."""

    stdin: str = "'stdin_data'"
    attachments: str = "'attachments'"
    coming_back: str = "Files come back if 'return_files' names them."


HTTP = Names()


@dataclass(frozen=True)
class Scene:
    """What a rule may look at: a job, what came of it, and the last exception that stderr shows."""

    job: Job
    outcome: Outcome
    config: Config
    libraries: tuple[str, ...]
    names: Names
    kind: str  # of the exception, without its module; "" if there is none
    message: str
    line: str  # of the script, where the last traceback ends; "" if that isn't known
    file: str = ""  # in which it ends
    own_tree: bool = True
    deletes: bool = True  # whether public scripts can delete files

    @property
    def _missing_for_numpy(self) -> bool:
        """Whether numpy says in words of its own that there is no such file, without a number."""
        said = self.kind == "FileNotFoundError" and self.message.endswith(" not found.")
        return said and self.file.endswith("numpy/lib/_datasource.py")

    @property
    def errno(self) -> int:
        """The number in "[Errno 28] No space left on device", else 0."""
        if self._missing_for_numpy:
            return 2
        digits = self.message.partition("[Errno ")[2].partition("]")[0] if self.message.startswith("[Errno ") else ""
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else 0

    @property
    def path(self) -> str:
        """The first quoted text in the message of an OSError; below the run's directory, the path from there on."""
        if self._missing_for_numpy:
            path = self.message[: -len(" not found.")]
        else:
            path = self.message.partition(": '")[2].partition("'")[0]
        own = _OWN_IN_TREE.match(path) if self.own_tree else _OWN_BESIDE_OTHERS.search(path)
        return path[own.end() :] if own else path

    @property
    def tail(self) -> str:
        """The last of stderr."""
        return self.outcome.stderr[-TAIL:].decode("utf-8", "replace")

    @property
    def places(self) -> list[int]:
        """The lines of the script where it was when it failed or its time was up, the innermost first."""
        error = self.outcome.error or {}
        found = [frame.get("line") for frame in (*error.get("frames", ()), error)]
        return [line for line in found if isinstance(line, int)]

    @property
    def installed(self) -> str:
        """A sentence about the libraries that there are."""
        names = ", ".join(self.libraries)
        return (
            f"Installed beside the standard library: {names}." if names else "Only the standard library is installed."
        )

    def may_import(self, name: str) -> bool:
        """Whether the script may import a module of the standard library."""
        return self.job.admin or name in self.config.modules


def look(
    job: Job,
    outcome: Outcome,
    config: Config,
    libraries: tuple[str, ...],
    names: Names,
    own_tree: bool = True,
    deletes: bool = True,
) -> Scene:
    """Return the scene of a run that ended by itself; of one that succeeded, stderr isn't looked at."""
    if not outcome.exit_code:
        return Scene(job, outcome, config, libraries, names, "", "", "")
    tail = outcome.stderr[-TAIL:].decode("utf-8", "replace")
    where = _line_of(job.code, tail), _file_of(tail)
    return Scene(job, outcome, config, libraries, names, *_last_exception(tail), *where, own_tree, deletes)


def _last_exception(tail: str) -> tuple[str, str]:
    """Return the name and message of the last exception that a traceback in this text ends with."""
    for line in reversed(tail.splitlines()):
        head, _, message = line.partition(":")
        name = head.rpartition(".")[2]
        if name.endswith(_ERRORS) and head.replace(".", "").isidentifier():
            return name, message.strip()
    return "", ""


def _file_of(tail: str) -> str:
    """Return the file of the last frame that a traceback shows."""
    return tail.rpartition('  File "')[2].partition('"')[0] if '  File "' in tail else ""


def _line_of(code: str, tail: str) -> str:
    """Return the line of the script that the last traceback names last."""
    found = tail.rfind(_LOCATION)
    digits = tail[found + len(_LOCATION) :][:8].partition("\n")[0].partition(",")[0] if found >= 0 else ""
    if not (digits.isascii() and digits.isdigit()):
        return ""
    lines, number = LINE_BREAK.split(code), int(digits)
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""
