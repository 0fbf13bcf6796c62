"""Hosts that lack something, stood for by a seccomp filter around the server: each with what is to be had there.

`docker` refuses what Docker's default profile refuses; real containers run the whole suite in `make prove`.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import tempfile
from typing import Iterator

import pytest
from laboratory import OLDER as OLDER_ABIS
from processes import await_that, command, parents, settled
from servers import left_by_runs
from support import ROOT, in_threads
from wrappers import DOCKER, directory_on_tmpfs, refusing, with_landlock_abi

from pyexec.client import ServiceError
from pyexec.kernel import landlock

NATIVE = "import ctypes, os\nl = ctypes.CDLL(None, use_errno=True)\nprint(l.%s, os.strerror(ctypes.get_errno()))"


def _doctor(*refused: str, flags=(), before=()) -> subprocess.CompletedProcess[str]:
    command = [*before, *refusing(*(refused or ["bpf"]), number=errno.ENOSYS)]
    command += [sys.executable, "-m", "pyexec", "doctor", *flags]
    environment = {"PYTHONPATH": ROOT, "PATH": os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, env=environment, text=True)


@pytest.fixture
def work_dir() -> Iterator[str]:
    """A directory that runs of another uid may pass through, as they may not through pytest's own."""
    with tempfile.TemporaryDirectory(prefix="work-dir-") as path:
        os.chmod(path, 0o755)
        yield path


try:
    KERNEL_ABI = landlock.probe()
except OSError:
    KERNEL_ABI = 0
OLDER = [abi for abi in OLDER_ABIS if abi < KERNEL_ABI]
CONTAINER = os.environ.get("HOST_KIND", "").startswith("container")
# Without namespaces there is no host without Landlock: test_refuses_to_start_with_a_danger_uncovered.
LACKING = [["docker"]] if CONTAINER else [["docker"], ["landlock"]]
HOSTS = [(refused, None) for refused in LACKING] + [(["docker"], abi) for abi in OLDER]


@pytest.mark.parametrize("refused,abi", HOSTS)
def test_contract_holds(start_server, work_dir, refused, abi) -> None:
    running = start_server(
        (with_landlock_abi(abi) if abi else []) + refusing(*refused, number=errno.ENOSYS),
        rate_per_minute=1000,
        rate_per_day=1000,
        work_dir=work_dir,
        wall_s=3,
    )
    layers = running.client.health()["layers"]
    assert ("landlock" in layers) != (refused == ["landlock"]) and ("mount_namespace" in layers) != (
        refused == ["docker"]
    )
    result = running.client.execute(
        "import numpy, sys\nprint(numpy.arange(3).sum(), input(), open('a.txt').read())\nopen('o.txt', 'w').write('x')",
        stdin="in\n",
        attachments={"a.txt": b"attached"},
        return_files=["o.txt", "missing"],
    )
    assert (result.stdout, result.files) == ("3 in attached\n", {"o.txt": b"x"})
    secret = work_dir + "/secret"
    with open(secret, "w", encoding="ascii") as file:
        file.write("secret")
    for call in (
        "open(b'%s', 0)" % secret,
        "socket(2, 1, 0)",
        "kill(%d, 0)" % running.process.pid,
        "open(b'/proc/self/status', 0)",
    ):
        assert running.admin.execute(NATIVE % call).stdout.startswith("-1 "), call
    with pytest.raises(ServiceError) as caught:
        running.client.execute("print('so far')\nwhile True: pass")
    assert caught.value.document["execution_details"]["stdout"] == "so far\n"
    started = running.admin.execute("import subprocess; p = subprocess.Popen(['sleep', '987']); print(p.pid)")
    assert started.success
    await_that(lambda: "sleep 987" not in [command(pid).strip() for pid in parents()])
    said = in_threads(5, lambda n: running.client.execute("print(%d)" % n).stdout)
    assert said == ["%d\n" % n for n in range(5)]
    assert running.stop() == 0
    assert os.listdir(work_dir) == ["secret"]


