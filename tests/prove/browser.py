"""A real browser for the tests of the page: Debian's chromium, driven as a person would, and watched while at it.

Nothing here waits for a fixed time: `until` waits for what is to be seen.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from typing import Any, Callable, Dict, Iterator, List, Sequence

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from support import ROOT

AXE = os.path.join(ROOT, "build", "axe", "node_modules", "axe-core", "axe.min.js")  # tests/prove/run puts it there
PATIENCE_S = 30.0
_FLAGS = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking".split()
_FLAGS += "disable-component-update disable-sync force-color-profile=srgb hide-scrollbars".split()
# A mouse and a keyboard, which a machine without a screen doesn't claim to have.
_FLAGS.append("blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4")
_WATCH = """
window.seen = { violations: [], errors: [], dialogs: 0 };
document.addEventListener('securitypolicyviolation', (event) => seen.violations.push(event.violatedDirective + ' ' + event.blockedURI));
addEventListener('error', (event) => seen.errors.push(String(event.message)));
addEventListener('unhandledrejection', (event) => seen.errors.push(String(event.reason)));
for (const name of ['alert', 'confirm', 'prompt']) window[name] = () => { seen.dialogs += 1; };
"""


class Browser:
    """One chromium with a profile of its own and one page at a time."""

    def __init__(self) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="pyexec-browser-", ignore_cleanup_errors=True)
        self.downloads = os.path.join(self._profile.name, "downloads")
        os.mkdir(self.downloads)
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in _FLAGS + ["user-data-dir=" + os.path.join(self._profile.name, "profile")]:
            options.add_argument("--" + flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.driver.set_script_timeout(PATIENCE_S)
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=self.downloads)
        self.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)

    def quit(self) -> None:
        """End it and remove its profile."""
        self.driver.quit()
        self._profile.cleanup()

    def cdp(self, command: str, **arguments: Any) -> Any:
        """Send a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, arguments)

    def js(self, script: str, *arguments: Any) -> Any:
        """Return what a function body returns in the page."""
        return self.driver.execute_script(script, *arguments)

    # ---- What one looks at ----

    def look(self, width: int = 1280, height: int = 800, scheme: str = "light", phone: bool = False) -> None:
        """Set the window's size and the colours that the person likes."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=phone)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.cdp("Emulation.setEmulatedMedia", features=features)

    def open(self, url: str) -> None:
        """Open the page and wait until it has asked the server about itself."""
        self.driver.get("about:blank")
        self.driver.get_log("browser"), self.driver.get_log("performance")
        self.driver.get(url)
        self.until(lambda: self.text("#health"), "the page is ready")

    def all(self, selector: str) -> List[WebElement]:
        """Return the elements of a selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """Return the only element of a selector."""
        (element,) = self.all(selector)
        return element

    def text(self, selector: str) -> str:
        """Return the text that is seen in an element, "" if it isn't there."""
        return "\n".join(element.text for element in self.all(selector))

    def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """Return a condition's value as soon as it is true."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        shown = self.text("#result") + "\n" + self.text("#note")
        raise AssertionError("not seen: %s\n%s" % (what, shown))

    # ---- What one does ----

    def press(self, *keys: str) -> None:
        """Type into whatever has the focus; Keys.CONTROL, SHIFT and META hold for what follows in one call."""
        held = [key for key in keys if key in (Keys.CONTROL, Keys.SHIFT, Keys.META)]
        actions = ActionChains(self.driver)
        for key in held:
            actions.key_down(key)
        for key in keys:
            if key not in held:
                actions.send_keys(key)
        for key in held:
            actions.key_up(key)
        actions.perform()

    def button(self, text: str, within: str = "") -> WebElement:
        """Return the button or link with this text."""
        found = [item for item in self.all("%s button, %s a" % (within, within)) if item.text.strip() == text]
        assert len(found) == 1, (text, [item.text for item in self.all(within + " button")])
        return found[0]

    def fill(self, script: str, stdin: str = "", returned: Sequence[str] = ()) -> None:
        """Replace what the form holds, as by pasting."""
        self.open_inputs()
        for selector, text in (("#code", script), ("#stdin", stdin), ("#returns", "\n".join(returned))):
            area = self.one(selector)
            self.js("arguments[0].focus(); arguments[0].select()", area)
            if text:
                self.cdp("Input.insertText", text=text)
            else:
                self.press(Keys.DELETE)
            assert area.get_property("value") == text

    def open_inputs(self) -> None:
        """Unfold the part below the editor."""
        if not self.one("#inputs").get_property("open"):
            self.one("#inputs summary").click()

    def run(self, script: str = "", **more: Any) -> str:
        """Run what stands there, or a script, and return the verdict."""
        if script:
            self.fill(script, **more)
        self.js("window.before = document.querySelector('#verdict').firstChild; arguments[0].click()", self.one("#run"))
        return self.verdict()

    def verdict(self) -> str:
        """Wait for the end of a run and return its title."""
        ended = "return window.before !== document.querySelector('#verdict').firstChild && !document.querySelector('.verdict.running')"
        self.until(lambda: self.js(ended), "a verdict")
        title = str(self.js("return document.querySelector('#verdict').firstChild.textContent"))
        return title.replace("\u00a0", " ")

    def clipboard(self) -> str:
        """Return what was copied."""
        return str(
            self.driver.execute_async_script(
                "navigator.clipboard.readText().then(arguments[0], (e) => arguments[0](String(e)))"
            )
        )

    def copied(self, button: str) -> str:
        """Press a button that copies and return what it did."""
        self.driver.execute_async_script("navigator.clipboard.writeText('').then(arguments[0])")
        self.button(button, ".take-away").click()
        return str(self.until(self.clipboard, "something in the clipboard"))

    def download(self, link: WebElement, name: str) -> bytes:
        """Follow a link that downloads and return the file's content."""
        path = os.path.join(self.downloads, name)
        link.click()
        self.until(lambda: os.path.exists(path), "the file " + name)
        with open(path, "rb") as file:
            content = file.read()
        os.unlink(path)
        return content

    def drop(
        self, selector: str, paths: Sequence[str], kinds: Sequence[str] = ("dragEnter", "dragOver", "drop")
    ) -> None:
        """Drag files from the desktop onto an element."""
        element = self.one(selector)
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        box = self.js(
            "const b = arguments[0].getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]", element
        )
        data = {"items": [], "files": list(paths), "dragOperationsMask": 1}
        for kind in kinds:
            self.cdp("Input.dispatchDragEvent", type=kind, x=box[0], y=box[1], data=data)

    # ---- What one finds out ----

    def requests(self) -> Dict[str, int]:
        """Return the bytes that came over the network, heads and all, by URL, of every request since `open`."""
        urls: Dict[str, str] = {}
        sizes: Dict[str, int] = {}
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            parameters = message["params"]
            if message["method"] == "Network.requestWillBeSent":
                urls[parameters["requestId"]] = parameters["request"]["url"]
                sizes.setdefault(parameters["request"]["url"], 0)
            elif message["method"] == "Network.loadingFinished":
                sizes[urls[parameters["requestId"]]] += int(parameters["encodedDataLength"])
        return sizes

    def complaints(self) -> List[str]:
        """Return what the console and the page complain of; that a status is an error is no complaint."""
        seen = self.js("return window.seen || { violations: [], errors: [], dialogs: 0 }")
        log = [
            e["message"]
            for e in self.driver.get_log("browser")
            if e["level"] in ("SEVERE", "WARNING") and e["source"] != "network"
        ]
        return log + seen["violations"] + seen["errors"] + ["a dialog"] * seen["dialogs"]

    def axe(self) -> List[str]:
        """Return what axe-core finds, every rule on, each as one line."""
        with open(AXE, encoding="utf-8") as file:
            self.js(file.read())
        script = "axe.run(document, { resultTypes: ['violations'] }).then((r) => arguments[0](r.violations), (e) => arguments[0]([{ id: String(e), nodes: [] }]))"
        found = self.driver.execute_async_script(script)
        return ["%s: %s" % (item["id"], [node["html"][:200] for node in item["nodes"]]) for item in found]


@pytest.fixture(scope="session")
def _chromium() -> Iterator[Browser]:
    chromium = Browser()
    yield chromium
    chromium.quit()


@pytest.fixture
def browser(_chromium: Browser) -> Iterator[Browser]:
    """A browser with a window as on a desk; red if the page violated its policy or threw an error."""
    _chromium.look()
    yield _chromium
    complaints = _chromium.complaints()
    _chromium.driver.get("about:blank")
    assert complaints == []
