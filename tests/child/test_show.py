"""Pictures that a script shows come back as files, whatever the picture; showing one never fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest
from support import ROOT

# A stand-in with what `show` uses of matplotlib, which these tests can't count on.
MATPLOTLIB = {
    "__init__": "",
    "figure": """
import types
from matplotlib.backend_bases import FigureCanvasBase
class Figure:
    fails = False
    stale = True
    def __init__(self):
        self.children = ["background", "axes"]
        self.canvas = FigureCanvasBase()
        self.canvas.figure = self
    def get_children(self):
        return self.children
    def draw(self, renderer):
        self.stale = False
    def savefig(self, path, format=None):
        self.canvas.print_figure(path, format=format)
    def show(self, warn=True):
        raise RuntimeError("no screen")
""",
    "backend_bases": """
class FigureCanvasBase:
    def draw(self):
        self.figure.draw("renderer")
    def print_figure(self, path, format=None):
        self.figure.stale = True  # as its size is the file's
        self.draw()
        if self.figure.fails:
            raise ValueError("no such colour")
        self.figure.stale = True  # as its size is put back
        if isinstance(path, str):
            with open(path if "." in path.rpartition("/")[2] else path + ".png", "w") as file:
                file.write(format or "png")
""",
    "_pylab_helpers": """
import types
class Gcf:
    figures = []
    @classmethod
    def get_all_fig_managers(cls):
        return [types.SimpleNamespace(canvas=types.SimpleNamespace(figure=figure)) for figure in cls.figures]
""",
    "pyplot": """
from matplotlib._pylab_helpers import Gcf
from matplotlib.figure import Figure
def figure():
    Gcf.figures.append(Figure())
    return Gcf.figures[-1]
def savefig(path):
    Gcf.figures[-1].savefig(path)
    Gcf.figures[-1].canvas.draw()  # to put colours back
def close(which):
    assert which == "all"
    Gcf.figures.clear()
def show(*args, **kwargs):
    raise RuntimeError("no screen")
""",
}


LOADED = "import PIL.Image, matplotlib.pyplot as plt\nfrom PIL import Image\n"


def shown(directory: Path, code: str, before: str = LOADED, after: str = "") -> Dict[str, Any]:
    """Run code with both libraries hooked; return what was written and what `show` says of it.

    Args:
        before, after: what to import before `show` is installed, and afterwards.
    """
    package, run = directory / "lib" / "matplotlib", directory / "run"
    package.mkdir(parents=True)
    run.mkdir()
    for name, source in MATPLOTLIB.items():
        (package / (name + ".py")).write_text(source)
    program = (
        "import json, os, sys\n"
        f"sys.path[:0] = [{ROOT!r}, {str(directory / 'lib')!r}]\n"
        f"{before}"
        "from pyexec.child import figures, show\n"
        "show.install()\n"
        f"{after}"
        f"show.begin({str(run)!r})\n"
        f"{code}\n"
        "print(json.dumps(show.found() or {'names': [], 'troubles': []}))\n"
    )
    output = subprocess.check_output([sys.executable, "-c", program], cwd="/", timeout=30)
    return {**json.loads(output.splitlines()[-1]), "files": sorted(os.listdir(str(run)))}


MODES = "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I F I;16 I;16B".split()


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_any_mode_is_written_as_png(tmp_path: Path, mode: str) -> None:
    from PIL import Image

    found = shown(tmp_path, f"Image.new({mode!r}, (3, 2)).show(title='x')")
    assert found == {"names": ["figure-1.png"], "troubles": [], "files": ["figure-1.png"]}
    with Image.open(tmp_path / "run" / "figure-1.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (3, 2))
        assert ("A" in picture.mode) == (mode in ("LA", "La", "PA", "RGBA", "RGBa"))


def test_every_open_figure_is_written_and_closed_as_a_window_would_be(tmp_path: Path) -> None:
    code = "plt.figure(); plt.figure(); plt.show(); plt.show(block=True); plt.figure(); plt.show(block=False)"
    assert shown(tmp_path, code)["names"] == ["figure-1.png", "figure-2.png", "figure-3.png"]


def test_one_figure_can_be_shown_by_itself(tmp_path: Path) -> None:
    found = shown(tmp_path, "plt.figure().show(); Image.new('L', (1, 1)).show()")
    assert found["files"] == ["figure-1.png", "figure-2.png"]


@pytest.mark.parametrize("name", ["of their own", "by a library", "in a thread"])
def test_libraries_that_a_run_loads_itself_are_hooked_as_well(tmp_path: Path, name: str) -> None:
    late = {
        "of their own": LOADED,
        "by a library": "import importlib\nImage = importlib.import_module('PIL' + '.Image')\n"
        "plt = importlib.import_module('matplotlib.pyplot')\n",
        "in a thread": f"import threading\nt = threading.Thread(target=exec, args=({LOADED!r}, globals()))\n"
        "t.start(); t.join()\n",
    }
    found = shown(tmp_path, "plt.figure(); plt.show(); Image.new('L', (1, 1)).show()", before="", after=late[name])
    assert found["files"] == ["figure-1.png", "figure-2.png"] and found["troubles"] == []


def test_a_module_that_only_has_such_a_name_is_left_alone(tmp_path: Path) -> None:
    own = f"open({str(tmp_path / 'lib' / 'matplotlib' / 'pyplot.py')!r}, 'w').write('x = 1')\n"
    code = "import matplotlib.pyplot\nassert matplotlib.pyplot.x == 1 and not hasattr(matplotlib.pyplot, 'show')"
    assert shown(tmp_path, code, before="", after=own)["files"] == []


def test_no_file_of_the_scripts_is_written_over(tmp_path: Path) -> None:
    code = f"os.chdir({str(tmp_path / 'run')!r}); os.mkdir('sub'); os.symlink('/x', 'figure-1.png'); os.chdir('sub')\n"
    found = shown(tmp_path, code + "plt.figure().show()")
    assert found == {"names": ["figure-2.png"], "troubles": [], "files": ["figure-1.png", "figure-2.png", "sub"]}


def test_to_show_what_cannot_be_written_does_not_fail(tmp_path: Path) -> None:
    found = shown(tmp_path, "plt.figure().fails = True; plt.show(); plt.figure().fails = True; plt.show()")
    assert found["names"] == [] and found["troubles"] == ["a picture could not be written: ValueError: no such colour"]


def test_to_show_what_cannot_be_converted_does_not_fail(tmp_path: Path) -> None:
    code = "class Odd(Image.Image):\n    def convert(self, mode): raise ValueError('no such mode')\n"
    code += "picture = Odd(); picture._mode = 'odd'; picture._size = (1, 1)\n"
    found = shown(tmp_path, code + "from PIL import ImageShow\nassert ImageShow.show(picture)")
    assert found == {"names": [], "troubles": ["a picture could not be written: ValueError: no such mode"], "files": []}


def test_pictures_beyond_what_an_answer_may_have_are_not_written(tmp_path: Path) -> None:
    found = shown(tmp_path, "for _ in range(12): Image.new('L', (1, 1)).show()")
    assert len(found["names"]) == len(found["files"]) == 10
    assert found["troubles"] == ["only the first 10 pictures shown are written"]


IN_RUN = "os.chdir(show._directory); "
FAILING = """figure.fails = True
try:
    figure.savefig("no.png")
