"""What a run says of itself, from end to end: failures with their values, the last value, hints; and all of it forged."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator

import pytest
import rpc
from servers import ADMIN_KEY, RunningServer
from support import ask, execute
from wrappers import EITHER_HOST

from pyexec import findings, messages

WRITE = "import random\nwrite = random._os.write\n"


@pytest.fixture(scope="module", params=sorted(EITHER_HOST))
def hasty(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """A server on either kind of host with little time for each run."""
    limits = {"max_runs": 2, "rate_per_minute": 1000, "rate_per_day": 1000, "wall_s": 1}
    running = RunningServer(limits, EITHER_HOST[request.param])
    yield running
    assert running.stop() == 0, running.log


def details_of(running: Any, code: str, **fields: Any) -> Dict[str, Any]:
    """Run a script and return `execution_details`."""
    reply = ask(running.port, execute(dict(fields, code=code)))
    assert "execution_details" in reply.document, reply.document
    details: Dict[str, Any] = reply.document["execution_details"]
    return details


# Ten scripts that fail, each with the name and the value at fault.
FAULTS = [
    ("order = {'id': 7}\nprint(order['price'])", "order", "{'id': 7}"),
    ("items = [1, 2, 3]\ni = 3\nprint(items[i])", "i", "3"),
    ("def find(n):\n    return None\nuser = find(1)\nprint(user.name)", "user", "None"),
    ("for text in ['1', '2', '12a']:\n    int(text)", "text", "'12a'"),
    ("def mean(values):\n    return sum(values) / len(values)\nmean([])", "values", "[]"),
    (
        "import numpy as np\na = np.zeros((3, 4))\nb = np.ones((2, 2))\na @ b",
        "b",
        "array of 2 × 2, float64: 1.0, 1.0, 1.0, 1.0",
    ),
    ("rows = [{'p': 1}] * 50 + [{'p': 'x'}]\nfor i in range(51):\n    rows[i]['p'] + 1", "rows[i]['p']", "'x'"),
    ("class A:\n    def __init__(self):\n        self.n = '5'\na = A()\na.n + 3", "a.n", "'5'"),
    ("def cut(text, width):\n    return text[:width]\ncut('abc', '2')", "width", "'2'"),
    ("import json\ntext = '{\"a\": }'\njson.loads(text)", "text", "'{\"a\": }'"),
]


@pytest.mark.parametrize("admin", [False, True], ids=["public", "admin"])
def test_the_value_at_fault_is_in_the_answer(either_host: Any, admin: bool) -> None:
    for code, name, text in FAULTS:
        details = details_of(either_host, code, **({"api_key": ADMIN_KEY} if admin else {}))
        error = details["error"]
        assert error["frames"][0]["locals"][name] == text, code
        # The traceback says the same.
        assert "%s: %s" % (error["type"], error["message"]) in details["stderr"]
        assert "line %d" % error["line"] in details["stderr"] and error["code"] in code


def test_the_tool_says_the_value_at_fault(either_host: Any) -> None:
    for code, name, text in FAULTS:
        (said,) = rpc.texts(rpc.ask_modern(either_host.port, "tools/call", rpc.call(code)).document["result"])
        (line,) = [line for line in said.splitlines() if line.startswith("At line ")][:1]
        assert f"{name} = {text}" in line, said


def test_values_are_left_out_on_request(either_host: Any) -> None:
    details = details_of(either_host, "password = 'hidden'\n1 / 0", locals=False)
    assert details["error"]["frames"] == [{"line": 2, "function": "<module>", "code": "1 / 0"}]
    assert "hidden" not in json.dumps(details)


def test_no_report_of_scripts_that_do_not_fail_by_an_exception(either_host: Any) -> None:
    for code in (
        "print(1)",
        "raise SystemExit(3)",
        "import random\nrandom._os._exit(4)",
        "try:\n    1 / 0\nexcept Exception:\n    pass",
    ):
        assert "error" not in details_of(either_host, code), code


def test_the_last_value(either_host: Any) -> None:
    details = details_of(either_host, "x = [1, 2]\nprint('so')\nx + [3]", value=True)
    assert (details["stdout"], details["value"]) == ("so\n", {"repr": "[1, 2, 3]", "json": [1, 2, 3]})
    assert "value" not in details_of(either_host, "1 + 1")
    assert "value" not in details_of(either_host, "x = 1", value=True)
    assert details_of(either_host, "print(1)", value=True)["value"] == {"repr": "None", "json": None}
    found = details_of(either_host, "import numpy as np\nnp.arange(6).reshape(2, 3)", value=True, api_key=ADMIN_KEY)
    assert (
        found["value"]["markdown"]
        == "|  | 0 | 1 | 2 |\n| --- | --- | --- | --- |\n| 0 | 0 | 1 | 2 |\n| 1 | 3 | 4 | 5 |"
    )


def test_a_script_that_fails_with_value_asked_for_tells_its_failure(either_host: Any) -> None:
    details = details_of(either_host, "x = 0\n1 / x", value=True)
    assert "value" not in details and details["error"]["frames"][0]["locals"] == {"x": "0"}
    assert "^" not in details["stderr"] or "1 / x\n    ~~^~~" in details["stderr"]


def test_texts_of_any_script_fit(either_host: Any) -> None:
    for character in ("x", "é", "漢", "\U0001f600"):
        details = details_of(either_host, "'%s' * 7000" % character, value=True)
        assert details["value"]["repr"].startswith("'" + character * 500)
        details = details_of(either_host, "s = '%s' * 7000\nt = [s] * 9\n1 / 0" % character)
        assert details["error"]["frames"][0]["locals"]["s"].startswith("'" + character * 10)


HOSTILE = {
    "endless": "\n        while True: pass",
    "stubborn": "\n        while True:\n            try:\n                while True: pass\n            except Exception: pass",
    "sleeping": "import time; time.sleep(60)",
    "recursive": "return repr(self)",
    "huge": "return 'x' * 10**8",
    "raising": "raise KeyError",
    "exiting": "raise SystemExit(7)",
    "printing": "print('noise'); return 'quiet'",
    "no text": "return 5",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_repr_changes_neither_end_nor_output(either_host: Any, name: str) -> None:
    code = "class Odd:\n    def __repr__(self): %s\nodd = Odd()\nodds = [odd]\n" % HOSTILE[name]
    failed = details_of(either_host, code + "print('out')\n1 / 0")
    assert (failed["exit_code"], failed["stdout"]) == (1, "out\n")
    assert failed["stderr"].endswith("ZeroDivisionError: division by zero\n") and "noise" not in failed["stderr"]
    assert failed["error"]["type"] == "ZeroDivisionError"
    ended = details_of(either_host, code + "print('out')\nodd", value=True)
    assert (ended["exit_code"], ended["stdout"], ended["stderr"]) == (0, "out\n", "")
    assert len(ended["value"]["repr"]) <= findings.VALUE_CHARS


def test_a_deep_recursion_limit_does_not_crash_the_report(either_host: Any) -> None:
    code = "import sys\nsys.setrecursionlimit(10**6)\nclass Node:\n    def __repr__(self): return '%r' % [self.next]\n"
    details = details_of(either_host, code + "node = Node()\nnode.next = node\n1 / 0")
    assert details["exit_code"] == 1 and details["error"]["type"] == "ZeroDivisionError"


def test_a_stubborn_repr_leaves_the_report_out(hasty: Any) -> None:
    """It swallows nearly every interruption: what bounds that is the run's own time, as for every loop."""
    code = "class Odd:\n    def __repr__(self):\n        while True:\n            try:\n                while True: pass\n            except BaseException: pass\n"
    reply = ask(hasty.port, execute({"code": code + "odd = Odd()\n1 / 0"}))
    assert reply.error_type in ("TimeoutError", None)
    assert "ZeroDivisionError" in reply.document["execution_details"]["stderr"]


