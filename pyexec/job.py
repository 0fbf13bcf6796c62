"""The core data types, all frozen: a run's job, its budget and its outcome. Pure; shared by server and children."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Mapping

from pyexec import rules
from pyexec.errors import ValidationError

SCRIPT_NAME = rules.SCRIPT_NAME
USER = "runner"  # what a run's uid is called
# What scripts can import besides the standard library; the server itself never imports them.
LIBRARIES = ("numpy", "PIL", "reportlab", "fpdf")
# Of the standard library, what is loaded beside these only: more code than all the rest, for which each fork would pay.
HEAVY = tuple(
    "asyncio unittest doctest logging sqlite3 queue zipfile tarfile bz2 lzma shutil tempfile argparse optparse pickle"
    " shelve configparser plistlib pstats cProfile profile tomllib tracemalloc http concurrent threading contextvars"
    " sched colorsys gzip mimetypes gettext fileinput wave symtable html zoneinfo difflib".split()
)
# What libraries bring along and scripts import by name; a later release may do without.
COMPANIONS = ("mpl_toolkits", "mpmath", "joblib", "patsy", "dateutil")
SEARCHED_BYTES = 65536  # of an attached module
# Distributions of another name than their module's.
DISTRIBUTIONS = {"bs4": "beautifulsoup4", "docx": "python-docx", "pptx": "python-pptx", "sklearn": "scikit-learn"}
DISTRIBUTIONS.update(yaml="PyYAML", cv2="opencv-python-headless")
DESCRIPTORS = 256  # that a process of a run may have open


@dataclass(frozen=True)
class ZygoteKind:
    """A row of the table of zygotes: a name, and what is loaded in it beside the lighter part of the standard library.

    Where there are any libraries, HEAVY is loaded as well.
    """

    name: str
    libraries: tuple[str, ...]


PLAIN, DEFAULT, ADDED = "plain", "default", "added"
# From light to heavy: a run goes to the lightest that has all libraries which its text names. All that exists once a
# zygote is made from this table. The last is there only if the operator added what it can load.
ZYGOTES = (ZygoteKind(PLAIN, ()), ZygoteKind(DEFAULT, LIBRARIES), ZygoteKind(ADDED, LIBRARIES))


@dataclass(frozen=True)
class Attachment:
    """A file that the caller puts into the run's directory before the script starts.

    Raises:
        ValidationError: the name isn't a plain file name, or the content isn't bytes.
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

    `return_files` are relative paths inside the run's directory, or patterns of them. `admin` lifts the import rules
    and allows processes. `value` asks for the value of the last statement, `locals` for those of the variables where
    the script failed.

    Raises:
        ValidationError: a field breaks a rule of the HTTP contract or is of another type; the error names the field.
    """

    code: str
    stdin: bytes | None = None
    attachments: tuple[Attachment, ...] = ()
    return_files: tuple[str, ...] = ()
    admin: bool = False
    value: bool = False
    locals: bool = True

    def __post_init__(self) -> None:
        rules.kind(self.code, str, "code")
        rules.characters(self.code, "code")
        if not self.code:
            raise ValidationError("'code' must have at least 1 character; it has 0.", "code")
        if self.stdin is not None:
            rules.kind(self.stdin, bytes, "stdin")
        rules.kind(self.attachments, tuple, "attachments")
        names: set[str] = set()
        for index, attachment in enumerate(self.attachments):
            where = f"attachments[{index}]"
            if not isinstance(attachment, Attachment):
                raise ValidationError(f"'{where}' must be an Attachment, not {type(attachment).__name__}.", where)
            rules.another(attachment.filename, names, where + ".filename")
            names.add(attachment.filename)
        rules.kind(self.return_files, tuple, "return_files")
        for index, name in enumerate(self.return_files):
            rules.kind(name, str, f"return_files[{index}]")
            rules.path(name, f"return_files[{index}]")
        for name in ("admin", "value", "locals"):
            rules.kind(getattr(self, name), bool, name)

    @property
    def modules(self) -> tuple[Attachment, ...]:
        """The attachments that the script may import."""
        return tuple(each for each in self.attachments if each.filename.endswith(".py"))

    @property
    def text(self) -> str:
        """Where to look for what a run will use: the script, and the beginning of each attached module."""
        modules = self.modules if self.attachments else ()
        begun = [each.content[:SEARCHED_BYTES].decode("utf-8", "replace") for each in modules]
        return "\n".join([self.code, *begun])


@dataclass(frozen=True)
class Budget:
    """What one run may use; the settings of the same names, with their defaults, are in `Config`."""

    wall_s: float
    memory_bytes: int
    processes: int
    threads: int
    output_bytes: int
    returned_file_bytes: int
    workdir_bytes: int
    workdir_files: int


@dataclass(frozen=True)
class OutputFile:
    """One entry of the answer's `output_files`: either `content` or `error` is set."""

    name: str
    content: bytes | None = None
    size_bytes: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class WrittenFile:
    """A regular file that a run created or changed, by its path in the run's directory, what isn't UTF-8 replaced."""

    path: str
    size_bytes: int


# How a run ended. With any verdict but ENDED the service ended it.
ENDED, TIMEOUT, RESOURCE, FORBIDDEN = "ended", "timeout", "resource", "forbidden"


