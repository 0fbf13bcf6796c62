"""What is told of a failure: the frames of the script, its variables, and where the memory went."""

from __future__ import annotations

import json
import sys
from typing import Any, Dict

import numpy
import pytest

from pyexec import findings
from pyexec.child import failure
from pyexec.job import SCRIPT_NAME


def failed(source: str, with_locals: bool = True, **names: Any) -> Dict[str, Any]:
    """Run a script that fails; return what is told of it, as the server takes it."""
    try:
        exec(compile(source, SCRIPT_NAME, "exec", 0, True), dict({"__name__": "__main__"}, **names))
    except BaseException as error:
        report = failure.of_exception(error, source, with_locals)
        assert findings.error(json.loads(json.dumps(report))) == report
        return report
    raise AssertionError("it didn't fail")


# Ten scripts, each with the line that fails and a value that explains it.
FAULTS = {
    "a missing key": ("order = {'id': 7, 'name': 'x'}\nprint(order['price'])", "order", "{'id': 7, 'name': 'x'}"),
    "an index beyond the end": ("items = [1, 2, 3]\ni = 3\nprint(items[i])", "i", "3"),
    "no object": ("def find(n):\n    return None\nuser = find(1)\nprint(user.name)", "user", "None"),
    "a text that is no number": ("for text in ['1', '2', '12a']:\n    int(text)", "text", "'12a'"),
    "division by zero": ("def mean(values):\n    return sum(values) / len(values)\nmean([])", "values", "[]"),
    "shapes that don't match": (
        "import numpy as np\na = np.zeros((3, 4))\nb = np.zeros((3, 4))\na @ b",
        "b",
        "array of 3 × 4, float64: 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, …",
    ),
    "a row among many": (
        "rows = [{'p': 1}] * 500 + [{'p': 'n/a'}]\nfor i in range(501):\n    rows[i]['p'] + 1",
        "rows[i]['p']",
        "'n/a'",
    ),
    "an attribute of an object": (
        "class Account:\n    def __init__(self):\n        self.balance = '5'\n    def add(self, amount):\n"
        "        self.balance = self.balance + amount\nAccount().add(3)",
        "self.balance",
        "'5'",
    ),
    # From Python 3.12 on its variable is gone when it has failed.
    "a comprehension": ("names = ['a', None]\nprint([n.upper() for n in names])", "names", "['a', None]"),
    "a generator": (
        "def numbers():\n    for part in ('1', 'x'):\n        yield float(part)\nlist(numbers())",
        "part",
        "'x'",
    ),
    "a failed assertion": ("def check(total, limit):\n    assert total <= limit\ncheck(12, 10)", "total", "12"),
    "too few values": ("pair = (1, 2, 3)\na, b = pair", "pair", "(1, 2, 3)"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_the_value_at_fault_is_shown(fault: str) -> None:
    source, name, text = FAULTS[fault]
    assert text in [frame["locals"].get(name) for frame in failed(source)["frames"]]


def test_the_shape_of_a_report() -> None:
    source = "import math\nLIMIT = 3\ndef outer(n):\n    inner(n + 1)\ndef inner(m):\n    raise ValueError('bad', m)\nouter(1)\n"
    assert failed(source) == {
        "type": "ValueError",
        "message": "('bad', 2)",
        "line": 6,
        "code": "raise ValueError('bad', m)",
        "frames": [
            {"line": 6, "function": "inner", "code": "raise ValueError('bad', m)", "locals": {"m": "2"}},
            {"line": 4, "function": "outer", "code": "inner(n + 1)", "locals": {"n": "1"}},
            # Neither modules nor functions, which say nothing.
            {"line": 7, "function": "<module>", "code": "outer(1)", "locals": {"LIMIT": "3"}},
        ],
    }


def test_without_variables() -> None:
    (frame,) = failed("password = 'secret'\n1 / 0", with_locals=False)["frames"]
    assert frame == {"line": 2, "function": "<module>", "code": "1 / 0"}


def test_frames_of_libraries_are_left_out() -> None:
    found = failed("import json\ntext = '{'\njson.loads(text)")
    assert found["type"] == "json.decoder.JSONDecodeError"
    assert [frame["function"] for frame in found["frames"]] == ["<module>"]
    assert found["frames"][0]["locals"] == {"text": "'{'"}


def test_a_deep_recursion_is_cut_at_the_innermost_frames() -> None:
    found = failed("def f(n):\n    f(n + 1)\nf(0)")
    assert found["type"] == "RecursionError" and len(found["frames"]) == findings.FRAMES
    depths = [int(frame["locals"]["n"]) for frame in found["frames"]]
    assert depths == list(range(depths[0], depths[0] - findings.FRAMES, -1)) and depths[0] > 500
    assert found["frames_omitted"] == depths[-1] + 1  # and the module's


def test_a_syntax_error_has_a_line_and_no_frame() -> None:
    found = failed("x = 1\nif x\n    pass\n")
    assert (found["type"], found["line"], found["code"], found["frames"]) == ("SyntaxError", 2, "if x", [])
    assert "script.py" not in found["message"]


@pytest.mark.parametrize(
    "source, kind", [("x = 1\n  y = 2", "IndentationError"), ("if 1:\n\tx\n        y", "TabError")]
)
def test_a_wrong_indentation_is_told_like_any_error_of_syntax(source: str, kind: str) -> None:
    found = failed(source)
    assert found["type"] == kind and "script.py" not in found["message"] and found["line"] == len(source.split("\n"))


def test_variables_are_bounded_and_what_is_left_out_is_counted() -> None:
    many = "\n".join("v%d = 'x' * %d" % (n, n * 10) for n in range(100))
    (frame,) = failed(many + "\nv50 + 1")["frames"]
    assert next(iter(frame["locals"])) == "v50"
    assert frame["locals_omitted"] == 100 - len(frame["locals"]) > 0
    assert sum(map(len, frame["locals"].values())) <= findings.LOCALS_CHARS
    assert any("characters" in text for text in frame["locals"].values())


def test_the_heads_of_loops_come_before_other_variables() -> None:
    source = "a = b = c = 1\nfor row in [5]:\n    x = 2\n    while c:\n        1 / 0\n"
    assert list(failed(source)["frames"][0]["locals"]) == ["c", "row", "a", "b", "x"]


def test_a_function_is_shown_where_it_is_the_value_at_fault() -> None:
    found = failed("def prices():\n    return [1]\nprint(prices[0])")
    assert found["frames"][0]["locals"]["prices"] == "<function prices>"


def test_expressions_are_looked_up_without_running_the_scripts_code() -> None:
    source = """
ran = []
class Odd(dict):
    def __getitem__(self, key):
        ran.append(key)
    @property
    def name(self):
        ran.append("name")
odd = Odd(a=1)
odd["a"], odd.name, 1 / 0
"""
    found = failed(source)
    assert found["frames"][0]["locals"]["ran"] == "['a', 'name']"  # by the script alone, before it failed
    assert 'odd["a"]' not in found["frames"][0]["locals"]


def test_hostile_exceptions_are_told_of() -> None:
    source = "class E(Exception):\n    def __str__(self):\n        %s\nraise E"
    for body in ("raise KeyError", "return 5", "while True: pass", "return 'x' * 10**7", "import sys; sys.exit(4)"):
        found = failed(source % body)
        assert found["type"] == "E" and (found["message"] == "<exception str() failed>" or "more" in found["message"])


def test_an_object_that_answers_to_any_name_hides_nothing() -> None:
    source = (
        "class Row(dict):\n    __getattr__ = dict.__getitem__\nclass Odd:\n    __sizeof__ = None\n"
        "class Slow:\n    def __sizeof__(self):\n        while True: pass\n"
        "def load(row, odd, slow):\n    rows = list(range(2000000))\n    raise MemoryError\nload(Row(a=1), Odd(), Slow())"
    )
    found = failed(source)
    assert [entry["name"] for entry in found["largest"]] == ["rows"]
    assert found["frames"][0]["locals"]["row"] == "{'a': 1}"


def test_the_largest_objects_where_memory_ran_out() -> None:
    source = "import numpy as np\nsmall = [1]\ndef load(n):\n    data = np.zeros(n)\n    rows = list(range(n))\n    raise MemoryError\nload(2000000)"
    found = failed(source, np=numpy)
    assert [(entry["name"]) for entry in found["largest"]] == ["rows", "data"]
    rows, data = found["largest"]
    assert data["size_bytes"] >= 16000000 and rows["size_bytes"] > 60000000
    assert data["value"].startswith("array of 2,000,000 values, float64") and "more" in rows["value"]
    assert "largest" not in failed("raise MemoryError")


def test_where_a_script_is() -> None:
    source = "def work(n):\n    for step in range(n):\n        report(step)\nwork(3)\n"
    seen = []

    def report(step: int) -> None:
        if step == 2:
            seen.append(failure.of_frame(sys._getframe(), source, True))

    exec(compile(source, SCRIPT_NAME, "exec"), {"report": report})
    assert findings.error(seen[0]) == seen[0]
    assert (seen[0]["line"], seen[0]["code"]) == (3, "report(step)")
    assert seen[0]["frames"][0]["locals"] == {"step": "2", "n": "3"}
    assert seen[0]["frames"][1]["function"] == "<module>"


def test_where_a_script_is_tells_what_is_large() -> None:
    seen = []
    source = "rows = [bytearray(1 << 21), 1]\nreport()\n"
    exec(
        compile(source, SCRIPT_NAME, "exec"),
        {"report": lambda: seen.append(failure.of_frame(sys._getframe(), source, True))},
    )
    (large,) = seen[0]["largest"]
    assert large["name"] == "rows" and large["size_bytes"] > 1 << 21
