"""What a run wrote: named whatever was asked for, returned by pattern, within bounds that no script can exceed."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, Iterator, List

import pytest
from servers import RunningServer

from pyexec.client import ServiceError
from pyexec.job import Job, OutputFile
from pyexec.runs import workdir, written
from pyexec.runs.written import Placed, Walk


@pytest.fixture
def directory(tmp_path: Any) -> Iterator[int]:
    """A descriptor of tmp_path."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def _paths(walk: Walk) -> List[str]:
    return [file.path for file in walk.files]


def _make(tmp_path: Any, *paths: str) -> None:
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(path.encode())


def _collect(directory: int, *asked: str, longest: int = 1000, most: int = 10) -> Dict[str, OutputFile]:
    job = Job("1", return_files=asked)
    found = list(written.collect(directory, job, Walk(directory, {}), longest, most))
    assert len({file.name for file in found}) == len(found)
    return {file.name: file for file in found}


# -- what counts as written -------------------------------------------------------------------------------------------


def test_files_at_the_top_come_first(directory, tmp_path) -> None:
    _make(tmp_path, "z", "d/a", "d/e/b", "c/f", ".hidden", "script.py")
    os.symlink("z", tmp_path / "link")
    walk = Walk(directory, {})
    assert _paths(walk) == [".hidden", "z", "c/f", "d/a", "d/e/b"] and walk.complete
    assert [file.size_bytes for file in walk.files] == [7, 1, 3, 3, 5]


CHANGES: Dict[str, Callable[[Any], Any]] = {
    "made longer": lambda path: os.truncate(path, 100),
    "written as it was": lambda path: path.write_bytes(path.read_bytes()),
    "cut": lambda path: os.truncate(path, 1),
    "replaced": lambda path: (path.unlink(), path.write_bytes(b"content")),
    "given another mode": lambda path: path.chmod(0o600),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_attachment_counts_only_when_it_was_changed(directory, tmp_path, change: str) -> None:
    status = workdir.put(directory, "a", b"content")
    placed = {"a": Placed(status, b"content")}
    assert _paths(Walk(directory, placed)) == []
    time.sleep(0.05)  # several ticks of the kernel's clock
    (tmp_path / "a").read_bytes()
    assert _paths(Walk(directory, placed)) == []
    CHANGES[change](tmp_path / "a")
    os.utime(tmp_path / "a", ns=(status.st_atime_ns, status.st_mtime_ns))  # which hides nothing
    assert _paths(Walk(directory, placed)) == ["a"]


def test_a_change_that_leaves_no_time_behind_is_seen_in_the_content(directory, tmp_path) -> None:
    """Within one tick of the clock, or through a mapping of a tmpfs, ctime stays as it is."""
    content = b"x" * written._LARGE
    status = workdir.put(directory, "a", content)
    assert _paths(Walk(directory, {"a": Placed(status, content)})) == []
    for place in (0, len(content) - 1):
        other = bytearray(content)
        other[place] = 0
        assert _paths(Walk(directory, {"a": Placed(status, bytes(other))})) == ["a"]


def test_names_that_are_not_utf_8_are_shown_and_not_returned(directory, tmp_path) -> None:
    for name in (b"a\xff", b"d\xfe/b", "ä".encode()):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "wb").close()
    assert _paths(Walk(directory, {})) == ["a�", "ä", "d�/b"]
    assert list(_collect(directory, "**")) == ["ä"]


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_at_most_a_thousand_entries_are_read_and_a_hundred_named(directory, tmp_path, monkeypatch) -> None:
    for n in range(100):
        (tmp_path / ("%03d" % n)).touch()
    files, more = written.named(Walk(directory, {}))
    assert len(files) == 100 and not more
    (tmp_path / "more").touch()
    files, more = written.named(Walk(directory, {}))
    assert len(files) == 100 and more
    monkeypatch.setattr(written, "_MOST_ENTRIES", 50)
    walk = Walk(directory, {})
    assert len(walk.files) == 50 and not walk.complete and written.named(walk)[1]


