"""The file tree of runs on a host whose interpreter lies where the tree has something of its own: `/work`, `/tmp`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Dict, List

import pytest
from support import ROOT

from pyexec.kernel import tree


@pytest.mark.parametrize(
    "taken,place",
    [
        ([], "/run"),
        (["usr", "lib", "runner", "home"], "/run"),
        (["run"], "/run-1"),
        (["run", "run-1", "run-3"], "/run-2"),
    ],
)
def test_a_runs_directory_lies_where_nothing_else_does(taken: List[str], place: str) -> None:
    assert tree.free_place(taken) == place


# What a zygote does and then a child: the tree, a tmpfs at the mount point, and a look at what is left of the paths.
_BUILD = """
import json, os, sys
sys.path.insert(0, %r)
from pyexec.kernel import layers, libc, namespaces, tree
proc_fd = os.open("/proc", os.O_RDONLY)
host = layers.probe(65000, proc_fd)
if "mount" not in host.namespaces:
    sys.exit(print("null"))
paths, tree.PLACE = json.loads(sys.argv[1]), sys.argv[2]
namespaces.enter_nursery(host, proc_fd)
place = tree.build(paths)
libc.mount("pyexec", place, "tmpfs", 0, "size=16k")
for name in tree.DIRECTORIES:
    os.mkdir(place + "/" + name)
links = {link: os.path.realpath(link) for link in ("/work", "/tmp", "/mnt/data", "/dev/shm")}
files = [open(path + "/file").read() for path in paths]
print(json.dumps({"place": place, "files": files, "links": links, "beside": os.listdir(os.path.dirname(place))}))
"""


def _build(paths: List[str], wanted: str) -> Dict[str, object]:
    command = [sys.executable, "-I", "-c", _BUILD % ROOT, json.dumps(paths), wanted]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: Dict[str, object] = json.loads(done.stdout)
    return found


def test_neither_hides_the_other() -> None:
    with tempfile.TemporaryDirectory(prefix="tree-", dir="/tmp") as directory:
        paths = [directory + "/venv", directory + "/elsewhere"]
        for path in paths:
            os.mkdir(path)
            with open(path + "/file", "w", encoding="ascii") as file:
                file.write(path)
        # A link on the way whose target's first part is the place wanted.
        os.symlink(paths[1], directory + "/link")
        found = _build([paths[0], directory + "/link"], "/tmp")
        if found is None:
            return  # this host can't mount, so that no tree is built; test_hosts.py tells whether it should
        assert found["place"] == "/tmp-1/box" and found["files"] == paths
        found = _build(paths, "/run")
        assert found["place"] == "/run/box" and found["files"] == paths
        # Whatever a Landlock rule on the directory of the mount point allows, it holds nothing else.
        assert found["beside"] == ["box"]
        # The links lead into the run's own tmpfs, but for that one in whose place the interpreter's own files lie.
        names = {"/work": "work", "/mnt/data": "work", "/dev/shm": "shm"}
        expected = {link: "/run/box/" + name for link, name in names.items()}
        assert found["links"] == dict(expected, **{"/tmp": "/tmp"})


def test_runs_go_with_an_environment_below_tmp() -> None:
    code = "import json, os, tempfile\nprint(os.getcwd() == os.environ['HOME'], json.__file__, tempfile.gettempdir() == os.getcwd())"
    with tempfile.TemporaryDirectory(prefix="environment-", dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory + "/venv"], check=True)
        packages = os.path.join(
            directory, "venv", "lib", "python%d.%d" % sys.version_info[:2], "site-packages", "below_tmp.py"
        )
        with open(packages, "w", encoding="ascii") as file:
            file.write("WORD = 'found'\n")
        code += "\nimport below_tmp\nprint(below_tmp.WORD)"
        command = [directory + "/venv/bin/python", "-m", "pyexec", "run", "-", "--admin"]
        done = subprocess.run(
            command, input=code, capture_output=True, text=True, env={"PYTHONPATH": ROOT, "PATH": os.environ["PATH"]}
        )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("True ") and first.endswith(" True") and second == "found"
