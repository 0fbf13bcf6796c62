"""The laboratory: run attacks behind chosen layers. A program of its own, driven by `test_escapes.py` over its streams.

    python -I lab.py '{"steps": ["landlock"], "admin": false, "abi": 2, "target": {...}}'

`abi` is the Landlock to make do with, as on an older kernel; null stands for all that this one has.

It probes the host as the nursery does, keeps only the chosen steps, takes a zygote's namespaces if they are among them,
makes the children's confinement ready as a zygote does, and then forks one child for each attack named on its standard
input. A child carries out the very calls of a real one, in their order, runs the attack, and the lab prints what came of
it as one line:

    ok             the attack succeeded             EPERM …       it failed with this errno
    SIGSYS …       this signal ended it             other: …      it broke for another reason, which is a broken probe
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import importlib.util
import json
import os
import select
import signal
import sys
from typing import Any, Dict, Optional, Sequence, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
ESCAPES = os.path.join(os.path.dirname(HERE), "escapes")
sys.path[:0] = [os.path.dirname(os.path.dirname(HERE)), HERE]

from pyexec.child import confine, import_policy  # noqa: E402
from pyexec.config import DEFAULT_MODULES, Config  # noqa: E402
from pyexec.job import Host, Plan  # noqa: E402
from pyexec.kernel import layers, libc, namespaces, tree, tree_files  # noqa: E402
from pyexec.zygote import preload  # noqa: E402

STEPS = layers.STEPS
DEADLINE_S = int(os.environ.get("LAB_DEADLINE_S", "10"))  # more where the processor is emulated
KEYCTL_JOIN_SESSION_KEYRING = 1

with open(os.path.join(HERE, "syscalls.json"), encoding="ascii") as _file:
    NUMBERS: Dict[str, int] = json.load(_file)[libc.machine()]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def call(name: str, *arguments: Any) -> int:
    """Make a system call as native code would; raises OSError with the kernel's errno."""
    typed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = _libc.syscall(ctypes.c_long(NUMBERS[name]), *typed)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return int(result)


def load(name: str) -> Any:
    """Return the module of one attack."""
    spec = importlib.util.spec_from_file_location("escape_" + name, os.path.join(ESCAPES, name + ".py"))
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def chosen(host: Host, steps: Sequence[str], abi: Optional[int] = None) -> Host:
    """Return the host as if it offered these steps only, and of Landlock no more than this ABI."""
    if abi is not None and not 1 <= abi <= host.landlock_abi:
        raise ValueError("a kernel with Landlock ABI %d can't stand for one with %d" % (host.landlock_abi, abi))
    return dataclasses.replace(
        host,
        namespaces=host.namespaces if "namespaces" in steps else (),
        own_uids=host.own_uids and "identity" in steps,
        landlock_abi=(abi or host.landlock_abi) if "landlock" in steps else 0,
        seccomp=host.seccomp and "seccomp" in steps,
    )


def _join_new_session_keyring() -> None:
    """Leave the keyring that we were started with: that of a login which has ended is revoked, and no key can be had."""
    try:
        call("keyctl", KEYCTL_JOIN_SESSION_KEYRING, None)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # a container's profile refuses it, as it does the attacks
            raise


def _everybody_reaches(path: str) -> bool:
    parents = [path]
    while parents[-1] != "/":
        parents.append(os.path.dirname(parents[-1]))
    return all(os.stat(parent).st_mode & 0o001 for parent in parents if os.path.isdir(parent))


def _refused(names: Tuple[str, ...]) -> None:
    raise ImportError("the import policy saw %s" % ", ".join(names))


