"""One call of the tool: its arguments to a job, and what came of that to the text of an answer. Pure.

HTTP and standard streams differ only in who runs the job in between.
"""

from __future__ import annotations

import dataclasses

from pyexec.api import hints, response
from pyexec.api.hint_scene import Names
from pyexec.api.mcp import arguments, jsonrpc, methods, result
from pyexec.api.mcp.jsonrpc import Message
from pyexec.api.mcp.tool import Server
from pyexec.api.response import Done
from pyexec.errors import PyexecError, RateLimitExceeded, ServerBusy, ValidationError, bare
from pyexec.http1.answer import Part
from pyexec.job import Job
from pyexec.limits import Quota

_NAMES = Names("'stdin'", "'files'", "Pictures and short texts that it writes come back as well.")


class Call:
    """A `tools/call` that is to be answered.

    It may wait and run for long, so it has nothing of the message but what the run needs, which is no larger than the
    body was: parsed, that takes four times as much, and `_meta` alone may be all of it.

    Attributes:
        id: of the request.
    """

    def __init__(self, message: Message, version: str, server: Server) -> None:
        """Take the request, and the revision to serve it by. Raises RpcError: it is malformed."""
        self.id, self._version, self._server = message.id, version, server
        given = methods.arguments_of_call(message)
        self._named = arguments.names_files(given)
        self._job: Job | ValidationError
        try:
            job = arguments.job_of(given, server.config)
            self._job = dataclasses.replace(job, admin=True) if server.admin else job
        except ValidationError as error:
            self._job = bare(error)

    def job(self) -> Job:
        """Return the job that the arguments ask for. Raises ValidationError: one of them is wrong."""
        if isinstance(self._job, ValidationError):
            raise ValidationError(self._job.message, self._job.field)
        return self._job

    def answer(self, done: Done | PyexecError, quota: Quota | None = None) -> list[Part]:
        """Return the answer's text, in parts; `quota` is that of a caller who has one."""
        if isinstance(done, Done):
            shaped = result.of_run(done, self._hint(done), self._named, self._server.config)
        else:
            shaped = result.of_error(done, self._hint(done), quota)
        found = methods.shaped(shaped.document, self._version)
        return jsonrpc.parts_of(jsonrpc.result_of(self.id, found), shaped.blobs)

    def _hint(self, done: Done | PyexecError) -> str | None:
        """Return the advice for what happened, in the words of the tool's arguments."""
        if isinstance(done, Done):
            server = self._server
            host = server.own_tree, server.deletes
            hint = hints.for_run(done.job, done.outcome, server.config, server.libraries, _NAMES, *host)
            ended = response.error_of(done.outcome, server.config, done.job)
            return hint if hint or ended is None else hints.for_error(ended)
        # When to go on stands in the message.
        return None if isinstance(done, (RateLimitExceeded, ServerBusy)) else hints.for_error(done)
