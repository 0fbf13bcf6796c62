"""What to say where this isn't Linux. Loads on any system, and on Pythons that are too old for the rest."""

import sys

_NAMES = {"darwin": "macOS", "win32": "Windows", "cygwin": "Windows"}
CONTAINER = (
    "docker run --rm -p 127.0.0.1:5000:5000 --read-only --tmpfs /tmp:size=512m --cap-drop ALL"
    " --security-opt no-new-privileges pyexec --allowed-hosts localhost"
)


def explanation() -> str:
    """Return what is missing, and the way that is left: a container, whose kernel is Linux."""
    return (
        f"Running scripts needs Linux, whose kernel confines them; this is {_NAMES.get(sys.platform, sys.platform)}."
        " In a container it works, from a copy of pyexec's sources:\n\n"
        f"  docker build -t pyexec -f Containerfile .\n  {CONTAINER}\n\n"
        "pyexec.client, which calls a server, works here as well."
    )
