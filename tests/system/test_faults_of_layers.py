"""Every step of every layer made to fail, one after the other: no script runs, the answer is a 500, service goes on."""

from __future__ import annotations

import os
import re
import tempfile

import pytest
from figures import record
from processes import await_that, settled_tree
from wrappers import EITHER_HOST, injecting

from pyexec.client import ServiceError


@pytest.mark.parametrize("wrapper", EITHER_HOST.values(), ids=EITHER_HOST)
@pytest.mark.parametrize("kind", ["public", "admin"])
def test_every_step_of_every_layer_fails_in_turn(start_server, kind, wrapper) -> None:
    with tempfile.TemporaryDirectory(prefix="work-dir-") as work_dir:
        os.chmod(work_dir, 0o755)
        running = start_server(
            wrapper + injecting(kind), max_runs=1, rate_per_minute=1000, rate_per_day=1000, work_dir=work_dir
        )
        caller = running.admin if kind == "admin" else running.client
        if kind == "public":
            assert caller.execute("print('before')").stdout == "before\n"
        faults = set()
        while True:
            try:
                result = caller.execute("print('ran')")
                break
            except ServiceError as error:
                details = error.document["error_details"]
                assert (error.status, error.type) == (500, "InternalServerError")
                assert "ran" not in str(error.document.get("execution_details")) and "made to fail" not in str(details)
                assert details["id"] in running.log
                faults.add(details["id"])
                assert len(faults) < 500
        assert result.stdout == "ran\n"
        steps = re.findall(r"layer (\w+)[^\n]*made to fail", running.log)
        expected = {"child", "workdir", "identity", "rlimits", "landlock", "seccomp"}
        layers = running.client.health()["layers"]
        assert set(steps) == (expected | {"namespaces"} if "mount_namespace" in layers else expected), steps
        assert len(faults) >= 40
        # Nobody paid for it, no slot is lost, and nothing of the children that failed is left.
        health = running.client.health()
        assert (health["active_runs"], health["template_restarts"]) == (0, 0)
        if kind == "public":
            assert result.document["user_info"]["requests_today"] == 2
        if os.geteuid() == 0:
            await_that(lambda: settled_tree(running.process.pid).processes <= 6)
        assert running.client.execute("print('after')").stdout == "after\n"
        assert running.stop() == 0 and os.listdir(work_dir) == []
    record("faults survived", len(faults))
