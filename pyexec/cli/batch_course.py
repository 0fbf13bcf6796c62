"""The course of a batch: jobs to a runner, answers to the file, and what is done when the runner dies.

A job is run at least once and has one line. When a runner dies, the jobs that were under way are run again one by one
at the end, where each can only harm itself: one that has taken its runner down three times is "lost".
"""

from __future__ import annotations

import collections
import json
import sys
import threading
import time
import traceback
from typing import Any, Callable, Counter, Iterator

from pyexec import log, units
from pyexec.cli.batch_files import Entry, Jobs, Results
from pyexec.cli.batch_runners import CannotGoOn, Runner, RunnerDied
from pyexec.errors import ValidationError

TRIES = 3
GOOD, FAILED, LOST = "succeeded", "failed", "lost"
_INCOMPLETE_STATUS, _INTERRUPTED_STATUS = 1, 130
_SHOW_EVERY_S = 0.2


class Batch:
    """One run of the command, from the first job that has no result to the last."""

    def __init__(self, jobs: Jobs, results: Results, runner: Runner) -> None:
        """Take the parts; nothing is run yet."""
        self._ids, self._results, self._runner = jobs.ids, results, runner
        self._progress = Progress(len(self._ids), len(self._ids - results.done))
        self._waiting: Iterator[Entry] = jobs.without(set(results.done))
        self._suspects: list[Entry] = []  # under way when a runner died
        self._lock = threading.Lock()
        self._stop = ""

    def run(self) -> int:
        """Run all jobs; return the exit status, which is 0 only if every job has a result."""
        threads = [threading.Thread(target=self._work) for _ in range(self._runner.at_once)]
        interrupted = False
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
            for entry in self._suspects:
                self._guarded(self._alone, entry)
        except KeyboardInterrupt:  # what is under way is finished
            interrupted, self._stop = True, "interrupted"
            for thread in threads:
                thread.join()
        self._progress.end()
        missing = len(self._ids - self._results.done)
        if missing and not self._stop:
            self._stop = f"{units.count(missing, 'script')} ended without a result"
        if self._stop:
            log.say(f"stopped: {self._stop}; the same command goes on from here")
        if interrupted:
            return _INTERRUPTED_STATUS
        return _INCOMPLETE_STATUS if self._stop or self._progress.kinds[LOST] else 0

    def _work(self) -> None:
        """Be a thread: run one job after the other."""
        while not self._stop:
            if not self._guarded(self._next):
                return

    def _guarded(self, step: Callable[..., bool], *arguments: Any) -> bool:
        """Take a step; whatever would fail for every further job as well ends the batch. Return what it returns.

        So does an error that nobody has thought of: with the thread alone, its job would be gone without a word.
        """
        try:
            return not self._stop and step(*arguments)
        except (CannotGoOn, ValidationError, OSError) as error:
            self._stop = self._stop or str(error)
        except Exception as error:  # noqa: BLE001
            self._stop = self._stop or f"unexpected {error!r}"
            log.say("".join(traceback.format_exception(type(error), error, error.__traceback__)), log.ERROR)
        return False

    def _next(self) -> bool:
        with self._lock:
            entry = next(self._waiting, None)
        if entry is None:
            return False
        try:
            self._add(entry, self._runner.run(entry.body))
        except RunnerDied:
            with self._lock:
                self._suspects.append(entry)
            self._runner.await_ready()
        return True

    def _alone(self, entry: Entry) -> bool:
        """Run a job while no other is under way, so that a runner that dies was taken down by this one."""
        for _ in range(TRIES):
            self._runner.await_ready()
            try:
                self._add(entry, self._runner.run(entry.body))
                return True
            except RunnerDied as error:
                reason = str(error)
        message = f"What ran it died {TRIES} times: {reason}"
        document = {"status": LOST, "error_details": {"type": "Lost", "message": message}}
        self._add(entry, json.dumps(document).encode("ascii"))
        return True

    def _add(self, entry: Entry, document: bytes) -> None:
        kind = _kind(document)  # first: what can't be counted isn't an answer
        self._results.add(entry.id, document)
        self._progress.add(kind)


def _kind(document: bytes) -> str:
    """Return what to count an answer as, from its beginning or its details."""
    found = json.loads(document)
    if found["status"] != "success":
        return LOST if found["status"] == LOST else str(found["error_details"]["type"])
    return GOOD if found["execution_details"]["success"] else FAILED


class Progress:
    """How far a batch is: a line on a terminal, and a sentence at the end. Thread-safe.

    Attributes:
        kinds: how many jobs came to which end.
    """

    def __init__(self, total: int, left: int) -> None:
        """Start the clock of a batch in which so many jobs of `total` are left."""
        self.kinds: Counter[str] = collections.Counter()
        self._total, self._left, self._lock = total, left, threading.Lock()
        self._started_s, self._shown_s = time.monotonic(), 0.0
        self._live = sys.stderr.isatty()

    def add(self, kind: str) -> None:
        """Count a job, and show it now and then."""
        with self._lock:
            self.kinds[kind] += 1
            now = time.monotonic()
            if self._live and now - self._shown_s >= _SHOW_EVERY_S:
                self._shown_s = now
                sys.stderr.write("\r" + self._line(now).ljust(70))
                sys.stderr.flush()

    def _line(self, now: float) -> str:
        done = sum(self.kinds.values())
        rate = done / max(now - self._started_s, 1e-3)
        minutes, seconds = divmod(round((self._left - done) / rate), 60)
        percent = 100 * (self._total - self._left + done) // self._total
        return f"{percent} %, {done} of {self._left} done, {rate:.1f}/s, {minutes}:{seconds:02} left"

    def end(self) -> None:
        """Clear the line and say what came of the batch."""
        if self._live:
            sys.stderr.write("\r" + " " * 70 + "\r")
        done, took_s = sum(self.kinds.values()), time.monotonic() - self._started_s
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common())
        log.say(f"{units.count(done, 'script')} in {took_s:.1f} s{': ' if kinds else ''}{kinds}")
