"""What a model gets to read and to see: printed text, pictures and files, and the next step where something failed."""

from __future__ import annotations

import io
import json
from typing import Any, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import FUZZ

from pyexec.api.mcp import files, jsonrpc, result
from pyexec.api.mcp.tool import NAMED_CHARS
from pyexec.api.response import Done
from pyexec.config import Config
from pyexec.errors import InternalServerError, RateLimitExceeded, ServerBusy, ValidationError
from pyexec.http1.answer import made_as_written
from pyexec.job import Job, Outcome, OutputFile
from pyexec.limits import Quota

CONFIG = Config.of(mcp_chars=1000)
MIB = 1 << 20


def picture(kind: str = "PNG", size: Any = (4, 3)) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, "red").save(target, kind)
    return target.getvalue()


def noise(length: int) -> bytes:
    """Return a PNG of about so many bytes."""
    side = int((length / 3) ** 0.5)
    target = io.BytesIO()
    Image.effect_noise((3 * side, side), 90).save(target, "PNG", compress_level=0)
    return target.getvalue()


def shape(outcome: Outcome, named: bool = True) -> Any:
    return result.of_run(Done(Job("1"), outcome), None, named, CONFIG)


def run(stdout: str = "", stderr: str = "", code: int = 0, **more: Any) -> Outcome:
    return Outcome(more.pop("verdict", "ended"), code, 0.1, stdout.encode("utf-8"), stderr.encode("utf-8"), **more)


def wrote(name: str, content: bytes) -> OutputFile:
    return OutputFile(name, content, len(content))


def text_of(shaped: Any) -> str:
    return str(shaped.content[0]["text"])


# -- text -------------------------------------------------------------------------------------------------------------


def test_what_was_printed_stands_alone() -> None:
    shaped = shape(run("hello\nworld\n"))
    assert shaped.document == {"content": [{"type": "text", "text": "hello\nworld"}], "isError": False}


def test_a_warning_of_a_run_that_did_well_is_told_apart() -> None:
    assert text_of(shape(run("42\n", "DeprecationWarning\n"))) == "42\n[stderr]\nDeprecationWarning"


def test_without_output_the_model_is_told_to_print() -> None:
    for printed in ("", "\n\n"):
        assert shape(run(printed)).document["content"] == [
            {"type": "text", "text": "No output; print what you want to see."}
        ]
    assert "No output" not in text_of(shape(run(files=(wrote("a.txt", b"x"),))))


def test_a_script_that_raises_is_an_error_with_its_traceback() -> None:
    traceback = 'Traceback (most recent call last):\n  File "script.py", line 1\nZeroDivisionError: division by zero\n'
    shaped = shape(run("so far\n", traceback, 1))
    assert shaped.is_error and text_of(shaped) == "so far\n" + traceback.rstrip("\n")


def test_a_script_that_ends_badly_without_a_word_says_how() -> None:
    assert text_of(shape(run("x", code=3))) == "x\nThe script ended with exit code 3."
    assert text_of(shape(run(code=-11))) == "The script ended with exit code -11."


@pytest.mark.parametrize(
    "outcome, said",
    [
        (
            run("so far", verdict="timeout", code=-9),
            "so far\nTimeoutError: Execution exceeded the time limit of 10 seconds.",
        ),
        (
            run("so far", verdict="resource", code=-9, resource="memory", limit=MIB),
            "so far\nResourceLimitError: Execution exceeded its limit of 1 MiB of memory.",
        ),
        (
            run("never", verdict="forbidden", code=-9, modules=("os",)),
            "ForbiddenImportError: Import of 'os' is not allowed. Instead of 'os' use 'pathlib', 'shutil' or 'glob'."
            " Libraries that may be imported: numpy, PIL, reportlab, fpdf. The tool's description lists all modules.",
        ),
    ],
)
def test_a_run_that_was_ended_says_why(outcome: Outcome, said: str) -> None:
    shaped = shape(outcome)
    assert shaped.is_error and text_of(shaped).startswith(said)


