"""One child: from the fork to the end of its one run. Never returns.

Theory of operation. The zygote forks; the child keeps four descriptors and closes all others (`confine` has the table).
It applies every layer, reports that, and only then waits for a job: no byte of a request enters this process before it
is fully confined. Code and attachments arrive as files that the server writes to the run's directory. Once the script
has ended and its output is flushed, the child reports the exit and waits to be killed: tearing down an interpreter
costs as much as forking it, and the response need not wait for that. An admin script has a second process, see
`supervisor`.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
import time
from typing import Any, Callable, NamedTuple, NoReturn, Sequence

from pyexec import messages
from pyexec.child import (
    confine,
    import_policy,
    libraries,
    randomness,
    script,
    show,
    stream_names,
    supervisor,
    warmup,
)
from pyexec.child.confine import CHANNEL_FD
from pyexec.child.witness import Witness
from pyexec.errors import LayerError
from pyexec.job import SCRIPT_NAME, SEARCHED_BYTES
from pyexec.kernel import libc

_FAULT_STATUS = 70
# A child that has waited this long is idle. Under load it gets a job sooner: a warm-up then would take CPU from runs.
_IDLE_S = 0.03

_LAYERS = messages.encode(messages.LAYERS)
_USUAL_JOB = messages.encode_job(value=False, with_locals=True, with_modules=False)
_Check = Callable[[str], None]


class Kit(NamedTuple):
    """What a zygote prepares for all its children."""

    policy: import_policy.Policy
    first: str  # what each child compiles at once, and
    snippets: tuple[str, ...]  # what it runs when it is idle; see `warmup`
    workdir: str  # "" where each child has another one
    handlers: tuple[libraries.ExitHandler, ...]
    keep_files: Callable[[], None] | None  # makes do without deleting, where public scripts can't
    tell_sqlite: Callable[[str], None] | None  # where temporary files go, if each child has another directory
    witness: Witness
    discard_randomness: Callable[[], None]
    put_back_hooks: Callable[[], None]  # those that run at forks
    main_thread: Any  # of `threading`, if that is loaded


def own_places(directory: str) -> dict[str, str]:
    """Return the variables that name a run's places beside its script's directory, in the directory that holds all.

    They are outside of what the answer lists as written.
    """
    temporary = directory + "/tmp"
    # By the name that everybody knows, where that leads there.
    return {"HOME": directory + "/home", "TMPDIR": "/tmp" if os.path.realpath("/tmp") == temporary else temporary}


def make_kit(
    allowed: Sequence[str],
    trusted: Sequence[str],
    first: str,
    snippets: Sequence[str],
    workdir: str,
    deletes: bool,
    tell_sqlite: Callable[[str], None] | None,
    handlers: Sequence[libraries.ExitHandler],
    put_back_hooks: Callable[[], None],
) -> Kit:
    """Prepare, in the zygote, what doesn't depend on the child.

    Args:
        allowed: modules for public scripts. trusted: directories whose code may import anything. deletes: whether
            public scripts may delete files. tell_sqlite: see `sqlite_files`. put_back_hooks: gives a child
            the fork hooks that its zygote does without.
    """

    def refuse(found: tuple[str, ...]) -> None:
        _end(messages.encode(messages.FORBIDDEN, {"modules": list(found)}), 1)

    keep_files: Callable[[], None] | None = None
    if not deletes:
        from pyexec.child import on_disk  # it loads what most hosts have no use for

        keep_files = on_disk.install
    policy = import_policy.Policy(frozenset(allowed), trusted, refuse)
    witness, discard = Witness(_tell), randomness.prepare()
    main_thread = "threading" in sys.modules and sys.modules["threading"].main_thread()
    parts = policy, first, tuple(snippets), workdir, tuple(handlers), keep_files, tell_sqlite, witness
    return Kit(*parts, discard, put_back_hooks, main_thread or None)


def main(
    calls: Sequence[libc.Call], descriptors: Sequence[int], order: messages.Order, kit: Kit, cpu_limit_s: int
) -> NoReturn:
    """Run the child.

    Args:
        calls: its confinement, from `confine.prepare`. descriptors: channel, stdin, stdout, stderr and, if on disk, the
            run's directory, as numbered in the zygote. kit: the zygote's. cpu_limit_s: its CPU time limit, which is
            part of the confinement.
    """
    try:
        try:
            confine.take_descriptors(*descriptors)
        except OSError:  # CHANNEL_FD may still be the zygote's: report by exiting only
            os._exit(_FAULT_STATUS)
        libc.carry_out(calls)
        kit.discard_randomness()
        workdir = kit.workdir
        if not workdir:
            workdir = os.path.join(order.path, "work")
            os.environ.update(own_places(order.path))
        if kit.tell_sqlite is not None:
            kit.tell_sqlite(os.environ["TMPDIR"])
        if order.admin:
            supervisor.fork_script(cpu_limit_s)
        kit.put_back_hooks()
        if order.admin:
            _warm_up(kit, workdir, None)
        else:
            if kit.keep_files is not None:
                kit.keep_files()
            kit.policy.install(workdir)
            os.write(CHANNEL_FD, _LAYERS)
            _warm_up(kit, workdir, kit.policy.check_source)
        sys.path.insert(0, workdir)
        _run(workdir, None if order.admin else kit.policy.check_source, kit, _await_job())
    except LayerError as error:
        messages.send_locked(CHANNEL_FD, messages.FAILED, {"layer": error.layer, "reason": error.reason})
    except Exception as error:  # noqa: BLE001
        reason = f"{type(error).__name__}: {error}"
        messages.send_locked(CHANNEL_FD, messages.FAILED, {"layer": "child", "reason": reason})
    finally:
        os._exit(_FAULT_STATUS)


def _warm_up(kit: Kit, directory: str, check: _Check | None) -> None:
    """Warm up until the job arrives: compile at once, as every job must; run the snippets once the child is idle."""
    poll = select.poll()
    poll.register(CHANNEL_FD, select.POLLIN)
    if poll.poll(0):
        return
    warmup.compile_only(kit.first, check)
    patience_ms = _IDLE_S * 1000
    # What works in the zygote may need more memory than the budget allows; a script would hit the limit too.
    with contextlib.suppress(MemoryError):
        for source in kit.snippets:
            if poll.poll(patience_ms):
                return
            warmup.run(source, directory, check)
            patience_ms = 0


def _tell(found: dict[str, Any]) -> None:
    if _has_channel():
        messages.send_locked(CHANNEL_FD, messages.REPORT, found)


def _has_channel() -> bool:
    """Return whether the script has left the channel open, and has no file of its own there by now."""
    try:
        return stat.S_ISSOCK(os.fstat(CHANNEL_FD).st_mode)
    except OSError:
        return False


def _await_job() -> bytes:
    packet = os.read(CHANNEL_FD, messages.LONGEST)
    if not packet:  # the server closed: this child is not needed
        os._exit(0)
    return packet


def _run(workdir: str, check: _Check | None, kit: Kit, job: bytes) -> NoReturn:
    timestamps, own_pid = [time.monotonic()], os.getpid()
    source = _read(SCRIPT_NAME).decode("utf-8")
    if kit.main_thread is not None:
        kit.main_thread._native_id = own_pid  # that of the zygote, until now
    # Nothing is called that has nothing to do: a function's first call touches five shared pages.
    if not kit.workdir:
        show.begin(workdir)
    witness, text = kit.witness, source
    witness.source, witness.pid = source, own_pid
    if job != _USUAL_JOB:
        witness.want(messages.VALUE in job, messages.LOCALS in job)
        text += _text_of_modules() if messages.MODULES in job else ""
    if "/dev/" in text and stream_names.needed_by(text):
        stream_names.install()
    if "import" not in source:  # as every statement has it that `check` looks for
        check = None
    if kit.handlers:
        libraries.register_exit_handlers(kit.handlers, text)
    code = script.run(source, workdir, check, timestamps, witness)
    if os.getpid() != own_pid:  # what an admin script has forked comes to the end of the script as well
        os._exit(code & 0xFF)
    timestamps.append(time.monotonic())
    shown = show.found()
    if shown:
        _tell({"shown": shown})
    _end(b'X{"code":%d,"moments":%s}' % (code, repr(timestamps).encode()), code & 0xFF)


def _read(name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def _text_of_modules() -> str:
    """Return the text of the modules that are attached to the script, as far as `Job.text` has it on the other side."""
    found = ""
    for name in os.listdir("."):
        if name.endswith(".py") and name != SCRIPT_NAME:
            with open(name, "rb") as file:
                found += "\n" + file.read(SEARCHED_BYTES).decode("utf-8", "replace")
    return found


def _end(packet: bytes, status: int) -> NoReturn:
    """Report how the run ended, then wait to be killed; if the server closes the channel instead, read returns.

    Args:
        status: the exit status, which is all that the server learns where the script closed the channel.
    """
    if _has_channel():
        os.write(CHANNEL_FD, packet)
        os.read(CHANNEL_FD, 1)
    os._exit(status)
