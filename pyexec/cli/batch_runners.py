"""What runs the jobs of a batch: a sandbox in this process, or a service. Both return what `POST /execute` answers."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from typing import Any, Iterator, Protocol

from pyexec.accounts import Now
from pyexec.api import hints, request
from pyexec.api.response import Context, Done, respond
from pyexec.client import Client, ServiceError
from pyexec.config import Config
from pyexec.errors import ConfigError, LayerError, PyexecError, SandboxError, ServerBusy, ValidationError
from pyexec.http1.answer import made_as_written
from pyexec.sandbox import Sandbox

_PATIENCE_S = 60.0
_STEP_S = 0.5
_STARTS = 3
# What is the job's own fault, and so its result. Any other refusal would be that of every job.
_OF_THE_JOB = (400, 413)


class RunnerDied(Exception):
    """What ran a job is gone, perhaps by the job's doing; no answer came of it."""


class CannotGoOn(Exception):
    """No further job would be run; the message says why, and what to do."""


class Runner(Protocol):
    """What a batch asks of either kind."""

    at_once: int

    def run(self, body: dict[str, Any]) -> bytes:
        """Return the answer to a body. Raises RunnerDied, CannotGoOn. Thread-safe."""

    def await_ready(self) -> None:
        """Return when it could run a job. Raises CannotGoOn: it couldn't for a minute."""


class Local:
    """A sandbox of this process."""

    def __init__(self, sandbox: Sandbox, config: Config, admin: bool) -> None:
        """Take a sandbox with these settings."""
        self._sandbox, self._config, self._admin = sandbox, config, admin
        self.at_once = config.max_runs

    def run(self, body: dict[str, Any]) -> bytes:
        """Return the answer to a body; rules that it breaks are an answer as well. Raises as `Runner`."""
        context = Context(Now.read().utc)
        try:
            parsed = request.parse(json.dumps(body).encode("ascii"), self._config)
            if parsed.api_key is not None:
                raise ValidationError("A batch without a service takes no key; use --admin.", "api_key")
            job = dataclasses.replace(parsed.job, admin=self._admin)
            with self._sandbox.execution(job) as outcome:
                report = self._sandbox.report
                own_tree, deletes = report.own_tree, hints.may_delete(report)
                hint = hints.for_run(job, outcome, self._config, report.installed, own_tree=own_tree, deletes=deletes)
                return _bytes(Done(job, outcome, hint), context, self._config)
        except ValidationError as error:
            return _bytes(error, context, self._config)
        except ServerBusy as error:
            raise CannotGoOn(str(error)) from error
        except (SandboxError, LayerError, OSError) as error:
            raise RunnerDied(str(error)) from error

    def await_ready(self) -> None:
        """Return when a child waits. Raises CannotGoOn."""
        _await(lambda: bool(self._sandbox.state()["ready"]), "no script can be started any more; see the log above")


def _bytes(result: Done | PyexecError, context: Context, config: Config) -> bytes:
    return b"".join(made_as_written(respond(result, context, config).parts))


def _await(ready: Any, otherwise: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not ready():
        if time.monotonic() > deadline:
            raise CannotGoOn(otherwise)
        time.sleep(_STEP_S)


@contextlib.contextmanager
def local(config: Config, admin: bool) -> Iterator[Local]:
    """Start a sandbox for a batch. Raises SandboxError: this host can't confine scripts."""
    with _started(config) as sandbox:
        yield Local(sandbox, config, admin)


def _started(config: Config) -> Sandbox:
    """Return a sandbox; one whose first child was killed, for want of memory perhaps, is tried again."""
    for _ in range(_STARTS - 1):
        with contextlib.suppress(SandboxError):
            return Sandbox(config)
        time.sleep(_STEP_S)
    return Sandbox(config)


class Service:
    """A pyexec server, over HTTP."""

    def __init__(self, url: str, config: Config, admin: bool) -> None:
        """Take its address; with `admin` the key comes from the environment, as a server's does. Raises ConfigError."""
        if admin and config.admin_key is None:
            raise ConfigError("--admin with --url needs the service's admin key in PYTHON_EXE_KEY.")
        try:
            self._client = Client(url, config.admin_key if admin else None, timeout_s=2 * config.wall_s + _PATIENCE_S)
        except ValueError as error:
            raise ConfigError(f"--url={url!r} is not valid: {error}.") from None
        self.at_once = config.max_runs

    def run(self, body: dict[str, Any]) -> bytes:
        """Return the answer to a body. Raises as `Runner`."""
        try:
            document = self._client.submit(body)
            if not _is_of_a_run(document):
                raise CannotGoOn("the answer isn't from pyexec; is the URL right?")
        except ServiceError as error:
            if error.status in _OF_THE_JOB:
                if not _is_of_an_error(error.document):
                    raise CannotGoOn(f"the answer isn't from pyexec: {error}") from error
                document = error.document
            elif error.status == 500:
                raise RunnerDied(str(error)) from error
            else:
                wait = "" if error.retry_after_s is None else f" (try again in {error.retry_after_s} s)"
                raise CannotGoOn(f"{error}{wait}") from error
        except OSError as error:
            if isinstance(getattr(error, "reason", error), ConnectionRefusedError):
                raise CannotGoOn(f"the service can't be reached: {error}") from error
            raise RunnerDied(str(error)) from error
        return json.dumps(document, ensure_ascii=False).encode("utf-8")

    def await_ready(self) -> None:
        """Return when the service says that it could run a script. Raises CannotGoOn."""
        _await(self._is_healthy, "the service isn't ready any more")

    def _is_healthy(self) -> bool:
        with contextlib.suppress(ServiceError, OSError):
            self._client.health()
            return True
        return False


def _is_of_a_run(document: dict[str, Any]) -> bool:
    """Say whether an answer has what pyexec says of a run that ended by itself."""
    details = document.get("execution_details")
    return document.get("status") == "success" and isinstance(details, dict) and "success" in details


def _is_of_an_error(document: dict[str, Any]) -> bool:
    """Say whether an answer has what pyexec says of an error; a proxy's own may be JSON as well."""
    details = document.get("error_details")
    return document.get("status") == "error" and isinstance(details, dict) and isinstance(details.get("type"), str)
