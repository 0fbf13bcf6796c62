"""What each error says by itself: its message, in quantities with units, and its header fields."""

from __future__ import annotations

from typing import List, Tuple

import pytest
from support import MIB

from pyexec import errors, units

FIELDS_OF: List[Tuple[errors.PyexecError, List[Tuple[str, str]]]] = [
    (errors.MethodNotAllowed("PUT", ("GET", "HEAD")), [("Allow", "GET, HEAD")]),
    (errors.RateLimitExceeded("No.", 9), [("Retry-After", "9")]),
    (errors.ServerBusy("Full.", 2), [("Retry-After", "2")]),
    (errors.AuthenticationError("No."), [("WWW-Authenticate", 'Bearer realm="pyexec"')]),
    (errors.UnsupportedMediaType("No."), []),
    (errors.UnsupportedMediaType("No.", of_coding=True), [("Accept-Encoding", "identity")]),
    (errors.ValidationError("No.", "code"), []),
    (errors.InternalServerError("why", "0123"), []),
]


@pytest.mark.parametrize("error, fields", FIELDS_OF, ids=lambda value: getattr(value, "type", ""))
def test_each_error_knows_its_own_header_fields(error: errors.PyexecError, fields: List[Tuple[str, str]]) -> None:
    assert error.header_fields() == fields


@pytest.mark.parametrize(
    "resource, limit, amount",
    [
        ("memory", 512 * MIB, "512 MiB of memory"),
        ("disk", 64 * MIB, "64 MiB of disk"),
        ("output", 4 * MIB + 1, "4194305 bytes of output"),
        ("output", 1, "1 byte of output"),
        ("cpu", 1, "1 second of processor time"),
        ("cpu", 12, "12 seconds of processor time"),
        ("processes", 1, "1 process"),
        ("processes", 10, "10 processes"),
        ("threads", 32, "32 threads"),
        ("files", 1, "1 file"),
    ],
)
def test_a_limit_is_named_with_its_unit(resource: str, limit: int, amount: str) -> None:
    assert errors.ResourceLimitError(resource, limit).message == f"Execution exceeded its limit of {amount}."


def test_a_time_limit_is_named_with_its_unit() -> None:
    for wall_s, text in ((1.0, "1 second"), (10.0, "10 seconds"), (0.5, "0.5 seconds")):
        assert errors.RunTimeoutError(wall_s).message == f"Execution exceeded the time limit of {text}."


@pytest.mark.parametrize(
    "number, text",
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1025, "1025 bytes"),
        (8 * MIB, "8 MiB"),
        (8 * MIB + 1024, "8193 KiB"),
        (1 << 30, "1 GiB"),
    ],
)
def test_a_size_is_exact_in_the_largest_unit(number: int, text: str) -> None:
    assert units.size(number) == text


def test_one_is_singular() -> None:
    assert (units.count(1, "slot"), units.count(0, "slot"), units.count(2, "slot")) == ("1 slot", "0 slots", "2 slots")
    assert (units.count(1, "entry", "entries"), units.count(2, "entry", "entries")) == ("1 entry", "2 entries")
    assert (units.seconds(1.0), units.seconds(2.5)) == ("1 second", "2.5 seconds")
