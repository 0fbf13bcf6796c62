"""What programs and libraries find that admin scripts start: files as they expect them, users, the machine, its limits."""

from __future__ import annotations

import pytest
from servers import RunningServer

PROGRAMS = {
    # `cp` and `install` copy extended attributes, which nobody has here.
    "cp -p": ("echo x > a && touch -d 2020-01-01 a && cp -p a b && cat b", "x"),
    "install": ("echo x > a && install -m 600 a b && cat b", "x"),
    # GNU tar opens what it unpacks by creat.
    "tar": ("echo x > a && tar cf t.tar a && rm a && tar xf t.tar && cat a", "x"),
    "gzip": ("echo x > a && gzip a && gunzip a.gz && cat a", "x"),
    "mktemp": ('echo x > "$(mktemp)" && echo done', "done"),
    "awk": ("echo 1 2 | awk '{print $2}'", "2"),
    "ulimit": ("ulimit -n 50 && ulimit -n", "50"),
    "sort": ("printf 'b\\na\\n' | sort | head -1", "a"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_find_what_they_need(either_host: RunningServer, name: str) -> None:
    command, said = PROGRAMS[name]
    code = "import subprocess\nprint(subprocess.run(%r, shell=True, capture_output=True, text=True))" % command
    result = either_host.admin.execute(code)
    assert "returncode=0, stdout='%s\\n', stderr=''" % said in result.stdout, result.stdout


def test_the_trees_small_files(server: RunningServer) -> None:
    if "mount_namespace" not in server.client.health()["layers"]:
        pytest.skip("this host can't build a file tree")
    code = """
import time
found = {line.partition(":")[0]: line.split()[1] for line in open("/proc/meminfo")}
print(found["MemTotal"], open("/proc/cpuinfo").read().count("processor"), open("/etc/hosts").read().split()[:2])
print([line.partition(":")[0] for line in open("/etc/passwd")][:2], open("/etc/localtime", "rb").read(4))
"""
    said = server.client.execute(code).stdout.splitlines()
    assert said[0].startswith("524288 ") and said[0].endswith(" ['127.0.0.1', 'localhost']")
    assert said[1] == "['root', 'runner'] b'TZif'"
    for name in ("meminfo", "cpuinfo"):
        refused = server.client.execute("open('/proc/%s', 'w')" % name).stderr
        assert "PermissionError" in refused or "Read-only" in refused


def test_memory_by_name_is_gone_with_the_run_and_bounded(server: RunningServer) -> None:
    if "mount_namespace" not in server.client.health()["layers"]:
        pytest.skip("this host can't build a file tree")
    make = "from multiprocessing import shared_memory as s\nm = s.SharedMemory('mine', %s)\nm.buf[0] = 7\nprint('made')"
    for _ in range(2):
        assert server.admin.execute(make % "True, 4096").stdout == "made\n"
    assert "FileNotFoundError" in server.admin.execute(make % "False").stderr
    assert "OSError: [Errno 27]" in server.admin.execute(make % "True, 100 << 20").stderr
