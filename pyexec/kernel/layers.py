"""The ordered table of layers, and the table of dangers with the layers that stop each one.

`probe` finds out what the host offers, by trying; a `Confinement` prepares every layer that the host has for the
children of a zygote; `uncovered` says which dangers would have no layer, and then the server must not start. Runs in
the nursery (`probe`) and in the zygotes; the children carry out the prepared calls. There is no "best effort" here: a
layer is on, or it is an error.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Callable, NamedTuple, Sequence

from pyexec.job import Host, LayerStatus, Plan
from pyexec.kernel import identity, landlock, libc, namespaces, rlimits, seccomp

# In this order: each step needs privileges, files or system calls that a later one takes away.
STEPS = ("namespaces", "identity", "rlimits", "landlock", "seccomp")


class Confinement:
    """The confinement of one zygote's children: inherited where possible, otherwise prepared once and applied by each.

    The zygote gives up, for itself and all its children, the privileges that it no longer needs. For everything else it
    encodes the arguments ahead, so that a child's part is a straight line of calls with known results. Each child still
    restricts itself, and every effect is checked, inherited ones included.
    """

    def __init__(self, plan: Plan, steps: Sequence[str] = STEPS) -> None:
        """Apply what children inherit, prepare the rest; `plan` stands for all children, whatever their slot or kind.

        Args:
            steps: a subset only in tests.

        Raises:
            OSError: a step was refused. RuntimeError: it had no effect.
        """
        self._steps = steps
        kinds = [dataclasses.replace(plan, admin=admin) for admin in (False, True)]
        if "identity" in steps:
            identity.inherit(plan)
        else:  # Landlock and seccomp require it
            libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        if "rlimits" in steps:
            rlimits.inherit(plan)
        self._rules: dict[bool, landlock.Rules] = {}
        if "landlock" in steps and plan.host.landlock_abi:
            self._rules = {kind.admin: landlock.Rules(kind) for kind in kinds}
        if "seccomp" in steps and plan.host.seccomp:
            for kind in kinds:
                seccomp.prepare(kind)

    def opening(self, plan: Plan) -> list[libc.Call]:
        """Return the calls of a child before it enters its directory: its namespaces and its identity."""
        found = namespaces.calls(plan) if "namespaces" in self._steps else []
        return found + (identity.calls(plan) if "identity" in self._steps else [])

    def closing(self, plan: Plan, directory_fd: int, closes: Sequence[libc.Call]) -> list[libc.Call]:
        """Return the calls of a child after that: its limits, and what it can reach.

        Args:
            directory_fd: the descriptor of its directory. closes: the calls that close every descriptor that it doesn't
                keep; after Landlock, which needs some of them, and before seccomp, which forbids the call.
        """
        found = rlimits.calls(plan) if "rlimits" in self._steps else []
        found += self._rules[plan.admin].calls(directory_fd) if self._rules else []
        found += closes
        return found + (seccomp.calls(plan) if "seccomp" in self._steps and plan.host.seccomp else [])


class Layer(NamedTuple):
    """A layer as reported: its name, whether a host has it, and what it does."""

    name: str
    on: Callable[[Host], bool]
    does: str


def _namespace(name: str) -> Callable[[Host], bool]:
    return lambda host: name in host.namespaces


LAYERS: tuple[Layer, ...] = (
    Layer("seccomp", lambda host: host.seccomp, "system calls: an allowlist"),
    Layer("landlock", lambda host: host.landlock_abi > 0, "only what is named"),
    Layer("mount_namespace", _namespace("mount"), "a minimal read-only file tree, a tmpfs as directory"),
    Layer("pid_namespace", _namespace("pid"), "no other process exists; all end together"),
    Layer("network_namespace", _namespace("network"), "no network device but a loopback that is down"),
    Layer("ipc_namespace", _namespace("ipc"), "no System V or POSIX message object of others"),
    Layer("user_namespace", _namespace("user"), "no privilege outside; processes counted by run"),
    Layer("own_uid", lambda host: host.own_uids, "a uid of its own for each slot"),
    Layer("no_capabilities", lambda host: True, "every capability dropped"),
    Layer("no_new_privs", lambda host: True, "no program gives privilege"),
    Layer("rlimits", lambda host: True, "memory, CPU, file size, descriptors"),
    Layer("own_session", lambda host: True, "its own session and process group, which it can't leave"),
    Layer("clean_environment", lambda host: True, "no variable, descriptor or memory of the server"),
    Layer("watch", lambda host: True, "the server ends a run that outgrows its directory, memory or processes"),
)


class Danger(NamedTuple):
    """Something that could go wrong, and the layers that each stop it on their own."""

    name: str
    stopped_by: tuple[str, ...]
    remedy: str


_NAMESPACES = (
    "or let the user make user namespaces"
    " (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)"
)

DANGERS: tuple[Danger, ...] = (
    Danger(
        "read or write the host's files",
        ("landlock", "mount_namespace"),
        "boot Linux 5.13 or newer with Landlock, " + _NAMESPACES,
    ),
    Danger("reach a network", ("seccomp", "network_namespace"), "allow seccomp filters, " + _NAMESPACES),
    Danger(
        "see, signal, trace or debug other processes",
        ("seccomp", "pid_namespace"),
        "allow seccomp filters, " + _NAMESPACES,
    ),
    Danger("start programs", ("seccomp", "landlock"), "allow seccomp filters or Landlock"),
    Danger(
        "outlive the run or bomb with processes", ("pid_namespace", "seccomp"), "allow seccomp filters, " + _NAMESPACES
    ),
    Danger("exhaust memory, CPU, disk or descriptors", ("rlimits",), "allow setrlimit"),
    Danger("attack the kernel", ("seccomp",), "use a kernel and a container profile that allow seccomp filters"),
    Danger("gain privilege", ("no_new_privs", "no_capabilities", "seccomp"), "use Linux 3.5 or newer"),
    Danger("learn secrets of the server", ("clean_environment",), "run this release unchanged"),
    Danger("meet another run", ("seccomp", "pid_namespace"), "allow seccomp filters, " + _NAMESPACES),
)
# A layer that only helps against a danger, without stopping it on its own, is not listed for that danger.


def probe(uid_base: int, proc_fd: int) -> Host:
    """Return what this host offers. Forks; call it from a single-threaded process before anything is loaded.

    Raises:
        OSError: pyexec doesn't know this machine's system calls.
    """
    libc.machine()
    uid, gid = os.geteuid(), os.getegid()
    refusals: dict[str, str] = {}
    spaces, refused = namespaces.probe(uid, gid, proc_fd)
    refusals.update({f"{name}_namespace": reason for name, reason in refused.items()})
    try:
        abi = landlock.probe()
    except OSError as error:
        abi = 0
        refusals["landlock"] = error.strerror or str(error)
    filters = seccomp.probe()
    if not filters:
        refusals["seccomp"] = "the kernel refuses seccomp filters"
    own_uids = identity.probe(uid_base)
    if not own_uids:
        refusals["own_uid"] = "the server isn't root, or lacks CAP_SETUID and CAP_SETGID"
    elif "user" not in spaces and spaces:
        refusals["user_namespace"] = "not needed: the server is root and gives each slot a uid"
    return Host(uid, gid, own_uids, spaces, abi, filters, refusals)


def report(host: Host) -> list[LayerStatus]:
    """Return every layer with its state on this host."""
    return [LayerStatus(layer.name, layer.on(host), _detail(layer, host)) for layer in LAYERS]


def _detail(layer: Layer, host: Host) -> str:
    if not layer.on(host):
        return host.refusals.get(layer.name, "not there")
    if layer.name == "landlock":
        return f"{landlock.restricted(host.landlock_abi)}: {layer.does} (ABI {host.landlock_abi})"
    return layer.does


def covered(host: Host) -> list[tuple[Danger, tuple[str, ...]]]:
    """Return each danger with the active layers that stop it; an empty tuple means that it is uncovered."""
    on = {status.name for status in report(host) if status.on}
    return [(danger, tuple(name for name in danger.stopped_by if name in on)) for danger in DANGERS]


def uncovered(host: Host) -> list[Danger]:
    """Return the dangers that no layer of this host stops."""
    return [danger for danger, layers in covered(host) if not layers]
