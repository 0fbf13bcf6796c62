"""The jobs that every server runs, and the checks that an answer is right."""

from __future__ import annotations

import base64
import io
import json
import random
from dataclasses import dataclass
from typing import Any, Callable

MIB = 1 << 20


@dataclass(frozen=True)
class Job:
    """One script with its files. `check` takes an answer's body and raises AssertionError unless it is right."""

    name: str
    title: str
    request: dict[str, Any]
    check: Callable[[bytes], None]

    def body(self) -> bytes:
        """Return the body of the request."""
        return json.dumps(self.request).encode()


def _details(body: bytes) -> dict[str, Any]:
    details: dict[str, Any] = json.loads(body)["execution_details"]
    assert details["exit_code"] == 0, details
    return details


def _prints(expected: str) -> Callable[[bytes], None]:
    def check(body: bytes) -> None:
        stdout = _details(body)["stdout"]
        assert stdout == expected, f"{stdout[:200]!r} instead of {expected[:200]!r}"

    return check


def _returns(name: str, right: Callable[[bytes], bool]) -> Callable[[bytes], None]:
    def check(body: bytes) -> None:
        details = _details(body)
        content = base64.b64decode(details["output_files"][name].get("content_base64", ""))
        assert right(content), f"{name} is wrong: {content[:40]!r}… of {len(content)} bytes"

    return check


def _attached(name: str, content: bytes) -> list[dict[str, str]]:
    return [{"filename": name, "content_base_64": base64.b64encode(content).decode()}]


def _photo(width: int, height: int) -> bytes:
    """Return a JPEG that is as hard to compress as a photo: soft shapes under some noise, the same each time."""
    from PIL import Image

    def noise(wide: int, high: int) -> Image.Image:
        return Image.frombytes("RGB", (wide, high), bits(wide * high * 24).to_bytes(wide * high * 3, "big"))

    bits = random.Random(1).getrandbits
    soft = noise(width // 16, height // 16).resize((width, height), Image.Resampling.BICUBIC)
    grain = noise(width, height)
    out = io.BytesIO()
    Image.blend(soft, grain, 0.03).save(out, "JPEG", quality=88)
    return out.getvalue()


def _is_gray_png(width: int, height: int) -> Callable[[bytes], bool]:
    head = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + b"IHDR"
    # Eight bits a pixel, colour type 0: gray.
    head += width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00"
    return lambda content: content.startswith(head) and content.endswith(b"IEND\xaeB`\x82")


_PDF = """\
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen import canvas

page = canvas.Canvas("report.pdf", pagesize=A4)
page.setFont("Helvetica-Bold", 16)
page.drawString(72, 780, "Report")
page.setFont("Helvetica", 10)
for line in range(40):
    page.drawString(72, 750 - 16 * line, "Line %d: %d squared is %d" % (line, line, line * line))
    page.line(72, 747 - 16 * line, 500, 747 - 16 * line)
page.showPage()
page.save()
"""


def _is_pdf(content: bytes) -> bool:
    return content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF") and b"/Count 1" in content


def _big_out() -> Job:
    encoded = base64.b64encode(bytes(range(256)) * (8 * MIB // 256))

    def check(body: bytes) -> None:
        # Not parsed: that would take longer than what is being measured.
        at = body.find(b'"content_base64"')
        start = body.find(encoded[:64], at)
        assert at >= 0 and start >= 0 and body.startswith(encoded, start), "not the 8 MB that were written"
        assert body[start + len(encoded) : start + len(encoded) + 1] == b'"'

    code = f'with open("big.bin", "wb") as file:\n    file.write(bytes(range(256)) * {8 * MIB // 256})'
    return Job("8mb-out", "8 MB out", {"code": code, "return_files": ["big.bin"]}, check)


def make() -> list[Job]:
    """Return all jobs. Needs Pillow, for the photo."""
    width, height = 400, 300
    text = "".join(f"{number:063d}\n" for number in range(MIB // 64))
    data = random.Random(2).getrandbits(8 * 8 * MIB).to_bytes(8 * MIB, "big")
    gray = 'from PIL import Image\nImage.open("input_photo.jpg").convert("L").save("output_grayscale.png")'
    numpy = "import numpy as np\nprint(int(np.arange(1000).sum()))"
    # A sample from the whole file, since reading all of it would take longer than the transfer.
    sample = 'with open("big.bin", "rb") as file:\n    data = file.read()\nprint(len(data), data[::65521].hex())'
    return [
        Job("print", "print(1)", {"code": "print(1)"}, _prints("1\n")),
        Job("numpy", "numpy", {"code": numpy}, _prints("499500\n")),
        Job(
            "photo",
            "photo to grayscale",
            {
                "code": gray,
                "attachments": _attached("input_photo.jpg", _photo(width, height)),
                "return_files": ["output_grayscale.png"],
            },
            _returns("output_grayscale.png", _is_gray_png(width, height)),
        ),
        Job("pdf", "PDF", {"code": _PDF, "return_files": ["report.pdf"]}, _returns("report.pdf", _is_pdf)),
        Job(
            "stdin",
            "1 MB stdin to stdout",
            {"code": "import sys\nsys.stdout.write(sys.stdin.read())", "stdin_data": text},
            _prints(text),
        ),
        Job(
            "8mb-in",
            "8 MB in",
            {"code": sample, "attachments": _attached("big.bin", data)},
            _prints(f"{len(data)} {data[::65521].hex()}\n"),
        ),
        _big_out(),
    ]
