"""Paths to functions: what answers a request, decided before its body is read. Knows nothing of sockets."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, Sequence

from pyexec import key_file, log, units
from pyexec.accounts import Now
from pyexec.api import browsers, execute, media, pages
from pyexec.api.execute import Execute
from pyexec.api.hosts import LOOPBACK, Hosts
from pyexec.api.keys import Keys
from pyexec.api.mcp import revisions
from pyexec.api.mcp.endpoint import Endpoint
from pyexec.api.metrics import Metrics
from pyexec.api.response import Context, respond
from pyexec.api.status import Status
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import ConfigError, MethodNotAllowed, NotFound, PyexecError
from pyexec.http1.answer import Answer, Asked
from pyexec.http1.memory import AnswerBudget
from pyexec.http1.message import Head
from pyexec.key_file import NamedKey
from pyexec.limits import Admission
from pyexec.sandbox import Sandbox

_EXECUTE, _MCP, _METRICS = "/execute", "/mcp", "/metrics"

Table = Dict[str, Dict[str, Callable[[Asked], Answer]]]  # path → method → what answers


class Service:
    """The parts that answer requests, made once for all listening sockets.

    Attributes:
        public: what the server's own socket answers. metrics_only: what the one for `--metrics-port` does.
    """

    def __init__(self, config: Config, sandbox: Sandbox, named: Sequence[NamedKey] = ()) -> None:
        """Wire the parts together; `named` are the keys of the keys file."""
        admission, metrics, answers = Admission(config), Metrics(), AnswerBudget(config.answers_bytes)
        self._keys, self._keys_file = Keys(config, named), config.keys_file
        scripts = Execute(config, sandbox, admission, answers, metrics, self._keys)
        self._status = status = Status(config, sandbox, admission, metrics)
        everything: Table = {
            _EXECUTE: {"POST": scripts},
            _MCP: {"POST": Endpoint(config, sandbox, scripts)},
            "/health": {"GET": status.health},
            "/about": {"GET": status.about},
            _METRICS: {"GET": status.metrics},
            "/openapi.json": {"GET": status.openapi},
            **{path: {"GET": pages.answer} for path in pages.PAGES},
        }
        alone: Table = {_METRICS: {"GET": status.operators_metrics}}
        if config.metrics_port is not None:
            del everything[_METRICS]
        public = Hosts(config.host if config.unix_socket is None else None, config.allowed_hosts)
        inside = Hosts(LOOPBACK, config.allowed_hosts)
        self.public = Routes(config, everything, public, scripts, metrics, answers)
        self.metrics_only = Routes(config, alone, inside, scripts, metrics, answers)

    def read_keys(self) -> None:
        """Read the keys file again; where it is malformed, the log says so and the old keys stay."""
        if self._keys_file is None:
            return
        try:
            named = key_file.read(self._keys_file)
        except ConfigError as error:
            log.say(f"the old keys stay: {error}", log.ERROR)
            return
        self._keys.replace(named)
        log.say(f"{units.count(len(named), 'named key')} from {self._keys_file}")

    def drain(self) -> None:
        """Have `/health` say from now on that this server takes no new callers; all else is answered as before."""
        self._status.draining = True


class Routes:
    """The paths of one listening socket: the `Application` of its connections. Thread-safe."""

    def __init__(
        self, config: Config, table: Table, hosts: Hosts, scripts: Execute, metrics: Metrics, answers: AnswerBudget
    ) -> None:
        """Take the paths, and the hosts that they are served under."""
        self.config, self.answers = config, answers
        self._table, self._hosts, self._scripts, self._metrics = table, hosts, scripts, metrics

    def route(self, head: Head) -> Callable[[Asked], Answer]:
        """Return what answers a request, before its body is read.

        Raises:
            MisdirectedRequest, NotFound, MethodNotAllowed, Forbidden, UnsupportedMediaType.
        """
        if head.method == "CONNECT":  # its target is not a path, and its host is never ours
            raise MethodNotAllowed(head.method, self._all_methods())
        self._hosts.check(head)
        media.check_coding(head)
        if head.method == "OPTIONS" and head.path == "*":
            return self._options
        methods = self._table.get(head.path)
        if methods is None:
            paths = ", ".join(path for path in self._table if not path.startswith("/static/"))
            raise NotFound(f"There is nothing at this path; there is {paths}.")
        if head.method == "OPTIONS":
            return self._options
        method = "GET" if head.method == "HEAD" else head.method
        if method not in methods:
            raise MethodNotAllowed(head.method, _allowed(methods))
        if head.path == _MCP:
            browsers.check_origin(head, self.config.cors_origin, self._hosts.are_surely)
        if method == "POST":
            media.check_json(head)
        return methods[method]

    def _options(self, asked: Asked) -> Answer:
        methods = self._all_methods() if asked.head.path == "*" else _allowed(self._table[asked.head.path])
        more = revisions.FIELDS if asked.head.path == _MCP else ()
        return Answer(204, [], fields=browsers.fields_of_preflight(self.config.cors_origin, methods, more))

    def _all_methods(self) -> tuple[str, ...]:
        return _allowed(dict.fromkeys(method for methods in self._table.values() for method in methods))

    def refuse(self, error: PyexecError, head: Head | None, peer: str) -> Answer:
        """Return the answer to a request that ended in an error before anything could answer it.

        Args:
            head: None if there is none, or if nothing about the request is to be relied on.
        """
        if head is not None and head.path == _EXECUTE:
            return self._scripts.refuse(error, head, peer)
        return respond(error, Context(Now.read().utc), self.config)

    def fault(self, cause: BaseException) -> PyexecError:
        """Return the error that stands for a fault of ours, once it is in the log."""
        return execute.fault(cause)

    def caller(self, head: Head, peer: str) -> Caller:
        """Return whose request this is, not yet an admin."""
        return self._scripts.caller(head, peer)

    def request_id(self, head: Head, peer: str) -> str:
        """Return the id that a trusted proxy gave this request, "" if none did."""
        return self._scripts.proxies.request_id(peer, head.fields)

    def security_fields(self) -> list[tuple[str, str]]:
        """Return the header fields that every answer carries."""
        return browsers.fields_of_all(self.config.cors_origin)

    def count(self, head: Head | None, answer: Answer, status: int, received: int) -> None:
        """Count an answer that went out, or that its client did not wait for."""
        # A path of the caller's own making must not become a series of its own.
        path = head.path if head is not None and head.path in self._table else "other"
        self._metrics.count_request(path, answer.kind, status, received, answer.length, answer.limit_name, answer.key)


def _allowed(methods: Iterable[str]) -> tuple[str, ...]:
    return (*methods, *(("HEAD",) if "GET" in methods else ()), "OPTIONS")
