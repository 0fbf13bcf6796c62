"""What a server says about itself: `/health`, `/about`, `/metrics` and `/openapi.json`. Thread-safe."""

from __future__ import annotations

import dataclasses
import time

from pyexec import __version__
from pyexec.api import metrics, openapi, response, schemas
from pyexec.api.metrics import Metrics
from pyexec.config import Config
from pyexec.http1.answer import Answer, Asked
from pyexec.limits import Limits
from pyexec.sandbox import Sandbox


class Status:
    """The state of one server, from its settings, its sandbox and its counters."""

    def __init__(self, config: Config, sandbox: Sandbox, limits: Limits, counters: Metrics) -> None:
        """Start the clock of the uptime."""
        self._config, self._sandbox, self._limits, self._counters = config, sandbox, limits, counters
        self._started_s = time.monotonic()
        self._description = b""

    def _uptime_s(self) -> float:
        return time.monotonic() - self._started_s

    def health(self, asked: Asked) -> Answer:
        """Return whether a run could be started now, and on what this server stands."""
        state, report = self._sandbox.state(), self._sandbox.report
        found = {
            "status": "ok" if state["ready"] else "unavailable",
            "version": __version__,
            "python": report.python,
            "layers": report.on,
            "dangers": {danger.name: danger.layers for danger in report.dangers},
            "libraries": report.libraries,
            "missing_libraries": report.missing,
            "active_runs": self._limits.active,
            "max_runs": self._config.max_runs,
            "template_restarts": state["restarts"],
            "uptime_sec": round(self._uptime_s(), 3),
        }
        return response.document(found, 200 if state["ready"] else 503)

    def about(self, asked: Asked) -> Answer:
        """Return what the web page says about this server: limits, modules and layers as they are, not typed twice."""
        found = {
            "version": __version__,
            "limits": schemas.limits(self._config),
            "modules": self._config.modules,
            "layers": [dataclasses.asdict(status) for status in self._sandbox.layers],
            "libraries": self._sandbox.report.libraries,
        }
        return response.kept(asked.head, response.dumps(found))

    def openapi(self, asked: Asked) -> Answer:
        """Return the description of the API."""
        if not self._description:  # which takes longer to make than everything else about a small request
            self._description = response.dumps(openapi.document(self._config))
        return response.kept(asked.head, self._description)

    def metrics(self, asked: Asked) -> Answer:
        """Return the counters, and the gauges as they are now."""
        state = self._sandbox.state()
        now = {
            "pyexec_slots": ("gauge", "Scripts that may run at once.", self._config.max_runs),
            "pyexec_active_runs": ("gauge", "Scripts running.", self._limits.active),
            "pyexec_waiting_children": ("gauge", "Children that wait for a job.", state["waiting"]),
            "pyexec_callers": ("gauge", "Callers remembered.", self._limits.callers),
            "pyexec_template_restarts_total": (
                "counter",
                "Times that a zygote had to be restarted.",
                state["restarts"],
            ),
            "pyexec_uptime_seconds": ("gauge", "Seconds since the start.", self._uptime_s()),
        }
        fields = [("Cache-Control", "no-store")]
        return Answer(200, [self._counters.render(now)], metrics.CONTENT_TYPE, fields)
