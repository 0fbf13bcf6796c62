"""The page for everybody: by keyboard, in both colour schemes, on a phone, to a screen reader, under its own policy."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
import urllib.request
from typing import Any, List

import pytest
from selenium.webdriver.common.keys import Keys
from support import log_lines

pytest_plugins = ["browser"]

PHONES = [(320, 568), (390, 844)]
_INDENT = " " * 4


def _focused(browser: Any) -> str:
    return str(browser.js("const e = document.activeElement; return e.id || e.textContent.trim() || e.tagName"))


# ---- What it loads ----


def test_it_is_small_and_asks_nobody_else(browser, server) -> None:
    browser.cdp("Network.clearBrowserCache")
    browser.open(server.url)
    for title in ("Photo", "PDF"):
        browser.button(title, "#examples").click()
        browser.until(lambda t=title: t in browser.text("#note"))
        assert browser.run() == "Finished"
    browser.until(lambda: browser.text("figcaption") or browser.text(".file h4"), "the files")
    sizes = browser.requests()
    elsewhere = [url for url in sizes if not url.startswith((server.url + "/", "data:", "blob:" + server.url))]
    assert elsewhere == []
    page = {url: size for url, size in sizes.items() if url.startswith(server.url) and not url.endswith("/execute")}
    assert len(page) >= 12 and 20000 < sum(page.values()) < 60000, page


def test_the_second_visit_loads_nothing_anew(browser, server) -> None:
    browser.open(server.url)
    browser.until(lambda: len(browser.js("return performance.getEntriesByType('resource')")) >= 11)
    browser.open(server.url)
    sizes = browser.requests()
    again = {url: size for url, size in sizes.items() if size > 1000 and not url.endswith(("/health", "/about"))}
    assert len(sizes) >= 10 and again == {}  # heads alone


def test_the_policy_is_strict(server) -> None:
    with urllib.request.urlopen(server.url) as answer:
        policy = answer.headers["Content-Security-Policy"]
        html = answer.read().decode("utf-8")
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert policy.endswith("; require-trusted-types-for 'script'") and "trusted-types " not in policy
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=)|javascript:", html)


def test_the_policy_holds(browser, server) -> None:
    """The control of all other tests here, which rely on violations being seen."""
    browser.open(server.url)
    attempt = "const s = document.createElement('script'); try { s.textContent = 'window.inline = 1' } catch { s.append('window.inline = 1') }"
    browser.js(attempt + "; document.body.append(s)")
    browser.js("import('http://127.0.0.1:1/x.js').catch(() => 0)")
    browser.js(
        "document.body.append(Object.assign(document.createElement('img'), { src: 'http://127.0.0.1:1/x.png' }))"
    )
    seen = "return window.seen.violations.join()"
    for directive in ("require-trusted-types-for", "script-src", "img-src"):
        browser.until(lambda d=directive: d in browser.js(seen), directive)
    assert browser.complaints() and browser.js("return window.inline") is None
    browser.driver.get("about:blank")


def test_without_scripts_there_is_the_documentation(browser, server) -> None:
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.driver.get(server.url)
        assert "The playground needs JavaScript" in browser.text("noscript")
        # What would do nothing isn't there.
        controls = browser.all("button, input, textarea, select, summary")
        assert controls and not [item.get_attribute("outerHTML") for item in controls if item.is_displayed()]
        assert "POST /execute" in browser.text("#request")
        # Nor does the text speak of it.
        labels = [item.get_attribute("textContent").strip() for item in browser.all("#playground button")]
        text = browser.text("main")
        assert "Copy as curl" in labels and not [label for label in labels if label in text]
    finally:
        browser.cdp("Emulation.setScriptExecutionDisabled", value=False)


def test_a_page_of_an_allowed_origin_may_call_and_see_how_long_to_wait(browser, start_server) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="/nonexistent")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        origin = "http://127.0.0.1:%d" % other.server_port
        running, closed = start_server(rate_per_minute=1, cors_origin=origin), start_server()
        browser.driver.get(origin + "/")
        call = """const done = arguments[1];
          fetch(arguments[0] + '/execute', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"code": "print(1)"}' })
            .then(async (a) => done([a.status, (await a.json()).status, a.headers.get('RateLimit'), Number(a.headers.get('Retry-After'))]),
                  (error) => done(String(error)))"""
        first = browser.driver.execute_async_script(call, running.url)
        second = browser.driver.execute_async_script(call, running.url)
        refused = browser.driver.execute_async_script(call, closed.url)
        complaints = browser.until(browser.complaints, "the refusal")
        browser.driver.get("about:blank")
        other.shutdown()
    assert first[:2] == [200, "success"] and '"minute";r=0' in first[2]
    assert second[:2] == [429, "error"] and 1 <= second[3] <= 60
    # By default the browser asks first, and is told no: nothing was run.
    assert "No 'Access-Control-Allow-Origin' header" in str(complaints)
    assert refused.startswith("TypeError") and "POST" not in [line["method"] for line in log_lines(closed.log)]


def test_copying_where_the_browser_has_only_the_old_way(browser, server) -> None:
    """As over plain HTTP from another machine, where there is no navigator.clipboard."""
    browser.open(server.url)
    browser.driver.execute_async_script("navigator.clipboard.writeText('').then(arguments[0])")
    browser.js("navigator.clipboard.writeText = undefined")
    browser.button("Copy as Python", ".take-away").click()
    browser.until(lambda: "Copied a Python program." in browser.text("#note"))
    assert browser.clipboard().startswith("import base64")


# ---- By keyboard ----


def test_from_top_to_bottom_without_a_mouse(browser, server) -> None:
    browser.open(server.url)
    order: List[str] = []
    for _ in range(60):
        browser.press(Keys.TAB)
        order.append(_focused(browser))
        ring = "const s = getComputedStyle(document.activeElement.closest('.editor') || document.activeElement.labels?.[0]?.matches('.button') && document.activeElement.labels[0] || document.activeElement); return s.outlineStyle"
        assert browser.js(ring) != "none", order[-1]
        if order[-1] == "code":
            browser.press(Keys.ESCAPE)
        if order[-1] == "First call":
            break
    expected = (
        "Skip to the playground|Skip to the documentation|pyexec|Playground|API|Security|Hello|Standard input|Text file"
    )
    expected += "|Photo|Plot|PDF|NumPy|code|run|copy-curl|copy-python|copy-link|Input and files none|stdin|returns|picker|key|First call"
    assert order == expected.split("|")
    for key in reversed(order[:-1]):
        browser.press(Keys.SHIFT, Keys.TAB)
        if key == "code":
            browser.press(Keys.ESCAPE)
        assert _focused(browser) == key


def test_skip_links(browser, server) -> None:
    browser.open(server.url)
    browser.press(Keys.TAB)
    assert browser.one("a.skip:focus").is_displayed() and browser.one("a.skip:focus").rect["y"] >= 0
    browser.press(Keys.ENTER)
    browser.press(Keys.TAB)
    assert _focused(browser) == "Hello"


def test_an_example_and_its_run_by_keyboard(browser, server) -> None:
    browser.open(server.url)
    while _focused(browser) != "Standard input":
        browser.press(Keys.TAB)
    browser.press(Keys.ENTER)
    browser.until(lambda: "Loaded" in browser.text("#note"))
    browser.js("window.before = document.querySelector('#verdict').firstChild")
    browser.press(Keys.CONTROL, Keys.ENTER)
    assert browser.verdict() == "Finished" and "Hello, Ada!" in browser.text(".stdout pre")


def _type(browser: Any, *keys: str) -> str:
    """Empty the editor, type, and return what stands there."""
    browser.js("arguments[0].focus(); arguments[0].select()", browser.one("#code"))
    browser.press(Keys.DELETE)
    for key in keys:
        if key.startswith("Ctrl "):
            browser.press(Keys.CONTROL, key[5:])
        elif key == "Shift Tab":
            browser.press(Keys.SHIFT, Keys.TAB)
        else:
            browser.press(key)
    return str(browser.one("#code").get_property("value"))


def test_writing_python(browser, server) -> None:
    browser.open(server.url)
    assert _type(browser, "for n in x:", Keys.ENTER, "if n:", Keys.ENTER, "pass", Keys.ENTER, "y") == (
        "for n in x:\n    if n:\n        pass\n    y"
    )
    assert _type(browser, "a = [", Keys.ENTER, "1") == "a = [\n    1"
    assert _type(browser, "if x:  # why", Keys.ENTER, "y") == "if x:  # why\n    y"
    assert _type(browser, "s = 'x:'", Keys.ENTER, "y") == "s = 'x:'\ny"
    assert _type(browser, "d = 1  # so:", Keys.ENTER, "y") == "d = 1  # so:\ny"
    assert _type(browser, "if x:", Keys.ENTER, Keys.BACKSPACE, "y") == "if x:\ny"
    assert _type(browser, "ab", Keys.TAB, "c") == "ab  c"
    assert _type(browser, "a", Keys.ENTER, "b", "Ctrl a", Keys.TAB) == "    a\n    b"
    assert _type(browser, "a", Keys.ENTER, "b", "Ctrl a", Keys.TAB, "Shift Tab") == "a\nb"
    assert _type(browser, Keys.TAB, "x", "Shift Tab") == "x"
    undone = _type(browser, "if x:", Keys.ENTER, "y", "Ctrl z")
    assert undone != "if x:\n    y" and "if x:\n    y".startswith(undone)
    assert _type(browser, "ab", Keys.ENTER, "c", "Ctrl a", Keys.TAB, "Ctrl z") == "ab\nc"


def test_lines_have_numbers_and_the_view_follows(browser, server) -> None:
    browser.open(server.url)
    browser.fill("\n".join("x%d = 0" % line for line in range(100)))
    assert browser.js("return document.querySelector('.gutter').textContent").split("\n") == [
        str(n + 1) for n in range(100)
    ]
    box = "const e = document.querySelector('.editor'); return [e.scrollTop, e.clientHeight, e.scrollHeight]"
    top, height, whole = browser.js(box)
    assert top + height > whole - 60  # the caret is at the end, and in sight
    _type(browser, *("x" + Keys.ENTER) * 40, "y" * 200)
    top, height, whole = browser.js(box)
    assert top + height > whole - 60
    assert browser.js("const e = document.querySelector('.editor'); return e.scrollLeft + e.clientWidth") > 1600
    browser.press(Keys.HOME, "z")
    assert browser.js("return document.querySelector('.editor').scrollLeft") < 60
    browser.fill("\n".join("x%d = 0" % line for line in range(100)))
    assert browser.js("return document.querySelector('.paper-text').textContent").rstrip("\n").endswith("x99 = 0")
    same = "const a = document.querySelector('#code').getBoundingClientRect(), p = document.querySelector('.paper-text').getBoundingClientRect(); return [a.x - p.x, a.y - p.y, a.width - p.width, a.height - p.height]"
    assert browser.js(same) == [0, 0, 0, 0]


def test_colours_are_those_of_python(browser, server) -> None:
    browser.open(server.url)
    browser.fill("@cache\ndef f(x): # why\n    return f'{x!r:>{3}} {{}}' + 'é' if len(x) else None\n")
    found = browser.js(
        "return [...document.querySelectorAll('.paper-text span')].map((s) => [s.className.slice(3), s.textContent])"
    )
    for pair in (
        ["decorator", "@cache"],
        ["keyword", "def"],
        ["definition", "f"],
        ["comment", "# why"],
        ["builtin", "len"],
        ["string", "'é'"],
        ["number", "None"],
    ):
        assert pair in found, found
    assert browser.js("return document.querySelector('.paper-text').textContent")[:-1] == browser.one(
        "#code"
    ).get_property("value")


def test_my_own_script_is_not_lost(browser, server) -> None:
    browser.open(server.url)
    browser.fill("mine = 1", stdin="and this")
    assert browser.all(".examples [aria-current]") == []
    browser.button("Plot", "#examples").click()
    browser.until(lambda: "Loaded “Plot”" in browser.text("#note"))
    browser.button("Restore my script", "#note").click()
    assert browser.all(".examples [aria-current]") == []
    assert (
        browser.one("#code").get_property("value") == "mine = 1"
        and browser.one("#stdin").get_property("value") == "and this"
    )


# ---- To the eye ----


@pytest.mark.parametrize("width, height", PHONES)
def test_on_a_phone(browser, server, width: int, height: int) -> None:
    browser.look(width, height, phone=True)
    browser.open(server.url)
    run = browser.one("#run").rect
    assert run["y"] + run["height"] <= height
    browser.button("Plot", "#examples").click()
    browser.until(lambda: "Loaded" in browser.text("#note"))
    assert browser.run() == "Finished"
    browser.until(lambda: browser.text("figcaption"), "the picture")
    assert browser.js("return document.documentElement.scrollWidth") <= width
    seen = browser.js("return document.querySelector('#verdict').getBoundingClientRect().top")
    assert 0 <= seen < height
    below = """const box = (id) => document.getElementById(id).getBoundingClientRect();
      return [box('result').top - box('run').bottom, box('inputs').top - box('result').bottom]"""
    under_run, over_inputs = browser.js(below)
    assert 0 <= under_run < height / 3 and over_inputs >= 0
    small = """return [...document.querySelectorAll('button, a.button, summary, .button, input, .contents a, .top a')]
      .filter((e) => e.offsetParent && !e.matches('.off-screen')).map((e) => [e.textContent || e.id, e.getBoundingClientRect().height])
      .filter(([, height]) => height < 24)"""
    assert browser.js(small) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes(browser, server, scheme: str) -> None:
    browser.look(scheme=scheme)
    browser.open(server.url)
    ground = browser.js("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(ground) > 600) == (scheme == "light")


_STATES = {
    "at the start": "",
    "after a picture": "Photo",
    "after a PDF": "PDF",
    "after a text file": "Text file",
    "after an error": "print('x')\n1/0",
    "after a refusal": "import os",
    "with a long script": "#" * 2001,
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", _STATES)
def test_axe_finds_nothing(browser, server, scheme: str, state: str) -> None:
    browser.look(scheme=scheme)
    browser.open(server.url)
    what = _STATES[state]
    if any(button.text == what for button in browser.all("#examples button")):
        browser.button(what, "#examples").click()
        browser.until(lambda: "Loaded" in browser.text("#note"))
        browser.run()
    elif what:
        browser.run(what)
    assert browser.axe() == []
    if state == "after a text file":
        browser.one(".raw summary").click()
        browser.look(390, 844, scheme, phone=True)
        assert browser.axe() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_while_it_runs_or_in_the_dialog(browser, server, scheme: str) -> None:
    browser.look(scheme=scheme)
    browser.open(server.url)
    browser.fill("import time\ntime.sleep(4)")
    browser.one("#run").click()
    browser.until(lambda: browser.text("#verdict").startswith("Running"))
    assert browser.axe() == []
    browser.js("arguments[0].click()", browser.one("#stop"))  # if it has not ended by now
    browser.js("navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false")
    browser.button("Copy link", ".take-away").click()
    browser.until(lambda: browser.one("#by-hand").is_displayed(), "the dialog")
    assert browser.one("#by-hand-text").get_property("value").startswith(server.url + "/#code=")
    assert browser.axe() == []
    if scheme == "dark":
        browser.press(Keys.ESCAPE)
    else:
        browser.button("Close", "#by-hand").click()
    browser.until(lambda: not browser.one("#by-hand").is_displayed(), "the page again")


def test_axe_would_find_something(browser, server) -> None:
    """The control: a checker that didn't load, or looks at nothing, finds nothing either."""
    browser.open(server.url)
    browser.js("document.querySelector('label[for=stdin]').remove(); document.querySelector('.lead').className = ''")
    assert "label" in str(browser.axe())