@pytest.mark.parametrize(
    "error, said",
    [
        (
            RateLimitExceeded("Limit of 5 requests per minute exceeded.", 12),
            "5 runs a minute are used up; try again in 12 s.",
        ),
        (
            RateLimitExceeded("Daily quota of 1 exceeded.", 18000, "day"),
            "1 run a day is used up; try again in 5 h 0 min.",
        ),
        (
            RateLimitExceeded("Limit of 5 wrong API keys per minute exceeded.", 9, "guesses"),
            "Limit of 5 wrong API keys per minute exceeded; try again in 9 s.",
        ),
        (ServerBusy("All 5 slots are taken; try again in a moment."), "All 5 slots are taken; try again in 1 s."),
        (ValidationError("'code' is missing.", "code"), "ValidationError: 'code' is missing."),
        (InternalServerError("secret", "1f"), "InternalServerError: An internal error occurred. Its id is 1f."),
    ],
)
def test_a_refusal_says_what_to_do(error: Any, said: str) -> None:
    quota = Quota(daily_limit=1, used_today=1, minute_limit=5, minute_left=0, minute_reset_s=12, day_reset_s=18000)
    assert result.of_error(error, None, quota).document == {
        "content": [{"type": "text", "text": said}],
        "isError": True,
    }


def test_what_was_large_is_told_where_memory_ran_out() -> None:
    large = [{"name": "c", "size_bytes": 400 << 20, "value": "[]"}, {"name": "d", "size_bytes": 9 << 20, "value": "[]"}]
    found = {"type": "MemoryError", "message": "", "line": 1, "code": "", "frames": [], "largest": large}
    assert text_of(shape(run("", "MemoryError", 1, error=found))) == "MemoryError\nLargest: c, 400 MiB; d, 9 MiB"


def test_the_value_at_fault_is_told_however_long_the_others_are() -> None:
    values = {"rows": "[" + "{'p': 1},\n" * 99 + "]", "i": "50", "rows[i]['p']": "'x'"}
    frame = {"line": 3, "function": "f", "code": "rows[i]['p'] + 1", "locals": values}
    error = {"type": "TypeError", "message": "m", "line": 3, "code": "", "frames": [frame] * 5}
    lines = text_of(shape(run(stderr="Traceback\nTypeError: m\n", code=1, error=error))).splitlines()
    assert len(lines) == 5 and lines[2] == lines[4] and max(map(len, lines)) <= 300
    assert lines[2].startswith("At line 3 in f: rows[i]['p'] = 'x', rows = [{'p': 1}, ") and lines[2].endswith(
        "…, i = 50"
    )


def test_what_was_printed_and_the_last_value_share_the_room() -> None:
    for printed, value in ((5000, 5000), (5000, 10), (10, 5000), (5000, 800)):
        text = text_of(shape(run("p" * printed, value={"repr": "v" * value, "json": None})))
        assert len(text) <= 1001 and text.count("p") >= min(printed, 400) and text.count("v") >= min(value, 400)
    text = text_of(shape(run("p" * 5000, "e" * 5000, 1, value={"repr": "v" * 5000, "json": None})))
    assert len(text) <= 1002 and text.count("e") > 400 and text.count("p") > 150 and text.count("v") > 150


def test_a_hint_stands_last() -> None:
    done = Done(Job("1"), run("x", "SyntaxError: invalid syntax", 1))
    assert text_of(result.of_run(done, "Remove the code fences.", True, CONFIG)).endswith(
        "syntax\nRemove the code fences."
    )
    assert text_of(result.of_error(ServerBusy("Busy."), "Wait.")).endswith("\nWait.")


@pytest.mark.parametrize(
    "seconds, said", [(1, "1 s"), (119, "119 s"), (120, "2 min"), (121, "3 min"), (7199, "2 h 0 min")]
)
def test_a_time_to_wait_is_never_told_too_short(seconds: int, said: str) -> None:
    assert result.duration(seconds) == said


def test_long_output_is_cut_in_the_middle_and_the_cut_is_told() -> None:
    text = "".join("%05d\n" % number for number in range(10000))
    shown = text_of(shape(run(text)))
    assert len(shown) <= 1000 and shown.startswith("00000\n00001\n") and shown.endswith("09998\n09999")
    (left,) = [int(line[5:].split()[0].replace(",", "")) for line in shown.splitlines() if line.startswith("[...")]
    assert left == len(text.rstrip()) - (len(shown) - len("\n[... %s characters left out ...]\n" % format(left, ",")))


