"""One zygote, from the fork in the nursery to its loop: load, warm up, leave the host's tree, prepare, freeze.

Whatever can be done before a child is forked is done here, once: what is expensive for the zygote is free for its
children. It enters the namespaces that its children share, and gives up for good the privileges that none of them
needs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import os
import signal
import socket
from typing import Any, Callable, Iterator, NamedTuple, NoReturn, Sequence

from pyexec import messages
from pyexec.child import (
    compat,
    confine,
    frames,
    last_moment,
    libraries,
    metadata,
    script,
    show,
    sqlite_files,
    streams,
    tracebacks,
)
from pyexec.child import main as child
from pyexec.child.libraries import ExitHandler
from pyexec.job import ADDED, ZYGOTES, Budget, Host, Plan, data_path
from pyexec.kernel import identity, layers, libc, namespaces, policy, rlimits, tree, tree_files
from pyexec.zygote import added, cache_directory, fork_hooks, low_priority, parts, preload
from pyexec.zygote.added import Loaded
from pyexec.zygote.loop import Loop, Prepared


class Nest(NamedTuple):
    """What the nursery passes to each zygote that it forks."""

    settings: dict[str, Any]  # the server's PLAN
    host: Host
    shared: tuple[str, ...]  # namespaces that the children of one zygote have in common
    proc_fd: int
    heavy: tuple[str, ...]  # of the standard library, what is loaded beside libraries only
    added: tuple[str, ...]  # what the operator added to the modules of scripts


@contextlib.contextmanager
def reporting_failures(control: socket.socket) -> Iterator[None]:
    """Report an OSError or RuntimeError to the server and exit."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = "{}: {}".format(getattr(error, "filename", None) or "start", getattr(error, "strerror", None) or error)
        messages.send(control, messages.READY, {"error": reason})
        os._exit(1)


def main(kind: str, without: Sequence[str], gently: bool, control: socket.socket, nest: Nest) -> NoReturn:
    """Be the zygote of this kind.

    Args:
        without: names that the operator added and that an earlier zygote of this kind could not load. gently: load at
            the lowest priority, where that can be undone.
    """
    control = socket.socket(fileno=libc.high(control.detach()))
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)  # not inherited across fork
    with reporting_failures(control), low_priority.at_low_priority(gently and nest.settings["gently"]):
        if "mount" in nest.host.namespaces:
            namespaces.own_mounts()
        (row,) = (row for row in ZYGOTES if row.name == kind)
        # Before SQLite is loaded. With a tree it finds /tmp.
        tell_sqlite = None if "mount" in nest.host.namespaces else sqlite_files.take_variable()
        preload.standard_library(nest.heavy if row.libraries else ())
        versions, missing = preload.libraries(row.libraries)
        loaded = _load_added(control, nest, without) if kind == ADDED else Loaded((), {}, ())
        show.install()
        # Before anything collects garbage: a look at all that the libraries have made takes 40 ms.
        gc.freeze()
        snippets = preload.rehearse(nest.settings["modules"])
        # A script that names a library imports it, and then its source is looked at as well.
        allowed = nest.settings["modules"]
        first = f"import {allowed[0]}\n" if row.libraries and allowed else "pass\n"
        loop = _settle(control, nest, first, snippets, tell_sqlite, loaded.handlers)
    versions.update(preload.versions_of(loaded.names))
    messages.send(control, messages.READY, {"libraries": versions, "missing": missing, "not_loaded": loaded.failed})
    try:
        loop.run()
    except Exception as error:  # noqa: BLE001
        loop.log(f"a zygote failed: {error!r}")
        os._exit(1)


def _load_added(control: socket.socket, nest: Nest, without: Sequence[str]) -> Loaded:
    """Load what the operator added, as far as it can be. Ends this process if it must not fork runs any more."""
    os.setsid()
    os.dup2(2, 1)  # what a library prints at its import belongs into the log
    names = parts.in_order(nest.added, nest.settings["preload"])
    with cache_directory.of_an_import(nest.settings["work_dir"]):
        try:
            return added.load(
                [name for name in names if not any(name == other or name.startswith(other + ".") for other in without)],
                lambda name: messages.send(control, messages.LOADING, {"name": name}),
                nest.proc_fd,
            )
        except added.Offence as offence:
            said = {"offence": {"name": offence.name, "reason": offence.reason}}
    messages.send(control, messages.READY, said)
    os._exit(1)  # only now that its directory is gone


