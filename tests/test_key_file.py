"""The file of named keys: what a line says, what is refused, and that no error repeats anything of a key."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pyexec import key_file
from pyexec.errors import ConfigError
from pyexec.key_file import MOST_KEYS, NamedKey, digest_of

HEX = "ab" * 32
DIGEST = bytes.fromhex(HEX)


def line(rest: str = "per-minute=5 per-day=30", name: str = "acme", digest: str = HEX) -> str:
    return "%s sha256:%s %s\n" % (name, digest, rest)


@pytest.mark.parametrize(
    "rest, expected",
    [
        ("per-minute=5 per-day=30", (5, 30, False, None)),
        ("per-day=1 per-minute=1000000", (1000000, 1, False, None)),
        ("per-minute=none per-day=none", (None, None, False, None)),
        ("per-minute=5 per-day=30 admin", (5, 30, True, None)),
        ("per-minute=5 per-day=30 slots=2", (5, 30, False, 2)),
        ("admin slots=256 per-minute=none per-day=30", (None, 30, True, 256)),
        ("per-minute=5 per-day=30 slots=none", (5, 30, False, None)),
        ("per-minute=5 per-day=30 # a customer", (5, 30, False, None)),
        ("per-minute=5\tper-day=30  \r", (5, 30, False, None)),
    ],
)
def test_a_line_says_who_may_do_what(rest: str, expected: Any) -> None:
    (key,) = key_file.parse(line(rest).encode())
    assert (key.name, key.digest) == ("acme", DIGEST)
    assert (key.per_minute, key.per_day, key.admin, key.slots) == expected
    assert key_file.parse(key.line().encode()) == (key,)


def test_comments_and_empty_lines_are_passed_over() -> None:
    text = "# keys of the pupils\n\n  \n" + line() + "   # " + line("x") + line(name="other", digest="cd" * 32)
    assert [key.name for key in key_file.parse(text.encode())] == ["acme", "other"]
    assert key_file.parse(b"") == key_file.parse("# none, with é\n".encode()) == ()


SECRET = "s3cret-Key_of-somebody-that-must-not-be-logged"


@pytest.mark.parametrize(
    "wrong, what",
    [
        ("acme\n", "the second word must be sha256"),
        ("acme %s per-minute=5 per-day=30\n" % SECRET, "the second word must be sha256"),
        ("%s! sha256:%s per-minute=5 per-day=30\n" % (SECRET, HEX), "the name must be"),
        (line(digest="ab" * 31), "the second word must be sha256"),
        (line(digest="gh" * 32), "the second word must be sha256"),
        (line("per-minute=5"), "per-day=N is missing"),
        (line("per-day=5"), "per-minute=N is missing"),
        (line("per-minute=0 per-day=1"), "per-minute must be 1 to 1000000, or none"),
        (line("per-minute=5 per-day=1000001"), "per-day must be 1 to 1000000, or none"),
        (line("per-minute=5 per-day=" + SECRET), "per-day must be 1 to 1000000, or none"),
        (line("per-minute=5 per-day=-1"), "per-day must be"),
        (line("per-minute=5 per-day=1.5"), "per-day must be"),
        (line("per-minute=5 per-day="), "per-day must be"),
        (line("per-minute=5 per-day=1 slots=257"), "slots must be 1 to 256, or none"),
        (line("per-minute=5 per-day=1 " + SECRET), "a word is unknown"),
        (line("per-minute=5 per-day=1 Admin"), "a word is unknown"),
        (line("per-minute=5 per-day=1 admin admin"), "stands there twice"),
        (line("per-minute=5 per-day=1 per-day=1"), "stands there twice"),
        (line("per-minute=5 per-day=1", name="a" * 65), "the name must be"),
        ("\ufeff" + line(), "the name must be"),
        (line() + line(name="other"), "line 4: the same key stands in a line above"),
        (
            line() + line("per-minute=6 per-day=30", digest="cd" * 32),
            "line 4: the name is that of line 3, but the limits",
        ),
    ],
)
def test_a_malformed_line_is_named_by_its_number_and_not_repeated(wrong: str, what: str) -> None:
    content = "# a comment\n\n" + wrong
    with pytest.raises(ValueError) as caught:
        key_file.parse(content.encode())
    text = str(caught.value)
    assert what in text and text.startswith(("line 3: ", "line 4: "))
    assert SECRET not in text and "acme" not in text and HEX not in text


def test_two_keys_of_one_name_are_one_account() -> None:
    old, new = key_file.parse((line() + line(digest="cd" * 32)).encode())
    assert (old.name, old.per_minute) == (new.name, new.per_minute) and old.digest != new.digest


def test_the_number_of_keys_is_bounded() -> None:
    lines = [line(name="k%d" % number, digest="%064x" % number) for number in range(MOST_KEYS + 1)]
    assert len(key_file.parse("".join(lines[1:]).encode())) == MOST_KEYS
    with pytest.raises(ValueError, match="more than 1000 keys"):
        key_file.parse("".join(lines).encode())


# -- the file ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Any) -> str:
    found = str(tmp_path / "keys")
    with open(found, "w", encoding="ascii") as file:
        file.write(line())
    os.chmod(found, 0o644)
    return found


def test_a_file_is_read(path: str) -> None:
    assert key_file.read(path) == (NamedKey("acme", DIGEST, 5, 30),)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o622, 0o666])
def test_a_file_that_others_can_write_is_refused(path: str, mode: int) -> None:
    os.chmod(path, mode)
    with pytest.raises(ConfigError, match="Others can write the keys file .*; chmod go-w it"):
        key_file.read(path)


def test_what_cannot_be_read_is_an_error_that_names_the_file(path: str, tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="%s/nothing can't be read: No such file" % tmp_path):
        key_file.read(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="is not a regular file|Is a directory"):
        key_file.read(str(tmp_path))
    os.mkfifo(str(tmp_path / "fifo"))
    with pytest.raises(ConfigError, match="is not a regular file"):
        key_file.read(str(tmp_path / "fifo"))
    with open(path, "ab") as file:
        file.write(b"#" * (1 << 20))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        key_file.read(path)


# -- new keys ---------------------------------------------------------------------------------------------------------


def test_a_new_key_is_random_and_its_line_knows_it() -> None:
    keys = {key_file.new_key("acme", 5, None, False)[0] for _ in range(100)}
    assert len(keys) == 100 and {len(key) for key in keys} == {43}  # 32 bytes
    key, named = key_file.new_key("acme", 5, None, True)
    assert key_file.parse(named.line().encode()) == (NamedKey("acme", digest_of(key), 5, None, admin=True),)
    assert key not in named.line() and key not in repr(named) and named.digest.hex() not in repr(named)
    with pytest.raises(ConfigError, match="name of a key"):
        key_file.new_key("a b", 5, 5, False)
