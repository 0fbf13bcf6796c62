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
from typing import Any, Iterator, NamedTuple, NoReturn

from pyexec import messages
from pyexec.child import compat, confine, frames, script
from pyexec.child import main as child
from pyexec.job import ZYGOTES, Budget, Host, Plan
from pyexec.kernel import layers, libc, namespaces, rlimits, tree
from pyexec.zygote import preload
from pyexec.zygote.loop import Loop, Prepared


class Nest(NamedTuple):
    """What the nursery passes to each zygote that it forks."""

    settings: dict[str, Any]  # the server's PLAN
    host: Host
    shared: tuple[str, ...]  # namespaces that the children of one zygote have in common
    proc_fd: int


@contextlib.contextmanager
def reporting_failures(control: socket.socket) -> Iterator[None]:
    """Report an OSError or RuntimeError to the server and exit."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = "{}: {}".format(getattr(error, "filename", None) or "start", getattr(error, "strerror", None) or error)
        messages.send(control, messages.READY, {"error": reason})
        os._exit(1)


def main(kind: str, control: socket.socket, nest: Nest) -> NoReturn:
    """Run a zygote of this kind."""
    control = socket.socket(fileno=libc.high(control.detach()))
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)  # not inherited across fork
    with reporting_failures(control):
        if "mount" in nest.host.namespaces:
            namespaces.own_mounts()
        (row,) = (row for row in ZYGOTES if row.name == kind)
        versions, missing = preload.libraries(row.libraries)
        # Before the first garbage collection: traversing everything that the libraries allocated takes 40 ms.
        gc.freeze()
        snippets = preload.rehearse(nest.settings["modules"])
        # A script that names a library imports it, and then its imports are checked as well; one that may be imported.
        allowed = nest.settings["modules"]
        loop = _settle(control, nest, f"import {allowed[0]}\n" if row.libraries and allowed else "pass\n", snippets)
    messages.send(control, messages.READY, {"libraries": versions, "missing": missing})
    try:
        loop.run()
    except Exception as error:  # noqa: BLE001
        loop.log(f"a zygote failed: {error!r}")
        os._exit(1)


def _settle(control: socket.socket, nest: Nest, first: str, snippets: list[str]) -> Loop:
    """Do what must follow loading. Raises OSError, RuntimeError."""
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
    mount_point = tree.build(reads + executes) if "mount" in host.namespaces else ""
    workdir = mount_point and os.path.join(mount_point, "work")
    plan = Plan(
        host,
        admin=False,
        uid=host.uid,
        gid=host.gid,
        workdir=workdir,
        read_paths=reads,
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
    script.open_streams()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # nothing can send one to us: we have our own session
    if workdir:
        os.environ.update(HOME=workdir, TMPDIR=workdir)
    kit = child.make_kit(nest.settings["modules"], reads, first, snippets, workdir)
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
