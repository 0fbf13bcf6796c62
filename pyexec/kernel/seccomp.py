"""The system call filter: put together from `policy` in the zygote, put on by each child as its last layer.

A call that `policy` doesn't name fails with EPERM. One made through another architecture's entry ends the process: its
numbers mean other calls. x32 calls come through the same entry with bit 30 set, and so match no rule. Decides nothing
itself, and never looks behind a pointer: what is there can change after the filter has seen it.

Source: seccomp(2), seccomp_filter.rst.
"""

from __future__ import annotations

import ctypes
import errno
import functools

from pyexec.job import Plan
from pyexec.kernel import bpf, libc, policy
from pyexec.kernel.policy import Contained

SECCOMP_SET_MODE_FILTER = 1
SECCOMP_GET_ACTION_AVAIL = 2


def allowed(admin: bool, contained: Contained, machine: str) -> dict[str, tuple[bpf.Check, ...]]:
    """Return call name → checks, for the calls that exist on this machine."""
    entries = [entry for group in policy.groups(admin, contained) for entry in group.calls]
    return {name: checks for name, checks in entries if libc.number(name, machine) is not None}


def program(admin: bool, contained: Contained, machine: str | None = None) -> list[bpf.Instruction]:
    """Return the assembled filter. Pure for a given machine (default: this one)."""
    machine = machine or libc.machine()
    calls = allowed(admin, contained, machine)
    rules = []
    for name, checks in calls.items():
        others = tuple((check, bpf.errno_action(number)) for check, number in policy.EXCUSES.get(name, ()))
        rules.append(bpf.Rule(libc.number(name, machine), checks, bpf.RET_ALLOW, others))  # type: ignore[arg-type]
    for name, number in policy.answered(admin, contained).items():
        nr = libc.number(name, machine)
        if nr is not None and name not in calls:
            rules.append(bpf.Rule(nr, (), bpf.errno_action(number) if number else bpf.RET_SUCCESS))
    return bpf.assemble(bpf.AUDIT_ARCH[machine], rules, bpf.errno_action(errno.EPERM))


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def probe() -> bool:
    """Return whether this kernel takes filters that can end a process (Linux 4.14)."""
    action = ctypes.c_uint32(bpf.RET_KILL_PROCESS)
    try:
        libc.syscall("seccomp", SECCOMP_GET_ACTION_AVAIL, 0, action)
    except OSError:
        return False
    return True


def calls(plan: Plan) -> list[libc.Call]:
    """Return the call that puts the plan's filter on a process, for good. Needs no_new_privs."""
    return [libc.system_call("seccomp", "seccomp", SECCOMP_SET_MODE_FILTER, 0, _program(prepare(plan)))]


def load(code: bytes) -> None:
    """Put a filter, as made by `bpf.encode`, on this thread, for good. Needs no_new_privs.

    Raises:
        OSError: the kernel refused it.
    """
    libc.syscall("seccomp", SECCOMP_SET_MODE_FILTER, 0, _program(code))


def _program(code: bytes) -> _Program:
    buffer = ctypes.create_string_buffer(code, len(code))
    found = _Program(len(code) // bpf.INSTRUCTION_BYTES, ctypes.addressof(buffer))
    found.kept = buffer  # only its address stands in it
    return found


@functools.lru_cache(maxsize=None)
def _encoded(admin: bool, contained: Contained) -> bytes:
    return bpf.encode(program(admin, contained))


def prepare(plan: Plan) -> bytes:
    """Return the plan's filter; called in the zygote, so that no child has to put it together."""
    return _encoded(plan.admin, policy.contained(plan.host))
