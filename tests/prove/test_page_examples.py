"""The page as a newcomer uses it: every example runs as it is, and what comes back is what the script made."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from typing import Any, Dict, List

import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys
from servers import ADMIN_KEY
from support import ROOT

pytest_plugins = ["browser"]

EXAMPLES: Dict[str, List[str]] = {
    "Hello": ["Hello! It is", "The sum is 35"],
    "Standard input": ["Hello, Ada!", "4 numbers, their sum is 124."],
    "Text file": ["on        3  ###", "the"],
    "Photo": ["A JPEG of 480 by 320 pixels, RGB"],
    "Plot": ["plot.png: 640 by 400 pixels"],
    "PDF": ["invoice.pdf, total 99.40"],
    "NumPy": ["y = 2.5", "Put together again:"],
}
FILES = {"Text file": "result.txt", "Photo": "output_grayscale.png", "Plot": "plot.png", "PDF": "invoice.pdf"}


def _choose(browser: Any, title: str) -> None:
    browser.button(title, "#examples").click()
    browser.until(lambda: "Loaded “%s”" % title in browser.text("#note"), "the example")


def test_the_page_has_just_these(browser, server) -> None:
    browser.open(server.url)
    assert browser.text("#examples").split("\n") == list(EXAMPLES)


def test_one_press_is_enough(browser, server) -> None:
    browser.open(server.url)
    assert "print(" in browser.one("#code").get_property("value")
    assert browser.text(".examples [aria-current]") == "Hello"
    box = browser.one("#run").rect
    assert box["y"] + box["height"] <= 800
    assert browser.run() == "Finished"
    assert "The sum is 35" in browser.text(".stdout pre")


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_runs_as_it_is(browser, server, title: str) -> None:
    browser.open(server.url)
    _choose(browser, title)
    assert browser.one(".examples [aria-current]").text == title
    assert browser.run() == "Finished", browser.text("#result")
    for line in EXAMPLES[title]:
        assert line in browser.text(".stdout pre")
    assert browser.all(".stderr") == []
    name = FILES.get(title)
    assert browser.text(".file h4") == (name or "")
    if name:
        content = browser.download(browser.button("Download", ".file"), name)
        _check_file(browser, title, content)


def _check_file(browser: Any, title: str, content: bytes) -> None:
    if title == "Text file":
        assert content.startswith(b"THE FOG COMES\nON LITTLE CAT FEET.") and content.endswith(b"MOVES ON.\n")
        assert content.decode() == browser.js("return document.querySelector('.file pre').textContent")
    elif title == "PDF":
        assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
        _check_pdf_opens(browser, content)
    else:
        image = Image.open(io.BytesIO(content))
        assert (image.mode, image.size) == (("L", (480, 320)) if title == "Photo" else ("RGB", (640, 400)))
        caption = "%d × %d pixels" % image.size
        browser.until(lambda: browser.text("figcaption") == caption, caption)
        shown = browser.one("figure img")
        assert shown.get_property("naturalWidth") == image.size[0] and shown.rect["width"] > 200


def _check_pdf_opens(browser: Any, content: bytes) -> None:
    link = browser.button("Open", ".file")
    assert link.get_attribute("href").startswith("blob:") and link.get_attribute("target") == "_blank"
    page = browser.driver.current_window_handle
    link.click()
    (opened,) = browser.until(lambda: set(browser.driver.window_handles) - {page}, "a new tab")
    browser.driver.switch_to.window(opened)
    try:
        browser.until(lambda: browser.js("return document.contentType") == "application/pdf", "a PDF")
        browser.until(lambda: _white(browser.driver.get_screenshot_as_png()) > 0.2, "a sheet of paper")
    finally:
        browser.driver.close()
        browser.driver.switch_to.window(page)


def _white(png: bytes) -> float:
    """Return how much of a picture is white."""
    with Image.open(io.BytesIO(png)) as image:
        return image.convert("L").histogram()[255] / (image.width * image.height)


def test_files_go_there_and_back_byte_for_byte(browser, server, tmp_path) -> None:
    contents = {"picked.bin": os.urandom(300000), "dropped é.bin": bytes(range(256)) * 50}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    browser.open(server.url)
    browser.fill(
        "for n, m in ('picked.bin', 'a'), ('dropped é.bin', 'b'): open(m, 'wb').write(open(n, 'rb').read()[::-1])",
        returned=["a", "b", "nothing"],
    )
    browser.one("#picker").send_keys(str(tmp_path / "picked.bin"))
    browser.until(lambda: "Attached: picked.bin." in browser.text("#note"), "the picked file")
    dragged = [str(tmp_path / "dropped é.bin")]
    outline = "return getComputedStyle(document.querySelector('.work > .panel')).outlineStyle"
    browser.drop("#editor", dragged, ["dragEnter", "dragOver"])
    browser.until(lambda: browser.js(outline) == "dashed", "where it may be dropped")
    browser.drop("#editor", dragged, ["drop"])
    browser.until(lambda: browser.js(outline) == "none", "that it was dropped")
    browser.until(lambda: "Attached: dropped é.bin." in browser.text("#note"), "the dropped file")
    assert "2 attachments, 3 files to return" in browser.text("#inputs-summary")
    assert browser.run() == "Finished", browser.text("#result")
    for name, content in zip("ab", contents.values()):
        card = next(item for item in browser.all(".file") if item.text.startswith(name))
        assert browser.download(card.find_element("css selector", "a[download]"), name) == content[::-1]
    assert "File not found after execution." in browser.text(".file.failed")


def test_files_that_are_too_many_or_too_large_are_left_out(browser, start_server, tmp_path) -> None:
    running = start_server(attachment_bytes=1000, attachments=2, rate_per_minute=1000)
    for name, size in (("a", 1000), ("b", 1001), ("c", 1), ("d", 1)):
        (tmp_path / name).write_bytes(b"x" * size)
    browser.open(running.url)
    assert browser.text("#files-hint") == "At most 2 files, 1,000 bytes each"
    browser.drop("#editor", [str(tmp_path / name) for name in "abcd"])
    browser.until(
        lambda: (
            "Not attached: b (1,001 bytes" in browser.text("#note") and "d (at most 2 files)" in browser.text("#note")
        )
    )
    assert [item.get_property("value") for item in browser.all("#files input")] == ["a", "c"]
    browser.button("Remove", "#files li:first-child").click()
    assert [item.get_property("value") for item in browser.all("#files input")] == ["c"]
    name = browser.one("#files input")
    name.clear()
    name.send_keys("other name.txt")
    assert browser.run("print(open('other name.txt').read())") == "Finished"
    assert browser.text(".stdout pre") == "x"


def _take_away(browser: Any, way: str, directory: Any, **more: str) -> subprocess.CompletedProcess[str]:
    command = browser.copied(way)
    arguments = ["sh", "-c", command] if way == "Copy as curl" else [sys.executable, "-c", command]
    environment = dict({name: value for name, value in os.environ.items() if name != "PYTHON_EXE_KEY"}, **more)
    return subprocess.run(
        arguments,
        capture_output=True,
        cwd=str(directory),
        env=environment,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("way", ["Copy as curl", "Copy as Python"])
@pytest.mark.parametrize("title", EXAMPLES)
def test_copied_commands_work_as_pasted(browser, server, tmp_path, title: str, way: str) -> None:
    browser.open(server.url)
    _choose(browser, title)
    done = _take_away(browser, way, tmp_path)
    assert done.returncode == 0, done.stderr
    for line in EXAMPLES[title]:
        assert (line if way == "Copy as Python" else line.replace('"', '\\"')) in done.stdout
    if title in FILES:
        if way == "Copy as curl":
            assert '"%s": {"content_base64": "' % FILES[title] in done.stdout
        else:
            assert os.path.getsize(tmp_path / FILES[title]) > 100


NASTY = "s = 'a\\'b\"c$HOME`id`\\\\n%s !! é😀'\nprint(s, end='')\n# '''\nprint(input() + '\\t')\n"


@pytest.mark.parametrize("way", ["Copy as curl", "Copy as Python"])
def test_copied_commands_keep_every_character(browser, server, tmp_path, way: str) -> None:
    browser.open(server.url)
    browser.fill(NASTY, stdin="$(id) 'x' \"y\" \\\n", returned=["it's.txt"])
    (tmp_path / "large file.bin").write_bytes(os.urandom(200000))
    browser.one("#picker").send_keys(str(tmp_path / "large file.bin"))
    browser.until(lambda: "Attached" in browser.text("#note"))
    done = _take_away(browser, way, tmp_path)
    assert "reads large file.bin from the directory" in browser.text("#note")
    expected = "a'b\"c$HOME`id`\\n%s !! é😀$(id) 'x' \"y\" \\\t\n"
    if way == "Copy as Python":
        assert done.stdout == expected, done.stderr
        assert "it's.txt: File not found after execution." in done.stderr
    else:
        answer = server.client.execute(NASTY, stdin="$(id) 'x' \"y\" \\\n")
        assert answer.stdout == expected
        details = json.loads(done.stdout)
        assert details["execution_details"]["stdout"] == expected
        assert details["request_context"]["processed_attachments"] == [
            {"filename": "large file.bin", "size_bytes": 200000}
        ]


@pytest.mark.parametrize("way", ["Copy as curl", "Copy as Python"])
def test_copied_commands_never_hold_the_key(browser, server, tmp_path, way: str) -> None:
    browser.open(server.url)
    browser.fill("import os\nprint(os.cpu_count() > 0)\n")
    browser.one("#key").send_keys(ADMIN_KEY)
    done = _take_away(browser, way, tmp_path, PYTHON_EXE_KEY=ADMIN_KEY)
    assert "True" in done.stdout, done.stderr
    assert ADMIN_KEY not in browser.clipboard() and "PYTHON_EXE_KEY" in browser.text("#note")
    assert _take_away(browser, way, tmp_path).returncode != 0


def test_the_key_works_and_is_kept_nowhere(browser, server) -> None:
    browser.open(server.url)
    browser.fill("import os\nprint(os.getcwd())")
    browser.one("#key").send_keys(ADMIN_KEY)
    assert browser.run() == "Finished"
    assert browser.text("#quota") == "Admin: no rate limit"
    kept = (
        "return JSON.stringify([localStorage, sessionStorage, document.cookie, location.href, document.body.innerHTML])"
    )
    assert ADMIN_KEY not in browser.js(kept)
    browser.js("dispatchEvent(new Event('pagehide'))")  # as when the page is put aside to be come back to
    assert browser.one("#key").get_property("value") == ""
    browser.one("#key").send_keys(ADMIN_KEY)
    browser.driver.refresh()
    browser.until(lambda: browser.text("#health"))
    assert browser.one("#key").get_property("value") == ""
    assert ADMIN_KEY not in server.log


def test_a_link_carries_the_script(browser, server) -> None:
    script = "print('é😀 <b> & # %', input())\n"
    browser.open(server.url)
    browser.fill(script, stdin="from the link\n", returned=["a.txt", "b.txt"])
    link = browser.copied("Copy link")
    assert link.startswith(server.url + "/#code=") and re.match(r"[\x21-\x7e]+\Z", link)
    browser.open(link)
    assert "This script came with the link. Read it before you run it." in browser.text("#note")
    assert browser.one("#code").get_property("value") == script
    assert browser.one("#returns").get_property("value") == "a.txt\nb.txt"
    assert browser.text("#verdict").startswith("Nothing has run yet")
    assert browser.run() == "Finished" and browser.text(".stdout pre") == "é😀 <b> & # % from the link"
    assert "code=" not in server.log
    browser.open(link[:-9].replace("&stdin", "!&stdin"))
    assert "The link is damaged" in browser.text("#note")


def test_the_documented_example_runs_as_pasted(browser, server, tmp_path) -> None:
    browser.open(server.url)
    samples = {item.get_attribute("data-title"): item for item in browser.all(".sample")}
    samples["curl"].find_element("tag name", "button").click()
    text = browser.until(lambda: browser.clipboard() if browser.clipboard().startswith("curl") else "", "the sample")
    assert server.url in text
    done = subprocess.run(["sh", "-c", text], stdout=subprocess.PIPE, cwd=str(tmp_path), text=True, timeout=60)
    assert done.returncode == 0 and "The sum is 35" in done.stdout


# ---- Files that nobody asked for ----


def test_everything_that_a_script_wrote_is_shown(browser, server) -> None:
    browser.open(server.url)
    code = "from PIL import Image\nImage.new('RGB', (30, 20), 'red').save('a.png')\nfor n in range(11): open('f%02d.txt' % n, 'w').write('x%d' % n)"
    assert browser.run(code) == "Finished"
    cards = [item.text for item in browser.all(".file h4")]
    assert cards == ["a.png"] + ["f%02d.txt" % n for n in range(9)] and browser.all(".file.failed") == []
    browser.until(lambda: browser.text("figcaption") == "30 × 20 pixels", "the picture")
    assert browser.text(".others") == "Also written, and not returned: f09.txt (2 bytes), f10.txt (3 bytes)"
    assert browser.run(code, returned=["f10.txt", "none"]) == "Finished"
    cards = [item.text for item in browser.all(".file h4")]
    assert cards[:3] == ["f10.txt", "none", "a.png"] and len(cards) == 11
    assert "f10.txt" not in browser.text(".others") and "f09.txt" in browser.text(".others")


def test_files_are_shown_after_a_time_out(browser, start_server) -> None:
    running = start_server(wall_s=1, rate_per_minute=100)
    browser.open(running.url)
    assert browser.run("open('a.txt', 'w').write('part')\nwhile True: pass") == "Ended after 1 s, the time limit"
    assert browser.text(".file pre") == "part"


# ---- Whether the result is of this script ----


def test_a_result_is_dimmed_as_soon_as_the_script_differs(browser, server) -> None:
    browser.open(server.url)

    def dimmed() -> bool:
        assert browser.all(".stale") in ([], browser.all("#result"))
        return bool(browser.all("#result.stale"))

    browser.run("print(1)")
    assert not dimmed()
    browser.js("arguments[0].focus()", browser.one("#code"))
    browser.press("#")
    assert dimmed() and float(browser.js("return getComputedStyle(document.querySelector('#outcome')).opacity")) < 0.9
    browser.press(Keys.BACKSPACE)
    assert not dimmed()
    browser.fill("print(1)", stdin="other")
    assert dimmed()
    browser.fill("print(1)")
    assert not dimmed()
    _choose(browser, "Text file")
    assert dimmed()
    browser.run()
    assert not dimmed()
    browser.button("Remove", "#files").click()
    assert dimmed()


def test_the_operators_data_is_named(browser, start_server) -> None:
    running = start_server(data="shop=%s" % os.path.join(ROOT, "docs"), rate_per_minute=1000)
    browser.open(running.url)
    path = json.loads(running.get("/about")[1])["data"]["shop"]
    browser.until(lambda: "Data, read-only" in browser.text("#modules-list"), "the data")
    assert "%s PYEXEC_DATA_shop" % path in browser.text("#modules-list").split("\n")
