"""The two templates: interpreters that fork a child for each run, one plain, one with the libraries loaded.

Theory of operation. The server starts a process with a clean environment and one socket (its descriptor 0). It finds
out what the host offers, takes its namespaces, loads the standard library, and forks: the plain template stays what it
is, since that is forked and torn down several times cheaper than the other, which loads the libraries. Each leaves the
host's file tree, freezes its heap, says that it is ready, and then does three things only: fork when told to, tell how
a child ended, reap. They are single-threaded, have no key, no listener, and never see a byte of a request.

    descriptor   of            closed by
    control      the server    its template at the end; every child at its start. End of file here ends the template
    proc_fd      /proc         stays; each child closes its copy once its ids are mapped
    status       one a child   here once the child is reaped: the server reads the exit status, or that we died
    pidfd        one a child   here once the child is reaped; the server has its own copy

Whatever ends a template ends its children: as process 1 of a pid namespace, or by their parent-death signal and, for
what those have forked, by the process above the templates. When the one with the libraries ends, the plain one ends
too, and the server starts both anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import os
import select
import signal
import socket
import sys
import time
from typing import Any, Dict, Iterator, NamedTuple, NoReturn, Optional, Sequence, Tuple

from pyexec import child, preload, script, wire
from pyexec.job import Budget, Host, Plan
from pyexec.kernel import layers, libc, namespaces, seccomp

CONTROL_FD = 0
_DYING_POLL_MS, _DYING_S = 5, 20.0


class Running(NamedTuple):
    """A child as the template sees it."""

    pid: int
    pidfd: int
    status: socket.socket


def main() -> NoReturn:
    """Be the templates; the process that the server started either becomes the plain one or waits for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the server blocks those that it waits for
    control = socket.socket(fileno=CONTROL_FD)
    server = os.getppid()
    try:
        message = wire.receive(control)
    except wire.WireError:
        os._exit(0)
    settings, second = message.payload, socket.socket(fileno=message.descriptors[0])
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # The kernel's memory killer takes a run first, then the templates, then the server.
    namespaces.write_own(proc_fd, "oom_score_adj", "500")
    with _failures_told(control):
        host = layers.probe(settings["uid_base"], proc_fd)
        if layers.uncovered(host):
            wire.send(control, wire.READY, report(host))
            os._exit(1)
        namespaces.enter_template(host, proc_fd)
    if "pid" in host.namespaces:
        _fork_into_namespace((control, second), server)
    else:
        _fork_below_warden((control, second), proc_fd)
    known = preload.installed_code()
    sys.path[:] = [path for path in sys.path if path in known]
    gc.disable()
    preload.standard_library(settings["modules"])
    with _failures_told(control):
        other = _fork_second(host)
    if other == 0:
        control.close()
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)  # which a fork doesn't hand down
        versions, missing = preload.libraries()
        ForkServer(second, settings, host, proc_fd).run({"libraries": versions, "missing": missing})
    second.close()
    words = {"python": sys.version.split()[0], "installed_code": sorted(known, key=len, reverse=True)}
    ForkServer(control, settings, host, proc_fd, other).run(dict(report(host), **words))


@contextlib.contextmanager
def _failures_told(control: socket.socket) -> Iterator[None]:
    """Tell the server of an OSError, and end."""
    try:
        yield
    except OSError as error:
        reason = "%s: %s" % (error.filename or "start", error.strerror or error)
        wire.send(control, wire.READY, {"error": reason})
        os._exit(1)


