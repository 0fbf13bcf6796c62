"""A run's identity: its own uid if the server is root, no capabilities, no new privileges, death with the parent.

Runs in the child after its namespaces and directory are set up, since those need the privileges dropped here.

Source: credentials(7), capabilities(7), prctl(2). Setting no_new_privs needs no privilege and can't be undone.
"""

from __future__ import annotations

import ctypes
import errno
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


def apply(plan: Plan) -> None:
    """Become the plan's uid, drop every capability for good, and die with the parent.

    Raises:
        OSError: a step was refused. RuntimeError: a step was accepted but did not take effect.
    """
    if capabilities()[0] >> _CAP_SETPCAP & 1:
        _empty_bounding_set()
    if plan.host.own_uids:
        os.setgroups([])
        os.setresgid(plan.gid, plan.gid, plan.gid)
        os.setresuid(plan.uid, plan.uid, plan.uid)
    libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_CLEAR_ALL)
    libc.syscall("capset", _Header(_CAPABILITY_VERSION_3, 0), (_Data * 2)())
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    # After the change of uid, which clears it.
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if "pid" not in plan.host.namespaces and os.getppid() != plan.parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)  # the parent ended before this, so its death signal was never sent
    # Processes of the same uid can't inspect this one, nor can it inspect others that have done the same (ptrace(2)).
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    if any(capabilities()):
        raise RuntimeError("some capabilities remain after dropping them all")
    if plan.host.own_uids and os.getresuid() != (plan.uid,) * 3:
        raise RuntimeError("the uid did not change")
    if libc.prctl(libc.PR_GET_NO_NEW_PRIVS) != 1:
        raise RuntimeError("no_new_privs did not take effect")


def _empty_bounding_set() -> None:
    for capability in range(64):
        try:
            libc.prctl(libc.PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL and capability > 0:  # past the kernel's last capability
                return
            raise
