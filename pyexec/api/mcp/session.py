"""The protocol on standard streams: lines to answers. One client, whose calls may overlap, and who is the user.

There is no rate limit; at most `max_runs` scripts run at once, and further calls wait.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import Any, Callable, ContextManager, Iterable

from pyexec.api import execute
from pyexec.api.mcp import jsonrpc, methods, revisions
from pyexec.api.mcp.call import Call
from pyexec.api.mcp.jsonrpc import INVALID_REQUEST, Id, Message, RpcError
from pyexec.api.mcp.tool import Server
from pyexec.api.response import Done
from pyexec.errors import PyexecError, ServerBusy
from pyexec.http1.answer import Part
from pyexec.job import Outcome
from pyexec.presence import CallerGone

_MOST_CALLS = 256  # that wait or run, each of which has a thread

Execution = Callable[..., ContextManager[Outcome]]  # of a Job, and a `presence`
Send = Callable[[Iterable[Part]], None]


class Pending:
    """A call that has no answer yet: a `Presence` for its run, which ends when the call is cancelled."""

    def __init__(self) -> None:
        """Start as not cancelled. Raises OSError: no descriptor is left."""
        self._seen, self._told = os.pipe()
        self.events, self.cancelled = select.POLLIN, False

    def cancel(self) -> None:
        """Let the run end; holds the session's lock."""
        if not self.cancelled and self._told >= 0:
            self.cancelled = True
            os.write(self._told, b"x")

    def fileno(self) -> int:
        """Return what is readable once the call is cancelled."""
        return self._seen

    def is_gone(self, found: int) -> bool:
        """Return whether the call is cancelled."""
        return self.cancelled

    def close(self) -> None:
        """Give back the descriptors; holds the session's lock."""
        os.close(self._seen)
        os.close(self._told)
        self._seen = self._told = -1


class Session:
    """One client on standard streams. `take` is for one thread; answers are sent from several."""

    def __init__(self, server: Callable[[], Server], max_runs: int, execution: Execution, send: Send) -> None:
        """Take what returns what the tool's description says now, what runs a job, and what writes one answer."""
        self._server, self._execution, self._send = server, execution, send
        self._slots = threading.BoundedSemaphore(max_runs)
        self._changed = threading.Condition()
        self._pending: dict[Id, Pending] = {}
        self._busy = 0  # threads that run a call or send its answer
        self._ended = False
        self._revision = revisions.LEGACY[0]  # that `initialize` has agreed on

    def take(self, line: bytes) -> None:
        """Take one line of the client's; answers to calls come later."""
        try:
            value = jsonrpc.load(line)
            if isinstance(value, list):
                self._batch(value)
            else:
                self._one(jsonrpc.message_of(value), self._send)
        except RpcError as error:
            self._send(jsonrpc.parts_of(jsonrpc.error_of(error), []))

    def idle(self, timeout_s: float) -> bool:
        """Wait for all calls to be answered; return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout_s)

    def end(self) -> None:
        """Let calls that are still running end without a word, since the sandbox goes."""
        self._ended = True

    def _batch(self, values: list[Any]) -> None:
        """Answer a batch, which one revision has, with a list. Raises RpcError."""
        if self._revision != revisions.WITH_BATCHES or not values:
            raise RpcError(INVALID_REQUEST, "Send one message a line.")
        answers = Gathered(len(values), self._send)
        for value in values:
            try:
                self._one(jsonrpc.message_of(value), answers.add)
            except RpcError as error:
                answers.add(jsonrpc.parts_of(jsonrpc.error_of(error), []))

    def _one(self, message: Message, send: Send) -> None:
        """Answer one message, or begin to. Raises RpcError."""
        if message.id is None:
            if message.method == "notifications/cancelled":
                self._cancel(message)
            send([])
            return
        version = revisions.of_request(message, None)
        if message.method == methods.CALL:
            self._begin(Call(message, version, self._server()), message.id, send)
            return
        result = methods.answer(message, version, self._server())
        if message.method == "initialize":
            self._revision = result["protocolVersion"]
        send(jsonrpc.parts_of(jsonrpc.result_of(message.id, result), []))

    def _begin(self, call: Call, id: Id, send: Send) -> None:
        pending: Pending | None = None
        with self._changed:
            if id in self._pending:
                raise RpcError(INVALID_REQUEST, "A request with this 'id' has no answer yet.", id=id)
            if self._busy < _MOST_CALLS:
                pending = self._pending[id] = Pending()
                self._busy += 1
        if pending is None:
            send(call.answer(ServerBusy(f"{_MOST_CALLS} calls have no answer yet.")))
            return
        # A daemon, so that a run doesn't keep the process when its client has gone.
        threading.Thread(target=self._carry_out, args=(call, id, pending, send), daemon=True).start()

    def _carry_out(self, call: Call, id: Id, pending: Pending, send: Send) -> None:
        try:
            with contextlib.ExitStack() as after:
                parts = self._answer(call, pending, after)
                with self._changed:
                    del self._pending[id]  # before the answer is out, after which the client may use the id again
                # Whoever has cancelled gets no answer, and one in a batch isn't waited for.
                send([] if pending.cancelled else parts)
        finally:
            with self._changed:
                pending.close()
                self._busy -= 1
                self._changed.notify_all()

    def _answer(self, call: Call, pending: Pending, after: contextlib.ExitStack) -> Iterable[Part]:
        """Run a call and return its answer; what is left of the run goes when `after` is unwound."""
        result: PyexecError
        try:
            job = call.job()
            with self._slots:
                if pending.cancelled:
                    return []
                outcome = after.enter_context(self._execution(job, presence=pending))
            return call.answer(Done(job, outcome))
        except CallerGone:
            return []
        except PyexecError as error:
            result = error
        except Exception as cause:  # noqa: BLE001
            if self._ended:
                return []
            result = execute.fault(cause)
        return call.answer(result)

    def _cancel(self, message: Message) -> None:
        """Cancel a call, unless it is answered already or never came."""
        with contextlib.suppress(RpcError):
            pending = self._pending.get(jsonrpc.id_of(message.params.get("requestId")))
            if pending is not None:
                with self._changed:
                    pending.cancel()


class Gathered:
    """The answers of a batch, sent as one list when the last of them has come. Thread-safe."""

    def __init__(self, count: int, send: Send) -> None:
        """Wait for so many answers, of which those to notifications are empty."""
        self._left, self._send, self._lock = count, send, threading.Lock()
        self._parts: list[Part] = []

    def add(self, parts: Iterable[Part]) -> None:
        """Take one answer."""
        with self._lock:
            found = list(parts)
            if found:
                self._parts += [b", " if self._parts else b"[", *found]
            self._left -= 1
            if self._left == 0:
                self._send([*self._parts, b"]"] if self._parts else [])
