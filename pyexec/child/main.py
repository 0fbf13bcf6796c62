"""One child: from the fork to the end of its one run. Never returns.

Theory of operation. The zygote forks; the child keeps four descriptors and closes all others:

    0, 1, 2   in-memory files made by the server: stdin (filled before the job arrives), stdout, stderr
    3         the socket to the server

It applies every layer, reports that, and only then waits for a job: no byte of a request enters this process before it
is fully confined. Code and attachments arrive as files that the server writes to the run's directory. Once the script
has ended and its output is flushed, the child reports the exit and waits to be killed: tearing down an interpreter
costs as much as forking it, and the response need not wait for that.

An admin script runs in a second process; the first one, the supervisor, waits for it and reports how it ended. Process
1 of a pid namespace can't kill itself with a signal, and in any case a script that kills itself must not look like a
victim of the OOM killer.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import os
import select
import signal
import sys
import time
from typing import Any, Callable, NoReturn, Sequence

from pyexec import messages
from pyexec.child import import_policy, script, warmup
from pyexec.child.witness import Witness
from pyexec.errors import LayerError
from pyexec.job import SCRIPT_NAME, Plan
from pyexec.kernel import layers, libc, namespaces, rlimits

SOCKET_FD = 3
_PROC_FD = 4
_FAULT_STATUS = 70
# A child that has waited this long is idle. Under load it gets a job sooner: a warm-up then would take CPU from runs.
_IDLE_S = 0.03

_Check = Callable[[str], None]


def main(
    plan: Plan, descriptors: Sequence[int], allowed: Sequence[str], trusted: Sequence[str], snippets: Sequence[str]
) -> NoReturn:
    """Run the child.

    Args:
        plan: how to confine this process.
        descriptors: socket, stdin, stdout, stderr, as numbered in the zygote.
        allowed: modules for public scripts. trusted: directories whose code may import anything.
        snippets: for the warm-up, see `warmup`.
    """
    try:
        try:
            _take_descriptors(descriptors, plan.proc_fd)
        except OSError:  # SOCKET_FD may still be the zygote's: report by exiting only
            os._exit(_FAULT_STATUS)
        _confine(dataclasses.replace(plan, proc_fd=_PROC_FD))
        check = None if plan.admin else _install_policy(frozenset(allowed), trusted)
        messages.send_locked(SOCKET_FD, messages.LAYERS, {})
        if check is not None:
            _warm_up_while_idle(snippets, plan.workdir, check)
        value, with_locals = _await_job()
        _run(plan, check, value, with_locals)
    except LayerError as error:
        messages.send_locked(SOCKET_FD, messages.FAILED, {"layer": error.layer, "reason": error.reason})
    except Exception as error:  # noqa: BLE001
        messages.send_locked(
            SOCKET_FD, messages.FAILED, {"layer": "child", "reason": f"{type(error).__name__}: {error}"}
        )
    finally:
        os._exit(_FAULT_STATUS)


def _take_descriptors(descriptors: Sequence[int], proc_fd: int) -> None:
    """Move the descriptors to 0 through 4 and close everything else inherited from the zygote."""
    socket_fd, stdin, stdout, stderr = descriptors
    sources = [stdin, stdout, stderr, socket_fd, proc_fd]
    # First move them off the low numbers, since a source may have a target's number.
    while min(sources) <= _PROC_FD:
        sources = [os.dup(fd) for fd in sources]
    for target, fd in enumerate(sources):
        os.dup2(fd, target, inheritable=target < SOCKET_FD)
    try:
        libc.syscall("close_range", _PROC_FD + 1, 0xFFFFFFFF, 0)
    except OSError:  # ENOSYS before Linux 5.9
        os.closerange(_PROC_FD + 1, os.sysconf("SC_OPEN_MAX"))


def _confine(plan: Plan) -> None:
    os.setsid()
    namespaces.write_own(_PROC_FD, "oom_score_adj", "1000")
    rlimits.yield_as_a_session(_PROC_FD)
    layers.apply(layers.OPENING, plan)
    os.close(_PROC_FD)
    # The server reads the run's output files through this descriptor, which can't be sent once seccomp is on.
    directory_fd = _enter_directory(plan)
    with messages.adopted(SOCKET_FD) as end:
        messages.send(end, messages.HELLO, {}, [directory_fd])
    os.close(directory_fd)
    layers.apply(layers.CLOSING, plan)
    _forget_randomness()
    script.open_streams()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the zygote ignores it


def _enter_directory(plan: Plan) -> int:
    try:
        os.umask(0o022)
        if "mount" not in plan.host.namespaces:
            os.mkdir(plan.workdir, 0o700)
            os.chown(plan.workdir, plan.uid, plan.gid)
        fd = os.open(plan.workdir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.fchdir(fd)
    except OSError as error:
        raise LayerError("workdir", str(error)) from error
    os.environ["HOME"] = os.environ["TMPDIR"] = plan.workdir
    return fd


def _forget_randomness() -> None:
    """Discard all random state made in the zygote, which its children would share.

    `random` reseeds itself after a fork. `secrets`, `uuid4` and numpy's default_rng ask the kernel each time.
    """
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        # 256 bits, as many as seed() without an argument uses, but thirty times faster.
        numpy_random.seed(memoryview(os.urandom(32)).cast("I").tolist())
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile._name_sequence = None  # type: ignore[attr-defined]
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        uuid._last_timestamp = None  # type: ignore[attr-defined]


def _install_policy(allowed: frozenset[str], trusted: Sequence[str]) -> _Check:
    """Install the import policy and return the function that checks a script's source."""

    def refuse(names: tuple[str, ...]) -> None:
        _end(messages.FORBIDDEN, {"modules": list(names)})

    def check(text: str) -> None:
        # Every import statement contains the word; a script without it needs no second parse.
        if "import" in text:
            names = import_policy.scan(ast.parse(text, SCRIPT_NAME), allowed)
            if names:
                refuse(names)

    import_policy.Policy(allowed, trusted, refuse).install()
    return check


