"""A run's identity: its own uid if the server is root, no capabilities, no new privileges, death with the parent.

The zygote gives up for good what all children lack; each child does the rest once it has its namespaces, which require
the privileges dropped here.

Source: credentials(7), capabilities(7), prctl(2). Setting no_new_privs needs no privilege and can't be undone.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import signal

from pyexec.job import Plan
from pyexec.kernel import libc

_CAPABILITY_VERSION_3 = 0x20080522
_CAP_SETPCAP = 8


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Data(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def capabilities() -> list[int]:
    """Return the effective, permitted and inheritable sets of this thread as 64-bit masks."""
    data = (_Data * 2)()
    libc.syscall("capget", _Header(_CAPABILITY_VERSION_3, 0), data)
    return [getattr(data[0], name) | getattr(data[1], name) << 32 for name in ("effective", "permitted", "inheritable")]


def drop_capabilities() -> None:
    """Give up every capability of this thread. Raises OSError."""
    libc.syscall("capset", _Header(_CAPABILITY_VERSION_3, 0), (_Data * 2)())


def probe(uid: int) -> bool:
    """Return whether this process can become another uid and own files as that uid; tries it in a child."""
    if os.geteuid() != 0:
        return False
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def inherit(plan: Plan) -> None:
    """In the zygote, give up what no child needs: groups, the bounding and ambient sets, new privileges.

    All of this is irreversible and inherited across fork. What the zygote still needs is in its permitted set.

    Raises:
        OSError: a step was refused. RuntimeError: a step was accepted but did not take effect.
    """
    if plan.host.own_uids:
        os.setgroups([])
    libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_CLEAR_ALL)
    if capabilities()[0] >> _CAP_SETPCAP & 1:
        for capability in _known_capabilities():
            libc.prctl(libc.PR_CAPBSET_DROP, capability)
        if any(libc.prctl(libc.PR_CAPBSET_READ, capability) for capability in _known_capabilities()):
            raise RuntimeError("capabilities are left in the bounding set after dropping all of them")
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    if libc.prctl(libc.PR_GET_NO_NEW_PRIVS) != 1:
        raise RuntimeError("no_new_privs did not take effect")


def calls(plan: Plan) -> list[libc.Call]:
    """Return the calls by which a child becomes the plan's uid, drops every capability, and dies with its parent."""
    found: list[libc.Call] = []
    if "user" in plan.host.namespaces:
        # A new user namespace starts with every capability, in the bounding set too.
        found += [libc.prctl_call("identity", libc.PR_CAPBSET_DROP, number) for number in _known_capabilities()]
    if plan.host.own_uids:
        found.append(libc.Call("identity", os.setresgid, (plan.gid,) * 3, None))
        found.append(libc.Call("identity", os.setresuid, (plan.uid,) * 3, None))
    found.append(libc.system_call("identity", "capset", _Header(_CAPABILITY_VERSION_3, 0), (_Data * 2)()))
    # After the change of uid, which clears it.
    found.append(libc.prctl_call("identity", libc.PR_SET_PDEATHSIG, signal.SIGKILL))
    if "pid" not in plan.host.namespaces:
        found.append(libc.Call("identity", _end_with, (plan.parent_pid,), None))
    # Nobody of the same uid may look into this process, nor it into others that did the same (ptrace(2)).
    found.append(libc.prctl_call("identity", libc.PR_SET_DUMPABLE, int(_is_looked_into(plan))))
    left = (_Data * 2)()
    found.append(libc.system_call("identity", "capget", _Header(_CAPABILITY_VERSION_3, 0), left))
    found.append(libc.Call("identity", bytes, (left,), bytes(ctypes.sizeof(left))))
    if plan.host.own_uids:
        found.append(libc.Call("identity", os.getresuid, (), (plan.uid,) * 3))
    found.append(libc.prctl_call("identity", libc.PR_GET_NO_NEW_PRIVS, expected=1))
    return found


def _is_looked_into(plan: Plan) -> bool:
    """Return whether the server must look into a child: it may delete files that it holds, on a disk that it shares.

    No other run can: Landlock lets a process look only into those of its own domain, and each run has one of its own.
    A server that is root doesn't need it.
    """
    host = plan.host
    deletes = plan.admin or host.tmpfs_bytes > 0
    return deletes and "mount" not in host.namespaces and not host.own_uids and host.landlock_abi > 0


def _end_with(parent_pid: int) -> None:
    """End at once if the parent has ended before its death could be a signal to this process."""
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


@functools.lru_cache(maxsize=None)
def _known_capabilities() -> tuple[int, ...]:
    known = []
    for capability in range(64):
        try:
            libc.prctl(libc.PR_CAPBSET_READ, capability)
        except OSError as error:
            if error.errno == errno.EINVAL and capability > 0:  # past the kernel's last capability
                break
            raise
        known.append(capability)
    return tuple(known)
