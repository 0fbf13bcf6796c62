"""The contract's first example, end to end."""

from __future__ import annotations


def test_prints(server) -> None:
    assert server.client.execute('print(f"The sum is {10 + 25}")').stdout == "The sum is 35\n"
