"""Entry of the commands `pyexec` and `python -m pyexec`: checks for what the rest can't be imported without."""

import sys

from pyexec import off_linux


def main(program: str = "pyexec") -> int:
    """Carry out one command and return the exit status; `program` is what its help calls it."""
    if sys.version_info < (3, 8):
        sys.exit(f"pyexec: Python 3.8 or newer is needed; this is {sys.version.split()[0]}.")
    if sys.platform != "linux":
        sys.exit("pyexec: " + off_linux.explanation())
    from pyexec.cli.main import main as carry_out

    return carry_out(program=program)


if __name__ == "__main__":
    sys.exit(main("python -m pyexec"))
