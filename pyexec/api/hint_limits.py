"""Rules of `hints` about limits that a script meets from inside, and what its host or its caller's role leaves out.

Each looks at a `Scene` and returns its advice, or None where it doesn't apply; `hint_rules` has their order.
"""

from __future__ import annotations

from pyexec import units
from pyexec.api.hint_scene import TAIL, Scene
from pyexec.job import DESCRIPTORS

_TRY_AGAIN = "Resource temporarily unavailable"  # strerror(EAGAIN)
# What a run finds only in a tree of its own: places to write, and small files about itself.
_PLACES = ("/tmp/", "/mnt/data", "/dev/shm")
_FILES = ("/etc/passwd", "/etc/group", "/etc/hosts", "/proc/")
_NO_TREE = "this server can't give runs a file tree of their own (see its doctor command)"
_NO_PROCESSES = "Scripts can't start processes here; use ThreadPoolExecutor."
_STARTS_A_PROCESS = (b"fork_exec(", b"os.fork()", b"os.posix_spawn(")


def memory(scene: Scene) -> str | None:
    """Advise on a MemoryError."""
    if not scene.kind.endswith("MemoryError"):
        return None
    size = units.size(scene.config.budget.memory_bytes)
    return f"A run may use {size} of memory: work on smaller pieces, and delete what is no longer needed."


def full_directory(scene: Scene) -> str | None:
    """Advise on a full directory, and on a file that is too large."""
    budget = scene.config.budget
    if scene.kind != "OSError" or scene.errno not in (27, 28):
        return None
    if scene.errno == 27:
        return f"A file may have at most {units.size(budget.workdir_bytes)}."
    files = units.count(budget.workdir_files, "file")
    return f"A run's directory holds at most {units.size(budget.workdir_bytes)}, and {files}."


def descriptors(scene: Scene) -> str | None:
    """Advise on too many open files."""
    if scene.kind != "OSError" or scene.errno != 24:
        return None
    return f"A run may have {DESCRIPTORS} files open at once: close those that are no longer needed ('with open(…)')."


def threads(scene: Scene) -> str | None:
    """Advise on a thread that could not be started, by Python or by native code (OpenBLAS, OpenMP, Rust)."""
    of_python = scene.kind == "RuntimeError" and scene.message.startswith("can't start new thread")
    # Said by the exception itself, or by what ended without one: a library may warn of it and go on. What else answers
    # so, files that don't block and an admin's processes, has an exception of its own.
    said = scene.message if scene.kind else scene.outcome.stderr[-TAIL:].decode("utf-8", "replace")
    of_native_code = scene.kind != "BlockingIOError" and not scene.job.admin and _TRY_AGAIN in said
    if not of_python and not of_native_code:
        return None
    threads = units.count(scene.config.budget.threads, "thread")
    return f"A run may have {threads} beside its first: start fewer at once, for example by max_workers."


def processes(scene: Scene) -> str | None:
    """Advise an admin on a process too many."""
    if scene.kind != "BlockingIOError" or scene.errno != 11 or not scene.job.admin:
        return None
    return f"A run may have {units.count(scene.config.budget.processes, 'process', 'processes')} beside its first."


def no_processes(scene: Scene) -> str | None:
    """Advise on a process that a public script wanted to start, by whatever module."""
    refused = scene.kind == "PermissionError" and scene.errno == 1 and not scene.job.admin
    if not refused or not _ends_with(scene, _STARTS_A_PROCESS):
        return None
    if not scene.may_import("concurrent"):
        return "Scripts can't start processes here: do the work in the script itself."
    return _NO_PROCESSES


def no_tree(scene: Scene) -> str | None:
    """Advise on a file that a run has only in a tree of its own."""
    if scene.own_tree:
        return None
    if 'Cannot open file "/proc/' in scene.message:  # duckdb's own exception
        return f"The library reads /proc, which is closed to runs here: {_NO_TREE}."
    if scene.kind not in ("PermissionError", "FileNotFoundError") or scene.errno not in (2, 13):
        return None
    if scene.path.startswith(_PLACES):
        return f"{scene.path} isn't the run's: {_NO_TREE}. Use the current directory, or tempfile."
    return f"There is no {scene.path} in a run here: {_NO_TREE}." if scene.path.startswith(_FILES) else None


def no_entry(scene: Scene) -> str | None:
    """Advise on a user or group of a run that has no name."""
    missing = ("'getpwuid(): uid not found", "'getgrgid(): gid not found")
    if scene.own_tree or scene.kind != "KeyError" or not scene.message.startswith(missing):
        return None
    return f"There is no such entry: {_NO_TREE}. The environment has USER and HOME, which getpass and pathlib read."


def journal_modes(scene: Scene) -> str | None:
    """Advise on SQLite's journal modes that ask who holds a lock, which only a pid namespace of its own allows."""
    modes = ("wal", "persist")
    if scene.kind != "OperationalError" or scene.message != "disk I/O error":
        return None
    if scene.own_tree or not any(mode in scene.job.code.lower() for mode in modes):
        return None
    return f"SQLite's journal modes wal and persist don't work in a run here: {_NO_TREE}. Leave the mode as it is."


def no_semaphores(scene: Scene) -> str | None:
    """Advise on semaphores and shared memory, which lie in /dev/shm: only a run with a file tree has that."""
    if scene.kind not in ("PermissionError", "FileNotFoundError"):
        return None
    if _ends_with(scene, (b"_posixshmem.shm_open(",)):
        return f"Shared memory needs /dev/shm, which runs don't have here: {_NO_TREE}. Threads share their memory."
    if not _ends_with(scene, (b"SemLock(",)):
        return None
    if not scene.job.admin:
        return _NO_PROCESSES
    return (
        f"Pools of processes need /dev/shm, which runs don't have here: {_NO_TREE}."
        " Use ThreadPoolExecutor, or subprocess."
    )


def _ends_with(scene: Scene, calls: tuple[bytes, ...]) -> bool:
    """Return whether the last frame of the traceback that stderr ends with makes one of these calls."""
    last = scene.outcome.stderr[-TAIL:].rpartition(b'  File "')[2].splitlines()[1:2]
    return any(call in line for line in last for call in calls)
