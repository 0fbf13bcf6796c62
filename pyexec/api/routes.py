"""A request to an answer: the routes, and the walk of `POST /execute` through contract, limits and sandbox.

Knows nothing of sockets. What must happen behind the answer (kill, reap, refill, the slot's return) is put on a stack
that the caller unwinds after writing.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import secrets
import sys
import threading
import time
import traceback
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

from pyexec import __version__, callers, limits
from pyexec.accounts import Now
from pyexec.api import browsers, media, metrics, openapi, response, schemas
from pyexec.api import request as contract
from pyexec.api.hosts import LOOPBACK, Hosts
from pyexec.api.keys import Keys
from pyexec.api.pages import PAGES, tag_of
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import (
    AuthenticationError,
    InternalServerError,
    MethodNotAllowed,
    NotFound,
    PyexecError,
    RateLimitExceeded,
    ServerBusy,
    UnsupportedMediaType,
    ValidationError,
)
from pyexec.http1.answer import JSON, Answer
from pyexec.http1.memory import AnswerBudget
from pyexec.http1.message import Head
from pyexec.job import Job
from pyexec.limits import Limits, Quota
from pyexec.sandbox import Sandbox
from pyexec.timing import Stopwatch

_LARGE = 1 << 20
_FREE_BODY = 65536  # that a malformed request of this size costs nothing is promised


class _Context(NamedTuple):
    """What an error's answer says beside the error, as far as it is known."""

    user: Optional[Dict[str, Any]] = None
    server: Optional[Dict[str, Any]] = None


