"""The page when something goes wrong: each time it says what to do, and nothing that a script sends becomes markup."""

from __future__ import annotations

import json
import os
import re
import threading
from typing import Any

import pytest
from servers import ADMIN_KEY

from pyexec.client import ServiceError

pytest_plugins = ["browser"]

SLOW = "import time\nprint('begun', flush=True)\ntime.sleep(60)\n"


def _start(browser: Any) -> None:
    """Press Run and wait until the page says that it is going on."""
    browser.js(
        "window.before = document.querySelector('#verdict').firstChild; arguments[0].click()", browser.one("#run")
    )
    browser.until(lambda: browser.text("#verdict").startswith("Running"), "that it runs")


# ---- What scripts do ----


@pytest.mark.parametrize(
    "script, title, words",
    [
        ("import sys\nprint('so far')\nsys.exit(3)", "Ended with exit code 3", ["so far", "Exit code\n3"]),
        ("def f():\n    return 1 / 0\n\nf()", "Ended with exit code 1", ["ZeroDivisionError", "Go to line 2"]),
        ("def f(:\n    pass", "Ended with exit code 1", ["SyntaxError", "Go to line 1"]),
        ("import ctypes", "Import not allowed: ctypes", ["Go to line 1", "See the modules they may import"]),
        ("x = 1\nimport os, subprocess", "Import not allowed: os, subprocess", ["Go to line 2", "admin key"]),
        ("name = input('Who? ')", "Ended with exit code 1", ["Fill in “Standard input”"]),
        ("open('photo.jpg')", "Ended with exit code 1", ["There is no file “photo.jpg”", "Attach it"]),
        ("x = bytearray(2 << 30)", "Ended with exit code 1", ["A script may use 512 MB of memory"]),
        ("pass", "Finished", ["Nothing was printed."]),
        (
            "print('x' * (1 << 20), 'lost')",
            "Finished",
            ["stdout was cut off at 1 MB", "The first 200,000 characters are shown"],
        ),
    ],
)
def test_what_a_script_does_is_said_in_words(browser, server, script: str, title: str, words: Any) -> None:
    browser.open(server.url)
    assert browser.run(script) == title
    shown = browser.text("#result")
    for word in words:
        assert word in shown
    jump = [word for word in words if word.startswith("Go to line")]
    if jump:
        browser.button(jump[0], "#result").click()
        line = script.split("\n")[int(jump[0].split()[-1]) - 1]
        area = browser.one("#code")
        assert (
            browser.js("const a = arguments[0]; return a.value.slice(a.selectionStart, a.selectionEnd)", area) == line
        )
        assert browser.driver.switch_to.active_element == area


def test_output_of_two_kinds_stands_apart_and_can_be_had_whole(browser, server) -> None:
    browser.open(server.url)
    assert browser.run("import sys\nprint('out ' * 100000)\nprint('err', file=sys.stderr)") == "Finished"
    assert browser.text(".stderr pre") == "err" and "err" not in browser.text(".stdout pre")
    assert len(browser.js("return document.querySelector('.stdout pre').textContent")) == 200000
    out = browser.one(".stdout a[download]")
    assert browser.download(out, "stdout.txt") == b"out " * 100000 + b"\n"
    assert browser.download(browser.one(".stderr a[download]"), "stderr.txt") == b"err\n"


def test_what_cannot_be_returned_is_said(browser, start_server) -> None:
    running = start_server(returned_file_bytes=1000, rate_per_minute=100)
    browser.open(running.url)
    browser.run(
        "open('big', 'wb').write(bytes(1001))\nopen('broken.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n?')",
        returned=["big", "none", "broken.png"],
    )
    browser.until(lambda: "can’t show this picture. Download it" in browser.text(".files"), "the broken picture")
    text = browser.text(".files")
    assert "It has 1,001 bytes." in text and "File not found after execution." in text


# ---- While it runs ----


def test_time_is_seen_while_it_runs_and_its_end_is_explained(browser, start_server) -> None:
    running = start_server(wall_s=5, rate_per_minute=100)
    browser.open(running.url)
    browser.fill(SLOW)
    _start(browser)
    browser.until(lambda: re.search(r"Running… [\d.]+ s of 5 s", browser.text("#verdict")), "the clock")
    assert browser.one("#progress").is_displayed() and browser.one("#run").get_attribute("aria-disabled") == "true"
    first = float(browser.one("#progress").get_property("value"))
    browser.until(lambda: float(browser.one("#progress").get_property("value") or 0) > first, "progress")
    assert browser.verdict() == "Ended after 5 s, the time limit"
    assert browser.text(".stdout pre") == "begun" and "loop that never ends" in browser.text("#outcome")
    assert not browser.one("#progress").is_displayed() and browser.one("#run").get_attribute("aria-disabled") is None