def test_watched_directory_is_bounded(work_dir, start_server) -> None:
    running = start_server(DOCKER, work_dir=work_dir, workdir_bytes=4 << 20, workdir_files=50, rate_per_minute=100)
    fill = "import time\nfor n in range(8):\n    open(str(n), 'wb').write(bytes(1 << 20))\ntime.sleep(3)"
    many = "import time\nfor n in range(200): open(str(n), 'w').close()\ntime.sleep(3)"
    for code, resource, limit in ((fill, "disk", 4 << 20), (many, "files", 50)):
        with pytest.raises(ServiceError) as caught:
            running.client.execute(code)
        details = caught.value.document["error_details"]
        assert (caught.value.type, details["resource"], details["limit"]) == ("ResourceLimitError", resource, limit)
    await_that(lambda: left_by_runs(work_dir) == [])


def test_hostile_trees_are_removed(work_dir, start_server) -> None:
    running = start_server(DOCKER, work_dir=work_dir, max_runs=1, rate_per_minute=100)
    deep = "import os\nfor _ in range(900):\n    os.mkdir('d'); os.chdir('d')\nopen('f', 'w').close()\nos.fchmod(os.open('.', 0), 0)"
    odd = "import os\nos.symlink('/etc', 'l'); os.mkdir('m'); open('m/x', 'w').close(); os.fchmod(os.open('m', 0), 0); open(b'\\xff\\xfe', 'w').close()"
    for code in (deep, odd):
        try:
            assert running.admin.execute(code).success
        except ServiceError as error:
            # To a server that isn't root, a directory without rights hides what is in it, which counts as too much.
            assert error.document["error_details"]["resource"] == "files"
    assert os.path.exists("/etc/passwd")
    assert running.stop() == 0
    assert os.listdir(work_dir) == []


def test_directories_of_a_killed_server_go_with_the_next_start(work_dir, start_server) -> None:
    first = start_server(DOCKER, work_dir=work_dir)
    alive = start_server(DOCKER, work_dir=work_dir)
    first.process.kill()
    first.process.wait()
    assert len(os.listdir(work_dir)) == 2
    third = start_server(DOCKER, work_dir=work_dir)
    assert len(os.listdir(work_dir)) == 2
    assert alive.client.execute("print(1)").success and third.client.execute("print(1)").success


def test_refuses_to_start_with_a_danger_uncovered() -> None:
    neither = _doctor("landlock", "docker")
    assert (
        neither.returncode == 1 and "read or write the host's files" in neither.stderr and "Landlock" in neither.stderr
    )
    unfiltered = _doctor("seccomp")
    assert unfiltered.returncode == 1 and "attack the kernel" in unfiltered.stderr


