"""One zygote while it loads what the operator added."""

from __future__ import annotations

import os
import socket
import types
from pathlib import Path
from typing import Any

import pytest

from pyexec.zygote import added, row


def test_a_library_that_can_not_be_kept_leaves_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        (made,) = os.listdir(tmp_path)
        (tmp_path / made / "fontlist.json").write_text("{}")
        raise added.Offence("polars", "starts threads (1)")

    monkeypatch.setattr(added, "load", load)
    nest: Any = types.SimpleNamespace(added=("polars",), proc_fd=-1)
    nest.settings = {"work_dir": str(tmp_path), "preload": ()}
    server, zygote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with server, zygote:
        pid = os.fork()
        if pid == 0:
            try:
                row._load_added(zygote, nest, ())
            finally:
                os._exit(7)
        assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 1
        assert b"starts threads (1)" in server.recv(1 << 16)
    assert os.listdir(tmp_path) == []
