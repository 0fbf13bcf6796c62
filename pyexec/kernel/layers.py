"""The ordered table of layers, and the table of dangers with the layers that stop each one.

`probe` finds out by trial what the host offers; `apply` applies every layer that the host has to a child, in order, and
any failure is fatal; `uncovered` returns the dangers that no layer would stop, in which case the server must not start.
`probe` runs in the first zygote and `apply` in the child. Nothing is "best effort": a layer is either on or an error.
"""

from __future__ import annotations

import os
from typing import Callable, NamedTuple, Sequence

from pyexec.errors import LayerError
from pyexec.job import Host, LayerStatus, Plan
from pyexec.kernel import identity, landlock, libc, namespaces, rlimits, seccomp


class Step(NamedTuple):
    """One call that applies the layers of one module."""

    module: str
    needed: Callable[[Host], bool]
    apply: Callable[[Plan], None]


# The order matters: each step needs rights, files or calls that a later one takes away. Between the two tables the
# child enters its directory and passes a descriptor for it to the server.
OPENING: tuple[Step, ...] = (Step("namespaces", lambda host: bool(host.namespaces), namespaces.apply),)
CLOSING: tuple[Step, ...] = (
    Step("identity", lambda host: True, identity.apply),
    Step("rlimits", lambda host: True, rlimits.apply),
    Step("landlock", lambda host: host.landlock_abi > 0, landlock.apply),
    Step("seccomp", lambda host: host.seccomp, seccomp.apply),
)


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


def prepare(plan: Plan) -> None:
    """Do the work that is the same for every child of this kind once, before forking. Runs in the zygote."""
    if plan.host.seccomp:
        seccomp.prepare(plan)


def apply(steps: Sequence[Step], plan: Plan) -> None:
    """Apply the steps that the host supports, in order.

    Raises:
        LayerError: a step failed; whatever the cause, the caller must end this process.
    """
    for step in steps:
        if step.needed(plan.host):
            try:
                step.apply(plan)
            except (OSError, RuntimeError, ValueError) as error:
                raise LayerError(step.module, str(error)) from error
