"""Children that wait: the pool of one kind of zygote and one kind of run. No thread, no file, no restart.

`repair` looks at what is there and orders what is missing; it may be called at any time, by anybody, and what failed is
simply still missing at the next call. So no event has to be counted right: a child that died, a zygote that was
replaced and an order that got lost all show as too few that wait. Whoever needs one that isn't there orders it himself.
"""

from __future__ import annotations

import collections
import threading
import time
from typing import Callable, Sequence

from pyexec import log
from pyexec.errors import LayerError, SandboxError
from pyexec.runs.child_handle import ChildHandle
from pyexec.runs.slots import Slot, Slots
from pyexec.runs.zygotes import ZygoteHandle

RETRY_S = 0.2
_LOOK_S = 0.5


class Pool:
    """The waiting children of one kind."""

    def __init__(
        self,
        admin: bool,
        target: int,
        changed: threading.Condition,
        slots: Slots,
        make: Callable[[Slot, bool], ChildHandle],
        release: Callable[[ChildHandle], None],
    ) -> None:
        """Begin with none.

        Args:
            target: how many are to wait. changed: guards all pools; notified when one may find what it lacks. make:
            makes
                the server's half of a child. release: takes back one that isn't wanted, whatever its state.
        """
        self.admin, self.target = admin, target
        self._changed, self._slots, self._make, self._release = changed, slots, make, release
        self._waiting: collections.deque[ChildHandle] = collections.deque()
        self._zygote: ZygoteHandle | None = None
        self._failures = 0  # in a row: of children that ended before they were ready
        self._not_before = self._looked_at = 0.0
        self.closed = False

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def waiting(self) -> list[ChildHandle]:
        """Return those that wait."""
        return list(self._waiting)

    def take(self, deadline: float) -> ChildHandle:
        """Return a child that is ready, the longest waiting first.

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
                # It died while it waited, with its zygote perhaps: then another is as good.
                if not isinstance(error, SandboxError) or time.monotonic() >= deadline:
                    raise
            else:
                self._failures = 0
                return child

    def _next(self, deadline: float) -> ChildHandle:
        with self._changed:
            while not self._waiting:
                if self.closed:
                    raise SandboxError("the sandbox is closed")
                if self._order():  # LayerError: there can't be one
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    raise SandboxError("no child became ready in time")
                self._changed.wait(min(left, RETRY_S))
            return self._waiting.popleft()

    def _note_failure(self) -> None:
        # If not those that waited but new ones die, another would as well: one at a time, and with a pause.
        self._failures += 1
        if self._failures > self.target:
            self._not_before = time.monotonic() + RETRY_S

    def repair(self, zygote: ZygoteHandle | None, retired: Sequence[ZygoteHandle] = ()) -> bool:
        """Have only children of this zygote wait, and as many as there should; return whether they do.

        Args:
            retired: zygotes that make no more children; theirs may wait until as many of the new one's are ready.
        """
        dropped: list[ChildHandle] = []
        with self._changed:
            self._zygote = zygote
            # One that is ready is looked at twice a second: whoever takes it looks as well.
            all_of_them = time.monotonic() >= self._looked_at + _LOOK_S
            if all_of_them:
                self._looked_at = time.monotonic()
            for _ in range(len(self._waiting)):
                child = self._waiting.popleft()
                well = (child.zygote is zygote or child.zygote in retired) and (
                    (child.ready and not all_of_them) or self._is_well(child)
                )
                (self._waiting if well else dropped).append(child)
            try:
                while self._count(zygote) < self.target and self._order():
                    continue
            except LayerError as error:
                self._say(error)
            if self._waiting:
                self._changed.notify_all()
            enough = self._count(zygote) >= self.target
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
        except SandboxError:  # its own words stand in the log, or it was killed
            pass
        else:
            return True
        self._note_failure()
        return False

    @staticmethod
    def _say(error: BaseException) -> None:
        log.say(f"no child can be made for now: {error!r}", log.ERROR)

    def _order(self) -> bool:
        """Order a child, which waits from then on; return whether that could be done. Holds the lock.

        Raises:
            LayerError: there is no place for its directory.
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
            if not isinstance(error, (BrokenPipeError, ConnectionResetError)):  # the zygote has just ended
                self._say(error)
            return False
        self._waiting.append(child)
        return True
