"""What a user does: scripts, files, limits and shutdown over HTTP, from `requests`, our client, and curl."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest
import requests
from PIL import Image
from processes import await_that
from servers import ADMIN_KEY, RunningServer
from support import MIB, ROOT, check_error, check_timestamp, in_threads, log_entries

from pyexec.client import Client, ServiceError
from pyexec.runs import workdir

Post = Callable[..., Dict[str, Any]]


def attachment(filename: str, content: bytes) -> Dict[str, str]:
    return {"filename": filename, "content_base_64": base64.b64encode(content).decode("ascii")}


def post_to(url: str, headers: Optional[Dict[str, str]] = None, **fields: Any) -> requests.Response:
    """POST with `requests`, and check what every answer has."""
    answer = requests.post(url + "/execute", json=fields, headers=headers, timeout=60)
    document = answer.json()
    check_timestamp(document["timestamp_utc"])
    if answer.status_code != 200:
        check_error(document)
    return answer


def with_requests(url: str, **fields: Any) -> Dict[str, Any]:
    answer = post_to(url, **fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def with_client(url: str, **fields: Any) -> Dict[str, Any]:
    attachments = {
        item["filename"]: base64.b64decode(item["content_base_64"]) for item in fields.get("attachments", [])
    }
    client = Client(url, fields.get("api_key"), max_wait_s=0)
    result = client.execute(fields["code"], fields.get("stdin_data"), attachments, fields.get("return_files", ()))
    details = result.document["execution_details"]
    assert (result.success, result.stdout, result.exit_code) == (
        details["success"],
        details["stdout"],
        details["exit_code"],
    )
    assert set(result.files) | set(result.file_errors) == set(details["output_files"])
    return result.document


def with_curl(url: str, **fields: Any) -> Dict[str, Any]:
    command = [
        "curl",
        "-sS",
        "--fail-with-body",
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        "@-",
        url + "/execute",
    ]
    done = subprocess.run(
        command, input=json.dumps(fields).encode("utf-8"), stdout=subprocess.PIPE, timeout=60, check=True
    )
    return dict(json.loads(done.stdout.decode("utf-8")))


@pytest.fixture(params=[with_requests, with_client, with_curl], ids=["requests", "client", "curl"])
def post(request: Any, server: RunningServer) -> Post:
    """Each way to call the service, returning the document of a 200."""
    return lambda **fields: request.param(server.url, **fields)


def content_of(document: Dict[str, Any], name: str) -> bytes:
    entry = document["execution_details"]["output_files"][name]
    content = base64.b64decode(entry["content_base64"], validate=True)
    assert entry["size_bytes"] == len(content)
    return content


# -- the contract's examples, word for word ---------------------------------------------------------------------------


def test_a_sum(post: Post) -> None:
    details = post(code='print(f"The sum is {10 + 25}")')["execution_details"]
    assert (details["success"], details["exit_code"], details["stderr"]) == (True, 0, "")
    assert details["stdout"] == "The sum is 35\n"


def test_reading_a_name(post: Post) -> None:
    code = "import sys\nname = sys.stdin.read().strip()\nprint(f'Hello, {name}!')"
    document = post(code=code, stdin_data="Ada\n")
    assert document["execution_details"]["stdout"] == "Hello, Ada!\n"
    assert document["request_context"]["stdin_provided"] is True


def test_upper_casing_an_attachment(post: Post) -> None:
    code = "with open('input.txt') as f:\n    print(f.read().upper())"
    document = post(code=code, attachments=[attachment("input.txt", b"hello world")])
    assert document["execution_details"]["stdout"] == "HELLO WORLD\n"
    assert document["request_context"]["processed_attachments"] == [{"filename": "input.txt", "size_bytes": 11}]


def test_returning_a_written_file(post: Post) -> None:
    document = post(
        code="with open('result.txt', 'w') as f:\n    f.write('Hello, World!')", return_files=["result.txt"]
    )
    expected = {"result.txt": {"content_base64": "SGVsbG8sIFdvcmxkIQ==", "size_bytes": 13}}
    assert document["execution_details"]["output_files"] == expected


def test_counting_processors_as_admin(post: Post) -> None:
    document = post(code="import os; print(os.cpu_count())", api_key=ADMIN_KEY)
    assert int(document["execution_details"]["stdout"]) >= 1
    assert document["user_info"] == {"role": "admin", "rate_limits_applied": False}


def test_a_photo_to_grayscale(post: Post) -> None:
    photo = Image.effect_mandelbrot((320, 200), (-2, -1.2, 1, 1.2), 60).convert("L")
    photo = Image.merge("RGB", [photo, photo.rotate(180), photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])
    jpeg = io.BytesIO()
    photo.save(jpeg, "JPEG", quality=90)
    code = (
        "from PIL import Image\n"
        "with Image.open('input_photo.jpg') as img:\n"
        "    img.convert('L').save('output_grayscale.png')\n"
        "print('Image converted.')"
    )
    document = post(
        code=code, attachments=[attachment("input_photo.jpg", jpeg.getvalue())], return_files=["output_grayscale.png"]
    )
    assert document["execution_details"]["stdout"] == "Image converted.\n"
    with Image.open(io.BytesIO(content_of(document, "output_grayscale.png"))) as found:
        assert (found.format, found.mode, found.size) == ("PNG", "L", (320, 200))
        with Image.open(jpeg) as original:
            assert found.tobytes() == original.convert("L").tobytes()


# -- what the libraries are there for ---------------------------------------------------------------------------------

REPORTLAB = """
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table
page = SimpleDocTemplate('out.pdf', pagesize=A4)
page.build([Paragraph('Grüße', getSampleStyleSheet()['Title']), Table([['a', 'b'], [1, 2]])])
"""
FPDF = """
from fpdf import FPDF
pdf = FPDF()
pdf.add_page()
pdf.set_font('Helvetica', size=12)
pdf.cell(text='Hello, PDF')
pdf.output('out.pdf')
"""


@pytest.mark.parametrize("code", [REPORTLAB, FPDF], ids=["reportlab", "fpdf2"])
def test_a_pdf(server: RunningServer, code: str) -> None:
    document = with_requests(server.url, code=code, return_files=["out.pdf"])
    assert document["execution_details"]["stderr"] == ""
    content = content_of(document, "out.pdf")
    assert content.startswith(b"%PDF-1.") and content.rstrip().endswith(b"%%EOF")
    assert b"/Page" in content and len(content) > 500


def test_numpy(server: RunningServer) -> None:
    code = (
        "import numpy as np\n"
        "a = np.arange(1, 10001, dtype=float).reshape(100, 100)\n"
        "print(int(a.sum()), round(float(np.linalg.norm(a)), 3), np.linalg.matrix_rank(a))\n"
        "m = np.array([[2.0, 1.0], [1.0, 3.0]])\n"
        "print(np.linalg.solve(m, [3.0, 5.0]).tolist(), np.fft.fft([1, 0, 0, 0]).real.tolist())"
    )
    found = server.client.execute(code)
    assert (found.stderr, found.stdout) == ("", "50005000 577393.57 2\n[0.8, 1.4] [1.0, 1.0, 1.0, 1.0]\n")


LAZY = r"""
## strptime
import datetime
print(datetime.datetime.strptime('1 Mar 2024', '%d %b %Y').date())
## time.strptime
import time
print(time.strptime('2024', '%Y').tm_year)
## strftime
import datetime
print(datetime.date(2024, 3, 1).strftime('%A'))
## idna
print('bücher'.encode('idna').decode())
## old encodings
print('é'.encode('cp437'), 'あ'.encode('shift_jis'), 'é'.encode('utf-16-le'))
## unicode name
print('\N{BULLET}', __import__('unicodedata').name('é'))
## locale format
print(f'{1234567:n}', format(0.5, 'n'))
## decimal
from decimal import Decimal
print(Decimal(1) / 7, Decimal('2').sqrt())
## statistics
import statistics
print(statistics.NormalDist(0, 1).cdf(0), statistics.median([1, 2]))
## typing
import typing
class A:
    x: 'int' = 1
