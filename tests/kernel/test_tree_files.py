"""The small files of a run's tree, as programs read them; and what is known of a directory's file system."""

from __future__ import annotations

import datetime
import io
import os
import time

import pytest

from pyexec.kernel import filesystems, tree_files

MADE = tree_files.contents(range(60706, 60709), range(60706, 60709), "/run/box/home", 512 << 20, 3)


def test_every_uid_of_a_run_has_a_name_and_a_home() -> None:
    rows = [line.split(":") for line in MADE["/etc/passwd"].decode().splitlines()]
    assert all(len(row) == 7 for row in rows)
    assert [(row[0], int(row[2]), int(row[3])) for row in rows] == [
        ("root", 0, 0),
        ("runner", 60706, 60706),
        ("runner", 60707, 60707),
        ("runner", 60708, 60708),
    ]
    assert {row[5] for row in rows[1:]} == {"/run/box/home"}
    assert [line.split(":")[2] for line in MADE["/etc/group"].decode().splitlines()] == ["0", "60706", "60707", "60708"]


def test_root_has_one_entry() -> None:
    made = tree_files.contents([0], [0], "/run/box/home", 1, 1)
    assert made["/etc/passwd"].count(b"\n") == made["/etc/group"].count(b"\n") == 1


def test_the_time_zone_is_utc() -> None:
    zoneinfo = pytest.importorskip("zoneinfo")
    zone = zoneinfo.ZoneInfo.from_file(io.BytesIO(tree_files.utc()), "UTC")
    for moment in (0, time.time(), 2**40):
        there = datetime.datetime.fromtimestamp(0, datetime.timezone.utc) + datetime.timedelta(
            seconds=min(moment, 2**36)
        )
        assert there.astimezone(zone).utcoffset() == datetime.timedelta(0) and there.astimezone(zone).tzname() == "UTC"


def test_the_machine_has_what_a_run_may_use() -> None:
    assert b"MemTotal:         524288 kB\n" in MADE["/proc/meminfo"]
    assert MADE["/proc/cpuinfo"].count(b"processor\t: ") == 3


def test_a_tmpfs_is_known_by_its_size() -> None:
    room = os.statvfs("/dev/shm")
    assert filesystems.tmpfs_bytes("/dev/shm") == room.f_blocks * room.f_frsize
    assert filesystems.tmpfs_bytes("/proc") == 0
    with pytest.raises(OSError):
        filesystems.tmpfs_bytes("/nowhere")
