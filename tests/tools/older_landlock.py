"""Run a command as on a kernel with an older Landlock: `python older_landlock.py ABI COMMAND...`.

A seccomp filter around the command hands every `landlock_create_ruleset` to a process beside it, which tells the lower
ABI to whoever asks for the version, and answers E2BIG, as that kernel would, to attributes that it has no room for. What
the older kernel does not restrict is then left alone by this one, too: a right that a ruleset does not handle is not
looked at (but for REFER, which every ABI denies unless it is handled). Works only downwards, once around a command, and
not for i386's system calls, which the filter ends.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from system_calls import TABLES

from pyexec.kernel import bpf, landlock, libc, seccomp

FILTER_FLAG_NEW_LISTENER = 1 << 3
RET_USER_NOTIF = 0x7FC00000
NOTIF_RECV, NOTIF_SEND = 0xC0502100, 0xC0182101
RESPONSE_CONTINUE = 1

# struct seccomp_notif: id, pid, flags, then struct seccomp_data: number, architecture, instruction, six arguments.
REQUEST = struct.Struct("=QIIiIQ6Q")
RESPONSE = struct.Struct("=QqiI")  # id, value, error, flags


def listener() -> int:
    """Put the filter on this process and all that come of it; return the descriptor that its calls are told on."""
    number = TABLES[libc.machine()]["landlock_create_ruleset"]
    code = bpf.encode(
        bpf.assemble(bpf.AUDIT_ARCH[libc.machine()], [bpf.Rule(number, (), RET_USER_NOTIF)], bpf.RET_ALLOW)
    )
    buffer = ctypes.create_string_buffer(code, len(code))
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    return libc.syscall(
        "seccomp",
        seccomp.SECCOMP_SET_MODE_FILTER,
        FILTER_FLAG_NEW_LISTENER,
        seccomp._Program(len(code) // bpf.INSTRUCTION_BYTES, ctypes.addressof(buffer)),
    )


def answer(abi: int, size: int, flags: int) -> tuple[int, int, int]:
    """Return value, error and flags of the response to one call."""
    if flags == landlock.LANDLOCK_CREATE_RULESET_VERSION:
        return abi, 0, 0
    if size > landlock.handled(abi)[3]:
        return 0, -errno.E2BIG, 0
    return 0, 0, RESPONSE_CONTINUE


def watch(fd: int, abi: int) -> None:
    """Answer until no process has the filter any more."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while poll.poll()[0][1] & select.POLLIN:
        request = bytearray(REQUEST.size)
        # ENOENT: the caller has been killed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(fd, NOTIF_RECV, request)
            identity, _, _, _, _, _, _, size, flags, _, _, _ = REQUEST.unpack(request)
            fcntl.ioctl(fd, NOTIF_SEND, RESPONSE.pack(identity, *answer(abi, size, flags)))


def _watch_apart(theirs: socket.socket, abi: int) -> None:
    """Be a process that the command's has nothing to do with: no child of it, and no user of its streams."""
    if os.fork():
        os._exit(0)
    os.setsid()
    found = array.array("i")
    _, ancillary, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(found.itemsize))
    found.frombytes(ancillary[0][2][: found.itemsize])
    fd = os.dup2(found[0], 100, inheritable=False)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    os.closerange(3, fd)
    watch(fd, abi)
    os._exit(0)


def main() -> None:
    """Start the watch, put on the filter, and execute."""
    abi, command = int(sys.argv[1]), sys.argv[2:]
    try:
        newest = landlock.probe()
    except OSError:
        newest = 0
    if not 1 <= abi < newest:
        raise SystemExit("older_landlock.py: this kernel's Landlock has ABI %d, which is not above %d" % (newest, abi))
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _watch_apart(theirs, abi)
    os.waitpid(pid, 0)
    theirs.close()
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener()]))])
    ours.close()
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
