"""The tool as a model is told about it, and its arguments: what is wrong with them is said in words that help."""

from __future__ import annotations

import json
from typing import Any, Dict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import FUZZ

from pyexec.api import request_json
from pyexec.api.mcp import arguments, tool
from pyexec.api.mcp.tool import Server
from pyexec.config import Config
from pyexec.errors import ValidationError
from pyexec.job import Attachment

CONFIG = Config.of()
LIBRARIES = {"numpy": "2.4.6", "PIL": "13.0.0", "reportlab": "5.1.0", "fpdf": "2.8.9"}


def job_of(config: Config = CONFIG, **given: Any) -> Any:
    """Return the job of arguments that have come as JSON."""
    return arguments.job_of(request_json.load(json.dumps(given).encode("utf-8")), config)


# -- what is said of the tool -----------------------------------------------------------------------------------------


def test_the_description_is_made_from_the_settings() -> None:
    config = Config.of(
        wall_s=7,
        memory_bytes=3 << 20,
        workdir_bytes=5 << 20,
        code_chars=77,
        rate_per_minute=8,
        rate_per_day=9,
        mcp_chars=1234,
        modules="numpy zlib",
    )
    text = tool.description(Server(config, "3.12.1", {"numpy": "1.2.3"}, data={"sales": "/data/sales"}))
    for said in ("Python 3.12.1", "7 seconds", "3 MiB of memory", "5 MiB of files", "77 characters of code"):
        assert said in text
    for said in (
        "runs: 8 a minute and 9 a day",
        "1234 characters",
        "numpy 1.2.3",
        "Read-only data: sales in /data/sales.",
        "may be imported: zlib.",
    ):
        assert said in text


@pytest.mark.parametrize(
    "said", ["No network", "Nothing is kept between calls", "current directory", "return_files", "Print what you want"]
)
def test_the_description_says_what_a_model_must_know(said: str) -> None:
    assert said in tool.description(Server(CONFIG, "3.12.1", LIBRARIES))


def test_no_quota_is_told_where_there_is_none() -> None:
    assert "a minute" not in tool.description(Server(CONFIG, "3.12.1", LIBRARIES, quotas=False))
    assert "a minute" not in tool.description(Server(CONFIG, "3.12.1", LIBRARIES, admin=True))


def test_the_description_is_not_cut_by_clients() -> None:
    """Claude Code shows a model the first 2 KB."""
    assert len(tool.description(Server(CONFIG, "3.12.1", LIBRARIES)).encode("utf-8")) <= 2048


def test_the_definition_is_a_tool_of_the_protocol() -> None:
    found = tool.definition(Server(CONFIG, "3.12.1", LIBRARIES))
    assert found["name"] == "execute_python" and "outputSchema" not in found
    assert found["annotations"]["readOnlyHint"] is True and found["annotations"]["openWorldHint"] is False
    assert tuple(found["inputSchema"]["properties"]) == tool.ARGUMENTS
    assert all(entry["description"] for entry in found["inputSchema"]["properties"].values())


def test_the_schema_is_valid_and_agrees_with_what_is_taken() -> None:
    from jsonschema import Draft202012Validator

    schema = tool.schema(CONFIG)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    files = {"a.txt": "x", "b": {"content_base64": "eA=="}}
    for good in ({"code": "1"}, {"code": "1", "stdin": "x", "files": files, "return_files": ["a.png"]}):
        assert validator.is_valid(good)
        job_of(**good)
    for bad in ({}, {"code": 1}, {"code": "1", "x": 1}, {"code": "1", "files": {"a": 1}}, {"code": "1", "stdin": 1}):
        assert not validator.is_valid(bad)
        with pytest.raises(ValidationError):
            job_of(**bad)


# -- arguments --------------------------------------------------------------------------------------------------------


def test_arguments_make_a_job() -> None:
    files = {"a.txt": "\u00e9", "b.bin": {"content_base64": "AAH/"}}
    job = job_of(code="print(1)", stdin="in", files=files, return_files=["x.png", "x.png", "y"])
    assert (job.code, job.stdin, job.return_files, job.admin) == ("print(1)", b"in", ("x.png", "y"), False)
    assert job.attachments == (Attachment("a.txt", "\u00e9".encode("utf-8")), Attachment("b.bin", b"\0\1\xff"))


def test_null_means_absent_and_one_name_needs_no_list() -> None:
    job = job_of(code="1", stdin=None, files=None, return_files=None)
    assert (job.stdin, job.attachments, job.return_files) == (None, (), arguments.DEFAULT)
    assert job_of(code="1", return_files="a.png").return_files == ("a.png",)


