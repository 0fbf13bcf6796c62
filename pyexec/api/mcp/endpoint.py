"""POST /mcp: the protocol over HTTP, with the limits, keys and confinement of POST /execute. Knows nothing of sockets.

Every message stands for itself: there is no session, and an answer is one JSON document.
"""

from __future__ import annotations

import contextlib
from typing import Any

from pyexec.accounts import Now
from pyexec.api import hints, response
from pyexec.api.execute import Execute
from pyexec.api.mcp import installed, jsonrpc, methods, revisions
from pyexec.api.mcp.call import Call
from pyexec.api.mcp.jsonrpc import INVALID_REQUEST, METHOD_NOT_FOUND, Message, RpcError
from pyexec.api.mcp.revisions import Header
from pyexec.api.mcp.tool import Server
from pyexec.api.request import Request
from pyexec.api.response import Context, Done
from pyexec.config import Config
from pyexec.errors import AuthenticationError, PyexecError
from pyexec.http1.answer import CLOSED_BY_CLIENT, Answer, Asked, Part
from pyexec.http1.memory import one_at_a_time
from pyexec.sandbox import Sandbox

_MOST_OF_BATCH = 20  # messages; no client is known to send more than two
_KIND = "RpcError"  # in the log and the metrics


class Endpoint:
    """What answers POST /mcp. Thread-safe."""

    def __init__(self, config: Config, sandbox: Sandbox, scripts: Execute) -> None:
        """Take what runs scripts."""
        self._config, self._sandbox, self._scripts = config, sandbox, scripts

    def __call__(self, asked: Asked) -> Answer:
        """Return the answer to the message in a body."""
        header = Header.of(asked.head)
        try:
            with one_at_a_time(asked.size):
                value = jsonrpc.load(asked.body)
            batch = isinstance(value, list) and header.version in (None, revisions.WITH_BATCHES)
            answer = self._batch(value, asked, header) if batch else self._one(value, asked, header)
        except RpcError as error:
            answer = _refusal(error)
        if answer.kept is not None or answer.status == CLOSED_BY_CLIENT:  # its run was charged, or given back
            return answer
        refusal = self._scripts.charge_large(asked)
        return answer if refusal is None else _denied(refusal, None)

    def _one(self, value: Any, asked: Asked, header: Header) -> Answer:
        """Answer one message. Raises RpcError: it isn't one, or its revision isn't served."""
        message = jsonrpc.message_of(value)
        version = revisions.of_request(message, header)
        if message.id is None:
            return Answer(202, [])
        try:
            if message.method == methods.CALL:
                return self._call(Call(message, version, self._server(admin=False)), message, asked)
            caller = self._scripts.authenticated(asked)
            result = methods.answer(message, version, self._server(caller.admin))
        except RpcError as error:
            return _refusal(error, version)
        except PyexecError as error:
            return _denied(error, message)
        answer = response.document(jsonrpc.result_of(message, result))
        return response.addressed(answer, Context(Now.read().utc, caller))

    def _call(self, call: Call, message: Message, asked: Asked) -> Answer:
        """Run a script. What goes wrong with it is the model's to know, so it is a result, not an error of HTTP."""

        def read(body: bytes, config: Config) -> Request:
            return Request(call.job(), None)

        def render(done: Done | PyexecError, context: Context, config: Config) -> Answer:
            if isinstance(done, AuthenticationError):
                return response.addressed(_denied(done, message), context)
            error = response.error_of(done.outcome, config, done.job) if isinstance(done, Done) else done
            answer = Answer(200, call.answer(done, context.quota), fields=[response.NO_STORE])
            if error is not None:
                answer.kind, answer.limit_name, answer.fault = error.type, error.limit_name, error.fault_id
            return response.addressed(answer, context)

        return self._scripts.carry_out(asked, read, render)

    def _batch(self, values: list[Any], asked: Asked, header: Header) -> Answer:
        """Answer the messages of a batch one after the other. Raises RpcError: it isn't one."""
        if not 0 < len(values) <= _MOST_OF_BATCH:
            raise RpcError(INVALID_REQUEST, f"A batch has 1 to {_MOST_OF_BATCH} messages.")
        answers: list[Answer] = []
        for value in values:
            # What is left of each run goes at once: a batch must not hold several children.
            with contextlib.ExitStack() as after:
                try:
                    answer = self._one(value, asked.within(after), header)
                except RpcError as error:
                    answer = _refusal(error)
            if answer.status == CLOSED_BY_CLIENT:
                for each in answers:
                    if each.kept is not None:
                        each.kept.release()
                return answer
            answers.append(answer)
        spoken = [answer for answer in answers if answer.parts]
        if not spoken:
            return Answer(202, [])
        parts: list[Part] = []
        together = Answer(200, parts, fields=[response.NO_STORE], caller=spoken[0].caller)
        for answer in spoken:
            parts += [b", " if parts else b"[", *answer.parts]
            if together.kept is None:
                together.kept = answer.kept
            elif answer.kept is not None:
                together.kept.join(answer.kept)
        parts.append(b"]")
        return together

    def _server(self, admin: bool) -> Server:
        report, data = self._sandbox.report, self._sandbox.data
        libraries = installed.libraries(report)
        own_tree, deletes = report.own_tree, hints.may_delete(report)
        return Server(self._config, report.python, libraries, admin, data=data, own_tree=own_tree, deletes=deletes)


def _refusal(error: RpcError, version: str = revisions.MODERN) -> Answer:
    """Return the answer to a message that the protocol refuses."""
    status = 404 if error.code == METHOD_NOT_FOUND else 400
    # Clients of the older revisions take the error from the body, and give up at such a status.
    status = status if revisions.is_modern(version) else 200
    answer = response.document(jsonrpc.error_of(error), status)
    answer.kind = _KIND
    return answer


def _denied(error: PyexecError, message: Message | None) -> Answer:
    """Return an error of HTTP that says in the body, as the protocol has it, what is wrong."""
    id = None if message is None else message.id
    told = RpcError(INVALID_REQUEST, error.message, {"type": error.type, **error.fields()}, id)
    answer = response.document(jsonrpc.error_of(told), error.status)
    answer.fields += error.header_fields()
    answer.kind, answer.limit_name = error.type, error.limit_name
    return answer
