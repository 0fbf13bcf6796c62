"""Named keys, over HTTP: whose account a request counts against, who sees it, and how a key is replaced."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from typing import Any, Callable, Dict, List, Tuple

import pytest
from processes import await_that
from servers import RunningServer
from support import ROOT, connect, execute, holding, in_threads, log_lines, read_reply

from pyexec import key_file

Start = Callable[..., RunningServer]
PRINT = {"code": "print(1)"}


class KeysFile:
    """A keys file, and the keys that stand in it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.keys: Dict[str, str] = {}

    def write(self, *lines: Tuple[str, str]) -> None:
        """Write a line for each name and what may follow; a name ending in ' new' is another key of that name."""
        rows = []
        for name, rest in lines:
            if name not in self.keys:
                self.keys[name] = key_file.new_key("x", 1, 1, False)[0]
            rows.append("%s sha256:%s %s\n" % (name.split()[0], key_file.digest_of(self.keys[name]).hex(), rest))
        with open(self.path + ".new", "w", encoding="ascii") as file:
            file.write("# keys\n" + "".join(rows))
        os.chmod(self.path + ".new", 0o644)
        os.replace(self.path + ".new", self.path)

    def reread(self, running: RunningServer, count: int) -> None:
        """Have the server read it, and wait for the word that it did."""
        text = '"%d named key' % count
        before = running.log.count(text)
        running.process.send_signal(signal.SIGHUP)
        await_that(lambda: running.log.count(text) == before + 1, what="the file read again")


@pytest.fixture
def keys(tmp_path: Any) -> KeysFile:
    os.chmod(str(tmp_path), 0o755)
    return KeysFile(str(tmp_path / "keys"))


def ask(running: RunningServer, key: str, document: Any = PRINT, address: str = "192.0.2.1") -> Any:
    with connect(running.port, 90) as sock:
        sock.sendall(execute(document, ("Authorization", "Bearer " + key), ("X-Forwarded-For", address)))
        return read_reply(sock)


def test_a_key_has_an_account_of_its_own(keys: KeysFile, start_server: Start) -> None:
    keys.write(("acme", "per-minute=3 per-day=none"), ("boss", "per-minute=none per-day=7 admin"))
    running = start_server(keys_file=keys.path, rate_per_minute=1)
    for turn in range(3):
        reply = ask(running, keys.keys["acme"], address="192.0.2.%d" % turn)
        assert reply.status == 200
        assert reply.document["user_info"] == {
            "ip_address": "192.0.2.%d" % turn,
            "key": "acme",
            "daily_quota_limit": None,
            "requests_today": turn + 1,
            "requests_remaining_today": None,
        }
        assert reply.fields["ratelimit-policy"] == '"minute";q=3;w=60'
    reply = ask(running, keys.keys["acme"], address="192.0.2.9")
    assert (reply.status, reply.document["user_info"]["key"]) == (429, "acme")
    with connect(running.port) as sock:  # nobody at these addresses has paid for it
        sock.sendall(execute(PRINT, ("X-Forwarded-For", "192.0.2.1")))
        assert read_reply(sock).document["user_info"]["requests_today"] == 1
    reply = ask(running, keys.keys["boss"], {"code": "import os\nprint(os.getpid() > 0)"})
    assert reply.document["execution_details"]["stdout"] == "True\n"
    info = reply.document["user_info"]
    assert (info["role"], info["key"], info["requests_remaining_today"]) == ("admin", "boss", 6)
    assert ask(running, keys.keys["acme"], {"code": "import os"}).status == 429  # even before its code is looked at
    assert ask(running, "x" * 40).error_type == "AuthenticationError"


def test_a_key_runs_no_more_at_once_than_its_slots(keys: KeysFile, start_server: Start) -> None:
    keys.write(("acme", "per-minute=none per-day=none slots=1"))
    running = start_server(keys_file=keys.path, wall_s=60)
    sleeper = connect(running.port, 90)
    with holding(sleeper):
        sleeper.sendall(
            execute({"code": "input()\nwhile True: pass", "api_key": keys.keys["acme"], "stdin_data": "\n"})
        )
        await_that(lambda: running.client.health()["active_runs"] == 1)
        reply = ask(running, keys.keys["acme"])
        assert (reply.status, reply.fields["retry-after"]) == (503, "1")
        assert "The only slot of this key is taken" in reply.document["error_details"]["message"]
        assert running.client.execute("print(1)").stdout == "1\n"  # there are slots for others


