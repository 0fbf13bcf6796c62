"""Namespaces: what part of the machine exists for the zygotes and their children.

The nursery enters its own user (if not root), pid, mount and UTS namespaces once; each zygote adds those that its
children can share. Each child adds its own user, pid and mount namespaces, any that can't be shared, and a size-limited
tmpfs for its files; all of these vanish with it.

Source: namespaces(7), user_namespaces(7), ipc_namespaces(7).
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Callable, Sequence

from pyexec.job import Host, Plan
from pyexec.kernel import libc, tree
from pyexec.kernel.tree import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
FLAGS = {
    "user": CLONE_NEWUSER,
    "pid": CLONE_NEWPID,
    "mount": CLONE_NEWNS,
    "network": CLONE_NEWNET,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
}

_ABI_OF_ABSTRACT_SCOPE = 6
_IPC_LIMITS = (("shmmni", "0"), ("msgmni", "0"), ("sem", "0 0 0 0"))
_HOSTNAME = "pyexec"


def in_a_child(step: Callable[[], None]) -> str:
    """Run a step that can't be undone in a separate process; return "" or why it failed."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(receive)
            step()
            os._exit(0)
        except OSError as error:
            os.write(send, f"{error.filename or 'step'}: {error.strerror}".encode())
        finally:
            os._exit(1)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        reason = pipe.read().decode(errors="replace")
    failed = os.waitpid(pid, 0)[1] != 0
    return (reason or "the trial failed without an error message") if failed else ""


def probe(uid: int, gid: int, proc_fd: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the namespaces that work here, each tried for real, and the kernel's error for those that don't.

    A namespace counts only if what pyexec does inside it works too: nesting for "pid", a tmpfs for "mount".
    """
    privileged = os.geteuid() == 0 and in_a_child(lambda: _unshare(CLONE_NEWUTS)) == ""
    on: list[str] = []
    refusals: dict[str, str] = {}

    def attempt(name: str, step: Callable[[], None]) -> None:
        reason = in_a_child(step)
        if reason:
            refusals[name] = reason
        else:
            on.append(name)

    def enter(flags: int) -> None:
        _unshare(flags | (0 if privileged else CLONE_NEWUSER))
        if not privileged:
            map_ids(uid, gid, proc_fd)

    def mounts() -> None:
        enter(CLONE_NEWNS)
        tree.make_private()
        libc.mount("tmpfs", tree.STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "size=4096")
        tree.set_attributes(tree.STAGE, MS_RDONLY | MS_NOSUID | MS_NODEV)
        tree.pivot()

    def pids() -> None:
        enter(CLONE_NEWPID)

        # The zygote is the first process in its namespace and creates a nested one for each child.
        def there_and_back() -> None:
            gate = PidGate(proc_fd)
            gate.enter_for_next_fork()
            gate.leave()

        reason = in_a_child(there_and_back)
        if reason:
            raise OSError(errno.EPERM, reason, "nested pid namespace")

    def names() -> None:
        # A profile may allow the namespace but refuse this (podman's does, with every capability dropped).
        enter(CLONE_NEWUTS)
        socket.sethostname(_HOSTNAME)

    if not privileged:
        attempt("user", lambda: enter(0))
    if privileged or "user" in on:
        attempt("pid", pids)
        attempt("mount", mounts)
        attempt("uts", names)
        for name in ("network", "ipc"):
            attempt(name, lambda name=name: enter(FLAGS[name]))  # type: ignore[misc]
    else:
        refusals.update({name: refusals["user"] for name in FLAGS})
    return tuple(on), refusals


def _unshare(flags: int) -> None:
    libc.syscall("unshare", flags)


def map_ids(uid: int, gid: int, proc_fd: int) -> None:
    """Map this process's uid and gid to themselves in the user namespace just entered.

    Uses an open /proc, since the tree has none. "self" is resolved in the namespace that this /proc was mounted for.
    """
    for name, text in _maps(uid, gid):
        write_own(proc_fd, name, text)


def _maps(uid: int, gid: int) -> tuple[tuple[str, str], ...]:
    # setgroups first: an unprivileged process may write gid_map only once setgroups is denied (CVE-2014-8989).
    return ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")


def write_own(proc_fd: int, name: str, text: str) -> None:
    """Write to a file of this process in an open /proc. Raises OSError."""
    fd = os.open("self/" + name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def enter_nursery(host: Host, proc_fd: int) -> None:
    """Enter the nursery's namespaces; the process that the caller forks next is process 1 of the new pid namespace."""
    flags = 0
    for name in ("user", "pid", "mount", "uts"):
        flags |= FLAGS[name] if name in host.namespaces else 0
    if flags:
        _unshare(flags)
        if "user" in host.namespaces:
            map_ids(host.uid, host.gid, proc_fd)
    if "mount" in host.namespaces:
        tree.make_private()
    if "uts" in host.namespaces:
        socket.sethostname(_HOSTNAME)


def own_mounts() -> None:
    """Give this process its own copy of the mounts that it shares with its parent. Raises OSError."""
    _unshare(CLONE_NEWNS)


class PidGate:
    """Puts the next forked process into its own pid namespace, with two system calls instead of an extra fork.

    Trap: unless `leave` is called between, the next `enter_for_next_fork` fails with EINVAL (measured on Linux 6.18).
    """

    def __init__(self, proc_fd: int) -> None:
        """Open this process's own pid namespace. Raises OSError."""
        self._own = libc.high(os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd))
        # Both are called once per run, in a process that should touch few pages.
        self._enter = libc.system_call("gate", "unshare", CLONE_NEWPID)
        self._leave = libc.system_call("gate", "setns", self._own, CLONE_NEWPID)
        self._call, self._ways = self._enter.function, (self._enter.arguments, self._leave.arguments)

    def enter_for_next_fork(self) -> None:
        """Let the next fork's child be process 1 of a new pid namespace. Raises OSError."""
        if self._call(*self._ways[0]):
            libc.make(self._enter)  # fails again and raises the reason

    def leave(self) -> None:
        """Let the children of further forks be ordinary processes again. Raises OSError."""
        if self._call(*self._ways[1]):
            libc.make(self._leave)