def test_one_can_stop_waiting(browser, start_server) -> None:
    running = start_server(wall_s=5, rate_per_minute=100)
    browser.open(running.url)
    browser.fill("import time\ntime.sleep(4)")
    _start(browser)
    browser.one("#run").click()  # a second press does nothing
    browser.one("#stop").click()
    assert browser.verdict() == "Stopped waiting"
    assert "counts as a run" in browser.text("#outcome") and not browser.one("#stop").is_displayed()
    assert browser.run("print('next')") == "Finished"
    assert browser.text("#quota").startswith("28 of 30 runs left today")


# ---- What the service refuses ----


def test_too_many_in_a_minute_counts_down(browser, start_server) -> None:
    running = start_server(rate_per_minute=12, rate_per_day=10000)
    browser.open(running.url)
    browser.fill("print(1)")
    for _ in range(20):  # it fills up again, a run every five seconds
        with pytest.raises(ServiceError):
            while True:
                running.client.execute("1")
        if browser.run() != "Finished":
            break
    assert browser.text("#verdict").startswith("Too many runs in a minute")
    assert re.search(r"You can run again in \d+ s\.", browser.text("#outcome"))
    browser.until(lambda: "You can run again now." in browser.text("#note"), "the end of the wait")
    assert "You can run again now." in browser.text("#outcome")
    assert browser.run("print(2)") == "Finished"


def test_no_runs_left_today(browser, start_server) -> None:
    running = start_server(rate_per_day=2, rate_per_minute=100)
    browser.open(running.url)
    assert browser.text("#quota") == "100 runs a minute, 2 a day"
    assert browser.run("print(1)") == "Finished"
    assert browser.text("#quota") == "1 of 2 runs left today, 99 this minute"
    assert browser.run("print(1)") == "Finished"
    assert browser.run("print(1)") == "No runs left today"
    assert "midnight UTC" in browser.text("#outcome") and re.search(r"again in \d+ (h|min|s)", browser.text("#outcome"))
    assert browser.text("#quota").startswith("0 of 2 runs left today")


def test_a_busy_server(browser, start_server) -> None:
    running = start_server(max_runs=1, wall_s=30, rate_per_minute=100)
    browser.open(running.url)
    browser.fill("print(1)")
    other = threading.Thread(
        target=running.admin.call, args=("POST", "/execute", {"code": "import time; time.sleep(5)"})
    )
    other.start()
    browser.until(lambda: running.client.call("GET", "/health")["active_runs"] == 1, "the other run")
    assert browser.run() == "The server is busy"
    assert "This didn’t count as a run." in browser.text("#outcome")
    assert re.search(r"again in \d+ s|again now", browser.text("#outcome"))
    other.join()
    assert browser.run() == "Finished"
    assert browser.text("#quota").startswith("29 of 30")


def test_a_wrong_key(browser, server) -> None:
    browser.open(server.url)
    browser.fill("import os")
    browser.one("#key").send_keys("wrong")
    assert browser.run() == "The admin key is wrong"
    assert "clear the field" in browser.text("#outcome")
    browser.one("#key").clear()
    browser.one("#key").send_keys(ADMIN_KEY)
    assert browser.run() == "Finished"


def test_too_long_a_script_is_counted_and_not_sent(browser, server) -> None:
    browser.open(server.url)
    browser.fill("#" * 1999 + "é")
    assert browser.text("#counter") == "2,000 / 2,000 characters" and "over" not in browser.one(
        "#counter"
    ).get_attribute("class")
    browser.fill("#" * 1999 + "😀😀")
    assert browser.text("#counter") == "2,001 / 2,000 characters" and "over" in browser.one("#counter").get_attribute(
        "class"
    )
    before = server.log.count("/execute")
    assert browser.run() == "The script is too long"
    assert "Shorten it by 1." in browser.text("#outcome")
    assert server.log.count("/execute") == before
    browser.button("Go to the field", "#outcome").click()
    assert browser.driver.switch_to.active_element == browser.one("#code")