print(typing.get_type_hints(A))
## dataclass
import dataclasses
@dataclasses.dataclass
class A:
    x: int = 1
print(A(), dataclasses.asdict(A()))
## enum
import enum
class E(enum.Enum):
    A = enum.auto()
print(E.A)
## namedtuple
import collections
print(collections.namedtuple('P', 'x y')(1, 2))
## submodule
import collections.abc, html.parser, json.decoder
print(collections.abc.Sized.__name__)
## regex
import re
print(re.compile('(?i)É').search('xé').span(), re.sub('a', 'b', 'a'))
## ast
import ast
print(ast.literal_eval('[1, (2,)]'), ast.dump(ast.parse('x')))
## traceback
import traceback
try:
    1/0
except ZeroDivisionError:
    print(traceback.format_exc().splitlines()[-1])
## warning
import warnings
with warnings.catch_warnings(record=True) as w:
    warnings.warn('x')
print(len(w))
## hash
import hashlib
print(hashlib.sha256(b'').hexdigest()[:8], hashlib.new('md5', b'').hexdigest()[:8])
## random
import random, secrets, uuid
print(len(secrets.token_hex()), uuid.uuid4().version, random.Random(1).random())
## csv
import csv, io
print(list(csv.reader(io.StringIO('a,b'))), csv.Sniffer().sniff('a;b\nc;d').delimiter)
## copy
import copy
print(copy.deepcopy({1: [2]}))
## calendar
import calendar
print(calendar.monthrange(2024, 2), calendar.day_name[0])
## difflib
import difflib
print(list(difflib.ndiff(['a'], ['b'])))
## zlib
import zlib, binascii, struct, array
print(zlib.decompress(zlib.compress(b'x')), struct.pack('<H', 1))
## numpy lazily
import numpy as np
print(np.random.default_rng(1).integers(0, 9, 3).shape)
print(np.poly1d([1, 2])(3), np.ma.masked)
## numpy files
import numpy as np
np.save('a.npy', np.eye(2))
np.savez_compressed('b', x=np.eye(2))
print(np.load('a.npy').sum(), np.load('b.npz')['x'].sum())
## numpy text
import numpy as np, io
print(np.loadtxt(io.StringIO('1 2')))
print(np.genfromtxt(io.StringIO('3,4'), delimiter=','))
## numpy testing
import numpy
numpy.testing.assert_allclose(1, 1)
print('ok')
## pillow formats
from PIL import Image
for f in ('PNG', 'GIF', 'BMP', 'JPEG', 'TIFF', 'WEBP', 'PDF'):
    Image.new('RGB', (9, 9), 'red').save('x.' + f.lower(), f)
    if f != 'PDF':
        print(Image.open('x.' + f.lower()).format, end=' ')
