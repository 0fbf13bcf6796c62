"""Make the README's pictures of the page anew: python tests/prove/screenshots.py, as tests/prove/run has set things up.

Looked at by a person before they are committed; the tests of the page look at the page itself.
"""

from __future__ import annotations

import io
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [
    HERE,
    os.path.dirname(HERE),
    os.path.dirname(os.path.dirname(HERE)),
    os.path.join(os.path.dirname(HERE), "tools"),
]

from browser import Browser  # noqa: E402
from PIL import Image  # noqa: E402
from servers import RunningServer  # noqa: E402
from support import ROOT  # noqa: E402


def _shoot(browser: Browser, name: str) -> None:
    with Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())) as picture:
        path = os.path.join(ROOT, "docs", name)
        # As many colours as a palette holds, the rare ones among them, take a third of the room.
        small = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
    print(path, os.path.getsize(path))


def main() -> None:
    os.makedirs(os.path.join(ROOT, "docs"), exist_ok=True)
    server = RunningServer({})
    browser = Browser()
    try:
        for name, width, height, scheme, example in (
            ("page-light.png", 1180, 760, "light", "Plot"),
            ("page-dark.png", 1180, 760, "dark", "NumPy"),
            ("page-phone.png", 390, 780, "dark", ""),
            ("page-phone-result.png", 390, 780, "dark", "Photo"),
        ):
            browser.look(width, height, scheme, phone=width < 600)
            browser.open(server.url)
            if example:
                browser.button(example, "#examples").click()
                browser.until(lambda: "Loaded" in browser.text("#note"))
                assert browser.run() == "Finished"
                browser.until(lambda: browser.text("figcaption") or not browser.all("figure"))
            if width > 600:
                browser.js("document.activeElement.blur(); scrollTo(0, 0)")
            _shoot(browser, name)
    finally:
        browser.quit()
        server.stop()


if __name__ == "__main__":
    main()
