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
        assert caller.execute("print('before')").stdout == "before\n"
        faults, served = set(), 0
        expected = {"session", "workdir", "hello", "identity", "rlimits", "landlock", "descriptors", "seccomp"}
        expected |= {"namespaces"} & {each.partition("mount_")[2] + "s" for each in running.client.health()["layers"]}
        while not expected <= set(re.findall(r"layer (\w+)[^\n]*made to fail", running.log)):
            try:
                result = caller.execute("print('ran')")
                assert result.stdout == "ran\n"  # in a child whose layers are all on
                served += 1
            except ServiceError as error:
                details = error.document["error_details"]
                assert (error.status, error.type) == (500, "InternalServerError")
                assert "ran" not in str(error.document.get("execution_details")) and "made to fail" not in str(details)
                assert details["id"] in running.log
                faults.add(details["id"])
                assert len(faults) < 500
        assert set(re.findall(r"layer (\w+)[^\n]*made to fail", running.log)) == expected
        # Nobody paid for it, no slot is lost, and nothing of the children that failed is left.
        health = running.client.health()
        assert (health["active_runs"], health["template_restarts"]) == (0, 0)
        after = running.client.execute("print('after')")
        assert after.stdout == "after\n"
        if kind == "public":
            assert after.document["user_info"]["requests_today"] == served + 2
        if os.geteuid() == 0:  # the server, two above the zygotes, these, and what waits: of an admin's, two processes
            await_that(lambda: settled_tree(running.process.pid).processes <= 5 + 2 + 2 * 2)
        assert running.stop() == 0 and os.listdir(work_dir) == []
    record("faults survived", len(faults))
