"""The nouns of pyexec, all frozen: what a run is asked, may use, and gave back. No I/O; both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from pyexec import rules
from pyexec.errors import ValidationError

SCRIPT_NAME = rules.SCRIPT_NAME
# What scripts are offered beside the standard library; the server itself never imports them.
LIBRARIES = ("numpy", "PIL", "reportlab", "fpdf")


@dataclass(frozen=True)
class Attachment:
    """A file that the caller puts into the run's directory before the script starts.

    Raises:
        ValidationError: the name is no plain file name, or the content isn't bytes.
    """

    filename: str
    content: bytes

    def __post_init__(self) -> None:
        rules.kind(self.filename, str, "filename")
        rules.filename(self.filename, "filename")
        rules.kind(self.content, bytes, "content")


@dataclass(frozen=True)
class Job:
    """One script to run.

    `return_files` are relative paths inside the run's directory. `admin` lifts the import rules and allows processes.

    Raises:
        ValidationError: names the field that breaks a rule of the HTTP contract, or has another type than here.
    """

    code: str
    stdin: Optional[bytes] = None
    attachments: Tuple[Attachment, ...] = ()
    return_files: Tuple[str, ...] = ()
    admin: bool = False

    def __post_init__(self) -> None:
        rules.kind(self.code, str, "code")
        rules.characters(self.code, "code")
        if not self.code:
            raise ValidationError("'code' must have at least 1 character; it has 0.", "code")
        if self.stdin is not None:
            rules.kind(self.stdin, bytes, "stdin")
        rules.kind(self.attachments, tuple, "attachments")
        names: List[str] = []
        for place, attachment in enumerate(self.attachments):
            where = "attachments[%d]" % place
            if not isinstance(attachment, Attachment):
                raise ValidationError("'%s' must be an Attachment, not %s." % (where, type(attachment).__name__), where)
            rules.another(attachment.filename, names, where + ".filename")
            names.append(attachment.filename)
        rules.kind(self.return_files, tuple, "return_files")
        for place, name in enumerate(self.return_files):
            rules.kind(name, str, "return_files[%d]" % place)
            rules.path(name, "return_files[%d]" % place)
        rules.kind(self.admin, bool, "admin")


@dataclass(frozen=True)
class Budget:
    """What one run may use; the settings of the same names, with their defaults, are in `Config`."""

    wall_s: float
    memory_bytes: int
    processes: int
    output_bytes: int
    returned_file_bytes: int
    workdir_bytes: int
    workdir_files: int


@dataclass(frozen=True)
class OutputFile:
    """One entry of the answer's `output_files`: either `content` or `error` is set."""

    name: str
    content: Optional[bytes] = None
    size_bytes: Optional[int] = None
    error: Optional[str] = None


# How a run ended. A verdict other than ENDED is the service's doing.
ENDED, TIMEOUT, RESOURCE, FORBIDDEN = "ended", "timeout", "resource", "forbidden"


@dataclass(frozen=True)
class Outcome:
    """What a run gave back, judged from outside.

    `exit_code` is −9 when the service ended the run; a script that ended by itself in a full directory keeps its own.
    `stdout` and `stderr` hold at most the budget's
    `output_bytes`. `resource` and `limit` are set for RESOURCE, `modules` for FORBIDDEN.
    """

    verdict: str
    exit_code: int
    duration_s: float
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    files: Tuple[OutputFile, ...] = ()
    modules: Tuple[str, ...] = ()
    resource: str = ""
    limit: int = 0
    stages: Tuple[Tuple[str, float], ...] = ()  # where the time went: name, seconds


@dataclass(frozen=True)
class LayerStatus:
    """Whether a layer is on for the runs of this server; `detail` says how, or why it isn't."""

    name: str
    on: bool
    detail: str


@dataclass(frozen=True)
class Host:
    """What this host offers, as found out by trying (`layers.probe`)."""

    uid: int
    gid: int
    own_uids: bool
    namespaces: Tuple[str, ...]  # of "user", "pid", "mount", "network", "ipc", "uts"
    landlock_abi: int
    seccomp: bool
    refusals: Dict[str, str]  # layer name → the kernel's words, for what is missing


@dataclass(frozen=True)
class Plan:
    """Everything that confines one child; made by the template before it forks."""

    host: Host
    admin: bool
    uid: int
    gid: int
    workdir: str
    read_paths: Tuple[str, ...]
    execute_paths: Tuple[str, ...]
    baseline_bytes: int  # address space of the template, which a child starts with
    parent_pid: int
    proc_fd: int  # directory descriptor of /proc, closed before the script runs
    budget: Budget
