"""One template's loop: fork a child when told to, tell how it ended, reap it and all that it left.

Runs in each of the two templates, once `forkserver` has brought it up; what it holds and who closes that stands there.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import signal
import socket
import sys
from typing import Any, Iterator, NamedTuple, NoReturn

from pyexec import messages
from pyexec.child import compat, frames, script
from pyexec.child import main as child
from pyexec.job import Budget, Host, Plan
from pyexec.kernel import layers, libc, namespaces, rlimits, tree
from pyexec.zygote import preload

_DYING_POLL_MS = 5
_OTHER_ENDS_MS = 2000


class Running(NamedTuple):
    """A child as the template sees it."""

    pid: int
    pidfd: int
    status: socket.socket
    cpu_limit_s: int


class Death(NamedTuple):
    """How a child ended, as the server is told."""

    code: int
    cpu_limit_s: int | None  # if it was killed for having used that much processor time


@contextlib.contextmanager
def failures_told(control: socket.socket) -> Iterator[None]:
    """Tell the server of an OSError, and end."""
    try:
        yield
    except OSError as error:
        reason = f"{error.filename or 'start'}: {error.strerror or error}"
        messages.send(control, messages.READY, {"error": reason})
        os._exit(1)


class ForkServer:
    """One template's loop, once its namespaces are taken."""

    def __init__(
        self, control: socket.socket, settings: dict[str, Any], host: Host, proc_fd: int, other: int | None = None
    ) -> None:
        """Take over what `main` made; `settings` is the server's PLAN, `other` the pid of the second template."""
        self._control = control
        self._settings = settings
        self._host = host
        self._proc_fd = proc_fd
        self._other = other
        self._budget = Budget(**settings["budget"])
        self._running: dict[int, Running] = {}
        self._dying: dict[Running, Death] = {}  # killed and reaped themselves, their groups perhaps not
        self._gate: namespaces.PidGate | None = None
        self._other_fd = -1
        self._workdir = ""  # where each child mounts its directory; without mounts the server names one for each

    def run(self, report: dict[str, Any]) -> NoReturn:
        """Settle, report, serve until the server closes the control socket."""
        # Before anything collects garbage: a look at all that the libraries have made takes 40 ms.
        gc.freeze()
        self._snippets = preload.rehearse(self._settings["modules"])
        with failures_told(self._control):
            self._settle()
        messages.send(self._control, messages.READY, report)
        self._loop()

    def _settle(self) -> None:
        """Do what must come after loading: measure, leave the file tree, freeze."""
        statm = os.open("self/statm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc_fd)
        with os.fdopen(statm) as file:
            self._baseline = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        self._reads, self._executes = preload.read_paths(), preload.execute_paths()
        if "pid" in self._host.namespaces:
            self._gate = namespaces.PidGate(self._proc_fd)
        self._check_reach()
        if "mount" in self._host.namespaces:
            self._workdir = tree.build_tree(self._reads + self._executes)
        for admin in (False, True):
            layers.prepare(self._plan({"admin": admin, "place": 0, "workdir": ""}))
        frames.conceal(script.run)
        compat.install()
        gc.enable()
        gc.collect()
        gc.freeze()

    def _check_reach(self) -> None:
        """Check that runs of another uid get to installed code and work_dir, where they see the host's own file tree.

        Raises:
            OSError: they don't; says what to do.
        """
        if not self._host.own_uids or "mount" in self._host.namespaces:
            return
        uid, paths = self._settings["uid_base"], preload.installed_code()

        def look() -> None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            for path in paths:
                os.listdir(path)
            os.chdir(self._settings["work_dir"])

        reason = namespaces.in_a_child(look)
        if reason:
            advice = "keep Python, its packages and the work_dir where every user may go, or don't start pyexec as root"
            raise OSError(errno.EACCES, f"runs have uid {uid} and can't go there; {advice}", reason)

    def _loop(self) -> NoReturn:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        if self._other:
            self._other_fd = libc.syscall("pidfd_open", self._other, 0)
            poll.register(self._other_fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll(_DYING_POLL_MS if self._dying else None):
                if fd == self._other_fd:
                    self._end()
                if fd != self._control.fileno():
                    poll.unregister(fd)
                    self._note_death(fd)
                    continue
                try:
                    message = messages.receive(self._control)
                except messages.CutOff as error:
                    # What came of the order is closed, which the server takes for a child that died. Others run.
                    _say(f"no descriptor is left for a child: {error}")
                    continue
                except (messages.WireError, OSError):
                    self._end()
                pidfd = self._spawn(message)
                if pidfd is not None:
                    poll.register(pidfd, select.POLLIN)
            self._report_deaths()

    def _end(self) -> NoReturn:
        for running in self._running.values():
            _kill_group(running)
        if self._other:
            # The server has closed its socket too, or it is that which ended. If neither, it must not go on alone:
            # the server starts both anew once both have ended, and would wait for ever.
            poll = select.poll()
            poll.register(self._other_fd, select.POLLIN)
            if not poll.poll(_OTHER_ENDS_MS):
                os.kill(self._other, signal.SIGKILL)
            os.waitpid(self._other, 0)
        os._exit(0)

    def _spawn(self, message: messages.Message) -> int | None:
        """Fork one child and return its pidfd, after sending the server a copy; None if that failed."""
        end, status_fd, stdin, stdout, stderr = message.descriptors
        status = socket.socket(fileno=status_fd)
        plan = self._plan(message.payload)
        pid, pidfd = 0, None
        try:
            if self._gate is not None:
                self._gate.enter_for_next_fork()
            pid = os.fork()
            if pid == 0:
                streams = (end, stdin, stdout, stderr)
                child.main(plan, streams, self._settings["modules"], self._reads, self._snippets)
            pidfd = libc.syscall("pidfd_open", pid, 0)
            self._running[pidfd] = Running(pid, pidfd, status, rlimits.cpu_s(plan))
            messages.send(status, messages.FORKED, {}, [pidfd])
        except OSError as error:
            _say(f"the template can't make a child: {error}")
            if pidfd is None:
                if pid:  # it was forked, but there is no descriptor left to know it by
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                status.close()  # the server takes the end of file for a child that died
            else:
                # Nobody waits for this child any more.
                libc.syscall("pidfd_send_signal", pidfd, signal.SIGKILL, None, 0)
        finally:
            if self._gate is not None:
                self._gate.leave()
            for fd in (end, stdin, stdout, stderr):
                os.close(fd)
        return pidfd

    def _plan(self, order: dict[str, Any]) -> Plan:
        host, admin = self._host, bool(order["admin"])
        uid = self._settings["uid_base"] + order["place"] if host.own_uids else host.uid
        gid = uid if host.own_uids else host.gid
        workdir = self._workdir or order["workdir"]
        return Plan(
            host,
            admin,
            uid,
            gid,
            workdir,
            self._reads,
            self._executes,
            self._baseline,
            os.getpid(),
            self._proc_fd,
            self._budget,
        )

    def _note_death(self, pidfd: int) -> None:
        """Kill the rest of a dead child's group while its pid still stands, then reap the child itself."""
        running = self._running.pop(pidfd)
        _kill_group(running)
        _, status, used = os.wait4(running.pid, 0)
        limit = running.cpu_limit_s if rlimits.ended_by_cpu(status, used, running.cpu_limit_s) else None
        self._dying[running] = Death(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), limit)

    def _report_deaths(self) -> None:
        """Tell the server of each dead child of whose group nothing is left; never wait for one that dies slowly."""
        for running, death in list(self._dying.items()):
            if not _group_is_gone(running.pid):
                continue
            del self._dying[running]
            with contextlib.suppress(OSError):  # the server has closed its end: it no longer wants to know
                messages.send(running.status, messages.DEAD, death._asdict())
            running.status.close()
            os.close(running.pidfd)


def _say(text: str) -> None:
    """Write a line to the log, if that can be done: a full disk must not cost the runs that go on."""
    with contextlib.suppress(OSError):
        print("pyexec: " + text, file=sys.stderr, flush=True)


def _group_is_gone(group: int) -> bool:
    """Reap what has ended of a run's group, all of it killed by now; as a subreaper we are its parent.

    Otherwise it would be left to process 1, which in a container may be the server itself and reaps nobody: dead
    processes would count against the next run of this uid.
    """
    while True:
        try:
            if os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG) is None:
                return False
        except ChildProcessError:
            return True


def _kill_group(running: Running) -> None:
    try:
        os.killpg(running.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    except PermissionError:
        libc.syscall("pidfd_send_signal", running.pidfd, signal.SIGKILL, None, 0)
