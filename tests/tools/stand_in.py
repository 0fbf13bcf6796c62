"""A stand-in for matplotlib, installed where servers find it: what `child.show` uses of it, and pictures that are some."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

METADATA_VERSION, VERSION = "9.8", "9.8.7"  # of the distribution, and what the module says once it is loaded
_SOURCES = {
    # Slow, so that a first run comes before it is loaded ahead.
    "__init__": "import time\ntime.sleep(1.5)\n__version__ = %r\n" % VERSION,
    "_pylab_helpers": """
class Gcf:
    managers = []
    @classmethod
    def get_all_fig_managers(cls):
        return list(cls.managers)
""",
    "backend_bases": """
class FigureCanvasBase:
    def __init__(self, figure):
        self.figure = figure
    def print_figure(self, filename, **options):
        from PIL import Image
        Image.new("RGB", (4, 3), "white").save(filename, "PNG")
""",
    "lines": "class Line2D:\n    pass\n",
    "figure": """
from matplotlib.backend_bases import FigureCanvasBase
class Figure:
    stale = True
    def __init__(self):
        self.canvas, self.children = FigureCanvasBase(self), ["background"]
    def get_children(self):
        return self.children
    def draw(self, renderer):
        self.stale = False
    def savefig(self, name, **options):
        self.canvas.print_figure(name, **options)
""",
    "pyplot": """
import types
from matplotlib._pylab_helpers import Gcf
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
def plot(values):
    if not Gcf.managers:
        Gcf.managers.append(types.SimpleNamespace(canvas=Figure().canvas))
    Gcf.managers[-1].canvas.figure.children.append(Line2D())
    return [Line2D()]
def savefig(name):
    Gcf.managers[-1].canvas.figure.savefig(name)
def close(which):
    Gcf.managers.clear()
def show():
    pass
""",
}


def python_with_it(above: Path) -> str:
    """Make a virtual environment below a directory, with what we have and the stand-in; return its interpreter."""
    above.chmod(0o755)
    subprocess.check_call([sys.executable, "-m", "venv", "--without-pip", str(above / "venv")])
    (home,) = above.glob("venv/lib/python*/site-packages")
    package, about = home / "matplotlib", home / ("matplotlib-%s.dist-info" % METADATA_VERSION)
    for directory in (package, about):
        directory.mkdir()
    for name, source in _SOURCES.items():
        (package / (name + ".py")).write_text(source)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: matplotlib\nVersion: %s\n" % METADATA_VERSION)
    paths = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")}
    (home / "ours.pth").write_text("\n".join(sorted(paths)) + "\n")
    return str(above / "venv" / "bin" / "python")
