"""/metrics, against what the server has done."""

from __future__ import annotations

import socket


def test_received_bytes_are_those_that_came(start_server) -> None:
    running = start_server()
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(
            b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert b" 413 " in connection.recv(100)
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b'pyexec_body_bytes_total{way="received"} 0' in text
