"""Whether a client has gone, over real connections: what counts as gone, and what does not."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import Callable, Iterator, Tuple

import pytest
from processes import await_that

from pyexec.http1.gone import Presence, has_gone

Pair = Tuple[socket.socket, socket.socket]


@contextlib.contextmanager
def _tcp() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        server.settimeout(30)  # as the server's connections have one
        yield client, server


@contextlib.contextmanager
def _unix() -> Iterator[Pair]:
    client, server = socket.socketpair()
    with client, server:
        server.settimeout(30)
        yield client, server


@pytest.fixture(params=[_tcp, _unix], ids=["tcp", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A client's end and the server's."""
    opened: Callable[[], contextlib.AbstractContextManager[Pair]] = request.param
    with opened() as both:
        yield both


def _arrived(server: socket.socket) -> bool:
    with contextlib.suppress(BlockingIOError):
        server.setblocking(False)
        return bool(server.recv(1, socket.MSG_PEEK))
    return False


def test_a_client_that_waits_is_there(pair: Pair) -> None:
    _, server = pair
    assert not has_gone(server)


def test_a_client_that_closes_is_gone(pair: Pair) -> None:
    client, server = pair
    client.close()
    await_that(lambda: has_gone(server), 10)


def test_a_client_that_ends_its_stream_counts_as_gone(pair: Pair) -> None:
    client, server = pair
    client.shutdown(socket.SHUT_WR)
    await_that(lambda: has_gone(server), 10)


def test_bytes_ahead_of_the_end_are_still_to_be_answered(pair: Pair) -> None:
    client, server = pair
    client.sendall(b"GET / HTTP/1.1\r\n")
    client.shutdown(socket.SHUT_WR)
    await_that(lambda: _arrived(server), 10)
    assert not has_gone(server)
    assert server.recv(100) == b"GET / HTTP/1.1\r\n"  # looking has read nothing
    await_that(lambda: has_gone(server), 10)


def test_a_reset_is_gone_whatever_was_sent_before() -> None:
    with _tcp() as (client, server):
        client.sendall(b"GET / HTTP/1.1\r\n")
        await_that(lambda: _arrived(server), 10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await_that(lambda: has_gone(server), 10)


def test_bytes_that_the_server_has_received_already_count_as_unread() -> None:
    with _tcp() as (client, server):
        presence = Presence(server, lambda: True)
        client.close()
        await_that(lambda: has_gone(server), 10)
        assert not presence.gone()
        assert Presence(server, lambda: False).gone()
        assert presence.fileno() == server.fileno()


def test_asking_leaves_no_descriptor_behind(pair: Pair) -> None:
    _, server = pair
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        has_gone(server)
    assert len(os.listdir("/proc/self/fd")) == before