def test_the_end_of_the_traceback_is_never_cut_for_output() -> None:
    shown = text_of(shape(run("x" * 5000, "y" * 400 + "\nValueError: the end", 1)))
    assert len(shown) <= 1001 and "y" * 400 in shown and shown.endswith("\nValueError: the end")
    both = text_of(shape(run("x" * 5000, "y" * 5000 + "\nValueError: the end", 1)))
    assert len(both) <= 1001 and both.endswith("\nValueError: the end") and both.count("left out") == 2


@settings(FUZZ)
@given(st.text(max_size=300), st.integers(100, 200))
def test_cutting_keeps_beginning_and_end(text: str, most: int) -> None:
    shown = result.cut(text, most)
    assert len(shown) <= most and (shown == text if len(text) <= most else shown[:20] == text[:20])
    assert shown[-20:] == text[-20:]


def test_output_that_the_server_had_cut_is_said_to_be() -> None:
    assert "[The output was cut at 1 MiB.]" in text_of(shape(run("x", stdout_truncated=True)))


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_pictures_are_seen(kind: str) -> None:
    content = picture(kind)
    shaped = shape(run("done", files=(wrote("a." + kind.lower(), content),)))
    _, block = shaped.content
    assert (block["type"], block["mimeType"]) == ("image", "image/" + kind.lower())
    assert [blob.content for blob in shaped.blobs] == [content]
    assert text_of(shaped) == "done\na.%s: %d bytes, shown below" % (kind.lower(), len(content))


def test_pictures_are_known_by_their_content() -> None:
    assert files.picture_type(picture("BMP")) is None
    assert shape(run(files=(wrote("chart.dat", picture()),))).content[1]["mimeType"] == "image/png"
    assert shape(run(files=(wrote("a.png", b"no picture"),))).content[1]["type"] == "text"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_that_is_cut_off_is_not_shown(kind: str) -> None:
    """A model's service refuses the whole conversation for one that it can't read."""
    content = picture(kind, (60, 60))
    for length in (0, 1, 8, 20, len(content) - 1):
        assert files.picture_type(content[:length]) is None


def test_a_picture_of_too_many_pixels_is_not_shown() -> None:
    assert files.picture_type(picture("PNG", (8000, 1))) == "image/png"
    assert files.picture_type(picture("PNG", (8001, 1))) is None


def test_pictures_have_a_megabyte_together() -> None:
    large, small = noise(900000), picture()
    found = (wrote("a.png", large), wrote("b.png", large), wrote("c.png", small))
    shaped = shape(run(files=found), named=False)
    assert [block["type"] for block in shaped.content] == ["text", "image", "image"]
    second = text_of(shaped).splitlines()[1]
    assert second.startswith("b.png: %d bytes, not returned; " % len(large)) and "savefig(name, dpi=100)" in second
    shaped = shape(run(files=found), named=True)
    assert [block["type"] for block in shaped.content] == ["text", "image", "resource", "image"]
    assert shaped.content[2]["resource"]["mimeType"] == "image/png"


def test_texts_are_read() -> None:
    shaped = shape(run(files=(wrote("a.csv", "x,\u00e9\n1,2\n".encode("utf-8")),)))
    assert shaped.content[1] == {"type": "text", "text": "a.csv:\nx,\u00e9\n1,2\n"}
    assert text_of(shaped) == "a.csv: 9 bytes, below"


def test_a_long_text_comes_whole_if_it_was_named() -> None:
    long = wrote("a.txt", b"x" * 5000)
    assert shape(run(files=(long,)), named=True).content[1]["text"] == "a.txt:\n" + "x" * 5000
    shaped = shape(run("printed", files=(wrote("b.txt", b"y" * 500), long)), named=False)
    assert [block["type"] for block in shaped.content] == ["text", "text"]
    assert "a.txt: 5000 bytes, not returned; name it in return_files to get it" in text_of(shaped)
    assert "b.txt: 500 bytes, below" in text_of(shaped)


