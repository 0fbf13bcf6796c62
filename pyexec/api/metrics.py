"""Counters of one server, as Prometheus text. They carry no address, no part of any script, and of keys only names.

Thread-safe. Source: the Prometheus text exposition format, version 0.0.4.
"""

from __future__ import annotations

import threading
from typing import Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Every limit that a request or run can meet, so that each series is there from the start.
LIMITS = (
    "minute day guesses runs slots queue connections bodies answers body head"
    " time memory cpu processes threads disk files output"
).split()
BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """What happened since the start; `render` adds the present state."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = {}
        self._refusals = dict.fromkeys(LIMITS, 0)
        self._bytes = {"received": 0, "sent": 0}
        self._durations = [0] * (len(BUCKETS_S) + 1)
        self._duration_sum_s = 0.0
        self._by_key: dict[tuple[str, str, int], int] = {}

    def count_request(
        self, path: str, kind: str, status: int, received: int, sent: int, limit_name: str = "", key: str = ""
    ) -> None:
        """Count one answer.

        Args:
            path: a known route or "other", so that callers can't create series. limit_name: the limit that refused the
                request or ended its run, "" if none did. key: the name of the caller's key, "" without one.
        """
        with self._lock:
            series = (path, kind, status)
            self._requests[series] = self._requests.get(series, 0) + 1
            if key:
                self._by_key[key, kind, status] = self._by_key.get((key, kind, status), 0) + 1
            if limit_name:
                self._refusals[limit_name] = self._refusals.get(limit_name, 0) + 1
            self._bytes["received"] += received
            self._bytes["sent"] += sent

    def count_run(self, duration_s: float) -> None:
        """Count one run that has ended."""
        with self._lock:
            bucket = next((n for n, limit in enumerate(BUCKETS_S) if duration_s <= limit), len(BUCKETS_S))
            self._durations[bucket] += 1
            self._duration_sum_s += duration_s

    def render(self, now: Mapping[str, tuple[str, str, float]], by_key: bool = False) -> bytes:
        """Return everything as text.

        Args:
            by_key: also by names of keys, which are nobody's business but the operator's.
            now: name → (type, help, value) of each gauge or counter that is kept elsewhere.
        """
        with self._lock:
            requests = dict(self._requests)
            lines: list[str] = []
            lines += _family("pyexec_requests_total", "counter", "Answers by path, outcome type and status.")
            for (path, kind, status), count in sorted(requests.items()):
                labels = (("path", path), ("type", kind), ("status", str(status)))
                lines.append(_sample("pyexec_requests_total", labels, count))
            text = "Requests refused, or runs ended, by the limit that they met."
            lines += _family("pyexec_refusals_total", "counter", text)
            lines += [_sample("pyexec_refusals_total", (("limit", n),), c) for n, c in self._refusals.items()]
            lines += _family("pyexec_body_bytes_total", "counter", "Bytes of bodies, received and sent.")
            lines += [_sample("pyexec_body_bytes_total", (("way", w),), n) for w, n in sorted(self._bytes.items())]
            lines += self._histogram()
            lines += self._of_keys() if by_key else []
        for name, (kind, text, value) in now.items():
            lines += _family(name, kind, text) + [_sample(name, (), value)]
        return ("\n".join(lines) + "\n").encode("utf-8")

    def _of_keys(self) -> list[str]:
        name = "pyexec_key_requests_total"
        lines = _family(name, "counter", "Answers to requests with a named key, by its name, outcome type and status.")
        for (key, kind, status), count in sorted(self._by_key.items()):
            lines.append(_sample(name, (("key", key), ("type", kind), ("status", str(status))), count))
        return lines

    def _histogram(self) -> list[str]:
        name = "pyexec_run_duration_seconds"
        lines = _family(name, "histogram", "Wall-clock time of runs, from the job's hand-over to its end.")
        total = 0
        for limit, count in zip(list(map(repr, BUCKETS_S)) + ["+Inf"], self._durations):
            total += count
            lines.append(_sample(name + "_bucket", (("le", limit),), total))
        lines.append(_sample(name + "_sum", (), self._duration_sum_s))
        lines.append(_sample(name + "_count", (), total))
        return lines


def _family(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _sample(name: str, labels: Sequence[tuple[str, str]], value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
