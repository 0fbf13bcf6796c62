"""The image's target `data`: built, and asked over MCP for a chart whose characters matplotlib's own font lacks."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from typing import Any, List

from tests.prove_slow import places, report

NAME = "image"
TITLE = "\u65e5\u672c \u4e2d\u6587 \ud55c\uad6d\uc5b4"  # Japan, Chinese, Korean
CHART = f"""import matplotlib.pyplot as plt
plt.plot([1, 2, 3], [3, 1, 2])
plt.title({TITLE!r})
plt.savefig("chart.png")
"""
_BASE = "localhost/pyexec-debian"
_LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add none."""


def narrowed(options: argparse.Namespace) -> bool:
    """Return whether less was proved than the report says: never."""
    return False


def prove(options: argparse.Namespace) -> report.Section:
    """Build the image and have it draw."""
    subprocess.run(["sh", os.path.join(places.ROOT, "tests", "prove", "base-image")], check=True)
    podman = ["podman", "--runtime", str(shutil.which("runc"))]
    seconds = _build(podman)
    size = subprocess.check_output(podman + ["image", "inspect", "--format", "{{.Size}}", "localhost/pyexec-data"])
    said, pictures = _draw(podman)
    rows = [
        ("built on Debian 12, from what `git` has", f"in {seconds:.0f} s"),
        ("size", f"{int(size) // 1_000_000:,} MB"),
        (f"pictures of a chart with the title {TITLE}", pictures),
        ("characters missing from its fonts", said.count("missing from font")),
    ]
    body = (
        "`podman build --target data`, then the command of docs/agents.md with `--modules +data`, and one call of the tool"
        " that draws with matplotlib, without naming a font.\n\n" + report.table(("what", "found"), rows)
    )
    if said:
        body += f"\n\nThe script's text: `{said}`"
    return report.Section("The image with libraries and fonts for data", body, pictures == 1 and "Glyph" not in said)


def _build(podman: List[str]) -> float:
    """Build the image of this commit; return how many seconds that took."""
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as source:
        archive = subprocess.check_output(["git", "archive", "HEAD"], cwd=places.ROOT)
        subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
        # Packages are installed with this host's certificates and pip settings.
        command = [*podman, "build", "-q", "--format", "docker", "--network=host", "--build-arg", f"BASE={_BASE}"]
        for path in ("/etc/ssl/certs", "/etc/pip.conf"):
            command += ["-v", f"{path}:{path}:ro"] if os.path.exists(path) else []
        command += ["--target", "data", "-t", "localhost/pyexec-data", "-f", "Containerfile", "."]
        subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started_s


def _draw(podman: List[str]) -> Any:
    """Return what a call of the tool says beside the picture's name, and how many pictures come with it."""
    with open(os.path.join(places.ROOT, "docs", "agents.md"), encoding="utf-8") as file:
        blocks = re.findall(r"```json\n(.*?)```", file.read(), re.DOTALL)
    (entry,) = [json.loads(block)["mcpServers"]["pyexec"] for block in blocks if '"docker"' in block]
    run, *words = entry["args"]
    words[words.index("pyexec")] = "localhost/pyexec-data"
    start = {"protocolVersion": "2025-11-25", "capabilities": {}}
    call = {"name": "execute_python", "arguments": {"code": CHART}}
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": start},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
    ]
    command = [*podman, run, "--network=none", *_LIMITS, *words, "--modules", "+data"]
    asked = "".join(json.dumps(message) + "\n" for message in messages)
    answers = subprocess.run(command, input=asked, stdout=subprocess.PIPE, text=True, check=True, timeout=300).stdout
    (content,) = [
        answer["result"]["content"] for answer in map(json.loads, answers.splitlines()) if answer.get("id") == 2
    ]
    texts = [part["text"] for part in content if part["type"] == "text" and not part["text"].startswith("chart.png: ")]
    return "\n".join(texts), [part["type"] for part in content].count("image")
