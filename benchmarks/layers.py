"""What each layer costs alone: a small warm interpreter forks; the child applies the chosen layers and exits.

A program of its own, `python -m benchmarks.layers ROUNDS`, which prints JSON: for each choice the microseconds from
fork to reaped, and those in the child's own calls. Run as root, or as a user who may make user namespaces.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
import struct
import sys
import time

from pyexec.config import Config
from pyexec.job import Host, Plan
from pyexec.kernel import layers, libc, namespaces, tree
from pyexec.zygote import preload

UID_BASE = 64800
_WARM_UP = 5


class Choice:
    """A choice of layers, and how a child applies them."""

    def __init__(self, plan: Plan, own: tuple[str, ...] = (), modules: tuple[str, ...] = (), pid: bool = False) -> None:
        """Choose.

        Args:
            own: the child's own namespaces. modules: of `pyexec.kernel`, whose step is taken. pid: a pid namespace.
        """
        kept = tuple(name for name in plan.host.namespaces if name in own)
        mount_point = plan.mount_point if "mount" in kept else ""
        host = dataclasses.replace(plan.host, namespaces=kept)
        self.plan = dataclasses.replace(plan, host=host, mount_point=mount_point)
        self.modules, self.pid = modules, pid
        self.calls: tuple[libc.Call, ...] = ()

    def prepare(self) -> None:
        """Make the calls ready, as a zygote does before it forks."""
        confinement = layers.Confinement(self.plan, self.modules)
        self.calls = tuple(confinement.opening(self.plan) + confinement.closing(self.plan, self.plan.proc_fd, ()))


def _choices(plan: Plan) -> dict[str, Choice]:
    host = plan.host
    found = {"fork and exit": Choice(plan)}
    if "pid" in host.namespaces:
        found["pid_namespace"] = Choice(plan, pid=True)
    # Without root every other namespace needs a user namespace around it, and is measured with it.
    user = ("user",) if "user" in host.namespaces else ()
    if user:
        found["user_namespace"] = Choice(plan, user, ("namespaces",))
    for name in ("mount", "network", "ipc"):
        if name in host.namespaces:
            found[name + "_namespace"] = Choice(plan, user + (name,), ("namespaces",))
    found["own_uid, no_capabilities"] = Choice(plan, modules=("identity",))
    found["rlimits"] = Choice(plan, modules=("rlimits",))
    if host.landlock_abi:
        found["landlock"] = Choice(plan, modules=("landlock",))
    if host.seccomp:
        found["seccomp"] = Choice(plan, modules=("seccomp",))
    found["all layers"] = Choice(plan, host.namespaces, layers.STEPS, "pid" in host.namespaces)
    return found


def _once(choice: Choice, gate: namespaces.PidGate | None, shared: mmap.mmap) -> tuple[float, float]:
    start = time.perf_counter()
    if choice.pid and gate is not None:
        gate.enter_for_next_fork()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            begun = time.perf_counter()
            libc.carry_out(choice.calls)
            shared[:8] = struct.pack("d", time.perf_counter() - begun)
            status = 0
        finally:
            os._exit(status)
    if choice.pid and gate is not None:
        gate.leave()
    ended = os.waitpid(pid, 0)[1]
    taken = time.perf_counter() - start
    if ended:
        raise RuntimeError(f"a layer failed, status {ended}")
    return taken, struct.unpack("d", shared[:8])[0]


def _prepared() -> tuple[Plan, namespaces.PidGate | None]:
    """Do what the zygote does before it forks, without the libraries; returns in the process that then forks."""
    proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    host: Host = layers.probe(UID_BASE, proc_fd, "/")
    namespaces.enter_nursery(host, proc_fd)
    gate = None
    if "pid" in host.namespaces:
        pid = os.fork()
        if pid:
            os._exit(os.waitpid(pid, 0)[1] and 1)
        gate = namespaces.PidGate(proc_fd)
    reads, executes = preload.read_paths(), preload.execute_paths()
    workdir = os.getcwd()
    mount_point = tree.build(reads + executes) if "mount" in host.namespaces else ""
    uid, gid = (UID_BASE, UID_BASE) if host.own_uids else (host.uid, host.gid)
    budget, own_pid = Config.of().budget, os.getpid()
    plan = Plan(host, False, uid, gid, workdir, reads, executes, 1 << 31, own_pid, proc_fd, budget, mount_point)
    return plan, gate


def main() -> None:
    """Measure, one of each in turn, and print the microseconds."""
    plan, gate = _prepared()
    choices, shared = _choices(plan), mmap.mmap(-1, 8)
    for choice in choices.values():
        choice.prepare()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in choices}
    for number in range(int(sys.argv[1]) + _WARM_UP):
        for name, choice in choices.items():
            one = _once(choice, gate, shared)
            if number >= _WARM_UP:
                taken[name].append(one)
    middle = len(taken["fork and exit"]) // 2
    medians = {name: [1e6 * sorted(one[place] for one in taken[name])[middle] for place in (0, 1)] for name in taken}
    print(json.dumps(medians), flush=True)


if __name__ == "__main__":
    main()
