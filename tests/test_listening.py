"""Listening on a Unix socket: its rights, what it may replace, who its callers are. The rest is in http1."""

from __future__ import annotations

import os
import socket
import stat
from typing import Any

import pytest
from processes import await_that
from support import check_reply, execute, read_reply, request

from pyexec import listening
from pyexec.config import Config
from pyexec.errors import ConfigError


def _ask(path: str, raw: bytes) -> Any:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(path)
        sock.sendall(raw)
        reply = read_reply(sock)
    check_reply(reply)
    return reply


@pytest.fixture
def path(tmp_path) -> str:
    os.chmod(str(tmp_path), 0o755)
    return str(tmp_path / "pyexec.sock")


def _listen(path: str) -> listening.Listening:
    return listening.listen(Config.of(unix_socket=path))


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_socket_is_for_its_owner_and_group_whatever_the_umask(path: str, mask: int) -> None:
    before = os.umask(mask)
    try:
        found = _listen(path)
    finally:
        os.umask(before)
    mode = os.stat(path).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660
    found.close()
    assert not os.path.exists(path)


def test_a_socket_that_refuses_connections_is_replaced(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    found = _listen(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    found.close()


@pytest.mark.parametrize("kind", ["file", "directory", "link to nothing", "link to a socket"])
def test_nothing_else_is_replaced(path: str, kind: str) -> None:
    if kind == "file":
        open(path, "w").close()
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "link to nothing":
        os.symlink("/nowhere", path)
    else:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path + "2")
        os.symlink(path + "2", path)
    before = os.lstat(path)
    with pytest.raises(OSError, match="can't listen on .*it exists and isn't a socket, so it stays; set --unix-socket"):
        _listen(path)
    assert os.lstat(path).st_ino == before.st_ino


def test_another_servers_socket_stays(path: str) -> None:
    found = _listen(path)
    with pytest.raises(OSError, match="another server listens there"):
        _listen(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    found.close()


def test_closing_leaves_the_socket_that_another_server_has_put_there(path: str) -> None:
    first = _listen(path)
    os.rename(path, path + "-moved")
    second = _listen(path)
    first.close()
    assert os.path.exists(path)
    second.close()
    assert not os.path.exists(path)


def test_a_directory_that_is_not_there_is_named(path: str) -> None:
    with pytest.raises(OSError, match="can't listen on .*/none/s: No such file or directory; set --unix-socket"):
        _listen(os.path.join(os.path.dirname(path), "none", "s"))


def test_a_path_too_long_for_a_socket_is_refused_as_a_setting() -> None:
    Config.of(unix_socket="/" + "a" * 106)
    with pytest.raises(ConfigError, match="must have at most 107 bytes"):
        Config.of(unix_socket="/" + "a" * 107)


def test_a_server_on_a_socket(start_server, path: str) -> None:
    """Its peer is a proxy; without a field all are one caller; no Host is checked, and there is no port."""
    running = start_server(unix_socket=path, trusted_proxies="", rate_per_minute=2, allowed_hosts="example.org")
    assert f'"serving on unix:{path}"' in running.log
    assert "callers are told apart by X-Forwarded-For, believed from every connection to the socket" in running.log
    told = [("X-Forwarded-For", "8.8.8.8, 203.0.113.7"), ("X-Request-ID", "7b1e")]
    reply = _ask(path, execute({"code": "print(6 * 7)"}, *told))
    assert reply.document["execution_details"]["stdout"] == "42\n"
    assert reply.document["user_info"]["ip_address"] == "203.0.113.7"
    assert reply.fields["x-request-id"] == "7b1e"
    await_that(lambda: '"request_id": "7b1e"' in running.log)  # which is written behind the answer
    replies = [_ask(path, execute({"code": "print(1)"})) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[0].document["user_info"]["ip_address"] == "unix"
    assert running.log.count("a request from unix has no X-Forwarded-For, so everyone behind unix counts as one") == 1
    assert _ask(path, request("GET", "/about").replace(b"Host: localhost", b"Host: evil.example")).status == 200
    assert running.stop() == 0
    assert not os.path.exists(path)


def test_a_server_that_was_killed_leaves_nothing_in_the_way(start_server, path: str) -> None:
    first = start_server(unix_socket=path)
    first.process.kill()
    first.process.wait()
    assert os.path.exists(path)
    start_server(unix_socket=path)
    assert _ask(path, execute({"code": "print(1)"})).status == 200
