"""Namespaces: which parts of the machine are visible to the zygotes and their children.

The first zygote enters its own user (if not root), pid, mount and UTS namespaces once and leaves the host's file tree
for a read-only one that holds the interpreter, its libraries and little else. Each child adds its own user, pid,
mount, IPC and network namespaces, and a size-limited tmpfs as its directory; both vanish with it.

Source: namespaces(7), user_namespaces(7), pivot_root(2), mount_setattr(2).
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Callable

from pyexec.job import Host, Plan
from pyexec.kernel import libc, tree

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
        libc.mount("tmpfs", tree.STAGE, "tmpfs", tree.MS_NOSUID | tree.MS_NODEV, "size=4096")
        tree.set_attributes(tree.STAGE, tree.MS_RDONLY | tree.MS_NOSUID | tree.MS_NODEV)
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
    # setgroups first: an unprivileged process may write gid_map only once setgroups is denied (CVE-2014-8989).
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        write_own(proc_fd, name, text)


def write_own(proc_fd: int, name: str, text: str) -> None:
    """Write to a file of this process in an open /proc. Raises OSError."""
    fd = os.open("self/" + name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def enter_template(host: Host, proc_fd: int) -> None:
    """Enter the zygote's own namespaces; the caller then forks, and the child is pid 1 of the new pid namespace."""
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
        """Remember this process's own pid namespace. Raises OSError."""
        self._own = os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)

    def enter_for_next_fork(self) -> None:
        """Make the next fork's child pid 1 of a new namespace. Raises OSError."""
        _unshare(CLONE_NEWPID)

    def leave(self) -> None:
        """Make further forks' children ordinary again. Raises OSError."""
        libc.syscall("setns", self._own, CLONE_NEWPID)

    def close(self) -> None:
        """Close the descriptor; for the child."""
        os.close(self._own)


def apply(plan: Plan) -> None:
    """Enter the child's own namespaces and mount its directory.

    Raises:
        OSError: a namespace, a mapping or the mount was refused.
    """
    flags = 0
    for name in ("user", "mount", "network", "ipc"):
        flags |= FLAGS[name] if name in plan.host.namespaces else 0
    if flags:
        _unshare(flags)
    if "user" in plan.host.namespaces:
        map_ids(plan.host.uid, plan.host.gid, plan.proc_fd)
    if "mount" in plan.host.namespaces:
        budget = plan.budget
        # One extra inode, for the root of the tmpfs.
        size = f"size={budget.workdir_bytes},nr_inodes={budget.workdir_files + 1}"
        options = f"{size},mode=0700,uid={plan.uid},gid={plan.gid}"
        libc.mount("pyexec", plan.workdir, "tmpfs", tree.MS_NOSUID | tree.MS_NODEV | tree.MS_NOEXEC, options)