@pytest.mark.parametrize("words", ["doctor", "serve --port 0", "run -"])
def test_a_kernel_below_the_floor_is_refused_by_name(words: str) -> None:
    """Linux 5.11 and older have neither Landlock nor mount_setattr, which a tree of files takes; namespaces they have."""
    older = refusing("landlock", "mount_setattr", number=errno.ENOSYS)
    environment = {"PYTHONPATH": ROOT, "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*older, sys.executable, "-m", "pyexec", *words.split()],
        input="print('ran')",
        capture_output=True,
        env=environment,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not start on this host" in done.stderr and "boot Linux 5.13 or newer with Landlock" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("call", "sethostname mount_setattr pivot_root umount2 setns".split())
def test_a_layer_of_which_a_part_is_refused_is_not_counted_on(call) -> None:
    """As under podman's default profile, which lets an ordinary user make a namespace and not name itself in it."""
    done = _doctor(call)
    assert done.returncode == 0 and "No danger is uncovered." in done.stdout, done.stderr
    command = [*refusing(call), sys.executable, "-m", "pyexec", "run", "-"]
    environment = {"PYTHONPATH": ROOT, "PATH": os.environ["PATH"]}
    ran = subprocess.run(command, input="print('ran')", capture_output=True, env=environment, text=True)
    assert (ran.returncode, ran.stdout) == (0, "ran\n"), ran.stderr


def test_refuses_to_start_without_an_expected_layer() -> None:
    done = _doctor("docker", flags=["--expect-layers", "landlock mount_namespace"])
    assert done.returncode == 1 and "expected layers are missing: mount_namespace" in done.stderr
    assert _doctor(flags=["--expect-layers", "landlock seccomp"]).returncode == 0


def test_doctor_shows_the_table() -> None:
    done = _doctor("docker", flags=["--work-dir", "/var/tmp"])
    assert done.returncode == 0 and "No danger is uncovered." in done.stdout
    assert "Runs' directories are on a disk: public scripts can't delete or replace files there." in done.stdout
    assert "no /tmp, /mnt/data, /dev/shm; for admins, no pools of processes" in done.stdout
    assert ("changing modes and times of files does nothing" in done.stdout) == bool(os.geteuid())
    assert "Stacks show" not in done.stdout
    # Without a tree: no deleting, and without a uid of their own neither modes nor times.
    calls = 92 if os.geteuid() == 0 else 84
    assert "%d for public scripts" % calls in done.stdout or os.uname().machine != "x86_64"


def test_doctor_says_what_bounds_deleted_files() -> None:
    with directory_on_tmpfs() as (work_dir, before):
        done = _doctor("docker", flags=["--work-dir", work_dir], before=before)
    assert done.returncode == 0, done.stderr
    assert "Runs' directories are on a tmpfs of 192 MiB, which bounds what they delete too" in done.stdout


def test_doctor_says_what_an_older_landlock_holds() -> None:
    for abi in OLDER:
        done = _doctor(before=with_landlock_abi(abi))
        assert "%s: only what is named (ABI %d)" % (landlock.restricted(abi), abi) in done.stdout, done.stderr
        assert done.returncode == 0 and "No danger is uncovered." in done.stdout


def test_no_newer_landlock_is_stood_for() -> None:
    done = _doctor(before=with_landlock_abi(KERNEL_ABI))
    assert done.returncode == 1 and "not above" in done.stderr


def test_machine_has_the_layers_that_it_declares(server) -> None:
    """EXPECT_LAYERS names what a machine must have; where nobody says, the least that pyexec starts with."""
    declared = os.environ.get("EXPECT_LAYERS", "seccomp").split()
    assert set(declared) <= set(server.client.health()["layers"])


def test_machine_has_the_landlock_that_it_declares() -> None:
    """EXPECT_LANDLOCK_ABI; where nobody says, any will do, and what it doesn't restrict is counted as not shown."""
    declared = int(os.environ.get("EXPECT_LANDLOCK_ABI", "0"))
    assert KERNEL_ABI >= declared


def test_nobody_finds_the_directory_of_another_run(work_dir, start_server) -> None:
    """Sizes and times of other runs' files were told by names that anybody could count up: run-1, run-2."""
    running = start_server(DOCKER, work_dir=work_dir, max_runs=1, rate_per_minute=100)
    (base,) = (os.path.join(work_dir, name) for name in os.listdir(work_dir))
    names = [name for name in os.listdir(base) if os.path.isdir(os.path.join(base, name))]
    assert names and all(re.fullmatch("[0-9a-f]{32}", name) for name in names)
    code = "import os\ntry:\n    print(os.listdir('../..'))\nexcept OSError as error:\n    print(error.strerror)\nprint(os.getcwd())"
    said, where = running.admin.execute(code).stdout.splitlines()
    assert said == "Permission denied" and os.path.dirname(os.path.dirname(where)) == base
    # The control: with the name, its entries would be told; nothing but the name hides them.
    left = settled(lambda: sorted(set(names) & set(os.listdir(base))))
    stat_of = "import os\nprint(os.stat(%r).st_size)" % os.path.join(base, left[0])
    assert running.admin.execute(stat_of).stdout.strip().isdigit()


def test_refuses_to_start_without_a_way_to_end_runs(start_server) -> None:
    wrapper = refusing("pidfd_send_signal", number=errno.ENOSYS)
    with pytest.raises(AssertionError, match="runs could not be ended: pidfd_send_signal"):
        start_server(wrapper)
