"""A zygote's loop: fork a child on request, reap it and everything it left behind, and report how it ended.

Runs in each of the two zygotes once `start` has set it up. See there for its descriptors and who closes them.
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
    """A child as the zygote sees it."""

    pid: int
    pidfd: int
    status: socket.socket
    cpu_limit_s: int


class Death(NamedTuple):
    """How a child ended, as reported to the server."""

    code: int
    cpu_limit_s: int | None  # set if the child was killed for using that much CPU time


@contextlib.contextmanager
def reporting_failures(control: socket.socket) -> Iterator[None]:
    """Report an OSError to the server and exit."""
    try:
        yield
    except OSError as error:
        reason = f"{error.filename or 'start'}: {error.strerror or error}"
        messages.send(control, messages.READY, {"error": reason})
        os._exit(1)


class ForkServer:
    """A zygote's loop, run after it has entered its namespaces."""

    def __init__(
        self, control: socket.socket, settings: dict[str, Any], host: Host, proc_fd: int, other: int | None = None
    ) -> None:
        """Take over what `main` set up; `settings` is the server's PLAN, `other` the pid of the second zygote."""
        self._control = control
        self._settings = settings
        self._host = host
        self._proc_fd = proc_fd
        self._other = other
        self._budget = Budget(**settings["budget"])
        self._running: dict[int, Running] = {}
        self._dying: dict[Running, Death] = {}  # reaped, but their process groups may not be gone yet
        self._gate: namespaces.PidGate | None = None
        self._other_fd = -1
        self._workdir = ""  # where each child mounts its directory; without mounts the server chooses one per child

    def run(self, report: dict[str, Any]) -> NoReturn:
        """Finish the setup, report READY, and serve until the server closes the control socket."""
        # Before the first garbage collection: traversing everything that the libraries allocated takes 40 ms.
        gc.freeze()
        self._snippets = preload.rehearse(self._settings["modules"])
        with reporting_failures(self._control):
            self._settle()
        messages.send(self._control, messages.READY, report)
        self._loop()

    def _settle(self) -> None:
        """Do what must follow loading: measure memory, leave the host's file tree, freeze the heap."""
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
        """Check that runs with their own uid can reach installed code and work_dir if they see the host's file tree.

        Raises:
            OSError: they can't; the message says what to do.
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
            advice = "put Python, its packages and work_dir where every user has access, or don't start pyexec as root"
            raise OSError(errno.EACCES, f"runs have uid {uid} and can't access it; {advice}", reason)

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
                    # The descriptors that did arrive are closed, so the server sees a dead child. Other runs go on.
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
            # Either the server closed the other zygote's socket too, or that zygote has exited. If neither, it must not
            # go on alone: the server restarts the two only once both have exited, and would wait forever.
            poll = select.poll()
            poll.register(self._other_fd, select.POLLIN)
            if not poll.poll(_OTHER_ENDS_MS):
                os.kill(self._other, signal.SIGKILL)
            os.waitpid(self._other, 0)
        os._exit(0)

    def _spawn(self, message: messages.Message) -> int | None:
        """Fork a child, send the server a copy of its pidfd, and return the pidfd; None if the fork failed."""
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
            _say(f"the zygote can't create a child: {error}")
            if pidfd is None:
                if pid:  # forked, but no descriptor was left for its pidfd
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                status.close()  # the server takes end of file to mean that the child died
            else:
                # Nothing waits for this child any more.
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
        """Kill the rest of a dead child's process group while its pid is still reserved, then reap the child."""
        running = self._running.pop(pidfd)
        _kill_group(running)
        _, status, used = os.wait4(running.pid, 0)
        limit = running.cpu_limit_s if rlimits.ended_by_cpu(status, used, running.cpu_limit_s) else None
        self._dying[running] = Death(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), limit)

    def _report_deaths(self) -> None:
        """Report each dead child whose process group is gone; never wait for one that is slow to die."""
        for running, death in list(self._dying.items()):
            if not _group_is_gone(running.pid):
                continue
            del self._dying[running]
            with contextlib.suppress(OSError):  # the server has closed its end and no longer needs this
                messages.send(running.status, messages.DEAD, death._asdict())
            running.status.close()
            os.close(running.pidfd)


def _say(text: str) -> None:
    """Write a line to the log if possible: a full disk must not break the runs in progress."""
    with contextlib.suppress(OSError):
        print("pyexec: " + text, file=sys.stderr, flush=True)


def _group_is_gone(group: int) -> bool:
    """Reap the exited processes of a run's group and return whether none is left. All have been killed by now.

    As a subreaper, the zygote is their parent. Otherwise they would fall to process 1, which in a container may be the
    server itself and reaps nothing: dead processes would count against the next run with this uid.
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