except ValueError:
    figure.fails = False
"""


def test_figures_that_are_still_open_at_the_end_are_shown_once(tmp_path: Path) -> None:
    code = "plt.figure(); plt.figure().show(); plt.figure().children.pop(); print(show.collect())"
    assert shown(tmp_path, code)["files"] == ["figure-1.png", "figure-2.png"]  # an empty one isn't


@pytest.mark.parametrize("more", ["", "figure.canvas.draw(); ", "plt.savefig(sys.stdout); ", FAILING])
@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a"])
def test_a_figure_that_the_script_has_saved_is_not_written_again(tmp_path: Path, name: str, more: str) -> None:
    found = shown(tmp_path, IN_RUN + f"figure = plt.figure(); plt.savefig({name!r}); {more}\nshow.collect()")
    file = name if "." in name else name + ".png"
    assert (found["names"], found["files"]) == ([], [file])


def test_to_show_what_was_saved_has_that_file_come_back(tmp_path: Path) -> None:
    code = IN_RUN + "os.mkdir('d'); figure = plt.figure(); figure.savefig('d/a.png'); figure.savefig('a.pdf'); "
    found = shown(tmp_path, code + "figure.show(); plt.show()")
    assert (found["names"], found["files"]) == (["d/a.png"], ["a.pdf", "d"])


@pytest.mark.parametrize(
    "save",
    [
        "figure.savefig('a.pdf')",
        "figure.savefig('../a.png')",
        "figure.savefig(sys.stdout)",
        "figure.savefig('a.png'); figure.stale = True",
        "figure.savefig('a.png'); figure.stale = True; plt.savefig('b.pdf')",
        "figure.savefig('a.png'); figure.stale = True; figure.canvas.draw()",
        "figure.savefig('a.png'); figure.stale = True; " + FAILING,
        "figure.savefig('a.png'); os.remove('a.png')",
    ],
)
@pytest.mark.parametrize("show_it", ["show.collect()", "plt.show()"])
def test_a_figure_that_is_no_picture_of_the_runs_as_it_is_now_is_shown(tmp_path: Path, save: str, show_it: str) -> None:
    found = shown(tmp_path, IN_RUN + f"figure = plt.figure(); {save}\n{show_it}")
    assert found["names"] == ["figure-1.png"]


def test_a_figure_that_is_gone_is_not_remembered(tmp_path: Path) -> None:
    """A new one may have its id."""
    code = "import gc; plt.figure(); plt.savefig('a.png'); assert len(figures._saved) == 1; plt.close('all'); "
    shown(tmp_path, IN_RUN + code + "gc.collect(); assert len(figures._saved) == 0")


def test_what_is_drawn_is_told_from_other_values(tmp_path: Path) -> None:
    code = """
import numpy
figure = plt.figure()
drawn = figure, [figure], (numpy.ones(2), figure), numpy.array([figure, figure])
others = 1, "matplotlib", [], [1], numpy.ones(3), numpy.array([], object), plt, {"a": figure}
print([figures.is_drawn(each) for each in drawn], [figures.is_drawn(each) for each in others], file=sys.stderr)
assert all(figures.is_drawn(each) for each in drawn) and not any(figures.is_drawn(each) for each in others)
"""
    shown(tmp_path, code)
