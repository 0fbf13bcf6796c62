"""A pool of waiting children, for one kind of zygote and one kind of run. It has no thread and starts no zygote.

`repair` looks at the children that are there and orders the missing ones; it may be called at any time, from any
thread, and whatever failed is simply still missing at the next call. So no event needs to be counted correctly: a child
that died, a zygote that was replaced and an order that was lost all show up as too few children waiting. A caller that
finds none waiting orders one itself.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from typing import Callable, Iterator, Sequence

from pyexec import log
from pyexec.errors import LayerError, SandboxError
from pyexec.runs.child_handle import ChildHandle
from pyexec.runs.slots import Slot, Slots
from pyexec.runs.zygote_handles import ZygoteHandle

RETRY_S = 0.2
_LOOK_S = 0.5


class Pool:
    """The waiting children of one kind. Thread-safe."""

    def __init__(
        self,
        admin: bool,
        target: int,
        changed: threading.Condition,
        slots: Slots,
        make: Callable[[Slot, bool], ChildHandle],
        release: Callable[[ChildHandle], None],
    ) -> None:
        """Start empty.

        Args:
            target: how many children should wait. changed: guards all pools; notified when a child or slot may have
                become available. make: creates the server's half of a child. release: disposes of a child that isn't
                wanted, whatever its state.
        """
        self.admin, self.target = admin, target
        self._changed, self._slots, self._make, self._release = changed, slots, make, release
        self._waiting: collections.deque[ChildHandle] = collections.deque()
        self._zygote: ZygoteHandle | None = None
        self._failures = 0  # in a row: of children that ended before they were ready
        self._not_before = self._looked_at = 0.0
        self.closed = False

    def __len__(self) -> int:
        """Return how many children wait."""
        return len(self._waiting)

    def waiting(self) -> list[ChildHandle]:
        """Return the children that wait."""
        return list(self._waiting)

    def take(self, deadline: float) -> ChildHandle:
        """Return a child that is ready, the one that has waited longest first.

        Raises:
            LayerError: a child could not be confined. SandboxError: none was ready in time.
        """
        while True:
            child = self._next(deadline)
            try:
                child.await_ready(deadline)
            except BaseException as error:
                self._release(child)
                self._note_failure()
                # It died while it waited, perhaps with its zygote; another will do.
                if not isinstance(error, SandboxError) or time.monotonic() >= deadline:
                    raise
            else:
                self._failures = 0
                return child

    @contextlib.contextmanager
    def first_ready(self, deadline: float) -> Iterator[ChildHandle]:
        """Lend a child, once it is ready, to look at. It stays in the pool, and nobody takes or drops it meanwhile.

        Raises:
            LayerError, SandboxError: as for `take`, but for the first child that fails.
        """
        # The lock is kept throughout: otherwise `repair`, in another thread, could read the child's last word and close
        # it under whoever waits for that word here.
        with self._changed:
            child = self._next(deadline)
            try:
                child.await_ready(deadline)
            except BaseException:
                self._release(child)
                raise
            self._waiting.appendleft(child)
            yield child

    def _next(self, deadline: float) -> ChildHandle:
        with self._changed:
            while not self._waiting:
                if self.closed:
                    raise SandboxError("the sandbox is closed")
                if self._order():
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    raise SandboxError("no child became ready in time")
                self._changed.wait(min(left, RETRY_S))
            return self._waiting.popleft()

    def _note_failure(self) -> None:
        # If even new ones die, so would the next: order one at a time, with a pause.
        self._failures += 1
        if self._failures > self.target:
            self._not_before = time.monotonic() + RETRY_S

    def repair(self, zygote: ZygoteHandle | None, retired: Sequence[ZygoteHandle] = ()) -> bool:
        """Drop children of other zygotes and dead ones, order the missing ones; return whether enough wait now.

        Args:
            retired: replaced zygotes, whose children may wait until as many of the new one's are ready.
        """
        dropped: list[ChildHandle] = []
        with self._changed:
            self._zygote = zygote
            # A ready child is checked twice a second; `take` checks it as well.
            all_of_them = time.monotonic() >= self._looked_at + _LOOK_S
            if all_of_them:
                self._looked_at = time.monotonic()
            for _ in range(len(self._waiting)):
                child = self._waiting.popleft()
                well = (child.zygote is zygote or child.zygote in retired) and (
                    (child.ready and not all_of_them) or self._is_well(child)
                )
                (self._waiting if well else dropped).append(child)
            own = self._count(zygote) if retired else len(self._waiting)
            try:
                while own < self.target and self._order():
                    own += 1
            except LayerError as error:
                self._say(error)
            if self._waiting:
                self._changed.notify_all()
            enough = own >= self.target
            if retired and sum(child.ready for child in self._waiting if child.zygote is zygote) >= self.target:
                dropped += [child for child in self._waiting if child.zygote is not zygote]
                self._waiting = collections.deque(child for child in self._waiting if child.zygote is zygote)
            elif retired:
                enough = False  # and so looked at again soon
        for child in dropped:
            self._release(child)
        return enough

    def _count(self, zygote: ZygoteHandle | None) -> int:
        return sum(child.zygote is zygote for child in self._waiting)

    def _is_well(self, child: ChildHandle) -> bool:
        try:
            child.look()
        except LayerError as error:
            self._say(error)
        except SandboxError:  # the child has logged the reason, or it was killed
            pass
        else:
            return True
        self._note_failure()
        return False

    @staticmethod
    def _say(error: BaseException) -> None:
        log.say(f"no child can be created for now: {error!r}", log.ERROR)

    def _order(self) -> bool:
        """Order a child and add it to those that wait; return whether that was possible. The caller holds the lock.

        Raises:
            LayerError: its directory can't be created.
        """
        if self._zygote is None or self.closed or time.monotonic() < self._not_before:
            return False
        slot = self._slots.take()
        if slot is None:
            return False
        child: ChildHandle | None = None
        try:
            child = self._make(slot, self.admin)
            child.order_from(self._zygote)
        except (OSError, MemoryError, LayerError) as error:
            self._not_before = time.monotonic() + RETRY_S
            if child is None:
                self._slots.free(slot)
            else:
                self._release(child)
            if isinstance(error, LayerError):
                raise
            if not isinstance(error, (BrokenPipeError, ConnectionResetError)):  # the zygote has just exited
                self._say(error)
            return False
        self._waiting.append(child)
        return True
