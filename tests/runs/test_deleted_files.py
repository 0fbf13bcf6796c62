"""What a process holds of files that have no name any more, asked from outside."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from processes import SYS_PTRACE, has_capability

from pyexec.runs import deleted_files
from pyexec.runs.deleted_files import Held
from pyexec.runs.processes import process

MIB = 1 << 20
_EXIT = {"x86_64": 60, "aarch64": 93}[platform.machine()]  # of one thread
MAKE = """
import ctypes, os, sys, threading, time
native = ctypes.CDLL(None)
native.mmap.restype = ctypes.c_void_p
native.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
file = open(sys.argv[1] + "/x", "w+b")
file.write(bytes(1 << 20))
file.flush()
os.fsync(file.fileno())
def tell():
    print("ready", flush=True)
    time.sleep(100)
"""
UNLINK = "os.unlink(file.name)\n"
MAP = "native.mmap(None, 8192, 1, 1, file.fileno(), 0)\n"
CLOSE = "file.close()\n"
WITHOUT_ITS_FIRST_THREAD = f"threading.Thread(target=tell).start()\nnative.syscall({_EXIT}, 0)\n"


def _held(directory: Path, code: str) -> Held:
    command = [sys.executable, "-c", MAKE + code, str(directory.resolve())]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout is not None and running.stdout.readline() == b"ready\n"
            while (found := process(running.pid)) and found.state == b"R":
                continue
            assert found is not None
            return deleted_files.held([found], str(directory.resolve()), os.stat(directory).st_dev)
        finally:
            running.kill()


@pytest.mark.parametrize(
    "code, size_bytes, perhaps_more",
    [
        ("tell()", 0, False),
        (UNLINK + "tell()", MIB, False),
        (UNLINK + MAP + "tell()", MIB, False),  # counted once
        (MAP + CLOSE + UNLINK + "tell()", 8192, True),
        (UNLINK + CLOSE + "tell()", 0, False),
        (UNLINK + WITHOUT_ITS_FIRST_THREAD, MIB, False),
    ],
)
def test_what_is_held_counts(tmp_path: Path, code: str, size_bytes: int, perhaps_more: bool) -> None:
    found = _held(tmp_path, code)
    # A disk may round up, and keep what it needs to find the pieces.
    assert size_bytes <= found.size_bytes <= size_bytes + (size_bytes and 64 << 10), found
    assert found.perhaps_more is perhaps_more


def test_files_elsewhere_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    command = [sys.executable, "-c", MAKE + UNLINK.replace("file.name", "sys.argv[1] + '/x'") + MAP + CLOSE + "tell()"]
    with subprocess.Popen([*command, str(tmp_path)], stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout is not None and running.stdout.readline() == b"ready\n"
            found = process(running.pid)
            assert found is not None
            assert deleted_files.held([found], str(tmp_path / "own"), os.stat(tmp_path).st_dev) == Held(0, False)
        finally:
            running.kill()


def test_a_process_that_cannot_be_looked_into_perhaps_holds_more(tmp_path: Path) -> None:
    found = _held(tmp_path, UNLINK + "native.prctl(4, 0)\ntell()")  # PR_SET_DUMPABLE
    if not has_capability(SYS_PTRACE):
        assert found == Held(0, True)
    else:  # which may look into any process
        assert found.size_bytes >= MIB and not found.perhaps_more
