"""POST /mcp: the protocol over HTTP, with the limits, keys and confinement of POST /execute. Knows nothing of sockets.

Every message stands for itself: there is no session, and an answer is one JSON document.
"""

from __future__ import annotations

import contextlib
from typing import Any, Tuple, Union

from pyexec.accounts import Now
from pyexec.api import hints, response
from pyexec.api.execute import Execute
from pyexec.api.mcp import installed, jsonrpc, methods, revisions
from pyexec.api.mcp.call import Call
from pyexec.api.mcp.jsonrpc import INVALID_REQUEST, METHOD_NOT_FOUND, Id, Message, RpcError
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
# A message that is refused, one that asks for a run, or another with its revision; none holds on to the body.
Begun = Union[Answer, Call, Tuple[Message, str]]


class Endpoint:
    """What answers POST /mcp. Thread-safe."""

    def __init__(self, config: Config, sandbox: Sandbox, scripts: Execute) -> None:
        """Take what runs scripts."""
        self._config, self._sandbox, self._scripts = config, sandbox, scripts

    def __call__(self, asked: Asked) -> Answer:
        """Return the answer to the message in a body."""
        with one_at_a_time(asked.size):
            begun = self._begun(asked)
        answer = self._batch(begun, asked) if isinstance(begun, list) else self._ended(begun, asked)
        if answer.kept is not None or answer.status == CLOSED_BY_CLIENT:  # its run was charged, or given back
            return answer
        refusal = self._scripts.charge_large(asked)
        return answer if refusal is None else _denied(refusal, None)

    def _begun(self, asked: Asked) -> Begun | list[Begun]:
        """Return what became of the message in a body, or of those in a batch; the body is gone then."""
        header = Header.of(asked.head)
        try:
            value = jsonrpc.load(asked.body)
            if not isinstance(value, list) or header.version not in (None, revisions.WITH_BATCHES):
                return self._one(value, asked, header)
            if not 0 < len(value) <= _MOST_OF_BATCH:
                raise RpcError(INVALID_REQUEST, f"A batch has 1 to {_MOST_OF_BATCH} messages.")
            return [self._one_of_batch(each, asked, header) for each in value]
        except RpcError as error:
            return _refusal(error)
        finally:
            self._scripts.forget_body(asked)

    def _one_of_batch(self, value: Any, asked: Asked, header: Header) -> Begun:
        try:
            return self._one(value, asked, header)
        except RpcError as error:
            return _refusal(error)

    def _one(self, value: Any, asked: Asked, header: Header) -> Begun:
        """Return what is left to do for a message. Raises RpcError: it isn't one, or its revision isn't served."""
        message = jsonrpc.message_of(value)
        version = revisions.of_request(message, header)
        if message.id is None:
            return Answer(202, [])
        try:
            if message.method == methods.CALL:
                return Call(message, version, self._server(admin=False))
            return methods.brief(message), version
        except RpcError as error:
            return _refusal(error, version)

    def _ended(self, begun: Begun, asked: Asked) -> Answer:
        """Return the answer to a message."""
        if isinstance(begun, Answer):
            return begun
        if isinstance(begun, Call):
            return self._call(begun, asked)
        message, version = begun
        try:
            caller = self._scripts.authenticated(asked)
            result = methods.answer(message, version, self._server(caller.admin))
        except RpcError as error:
            return _refusal(error, version)
        except PyexecError as error:
            return _denied(error, message.id)
        answer = response.document(jsonrpc.result_of(message.id, result))
        return response.addressed(answer, Context(Now.read().utc, caller))

    def _call(self, call: Call, asked: Asked) -> Answer:
        """Run a script. What goes wrong with it is the model's to know, so it is a result, not an error of HTTP."""

        def read(body: bytes, config: Config) -> Request:
            return Request(call.job(), None)

        def render(done: Done | PyexecError, context: Context, config: Config) -> Answer:
            if isinstance(done, AuthenticationError):
                return response.addressed(_denied(done, call.id), context)
            error = response.error_of(done.outcome, config, done.job) if isinstance(done, Done) else done
            answer = Answer(200, call.answer(done, context.quota), fields=[response.NO_STORE])
            if error is not None:
                answer.kind, answer.limit_name, answer.fault = error.type, error.limit_name, error.fault_id
            return response.addressed(answer, context)

        return self._scripts.carry_out(asked, read, render)

    def _batch(self, begun: list[Begun], asked: Asked) -> Answer:
        """Run the calls of a batch one after the other, and answer all of it."""
        answers: list[Answer] = []
        for each in begun:
            # What is left of each run goes at once: a batch must not hold several children.
            with contextlib.ExitStack() as after:
                answer = self._ended(each, asked.within(after))
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


def _denied(error: PyexecError, id: Id) -> Answer:
    """Return an error of HTTP that says in the body, as the protocol has it, what is wrong."""
    told = RpcError(INVALID_REQUEST, error.message, {"type": error.type, **error.fields()}, id)
    answer = response.document(jsonrpc.error_of(told), error.status)
    answer.fields += error.header_fields()
    answer.kind, answer.limit_name = error.type, error.limit_name
    return answer
