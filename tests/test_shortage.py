"""Shortage in the middle of things: a template, the server or the disk lacks something for a moment, and nothing is lost.

Each test is named after what was lost, or said wrongly, until the server ended.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from typing import Any

import pytest
from conftest import ROOT
from processes import anyone_left, await_that, descendants
from test_faults import PLAIN, _template, _works

from pyexec.client import ServiceError

REFUSE = [sys.executable, os.path.join(ROOT, "tests", "refuse.py"), "docker", "--"]


@pytest.fixture(params=["mounts", "no mounts"])
def running(request: pytest.FixtureRequest, start_server: Any) -> Any:
    """A server with what this host has, and one that can't mount."""
    wrapper = REFUSE if request.param == "no mounts" else []
    return start_server(wrapper, max_runs=2, rate_per_minute=1000, rate_per_day=1000)


def test_an_order_that_a_template_has_no_descriptors_for(running) -> None:
    """The plain template ended by itself and waited for the other one, for ever: 500 for every run, /health said ok."""
    template = _template(running.process.pid, PLAIN)
    before = sorted(descendants(running.process.pid))
    old = resource.prlimit(template, resource.RLIMIT_NOFILE)
    held = len(os.listdir("/proc/%d/fd" % template))
    resource.prlimit(template, resource.RLIMIT_NOFILE, (held, old[1]))
    assert _works(running)  # in the child that waited; it is to be followed by another
    await_that(lambda: "no descriptor is left for a child" in running.log)
    resource.prlimit(template, resource.RLIMIT_NOFILE, old)
    await_that(lambda: _works(running))
    assert running.client.health()["template_restarts"] == 0 and anyone_left([template])
    await_that(lambda: len(descendants(running.process.pid)) == len(before))
