"""The template: a fresh interpreter with the libraries loaded, which forks a child for each run.

Theory of operation. The server starts it with a clean environment and one socket (its descriptor 0). It finds out what
the host offers, takes its namespaces, loads the libraries, leaves the host's file tree, freezes the heap, says that it
is ready, and then does three things only: fork when told to, tell how a child ended, reap. It is single-threaded, has
no key, no listener, and never sees a byte of a request.

    descriptor   of            closed by
    0            control       the template at its end; every child at its start. End of file here ends the template
    proc_fd      /proc         stays; each child closes its copy once its ids are mapped
    status       one a child   here once the child is reaped: the server reads the exit status, or that we died
    pidfd        one a child   here once the child is reaped; the server has its own copy

Whatever ends the template ends its children: as process 1 of a pid namespace, or by their parent-death signal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import importlib
import os
import select
import signal
import socket
import sys
import sysconfig
from typing import Any, Dict, List, NamedTuple, NoReturn, Optional, Tuple

from pyexec import child, wire
from pyexec.job import Budget, Host, Plan
from pyexec.kernel import layers, libc, namespaces, seccomp

CONTROL_FD = 0
_DYING_POLL_MS = 5

LIBRARIES = ("numpy", "PIL", "reportlab", "fpdf")
# What scripts use of them beyond the package itself; loaded ahead so that no run pays for it.
_ALSO_LOADED = (
    "numpy.random numpy.linalg numpy.fft PIL.Image PIL.ImageDraw PIL.ImageFont PIL.ImageFilter PIL.ImageOps"
    " PIL.ImageEnhance PIL.PngImagePlugin PIL.JpegImagePlugin reportlab.pdfgen.canvas reportlab.lib.pagesizes"
    " reportlab.lib.styles reportlab.platypus _strptime zoneinfo"
).split()

_SYSTEM_READ = (
    "/lib /lib64 /usr/lib /usr/lib64 /usr/local/lib /usr/share/zoneinfo /usr/share/fonts /usr/local/share/fonts"
    " /etc/ld.so.cache /etc/localtime /dev/zero /dev/urandom /dev/random"
).split()
_SYSTEM_EXECUTE = "/bin /usr/bin /usr/local/bin /lib /lib64 /usr/lib /usr/lib64 /usr/libexec /usr/local/lib".split()


class Running(NamedTuple):
    """A child as the template sees it."""

    pid: int
    pidfd: int
    status: socket.socket


def main() -> NoReturn:
    """Be the template; the process that the server started either becomes it or waits for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the server blocks those that it waits for
    control = socket.socket(fileno=CONTROL_FD)
    server = os.getppid()
    try:
        settings = wire.receive(control).payload
    except wire.WireError:
        os._exit(0)
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # The kernel's memory killer takes a run first, then the template, then the server.
    namespaces.write_own(proc_fd, "oom_score_adj", "500")
    try:
        host = layers.probe(settings["uid_base"], proc_fd)
        if layers.uncovered(host):
            wire.send(control, wire.READY, report(host))
            os._exit(1)
        namespaces.enter_template(host, proc_fd)
    except OSError as error:
        wire.send(control, wire.READY, {"error": "%s: %s" % (error.filename or "probe", error.strerror or error)})
        os._exit(1)
    if "pid" in host.namespaces:
        _fork_into_namespace(control, server)
    ForkServer(control, settings, host, proc_fd).run()


def _fork_into_namespace(control: socket.socket, server: int) -> None:
    """Become process 1 of the new pid namespace; the process left outside only waits and ends likewise."""
    pid = os.fork()
    if pid:
        control.close()
        # Only here, where our end takes every process of the namespace with it. Without one the template must live to
        # see the control socket close, and kill what admin runs have forked; its children have the signal themselves.
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os._exit(1 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)


def installed_code() -> List[str]:
    """Return the directories of the interpreter's library and of installed packages."""
    paths = sysconfig.get_paths()
    found = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages", "lib-dynload")]
    return sorted({path for path in found if path and os.path.isdir(path)})