@dataclass(frozen=True)
class Outcome:
    """The result of a run, judged from outside.

    `exit_code` is −9 when the service ended the run; a script that ended by itself in a full directory keeps its own.
    `stdout` and `stderr` each hold at most `output_bytes` of the budget. `resource` and `limit` are set for RESOURCE,
    `modules` for FORBIDDEN. `written` has at most 100 files; `written_truncated` says that there may be more. `error`
    and `value` are what the run itself says of how it failed and of the value of its last statement, in the shapes of
    `findings`; they are worth what the script is worth.
    """

    verdict: str
    exit_code: int
    duration_s: float
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    files: tuple[OutputFile, ...] = ()
    written: tuple[WrittenFile, ...] = ()
    written_truncated: bool = False
    modules: tuple[str, ...] = ()
    resource: str = ""
    limit: int = 0
    crowding_bytes: int = 0  # what it had taken of a disk that is nearly full, if it was ended for that
    error: Mapping[str, Any] | None = None
    value: Mapping[str, Any] | None = None
    picture_troubles: tuple[str, ...] = ()  # why pictures that the script showed were not written, as it says
    stages: tuple[tuple[str, float], ...] = ()  # where the time went: name, seconds


@dataclass(frozen=True)
class LayerStatus:
    """Whether a layer is on for the runs of this server; `detail` says how, or why it isn't."""

    name: str
    on: bool
    detail: str


@dataclass(frozen=True)
class DangerStatus:
    """A danger, the layers of this server that stop it, and what to do where none does."""

    name: str
    layers: tuple[str, ...]
    remedy: str


@dataclass(frozen=True)
class HostReport:
    """What the zygotes found out about this host; it comes as the dictionary of a message."""

    layers: tuple[LayerStatus, ...]
    dangers: tuple[DangerStatus, ...]
    namespaces: tuple[str, ...]
    own_uids: bool
    calls: Mapping[str, int]  # system calls allowed, by kind of run: "public", "admin"
    tmpfs_bytes: int  # the size of the tmpfs that --work-dir is on, where runs have their directories there
    python: str
    libraries: Mapping[str, str]  # those that are loaded ahead, with their versions
    missing: tuple[str, ...]
    counts_tasks: bool = True  # the kernel counts the processes and threads of each run alone
    own_stacks: bool = True  # a script is at the bottom of its stacks, without frames of ours below
    added: tuple[str, ...] = ()  # modules of the setting that are neither the standard library's nor LIBRARIES
    unknown: tuple[str, ...] = ()  # modules of the setting that nothing provides
    not_loaded: Mapping[str, str] = dataclasses.field(default_factory=dict)  # name → why it isn't loaded ahead

    @classmethod
    def of_message(cls, said: Mapping[str, Any]) -> HostReport:
        """Return the report that a zygote's READY carries. Raises KeyError, TypeError for one of another shape."""
        return cls(
            layers=tuple(LayerStatus(**row) for row in said["layers"]),
            dangers=tuple(DangerStatus(row["name"], tuple(row["layers"]), row["remedy"]) for row in said["dangers"]),
            namespaces=tuple(said["namespaces"]),
            own_uids=bool(said["own_uids"]),
            calls=dict(said["calls"]),
            tmpfs_bytes=int(said["tmpfs_bytes"]),
            python=str(said["python"]),
            libraries=dict(said.get("libraries", {})),
            missing=tuple(said.get("missing", ())),
            counts_tasks=bool(said["counts_tasks"]),
            own_stacks=bool(said["own_stacks"]),
            added=tuple(said.get("added", ())),
            unknown=tuple(said.get("unknown", ())),
        )

    @property
    def installed(self) -> tuple[str, ...]:
        """The libraries that scripts may import, of which not all that were added are loaded ahead."""
        return tuple(dict.fromkeys((*self.libraries, *self.added)))

    @property
    def own_tree(self) -> bool:
        """Whether each run sees a file tree made for it, its directory a tmpfs that vanishes with it."""
        return "mount" in self.namespaces

    @property
    def own_pids(self) -> bool:
        """Whether each run is a pid namespace: to end its first process is to end all of it."""
        return "pid" in self.namespaces

    @property
    def on(self) -> tuple[str, ...]:
        """The names of the layers that are on."""
        return tuple(status.name for status in self.layers if status.on)


def data_path(name: str) -> str:
    """Return where a run with a file tree of its own sees an operator's directory of this name."""
    return f"/data/{name}"


@dataclass(frozen=True)
class Host:
    """What this host offers, as determined by trial (`layers.probe`)."""

    uid: int
    gid: int
    own_uids: bool
    namespaces: tuple[str, ...]  # of "user", "pid", "mount", "network", "ipc", "uts"
    landlock_abi: int
    seccomp: bool
    refusals: dict[str, str]  # layer name → the kernel's error, for each missing layer
    counts_tasks: bool = True  # RLIMIT_NPROC counts one run's tasks alone, if its uid or user is its own
    tmpfs_bytes: int = 0  # the size of the tmpfs that runs' directories lie on; 0 for a disk, or where each has its own


@dataclass(frozen=True)
class Plan:
    """Everything that confines one child; made by the zygote before it forks."""

    host: Host
    admin: bool
    uid: int
    gid: int
    workdir: str
    read_paths: tuple[str, ...]
    execute_paths: tuple[str, ...]
    baseline_bytes: int  # address space of the zygote, which a child starts with
    parent_pid: int
    proc_fd: int  # directory descriptor of /proc, closed before the script runs
    budget: Budget
    mount_point: str = ""  # of the run's own tmpfs; empty where its directory lies on disk
    shared: tuple[str, ...] = ()  # of the namespaces, those that all children of the zygote have in common
