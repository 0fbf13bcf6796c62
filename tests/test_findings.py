"""What a run says of itself: the shapes that are taken, and that everything else is refused by ValueError alone."""

from __future__ import annotations

import json
from typing import Any, Dict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyexec import findings
from pyexec.api import response

FRAME = {"line": 1, "function": "f", "code": "x", "locals": {"a": "1"}, "locals_omitted": 2}
ERROR: Dict[str, Any] = {
    "type": "ValueError",
    "message": "no",
    "line": 1,
    "code": "x",
    "frames": [FRAME],
    "frames_omitted": 1,
    "largest": [{"name": "a", "size_bytes": 5, "value": "x"}],
}
VALUE = {"repr": "[1]", "json": "[1]", "markdown": "| a |", "truncated": True}


def test_what_is_well_formed_is_taken_as_it_is() -> None:
    assert findings.error(json.loads(json.dumps(ERROR))) == ERROR
    assert findings.value(VALUE) == dict(VALUE, json=[1])
    assert findings.value({"repr": "None", "json": "null"}) == {"repr": "None", "json": None}
    assert findings.error({"type": "", "message": "", "line": None, "code": "", "frames": []})["line"] is None


ODD = [None, True, 0, -1, 1.5, "x" * 100000, [], {}, ["x"], [[]], [None], [{}], {"a": 1}, {"a": None}, 2**60]


@pytest.mark.parametrize("name", sorted(ERROR))
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_a_field_of_another_shape_spoils_the_report(name: str, odd: Any) -> None:
    if (name, odd) in [("line", None), ("line", 0), ("frames", []), ("largest", []), ("frames_omitted", 0)]:
        return
    if name in ("line", "frames_omitted") and odd is True:
        odd = "1"
    with pytest.raises(ValueError):
        findings.error(dict(ERROR, **{name: odd}))


@pytest.mark.parametrize("name", sorted(FRAME))
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_a_field_of_a_frame_as_well(name: str, odd: Any) -> None:
    if (name, odd) in [("line", 0), ("locals", {}), ("locals_omitted", 0)]:
        return
    with pytest.raises(ValueError):
        findings.error(dict(ERROR, frames=[dict(FRAME, **{name: odd})]))


@pytest.mark.parametrize(
    "said",
    [
        dict(ERROR, more=1),
        dict(ERROR, frames=[FRAME] * (findings.FRAMES + 1)),
        dict(ERROR, frames=[dict(FRAME, more=1)]),
        dict(ERROR, frames=[dict(FRAME, locals={str(n): "x" for n in range(99)})]),
        dict(ERROR, frames=[dict(FRAME, locals={str(n): "x" * 500 for n in range(9)})]),
        dict(ERROR, frames=[dict(FRAME, locals={"n" * 999: "x"})]),
        {name: ERROR[name] for name in ("type", "message", "line", "code")},
        *ODD,
    ],
    ids=lambda said: repr(said)[:20],
)
def test_too_much_and_too_little_is_refused(said: Any) -> None:
    with pytest.raises(ValueError):
        findings.error(said)


@pytest.mark.parametrize(
    "text",
    ["", "x", "NaN", "[Infinity]", "-Infinity", "1e999", '"\\ud800"', '{"\\ud800": 1}', "[" * 4000, "[" * 99 + "]" * 99]
    + ['{"a":' * 50 + "1" + "}" * 50, " " * 9000 + "1", "[1]]", None, [1], 1],
    ids=lambda text: repr(text)[:20],
)
def test_json_that_a_strict_answer_can_not_have_is_refused(text: Any) -> None:
    with pytest.raises(ValueError):
        findings.value({"repr": "", "json": text})


def test_lone_surrogates_are_replaced() -> None:
    assert findings.value({"repr": "a\ud800"})["repr"] == "a?"
    found = findings.error(dict(ERROR, frames=[dict(FRAME, locals={"\udcff": "\ud800"})]))
    assert found["frames"][0]["locals"] == {"?": "?"}


_ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=30)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=4)),
    max_leaves=12,
)


@given(_ANY, st.sampled_from(["error", "value"]), st.sampled_from(sorted(set(ERROR) | set(VALUE))))
def test_what_is_taken_can_be_written_in_an_answer(said: Any, kind: str, name: str) -> None:
    whole: Dict[str, Any] = ERROR if kind == "error" else VALUE
    for each in (said, dict(whole, **{name: said}), {"repr": "", "json": json.dumps(said)}):
        try:
            found = getattr(findings, kind)(each)
        except ValueError:
            continue
        text = response.dumps(found).decode("utf-8")
        assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == found