class Service:
    """One server's routes. Thread-safe."""

    def __init__(self, config: Config, sandbox: Sandbox) -> None:
        """Wire the parts together."""
        self.config = config
        self.limits = Limits(config)
        self._keys = Keys(config)
        self._hosts = Hosts(config.host, config.allowed_hosts)
        self.metrics = metrics.Metrics()
        self.answer_budget = AnswerBudget(config.answers_bytes)
        self._sandbox = sandbox
        self._wide = threading.Lock()
        self._description = b""
        self._started = time.monotonic()
        self._routes: Dict[str, Dict[str, Callable[..., Answer]]] = {
            "/execute": {"POST": self._execute},
            "/health": {"GET": self._health},
            "/about": {"GET": self._about},
            "/metrics": {"GET": self._metrics},
            "/openapi.json": {"GET": self._openapi},
        }
        for path in PAGES:
            self._routes[path] = {"GET": self._page}
        self._metrics_route = {"/metrics": self._routes["/metrics"]}
        if config.metrics_port is not None:
            del self._routes["/metrics"]

    def metrics_alone(self) -> Service:
        """Return the same service with /metrics as its only path, for a port of the loopback."""
        alone = copy.copy(self)
        alone._routes, alone._hosts = self._metrics_route, Hosts(LOOPBACK, self.config.allowed_hosts)
        return alone

    def security_fields(self) -> List[Tuple[str, str]]:
        """Return the header fields that every answer carries."""
        return browsers.fields_of_all(self.config.cors_origin)

    def route(self, head: Head) -> Callable[..., Answer]:
        """Return what answers a request, before its body is read.

        Raises:
            MisdirectedRequest, NotFound, MethodNotAllowed, UnsupportedMediaType.
        """
        if head.method == "CONNECT":  # its target is no path, and its host is never ours
            raise MethodNotAllowed(head.method, self._all_methods())
        self._hosts.check(head)
        media.check_coding(head)
        if head.method == "OPTIONS" and head.path == "*":
            return self._preflight
        methods = self._routes.get(head.path)
        if methods is None:
            paths = [path for path in self._routes if not path.startswith("/static/")]
            raise NotFound("There is nothing at this path; there is %s." % ", ".join(paths))
        if head.method == "OPTIONS":
            return self._preflight
        method = "GET" if head.method == "HEAD" else head.method
        if method not in methods:
            raise MethodNotAllowed(head.method, self._allow(methods))
        if method == "POST":
            media.check_json(head)
        return methods[method]

    @staticmethod
    def _allow(methods: Iterable[str]) -> Tuple[str, ...]:
        return tuple(methods) + (("HEAD",) if "GET" in methods else ()) + ("OPTIONS",)

    def _all_methods(self) -> Tuple[str, ...]:
        return self._allow(dict.fromkeys(method for methods in self._routes.values() for method in methods))

    def _preflight(self, head: Head, body: bytes, peer: str, after: contextlib.ExitStack) -> Answer:
        methods = self._all_methods() if head.path == "*" else self._allow(self._routes[head.path])
        return Answer(204, [], fields=browsers.fields_of_preflight(self.config.cors_origin, methods))

    def _page(self, head: Head, body: bytes, peer: str, after: contextlib.ExitStack) -> Answer:
        page = PAGES[head.path]
        vary = ("Vary", "Accept-Encoding")
        if head.takes_gzip:
            return self._tagged(
                head, page.packed, page.content_type, page.packed_tag, vary, ("Content-Encoding", "gzip")
            )
        return self._tagged(head, page.content, page.content_type, page.tag, vary)

    @staticmethod
    def _tagged(head: Head, content: bytes, content_type: str, tag: str, *more: Tuple[str, str]) -> Answer:
        """Return what the client may keep, if it asks each time whether it is still right (RFC 9110, 13.1.2)."""
        fields = [("Cache-Control", "no-cache"), ("ETag", tag), *more]
        if head.has(tag):
            return Answer(304, [], fields=fields)
        return Answer(200, [content], content_type, fields)

    def _health(self, head: Head, body: bytes, peer: str, after: contextlib.ExitStack) -> Answer:
        state, report = self._sandbox.state(), self._sandbox.report
        document = {
            "status": "ok" if state["ready"] else "unavailable",
            "version": __version__,
            "python": report["python"],
            "layers": [status.name for status in self._sandbox.layers if status.on],
            "dangers": {row["danger"]: row["layers"] for row in report["dangers"]},
            "libraries": report["libraries"],
            "missing_libraries": report["missing"],
            "active_runs": self.limits.active,
            "max_runs": self.config.max_runs,
            "template_restarts": state["restarts"],
            "uptime_sec": round(time.monotonic() - self._started, 3),
        }
        return Answer(
            200 if state["ready"] else 503, [response.dumps(document)], fields=[("Cache-Control", "no-store")]
        )

    def _about(self, head: Head, body: bytes, peer: str, after: contextlib.ExitStack) -> Answer:
        """What the web page says of this server: limits, modules and layers as they are, not as typed twice."""
        config, report = self.config, self._sandbox.report
        document = {
            "version": __version__,
            "limits": schemas.limits(config),
            "modules": config.modules,
            "layers": [dataclasses.asdict(status) for status in self._sandbox.layers],
            "libraries": report["libraries"],
        }
        body = response.dumps(document)
        return self._tagged(head, body, JSON, tag_of(body))

    def _openapi(self, head: Head, body: bytes, peer: str, after: contextlib.ExitStack) -> Answer:
        if not self._description:  # which takes longer to make than all else of a small request
            self._description = response.dumps(openapi.document(self.config))
        return self._tagged(head, self._description, JSON, tag_of(self._description))

    def _metrics(self, head: Head, body: bytes, peer: str, after: contextlib.ExitStack) -> Answer:
        state = self._sandbox.state()
        now = {
            "pyexec_slots": ("gauge", "Scripts that may run at once.", self.config.max_runs),
            "pyexec_active_runs": ("gauge", "Scripts running.", self.limits.active),
            "pyexec_waiting_children": ("gauge", "Children that wait for a job.", state["waiting"]),
            "pyexec_callers": ("gauge", "Callers remembered.", self.limits.callers),
            "pyexec_template_restarts_total": (
                "counter",
                "Times the templates had to be started anew.",
                state["restarts"],
            ),
            "pyexec_uptime_seconds": ("gauge", "Seconds since the start.", time.monotonic() - self._started),
        }
        return Answer(200, [self.metrics.render(now)], metrics.CONTENT_TYPE, [("Cache-Control", "no-store")])

    def count(self, head: Optional[Head], answer: Answer, status: int, received: int) -> None:
        """Count an answer that went out, or that its client did not wait for."""
        # A path of the caller's own making must not become a series of its own.
        path = head.path if head is not None and head.path in self._routes else "other"
        self.metrics.count_request(path, answer.kind, status, received, answer.length, answer.limit_name)

    def _execute(self, head: Head, body: bytes, peer: str, after: contextlib.ExitStack) -> Answer:
        watch = Stopwatch(time.monotonic())
        now = Now.read()
        kept = self.answer_budget.keep()
        caller = self.caller(head, peer)
        quota: Optional[Quota] = None
        active: Optional[int] = None
        ticket: Optional[limits.Ticket] = None
        try:
            parsed = self._parsed(body)
            key = None if isinstance(parsed, ValidationError) else parsed.api_key
            caller = self._authenticated(caller, head, key, now)
            if isinstance(parsed, ValidationError):
                # To find the fault in a large body is work, which must not be had without end.
                if len(body) > _FREE_BODY and not caller.admin:
                    self.limits.charge(caller, now)
                raise parsed
            job = Job(**dict(vars(parsed.job), admin=caller.admin))
            watch.mark("parse")
            ticket = self.limits.admit(caller, now)
            watch.mark("admit")
            # The slot is free as soon as the run is over, the answer not yet out: who has an answer may ask again.
            # What is left to clean up is the sandbox's business, which lets the next run wait for it if need be.
            with ticket:
                quota, active = ticket.quota, ticket.active
                outcome = after.enter_context(self._sandbox.execution(job, kept.count))
            for name, seconds in outcome.stages:
                watch.add(name, seconds)
            self.metrics.count_run(outcome.duration_s)
            context = _Context(response.user_info(caller, quota), self.limits.load(active))
            error = response.error_of(outcome, self.config)
            if error is not None:
                answer = self.error(error, context, None if error.type == "ForbiddenImportError" else outcome)
            else:
                parts = response.render_success(job, outcome, context.user, context.server, now.utc)  # type: ignore[arg-type]
                answer = Answer(200, parts)
        except PyexecError as refusal:
            if isinstance(refusal, ServerBusy) and ticket is not None:  # no room to run, or for the answer
                quota = ticket.refund()
            answer = self._refused(refusal, caller, now, active)
        except Exception as fault:  # noqa: BLE001
            # Ours, whatever it is: the caller gets back what the request cost.
            if ticket is not None:
                quota = ticket.refund()
            answer = self._refused(self.fault(fault), caller, now, active)
        watch.mark("render")
        answer.stages, answer.kept = watch.stages, kept
        answer.caller = "admin" if caller.admin else caller.address
        if not caller.admin:
            answer.fields += response.rate_limit_headers(quota or self.limits.quota(caller, now))
        return answer

    def _parsed(self, body: bytes) -> Union[contract.Request, ValidationError]:
        """Return the request in a body, or what is wrong with it: what that costs depends on whose it is."""
        # A character outside of ASCII makes text of up to four times the bytes: one such body at a time.
        wide = len(body) >= _LARGE and not body.isascii()
        with self._wide if wide else contextlib.nullcontext():
            try:
                return contract.parse(body, self.config)
            except ValidationError as error:
                return error

    def refuse(self, error: PyexecError, head: Optional[Head], peer: str) -> Answer:
        """Return the answer to a request that was refused before its body was read."""
        if head is None or head.path != "/execute":
            return self.error(error)
        now = Now.read()
        caller = self.caller(head, peer)
        answer = self._refused(error, caller, now, None)
        answer.caller = caller.address
        answer.fields += response.rate_limit_headers(self.limits.quota(caller, now))
        return answer

    def caller(self, head: Head, peer: str) -> Caller:
        """Return whose request this is, not an admin yet."""
        return callers.identify(peer, head.get("x-forwarded-for"), self.config.trusted_proxies)

    def _authenticated(self, caller: Caller, head: Head, key: Optional[str], now: Now) -> Caller:
        scheme, _, token = head.get("authorization").partition(" ")
        if key is None and scheme.lower() == "bearer":
            key = token.strip(" \t")
            # Read as Latin-1, as every header field; most clients send UTF-8.
            with contextlib.suppress(UnicodeDecodeError):
                key = key.encode("latin-1").decode("utf-8")
        if key is None:
            return caller
        return self._keys.authenticate(caller, key, now)

    def _refused(self, error: PyexecError, caller: Caller, now: Now, active: Optional[int]) -> Answer:
        quota = None if caller.admin else self.limits.quota(caller, now)
        return self.error(error, _Context(response.user_info(caller, quota), self.limits.load(active)))

    def fault(self, cause: BaseException) -> InternalServerError:
        """Return the error that stands for a fault of ours; its id and cause go to the log, never to the client."""
        fault_id = secrets.token_hex(8)
        text = "".join(traceback.format_exception(type(cause), cause, cause.__traceback__))
        print("pyexec: fault %s: %s" % (fault_id, text.strip()), file=sys.stderr, flush=True)
        return InternalServerError(str(cause), fault_id)

    def error(self, error: PyexecError, context: Optional[_Context] = None, outcome: Any = None) -> Answer:
        """Return the answer for an error, in the one shape that all errors have."""
        context = context or _Context()
        parts = response.render_error(error, Now.read().utc, context.user, context.server, outcome)
        answer = Answer(error.status, parts, kind=error.type, fields=[("Cache-Control", "no-store")])
        answer.limit_name = error.limit_name
        if isinstance(error, (RateLimitExceeded, ServerBusy)):
            answer.fields.append(("Retry-After", str(error.retry_after_s)))
        if isinstance(error, MethodNotAllowed):
            answer.fields.append(("Allow", ", ".join(error.allow)))
        if isinstance(error, UnsupportedMediaType) and error.of_coding:
            answer.fields.append(("Accept-Encoding", "identity"))
        if isinstance(error, AuthenticationError):
            answer.fields.append(("WWW-Authenticate", 'Bearer realm="pyexec"'))
        if isinstance(error, InternalServerError):
            answer.fault = error.fault_id
        return answer
