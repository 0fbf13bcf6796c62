"""How the server's and the runs' processes start: their encoding, their place in the scheduler, their clock."""

from __future__ import annotations

import errno
import os
import subprocess
import time

import pytest
from processes import descendants
from wrappers import DOCKER


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_names_are_utf8_whatever_the_locale(start_server, locale) -> None:
    environment = dict({"PYTHONCOERCECLOCALE": "0", "LANG": ""}, **locale)
    running = start_server(environment=environment)
    result = running.client.execute(
        "print(open('\u00fc').read())\nopen('\u20ac', 'w').write('x')",
        attachments={"\u00fc": b"in"},
        return_files=["\u20ac", "\u00e9"],
    )
    assert (result.stdout, result.files) == ("in\n", {"\u20ac": b"x"})
    assert result.file_errors == {"\u00e9": "File not found after execution."}


def test_sessions_of_runs_yield_where_the_server_is_root(start_server) -> None:
    """Elsewhere nothing is claimed, and nothing tried: the kernel lets others do it once in 100 ms, all together."""
    running = start_server()
    said = set()
    for pid in descendants(running.process.pid):
        try:
            with open("/proc/%d/autogroup" % pid, encoding="ascii") as file:
                said.add(file.read().rpartition("nice ")[2].strip())
        except FileNotFoundError:
            assert not os.path.exists("/proc/self/autogroup") or not os.path.exists("/proc/%d" % pid)
    if os.geteuid() != 0:
        assert said <= {"0", ""}
    elif os.path.exists("/proc/self/autogroup") and not os.environ.get("HOST_KIND", "").startswith("container"):
        assert "5" in said or said == {""}  # there are none for what was started while the kernel's switch was off


def test_no_core_is_made(start_server) -> None:
    assert start_server().admin.execute("import resource\nprint(resource.getrlimit(resource.RLIMIT_CORE))").stdout == (
        "(1, 1)\n"
    )


# Its /etc has another time zone, which is the machine's for all that is started there.
ELSEWHERE = """
cp -a /etc "$0" && ln -sf /usr/share/zoneinfo/Asia/Tokyo "$0/etc/localtime" && mount --bind "$0/etc" /etc &&
test "$(env -i date +%Z)" = JST && exec "$@"
"""


@pytest.mark.parametrize("wrapper", [[], DOCKER], ids=["mounts", "no mounts"])
def test_runs_have_utc_wherever_the_server_stands(start_server, wrapper, tmp_path) -> None:
    # Root in a container may not mount.
    mounts = os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode == 0
    tokyo = mounts and os.path.exists("/usr/share/zoneinfo/Asia/Tokyo")
    elsewhere = ["unshare", "-m", "sh", "-c", ELSEWHERE, str(tmp_path)] if tokyo else []
    running = start_server(elsewhere + wrapper, environment={"TZ": "Asia/Tokyo"})
    code = """
import os, subprocess, time
print(time.strftime('%Z'))
for environment in ({}, None):  # the first is what a program has that a script starts without any
    print(subprocess.run(['date', '+%Z'], env=environment, capture_output=True, text=True).stdout.strip())
"""
    # Without a tree the link in /etc leads to the zones, which every run may read; SECURITY.md says so.
    own_tree = "mount_namespace" in running.client.health()["layers"]
    bare = "UTC" if own_tree else "JST" if tokyo else time.strftime("%Z", time.localtime())
    assert running.admin.execute(code).stdout == "UTC\n%s\nUTC\n" % bare
    if own_tree:
        found = running.admin.execute("print(open('/etc/localtime', 'rb').read()[:4])")
        assert found.stdout == "b'TZif'\n"


COPY = """
import os, shutil, subprocess, tarfile
with open('a', 'w') as file:
    file.write('copied')
os.chmod('a', 0o640)
os.utime('a', (10**9, 10**9))
print(subprocess.run(['cp', '-p', 'a', 'b'], capture_output=True, text=True))
print(subprocess.run(['install', '-m', '600', 'a', 'c'], capture_output=True, text=True))
shutil.copy('a', 'd')
shutil.copy2('a', 'e')
with tarfile.open('t', 'w') as tar:
    tar.add('a')
os.mkdir('f')
with tarfile.open('t') as tar:
    tar.extractall('f')
shutil.copytree('f', 'g')
print([open(name).read() for name in ('b', 'c', 'd', 'e', 'f/a', 'g/a')])
for call in (lambda: os.setxattr('a', 'user.x', b'y'), lambda: os.removexattr('a', 'user.x')):
    try:
        call()
        print('done')
    except OSError as error:
        print(error.errno)
print([oct(os.stat(name).st_mode & 0o777) for name in 'abcde'], os.stat('e').st_mtime)
"""


@pytest.mark.parametrize("wrapper", [[], DOCKER], ids=["mounts", "no mounts"])
def test_what_copies_files_with_their_modes_goes_on(start_server, wrapper) -> None:
    """Where neither a tree nor a uid keeps it to the run's own files, modes and times are said to be set, and are not."""
    running = start_server(wrapper, rate_per_minute=1000)
    result = running.admin.execute(COPY)
    assert result.exit_code == 0, result
    cp, install, contents, set_attribute, remove_attribute, modes = result.stdout.splitlines()
    assert "returncode=0" in cp and "returncode=0" in install, result.stdout
    assert contents == repr(["copied"] * 6)
    assert set_attribute == remove_attribute == str(errno.ENOTSUP)
    layers = running.client.health()["layers"]
    if "mount_namespace" in layers or "own_uid" in layers:
        assert modes == "%r 1000000000.0" % (["0o640", "0o640", "0o600", "0o640", "0o640"],)
    else:
        assert "0o640" not in modes and not modes.endswith("1000000000.0")
