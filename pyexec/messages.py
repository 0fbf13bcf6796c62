"""Messages between the server, the zygotes and a child; used on both sides.

Every connection is a pair of Unix packet sockets (SOCK_SEQPACKET), so a message arrives whole or not at all: no
partial frame can block a reader.

    +------+------------------+
    | kind | payload, JSON    |   + descriptors, where noted (SCM_RIGHTS)
    +------+------------------+
      1 B     at most 64 KiB

    server → zygote     P plan of the service (the second zygote's control socket), to the plain one only
                        S spawn a child (its socket, status socket, stdin, stdout, stderr)
    zygote → server     T zygote is ready, or why not
    zygote → server     F forked (the child's pidfd) · D dead: exit status        on the child's status socket
    child → server      H hello (its directory's descriptor) · L layers applied · E layer failed
    server → child      J job, and what its caller wants to know (`encode_job`)
    child → server      R report: how the script failed, or its last value (`findings`)
    child → server      X exit: code, moments · I forbidden import: names

A script can forge messages from its child. From a public run, only X and I are accepted, see `Run._own_word`.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from typing import Any, Iterator, NamedTuple, Sequence

PLAN, SPAWN, READY = "P", "S", "T"
FORKED, DEAD = "F", "D"
HELLO, LAYERS, FAILED = "H", "L", "E"
JOB = "J"
REPORT = "R"
EXIT, FORBIDDEN = "X", "I"

LONGEST = 65536
_DESCRIPTORS = 8


class WireError(Exception):
    """The other side closed the connection, or sent something that isn't a message."""


class CutOff(WireError):
    """A message arrived truncated or without all of its descriptors: this side has no descriptors left to take them."""


class Message(NamedTuple):
    """One message; the receiver owns `descriptors`, which are close-on-exec."""

    kind: str
    payload: Any
    descriptors: tuple[int, ...] = ()


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected packet sockets that are not inherited across exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def encode(kind: str, payload: Any) -> bytes:
    """Return the bytes of one message. Raises ValueError if it is too long for one packet."""
    packet = kind.encode("ascii") + json.dumps(payload, separators=(",", ":")).encode("ascii")
    if len(packet) > LONGEST:
        raise ValueError(f"a message of {len(packet)} bytes is longer than {LONGEST}")
    return packet


def encode_job(value: bool, with_locals: bool) -> bytes:
    """Return the bytes of a JOB: whether to tell the value of the last statement, and those of variables."""
    return (JOB + "v" * value + "l" * with_locals).encode("ascii")


def decode_job(packet: bytes) -> tuple[bool, bool]:
    """Return what the bytes of a JOB ask for."""
    return b"v" in packet, b"l" in packet


def decode(packet: bytes, descriptors: Sequence[int] = ()) -> Message:
    """Return the message in these bytes. Raises WireError; an empty packet means that the connection was closed."""
    if not packet:
        raise WireError("the other side closed the connection")
    try:
        return Message(packet[:1].decode("ascii"), json.loads(packet[1:].decode("ascii")), tuple(descriptors))
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a message: {type(error).__name__}") from None


def send(end: socket.socket, kind: str, payload: Any, descriptors: Sequence[int] = ()) -> None:
    """Send one message. Raises OSError."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    end.sendmsg([encode(kind, payload)], rights)


def receive(end: socket.socket) -> Message:
    """Receive one message.

    Raises:
        WireError: closed, cut off, or not a message. OSError: the receive failed or timed out.
    """
    space = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
    packet, ancillary, flags, _ = end.recvmsg(LONGEST, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise CutOff("a message was cut off")
        return decode(packet, descriptors)
    except WireError:
        for fd in descriptors:
            os.close(fd)
        raise


@contextlib.contextmanager
def adopted(fd: int) -> Iterator[socket.socket]:
    """Lend a descriptor as a socket object, and leave it open afterwards."""
    end = socket.socket(fileno=fd)
    try:
        yield end
    finally:
        end.detach()


def send_locked(fd: int, kind: str, payload: Any) -> None:
    """Send one message with write(2), the only way left once the child is confined. Raises OSError."""
    os.write(fd, encode(kind, payload))


def receive_locked(fd: int) -> Message:
    """Receive one message with read(2); see `send_locked`. Raises WireError, OSError."""
    return decode(os.read(fd, LONGEST))