def test_where_memory_went(either_host: Any) -> None:
    code = "import numpy as np\na = np.zeros(10**7)\nb = list(range(10))\nc = []\nwhile True: c.append(bytes(10**7))"
    details = details_of(either_host, code)
    largest = {entry["name"]: entry["size_bytes"] for entry in details["error"]["largest"]}
    assert largest["a"] >= 8 * 10**7 and largest["c"] > 10**8 and "b" not in largest
    assert "512 MiB of memory" in details["hint"]


# -- time limits -------------------------------------------------------------------------------------------------------


def where_it_was(running: Any, code: str, with_locals: bool = False, **fields: Any) -> Dict[str, Any]:
    """Return the answer's details for a script that runs into its time limit; a busy machine may leave no time to ask.

    Or so little that only `faulthandler` answers, which knows of no variables.
    """
    for _ in range(10):
        reply = ask(running.port, execute(dict(fields, code=code)))
        assert reply.error_type == "TimeoutError"
        details: Dict[str, Any] = reply.document["execution_details"]
        if "error" in details and not (with_locals and "locals" not in details["error"]["frames"][0]):
            return details
    raise AssertionError("it never told where it was")


@pytest.mark.parametrize("admin", [False, True], ids=["public", "admin"])
def test_at_a_time_limit_it_is_told_where_the_script_was(hasty: Any, admin: bool) -> None:
    code = "def search(numbers):\n    for number in numbers:\n        while number == 7:\n            wait = 1\nsearch([5, 7])"
    details = where_it_was(hasty, code, with_locals=True, **({"api_key": ADMIN_KEY} if admin else {}))
    error = details["error"]
    assert error["type"] == "TimeoutError" and error["line"] in (3, 4)
    assert error["frames"][0]["locals"]["number"] == "7" and error["frames"][0]["function"] == "search"
    assert error["frames"][1]["code"] == "search([5, 7])"
    (frame, _) = where_it_was(hasty, code, locals=False)["error"]["frames"]
    assert "locals" not in frame


