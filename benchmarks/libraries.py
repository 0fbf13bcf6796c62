"""What an operator's libraries cost: `python -m benchmarks.libraries [ROUNDS]`, with an interpreter that has `.[data]`.

For each library of the set, a run that only imports it against a fresh interpreter that does, asked in turn in each
round; then what the zygote that has them costs at the start and in memory.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from benchmarks import jobs, load, processes, report, targets
from benchmarks.measure import quantile
from pyexec.client import Client

# What a script writes for each of the set.
IMPORTS = (
    "pandas",
    "matplotlib.pyplot",
    "scipy.stats",
    "sympy",
    "sklearn.linear_model",
    "seaborn",
    "statsmodels.api",
    "networkx",
    "openpyxl",
    "xlsxwriter",
    "docx",
    "pptx",
    "pypdf",
    "lxml.etree",
    "bs4",
    "yaml",
    "tabulate",
    "qrcode",
    "plotly.express",
    "imageio",
)
_MODULES = ("--modules", "+data")
_EACH, _PAUSE_S, _STARTS, _LOADED_S = 6, 0.1, 5, 120.0


def _script(code: str) -> jobs.Job:
    def check(body: bytes) -> None:
        assert b'"exit_code": 0' in body, body[:2000]

    return jobs.Job(code, code, {"code": code}, check)


def _fresh_s(code: str) -> float:
    start_s = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=targets.environment(), check=True)
    return time.perf_counter() - start_s


def _health(target: targets.Target) -> dict[str, Any]:
    return Client(f"http://127.0.0.1:{target.port}").health()


def _await_libraries(target: targets.Target) -> None:
    """Wait until the libraries are loaded ahead."""
    deadline_s = time.monotonic() + _LOADED_S
    while "pandas" not in _health(target)["libraries"]:
        assert time.monotonic() < deadline_s, "the libraries are not loaded"
        time.sleep(0.02)


def _imports(rounds: int) -> str:
    target = targets.start_pyexec(more=_MODULES)
    try:
        _await_libraries(target)
        inside: dict[str, list[float]] = {name: [] for name in IMPORTS}
        outside: dict[str, list[float]] = {name: [] for name in IMPORTS}
        for number in range(rounds + 1):
            for name in IMPORTS:
                taken = load.light(target, _script(f"import {name}"), _EACH, _PAUSE_S, 30.0)
                fresh_s = _fresh_s(f"import {name}")
                if number:  # the first round warms the caches of both
                    inside[name] += taken
                    outside[name].append(fresh_s)
    finally:
        target.stop()
    rows = []
    for name in IMPORTS:
        run_s, fresh_s = quantile(inside[name], 0.5), quantile(outside[name], 0.5)
        rows.append((f"`import {name}`", report.ms(run_s), report.ms(fresh_s), f"{run_s / fresh_s:.3f}"))
    return report.table(("script", "in a waiting child, ms", "fresh interpreter, ms", "ratio"), rows)


def _third_zygote() -> str:
    """Compare a server with the set to one without: asked in turn, each started anew."""
    figures: dict[bool, dict[str, list[float]]] = {}
    for _ in range(_STARTS):
        for with_set in (False, True):
            start_s = time.perf_counter()
            target = targets.start_pyexec(more=_MODULES if with_set else ())
            try:
                found = figures.setdefault(with_set, {"start": [], "loaded": [], "memory": [], "print": []})
                load.Caller(target, _script("print(1)")).ask()
                found["start"].append(time.perf_counter() - start_s)
                if with_set:
                    _await_libraries(target)
                    found["loaded"].append(time.perf_counter() - start_s)
                found["memory"].append(processes.holdings(target.process.pid).pss_bytes / jobs.MIB)
                found["print"] += load.light(target, _script("print(1)"), 20, 0.05, 30.0)
            finally:
                target.stop()
    without, having = ({name: quantile(v, 0.5) for name, v in figures[key].items() if v} for key in (False, True))
    rows = [
        ("start to first answer, s", without["start"], having["start"]),
        ("until the set is loaded ahead, s", None, having["loaded"]),
        ("memory when idle, MiB", without["memory"], having["memory"]),
        ("`print(1)`, p50, ms", without["print"] * 1000, having["print"] * 1000),
    ]
    shown = [
        (what, "" if one is None else f"{one:.3g}", f"{two:.3g}", "" if one is None else f"{two / one:.2f}")
        for what, one, two in rows
    ]
    return report.table(("server", "default list", "with `+data`", "ratio"), shown)


def main(rounds: int) -> None:
    """Print both tables."""
    print(_imports(rounds) + "\n\n" + _third_zygote())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
