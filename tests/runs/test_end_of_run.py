"""Nothing of a run executes once its output is read: on hosts of each kind, whatever the run has left behind."""

from __future__ import annotations

import os
import struct

import pytest

from pyexec import Config, Job, Sandbox
from pyexec.errors import SandboxError
from pyexec.runs.handles import ChildHandle

# A process that outlives the script counts in two files, one after the other; between the two lies a large one, which
# takes the server a while to read. Where the counting goes on meanwhile the second count is far ahead of the first.
WRITE_ON = """
import os, struct
first, last = (os.open(name, os.O_CREAT | os.O_RDWR) for name in ("first", "last"))
for name in ("large-1", "large-2"):
    with open(name, "wb") as file:
        file.write(bytes(8 << 20))
ready, tell = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        count = 0
        while True:
            count += 1
            for fd in (first, last):
                os.pwrite(fd, struct.pack("q", count), 8 * _)
            if count == 100:
                os.write(tell, b"x")
for _ in range(3):
    os.read(ready, 1)
print("left")
os._exit(0)
"""


def test_what_an_admin_run_forked_writes_no_more_while_its_output_is_read(either_host) -> None:
    for _ in range(12):
        result = either_host.admin.execute(WRITE_ON, return_files=["first", "large-1", "large-2", "last"])
        assert result.stdout == "left\n", result
        counts = [struct.unpack("3q", result.files[name]) for name in ("first", "last")]
        for before, after in zip(*counts):
            assert 100 <= before and after in (before - 1, before), counts


@pytest.mark.parametrize(
    "admin,code", [(True, "import os, time\nif os.fork() == 0: time.sleep(9)"), (False, "while True: pass")]
)
def test_a_run_that_does_not_die_is_no_answer(monkeypatch: pytest.MonkeyPatch, admin: bool, code: str) -> None:
    with Sandbox(Config.of(max_runs=1, wall_s=0.5, uid_base=31000000 + 10 * os.getpid())) as sandbox:
        # Only for what wants to read the output: what cleans up behind the run waits until it is dead.
        monkeypatch.setattr(ChildHandle, "await_gone", lambda self, timeout_s: False)
        with pytest.raises(SandboxError, match="has not ended"):
            sandbox.run(Job(code, admin=admin))
