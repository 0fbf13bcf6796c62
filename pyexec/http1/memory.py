"""The memory that all requests' bodies may take, and that of all answers between being collected and being written.

Both are counted as the bytes come, not as they are announced, and both are taken back from the connection with the
least progress (`Connection.due`): refusing the newest instead would let clients that do nothing keep all others out.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import threading
import time
from typing import Callable, ContextManager

from pyexec.errors import ServerBusy
from pyexec.http1.connection import Connection

FREE_BYTES = 1 << 16  # of each body, uncounted: every connection may cost that much
_LARGEST_PIECE = 1 << 20
_LARGE = 1 << 20
_MOST_LITTER = 16 << 20
_ROOM_S = 5.0
_copying, _copying_less = threading.Lock(), threading.Lock()
_LOOK_S = 0.1


def one_at_a_time(size: int) -> ContextManager[object]:
    """Return what keeps bodies from being copied and parsed at the same time: that comes on top of what is counted.

    Those below 1 MiB, of which there may be one for each connection, don't wait for the larger ones.
    """
    if size <= FREE_BYTES:
        return contextlib.nullcontext()
    return _copying if size >= _LARGE else _copying_less


class Body:
    """The body of one request, as it arrives. A context manager that gives its memory back."""

    def __init__(self, budget: BodyBudget, connection: Connection, length: int | None) -> None:
        """Start empty; `length` is what was announced, None in chunks."""
        self.connection, self.size, self.held, self.dropped = connection, 0, 0, False
        self._budget, self._length = budget, length
        self._pieces: list[bytearray | mmap.mmap] = []
        self._last: bytearray | mmap.mmap = bytearray()
        self._fill = 0

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.release(self)

    def room(self, most: int) -> memoryview:
        """Return room for the next bytes, for at most `most`."""
        if self._fill == len(self._last):
            # As much again as has come so far: small chunks share a piece, and a large announcement takes no memory.
            size = max(FREE_BYTES, min(self.size, _LARGEST_PIECE))
            self._last = _piece(size if self._length is None else min(size, self._length - self.size))
            self._fill = 0
            self._pieces.append(self._last)
        return memoryview(self._last)[self._fill : self._fill + most]

    def filled(self, count: int) -> None:
        """Note that `count` bytes were put there. Raises ServerBusy: there is no memory for them."""
        self._fill += count
        self.size += count
        more = self.size - FREE_BYTES - self.held
        if more > 0:
            self._budget.take(self, more)
        else:
            self.check()

    def check(self) -> None:
        """Raise ServerBusy if this body had to make room for another."""
        if self.dropped:
            raise _no_room_for_bodies()

    def complete(self) -> None:
        """Note that all of it has arrived. Raises ServerBusy: it had to make room for another."""
        self._budget.keep(self)

    def whole(self) -> bytes:
        """Return all of it, once it is complete, and let go of the pieces."""
        if len(self._pieces) == 1 and self._fill == len(self._last):
            data = bytes(self._last)
        else:
            data = b"".join([*self._pieces[:-1], memoryview(self._last)[: self._fill]])
        self._forget()
        return data

    def _forget(self) -> None:
        self._pieces, self._last, self._fill = [], bytearray(), 0

    def drop(self) -> int:
        """Let go of the bytes for another body; return how many were counted. Called with the budget's lock held.

        The thread that reads this body finds out when it next looks; until then only the piece that it may be writing
        to stays.
        """
        self.dropped, freed, self.held = True, self.held, 0
        self._forget()
        return freed


def _piece(size: int) -> bytearray | mmap.mmap:
    """Return room for a part of a body.

    Mapped where it is large: between the pieces of other bodies it would leave holes that the C library keeps, and that
    nothing larger fits into. Raises MemoryError.
    """
    if size < _LARGEST_PIECE:
        return bytearray(size)
    try:
        return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:  # which would pass for a client that has gone
        raise MemoryError from error


class BodyBudget:
    """How many bytes of bodies may be in memory at once, beyond the first 64 KiB of each. Thread-safe."""

    def __init__(self, total: int) -> None:
        """Start with all of it free."""
        self._left = total
        self._reading: set[Body] = set()  # those that hold some of it and are still arriving
        self._litter = 0  # bytes of the bodies that have gone since the last collection
        self._lock = threading.Lock()
        self.tide = Tide()

    def body(self, connection: Connection, length: int | None) -> Body:
        """Return an empty body for a request that comes over this connection."""
        return Body(self, connection, length)

    def take(self, body: Body, count: int) -> None:
        """Count more bytes of a body, dropping others with less progress for it. Raises ServerBusy: there are none."""
        with self._lock:
            body.check()
            self._reading.add(body)
            while count > self._left:
                least = min(self._reading, key=lambda each: each.connection.due)
                if least is body:
                    raise _no_room_for_bodies()
                self._reading.discard(least)
                self._left += least.drop()
            self._left -= count
            body.held += count

    def keep(self, body: Body) -> None:
        """Note that a body is complete and no longer makes room. Raises ServerBusy: it already has."""
        with self._lock:
            body.check()
            self._reading.discard(body)

    def release(self, body: Body) -> None:
        """Take back what a body holds."""
        with self._lock:
            self._litter += body.held
            collect = self._litter >= _MOST_LITTER
            self._litter = 0 if collect else self._litter
        # What was made of a body is a multiple of it, and a single cycle of references keeps all of it. No code of ours
        # is meant to leave one; but if some does, its bytes must not be counted as free while they pile up.
        if collect:
            gc.collect()
        with self._lock:
            self._reading.discard(body)
            self._left += body.drop()
        self.tide.gone(body.size)


def _no_room_for_bodies() -> ServerBusy:
    return ServerBusy("Too many large requests at once; try again in a moment.", 1, "bodies")


class Kept:
    """What one answer holds in memory, from when its run's output is collected until it is written."""

    def __init__(self, budget: AnswerBudget) -> None:
        """Start with nothing."""
        self._budget = budget
        self.held = 0
        self.connection: Connection | None = None  # once it waits for its client
        self.dropped = False

    def count(self, size: int) -> None:
        """Count more bytes; may wait for room. Raises ServerBusy: there is none."""
        self._budget.take(self, size)

    def join(self, other: Kept) -> None:
        """Take over what another answer holds that goes out with this one."""
        self._budget.move(other, self)

    def await_client(self, connection: Connection) -> None:
        """Note that from here on it waits for its client, and so may have to make room."""
        self.connection = connection

    def release(self) -> None:
        """Give everything back; may be called again."""
        self._budget.release(self)