class Lab:
    """One choice of layers."""

    def __init__(self, steps: Sequence[str], admin: bool, abi: Optional[int], target: Dict[str, Any]) -> None:
        """Prepare what the nursery prepares."""
        self._steps, self._admin, self._target = steps, admin, target
        self._proc_fd = libc.high(os.open("/proc", os.O_RDONLY | os.O_DIRECTORY))
        self._uid_base = target["uid_base"]
        self._host = chosen(layers.probe(self._uid_base + 1, self._proc_fd, target["base"]), steps, abi)
        self._lab_pid = os.getpid()  # in the namespaces that all labs share
        self._serial = 0

    def serve(self) -> None:
        """Enter the namespaces if chosen, then carry out attack after attack."""
        _join_new_session_keyring()
        namespaces.enter_nursery(self._host, self._proc_fd)
        if "pid" in self._host.namespaces:
            pid = os.fork()
            if pid:
                os._exit(os.waitpid(pid, 0)[1] and 1)
        gate = namespaces.PidGate(self._proc_fd) if "pid" in self._host.namespaces else None
        modules = {name[:-3]: load(name[:-3]) for name in os.listdir(ESCAPES) if name.endswith(".py")}
        self._become_zygote()
        print(json.dumps(dataclasses.asdict(self._host)), flush=True)
        for line in sys.stdin:
            print(self._one(modules[line.strip()], gate), flush=True)

    def _become_zygote(self) -> None:
        """Do what a zygote does for all its children at once."""
        host, executes = self._host, preload.execute_paths()
        # As if it were one more directory of installed code, which belongs to the server's user.
        reads = preload.read_paths() + (os.path.dirname(self._target["installed"]),)
        shared = namespaces.shareable(host, self._proc_fd)
        namespaces.share(shared)
        if "ipc" in shared:
            namespaces.forbid_ipc(self._proc_fd)
        uid, gid = (self._uid_base, self._uid_base) if host.own_uids else (host.uid, host.gid)
        files = tree_files.contents([uid], [gid], "/run/box/home", 1 << 29, 1) if "mount" in host.namespaces else {}
        mount_point = tree.build(reads + executes, lambda _: files) if "mount" in host.namespaces else ""
        reads += tuple(files)
        if host.own_uids and not mount_point:
            # A Python below /root, say, which runs of another uid can't reach: the server would not start here.
            reads = tuple(path for path in reads if _everybody_reaches(path))
            executes = tuple(path for path in executes if _everybody_reaches(path))
        self._plan = Plan(
            host,
            self._admin,
            uid,
            gid,
            mount_point and mount_point + "/work",
            reads,
            executes,
            1 << 31,
            os.getpid(),
            self._proc_fd,
            Config.of(**self._target["budget"]).budget,
            mount_point,
            shared,
        )
        os.umask(0o022)
        self._confinement = layers.Confinement(self._plan, self._steps)

    def _one(self, module: Any, gate: Any) -> str:
        receive, send = map(libc.high, os.pipe())
        plan, directory = self._plan, -1
        if not plan.mount_point:
            directory, path = self._directory_on_disk()
            plan = dataclasses.replace(plan, workdir=path + "/work")
        calls = confine.prepare(self._confinement, plan, hello=False)
        if gate is not None:
            gate.enter_for_next_fork()
        pid = os.fork()
        if pid == 0:
            os.close(receive)
            try:
                if directory >= 0:
                    os.dup2(directory, confine.DIRECTORY_FD, False)
                libc.carry_out(calls)
            except BaseException as error:
                os.write(send, ("other: confining failed: %r" % (error,)).encode())
                os._exit(0)
            os.write(send, self._attack(module, send).encode())
            os._exit(0)
        if gate is not None:
            gate.leave()
        os.close(send)
        if directory >= 0:
            os.close(directory)
        return self._result(pid, receive)

    def _directory_on_disk(self) -> Tuple[int, str]:
        """Make the directory of one attack, as the server does; return a descriptor of it, and its path."""
        self._serial += 1
        path = "%s/run-%d-%d" % (self._target["base"], self._lab_pid, self._serial)
        for each in (path, path + "/work", path + "/tmp", path + "/home"):
            os.mkdir(each, 0o700)
            os.chown(each, self._plan.uid, self._plan.gid)
        return libc.high(os.open(path, os.O_RDONLY | os.O_DIRECTORY)), path

    def _result(self, pid: int, receive: int) -> str:
        pidfd = libc.syscall("pidfd_open", pid, 0)
        late = not select.select([pidfd], [], [], DEADLINE_S)[0]
        if late:
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        os.close(pidfd)
        word = ""
        if select.select([receive], [], [], 0)[0]:
            word = os.read(receive, 4096).decode().strip()
        os.close(receive)
        if late:
            return "other: no end within %d s" % DEADLINE_S
        if os.WIFSIGNALED(status):
            return signal.Signals(os.WTERMSIG(status)).name
        if word.isdigit():  # from machine code, which has no names for errors
            return errno.errorcode[int(word)]
        return word or "other: no word, status %d" % status

    def _attack(self, module: Any, send: int) -> str:
        try:
            if getattr(module, "POLICY", False) and not self._admin:
                import_policy.Policy(frozenset(DEFAULT_MODULES), preload.read_paths(), _refused).install(".")
            module.attack(dict(self._target, call=call, word_fd=send))
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, "other: %r" % (error,))
        except BaseException as error:
            return "other: %s: %s" % (type(error).__name__, error)
        return "ok"


if __name__ == "__main__":
    _order = json.loads(sys.argv[1])
    Lab(_order["steps"], _order["admin"], _order["abi"], _order["target"]).serve()