def test_in_a_call_of_c_code_it_is_told_which_line_made_it(hasty: Any) -> None:
    code = "import sys\nprint('begun', file=sys.stderr)\ndef total(n):\n    return sum(range(n))\ntotal(10**14)"
    details = where_it_was(hasty, code)
    error = details["error"]
    assert "C code" in error["message"] and (error["line"], error["code"]) == (4, "return sum(range(n))")
    assert [frame["function"] for frame in error["frames"]] == ["total", "<module>"]
    assert details["stderr"] == "begun\n"


def test_what_was_printed_without_a_line_end_is_there_at_a_time_limit(hasty: Any) -> None:
    details = where_it_was(hasty, "import time\nwhile True:\n    print('.', end='')\n    time.sleep(0.1)")
    assert set(details["stdout"]) == {"."}


def test_a_script_that_ends_in_its_last_moment_ends_as_it_does(hasty: Any) -> None:
    code = "import time\ntime.sleep(0.93)\nraise SystemExit(3)"
    reply = ask(hasty.port, execute({"code": code}))
    details = reply.document["execution_details"]
    assert reply.error_type == "TimeoutError" or (details["exit_code"] == 3 and "error" not in details)


# -- hints -------------------------------------------------------------------------------------------------------------


def test_hints_in_answers(either_host: Any) -> None:
    for code, words in (
        ("!pip install pandas\nprint(1)", "Installed beside the standard library: numpy, "),
        ("x = 1\\nprint(x)", "escaped twice"),
        ("print(input())", "'stdin_data'"),
        ("1 + 1", "printed nothing"),
        ("files = [open('script.py') for _ in range(300)]", "256 files open"),
    ):
        assert words in details_of(either_host, code)["hint"], code
    assert "hint" not in details_of(either_host, "print(1)")
    assert "hint" not in details_of(either_host, "1 + 1", value=True)


SERVES = """
import asyncio
async def main():
    server = await asyncio.start_server(print, "127.0.0.1", 8888)
    %s
asyncio.run(main())
"""


def test_hints_of_what_has_no_network_and_no_input(start_server: Any) -> None:
    running = start_server(rate_per_minute=1000, rate_per_day=1000, wall_s=1)
    for code, words in (
        (SERVES % "await server.serve_forever()", "can't listen"),
        (
            "while True:\n    try:\n        input()\n    except EOFError:\n        continue",
            "There is no standard input",
        ),
    ):
        document = ask(running.port, execute({"code": code})).document
        assert words in document["error_details"]["hint"] and "hint" not in document["execution_details"]
    for code, words in (
        (SERVES % "print(server.sockets[0])", "can't listen"),
        ("from http.server import *\nHTTPServer(('', 8000), SimpleHTTPRequestHandler)", "can't listen"),
        ("import urllib.request as r\nr.urlopen('http://192.0.2.1')", "send the data in 'attachments'"),
    ):
        assert words in details_of(running, code)["hint"], code
    manager = running.admin.execute("import multiprocessing\nmultiprocessing.Manager()")
    assert "needs sockets" in str(manager.hint)