def test_a_screen_reader_hears_the_end(browser, server) -> None:
    browser.open(server.url)
    assert (
        browser.one("#verdict").get_attribute("role") == "status"
        and browser.one("#note").get_attribute("role") == "status"
    )
    browser.run("print('spoken')\n1/0")
    heard = browser.js("return document.querySelector('#verdict').textContent")
    assert heard.startswith("ZeroDivisionError: division by zero. spoken") and "Traceback" in heard
    tree = json.dumps(browser.cdp("Accessibility.getFullAXTree"))
    for name in ("script.py", "Result", "Standard input", "Files to return", "Choose files"):
        assert '"value": "%s"' % name in tree, name


# ---- The documentation ----


def test_the_documentation_is_this_servers(browser, start_server) -> None:
    running = start_server(wall_s=7, code_chars=1234, modules="math json", attachments=1, output_bytes=2048)
    browser.open(running.url)
    about = running.client.call("GET", "/about")
    limits = browser.text("#limits-list")
    for words in ("Time a script may run 7 s", "Code 1,234 characters", "Attachments 1", "cut off 2 KB"):
        assert words in limits.replace("\u00a0", " ")
    assert "at most 1,234 characters" in browser.text("#request") and "7 s" in browser.text("#errors").replace(
        "\u00a0", " "
    )
    assert browser.text("#counter").endswith("/ 1,234 characters")
    assert sorted(item.text for item in browser.all("#modules-list li")) == ["json", "math"]
    on = [layer["name"].replace("_", " ") for layer in about["layers"] if layer["on"]]
    assert [item.text for item in browser.all("#layers-list dl:not(.off) dt")] == on
    dangers = running.client.call("GET", "/health")["dangers"]
    assert [item.text for item in browser.all("#dangers-list tbody th")] == list(dangers)
    bases = {item.get_property("textContent") for item in browser.all(".base-url")}
    assert bases == {running.url}
    assert len(browser.all("#limits-list tbody tr")) == len(about["limits"])


def test_text_never_becomes_markup_or_code_by_a_slip(browser, server) -> None:
    """With Trusted Types the browser itself refuses what would parse a string; the control is a page without policy."""
    sinks = (
        "document.body.innerHTML = '<b id=slip>x</b>'",
        "document.body.insertAdjacentHTML('beforeend', '<b id=slip>x</b>')",
        "document.createElement('script').src = 'static/app.js'",
        "new DOMParser().parseFromString('<b>x</b>', 'text/html')",
    )
    attempt = "try { %s; return 'done'; } catch (error) { return error.name; }"
    browser.driver.get("about:blank")
    assert [browser.js(attempt % sink) for sink in sinks] == ["done"] * len(sinks)
    browser.open(server.url)
    assert [browser.js(attempt % sink) for sink in sinks] == ["TypeError"] * len(sinks)
    assert browser.all("#slip") == []
    browser.js("window.seen.violations = []")
    browser.driver.get_log("browser")
