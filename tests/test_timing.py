"""Where a request's time goes: the stages add up, whatever a script reports of itself; and the warm-up leaves nothing."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from http.client import HTTPConnection

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from pyexec.timing import Stopwatch, server_timing

INSIDE = ("start", "run", "end")
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
)


def test_stages_follow_each_other() -> None:
    watch = Stopwatch(100.0)
    watch.mark_at("one", 100.5)
    watch.add("two", 0.25)
    watch.mark_at("three", 100.0)  # before the last: it took no time
    watch.mark_at("four", 101.0)
    assert watch.stages == [("one", 0.5), ("two", 0.25), ("three", 0.0), ("four", 0.25)]
    assert server_timing(watch.stages) == (
        "one;dur=500.000, two;dur=250.000, three;dur=0.000, four;dur=250.000, total;dur=1000.000"
    )


def test_moments_that_a_run_reports_divide_its_time() -> None:
    now = time.monotonic()
    watch = Stopwatch(now - 3)
    watch.mark_reported(INSIDE, [now - 2, now - 1.5])
    (_, first), (_, second), (_, third) = watch.stages
    assert first == pytest.approx(1) and second == pytest.approx(0.5) and third >= 1.5


@given(st.lists(st.floats(), min_size=2, max_size=2) | anything)
def test_no_report_can_break_the_account(moments: object) -> None:
    started = time.monotonic() - 1
    watch = Stopwatch(started)
    watch.mark_reported(INSIDE, moments)
    whole = sum(seconds for _, seconds in watch.stages)
    assert all(seconds >= 0 and math.isfinite(seconds) for _, seconds in watch.stages)
    assert 1 <= whole <= time.monotonic() - started + 1e-6
    assert watch.stages[-1][0] == "end"


def _timing(port: int, body: bytes) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/execute", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.getheader("Server-Timing", "")


def test_answers_say_where_their_time_went_when_asked_to(start_server) -> None:
    running = start_server(server_timing=1)
    forged = b'{"code": "open(3, \'wb\', 0).write(b\'X{\\"code\\":0,\\"moments\\":[1e999,null,\\"x\\",-1]}\')"}'
    for body in (b'{"code": "print(1)"}', b'{"code": "import numpy"}', forged):
        stages = [part.split(";dur=") for part in _timing(running.port, body).split(", ")]
        assert [name for name, _ in stages] == (
            "accept read parse admit take hand_over start compile run end report collect render total".split()
        )
        durations = [float(text) for _, text in stages]
        assert min(durations) >= 0
        assert sum(durations[:-1]) == pytest.approx(durations[-1], abs=0.01)
    assert [part.split(";")[0] for part in _timing(running.port, b"{}").split(", ")][-2:] == ["render", "total"]


def test_answers_are_silent_about_it_by_default(server) -> None:
    assert _timing(server.port, b'{"code": "print(1)"}') == ""


WARMED = """
import gc, sys, warnings
from pyexec.child import script, warmup
names = ("math", "json", "numpy", "PIL", "reportlab", "fpdf")
for name in names:
    try:
        __import__(name)
    except ImportError:
        pass
def state():
    return dict(
        sys=sorted(set(vars(sys)) - {"last_exc", "last_type", "last_value", "last_traceback"}) + [
            name for name in ("last_exc", "last_type", "last_value", "last_traceback") if hasattr(sys, name)
        ],
        streams=[id(getattr(sys, name)) for name in ("stdin", "stdout", "stderr", "__stdout__")],
        limits=(sys.getrecursionlimit(), id(sys.getrecursionlimit), id(sys.setrecursionlimit)),
        main=id(sys.modules["__main__"]), io=id(sys.modules["io"]), filters=list(warnings.filters),
        argv=None, gc=(gc.isenabled(), gc.get_threshold()), cwd=__import__("os").getcwd(),
    )
looked = []
sources = [source for _, source in warmup.snippets(names)]
assert len(sources) == len(names) + 1, "a snippet is missing, or a library is"
for source in sources:  # what is loaded at first use stays loaded
    warmup.run(source, "/tmp", looked.append)
before = state()
modules = set(sys.modules)
for source in sources:
    warmup.run(source, "/tmp", looked.append)
assert looked == sources + sources
assert state() == before, (state(), before)
assert set(sys.modules) == modules
print("nothing is left")
"""


def test_the_warm_up_works_here_and_puts_everything_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WARMED], env=dict(os.environ, PYTHONPATH=ROOT), stdout=subprocess.PIPE, timeout=120
    )
    assert done.stdout == b"nothing is left\n"


def test_an_idle_child_shows_its_script_nothing_of_the_warm_up(start_server) -> None:
    running = start_server(rate_per_minute=1000, max_runs=1)
    code = (
        "import sys\nprint(sorted(globals()), sys.stdout.tell(), sys.stdin.tell(), sys.getrecursionlimit(), sys.argv)"
    )
    hasty = running.client.execute(code).stdout
    deadline = time.monotonic() + 20
    while running.client.health()["active_runs"]:
        assert time.monotonic() < deadline
    time.sleep(0.2)  # longer than a child waits before it warms up
    assert running.client.execute(code).stdout == hasty