def test_nothing_of_a_key_is_logged_and_its_name_is_for_the_operator(keys: KeysFile, start_server: Start) -> None:
    keys.write(("acme", "per-minute=2 per-day=5"))
    for port in ("none", "0"):
        running = start_server(keys_file=keys.path, metrics_port=port)
        for _ in range(3):
            ask(running, keys.keys["acme"])
        await_that(lambda r=running: len(log_lines(r.log)) == 3)  # type: ignore[misc]
        assert [row["key"] for row in log_lines(running.log)] == ["acme"] * 3
        secret = keys.keys["acme"]
        assert secret not in running.log and key_file.digest_of(secret).hex() not in running.log
        if port == "none":
            assert "acme" not in running.get("/metrics")[1]
        else:
            found = re.search(r"metrics on (http://[^ \"]+)", running.log)
            assert found
            with urllib.request.urlopen(found.group(1)) as answer:
                text = answer.read().decode()
            assert 'pyexec_key_requests_total{key="acme",type="ok",status="200"} 2\n' in text
            assert 'pyexec_key_requests_total{key="acme",type="RateLimitExceeded",status="429"} 1\n' in text


def test_replacing_a_key_costs_nobody_a_run(keys: KeysFile, start_server: Start) -> None:
    limits = "per-minute=none per-day=none"
    keys.write(("acme", limits))
    running = start_server(keys_file=keys.path)
    over, current = threading.Event(), ["acme"]

    def work(place: int) -> Tuple[int, List[Any]]:
        count, wrong = 0, []
        with connect(running.port, 90) as sock:  # one connection, which is never closed
            while not over.is_set():
                sock.sendall(execute(PRINT, ("Authorization", "Bearer " + keys.keys[current[0]])))
                reply = read_reply(sock)
                count += 1
                if reply.status != 200:
                    wrong.append(reply)
        return count, wrong

    def replace() -> None:
        keys.write(("acme", limits), ("acme new", limits))
        keys.reread(running, 2)
        current[0] = "acme new"
        before = running.log.count('"/execute"')
        await_that(lambda: running.log.count('"/execute"') > before + 8)  # all have done with the old one
        keys.write(("acme new", limits))
        keys.reread(running, 1)
        before = running.log.count('"/execute"')
        await_that(lambda: running.log.count('"/execute"') > before + 8)

    def replace_and_end(place: int) -> Tuple[int, List[Any]]:
        try:
            replace()
        finally:
            over.set()
        return 0, []

    results = in_threads(3, lambda place: work(place) if place else replace_and_end(place))
    assert all(wrong == [] for _, wrong in results), results
    counted = ask(running, keys.keys["acme new"]).document["user_info"]["requests_today"]
    assert counted == sum(count for count, _ in results) + 1  # one account all the time
    assert ask(running, keys.keys["acme"]).status == 401


def test_a_malformed_file_leaves_the_old_keys(keys: KeysFile, start_server: Start) -> None:
    keys.write(("acme", "per-minute=none per-day=none"))
    running = start_server(keys_file=keys.path)
    with open(keys.path, "a", encoding="ascii") as file:
        file.write("other sha256:%s per-minute=5\n" % keys.keys["acme"])
    running.process.send_signal(signal.SIGHUP)
    await_that(lambda: "the old keys stay" in running.log)
    assert "line 3: the second word must be sha256" in running.log
    assert keys.keys["acme"] not in running.log
    assert ask(running, keys.keys["acme"]).status == 200
    os.chmod(keys.path, 0o666)
    running.process.send_signal(signal.SIGHUP)
    await_that(lambda: "Others can write" in running.log)
    assert ask(running, keys.keys["acme"]).status == 200


def test_a_server_does_not_start_with_a_malformed_file(keys: KeysFile) -> None:
    keys.write(("acme", "per-minute=5"))
    command = [sys.executable, "-m", "pyexec", "--port", "0", "--keys-file", keys.path]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2 and b"line 2: per-day=N is missing" in done.stderr


def test_pyexec_key_prints_the_key_once_and_its_line(tmp_path: Any) -> None:
    command = [sys.executable, "-m", "pyexec", "key", "acme", "--rate-per-day", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode == 0
    (named,) = key_file.parse(done.stdout)
    assert (named.name, named.per_minute, named.per_day, named.admin) == ("acme", 5, 7, False)
    assert key_file.digest_of(done.stderr.decode().split()[-1]) == named.digest
    done = subprocess.run(
        [*command, "--admin"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60
    )
    assert key_file.parse(done.stdout)[0].admin
    done = subprocess.run(command[:4], cwd=ROOT, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2 and b"key needs a NAME" in done.stderr


def test_a_short_admin_key_is_warned_of(start_server: Start) -> None:
    running = start_server(environment={"PYTHON_EXE_KEY": "k" * 19})
    assert "the admin key has fewer than 20 characters" in running.log
    assert "fewer than 20" not in start_server(environment={"PYTHON_EXE_KEY": "k" * 20}).log