def test_the_walk_ends_at_a_depth_of_64(directory, tmp_path) -> None:
    here = tmp_path
    for depth in range(66):
        (here / "f").write_bytes(b"%d" % depth)
        here = here / "d"
        here.mkdir()
    before = os.listdir("/proc/self/fd")
    walk = Walk(directory, {})
    assert len(walk.files) == 65 and not walk.complete
    assert os.listdir("/proc/self/fd") == before


def test_walk_and_matching_have_one_deadline(directory, tmp_path, monkeypatch) -> None:
    for n in range(20):
        (tmp_path / str(n)).touch()
    clock = iter(range(1000))
    monkeypatch.setattr(time, "thread_time", lambda: 0.02 * next(clock))
    walk = Walk(directory, {})
    assert len(walk.files) < 20 and not walk.complete and written.named(walk)[1]
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    walk = Walk(directory, {})
    monkeypatch.setattr(time, "thread_time", lambda: 1.0)
    assert list(written.collect(directory, Job("1", return_files=("**",)), walk, 100, 10)) == []
    assert len(walk.files) == 20 and written.named(walk)[1]


# -- patterns ---------------------------------------------------------------------------------------------------------


def test_named_files_come_before_those_that_patterns_match(directory, tmp_path) -> None:
    _make(tmp_path, "a.txt", "b.txt", "c.png", "d/e.txt", "d/f/g.txt")
    assert list(_collect(directory, "*.txt", "c.png", "none")) == ["c.png", "none", "a.txt", "b.txt"]
    assert list(_collect(directory, "d/*", "**/g.txt", "d//e.txt")) == ["d//e.txt", "d/f/g.txt"]
    assert list(_collect(directory, "**")) == ["a.txt", "b.txt", "c.png", "d/e.txt", "d/f/g.txt"]
    assert _collect(directory, "*.pdf", "x/**") == {}


def test_what_the_first_pattern_matches_comes_first(directory, tmp_path) -> None:
    """So that a picture is among the ten, which the tool for agents relies on."""
    _make(tmp_path, *("a%02d.csv" % n for n in range(12)), "d/plot.png", "z.png")
    found = _collect(directory, "**/*.png", "**")
    returned = [name for name, file in found.items() if file.content is not None]
    assert returned == ["z.png", "d/plot.png"] + ["a%02d.csv" % n for n in range(8)] and len(found) == 14


def test_a_name_with_stars_of_an_existing_file_is_that_file(directory, tmp_path) -> None:
    _make(tmp_path, "*.txt", "a.txt", "d*/x", "dd/x")
    assert list(_collect(directory, "*.txt")) == ["*.txt"]
    assert list(_collect(directory, "d*/x")) == ["d*/x"]
    assert list(_collect(directory, "a*")) == ["a.txt"]


def test_ten_files_come_back_and_the_others_are_named(directory, tmp_path) -> None:
    for n in range(150):
        _make(tmp_path, "f%03d" % n)
    found = _collect(directory, "f100", "f*")
    returned = [name for name, file in found.items() if file.content is not None]
    assert returned == ["f100"] + ["f%03d" % n for n in range(9)]
    others = {name: file for name, file in found.items() if file.content is None}
    assert len(others) == 100 and {file.error for file in others.values()} == {
        "At most 10 files can be returned; ask for this one by its name."
    }
    assert others["f009"].size_bytes == 4


def test_what_is_too_large_is_named_and_is_none_of_the_ten(directory, tmp_path) -> None:
    _make(tmp_path, "large-1", "large-2", "ok-1", "ok-2", "ok-3")
    found = _collect(directory, "*", longest=5, most=2)
    assert [name for name, file in found.items() if file.content] == ["ok-1", "ok-2"]
    assert found["large-1"].size_bytes == 7 and "too large" in str(found["large-1"].error)
    assert "At most 2" in str(found["ok-3"].error)