## pillow drawing
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
i = Image.new('L', (40, 20))
ImageDraw.Draw(i).text((1, 1), 'hi', fill=255, font=ImageFont.load_default())
print(max(ImageOps.invert(i).getextrema()))
## pillow and numpy
from PIL import Image
import numpy as np
print(np.asarray(Image.fromarray(np.zeros((2, 3), 'uint8'))).shape)
## reportlab drawing
from reportlab.pdfgen import canvas
from reportlab.graphics.shapes import Drawing, Circle
from reportlab.graphics import renderPDF
c = canvas.Canvas('a.pdf')
d = Drawing(9, 9)
d.add(Circle(5, 5, 3))
renderPDF.draw(d, c, 0, 0)
c.save()
print('ok')
## reportlab barcode
from reportlab.graphics.barcode import qr
print(qr.QrCodeWidget('x').getBounds()[2] > 0)
## fpdf image
from fpdf import FPDF
from PIL import Image
Image.new('RGB', (9, 9)).save('a.png')
p = FPDF()
p.add_page()
p.image('a.png', w=9)
p.output('a.pdf')
print('ok')
## exception group
import sys
if sys.version_info >= (3, 11):
    print(eval('ExceptionGroup')('x', [ValueError()]))
else:
    print('x')
## help text
print((1).bit_length.__doc__ is not None, sum.__text_signature__ is not None)
## time zones
import sys
if sys.version_info >= (3, 9):
    import zoneinfo
    print(zoneinfo.ZoneInfo('Europe/Berlin').key)
else:
    print('zoneinfo came with 3.9')
