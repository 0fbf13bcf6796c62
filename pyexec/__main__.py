"""Entry point of ``python -m pyexec``."""

import sys

if sys.platform != "linux":
    sys.exit("pyexec: confining scripts needs Linux; this system is %s." % sys.platform)
if sys.version_info < (3, 8):
    sys.exit("pyexec: Python 3.8 or newer is needed; this is %s." % sys.version.split()[0])

from pyexec.cli import main

if __name__ == "__main__":
    sys.exit(main())