def _fork_second(host: Host) -> int:
    """Fork the template that is to have the libraries, with mounts of its own; return its pid, 0 in it."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        if "mount" in host.namespaces:
            namespaces.own_mounts()
        os.close(send)
        return 0
    # Not before it has taken its mounts does this one change its own.
    os.close(send)
    os.read(receive, 1)
    os.close(receive)
    return pid


def _fork_into_namespace(controls: Sequence[socket.socket], server: int) -> None:
    """Become process 1 of the new pid namespace; the process left outside only waits and ends likewise."""
    pid = os.fork()
    if pid:
        for control in controls:
            control.close()
        # Only here, where our end takes every process of the namespace with it. Without one the template must live to
        # see the control socket close, and kill what admin runs have forked; its children have the signal themselves.
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os._exit(1 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)


def _fork_below_warden(controls: Sequence[socket.socket], proc_fd: int) -> None:
    """Go on in a new process; the old one only waits, and then kills whatever of any run the templates have left.

    A template that ends by itself ends its runs whole, but not one that is killed: what an admin run has forked has no
    parent-death signal. It comes to us then, and would hold its uid and its memory for as long as it liked.
    """
    pid = os.fork()
    if pid == 0:
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
        return
    for control in controls:
        control.close()
    status, ended = 0, 0
    while ended != pid:
        ended, status = os.waitpid(-1, 0)
    deadline = time.monotonic() + _DYING_S
    with contextlib.suppress(ChildProcessError):  # nobody is left
        while time.monotonic() < deadline:
            for orphan, group in _children(proc_fd):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(orphan, signal.SIGKILL)
                    if group != os.getpgrp():
                        os.killpg(group, signal.SIGKILL)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(_DYING_POLL_MS / 1000)
    os._exit(1 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


def _children(proc_fd: int) -> Iterator[Tuple[int, int]]:
    """Yield the pid and the process group of each of our children, also of those that came to us as orphans."""
    for name in filter(str.isdigit, os.listdir(proc_fd)):
        with contextlib.suppress(OSError):  # it has been reaped between two looks
            fd = os.open(name + "/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
            with os.fdopen(fd, "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            if int(fields[1]) == os.getpid():
                yield int(name), int(fields[2])


def report(host: Host) -> Dict[str, Any]:
    """Return what the server and `doctor` want to know of a host, ready for a message."""
    table = [
        {"danger": danger.name, "layers": names, "remedy": danger.remedy} for danger, names in layers.covered(host)
    ]
    return {
        "layers": [dataclasses.asdict(status) for status in layers.report(host)],
        "dangers": table,
        "namespaces": host.namespaces,
        "own_uids": host.own_uids,
        "calls": {
            name: len(seccomp.allowed(admin, seccomp.EVERYTHING_CONTAINED, libc.machine()))
            for name, admin in (("public", False), ("admin", True))
        },
    }


class ForkServer:
    """One template's loop, once its namespaces are taken."""

    def __init__(
        self, control: socket.socket, settings: Dict[str, Any], host: Host, proc_fd: int, other: Optional[int] = None
    ) -> None:
        """Take over what `main` made; `settings` is the server's PLAN, `other` the pid of the second template."""
        self._control = control
        self._settings = settings
        self._host = host
        self._proc_fd = proc_fd
        self._other = other
        self._budget = Budget(**settings["budget"])
        self._running: Dict[int, Running] = {}
        self._dying: Dict[Running, int] = {}  # killed and reaped themselves, their groups perhaps not; exit codes
        self._gate: Optional[namespaces.PidGate] = None

    def run(self, report: Dict[str, Any]) -> NoReturn:
        """Settle, report, serve until the server closes the control socket."""
        # Before anything collects garbage: a look at all that the libraries have made takes 40 ms.
        gc.freeze()
        self._snippets = preload.rehearse(self._settings["modules"])
        with _failures_told(self._control):
            self._settle()
        wire.send(self._control, wire.READY, report)
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
            namespaces.build_tree(self._reads + self._executes)
        for admin in (False, True):
            layers.prepare(self._plan({"admin": admin, "place": 0, "workdir": ""}))
        script.conceal_own_frames()
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
            raise OSError(errno.EACCES, "runs have uid %d and can't go there; %s" % (uid, advice), reason)

    def _loop(self) -> NoReturn:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        other_fd = libc.syscall("pidfd_open", self._other, 0) if self._other else -1
        if self._other:
            poll.register(other_fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll(_DYING_POLL_MS if self._dying else None):
                if fd == other_fd:
                    self._end()
                if fd != self._control.fileno():
                    poll.unregister(fd)
                    self._note_death(fd)
                    continue
                try:
                    message = wire.receive(self._control)
                except (wire.WireError, OSError):
                    self._end()
                pidfd = self._spawn(message)
                if pidfd is not None:
                    poll.register(pidfd, select.POLLIN)
            self._report_deaths()

    def _end(self) -> NoReturn:
        for running in self._running.values():
            _kill_group(running)
        if self._other:
            os.waitpid(self._other, 0)  # the server has closed its socket too, or it is that which ended
        os._exit(0)

    def _spawn(self, message: wire.Message) -> Optional[int]:
        """Fork one child and return its pidfd, after sending the server a copy; None if that failed."""
        end, status_fd, stdin, stdout, stderr = message.descriptors
        status = socket.socket(fileno=status_fd)
        plan = self._plan(message.payload)
        pidfd: Optional[int] = None
        try:
            if self._gate is not None:
                self._gate.enter_for_next_fork()
            pid = os.fork()
            if pid == 0:
                streams = (end, stdin, stdout, stderr)
                child.main(plan, streams, self._settings["modules"], self._reads, self._snippets)
            pidfd = libc.syscall("pidfd_open", pid, 0)
            self._running[pidfd] = Running(pid, pidfd, status)
            wire.send(status, wire.FORKED, {}, [pidfd])
        except OSError as error:
            print("pyexec: the template can't make a child: %s" % error, file=sys.stderr, flush=True)
            if pidfd is None:
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

    def _plan(self, order: Dict[str, Any]) -> Plan:
        host, admin = self._host, bool(order["admin"])
        uid = self._settings["uid_base"] + order["place"] if host.own_uids else host.uid
        gid = uid if host.own_uids else host.gid
        workdir = namespaces.WORKDIR if "mount" in host.namespaces else order["workdir"]
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
        _, status = os.waitpid(running.pid, 0)
        self._dying[running] = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _report_deaths(self) -> None:
        """Tell the server of each dead child of whose group nothing is left; never wait for one that dies slowly."""
        for running, code in list(self._dying.items()):
            if not _group_is_gone(running.pid):
                continue
            del self._dying[running]
            with contextlib.suppress(OSError):  # the server has closed its end: it no longer wants to know
                wire.send(running.status, wire.DEAD, {"code": code})
            running.status.close()
            os.close(running.pidfd)


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