def test_two_names_of_one_file_are_one(directory, tmp_path) -> None:
    _make(tmp_path, "a", "c")
    os.link(tmp_path / "a", tmp_path / "b")
    found = _collect(directory, "*")
    assert found["a"].content == b"a" and found["c"].content == b"c"
    assert found["b"].error == "The same file as 'a', which is returned." and found["b"].size_bytes == 1
    assert {file.content for file in _collect(directory, "a", "b").values()} == {b"a"}  # asked for by name


# -- end to end, on either host ---------------------------------------------------------------------------------------


def _written(document: Any) -> Dict[str, int]:
    return {row["path"]: row["size_bytes"] for row in document["execution_details"]["files_written"]}


WRITES = """
for name in ("one.png", "two.png", "notes.txt"):
    with open(name, "w") as file:
        file.write(name)
with open("a.txt", "a") as file:
    file.write("!")
open("b.txt").read()
"""


def test_what_a_script_wrote_is_named_and_comes_back(either_host: RunningServer) -> None:
    attachments = {"a.txt": b"a", "b.txt": b"b"}
    expected = {"a.txt": 2, "notes.txt": 9, "one.png": 7, "two.png": 7}
    for client in (either_host.client, either_host.admin):
        for asked in ([], ["**"], ["*.png", "one.png"], ["b.txt"]):
            result = client.execute(WRITES, attachments=attachments, return_files=asked)
            assert result.success and _written(result.document) == expected
            assert result.document["execution_details"]["files_written_truncated"] is False
            if asked == ["**"]:
                assert {name: len(content) for name, content in result.files.items()} == expected
        assert result.files == {"b.txt": b"b"}


IMPORTS = """
import attached, sys
with open("made.py", "w") as file:
    file.write("x = 2")
import made
print(attached.x, made.x, sys.dont_write_bytecode)
"""


def test_no_bytecode_is_written(either_host: RunningServer) -> None:
    attachments = {"attached.py": b"x = 1", "main.py": b"import attached, os"}
    for client in (either_host.client, either_host.admin):
        result = client.execute(IMPORTS, attachments=attachments, return_files=["**"])
        assert (result.stdout, result.stderr, _written(result.document)) == ("1 2 False\n", "", {"made.py": 5})
        assert list(result.files) == ["made.py"]
    code = "import subprocess, sys\nsubprocess.run([sys.executable, 'main.py'], check=True)"
    assert _written(either_host.admin.execute(code, attachments=attachments).document) == {}


def test_directories_below_are_walked(either_host: RunningServer) -> None:
    code = "import os\nos.makedirs('d/e')\nopen('d/e/f.csv', 'w').write('1')\nos.symlink('/etc/passwd', 'd/link')"
    result = either_host.admin.execute(code, return_files=["**/*.csv", "d/*"])
    assert result.files == {"d/e/f.csv": b"1"} and _written(result.document) == {"d/e/f.csv": 1}


@pytest.mark.parametrize("who", ["client", "admin"])
@pytest.mark.parametrize("end", ["while True: pass", "while True: print('x' * 100000)"])
def test_files_come_back_after_a_limit(start_server, who: str, end: str) -> None:
    running = start_server(wall_s=2)
    with pytest.raises(ServiceError) as caught:
        code = "open('part.csv', 'w').write('a,b')\n" + end
        getattr(running, who).execute(code, return_files=["*.csv"])
    assert caught.value.type in ("TimeoutError", "ResourceLimitError")
    assert _written(caught.value.document) == {"part.csv": 3}
    assert "content_base64" in caught.value.document["execution_details"]["output_files"]["part.csv"]


def test_a_thousand_files_are_no_server_error(either_host: RunningServer) -> None:
    code = "for n in range(900): open('%0200d' % n, 'w').close()"
    result = either_host.client.execute(code, return_files=["**"])
    details = result.document["execution_details"]
    assert result.success and len(details["files_written"]) == 100 and details["files_written_truncated"] is True
    assert len(result.files) == 10 and len(result.file_errors) == 100