def read_paths() -> Tuple[str, ...]:
    """Return what every run may read: installed code, shared libraries, fonts and time zones; no `/etc`, no home."""
    libraries = [sysconfig.get_config_var("LIBDIR") or ""]
    return tuple(
        sorted({path for path in installed_code() + libraries + _SYSTEM_READ if path and os.path.exists(path)})
    )


def execute_paths() -> Tuple[str, ...]:
    """Return what an admin run may execute beside: the system's programs and this interpreter."""
    interpreters = [sys.executable, os.path.realpath(sys.executable), os.path.join(sys.prefix, "pyvenv.cfg")]
    paths = _SYSTEM_EXECUTE + interpreters + installed_code()
    return tuple(sorted({path for path in paths if path and os.path.exists(path)}))


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
    """The loop, once the template's namespaces are taken."""

    def __init__(self, control: socket.socket, settings: Dict[str, Any], host: Host, proc_fd: int) -> None:
        """Take over what `main` made; `settings` is the server's PLAN message."""
        self._control = control
        self._settings = settings
        self._host = host
        self._proc_fd = proc_fd
        self._budget = Budget(**settings["budget"])
        self._running: Dict[int, Running] = {}
        self._dying: Dict[Running, int] = {}  # killed and reaped themselves, their groups perhaps not; exit codes
        self._gate: Optional[namespaces.PidGate] = None

    def run(self) -> NoReturn:
        """Load, report, serve until the server closes the control socket."""
        known = set(installed_code())
        sys.path[:] = [path for path in sys.path if path in known]
        versions, missing = self._load()
        try:
            self._settle()
        except OSError as error:
            wire.send(self._control, wire.READY, {"error": "%s: %s" % (error.filename or "file tree", error.strerror)})
            os._exit(1)
        ready = dict(report(self._host), libraries=versions, missing=missing, python=sys.version.split()[0])
        ready["installed_code"] = sorted(known, key=len, reverse=True)
        wire.send(self._control, wire.READY, ready)
        self._loop()

    def _load(self) -> Tuple[Dict[str, str], List[str]]:
        gc.disable()
        versions, missing = {}, []
        for name in LIBRARIES:
            try:
                versions[name] = str(getattr(importlib.import_module(name), "__version__", "?"))
            except ImportError:
                missing.append(name)
        # A library or a Python may lack one of these; a script that asks for it is told by its own import statement.
        for name in _ALSO_LOADED + [name for name in self._settings["modules"] if name not in LIBRARIES]:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        if "PIL" in versions:
            importlib.import_module("PIL.Image").init()
        return versions, missing

    def _settle(self) -> None:
        """Do what must come after loading: measure, leave the file tree, freeze."""
        statm = os.open("self/statm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc_fd)
        with os.fdopen(statm) as file:
            self._baseline = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        self._reads, self._executes = read_paths(), execute_paths()
        if "pid" in self._host.namespaces:
            self._gate = namespaces.PidGate(self._proc_fd)
        self._check_reach()
        if "mount" in self._host.namespaces:
            namespaces.build_tree(self._reads + self._executes)
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
        uid, paths = self._settings["uid_base"], installed_code()

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
        while True:
            for fd, _ in poll.poll(_DYING_POLL_MS if self._dying else None):
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
        os._exit(0)

    def _spawn(self, message: wire.Message) -> Optional[int]:
        """Fork one child and return its pidfd, after sending the server a copy; None if that failed."""
        end, status_fd, stdin, stdout, stderr = message.descriptors
        status = socket.socket(fileno=status_fd)
        plan = self._plan(message.payload)
        pidfd: Optional[int] = None
        if self._gate is not None:
            self._gate.enter_for_next_fork()
        try:
            pid = os.fork()
            if pid == 0:
                child.main(plan, (end, stdin, stdout, stderr), self._settings["modules"], self._reads)
            pidfd = libc.syscall("pidfd_open", pid, 0)
            self._running[pidfd] = Running(pid, pidfd, status)
            wire.send(status, wire.FORKED, {}, [pidfd])
        except OSError as error:
            print("pyexec: the template can't make a child: %s" % error, file=sys.stderr, flush=True)
            if pidfd is None:
                status.close()  # the server takes the end of file for a child that died
            else:
                libc.syscall(
                    "pidfd_send_signal", pidfd, signal.SIGKILL, None, 0
                )  # nobody waits for this child any more
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