def test_hints_of_limits(start_server: Any) -> None:
    running = start_server(rate_per_minute=1, rate_per_day=2)
    ask(running.port, execute({"code": "print(1)"}))
    reply = ask(running.port, execute({"code": "print(1)"}))
    details = reply.document["error_details"]
    assert details["hint"] == "Try again in %d seconds." % details["retry_after_sec"]


# -- forged ------------------------------------------------------------------------------------------------------------

GOOD = {"type": "E", "message": "forged", "line": 1, "code": "", "frames": []}
GOOD_TEXT = json.dumps(GOOD)
# Expressions, since most are longer than a script may be.
FORGED = [
    "b'R{\"error\":null}'",
    'b\'R{"error":%s,"more":1}}\'' % GOOD_TEXT[:-1],
    "b'R{\"error\":%s}' % b'[]'",
    "b'R{\"error\":%s}'" % json.dumps(dict(GOOD, line=-1)),
    "b'R{\"error\":%s}'" % json.dumps(dict(GOOD, frames=[{}])),
    "b'R{\"error\":%s}'.replace(b'forged', b'x' * 60000)" % GOOD_TEXT,
    "b'R{\"error\":%s}'.replace(b'[]', b'[' + b'{},' * 9999 + b'{}]')" % GOOD_TEXT,
    'b\'R{"value":{"repr":1}}\'',
    'b\'R{"value":{"repr":"","json":"NaN"}}\'',
    'b\'R{"value":{"repr":"","json":"\' + b"[" * 5000 + b\'"}}\'',
    'b\'R{"value":{"repr":"","json":"1e999"}}\'',
    'b\'R{"value":{"repr":"","json":"\\\\"\\\\ud800\\\\""}}\'',
]


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_report_is_dropped_and_the_run_goes_on(either_host: Any, forged: str) -> None:
    """What must not happen is a 500, or a report that isn't what it should be."""
    details = details_of(either_host, WRITE + "write(3, %s)\nprint('on')" % forged)
    assert (details["stdout"], details["exit_code"]) == ("on\n", 0)
    assert not {"error", "value"} & set(details)
    details = details_of(either_host, WRITE + "write(3, %s)\n1 / 0" % forged)
    assert details["error"]["type"] == "ZeroDivisionError"


@pytest.mark.parametrize(
    "junk", ["b'R'", "b'R{'", "b'Rnull'", "b'R[]'", "b'R' + b'[' * 60000", "b'R' + b'\\xff' * 99", "b'R{\"a\":' * 9000"]
)
def test_what_is_no_message_spoils_the_runs_own_channel(hasty: Any, junk: str) -> None:
    reply = ask(hasty.port, execute({"code": WRITE + "write(3, (%s)[:60000])\nprint('on')" % junk}))
    assert reply.error_type == "TimeoutError" and reply.document["execution_details"]["stdout"] == "on\n"


def test_a_well_formed_forgery_is_the_scripts_own_word(either_host: Any) -> None:
    report = messages.encode("R", {"error": dict(GOOD, message="\ud800\x00é")})
    details = details_of(either_host, WRITE + "write(3, %r)\nrandom._os._exit(1)" % report)
    assert details["error"]["message"] == "?\x00é"
    # A success has no failure, whatever it says, and a failure no value.
    assert "error" not in details_of(either_host, WRITE + "write(3, %r)" % report)
    value = messages.encode("R", {"value": {"repr": "forged"}})
    assert "value" not in details_of(either_host, WRITE + "write(3, %r)\n1 / 0" % value)


def test_a_flood_of_reports_ends_at_the_fourth(hasty: Any) -> None:
    report = messages.encode("R", {"error": GOOD})
    code = WRITE + "for _ in range(100000): write(3, %r)\n" % report
    reply = ask(hasty.port, execute({"code": code}))
    assert reply.error_type == "TimeoutError"  # it fills its channel, which nobody reads any more
    assert hasty.client.execute("print(1)").stdout == "1\n"
