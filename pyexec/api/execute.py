"""POST /execute: from the bytes of a request to its answer, through contract, limits and sandbox.

Knows nothing of sockets. What must happen behind the answer (kill, reap, refill, the slot's return) is put on a stack
that the handler unwinds after writing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import time
import traceback
from typing import Callable

from pyexec import log
from pyexec.accounts import Now
from pyexec.api import hints, request
from pyexec.api.forwarding import Watch
from pyexec.api.keys import Keys
from pyexec.api.metrics import Metrics
from pyexec.api.request import Request
from pyexec.api.response import Context, Done, nobody, respond
from pyexec.callers import Caller, Proxies
from pyexec.config import Config
from pyexec.errors import InternalServerError, PyexecError, ValidationError, bare
from pyexec.http1.answer import Answer, Asked
from pyexec.http1.memory import FREE_BYTES, AnswerBudget, one_at_a_time
from pyexec.http1.message import Head
from pyexec.job import Job, Outcome
from pyexec.limits import Admission, Ticket
from pyexec.presence import CallerGone
from pyexec.sandbox import Sandbox
from pyexec.timing import Stopwatch

Read = Callable[[bytes, Config], Request]
Render = Callable[["Done | PyexecError", Context, Config], Answer]

_FREE_BODY = 65536  # a malformed request up to this size is promised to cost nothing


class Execute:
    """Runs one server's scripts. Thread-safe.

    Attributes:
        proxies: whose word on callers is believed.
    """

    def __init__(
        self,
        config: Config,
        sandbox: Sandbox,
        admission: Admission,
        answers: AnswerBudget,
        metrics: Metrics,
        keys: Keys | None = None,
    ) -> None:
        """Take the parts of the server that a request goes through."""
        self._config, self._sandbox, self._admission, self._metrics = config, sandbox, admission, metrics
        self._answers, self._keys = answers, keys or Keys(config)
        self.proxies = Proxies.of(config)
        self._watch = Watch(self.proxies)

    def __call__(self, asked: Asked) -> Answer:
        """Return the answer to one request, whatever becomes of it."""
        return self.carry_out(asked, request.parse, respond)

    def carry_out(self, asked: Asked, read: Read, render: Render) -> Answer:
        """Return the answer to a request in another form.

        Args:
            read: returns the request in a body, or raises ValidationError. render: makes the answer.
        """
        watch, now, kept = Stopwatch(time.monotonic()), Now.read(), self._answers.keep()
        caller = self.caller(asked.head, asked.peer)
        self._watch.look(asked.head, asked.peer, caller)
        ticket: Ticket | None = None
        try:
            once, parsed = self._parse(asked, read)
            caller = self._authenticate(caller, asked.head, parsed, now)
            job = self._accept(parsed, caller, asked.size, now)
            del parsed
            watch.mark("parse")
            ticket = self._admission.admit(caller, now, once, asked.presence)
            watch.mark("admit")
            context = Context(now.utc, caller, ticket.quota, ticket.active)
            # The slot is free as soon as the run is over, before the answer is out: whoever has it may ask again.
            # What is left to clean up is the sandbox's business, which makes the next run wait for it if need be.
            with ticket:
                outcome = asked.after.enter_context(self._sandbox.execution(job, kept.count, asked.presence))
            self._book(outcome, watch)
            answer = render(Done(job, outcome, self._hint(job, outcome)), context, self._config)
            # JSON writes a control character as six bytes, so that the answer may be larger than what was collected.
            more = answer.in_memory - kept.held
            if more > FREE_BYTES:
                kept.count(more)
        except CallerGone as gone:
            kept.release()
            if ticket is not None and not gone.begun:
                ticket.refund()
            return nobody(caller)
        except Exception as cause:  # noqa: BLE001
            kept.release()  # an error carries nothing of what was collected; first, since what follows may fail as well
            answer = self._refused(cause, caller, ticket, now, render)
        watch.mark("render")
        answer.stages, answer.kept = watch.stages, kept
        return answer

    def caller(self, head: Head, peer: str) -> Caller:
        """Return whose request this is, not yet an admin."""
        return self.proxies.caller(peer, head.fields)

    def forget_body(self, asked: Asked) -> None:
        """Let go of a body before `carry_out`, which can do without: `read` has what was in it."""
        self._once(asked)
        asked.forget_body()

    def _once(self, asked: Asked) -> str:
        """Return what marks a request and its repetitions alone: a client may have chosen the id."""
        if not self._config.charge_once:
            return ""
        request_id = self.proxies.request_id(asked.peer, asked.head.fields)
        return f"{asked.digest} {request_id}" if request_id else ""

    def refuse(self, error: PyexecError, head: Head, peer: str) -> Answer:
        """Return the answer to a request that was refused before its body was read."""
        return self._refused(error, self.caller(head, peer), None, Now.read(), respond)

    def authenticated(self, asked: Asked) -> Caller:
        """Return whose request this is, as admin if the header has the right key. Raises what `Keys` does."""
        return self._authenticate(self.caller(asked.head, asked.peer), asked.head, None, Now.read())

    def charge_large(self, asked: Asked) -> PyexecError | None:
        """Charge a large request that asked for no run; return why its caller may not have more of them."""
        if asked.size <= _FREE_BODY:
            return None
        try:
            caller = self.authenticated(asked)
            if not caller.unlimited:
                self._admission.charge(caller, Now.read())
        except PyexecError as error:
            return bare(error)
        return None

    def _parse(self, asked: Asked, read: Read) -> tuple[str, Request | ValidationError]:
        """Return what `_once` does, and the request in a body, or what is wrong with it; the body is gone then."""
        # Whole, and as text, whose characters take up to four bytes each, it would be in memory several times.
        with one_at_a_time(asked.size):
            try:
                return self._once(asked), read(asked.body, self._config)
            except ValidationError as error:
                return "", bare(error)
            finally:
                asked.forget_body()

    def _authenticate(self, caller: Caller, head: Head, parsed: Request | ValidationError | None, now: Now) -> Caller:
        """Return the caller, with what the key lets it do that came with the request. Raises what `Keys` does."""
        key = parsed.api_key if isinstance(parsed, Request) else None
        scheme, _, token = head.get("authorization").partition(" ")
        if key is None and scheme.lower() == "bearer":
            key = token.strip(" \t")
            # Header fields are read as Latin-1; most clients send UTF-8.
            with contextlib.suppress(UnicodeDecodeError):
                key = key.encode("latin-1").decode("utf-8")
        return caller if key is None else self._keys.authenticate(caller, key, now)

    def _accept(self, parsed: Request | ValidationError, caller: Caller, size: int, now: Now) -> Job:
        """Return the job. Raises ValidationError, RateLimitExceeded."""
        if isinstance(parsed, ValidationError):
            # Finding the fault in a large body is work, which nobody gets for free without end.
            if size > _FREE_BODY and not caller.unlimited:
                self._admission.charge(caller, now)
            # Another one: an error that is raised where a variable holds it holds itself, until there is a collection.
            raise ValidationError(parsed.message, parsed.field)
        return dataclasses.replace(parsed.job, admin=True) if caller.admin else parsed.job

    def _hint(self, job: Job, outcome: Outcome) -> str | None:
        """Return the advice for a run's caller, which names the libraries that are installed."""
        report = self._sandbox.report
        own_tree, deletes = report.own_tree, hints.may_delete(report)
        return hints.for_run(job, outcome, self._config, report.installed, own_tree=own_tree, deletes=deletes)

    def _book(self, outcome: Outcome, watch: Stopwatch) -> None:
        """Enter the run's time into the request's account and the metrics."""
        for name, seconds in outcome.stages:
            watch.add(name, seconds)
        self._metrics.count_run(outcome.duration_s)

    def _refused(self, cause: Exception, caller: Caller, ticket: Ticket | None, now: Now, render: Render) -> Answer:
        """Return the answer to a request that ended in an error; one that is our fault costs the caller nothing."""
        error = cause if isinstance(cause, PyexecError) else fault(cause)
        if ticket is not None and error.status >= 500:
            ticket.refund()
        quota = None if caller.unlimited else self._admission.quota(caller, now)
        active = self._admission.active if ticket is None else ticket.active
        return render(error, Context(Now.read().utc, caller, quota, active), self._config)


def fault(cause: BaseException) -> InternalServerError:
    """Return the error that stands for a fault of ours; its id and cause go to the log, never to the client."""
    fault_id = secrets.token_hex(8)
    text = "".join(traceback.format_exception(type(cause), cause, cause.__traceback__))
    log.say(f"fault {fault_id}: {text.strip()}", log.ERROR)
    return InternalServerError(str(cause), fault_id)
