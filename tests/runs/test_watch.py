"""What is measured of a run while it runs: memory of all kinds, processes, threads, its directory."""

from __future__ import annotations

import pytest

from pyexec.client import ServiceError


def test_shared_memory_counts(server) -> None:
    code = """
import mmap, os, time
for _ in range(6):
    if os.fork() == 0:
        memory = mmap.mmap(-1, 200 << 20)
        for place in range(0, len(memory), 4096):
            memory[place] = 1
        time.sleep(10)
time.sleep(10)
"""
    with pytest.raises(ServiceError) as caught:
        server.admin.execute(code)
    assert caught.value.document["error_details"]["resource"] == "memory"
