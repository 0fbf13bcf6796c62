"""Entry point of ``python -m pyexec``."""

import os
import subprocess
import sys

if sys.platform != "linux":
    sys.exit("pyexec: confining scripts needs Linux; this system is %s." % sys.platform)
if sys.version_info < (3, 8):
    sys.exit("pyexec: Python 3.8 or newer is needed; this is %s." % sys.version.split()[0])

from pyexec.cli.main import main

if __name__ == "__main__":
    if sys.getfilesystemencoding() != "utf-8":
        # Names of files come as UTF-8 and are none in Latin-1, say; which encoding holds is settled before this line.
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        os.execv(sys.executable, [sys.executable, *flags, "-X", "utf8", "-m", "pyexec", *sys.argv[1:]])
    sys.exit(main())
