"""The value of a script's last statement: found without changing what the script does, and shown as a notebook would."""

from __future__ import annotations

import json
import traceback
from typing import Any, Dict, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyexec import findings
from pyexec.child import last_value
from pyexec.job import SCRIPT_NAME


def value_of(source: str) -> Optional[Dict[str, Any]]:
    """Return the last value of a script as an answer has it, None if there is none."""
    names: Dict[str, Any] = {"__name__": "__main__"}
    exec(last_value.compile_(source.encode(), SCRIPT_NAME, "exec", 0, True), names)
    if last_value.NAME not in names:
        return None
    return findings.value(json.loads(json.dumps(last_value.describe(names.pop(last_value.NAME)))))


@pytest.mark.parametrize(
    "source, found",
    [
        ("1 + 1", {"repr": "2", "json": 2}),
        ("x = 5\nx", {"repr": "5", "json": 5}),
        ("x = 5", None),
        ("x = 5\nif x:\n    x", None),
        ("", None),
        ("None", {"repr": "None", "json": None}),
        ("'a docstring'", {"repr": "'a docstring'", "json": "a docstring"}),
        ("{'a': [1, 2.5, None, True]}", {"repr": "{'a': [1, 2.5, None, True]}", "json": {"a": [1, 2.5, None, True]}}),
        ("{1: 2}", {"repr": "{1: 2}"}),
        ("(1, 2)", {"repr": "(1, 2)"}),
        ("float('nan')", {"repr": "nan"}),
        ("[float('inf')]", {"repr": "[inf]"}),
        ("1\n'\\ud800'", {"repr": "'\\ud800'"}),
        ("b'x'", {"repr": "b'x'"}),
        ("1; 2; 3", {"repr": "3", "json": 3}),
        ("(\n  1 +\n  2\n)", {"repr": "3", "json": 3}),
        ("def f():\n    return 7\nf()", {"repr": "7", "json": 7}),
        ("from __future__ import annotations\nx: y = 1\nx", {"repr": "1", "json": 1}),
        (
            "class C:\n    def __repr__(self):\n        raise ValueError\nC()",
            {"repr": "<C object, whose repr raises ValueError>"},
        ),
        ("a = [1]\na.append(a)\na", {"repr": "[1, [...]]"}),
    ],
)
def test_last_values(source: str, found: Optional[Dict[str, Any]]) -> None:
    assert value_of(source) == found


def test_what_is_too_deep_for_a_tree_runs_all_the_same() -> None:
    deep = "x = 0\nx%s" % (".real" * 2500)
    compile(deep, SCRIPT_NAME, "exec")
    assert value_of(deep) in (None, {"repr": "0", "json": 0})


def test_a_docstring_stays_one() -> None:
    names: Dict[str, Any] = {}
    exec(last_value.compile_(b"'about'", SCRIPT_NAME, "exec", 0, True), names)
    assert names["__doc__"] == "about"


def test_tracebacks_are_the_same() -> None:
    """With columns, which Python shows from 3.11 on."""
    source = b"x = [1, 0]\n[10 / each for each in x]"
    shown = []
    for compiler in (compile, last_value.compile_):
        try:
            exec(compiler(source, SCRIPT_NAME, "exec", 0, True), {})  # type: ignore[operator]
        except ZeroDivisionError:
            shown.append(traceback.format_exc().partition("script.py")[2])
    assert shown[0] == shown[1] != ""


def test_what_is_long_is_cut_and_told() -> None:
    found = value_of("list(range(100000))")
    assert found is not None and found["truncated"] and "more" in found["repr"] and "json" not in found
    found = value_of("'x' * 10**7")
    assert found is not None and found["truncated"] and len(found["repr"]) <= findings.VALUE_CHARS
    assert value_of("10 ** 100000") == {"repr": "<int of 332,193 bits>"}


def test_arrays_as_tables() -> None:
    found = value_of("import numpy as np\nnp.array([[1.0, 2.5], [1 / 3, 4.0]])")
    assert found is not None and "truncated" not in found
    assert found["markdown"] == "|  | 0 | 1 |\n| --- | --- | --- |\n| 0 | 1 | 2.5 |\n| 1 | 0.333333 | 4 |"
    found = value_of("import numpy as np\nnp.zeros((1000, 50))")
    assert found is not None and found["truncated"]
    assert found["markdown"].endswith("\n\n1,000 rows × 50 columns; the first 20 × 10 are shown")
    assert found["markdown"].count("\n") == 23
    found = value_of("import numpy as np\nnp.array(['a|b', 'c\\nd'])")
    assert found is not None and "| 0 | a\\|b |\n| 1 | c d |" in found["markdown"]
    assert "markdown" not in (value_of("import numpy as np\nnp.zeros((2, 2, 2))") or {})
    assert "markdown" not in (value_of("import numpy as np\nnp.array([object()])") or {})


def test_a_larger_value_is_made_to_fit() -> None:
    found = last_value.describe("é" * 100000, 1000)
    assert len(found["repr"]) <= 1000 and found["truncated"]


_JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=9), inner, max_size=5)),
    max_leaves=20,
)


@given(_JSON)
def test_what_is_json_comes_back_as_it_is(value: Any) -> None:
    found = findings.value(last_value.describe(value))
    if len(json.dumps(value)) <= findings.VALUE_CHARS:
        assert found["json"] == value
