"""What an operator installs works: thirty libraries in public runs, their results looked at.

In an environment of their own, whose versions the lock files pin; the ten that are used most also where runs have no
file tree, and as an ordinary user with one and without.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from figures import record
from library_scripts import SCRIPTS, Script
from PIL import Image
from processes import await_that
from rpc import ask_modern, call
from servers import RunningServer
from support import ROOT
from wrappers import DOCKER

pytest_plugins = ["browser"]

ENVIRONMENT = Path(ROOT) / "build" / "libraries"
MODULES = "+data +polars +pyarrow +duckdb +cv2 +wordcloud +pymupdf +psutil"
# Loaded ahead whatever else is installed; others depend on what a dependency of theirs does at its import.
AHEAD = "pandas matplotlib scipy sympy sklearn seaborn networkx openpyxl docx pptx pypdf lxml yaml plotly".split()
USED_MOST = "pandas matplotlib scipy sympy sklearn openpyxl docx pypdf lxml yaml polars pyarrow".split()
ONCE_LOADED = [name for name in USED_MOST if name in AHEAD]
READ_PROC = "duckdb psutil".split()  # and don't work without it
FEW = ",".join("+" + name for name in (*USED_MOST, *READ_PROC))
_USER = ["setpriv", "--reuid", "64100", "--regid", "64100", "--clear-groups"]
HOSTS = {"mounts": [], "no mounts": DOCKER, "user, mounts": _USER, "user, no mounts": [*DOCKER, *_USER]}


@pytest.fixture(scope="session")
def python() -> str:
    """Return an interpreter with the libraries."""
    found = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "done").exists():
        subprocess.check_call([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)])
        command = [str(found), "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"]
        for name in ("runtime", "data", "prove_libraries"):
            command += ["-r", os.path.join(ROOT, "requirements", name + ".txt")]
        subprocess.check_call(command)
        (ENVIRONMENT / "done").touch()
    return str(found)


CASES = [
    pytest.param(host, script, id=f"{host}-{script.library}-{number}")
    for host in sorted(HOSTS)
    for number, script in enumerate(SCRIPTS)
    if host == "mounts" or script.library in USED_MOST or (host == "user, mounts" and script.library in READ_PROC)
]


Serve = Callable[[str], RunningServer]


@pytest.fixture(scope="session")
def public(python: str) -> Iterator[Path]:
    """Return a directory with the package and the environment that everybody may read, wherever the checkout is."""
    with tempfile.TemporaryDirectory(prefix="pyexec-libraries-", dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        how = "-al" if os.stat(name).st_dev == ENVIRONMENT.stat().st_dev else "-a"  # it has 1.6 GB
        subprocess.check_call(["cp", how, str(ENVIRONMENT), name])
        shutil.copytree(os.path.join(ROOT, "pyexec"), os.path.join(name, "pyexec"))
        yield Path(name)


@pytest.fixture(scope="session")
def serve(public: Path) -> Iterator[Serve]:
    """Return a function that has the server of a kind of host, started once: pytest starts a parameter's anew."""
    running: Dict[str, RunningServer] = {}

    def on(host: str) -> RunningServer:
        if host not in running:
            limits: Dict[str, Any] = {"rate_per_minute": 100000, "rate_per_day": 100000, "max_runs": 2}
            python = str(public / ENVIRONMENT.name / "bin" / "python")
            wrapper: List[str] = [*HOSTS[host], "sh", "-c", 'shift; exec "$0" "$@"', python]
            environment = {"PYTHONWARNINGS": "default", "PYTHONPATH": str(public)}
            modules = MODULES if host == "mounts" else FEW
            server = running[host] = RunningServer(dict(limits, modules=modules), wrapper, environment)
            await_that(lambda: "pandas" in server.client.health()["libraries"], 300)
        return running[host]

    yield on
    for server in running.values():
        assert server.stop() == 0, server.log


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_what_can_be_is_loaded_ahead(serve: Serve, host: str) -> None:
    loaded = set(serve(host).client.health()["libraries"])
    assert set(AHEAD if host == "mounts" else ONCE_LOADED) <= loaded, serve(host).log


@pytest.mark.parametrize("host, script", CASES)
def test_a_script_that_uses_the_library(serve: Serve, host: str, script: Script) -> None:
    result = serve(host).client.execute(script.code, return_files=script.files)
    assert result.success, result
    assert not result.file_errors, result
    script.check(result.stdout, result.files)
    assert "Traceback" not in result.stderr
    record("scripts that use a library, each with the result that it should have")


