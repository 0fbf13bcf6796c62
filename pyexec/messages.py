"""Messages between the server, the zygotes and a child; both sides use it.

Every connection is a pair of Unix packet sockets (SOCK_SEQPACKET), so a message arrives whole or not at all and no
partial frame can block a reader. The first byte is the kind. Messages that are sent once per run have a fixed form, so
that a zygote, where each line of Python that runs for the first time copies pages, needs no parser; the rest is JSON.

    +------+--------------------+
    | kind | fixed form or JSON |   + descriptors, where said (SCM_RIGHTS)
    +------+--------------------+
      1 B      at most 64 KiB

    kind  form    from → to          says
    P     JSON    server → nursery   the service's settings, once
    Z     JSON    server → nursery   fork a zygote of this kind (its control socket, its status socket)
    T     JSON    nursery → server   what this host offers, or why nothing can start
          JSON    zygote → server    ready, with the libraries it has, or why not
    N     JSON    zygote → server    about to import this name, which may never return
    S     order   server → zygote    fork a child (channel, status, stdin, stdout, stderr; its directory, if on disk)
    D     death   parent → server    a child or zygote is dead and reaped with everything it left: its exit code
    H     -       child → server     hello (its pidfd; its directory, if that is a tmpfs)
    L     -       child → server     every layer is on
    E     JSON    child → server     a layer failed
    J     wishes  server → child     the job lies in your directory; what its caller wants to know; has it modules?
    R     JSON    child → server     report: how the script failed, its last value, or where it is, see `findings`
    X     JSON    child → server     ended: code, timestamps
    I     JSON    child → server     forbidden import: names

A script can forge what comes on its channel: of a run that has its job only X, I and R are heeded, see `child_handle`.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import struct
from typing import Any, NamedTuple, Sequence

PLAN, ZYGOTE, READY, LOADING = "P", "Z", "T", "N"
ORDER, DEAD = "S", "D"
HELLO, LAYERS, FAILED = "H", "L", "E"
JOB = "J"
VALUE, LOCALS, MODULES = b"v", b"l", b"m"  # in the bytes of a JOB
EXIT, FORBIDDEN, REPORT = "X", "I", "R"

# To a run whose time is nearly up, see `child.last_moment`. Programs that know neither signal ignore it.
LATE_SIGNAL, STUCK_SIGNAL = signal.SIGURG, signal.SIGWINCH

LONGEST = 65536
_DESCRIPTORS = 8
_SPACE = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
# Plain numbers: `|` and `&` of the enums are Python code, which in a zygote would write to pages that children share.
DONT_WAIT, CLOSE_ON_EXEC = int(socket.MSG_DONTWAIT), int(socket.MSG_CMSG_CLOEXEC)
CUT_OFF = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
_ORDER = struct.Struct("=cI?")  # kind, slot, admin; the path of the run's directory follows
_DEATH = struct.Struct("=chH")


class WireError(Exception):
    """The other side closed, or sent something that is not a message."""


class CutOff(WireError):
    """A message arrived truncated or without all of its descriptors: this side has no descriptors left to take them."""


class Message(NamedTuple):
    """One message; the receiver owns `descriptors`, which are close-on-exec."""

    kind: str
    body: bytes
    descriptors: tuple[int, ...] = ()

    @property
    def payload(self) -> Any:
        """The decoded JSON of the body. Raises WireError."""
        try:
            return json.loads(self.body.decode("ascii"))
        except (ValueError, RecursionError) as error:
            raise WireError(f"not a message: {type(error).__name__}") from None


class Order(NamedTuple):
    """What a zygote must know to fork a child; `path` is empty unless the run's directory is on disk."""

    slot: int
    admin: bool
    path: str = ""


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected packet sockets that are not inherited across exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def encode(kind: str, payload: Any = None) -> bytes:
    """Encode a message, with JSON if there is a payload.

    Raises:
        ValueError: it is too long to be sent as one packet.
    """
    text = "" if payload is None else json.dumps(payload, separators=(",", ":"))
    packet = (kind + text).encode("ascii")
    if len(packet) > LONGEST:
        raise ValueError(f"a message of {len(packet)} bytes is longer than {LONGEST}")
    return packet


def encode_order(order: Order) -> bytes:
    """Encode an ORDER."""
    return _ORDER.pack(ORDER.encode(), order.slot, order.admin) + os.fsencode(order.path)


def decode_order(packet: bytes) -> Order:
    """Decode an ORDER. Raises WireError if the packet isn't one."""
    if packet[:1] != ORDER.encode() or len(packet) < _ORDER.size:
        raise WireError(f"{packet[:1]!r} where an order was due")
    _, slot, admin = _ORDER.unpack_from(packet)
    return Order(slot, admin, os.fsdecode(packet[_ORDER.size :]))


def encode_job(value: bool, with_locals: bool, with_modules: bool) -> bytes:
    """Return the bytes of a JOB: whether to tell the value of the last statement, and those of variables.

    Args:
        with_modules: whether modules are attached, for the child to look into.
    """
    return JOB.encode() + VALUE * value + LOCALS * with_locals + MODULES * with_modules


class Death(NamedTuple):
    """How a process ended: exit code, negative for a signal; its CPU time limit in seconds if it hit that, else 0."""

    code: int
    cpu_limit_s: int = 0


def encode_death(death: Death) -> bytes:
    """Encode a DEAD."""
    return _DEATH.pack(DEAD.encode(), death.code, min(death.cpu_limit_s, 0xFFFF))


def decode_death(packet: bytes) -> Death:
    """Decode a DEAD. Raises WireError if the packet isn't one."""
    if packet[:1] != DEAD.encode() or len(packet) != _DEATH.size:
        raise WireError(f"{packet[:1]!r} where word of a death was due")
    return Death(*_DEATH.unpack(packet)[1:])


def send_packet(end: socket.socket, packet: bytes, descriptors: Sequence[int] = (), flags: int = 0) -> None:
    """Send encoded bytes with descriptors. Raises OSError."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    end.sendmsg([packet], rights, flags)


def send(end: socket.socket, kind: str, payload: Any = None, descriptors: Sequence[int] = ()) -> None:
    """Send one message. Raises OSError."""
    send_packet(end, encode(kind, payload), descriptors)


def receive_packet(end: socket.socket, flags: int = 0) -> tuple[bytes, tuple[int, ...]]:
    """Return one packet, empty at end of file, and the descriptors that came with it.

    Raises:
        CutOff: a part is lost; the descriptors that did arrive are closed. OSError: the receive failed.
    """
    packet, ancillary, said, _ = end.recvmsg(LONGEST, _SPACE, flags | CLOSE_ON_EXEC)
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if said & CUT_OFF:
        for fd in descriptors:
            os.close(fd)
        raise CutOff("a message was cut off")
    return packet, tuple(descriptors)


def receive(end: socket.socket, flags: int = 0) -> Message:
    """Receive one message.

    Raises:
        WireError: end of file, or a part is lost. OSError: the receive failed or timed out.
    """
    packet, descriptors = receive_packet(end, flags)
    if not packet:
        raise WireError("the other side closed the connection")
    return Message(packet[:1].decode("latin-1"), packet[1:], descriptors)


def send_locked(fd: int, kind: str, payload: Any = None) -> None:
    """Send one message with write(2), the only way left once the child is confined. Raises OSError."""
    os.write(fd, encode(kind, payload))
