"""What runs in a guest, a machine that `kernels` emulates: doctor, a server with a request, and every attack.

As root, and then again as an ordinary user. Each finding is a line on the console, marked so that it is told from what the kernel says there. Only the standard
library and the scripts' libraries are needed. The judgement of the attacks is the test suite's own, in `laboratory`.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from typing import Any, Dict

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ROOT, os.path.join(ROOT, "tests", "tools")]

import claims  # noqa: E402
import laboratory  # noqa: E402

from pyexec.client import Client  # noqa: E402

MARK = "PYEXEC-GUEST "
_START_S = 240
_ATTACK_S = 60
_USER = 1000
_ROLE = "root" if os.geteuid() == 0 else "user"
_SIZE = (320, 200)
# The contract's example: a photo in, its grayscale version out.
_PHOTO = """
from PIL import Image
with Image.open('input_photo.jpg') as img:
    img.convert('L').save('output_grayscale.png')
print('Image converted.')
"""


def say(kind: str, **words: Any) -> None:
    """Write one finding."""
    # In one write, and on a line of its own whatever the kernel wrote before.
    os.write(1, ("\n" + MARK + json.dumps([_ROLE, kind, words]) + "\n").encode())


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _command(*words: str) -> Any:
    environment = dict(os.environ, PYTHONPATH=ROOT)
    return dict(args=[sys.executable, "-m", "pyexec", *words], env=environment, stdin=subprocess.DEVNULL, cwd="/")


def doctor() -> None:
    """Say what `doctor` says of this kernel."""
    done = subprocess.run(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **_command("doctor"))
    say("doctor", status=done.returncode, text=done.stdout, uptime=_uptime())


def serve() -> None:
    """Start a server with the default settings, send it the photo, and stop it."""
    process = subprocess.Popen(**_command())
    try:
        client = Client("http://127.0.0.1:5000", max_wait_s=0)
        say("server", layers=_health(process, client)["layers"])
        say("photo", trouble=_photo(client))
    finally:
        process.terminate()
        say("stopped", status=process.wait())


def _health(process: subprocess.Popen[Any], client: Client) -> Dict[str, Any]:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            return client.health()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _photo(client: Client) -> str:
    """Return what is wrong with the answer; empty if it is right."""
    from PIL import Image

    gradient = Image.linear_gradient("L").resize(_SIZE)
    photo, jpeg = Image.merge("RGB", [gradient, gradient.rotate(180), gradient]), io.BytesIO()
    photo.save(jpeg, "JPEG", quality=90)
    result = client.execute(
        _PHOTO, attachments={"input_photo.jpg": jpeg.getvalue()}, return_files=["output_grayscale.png"]
    )
    if not result.success or result.stdout != "Image converted.\n":
        return "it said %r and %r" % (result.stdout, result.stderr)
    content = io.BytesIO(result.files["output_grayscale.png"])
    with Image.open(content) as found, Image.open(jpeg) as original:
        if (found.format, found.mode, found.size) != ("PNG", "L", _SIZE):
            return "it is %s, %s, %s" % (found.format, found.mode, found.size)
        return "" if found.tobytes() == original.convert("L").tobytes() else "it is another picture"


def attack() -> None:
    """Try every attack without layers, behind each alone and behind all of them; say of each what came of it."""
    os.environ["LAB_DEADLINE_S"] = str(_ATTACK_S)
    with laboratory.opened() as here:
        say("attacks", names=laboratory.HERE, landlock_abi=here.landlock_abi(), layers=here.available())
        for name in laboratory.HERE:
            started = time.monotonic()
            control, troubles = here.control(name), []
            shown = not laboratory.is_not_offered(here, name)
            if shown and control != laboratory.expected(claims.claims(name), "control"):
                troubles.append("without layers: %s" % control)
            for judge in (laboratory.each_alone, lambda *of: laboratory.contained_by_all(*of, None)):
                try:
                    judge(here, name)
                except AssertionError as error:
                    troubles.append(str(error))
            seconds = time.monotonic() - started
            say("attack", name=name, open=control in claims.SUCCESS, troubles=troubles, seconds=seconds)


def main() -> None:
    """Find out everything; what breaks is said too, and the rest goes on. As root, leave the rest to a user."""
    say("kernel", release=os.uname().release, version=os.uname().version, machine=os.uname().machine)
    for part in (doctor, serve, attack):
        try:
            part()
        except Exception as error:
            say("broken", part=part.__name__, why="%s: %s" % (type(error).__name__, error))
    say("end", uptime=_uptime())
    if _ROLE == "root":
        home = dict(os.environ, HOME="/tmp")
        subprocess.run([sys.executable, __file__], env=home, user=_USER, group=_USER, extra_groups=[], check=True)


if __name__ == "__main__":
    main()
