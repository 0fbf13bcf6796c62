"""The proof on real kernels, without booting any: what guests are made of, and what is made of what they say."""

from __future__ import annotations

import argparse
import io
import json
import os
import stat
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from tests.prove_slow import __main__ as command
from tests.prove_slow import debian, initramfs, kernels, machines, outcomes

DOCTOR = "Layers\n  on  seccomp   calls\n  -   landlock  no\n  on  rlimits   memory\nNo danger is uncovered.\n"
OPTIONS = argparse.Namespace(kernel=None, archives="/nowhere")


def lines(role: str) -> List[Tuple[str, str, Dict[str, Any]]]:
    """Return what a guest says in one role when all is well."""
    attacks = [("attack", {"name": name, "open": name == "b", "troubles": [], "seconds": 1}) for name in "ab"]
    said: List[Tuple[str, Dict[str, Any]]] = [
        ("kernel", {"release": "SERIES.0", "version": "#1", "machine": "MACHINE"}),
        ("doctor", {"status": 0, "text": DOCTOR, "uptime": 20.0}),
        ("server", {"layers": ["seccomp"]}),
        ("photo", {"trouble": ""}),
        ("stopped", {"status": 0}),
        ("attacks", {"names": ["a", "b"], "landlock_abi": 2, "layers": ["seccomp"]}),
        *attacks,
        ("end", {"uptime": 90.0}),
    ]
    return [(role, kind, words) for kind, words in said]


def console(*said: Tuple[str, str, Dict[str, Any]]) -> str:
    return "[ 1.0] kernel\n" + "\n".join("PYEXEC-GUEST " + json.dumps(each) for each in said) + "\nand more\n"


def booting(text: str) -> Any:
    """Return a `machines.boot` that says this, of the kernel that was asked for."""

    def boot(machine: machines.Machine, folder: str) -> Tuple[str, float]:
        series, kind = machine.name.split("-", 1)
        return text.replace("SERIES", series).replace("MACHINE", {"x86-64": "x86_64", "arm64": "aarch64"}[kind]), 100.0

    return boot


def proved(monkeypatch: pytest.MonkeyPatch, text: str) -> Any:
    monkeypatch.setattr(machines, "boot", booting(text))
    return kernels.prove(OPTIONS)


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    section = proved(monkeypatch, console(*lines("root"), *lines("user")))
    assert section.held, section.body
    rows = [line for line in section.body.splitlines() if line.startswith("| 6.")]
    row = "| %s | %s | %s | ABI 2 | right | 2 / 2 | 1 | 90 s |"
    booted = [("6.1.0", "x86_64"), ("6.12.0", "x86_64"), ("6.1.0", "aarch64")]
    assert rows == [row % (*kernel, role) for kernel in booted for role in ("root", "user")]
    assert ": seccomp, rlimits." in section.body


@pytest.mark.parametrize("kind", ["kernel", "doctor", "server", "photo", "stopped", "attacks", "attack", "end"])
@pytest.mark.parametrize("role", kernels.ROLES)
def test_what_is_not_said_is_missed(monkeypatch: pytest.MonkeyPatch, role: str, kind: str) -> None:
    """Whatever ends a guest early, the claim doesn't hold."""
    said = [each for each in lines("root") + lines("user") if each[:2] != (role, kind)]
    section = proved(monkeypatch, console(*said))
    assert not section.held and "as %s: " % role in section.body


@pytest.mark.parametrize(
    "kind, words, shown",
    [
        ("kernel", {"release": "6.10.3", "version": "#1", "machine": "MACHINE"}, "this is Linux 6.10.3"),
        ("kernel", {"release": "SERIES.0", "version": "#1", "machine": "riscv64"}, "a machine of type riscv64"),
        ("doctor", {"status": 1, "text": DOCTOR}, "doctor: "),
        ("doctor", {"status": 0, "text": "fine"}, "doctor: fine"),
        ("photo", {"trouble": "it is another picture"}, "another picture"),
        ("stopped", {"status": -9}, "status -9"),
        ("attack", {"name": "a", "open": True, "troubles": ["public: ok, not EPERM"]}, "`a`: public: ok, not EPERM"),
        ("attacks", {"names": [], "landlock_abi": 2}, "no attack was tried"),
        ("broken", {"part": "serve", "why": "OSError: no"}, "serve broke off: OSError: no"),
    ],
)
def test_what_goes_wrong_is_shown(
    monkeypatch: pytest.MonkeyPatch, kind: str, words: Dict[str, Any], shown: str
) -> None:
    section = proved(monkeypatch, console(*lines("root"), *lines("user"), ("user", kind, words)))
    assert not section.held and shown in section.body and "as root: " not in section.body


