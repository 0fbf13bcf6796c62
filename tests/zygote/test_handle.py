"""The server's side of a zygote that loads what an operator added: what is said of one that never comes to an end."""

from __future__ import annotations

import socket
import time
from typing import Any, Iterator, List, Tuple

import pytest

from pyexec import messages
from pyexec.runs import zygote_handles
from pyexec.runs.zygote_handles import LeftOut, ZygoteHandle
from pyexec.zygote import added


class _Nursery:
    """Forks nothing: the test is the zygote, and has its ends of the sockets."""

    def __init__(self) -> None:
        self.ends: List[Any] = []

    def send(self, kind: str, payload: Any, descriptors: Tuple[int, ...]) -> None:
        pair = messages.pair()
        messages.send(pair[0], kind, payload, descriptors)
        received = messages.receive(pair[1])
        self.ends = [socket.socket(fileno=fd) for fd in received.descriptors]
        for each in pair:
            each.close()

    def ended(self) -> bool:
        return False


@pytest.fixture
def zygote() -> Iterator[Tuple[ZygoteHandle, Any]]:
    """A handle, and the control socket of its zygote."""
    nursery = _Nursery()
    handle = ZygoteHandle("added", nursery)  # type: ignore[arg-type]
    yield handle, nursery.ends[0]
    handle.close()
    handle.status.close()
    for each in nursery.ends:
        each.close()


def test_an_import_that_nothing_ends_is_given_up_by_the_limit_that_the_kernel_did_not_keep(
    zygote: Tuple[ZygoteHandle, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that hangs in the kernel, or has blocked the signal that was to end it."""
    monkeypatch.setattr(zygote_handles, "_IMPORT_S", 0.2)
    monkeypatch.setattr(zygote_handles, "_KILLED_S", 0.2)
    handle, control = zygote
    messages.send(control, messages.LOADING, {"name": "hanging"})
    began = time.monotonic()
    assert not handle.receive_ready() and handle.due - began < 1
    time.sleep(max(0.0, handle.due - time.monotonic()))
    with pytest.raises(LeftOut) as caught:
        handle.receive_ready()
    assert (caught.value.name, caught.value.reason) == ("hanging", "its import crashes, or takes longer than 0.2 s")
    assert time.monotonic() - began >= 0.4


def test_each_name_has_its_time_anew_and_the_limit_that_is_said_is_the_zygotes(
    zygote: Tuple[ZygoteHandle, Any],
) -> None:
    handle, control = zygote
    for name in ("a", "b"):
        messages.send(control, messages.LOADING, {"name": name})
        began = time.monotonic()
        assert not handle.receive_ready() and handle.due >= began + added.IMPORT_S + 5
    control.close()
    with pytest.raises(LeftOut, match="^b can't be loaded ahead .* takes longer than %d s$" % added.IMPORT_S):
        handle.receive_ready()