@pytest.mark.parametrize("host", ["no mounts", "user, no mounts"])
@pytest.mark.parametrize("code", [script.code for script in SCRIPTS if script.library in READ_PROC])
def test_what_needs_a_file_tree_says_so(serve: Serve, host: str, code: str) -> None:
    """As docs/libraries.md does."""
    result = serve(host).client.execute(code)
    assert not result.success and "can't give runs a file tree" in str(result.hint), result


FRAMES = """
import numpy, pandas
from pyexec.child import last_value
frame = pandas.DataFrame({"name": ["a", "b|c"], "price": [1.5, None]}, index=["x", "y"])
found = last_value.describe(frame)
assert found["repr"].startswith("DataFrame of 2 rows × 2 columns: name "), found
assert found["markdown"] == "|  | name | price |\\n| --- | --- | --- |\\n| x | a | 1.5 |\\n| y | b\\\\|c | nan |", found
found = last_value.describe(pandas.DataFrame(numpy.zeros((500, 30))))
assert found["markdown"].endswith("500 rows × 30 columns; the first 20 × 10 are shown") and found["truncated"], found
found = last_value.describe(pandas.Series([1, 2], name="n"))
assert found["markdown"] == "|  | n |\\n| --- | --- |\\n| 0 | 1 |\\n| 1 | 2 |", found
"""


def test_frames_as_tables(python: str) -> None:
    subprocess.run([python, "-c", FRAMES], env=dict(os.environ, PYTHONPATH=ROOT), check=True)


def _load_example(browser: Any, url: str, title: str) -> None:
    browser.open(url)
    browser.until(lambda: title in browser.text("#examples"), "the examples of the libraries that are there")
    browser.button(title, "#examples").click()
    browser.until(lambda: "Loaded “%s”" % title in browser.text("#note"), "the example")
    assert browser.run() == "Finished", browser.text("#result")


def test_the_page_has_examples_of_what_is_installed(browser: Any, serve: Serve) -> None:
    served = serve("mounts")
    _load_example(browser, served.url, "Chart")
    picture = browser.download(browser.button("Download", ".file"), "figure-1.png")
    assert len(Image.open(io.BytesIO(picture)).convert("RGB").getcolors(1 << 20) or ()) > 10
    _load_example(browser, served.url, "Spreadsheet")
    assert "2023" in browser.text(".stdout pre")
    sheet = browser.download(browser.button("Download", ".file"), "sales.xlsx")
    assert "xl/worksheets/sheet1.xml" in zipfile.ZipFile(io.BytesIO(sheet)).namelist()


# The last line of a script, and the pictures that a model gets.
CHARTS = {
    "plt.plot([1, 2])": ["figure-1.png"],
    "plt.plot([1, 2])\nplt.show()": ["figure-1.png"],
    "plt.plot([1, 2])\nplt.savefig('a.png')\nplt.show()": ["a.png"],
    "plt.plot([1, 2])\nplt.savefig('a.png', dpi=50, bbox_inches='tight')": ["a.png"],
    "plt.plot([1, 2])\nplt.savefig('a.png')\nplt.title('x')": ["figure-1.png", "a.png"],
    "plt.axes()\nplt.savefig('a.png')\nplt.title('x')\nplt.savefig('b.pdf')\nplt.show()": ["figure-1.png", "a.png"],
    "plt.axes()\nplt.savefig('a.png')\nplt.title('x')\nplt.gcf().canvas.draw()\nplt.show()": ["figure-1.png", "a.png"],
    "fig, ax = plt.subplots()\nax.bar([1], [2])\nfig.savefig('a.png')\nfig.savefig('b.pdf')\nfig": ["a.png"],
    "import pandas\npandas.DataFrame({'a': [1, 2]}).plot()": ["figure-1.png"],
}


@pytest.mark.parametrize("code", CHARTS)
def test_a_model_sees_each_chart_once(serve: Serve, code: str) -> None:
    reply = ask_modern(serve("mounts").port, "tools/call", call("import matplotlib.pyplot as plt\n" + code))
    result = reply.document["result"]
    said = [line.partition(":")[0] for line in result["content"][0]["text"].splitlines() if "shown below" in line]
    assert sorted(said) == sorted(CHARTS[code]), result
    assert [block["type"] for block in result["content"][1:]] == ["image"] * len(said)
    assert " object at 0x" not in result["content"][0]["text"]
