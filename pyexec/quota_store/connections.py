"""Connections to Redis or Valkey for one script: opened by a thread of their own, and left alone while they fail.

A request never waits for a name to be looked up or a handshake to end, which no timeout of a socket bounds: it takes an
open connection, or does without. redis-py is imported here alone, and only where a store is configured.
"""

from __future__ import annotations

import collections
import hashlib
import importlib
import math
import threading
import time
from typing import Any, Sequence

from pyexec import log
from pyexec.errors import ConfigError

_MOST = 8  # each is used for less than a millisecond at a time
# Shorter ones would have a busy node take a healthy store for one that hangs.
_ALL_S = 0.5  # for a call, whose script may have to be sent three times
_TIMEOUT_S = 0.15  # for each exchange
_WAIT_S = 0.2  # for a connection to become free
_LEFT_ALONE_S = 1.0
_IN_USE = "the shared limits are in use"
_BACK = "the shared limits are back"


class Unreachable(Exception):
    """The store doesn't answer in time; whoever asks must do without it."""


class Connections:
    """A bounded number of connections to one store. Thread-safe."""

    def __init__(self, url: str, script: str) -> None:
        """Begin to connect. Raises ConfigError without redis-py."""
        try:
            self._redis = importlib.import_module("redis")
        except ImportError:
            raise ConfigError("PYEXEC_LIMITS_URL needs redis-py; install pyexec with its extra `redis`.") from None
        self._script, self._digest = script, hashlib.sha1(script.encode()).hexdigest()
        self._errors = (self._redis.exceptions.RedisError, OSError)
        retry = self._redis.retry.Retry(self._redis.backoff.NoBackoff(), 0)
        options = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S, "retry": retry}
        # RESP2: in RESP3 a store can announce its maintenance, for which redis-py waits 10 s instead (from 7.0).
        self._pool = self._redis.ConnectionPool.from_url(url, protocol=2, **options)
        self._changed = threading.Condition()
        self._idle: collections.deque[Any] = collections.deque()
        self._open = self._waiting = 0
        self._down_until_s, self._down, self._busy_until_s = 0.0, False, 0.0
        self._reached = False  # ever
        threading.Thread(target=self._keep_open, name="pyexec-limits", daemon=True).start()

    def call(self, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        """Return what the script says. Raises Unreachable."""
        rest = (len(keys), *keys, *arguments)
        latest_s = time.monotonic() + _ALL_S - _TIMEOUT_S
        try:
            return self._call_once(rest, latest_s)
        except self._redis.exceptions.ConnectionError:
            self._drop_idle()  # closed just then, as when the store restarts: the others were, too
        try:
            return self._call_once(rest, latest_s)
        except self._redis.exceptions.ConnectionError as error:
            self._leave_alone(error)
            raise Unreachable from None

    def _call_once(self, rest: Sequence[object], latest_s: float) -> Any:
        """Return what the script says; no exchange begins later than that.

        Raises:
            Unreachable, and redis-py's ConnectionError.
        """
        connection = self._take(latest_s)
        try:
            try:
                found = self._exchange(connection, latest_s, "EVALSHA", self._digest, *rest)
            except self._redis.exceptions.NoScriptError:
                found = self._exchange(connection, latest_s, "EVAL", self._script, *rest)
        except self._redis.exceptions.ConnectionError:
            self._drop(connection)
            raise
        except self._errors as error:
            self._drop(connection)
            self._leave_alone(error)
            raise Unreachable from None
        with self._changed:
            back, self._down = self._down, False  # while others had no answer in time
            self._idle.append(connection)
            self._changed.notify_all()
        if back:
            log.say(_BACK)
        return found

    def _exchange(self, connection: Any, latest_s: float, *command: object) -> Any:
        if time.monotonic() > latest_s:
            raise TimeoutError
        connection.send_command(*command)
        return connection.read_response()

    def _take(self, latest_s: float) -> Any:
        """Return an open connection. Raises Unreachable."""
        deadline_s = min(time.monotonic() + _WAIT_S, latest_s)
        while True:
            with self._changed:
                connection = self._idle.pop() if self._idle or self._await_idle(deadline_s) else None
                none_opens = connection is None and not self._open and time.monotonic() >= self._down_until_s
            if none_opens:
                self._leave_alone(TimeoutError())
            if connection is None:
                self._say_busy()
                raise Unreachable
            if not self._is_stale(connection):
                return connection
            self._drop(connection)

    def _await_idle(self, deadline_s: float) -> bool:
        """Wait until a connection is idle; return False if none is in time, or has been for others just now."""
        self._waiting += 1
        self._changed.notify_all()
        try:
            while not self._idle:
                now_s = time.monotonic()
                if now_s >= deadline_s or now_s < max(self._down_until_s, self._busy_until_s):
                    return False
                self._changed.wait(deadline_s - now_s)
            return True
        finally:
            self._waiting -= 1

    def _is_stale(self, connection: Any) -> bool:
        """Return whether the store has closed a connection, as it does with idle ones and when it restarts."""
        try:
            return bool(connection.can_read(0))  # nothing was asked, so there is nothing to read but an end
        except self._errors:
            return True

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _say_busy(self) -> None:
        """Note that every connection was in use for too long, unless that or worse has just been said."""
        now_s = time.monotonic()
        with self._changed:
            said = self._down or now_s < self._busy_until_s
            self._busy_until_s = self._busy_until_s if said else now_s + _LEFT_ALONE_S
        if not said:
            text = "the shared limits can't be reached in time (all connections busy); this node counted alone"
            log.say(text, log.WARNING)

    def _drop_idle(self) -> None:
        with self._changed:
            idle, self._idle = self._idle, collections.deque()
            self._open -= len(idle)
            self._changed.notify_all()
        for connection in idle:
            connection.disconnect()

    def _leave_alone(self, error: BaseException) -> None:
        """Have nobody ask the store for a moment."""
        with self._changed:
            first, self._down = not self._down, True
            self._down_until_s = time.monotonic() + _LEFT_ALONE_S
        self._drop_idle()
        if first:  # neither the address nor what the store says: both may have a password in them
            log.say(
                f"the shared limits can't be reached ({type(error).__name__}); this node counts alone meanwhile",
                log.WARNING,
            )

    def _keep_open(self) -> None:
        """Open a connection whenever somebody waits for one, or none is open."""
        while True:
            with self._changed:
                while self._open >= _MOST or (self._open and self._waiting <= len(self._idle)):
                    self._changed.wait()
            time.sleep(max(0.0, self._down_until_s - time.monotonic()))
            connection: Any = None
            try:
                # Not by the pool, which refuses a hundred and first, though those before have been given back.
                connection = self._pool.connection_class(**self._pool.connection_kwargs)
                connection.connect()
                self._exchange(connection, math.inf, "PING")  # a store that hangs accepts connections all the same
            except Exception as error:  # noqa: BLE001 - a wrong certificate, say: whatever it is, this thread goes on
                if connection is not None:
                    connection.disconnect()
                self._leave_alone(error)
                continue
            with self._changed:
                back, self._down, self._down_until_s = self._down, False, 0.0
                first, self._reached = not self._reached, True
                self._open += 1
                self._idle.append(connection)
                self._changed.notify_all()
            if back or first:
                log.say(_BACK if back else _IN_USE)