def share(plan_shared: Sequence[str]) -> None:
    """Enter the namespaces that all children of this zygote share. Raises OSError."""
    flags = 0
    for name in plan_shared:
        flags |= FLAGS[name]
    if flags:
        _unshare(flags)


def shareable(host: Host, proc_fd: int) -> tuple[str, ...]:
    """Return which namespaces all children of a zygote can share without losing a layer; tries it in a child process.

    A network namespace per child is expensive (half a millisecond, and as much in kernel threads). One that is shared
    by all children, and by nothing else, isolates them from the host just as well. Two runs in it are kept apart by
    seccomp and by Landlock, which covers abstract sockets from ABI 6 on; below that each child has its own. In a shared
    IPC namespace the limits are 0, so no object can be created; where they can't be written each child has its own.
    """
    found = []
    if "network" in host.namespaces and host.landlock_abi >= _ABI_OF_ABSTRACT_SCOPE:
        found.append("network")
    if "ipc" in host.namespaces:

        def close() -> None:
            _unshare(FLAGS["ipc"])
            forbid_ipc(proc_fd)

        if not in_a_child(close):
            found.append("ipc")
    return tuple(found)


def forbid_ipc(proc_fd: int) -> None:
    """Forbid the creation of System V objects in this IPC namespace.

    Raises:
        OSError: the limits can't be written (in a user namespace before Linux 6.9), or did not change.
    """
    for name, value in _IPC_LIMITS:
        path = "sys/kernel/" + name
        for flags in (os.O_WRONLY, os.O_RDONLY):
            fd = os.open(path, flags | os.O_CLOEXEC, dir_fd=proc_fd)
            try:
                if flags == os.O_WRONLY:
                    os.write(fd, value.encode())
                elif os.read(fd, 100).split() != value.encode().split():
                    raise OSError(errno.EPERM, "the limit did not change", path)
            finally:
                os.close(fd)


def calls(plan: Plan) -> list[libc.Call]:
    """Return the calls by which a child enters its own namespaces and mounts its directory."""
    host, found = plan.host, []
    flags = 0
    for name in ("user", "mount", "network", "ipc"):
        flags |= FLAGS[name] if name in host.namespaces and name not in plan.shared else 0
    if flags:
        found.append(libc.system_call("namespaces", "unshare", flags))
    if "user" in host.namespaces:
        for file, text in _maps(host.uid, host.gid):
            found.append(libc.Call("namespaces", write_own, (plan.proc_fd, file, text), None))
    if plan.mount_point:
        # The root and the directories in it don't count as the script's.
        inodes = plan.budget.workdir_files + 1 + len(tree.DIRECTORIES)
        owner = f"uid={plan.uid},gid={plan.gid}"
        options = f"size={plan.budget.workdir_bytes},nr_inodes={inodes},mode=0700,{owner}"
        flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
        found.append(libc.mount_call("namespaces", "pyexec", plan.mount_point, "tmpfs", flags, options))
    return found