class AnswerBudget:
    """How many bytes of answers may be in memory at once. Thread-safe."""

    def __init__(self, total: int) -> None:
        """Start with all of it free."""
        self._total, self._held = total, 0
        self._kept: set[Kept] = set()
        self._changed = threading.Condition()
        self.tide = Tide()

    def keep(self) -> Kept:
        """Return a new answer's share, empty so far."""
        return Kept(self)

    def take(self, kept: Kept, size: int) -> None:
        """Count bytes of an answer, once there is room.

        An answer whose client has fallen behind the slowest pace makes room at once. One whose client keeps taking it
        is waited for: its run has been paid for, and the newcomer can be tried again.
        """
        deadline = time.monotonic() + _ROOM_S
        with self._changed:
            while self._held + size > self._total and self._held > kept.held:
                now = time.monotonic()
                if now >= deadline:
                    # Given back now, for others that wait as this one did: what it has collected is of no use any more.
                    self._held, kept.held = self._held - kept.held, 0
                    self._changed.notify_all()
                    raise ServerBusy("Too many large answers at once; try again in a moment.", 1, "answers")
                self._drop_least(now)
                self._changed.wait(min(_LOOK_S, deadline - now))
            self._kept.add(kept)
            kept.held += size
            self._held += size

    def move(self, source: Kept, target: Kept) -> None:
        """Count what one answer holds as another's."""
        with self._changed:
            self._kept.discard(source)
            self._kept.add(target)
            target.held, source.held = target.held + source.held, 0

    def _drop_least(self, now: float) -> None:
        """Cut off the slowest answer, if it has fallen behind the pace; its thread lets go."""
        behind = [(each.connection.due, id(each), each) for each in self._kept if each.connection and not each.dropped]
        if behind and min(behind)[0] < now:
            least = min(behind)[2]
            least.dropped = True
            if least.connection is not None:
                least.connection.cut()

    def release(self, kept: Kept) -> None:
        """Take back what an answer holds."""
        with self._changed:
            self._kept.discard(kept)
            self._held -= kept.held
            size, kept.held = kept.held, 0
            self._changed.notify_all()
        self.tide.gone(size)


class Tide:
    """Knows when much has come and gone, in large things or many, so that the memory it leaves can be returned."""

    def __init__(self) -> None:
        """Start with nothing to give back."""
        self._since_s: float | None = None
        self._last_s = 0.0
        self._passed = 0

    def gone(self, size: int) -> None:
        """Note that something of this size has gone."""
        self._passed += size  # not under a lock: what is lost when two threads meet here comes again with the next
        if self._passed >= _LARGE:
            self._last_s = time.monotonic()
            if self._since_s is None:
                self._since_s = self._last_s

    def ebb(self, quiet_s: float, most_s: float, give_back: Callable[[], None]) -> None:
        """Call `give_back` once much has gone: after `quiet_s` without more, or `most_s` after the first."""
        since_s, now = self._since_s, time.monotonic()
        if since_s is not None and (now - self._last_s >= quiet_s or now - since_s >= most_s):
            self._since_s, self._passed = None, 0
            give_back()