def test_a_guest_that_cannot_be_made_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def boot(*_: object) -> Tuple[str, float]:
        raise outcomes.SuiteError("no such kernel")

    monkeypatch.setattr(machines, "boot", boot)
    section = kernels.prove(OPTIONS)
    assert not section.held and "no such kernel" in section.body


@pytest.mark.parametrize("line", ["nonsense", '["root", "attack", {}]', '["nobody", "end", {}]', "[]"])
def test_a_line_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(outcomes.SuiteError):
        kernels.read("PYEXEC-GUEST " + line)


def test_a_narrowed_proof_is_not_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machines, "boot", booting(console(*lines("root"), *lines("user"))))
    monkeypatch.setattr(os, "nice", lambda _: 0)
    path = os.path.join(str(tmp_path), "report.md")
    assert command.main(["kernels", "--kernel", "6.1-arm64", "--report", path]) == 0
    assert not os.path.exists(path)
    assert command.main(["kernels", "--report", path]) == 0
    assert os.path.exists(path)


def test_a_lock_is_read_with_the_markers_of_the_guest() -> None:
    lock = (
        "# head\n\nold==1 ; python_full_version < '3.9' \\\n    --hash=sha256:00\n"
        "ours==2 ; python_full_version == '3.11.*' \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\n"
        "arm==3 ; platform_machine == 'aarch64' \\\n    --hash=sha256:33\nall==4 \\\n    --hash=sha256:44\n"
    )
    found = debian._for_guest(lock, "aarch64")
    assert [line.split()[0] for line in found.splitlines() if not line.startswith(" ")] == [
        "ours==2",
        "arm==3",
        "all==4",
    ]
    assert found.count("--hash") == 4
    assert "arm==3" not in debian._for_guest(lock, "x86_64")


def entries(data: bytes) -> Dict[str, Tuple[int, bytes]]:
    """Return the mode and the content of each file in a cpio archive, in order; each must be there once."""
    found: Dict[str, Tuple[int, bytes]] = {}
    place = 0
    while True:
        assert data[place : place + 6] == b"070701"
        fields = [int(data[place + 6 + 8 * n : place + 14 + 8 * n], 16) for n in range(13)]
        name = data[place + 110 : place + 110 + fields[11] - 1].decode()
        body = place + -(-(110 + fields[11]) // 4) * 4
        if name == "TRAILER!!!":
            assert body == len(data)
            return found
        assert name not in found and fields[2:4] == [0, 0]
        found[name] = (fields[1], data[body : body + fields[6]])
        place = body + -(-fields[6] // 4) * 4


def test_an_archive_has_what_was_added(tmp_path: Path) -> None:
    wheel, tree = os.path.join(str(tmp_path), "a.whl"), os.path.join(str(tmp_path), "tree")
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("pkg/__init__.py", "x = 1\n")
        packed.writestr("pkg/template.py", "{{ no Python }")
    os.makedirs(os.path.join(tree, "deep", "__pycache__"))
    for name, content in (("deep/b.txt", b"abc"), ("deep/__pycache__/b.pyc", b"old")):
        with open(os.path.join(tree, name), "wb") as file:
            file.write(content)
    written = io.BytesIO()
    archive = initramfs.Initramfs(written)
    archive.wheel(wheel)
    archive.tree(tree, "srv/it")
    archive.text("init", "#!/bin/sh\n", 0o755)
    archive.link("usr/bin/sh", "busybox")
    archive.close()
    found = entries(written.getvalue())
    site = initramfs.SITE + "/pkg/"
    assert found[site + "__init__.py"] == (stat.S_IFREG | 0o644, b"x = 1\n")
    assert found["srv/it/deep/b.txt"] == (stat.S_IFREG | 0o644, b"abc")
    assert found["init"][0] == stat.S_IFREG | 0o755 and found["usr/bin/sh"] == (stat.S_IFLNK | 0o777, b"busybox")
    assert found["tmp"][0] == stat.S_IFDIR | 0o1777 and found["bin"] == (stat.S_IFLNK | 0o777, b"usr/bin")
    assert [name for name in found if "srv/it/deep/__pycache__" in name] == []
    compiled = [name for name in found if name.startswith(site + "__pycache__/")]
    assert len(compiled) == (1 if sys.version_info[:2] == (3, 11) else 0)
    seen = set()
    for name, (mode, _) in found.items():  # the kernel makes no directory by itself
        assert not os.path.dirname(name) or os.path.dirname(name) in seen, name
        if stat.S_ISDIR(mode):
            seen.add(name)
