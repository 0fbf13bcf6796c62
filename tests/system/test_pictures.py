"""Pictures that a script shows come back as if they had been asked for; what it says of them obeys the caller's rules."""

from __future__ import annotations

import json

import pytest

SHOW = "from PIL import Image\nImage.new('RGB', (4, 3), 'red').show()\n"
FORGE = "import os\nopen('a.txt', 'w').write('mine')\nos.symlink('/etc/passwd', 'link')\nos.write(3, b'R' + %r)\nos.write(3, b'X{\"code\":0}')\n"


def test_a_picture_that_is_shown_comes_back(either_host) -> None:
    for client in (either_host.client, either_host.admin):
        result = client.execute(SHOW + "print('shown')")
        assert (result.stdout, result.stderr) == ("shown\n", "")
        assert result.files["figure-1.png"].startswith(b"\x89PNG")


HIDDEN = {
    "an attached module": (
        "import helper\nhelper.draw()",
        {"helper.py": b"from PIL import Image\n\ndef draw():\n    " + SHOW.splitlines()[1].encode()},
    ),
    "a name that is built": ("Image = __import__('PI' + 'L.Image').Image\n" + SHOW.splitlines()[1], {}),
}


@pytest.mark.parametrize("where", HIDDEN)
def test_a_picture_comes_back_wherever_its_library_is_named(either_host, where) -> None:
    code, attachments = HIDDEN[where]
    for client in (either_host.client, either_host.admin):
        result = client.execute(code + "\nprint('shown')", attachments=attachments)
        assert (result.stdout, result.stderr) == ("shown\n", "")
        assert list(result.files) == ["figure-1.png"]


AVIF = """
import random
from PIL import Image, features
if not features.check("avif"):
    print((64, 64)); raise SystemExit
random._os.sched_getaffinity, random._os.cpu_count = (lambda _: range(64)), (lambda: 64)
Image.linear_gradient("L").resize((64, 64)).convert("RGB").save("a.avif")
with Image.open("a.avif") as again:
    again.load()
print(again.size)
"""


def test_avif_works_however_many_processors_there_are(either_host) -> None:
    """Pillow would start a thread for each; a run may have 32."""
    for client in (either_host.client, either_host.admin):
        result = client.execute(AVIF)
        assert (result.stdout, result.stderr) == ("(64, 64)\n", "")


def test_what_was_asked_for_goes_first(either_host) -> None:
    names = ["figure-1.png"] + ["file-%d" % number for number in range(8)]
    code = "for number in range(8): open('file-%d' % number, 'w').write('x')\n" + SHOW * 3
    result = either_host.client.execute(code, return_files=names)
    assert list(result.files) == [*names, "figure-2.png"]


def test_a_picture_that_cannot_be_written_is_told_of_in_the_hint(either_host) -> None:
    code = "from PIL import Image\nfor _ in range(11): Image.new('L', (1, 1)).show()\nprint(1)"
    result = either_host.client.execute(code)
    assert result.success and len(result.files) == 10
    assert "only the first 10 pictures" in result.document["execution_details"]["hint"]


@pytest.mark.parametrize(
    "names", [["../a.txt"], ["/etc/passwd"], ["a\0b"], [7], "a.txt", ["x" * 300], ["a.txt"] * 11, {"a.txt": 1}]
)
def test_names_that_nobody_may_ask_for_are_dropped(either_host, names) -> None:
    message = json.dumps({"shown": {"names": names, "troubles": []}}).encode()
    result = either_host.admin.execute(FORGE % message)
    assert result.success and result.files == {} and result.file_errors == {}


def test_a_script_can_name_its_own_files_alone(either_host) -> None:
    message = json.dumps({"shown": {"names": ["a.txt", "link", "none", "script.py/x"], "troubles": []}}).encode()
    result = either_host.admin.execute(FORGE % message)
    assert result.files == {"a.txt": b"mine"} and result.file_errors == {}