@pytest.mark.parametrize(
    "field, selector, value", [("return_files", "#returns", "../x"), ("attachments", "#files input", "a\\b")]
)
def test_a_field_that_is_wrong_is_marked(browser, server, field: str, selector: str, value: str, tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    browser.open(server.url)
    browser.open_inputs()
    browser.drop("#editor", [str(tmp_path / "a")])
    control = browser.until(lambda: browser.all(selector), "the field")[0]
    control.clear()
    control.send_keys(value)
    browser.run()
    assert browser.text("#verdict") != "Finished" and control.get_attribute("aria-invalid") == "true"
    browser.button("Go to the field", "#outcome").click()
    assert browser.driver.switch_to.active_element == control


def test_the_server_goes_away(browser, start_server) -> None:
    running = start_server(wall_s=60, rate_per_minute=100)
    browser.open(running.url)
    browser.fill(SLOW)
    _start(browser)
    running.process.kill()
    assert browser.verdict() == "The server can’t be reached"
    assert "Your script is still here" in browser.text("#outcome")
    assert browser.one("#code").get_property("value") == SLOW
    assert browser.run() == "The server can’t be reached"
    assert not browser.one("#stop").is_displayed() and not browser.one("#progress").is_displayed()


def test_an_answer_that_is_none_of_ours(browser, server) -> None:
    browser.open(server.url)
    browser.js("window.fetch = () => Promise.resolve(new Response('<h1>Bad gateway</h1>', { status: 502 }))")
    assert browser.run() == "No answer from pyexec"
    assert "HTTP status 502" in browser.text("#outcome")


def test_a_proxy_that_finds_the_request_too_large(browser, server) -> None:
    """Ours says it in JSON; nginx, with 1 MiB by default, in HTML."""
    browser.open(server.url)
    browser.js("window.fetch = () => Promise.resolve(new Response('<h1>413</h1>', { status: 413 }))")
    assert browser.run() == "Too much to send"
    assert "A proxy on the way to the server" in browser.text("#outcome")
    assert "Attach smaller files" in browser.text("#outcome")


# ---- What nobody may slip in ----

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script><b id=pwned>bold</b>&lt;"


def test_what_a_script_prints_is_text(browser, server) -> None:
    browser.open(server.url)
    script = "import sys\nm = %r\nprint(m)\nprint(m, file=sys.stderr)\nopen(m.replace('/', '_'), 'w').write(m)\nraise ValueError(m)"
    name = MARKUP.replace("/", "_")
    assert browser.run(script % MARKUP, returned=[name, MARKUP.replace("/", ".")]) == "Ended with exit code 1"
    assert browser.text(".stdout pre") == MARKUP and "ValueError: " + MARKUP in browser.text(".stderr pre")
    assert name in browser.text(".files h4") and browser.text(".file pre") == MARKUP
    browser.one(".raw summary").click()
    browser.until(lambda: "pwned" in browser.text(".raw pre"), "the raw answer")
    assert browser.all("#result img, #result script, #pwned") == []


@pytest.mark.parametrize("kind", ["svg", "html", "html that begins as a PNG", "pdf that is html"])
def test_a_file_that_could_act_is_never_opened_as_such(browser, server, kind: str) -> None:
    content = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>" if kind == "svg" else MARKUP
    start = {"html that begins as a PNG": "\\x89PNG\\r\\n\\x1a\\n", "pdf that is html": "%PDF-"}.get(kind, "")
    browser.open(server.url)
    watch = "window.types = []; const make = URL.createObjectURL; URL.createObjectURL = (b) => { types.push(b.type); return make.call(URL, b); }"
    browser.js(watch)
    verdict = browser.run("open('a.svg', 'wb').write(b'%s' + %r)" % (start, content.encode()), returned=["a.svg"])
    assert verdict == "Finished"
    kinds = {"html that begins as a PNG": ["image/png"], "pdf that is html": ["application/pdf"]}.get(kind, [])
    assert browser.js("return window.types") == ["application/octet-stream"] + kinds
    assert browser.all("#result object, #result embed, #result iframe, #result script, #pwned") == []


@pytest.mark.parametrize(
    "error",
    [
        {"type": MARKUP, "message": MARKUP},
        {"type": "ValidationError", "message": MARKUP, "field": MARKUP},
        {"type": "ForbiddenImportError", "message": MARKUP, "modules": [MARKUP, "(((("]},
        {"type": "ResourceLimitError", "message": MARKUP, "resource": MARKUP, "limit": 1},
        {"type": "RateLimitExceeded", "message": MARKUP},
        {"type": "InternalServerError", "message": MARKUP, "id": MARKUP},
    ],
    ids=lambda error: error["type"][:20],
)
def test_errors_are_text(browser, server, error: Any) -> None:
    browser.open(server.url)
    document = {
        "status": "error",
        "error_details": error,
        "user_info": {"daily_quota_limit": 3, "requests_remaining_today": 2},
    }
    answer = "window.fetch = () => Promise.resolve(new Response(%s, { status: 400, headers: { 'Retry-After': '3' } }))"
    browser.js(answer % json.dumps(json.dumps(document)))
    browser.run("print(1)")
    assert "onerror=alert" in browser.text("#result") or error["type"] == "RateLimitExceeded"
    assert browser.all("#result img, #result script, #pwned") == []


def test_names_of_attached_files_and_links_are_text(browser, server, tmp_path) -> None:
    name = MARKUP.replace("/", "_")
    (tmp_path / name).write_bytes(b"x")
    browser.open(server.url)
    browser.drop("#editor", [str(tmp_path / name)])
    browser.until(lambda: name in browser.text("#note"), "the file")
    browser.fill("print(%r)" % MARKUP)
    link = browser.copied("Copy link")
    browser.open(link)
    assert MARKUP in browser.one("#code").get_property("value")
    assert browser.all("#playground img, #playground script, #pwned") == []
    assert os.listdir(str(tmp_path)) == [name]
