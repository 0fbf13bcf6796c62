"""What a server says about itself: `/health`, `/about`, `/metrics` and `/openapi.json`. Thread-safe."""

from __future__ import annotations

import dataclasses
import time

from pyexec import __version__
from pyexec.api import metrics, openapi, response
from pyexec.api.metrics import Metrics
from pyexec.config import Config
from pyexec.http1.answer import Answer, Asked
from pyexec.limits import Admission
from pyexec.sandbox import Sandbox


class Status:
    """The state of one server, from its settings, its sandbox and its counters.

    Attributes:
        draining: the server was told to end, and balancers are to send it no more requests.
    """

    def __init__(self, config: Config, sandbox: Sandbox, admission: Admission, counters: Metrics) -> None:
        """Start the clock of the uptime."""
        self._config, self._sandbox, self._admission, self._counters = config, sandbox, admission, counters
        self._started_s = time.monotonic()
        self._description = response.dumps(openapi.document(config))
        self.draining = False

    def _uptime_s(self) -> float:
        return time.monotonic() - self._started_s

    def health(self, asked: Asked) -> Answer:
        """Return whether a run could be started now, and on what this server stands."""
        state, report = self._sandbox.state(), self._sandbox.report
        # 404 rather than 503 while draining: to HAProxy this is leaving, not broken, and to all others the same.
        status, word = (404, "draining") if self.draining else (200, "ok") if state["ready"] else (503, "unavailable")
        found = {
            "status": word,
            "version": __version__,
            "python": report.python,
            "layers": report.on,
            "dangers": {danger.name: danger.layers for danger in report.dangers},
            "libraries": report.libraries,
            "missing_libraries": report.missing,
            "active_runs": self._admission.active,
            "max_runs": self._config.max_runs,
            "queued_requests": self._admission.waiting,
            "template_restarts": state["restarts"],
            "uptime_sec": round(self._uptime_s(), 3),
        }
        answer = response.document(found, status)
        # Balancers ask every second; only that no run could be started is news.
        answer.is_logged = status == 503
        return answer

    def about(self, asked: Asked) -> Answer:
        """Return what the web page says about this server: limits, modules and layers as they are, not typed twice."""
        found = {
            "version": __version__,
            "limits": openapi.limits(self._config),
            "modules": self._config.modules,
            "layers": [dataclasses.asdict(status) for status in self._sandbox.layers],
            "libraries": self._sandbox.report.libraries,
            "data": self._sandbox.data,
        }
        return response.kept(asked.head, response.dumps(found))

    def openapi(self, asked: Asked) -> Answer:
        """Return the description of the API."""
        return response.kept(asked.head, self._description)

    def metrics(self, asked: Asked) -> Answer:
        """Return the counters, and the gauges as they are now, for everybody."""
        return self._metrics(by_key=False)

    def operators_metrics(self, asked: Asked) -> Answer:
        """Return the same, and what each key is used for."""
        return self._metrics(by_key=True)

    def _metrics(self, by_key: bool) -> Answer:
        state = self._sandbox.state()
        now = {
            "pyexec_slots": ("gauge", "Scripts that may run at once.", self._config.max_runs),
            "pyexec_active_runs": ("gauge", "Scripts running.", self._admission.active),
            "pyexec_queued_requests": ("gauge", "Requests that wait for a slot.", self._admission.waiting),
            "pyexec_waiting_children": ("gauge", "Children that wait for a job.", state["waiting"]),
            "pyexec_callers": ("gauge", "Callers remembered.", self._admission.callers),
            "pyexec_template_restarts_total": (
                "counter",
                "Times that a zygote had to be restarted.",
                state["restarts"],
            ),
            "pyexec_zygote_renewals_total": (
                "counter",
                "Times that the zygotes were replaced by new ones.",
                state["renewals"],
            ),
            "pyexec_uptime_seconds": ("gauge", "Seconds since the start.", self._uptime_s()),
        }
        fields = [("Cache-Control", "no-store")]
        return Answer(200, [self._counters.render(now, by_key)], metrics.CONTENT_TYPE, fields)