"""
LAZY_SCRIPTS = dict(part.split("\n", 1) for part in LAZY.split("\n## ")[1:])


@pytest.mark.parametrize("name", LAZY_SCRIPTS)
def test_what_libraries_import_for_themselves_is_not_refused(server: RunningServer, name: str) -> None:
    result = server.client.execute(LAZY_SCRIPTS[name])
    assert (result.stderr, result.exit_code) == ("", 0)
    assert result.stdout.strip()


# -- much, and strange ------------------------------------------------------------------------------------------------


def test_eight_megabytes_in_and_out(server: RunningServer) -> None:
    content = random.Random(8).getrandbits(8 * 8 * MIB).to_bytes(8 * MIB, "big")
    code = "with open('in.bin', 'rb') as a, open('out.bin', 'wb') as b:\n    b.write(a.read())"
    document = with_requests(
        server.url, code=code, attachments=[attachment("in.bin", content)], return_files=["out.bin", "in.bin"]
    )
    assert document["request_context"]["processed_attachments"] == [{"filename": "in.bin", "size_bytes": 8 * MIB}]
    assert content_of(document, "out.bin") == content
    assert content_of(document, "in.bin") == content


def test_everything_at_its_largest(server: RunningServer) -> None:
    stdin = "\u20ac" * (8 * MIB // 3)
    first, second = bytes(8 * MIB), b"\xff" * (8 * MIB)
    code = "import sys\nprint(len(sys.stdin.buffer.read()), *[len(open(name, 'rb').read()) for name in 'ab'])\n"
    document = with_requests(
        server.url,
        code=code.ljust(2000, "#"),
        stdin_data=stdin,
        attachments=[attachment("a", first), attachment("b", second)],
        return_files=["a", "b"] + [str(number) for number in range(8)],
    )
    assert document["execution_details"]["stdout"] == "%d %d %d\n" % (len(stdin) * 3, 8 * MIB, 8 * MIB)
    assert (content_of(document, "a"), content_of(document, "b")) == (first, second)
    assert document["execution_details"]["output_files"]["7"] == {"error": "File not found after execution."}


def test_a_megabyte_from_stdin_to_stdout(server: RunningServer) -> None:
    text = "".join(random.Random(1).choices("abc xyz\n", k=MIB))
    result = server.client.execute("import sys; sys.stdout.write(sys.stdin.read())", text)
    assert result.stdout == text
    assert result.document["execution_details"]["stdout_truncated"] is False


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_is_cut_at_its_limit_and_flagged(server: RunningServer, stream: str) -> None:
    details = {}
    for extra in (0, 1):
        code = "import sys; sys.%s.write('x' * (1024 * 1024 + %d)); sys.%s.flush()" % (stream, extra, stream)
        details[extra] = server.client.execute(code).document["execution_details"]
    assert (len(details[0][stream]), details[0][stream + "_truncated"]) == (MIB, False)
    assert (len(details[1][stream]), details[1][stream + "_truncated"]) == (MIB, True)
    other = "stderr" if stream == "stdout" else "stdout"
    assert (details[1][other + "_truncated"], details[1]["success"]) == (False, True)


def test_a_cut_through_a_character(server: RunningServer) -> None:
    details = server.client.execute("print('x' + '€' * 400000)").document["execution_details"]
    assert details["stdout"] == "x" + "€" * ((MIB - 1) // 3)
    assert details["stdout_truncated"] is True


def test_every_alphabet_everywhere(post: Post) -> None:
    text = "Grüße, Привет, 你好, שלום, 😀, e\u0301, \u202e\u2028"
    name = "ключ 😀 é\u202e.txt"
    document = post(
        code="# %s\nnäme = input()\nwith open(%r, encoding='utf-8') as f:\n    print(näme == f.read() == %r)\n"
        "print(näme)\nwith open('out ' + %r, 'w', encoding='utf-8') as f:\n    f.write(näme)\n"
        "raise ValueError('ünï ' + näme)" % (text, name, text, name),
        stdin_data=text + "\n",
        attachments=[attachment(name, text.encode("utf-8"))],
        return_files=["out " + name, name],
    )
    details = document["execution_details"]
    assert details["stdout"] == "True\n" + text + "\n"
    assert details["stderr"].endswith("\nValueError: ünï " + text + "\n")
    assert (details["exit_code"], list(details["output_files"])) == (1, ["out " + name, name])
    assert content_of(document, "out " + name) == text.encode("utf-8")


@pytest.mark.parametrize(
    "code, stdout",
    [
        ("import sys; sys.stdout.buffer.write(b'a\\xff\\xfe\\xc3')", "a\ufffd\ufffd\ufffd"),
        ("import sys; sys.stdout.buffer.write(b'\\xed\\xa0\\x80')", "\ufffd\ufffd\ufffd"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)))", bytes(range(256)).decode("utf-8", "replace")),
        ("print('\\0\\x1b[2J\\r\\x7f')", "\0\x1b[2J\r\x7f\n"),
        ("print('</script>\\u2028\\\\\"')", '</script>\u2028\\"\n'),
    ],
)
def test_any_bytes_may_be_printed(server: RunningServer, code: str, stdout: str) -> None:
    assert server.client.execute(code).stdout == stdout


ODD_NAMES = [
    " ",
    " a b ",
    "-rf",
    "~",
    "*",
    "$(id)",
    "'\"",
    "...",
    ".hidden",
    "a" * 255,
    "é" * 127,
    "json.py",
    "numpy.py",
    "CON",
]
ODD_NAMES += [
    "\u2028",
    "\U0001f600",
    "e\u0301",
    "a;b|c&d",
    "%2e%2e",
    "sitecustomize.py",
    "script.pyc",
    "Script.py",
    "__init__.py",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_files_with_odd_names(server: RunningServer, name: str) -> None:
    code = (
        "import json, numpy\nwith open(%r, 'rb+') as f:\n    data = f.read()\n    f.write(data[::-1])\n"
        "print(json.dumps(len(data)))" % name
    )
    document = with_requests(
        server.url, code=code, attachments=[attachment(name, b"raise SystemExit(9)")], return_files=[name]
    )
    assert document["execution_details"]["stdout"] == "19\n"
    assert content_of(document, name) == b"raise SystemExit(9))9(tixEmetsyS esiar"


# -- files that can't be returned -------------------------------------------------------------------------------------


def outputs(server: RunningServer, code: str, names: List[str], **more: Any) -> Dict[str, Any]:
    document = with_requests(server.url, code=code, return_files=names, **more)
    assert document["execution_details"]["stderr"] == ""
    files = document["execution_details"]["output_files"]
    assert list(files) == names
    return dict(files)


def test_missing_files(server: RunningServer) -> None:
    names = ["none", "no/where", "a/b", "n" * 256, "x/" * 2000 + "x"]
    expected = {name: {"error": "File not found after execution."} for name in names}
    assert outputs(server, "open('a', 'w').close()", names) == expected


def test_files_up_to_the_limit_and_above(server: RunningServer) -> None:
    code = "for n in (8388608, 8388609):\n    with open(str(n), 'wb') as f:\n        f.truncate(n)"
    found = outputs(server, code, ["8388608", "8388609"])
    assert found["8388608"]["size_bytes"] == 8 * MIB
    assert base64.b64decode(found["8388608"]["content_base64"]) == bytes(8 * MIB)
    assert set(found["8388609"]) == {"error", "size_bytes"}
    assert (found["8388609"]["size_bytes"], "large" in found["8388609"]["error"]) == (8 * MIB + 1, True)


LINKS = """import os
os.symlink('/etc/passwd', 'a')
os.symlink('script.py', 'b')
os.symlink('/proc/self/environ', 'c')
os.symlink('.', 'd')
os.symlink('/', 'e')
os.symlink('nowhere', 'f')
os.symlink('g', 'g')"""


def test_no_link_is_followed(server: RunningServer) -> None:
    found = outputs(server, LINKS, ["a", "b", "c", "d", "f", "g"], api_key=ADMIN_KEY)
    assert found == {name: {"error": "Not a regular file."} for name in found}
    through = outputs(server, LINKS, ["e/etc/passwd", "d/script.py", "d/d/b"], api_key=ADMIN_KEY)
    assert through == {name: {"error": "File not found after execution."} for name in through}


def test_a_directory_is_no_file(server: RunningServer) -> None:
    names = [".", "dir"]
    found = outputs(server, "import os; os.mkdir('dir')", names, api_key=ADMIN_KEY)
    assert found == {name: {"error": "Not a regular file."} for name in names}


def test_a_directory_that_is_asked_for_costs_the_server_no_descriptor(tmp_path: Any) -> None:
    directory_fd = os.open(str(tmp_path), os.O_RDONLY)
    try:
        before = os.listdir("/proc/self/fd")
        for _ in range(3):
            list(workdir.collect(directory_fd, ["."], 100))
        assert os.listdir("/proc/self/fd") == before
    finally:
        os.close(directory_fd)


def test_no_pipe_can_be_planted(server: RunningServer) -> None:
    code = "import os\ntry:\n    os.mkfifo('f')\nexcept PermissionError:\n    print('refused')"
    result = server.admin.execute(code, return_files=["f"])
    assert (result.stdout, result.file_errors) == ("refused\n", {"f": "File not found after execution."})


def test_attachments_and_the_script_may_be_changed_and_returned(server: RunningServer) -> None:
    code = "open('a', 'w').write('new'); open('script.py', 'a').write('#')"
    document = with_requests(
        server.url, code=code, attachments=[attachment("a", b"old")], return_files=["a", "script.py"]
    )
    assert (content_of(document, "a"), content_of(document, "script.py")) == (b"new", code.encode("ascii") + b"#")


# -- scripts that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, exit_code, stderr",
    [
        ("1/0", 1, "ZeroDivisionError: division by zero\n"),
        ("raise SystemExit", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('no')", 1, "no\n"),
        ("raise SystemExit(256 + 7)", 7, ""),
        ("x = (", 1, "SyntaxError: "),
        ("  x = 1", 1, "IndentationError: unexpected indent\n"),
        ("raise KeyboardInterrupt", -2, "KeyboardInterrupt\n"),
        ("def f(): f()\nf()", 1, "RecursionError: "),
        ("assert False, 'é'", 1, "AssertionError: é\n"),
    ],
)
def test_a_script_that_fails_is_a_success_of_the_service(
    server: RunningServer, code: str, exit_code: int, stderr: str
) -> None:
    document = with_requests(server.url, code="print('before')\n" + code if "x = " not in code else code)
    details = document["execution_details"]
    assert (document["status"], details["success"], details["exit_code"]) == ("success", exit_code == 0, exit_code)
    last = details["stderr"].splitlines(True)[-1] if details["stderr"] else ""
    assert last.startswith(stderr) if stderr else details["stderr"] == ""


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    1/0\nf()",
        "import json\njson.loads('{')",
        "import numpy\nnumpy.array([1]).reshape(2, 2, 2)",
        "import nothing_here",
    ]
    + ["import numpy\nnumpy.nothing", "from PIL import Image\nImage.open('none')", "x = = 1"],
)
def test_a_traceback_shows_the_script_and_no_path_of_the_server(server: RunningServer, code: str) -> None:
    key = ADMIN_KEY if "nothing_here" in code else None
    details = with_requests(server.url, code=code, api_key=key)["execution_details"]
    files = re.findall(r'File "([^"]*)", line', details["stderr"])
    assert files[0] == "script.py"
    assert code.splitlines()[-1] in details["stderr"]
    for path in (ROOT, sys.prefix, sys.base_prefix + "/lib", os.path.dirname(os.__file__), "pyexec"):
        assert path not in details["stderr"]


# -- time -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quick() -> Iterator[RunningServer]:
    """A server that gives a script one second."""
    running = RunningServer({"rate_per_minute": 1000000, "rate_per_day": 1000000, "wall_s": 1})
    yield running
    assert running.stop() == 0, running.log


@pytest.mark.parametrize(
    "code",
    [
        "print('so far é', flush=True)\nwhile True: pass",
        "import sys, time\nprint('so far é')\nsys.stdout.flush()\ntime.sleep(60)\nprint('never')",
        "print('so far é', flush=True)\nwhile True:\n    try:\n        while 1: pass\n    except BaseException: pass",
        "print('so far é', flush=True)\nx = 10 ** 10 ** 8 % 7",
    ],
    ids=["busy", "asleep", "catching", "in C"],
)
def test_a_script_that_takes_too_long(quick: RunningServer, code: str) -> None:
    started = time.monotonic()
    answer = post_to(quick.url, code=code, return_files=["script.py"])
    took_s = time.monotonic() - started
    document = answer.json()
    details = document["execution_details"]
    assert (answer.status_code, document["error_details"]["type"]) == (400, "TimeoutError")
    assert "1 second" in document["error_details"]["message"]
    assert (details["success"], details["stdout"]) == (False, "so far é\n")
    assert content_of(document, "script.py") == code.encode("utf-8")
    assert 1 <= details["execution_duration_sec"] < 5 and 1 <= took_s < 10
    assert document["user_info"]["requests_today"] >= 1


def test_a_script_that_takes_its_time(quick: RunningServer) -> None:
    result = quick.client.execute("import time; time.sleep(0.2); print('done')")
    assert result.stdout == "done\n"
    assert 0.2 <= result.duration_s < 5


# -- keys and quotas --------------------------------------------------------------------------------------------------


def as_caller(address: str) -> Dict[str, str]:
    return {"X-Forwarded-For": address}


def outcome(answer: requests.Response) -> Any:
    document = answer.json()
    return answer.status_code, document.get("error_details", {}).get("type")


def test_requests_are_counted_and_then_refused(start_server: Callable[..., RunningServer]) -> None:
    running = start_server(rate_per_minute=3, rate_per_day=100)
    for used in (1, 2, 3):
        answer = post_to(running.url, code="1")
        assert answer.json()["user_info"] == {
            "ip_address": "127.0.0.1",
            "daily_quota_limit": 100,
            "requests_today": used,
            "requests_remaining_today": 100 - used,
        }
        assert answer.headers["RateLimit-Policy"] == '"minute";q=3;w=60, "day";q=100;w=86400'
        assert answer.headers["RateLimit"].startswith('"minute";r=%d;t=' % (3 - used))
    answer = post_to(running.url, code="1")
    assert outcome(answer) == (429, "RateLimitExceeded")
    assert "minute" in answer.json()["error_details"]["message"]
    assert 1 <= int(answer.headers["Retry-After"]) <= 20
    assert answer.headers["RateLimit"].startswith('"minute";r=0;t=')
    assert answer.json()["user_info"]["requests_today"] == 3
    # Somebody else, and the admin, go on.
    other = post_to(running.url, as_caller("198.51.100.1"), code="1").json()["user_info"]
    assert (other["ip_address"], other["requests_today"]) == ("198.51.100.1", 1)
    assert [running.admin.execute("1").success for _ in range(5)] == [True] * 5
    with pytest.raises(ServiceError) as caught:
        running.client.execute("1")
    assert caught.value.status == 429 and caught.value.retry_after_s is not None


def test_the_day_is_used_up(start_server: Callable[..., RunningServer]) -> None:
    running = start_server(rate_per_minute=1000, rate_per_day=2)
    assert [outcome(post_to(running.url, code="1"))[0] for _ in range(2)] == [200, 200]
    answer = post_to(running.url, code="1")
    assert outcome(answer) == (429, "RateLimitExceeded")
    assert answer.json()["error_details"]["message"] == "Daily quota of 2 exceeded."
    assert answer.json()["user_info"]["requests_remaining_today"] == 0
    assert 1 <= int(answer.headers["Retry-After"]) <= 86400
    # The same network is the same caller, another is another.
    addresses = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::", "2001:db8:0:1::"]
    assert [outcome(post_to(running.url, as_caller(one), code="1"))[0] for one in addresses] == [200, 200, 429, 200]
    spoofed = ["garbage", "", "198.51.100.9, garbage", "127.0.0.1"]
    assert [outcome(post_to(running.url, as_caller(one), code="1"))[0] for one in spoofed] == [429] * 4


@pytest.mark.parametrize("how", ["field", "header"])
def test_a_wrong_key_is_a_guess_and_no_run(start_server: Callable[..., RunningServer], how: str) -> None:
    running = start_server(rate_per_minute=3)

    def guess(key: str, **headers: str) -> Any:
        if how == "field":
            return post_to(running.url, headers, code="print(1)", api_key=key)
        return post_to(running.url, dict(headers, Authorization="Bearer " + key), code="print(1)")

    used_before = as_caller("192.0.2.78")
    assert outcome(post_to(running.url, used_before, code="print(1)", api_key=ADMIN_KEY)) == (200, None)
    for address in ({}, used_before):
        for key in ("x", ADMIN_KEY[:-1].replace("ö", "o"), "None"):
            answer = guess(key, **address)
            assert outcome(answer) == (401, "AuthenticationError")
            assert answer.json()["user_info"]["requests_today"] == 0
            assert "WWW-Authenticate" in answer.headers
        answer = guess("x", **address)
        assert outcome(answer) == (429, "RateLimitExceeded")
        assert answer.json()["error_details"]["message"] == "Limit of 3 wrong API keys per minute exceeded."
        retry_after_s = answer.json()["error_details"]["retry_after_sec"]
        assert 1 <= retry_after_s == int(answer.headers["Retry-After"]) <= 20
    # No other key gets in from there for now, or guessing would know no rate; but where it was used before, and runs
    # without one, are not touched.
    admin = {"code": "print(1)", "api_key": ADMIN_KEY}
    assert outcome(post_to(running.url, **admin)) == (429, "RateLimitExceeded")
    assert outcome(post_to(running.url, used_before, **admin)) == (200, None)
    assert outcome(post_to(running.url, as_caller("192.0.2.77"), **admin)) == (200, None)
    assert [outcome(post_to(running.url, code="1"))[0] for _ in range(4)] == [200] * 3 + [429]


def test_what_a_refused_request_costs(start_server: Callable[..., RunningServer]) -> None:
    running = start_server(rate_per_minute=8, rate_per_day=100, wall_s=1)
    used = 0

    def cost(raw: Any, status: int, runs: int, **headers: str) -> None:
        nonlocal used
        raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
        headers = dict({"Content-Type": "application/json"}, **headers)
        answer = requests.post(running.url + "/execute", data=raw, headers=headers, timeout=60)
        assert (answer.status_code, answer.json()["user_info"].get("requests_today")) == (status, used + runs), raw[:50]
        used += runs

    large, longest_free = {"code": "1", "x": "y" * 65536}, b'{"code": "' + b"y" * (65536 - 12) + b'"}'
    assert len(longest_free) == 65536
    cost({"code": ""}, 400, 0)
    cost(longest_free, 400, 0)
    cost(longest_free + b" ", 400, 1)
    cost(b"\xff" * 70000, 400, 1)
    cost({"code": "import os"}, 400, 1)
    cost({"code": "while True: pass"}, 400, 1)
    cost({"code": "1/0"}, 200, 1)
    cost({"code": "1"}, 415, 0, **{"Content-Encoding": "gzip"})
    cost({"code": "1", "api_key": "x"}, 401, 0)
    # A guess is one however it is wrapped up, and the key is looked at before what is wrong with the body is told.
    cost(large, 401, 0, Authorization="Bearer x")
    answer = requests.post(
        running.url + "/execute", json=large, headers={"Authorization": b"Bearer " + ADMIN_KEY.encode()}, timeout=60
    )
    assert (outcome(answer), answer.json()["user_info"]["role"]) == ((400, "ValidationError"), "admin")
    cost(large, 400, 1)
    while used < 8:
        cost({"code": "1"}, 200, 1)
    cost(large, 429, 0)


@pytest.mark.parametrize("key", ["a b:c", "ключ", "voilà", "Å"])
def test_any_key_works_as_field_and_as_header(start_server: Callable[..., RunningServer], key: str) -> None:
    running = start_server(environment={"PYTHON_EXE_KEY": key})
    code = "import os; print(os.path.sep)"
    assert outcome(post_to(running.url, code=code, api_key=key)) == (200, None)
    for scheme in ("Bearer ", "bearer ", "BEARER  "):
        header = (scheme + key).encode("utf-8")
        assert outcome(post_to(running.url, {"Authorization": header}, code=code)) == (200, None)
    assert Client(running.url, key).execute(code).stdout == "/\n"
    assert outcome(post_to(running.url, {"Authorization": "Basic eDp4"}, code="1")) == (200, None)


def test_a_server_without_a_key_takes_none(start_server: Callable[..., RunningServer]) -> None:
    running = start_server(wrapper=["env", "-u", "PYTHON_EXE_KEY"], rate_per_minute=100)
    assert outcome(post_to(running.url, code="print(1)")) == (200, None)
    for key in ("", " ", "x", "None", "null", ADMIN_KEY):
        assert outcome(post_to(running.url, code="1", api_key=key)) == (401, "AuthenticationError")
        header = {"Authorization": b"Bearer " + key.encode("utf-8")}
        assert outcome(post_to(running.url, header, code="1")) == (401, "AuthenticationError")
    assert "no admin key" in running.log


# -- a full server ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def asleep(running: RunningServer, count: int, seconds: float, address: str) -> Iterator[List[Any]]:
    """Keep so many scripts asleep; yields what they were answered, complete at the end."""
    answers: List[Any] = []

    def work() -> None:
        code = "import time\ntime.sleep(%r)\nprint('slept')" % seconds
        answers.append(post_to(running.url, as_caller(address), code=code))

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    await_that(lambda: running.client.health()["active_runs"] == count, what="%d scripts asleep" % count)
    yield answers
    for thread in threads:
        thread.join()


def test_a_full_server_says_so_and_charges_nobody(start_server: Callable[..., RunningServer]) -> None:
    running = start_server(max_runs=2, rate_per_minute=4)
    with asleep(running, 2, 6.0, "198.51.100.1") as sleepers:
        for _ in range(8):  # twice what the caller has in a minute
            answer = post_to(running.url, code="print(1)")
            assert outcome(answer) == (503, "ServerBusy")
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.headers["RateLimit"].startswith('"minute";r=4;t=0')
            document = answer.json()
            assert document["server_status"] == {
                "load": "high",
                "active_processes_at_request": 2,
                "max_concurrent_processes": 2,
            }
            assert document["user_info"]["requests_today"] == 0
        with pytest.raises(ServiceError) as caught:
            running.admin.execute("1")
        assert (caught.value.type, caught.value.retry_after_s) == ("ServerBusy", 1)
        health = running.client.health()
        assert (health["active_runs"], health["max_runs"]) == (2, 2)
    assert [answer.json()["execution_details"]["stdout"] for answer in sleepers] == ["slept\n"] * 2
    assert sorted(answer.json()["server_status"]["active_processes_at_request"] for answer in sleepers) == [0, 1]
    await_that(lambda: running.client.health()["active_runs"] == 0, what="slots given back")
    document = post_to(running.url, code="print(1)").json()
    assert (document["server_status"]["load"], document["user_info"]["requests_today"]) == ("normal", 1)


def test_many_callers_at_once_are_each_answered(server: RunningServer) -> None:
    def work(place: int) -> Any:
        answer = post_to(server.url, as_caller("198.51.100.%d" % place), code="print(%d)" % place)
        if answer.status_code == 503:
            return "busy"
        return answer.json()["execution_details"]["stdout"] == "%d\n" % place

    results = in_threads(40, work)
    assert set(results) <= {True, "busy"}
    assert results.count(True) >= 5
    await_that(lambda: server.client.health()["active_runs"] == 0, what="all slots given back")


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_lets_scripts_end(
    start_server: Callable[..., RunningServer], number: int
) -> None:
    running = start_server()
    idle = requests.Session()
    assert idle.get(running.url + "/health", timeout=30).headers["Connection"] == "keep-alive"

    def refused() -> bool:
        try:
            requests.get(running.url + "/health", timeout=30)
        except requests.ConnectionError:
            return True
        return False

    with asleep(running, 1, 4.0, "198.51.100.1") as sleepers:
        running.process.send_signal(number)
        await_that(refused, what="no new connection taken")
        assert "draining" in running.log and not sleepers
    idle.close()
    (answer,) = sleepers
    assert (answer.status_code, answer.json()["execution_details"]["stdout"]) == (200, "slept\n")
    assert answer.headers["Connection"] == "close"
    assert running.process.wait(30) == 0
    assert log_entries(running.log)[-1]["message"] == "stopped"


def test_a_server_with_nothing_to_do_stops_at_once(start_server: Callable[..., RunningServer]) -> None:
    running = start_server()
    started = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - started < 5


def test_the_client_tells_what_went_wrong(server: RunningServer) -> None:
    with pytest.raises(ValueError, match="http://"):
        Client("localhost:5000")
    with pytest.raises(ServiceError) as caught:
        Client(server.url + "/").call("GET", "/nothing")
    assert (caught.value.status, caught.value.type, caught.value.retry_after_s) == (404, "NotFound", None)
    known = "/execute, /mcp, /health, /about, /metrics, /openapi.json, /"
    assert str(caught.value) == "NotFound: There is nothing at this path; there is %s." % known
    assert Client(server.url + "/").health()["status"] == "ok"