def test_pictures_are_asked_for_before_all_else() -> None:
    assert arguments.DEFAULT[0] == "**/*.png" and arguments.DEFAULT[-1] == "**"
    for most in range(12):
        job = arguments.job_of({"code": "1"}, Config.of(return_files=most))
        assert job.return_files == (arguments.DEFAULT if most > 6 else arguments.DEFAULT[6 - most :])


def test_whether_files_were_named() -> None:
    assert not arguments.names_files({"code": "1"}) and not arguments.names_files({"return_files": None})
    assert arguments.names_files({"return_files": []}) and arguments.names_files({"return_files": ["a"]})


@pytest.mark.parametrize(
    "given, field, advice",
    [
        ({}, "code", "send the Python script in it"),
        ({"code": ""}, "code", "is missing"),
        ({"code": None}, "code", "is missing"),
        ({"code": ["print(1)"]}, "code", "must be a string, not an array"),
        ({"code": "x" * 2001}, "code", "at most 2000 characters; it has 2001. Put data into 'files'"),
        ({"code": "a\0b"}, "code", "NUL"),
        ({"script": "1"}, "script", "Call it 'code'"),
        ({"Code": "1"}, "Code", "Call it 'code'"),
        ({"code": "1", "STDIN": "1"}, "STDIN", "Call it 'stdin'"),
        ({"code": "1", "stdin_data": "x"}, "stdin_data", "Call it 'stdin'"),
        ({"code": "1", "attachments": []}, "attachments", "Call it 'files'"),
        ({"code": "1", "language": "python"}, "language", "There are code, stdin, files, return_files"),
        ({"code": "1", "stdin": 5}, "stdin", "must be a string, not a number"),
        ({"code": "1", "files": ["a"]}, "files", 'such as {"a.csv": "x,y"}, not an array'),
        ({"code": "1", "files": {"a/b": "x"}}, 'files["a/b"]', "must be a plain file name"),
        ({"code": "1", "files": {"script.py": "x"}}, 'files["script.py"]', "the script's own name"),
        ({"code": "1", "files": {"a": 1}}, 'files["a"]', "must be a string, not a number"),
        ({"code": "1", "files": {"a": None}}, 'files["a"]', "must be the file's content"),
        ({"code": "1", "files": {"a": {"text": "x"}}}, 'files["a"]', '{"content_base64": "\u2026"}'),
        ({"code": "1", "files": {"a": {"content_base64": "?"}}}, 'files["a"]', "not valid Base64"),
        ({"code": "1", "files": {"a": {"content_base64": 1}}}, 'files["a"]', "must be a string"),
        ({"code": "1", "files": {"a": "", "b": "", "c": ""}}, "files", "at most 2 files; it has 3"),
        ({"code": "1", "return_files": {"a": 1}}, "return_files", "must be an array of file names, not an object"),
        ({"code": "1", "return_files": [1]}, "return_files[0]", "must be a string, not a number"),
        ({"code": "1", "return_files": [None]}, "return_files[0]", "not null"),
        ({"code": "1", "return_files": ["/a"]}, "return_files[0]", "must be a relative path: write 'a', by"),
        ({"code": "1", "return_files": ["a"] * 11}, "return_files", "at most 10 names; it has 11"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_what_is_wrong_is_said(given: Dict[str, Any], field: str, advice: str) -> None:
    with pytest.raises(ValidationError) as caught:
        job_of(**given)
    assert caught.value.field == field and advice in caught.value.message


def test_sizes_are_those_of_the_settings() -> None:
    small = Config.of(attachment_bytes=10, stdin_bytes=10)
    job_of(small, code="1", stdin="\u00e9" * 5, files={"a": "\u00e9" * 5, "b": {"content_base64": "A" * 12}})
    for wrong in (
        {"stdin": "\u00e9" * 6},
        {"files": {"a": "\u00e9" * 6}},
        {"files": {"a": {"content_base64": "A" * 16}}},
    ):
        with pytest.raises(ValidationError, match="at most 10 bytes"):
            job_of(small, code="1", **wrong)


def test_a_long_text_under_the_name_of_base64_is_a_text() -> None:
    """Long strings of that name come as views of the body."""
    text = "x" * 100000
    job = job_of(code="1", files={"content_base64": text})
    assert job.attachments == (Attachment("content_base64", text.encode()),)
    with pytest.raises(ValidationError, match="There is no argument 'content_base64'"):
        job_of(code="1", content_base64=text)


_ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("a" * 70000),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["content_base64", "content_base_64"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(FUZZ, max_examples=300)
@given(st.dictionaries(st.sampled_from(tool.ARGUMENTS + ("content_base64", "x")), _ODD, max_size=5))
def test_any_arguments_make_a_job_or_an_error(given: Dict[str, Any]) -> None:
    try:
        job_of(**given)
    except ValidationError as error:
        assert error.field and error.message.endswith((".", "}"))