def test_named_texts_that_are_long_together_are_attached() -> None:
    """All of them as text were a document of 336 MB, which took 3 GiB and seven seconds to make."""
    some, rest, all_of_it = (
        wrote(name, "\u00e9".encode("utf-8") * (size * NAMED_CHARS // 10))
        for name, size in (("a", 6), ("b", 4), ("c", 10))
    )
    small = wrote("d", b"")
    for found, kinds in (
        ((all_of_it, small), ["text", "text"]),
        ((some, all_of_it, rest), ["text", "resource", "text"]),
        ((some, rest, wrote("e", b"x"), small), ["text", "text", "resource", "text"]),
    ):
        shaped = shape(run(files=found))
        assert [block["type"] for block in shaped.content[1:]] == kinds
    assert text_of(shape(run(files=(some, all_of_it)))).splitlines()[1] == "c: 200000 bytes, attached"
    assert [blob.content for blob in shape(run(files=(some, all_of_it))).blobs] == [all_of_it.content]
    escapes = wrote("log.txt", b"\x1b" * 1000)
    assert shape(run(files=(escapes,))).content[1]["resource"]["mimeType"] == "text/plain"


def test_other_files_are_attached_if_they_were_named() -> None:
    pdf = wrote("r\u00e9sum\u00e9 1.pdf", b"%PDF-1.7\n\xff\xfe\0")
    shaped = shape(run(files=(pdf,)))
    resource = shaped.content[1]["resource"]
    assert (shaped.content[1]["type"], resource["mimeType"]) == ("resource", "application/pdf")
    assert resource["uri"] == "pyexec://run/r%C3%A9sum%C3%A9%201.pdf"
    assert "attached" in text_of(shaped)
    assert "name it in return_files" in text_of(shape(run(files=(pdf,)), named=False))


def test_files_that_are_not_there_are_said_not_to_be() -> None:
    found = (OutputFile("a", error="File not found after execution."), OutputFile("b", None, 9000000, "Too large."))
    assert text_of(shape(run("x", files=found))).splitlines()[1:] == [
        "a: File not found after execution.",
        "b: 9000000 bytes; Too large.",
    ]
    assert text_of(shape(run(files=found))).startswith("No output; ")


def test_caches_of_libraries_are_passed_over_unless_they_were_named() -> None:
    found = (wrote(".cache/fonts.json", b"{}"), wrote("a/.b", b"x"), wrote("a.txt", b"x"))
    assert text_of(shape(run(files=found), named=False)) == "a.txt: 1 byte, below"
    assert len(shape(run(files=found), named=True).content) == 4


def test_names_stay_on_their_line() -> None:
    shaped = shape(run(files=(wrote("a\nIgnore\x1b[0m all", b"x"),)))
    assert text_of(shaped) == "a\ufffdIgnore\ufffd[0m all: 1 byte, below"


def test_files_of_a_run_that_failed_come_as_well() -> None:
    shaped = shape(run("", "ValueError", 1, files=(wrote("a.png", picture()),)))
    assert shaped.is_error and [block["type"] for block in shaped.content] == ["text", "image"]


@pytest.mark.parametrize(
    "content, text",
    [
        (b"", ""),
        (b"a\tb\r\n", "a\tb\r\n"),
        (b"\x1b[0m", None),
        (b"a\fb", None),
        ("\u00e9".encode("utf-8"), "\u00e9"),
        (b"\xff", None),
        (b"a\0", None),
        (b"\x7f", None),
    ],
)
def test_what_is_text(content: bytes, text: Any) -> None:
    assert files.text_of(content) == text


@settings(FUZZ, max_examples=200)
@given(
    st.lists(
        st.builds(
            wrote,
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9),
            st.binary(max_size=60) | st.just(picture()),
        ),
        max_size=4,
    ),
    st.binary(max_size=40),
    st.booleans(),
)
def test_any_files_make_a_document(found: List[OutputFile], printed: bytes, named: bool) -> None:
    outcome = Outcome("ended", 0, 0.1, printed, files=tuple(found))
    shaped = result.of_run(Done(Job("1"), outcome), None, named, CONFIG)
    document = json.loads(b"".join(made_as_written(jsonrpc.parts_of(shaped.document, shaped.blobs))))
    assert [block["type"] for block in document["content"]] == [block["type"] for block in shaped.content]
    spliced = [block.get("data") or block.get("resource", {}).get("blob") for block in document["content"]]
    assert len([text for text in spliced if text is not None]) == len(shaped.blobs)
    assert not any(blob.mark in json.dumps(document) for blob in shaped.blobs)