def _warm_up_while_idle(snippets: Sequence[str], directory: str, check: _Check) -> None:
    patience_s = _IDLE_S
    # What works in the zygote may need more memory than the budget allows; a script would hit the limit too.
    with contextlib.suppress(MemoryError):
        for source in snippets:
            if select.select([SOCKET_FD], [], [], patience_s)[0]:
                return
            warmup.run(source, directory, check)
            patience_s = 0


def _await_job() -> tuple[bool, bool]:
    packet = os.read(SOCKET_FD, messages.LONGEST)
    if not packet:  # the server closed the socket: this child isn't needed
        os._exit(0)
    return messages.decode_job(packet)


def _tell(found: dict[str, Any]) -> None:
    messages.send_locked(SOCKET_FD, messages.REPORT, found)


def _run(plan: Plan, check: _Check | None, value: bool, with_locals: bool) -> NoReturn:
    moments = [time.monotonic()]
    source = _read(SCRIPT_NAME).decode("utf-8")
    if not plan.admin:
        code = script.run(source, plan.workdir, check, moments, Witness(source, value, with_locals, _tell))
    else:
        sys.path.insert(0, plan.workdir)
        code, limit = _supervise(source, plan)
        if limit is not None:
            _end(messages.EXIT, {"code": code, "cpu_limit_s": limit})
    _end(messages.EXIT, {"code": code, "moments": moments + [time.monotonic()]})


def _read(name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def _end(kind: str, payload: object) -> NoReturn:
    """Report how the run ended, then wait to be killed; if the server closes the socket instead, read returns."""
    messages.send_locked(SOCKET_FD, kind, payload)
    os.read(SOCKET_FD, 1)
    os._exit(0)


def _supervise(source: str, plan: Plan) -> tuple[int, int | None]:
    """Run the script in a second process and wait for it.

    Returns:
        Its exit code, or minus the signal that killed it; and the CPU time limit if it ran into that.
    """
    pid = os.fork()
    if pid == 0:
        os.close(SOCKET_FD)
        os._exit(script.run(source, plan.workdir) & 0xFF)
    while True:
        ended, status, used = os.wait4(-1, 0)
        if ended == pid:
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            limit = rlimits.cpu_s(plan)
            return code, limit if rlimits.ended_by_cpu(status, used, limit) else None