def _settle(
    control: socket.socket,
    nest: Nest,
    first: str,
    snippets: list[str],
    tell_sqlite: Callable[[str], None] | None,
    handlers: Sequence[ExitHandler],
) -> Loop:
    """Do what must come after loading. Raises OSError, RuntimeError."""
    host, proc_fd = nest.host, nest.proc_fd
    with open(os.open("self/statm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)) as file:
        baseline_bytes = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    flags = os.O_WRONLY | os.O_CLOEXEC
    badness_fd = libc.high(os.open("self/oom_score_adj", flags, dir_fd=proc_fd))
    gate = namespaces.PidGate(proc_fd) if "pid" in host.namespaces else None
    reads, executes = preload.read_paths(), preload.execute_paths()
    _check_reach(nest)
    namespaces.share(nest.shared)
    if "ipc" in nest.shared:
        namespaces.forbid_ipc(proc_fd)
    data = [(name, path) for name, path in nest.settings["data"]]
    _check_data(nest, data)
    mount_point, files = _tree(nest, reads + executes, data) if "mount" in host.namespaces else ("", ())
    seen_as = {name: data_path(name) if mount_point else path for name, path in data}
    workdir = mount_point and os.path.join(mount_point, "work")
    plan = Plan(
        host,
        admin=False,
        uid=host.uid,
        gid=host.gid,
        workdir=workdir,
        read_paths=(*reads, *files, *seen_as.values()),
        execute_paths=executes,
        baseline_bytes=baseline_bytes,
        parent_pid=os.getpid(),
        proc_fd=proc_fd,
        budget=Budget(**nest.settings["budget"]),
        mount_point=mount_point,
        shared=nest.shared,
    )
    os.umask(0o022)
    log_fd = libc.high(os.dup(2))
    confinement = layers.Confinement(plan)
    _take_low_numbers()
    frames.conceal(script.run)
    compat.install()
    streams.open_all()
    libraries.quieten_logging()
    tracebacks.learn_directories()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # nothing can send one to us: we have our own session
    os.environ.update({f"PYEXEC_DATA_{name}": path for name, path in seen_as.items()})
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # for what an admin's script starts; `compat` sees to the script itself
    if mount_point:
        os.environ.update(child.own_places(mount_point))
        show.begin(workdir)
    contained = policy.contained(host)
    if not contained.metadata:
        metadata.install()
    if not contained.processes:
        sqlite_files.prefer_other_shelves()
    hooks = fork_hooks.withhold()
    deletes = contained.deletion
    kit = child.make_kit(
        nest.settings["modules"], reads, first, snippets, workdir, deletes, tell_sqlite, handlers, hooks
    )
    last_moment.install(streams.flush, kit.witness)
    uid_base = nest.settings["uid_base"]

    def prepare(order: messages.Order) -> Prepared:
        uid = uid_base + order.slot if host.own_uids else host.uid
        gid = uid if host.own_uids else host.gid
        where = workdir or os.path.join(order.path, "work")
        child_plan = dataclasses.replace(plan, admin=order.admin, uid=uid, gid=gid, workdir=where)
        return Prepared(order, confine.prepare(confinement, child_plan), rlimits.cpu_s(child_plan))

    def log(text: str) -> None:
        # If possible: a full disk must not break the runs in progress.
        with contextlib.suppress(OSError):
            os.write(log_fd, (f"pyexec: {text}\n").encode("utf-8", "backslashreplace"))

    loop = Loop(control, prepare, kit, gate, badness_fd, log)
    gc.enable()
    gc.collect()
    gc.freeze()
    return loop


def _tree(nest: Nest, paths: tuple[str, ...], data: Sequence[tuple[str, str]]) -> tuple[str, tuple[str, ...]]:
    """Leave the host's tree; return the mount point of runs, and the small files that they may read. Raises OSError."""
    host, settings = nest.host, nest.settings
    first, count = (settings["uid_base"], settings["slots"]) if host.own_uids else (host.uid, 1)
    uids = range(first, first + count)
    gids = uids if host.own_uids else [host.gid]
    memory_bytes, processors = settings["budget"]["memory_bytes"], os.cpu_count() or 1
    names: list[str] = []

    def files(mount_point: str) -> dict[str, bytes]:
        made = tree_files.contents(uids, gids, mount_point + "/home", memory_bytes, processors)
        names.extend(made)
        return made

    return tree.build(paths, files, data), tuple(names)


def _take_low_numbers() -> None:
    """Occupy all descriptors below RESERVED; 0 to 2 with memory files like those of a run, to open the streams on."""
    for number in range(3):
        fd = libc.high(os.memfd_create("stream", os.MFD_CLOEXEC))
        os.dup2(fd, number)
        os.close(fd)
    while True:
        fd = os.dup(0)
        if fd >= confine.RESERVED:
            return os.close(fd)


def _check_data(nest: Nest, data: Sequence[tuple[str, str]]) -> None:
    """Check that runs may read an operator's directories. Raises OSError: they may not; says what to do."""
    uid = nest.settings["uid_base"] if nest.host.own_uids else nest.host.uid
    for _, path in data:

        def look(path: str = path) -> None:
            if nest.host.own_uids:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            identity.drop_capabilities()  # in a user namespace they read what the user's runs can't
            os.listdir(path)

        reason = namespaces.in_a_child(look)
        if reason:
            advice = f"runs have uid {uid} and can't read this data directory; make it and what is above it readable"
            raise OSError(errno.EACCES, f"{advice} ({reason})", path)


def _check_reach(nest: Nest) -> None:
    """Check that runs with their own uid can reach installed code and work_dir if they see the host's file tree.

    Raises:
        OSError: they can't; the message says what to do.
    """
    if not nest.host.own_uids or "mount" in nest.host.namespaces:
        return
    uid, paths = nest.settings["uid_base"], preload.installed_code()

    def look() -> None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        for path in paths:
            os.listdir(path)
        os.chdir(nest.settings["work_dir"])

    reason = namespaces.in_a_child(look)
    if reason:
        advice = "put Python, its packages and work_dir where every user has access, or don't start pyexec as root"
        raise OSError(errno.EACCES, f"runs have uid {uid} and can't access it; {advice}", reason)
