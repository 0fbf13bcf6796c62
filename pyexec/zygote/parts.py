"""The submodules of well-known libraries that scripts use and that importing the library alone doesn't load."""

from __future__ import annotations

from typing import Iterable

_PARTS = {
    "PIL": "Image ImageDraw ImageFont ImageFilter ImageOps ImageEnhance PngImagePlugin JpegImagePlugin",
    "bokeh": "plotting",
    "imageio": "v2 v3",
    "lxml": "etree html",
    "matplotlib": "pyplot figure dates ticker patches cm colors animation backends.backend_agg backends.backend_svg"
    " backends.backend_pdf",
    "nltk": "tokenize stem",
    "numpy": "random linalg fft",
    "openpyxl": "styles chart utils",
    "plotly": "graph_objects express io",
    "pptx": "util",
    "qrcode": "image.pil image.svg",
    "reportlab": "pdfgen.canvas lib.pagesizes lib.styles platypus",
    "scipy": "stats optimize integrate interpolate linalg signal sparse spatial special ndimage fft cluster.hierarchy",
    "skimage": "io filters color transform measure morphology",
    "sklearn": "linear_model model_selection preprocessing metrics ensemble tree cluster decomposition svm neighbors"
    " naive_bayes pipeline datasets feature_extraction.text",
    "statsmodels": "api formula.api",
    "sympy": "plotting",
    "torch": "nn nn.functional optim",
    "xml": "etree.ElementTree dom.minidom",
}


def of(library: str) -> list[str]:
    """Return the dotted names of a library's submodules that are worth loading ahead, in order."""
    return [f"{library}.{part}" for part in _PARTS.get(library, "").split()]


def in_order(libraries: Iterable[str], more: Iterable[str]) -> list[str]:
    """Return all that is to be loaded for some libraries, each followed by its parts.

    Args:
        libraries: names of modules, dotted or not. more: what the operator asks for beside the well-known parts.
    """
    further = tuple(more)
    found: dict[str, None] = {}
    for library in libraries:
        found[library] = None
        found.update(dict.fromkeys(of(library)))
        found.update(dict.fromkeys(name for name in further if name.startswith(library + ".")))
    found.update(dict.fromkeys(further))
    return list(found)
