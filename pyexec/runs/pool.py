"""The waiting children, and what is done with one that has had its run.

A few children wait, forked and confined ahead of time; when none does, one is made on demand, as admin children always
are. Each has a slot, which is its uid where it has one of its own: a public child leaves it when it is killed, an admin
child when all of it is gone. The zygotes that they are forked from are the keeper's, who hands them over.
"""

from __future__ import annotations

import collections
import os
import threading
import time
from typing import Any, Callable, Deque, Dict, Optional, Set, Tuple

from pyexec import log
from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.runs import requirements
from pyexec.runs import watch as usage
from pyexec.runs.guard import Guard
from pyexec.runs.handles import Child, Template
from pyexec.runs.janitor import Janitor
from pyexec.runs.keeper import Keeper
from pyexec.runs.workdirs_on_disk import Base

_READY_S = 20.0
_RETRY_S = 0.2


class Pool:
    """The children that wait for jobs, and the templates that make them."""

    def __init__(self, config: Config) -> None:
        """Begin to start everything; `await_start` waits for it. Raises SandboxError if the server lacks a means."""
        self._config = config
        self._changed = threading.Condition()
        # Here and below by whether the child has the libraries. One waiting child a slot, shared out between the two
        # kinds: more runs at once are bound by the processors anyway.
        self._most_waiting = ((config.max_runs + 1) // 2, max(1, config.max_runs // 2))
        self._waiting: Tuple[Deque[Child], Deque[Child]] = (collections.deque(), collections.deque())
        self._free_places: Tuple[Deque[int], Deque[int]] = (collections.deque(), collections.deque())
        self._free_admin_places = list(range(2 * config.max_runs, 3 * config.max_runs))
        self._template: Optional[Template] = None
        self._failure: Optional[BaseException] = None
        self._report: Dict[str, Any] = {}
        self.layers_on: Set[str] = set()
        self._closing = False
        self._base: Optional[Base] = None
        self.guard: Optional[Guard] = None  # of the disk that the base is on
        self._orphans: Deque[Child] = collections.deque(maxlen=1000)  # since the last templates started
        requirements.check_own_means(config)
        self._keeper = Keeper(config, self, self._check_floor)
        self._janitor = Janitor(self.give_back, self._await_due)

    def await_start(self) -> None:
        """Return when the waiting children are ready.

        Raises:
            SandboxError, LayerError: something could not start.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._template is not None or self._failure is not None)
        if self._failure is not None:
            raise self._failure
        deadline = time.monotonic() + _READY_S
        for child in list(self._waiting[False]) + list(self._waiting[True]):
            child.await_ready(deadline)
            if not usage.can_see(child):
                raise SandboxError(
                    "pyexec does not start on this host. /proc hides processes: mount it without hidepid."
                )

    @property
    def report(self) -> Dict[str, Any]:
        """What the running templates said of the host, or the last ones if none run; there after `await_start`."""
        return self._report

    def ready(self) -> bool:
        """Return whether a run could start now, or soon: the templates live."""
        return self._template is not None

    @property
    def restarts(self) -> int:
        """How often other zygotes had to be started."""
        return self._keeper.restarts

    def waiting(self) -> int:
        """Return how many children wait for a job."""
        return sum(map(len, self._waiting))

    def take(self, admin: bool, libraries: bool, deadline: float) -> Child:
        """Return a ready child, the longest waiting first, with the libraries loaded or without.

        Raises:
            LayerError: a child could not be confined. SandboxError: none came in time.
        """
        tries = 0
        while True:
            child = self._make_admin(libraries, deadline) if admin else self._next(libraries, deadline)
            try:
                child.await_ready(deadline)
                return child
            except SandboxError:
                # The child died while waiting, with the template perhaps; nothing of the job has been sent.
                self.give_back(child)
                if time.monotonic() >= deadline:
                    raise
                tries += 1
                if tries > self._config.max_runs:  # not those that waited, but new ones die
                    time.sleep(_RETRY_S)
            except BaseException:
                self.give_back(child)
                raise

    def _next(self, libraries: bool, deadline: float) -> Child:
        def one_waits() -> bool:
            self._refill(libraries, 1)
            return bool(self._waiting[libraries])

        with self._changed:
            self._await(one_waits, deadline)
            child = self._waiting[libraries].popleft()
            self._changed.notify_all()  # the janitor, who need not wait any more if this was the last
            return child

    def _make_admin(self, libraries: bool, deadline: float) -> Child:
        with self._changed:
            self._await(lambda: bool(self._free_admin_places) and self._template is not None, deadline)
            child = self._new_child(self._free_admin_places[0], True, libraries)
            self._free_admin_places.pop(0)
            template = self._template
        assert template is not None
        try:
            template.spawn(child)
        except (SandboxError, MemoryError):  # it has just ended; `await_ready` finds that out, and `take` tries again
            child.far_end.close()
            child.far_status.close()
        return child

    def _await(self, condition: Callable[[], bool], deadline: float) -> None:
        """Wait, holding the lock in between, until a condition holds. Raises SandboxError if it doesn't in time."""
        while not condition():
            if self._closing:
                raise SandboxError("the sandbox is closed")
            left = deadline - time.monotonic()
            if left <= 0:
                raise SandboxError("no child became ready in time")
            self._changed.wait(min(left, _RETRY_S))

    def _new_child(self, place: int, admin: bool, libraries: bool) -> Child:
        workdir = self._base.new_path() if self._base else ""
        return Child(place, admin, libraries, workdir)

    def give_back_later(self, child: Child) -> None:
        """Have all that `give_back` does done behind the answer; see `janitor`.

        What may take longer, as to await the last process of many or to remove a directory, the caller does at once.
        """
        if child.admin or self._base is not None:
            self.give_back(child)
        else:
            self._janitor.take(child)

    def _await_due(self, child: Child, due: float) -> None:
        """Wait until this moment, or until no child like this one waits for a job: then nothing is put off."""
        with self._changed:
            while self._waiting[child.libraries] and not self._closing and time.monotonic() < due:
                self._changed.wait(max(0.0, due - time.monotonic()))

    def give_back(self, child: Child) -> None:
        """Kill what is left of a run, order the next child for its place, remove its directory."""
        try:
            child.kill()
            if not child.admin:
                with self._changed:
                    # A child of a template that has ended is replaced with all the others of that one.
                    if child.template is self._template:
                        self._free_places[child.libraries].append(child.place)
                        self._refill(child.libraries, self._most_waiting[child.libraries])
                        self._changed.notify_all()
            if self._base is not None or child.admin:
                # Nothing must write to a directory that is being removed, nor count as a process of the next run there.
                while not child.await_death(_READY_S):
                    log.say("a run that was killed has not ended yet")
            if child.orphaned:
                with self._changed:
                    self._orphans.append(child)  # and may be making its directory just now; see `drop`
            self._remove_directory(child)
        finally:
            if child.admin:
                with self._changed:
                    self._free_admin_places.append(child.place)
                    self._changed.notify_all()
            child.close()

    def clear(self, child: Child) -> None:
        """End a run whose output has been read, and remove its directory, before it is given back."""
        child.kill()
        if child.await_death(_READY_S):  # else `give_back` waits for it: nothing must write where we remove
            self._remove_directory(child)

    def _remove_directory(self, child: Child) -> None:
        """Remove what a dead child had on disk, else keep it for later; not raised, an answer may be on its way out."""
        if self._base is not None:
            try:
                self._base.remove(os.path.basename(child.workdir))
            except OSError as error:
                log.say(f"what a run left could not be removed: {error!r}")
        if self.guard is not None:
            self.guard.removed(child)

    def _refill(self, libraries: bool, wanted: int) -> None:
        """Order children until so many wait; holds the lock. What fails now is tried again by whoever needs one."""
        waiting, places = self._waiting[libraries], self._free_places[libraries]
        while len(waiting) < wanted and places and self._template is not None and not self._closing:
            try:
                child = self._new_child(places[0], False, libraries)
            except (OSError, MemoryError) as error:
                log.say(f"no child can be made for now: {error!r}")
                return
            try:
                self._template.spawn(child)
            except (SandboxError, MemoryError):  # the template has just ended: the keeper will fill the pool anew
                child.close()
                return
            waiting.append(child)
            places.popleft()
            self._changed.notify_all()

    def _check_floor(self, template: Template) -> None:
        try:
            on = requirements.layers_on(template.report, self._config, self.layers_on)
        except SandboxError:
            template.end()
            raise
        self._report, self.layers_on = template.report, on
        if "mount" not in template.report["namespaces"] and self._base is None:
            self._base = Base(self._config.work_dir)
            self.guard = Guard(self._base.fd)

    def adopt(self, template: Template) -> None:
        """Have a zygote that has just started make the children; one that nobody wants any more ends."""
        with self._changed:
            if self._closing:
                template.close()
                return
            self._template = template
            self._orphans.clear()
            for libraries in (False, True):
                first = libraries * self._config.max_runs
                self._free_places[libraries].extend(range(first, first + self._config.max_runs))
                self._refill(libraries, self._most_waiting[libraries])
            self._changed.notify_all()

    def drop(self, template: Template) -> bool:
        """Forget a zygote that has ended, its waiting children and what they left; return whether the pool closes."""
        with self._changed:
            self._template = None
            left = [child for waiting in self._waiting for child in waiting]
            for held in self._waiting + self._free_places:
                held.clear()
            closing = self._closing
        template.close()
        with self._changed:
            dead = left + list(self._orphans)
        for child in dead:
            self._remove_directory(child)
        for child in left:
            child.close()
        return closing

    def fail(self, error: BaseException) -> None:
        """Tell who waits for the start that there is none."""
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def wait(self, until: float) -> bool:
        """Return at this moment of the monotonic clock, or once the pool is closing: whether it is."""
        with self._changed:
            while not self._closing and time.monotonic() < until:
                self._changed.wait(max(0.0, until - time.monotonic()))
            return self._closing

    def close(self) -> None:
        """End the templates and all children, and remove what they left. Waits for both threads."""
        with self._changed:
            self._closing = True
            template = self._template
            self._changed.notify_all()
        if template is not None:
            template.close()
        self._keeper.join()
        self._janitor.close()
        base, self._base = self._base, None
        if base is not None:
            base.close()
