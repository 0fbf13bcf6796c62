"""What a request costs, counted where it does not depend on how fast the machine is: by strace, on a running server.

A change that makes it worse must raise the budget here, and say why; one that makes it clearly better must lower it,
so that the gain can't be lost again unseen. Counted is everything from one quiet moment to another: the children made
meanwhile are as many as those used up. As root, on a host with every layer of `.ci/run`.
"""

from __future__ import annotations

import time
from typing import Iterator, List, NamedTuple, Optional

import pytest
from tracing import Trace, calls

from benchmarks import jobs, load, targets
from benchmarks.processes import settled_tree
from pyexec.client import Client

REQUESTS = 40
PAUSE_S = 0.05
JOBS = {job.name: job for job in jobs.make()}
# How the network cuts a large body into pieces is chance; what is done for each piece is not counted for those jobs.
PIECEMEAL = {b"recvfrom", b"recvmsg", b"poll", b"ppoll", b"ioctl", b"sendto", b"sendmsg", b"select", b"pselect6"}
# A run that takes longer than 50 ms, as these may under strace, is looked at by the watch; how often is chance, too.
LOOKS = {b"openat", b"read", b"lseek", b"close", b"newfstatat", b"getdents64"}


class Budget(NamedTuple):
    """Of one request: system calls by kind of process (futex left out), threads started, bytes copied."""

    server: float
    zygote: float
    child: float
    threads: float
    # By read and write calls and their like, of all processes, for each byte of the larger body. Of these the script
    # itself reads or writes 0.75, since Base64 makes four bytes of three.
    copied: Optional[float] = None
    forks: float = 1


# As counted on Debian 12, Linux 6.18, CPython 3.11. Of the server's calls, 18 map and unmap the pieces of a large body,
# so that they leave no holes; 11 list what a run has written, within a bound; 4 look whether its caller is still there.
BUDGETS = {
    ("print", "new"): Budget(server=85, zygote=17, child=89, threads=0),
    ("print", "kept"): Budget(server=79, zygote=17, child=89, threads=0),
    ("numpy", "new"): Budget(server=86, zygote=19, child=100, threads=0),
    ("numpy", "kept"): Budget(server=79, zygote=19, child=100, threads=0),
    ("8mb-in", "new"): Budget(server=53, zygote=16, child=90, threads=0, copied=2.5),
    ("8mb-in", "kept"): Budget(server=49, zygote=16, child=90, threads=0, copied=2.5),
    ("8mb-out", "new"): Budget(server=34, zygote=16, child=86, threads=0, copied=2.5),
    ("8mb-out", "kept"): Budget(server=29, zygote=16, child=86, threads=0, copied=2.5),
}


@pytest.fixture(scope="module")
def target() -> Iterator[targets.Target]:
    running = targets.start_pyexec()
    yield running
    running.stop()


def _within(what: str, measured: float, budget: float, chance: float, details: str = "") -> Optional[str]:
    if measured > budget + chance:
        return "%s: %.2f is over the budget of %g. %s" % (what, measured, budget, details)
    if measured < budget * 0.85 - chance:
        return "%s: %.2f is far below the budget of %g: lower it. %s" % (what, measured, budget, details)
    return None


@pytest.mark.parametrize("name,connection", sorted(BUDGETS))
def test_request_stays_within_its_budget(target: targets.Target, name: str, connection: str) -> None:
    for _ in range(3):  # on a busy machine the watch has a look at runs that are over before it, as a rule
        wrong = _wrong(target, name, connection)
        if not any(wrong):
            break
    assert not any(wrong), "\n".join(filter(None, wrong))


def _wrong(target: targets.Target, name: str, connection: str) -> List[Optional[str]]:
    """Return what is over the budget of a kind of request, or far below it."""
    budget, job = BUDGETS[name, connection], JOBS[name]
    caller = load.Caller(target, job, kept=connection == "kept")
    for _ in range(5):
        caller.ask()
    trace = Trace(target.process.pid)
    for _ in range(REQUESTS):
        time.sleep(PAUSE_S)
        caller.ask()
    counted = trace.stop()
    caller.close()

    def each(value: float) -> float:
        return value / REQUESTS

    def total(what: bytes) -> float:
        return each(sum(names[what] for names in counted.values()))

    left_out = PIECEMEAL if budget.copied is not None else set()
    wrong = []
    for kind in ("server", "zygote", "child"):
        names = counted[kind]
        few = sum(names[call] for call in (left_out | LOOKS if left_out and kind == "server" else left_out))
        details = ", ".join("%s %.4g" % (call.decode(), each(count)) for call, count in names.most_common())
        measured = each(calls(names) - few)
        print("%s, %s: %s %.2f" % (name, connection, kind, measured))
        wrong.append(_within("calls of the " + kind, measured, getattr(budget, kind), 2, details))
    wrong.append(_within("forks", total(b"forks"), budget.forks, 0.1))
    wrong.append(_within("threads started", total(b"threads"), budget.threads, 0.1))
    if budget.copied is not None:
        size = 8 * jobs.MIB * 4 / 3
        wrong.append(_within("bytes copied", total(b"copied") / size, budget.copied, 0.02))
    return wrong


def test_every_layer_is_on_while_counted(target: targets.Target) -> None:
    """Fewer layers would be fewer calls. Under strace one that fails ends its child: no answer came without them."""
    layers = Client("http://127.0.0.1:%d" % target.port).health()["layers"]
    assert {"seccomp", "landlock", "mount_namespace", "pid_namespace", "network_namespace", "ipc_namespace"} <= set(
        layers
    )


RUNS = 300
# A page that a fork shares is copied when it is first written: what Python costs in a process that has just been forked.
FAULTS_OF_A_CHILD, FAULTS_OF_ITS_ZYGOTE = 620, 100


def test_page_faults_of_a_run_stay_within_their_budget() -> None:
    """In a child from the fork to its death, and in its zygote for the fork, the word of the death and the reaping."""
    running = targets.start_pyexec()
    try:
        job = JOBS["print"]
        load.repeat(running, job, 2, RUNS)  # every slot has had a child by then
        zygotes = [pid for pid in settled_tree(running.process.pid)[1:] if _faults(pid)[1]]
        before = [_faults(pid) for pid in zygotes]
        load.repeat(running, job, 2, RUNS)
        settled_tree(running.process.pid)
        after = [_faults(pid) for pid in zygotes]
        own, children = (sum(b[n] - a[n] for a, b in zip(before, after)) / RUNS for n in (0, 1))
        print(f"page faults of a child {children:.0f}, of its zygote {own:.0f}")
        assert 0.5 * FAULTS_OF_A_CHILD < children <= FAULTS_OF_A_CHILD
        assert 0.5 * FAULTS_OF_ITS_ZYGOTE < own <= FAULTS_OF_ITS_ZYGOTE
    finally:
        running.stop()


def _faults(pid: int) -> tuple[int, int]:
    """Return the minor page faults of a process, and of the children that it has reaped."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return int(fields[7]), int(fields[8])
