"""What to say to a caller whose script named modules that it may not import: what there is, and what does the same.

Modules are looked for, and none is loaded. Names come from hostile scripts, so that only a few of a sensible length are
looked at.
"""

from __future__ import annotations

import difflib
import importlib.machinery
import sys
from typing import Sequence

from pyexec.config import DEFAULT_MODULES
from pyexec.job import LIBRARIES

_MODULES, _CHARACTERS = 4, 40  # looked at, and in each
_SIMILAR = 0.75
# What does the same, the best first, by what people have it for.
_INSTEAD = {
    "os": "pathlib shutil glob",
    "importlib": "inspect types",
    "multiprocessing": "concurrent threading",
    "joblib": "concurrent",
    "ctypes": "struct array",
    "resource": "tracemalloc time",
    "psutil": "platform tracemalloc",
    "signal": "threading",
    "pandas": "csv numpy sqlite3",
    "polars": "csv numpy sqlite3",
    "scipy": "numpy statistics math",
    "sympy": "fractions decimal math",
    "mpmath": "decimal fractions",
    "sklearn": "numpy statistics",
    "matplotlib": "PIL reportlab",
    "seaborn": "PIL reportlab",
    "plotly": "PIL reportlab",
    "cv2": "PIL numpy",
    "imageio": "PIL",
    "skimage": "PIL numpy",
    "docx": "reportlab fpdf",
    "openpyxl": "csv",
    "xlsxwriter": "csv",
    "weasyprint": "reportlab fpdf",
    "yaml": "json configparser",
    "toml": "tomllib",
    "tomli": "tomllib",
    "simplejson": "json",
    "ujson": "json",
    "orjson": "json",
    "dill": "pickle",
    "cloudpickle": "pickle",
    "marshal": "pickle json",
    "lxml": "xml",
    "bs4": "html xml",
    "dateutil": "datetime zoneinfo",
    "pytz": "zoneinfo datetime",
    "pydantic": "dataclasses",
    "attr": "dataclasses",
    "pytest": "unittest doctest",
    "tqdm": "time",
    "click": "argparse",
    "tabulate": "textwrap string",
    "nltk": "re string",
    "regex": "re",
    "cryptography": "hashlib hmac secrets",
    "Crypto": "hashlib hmac secrets",
    "imp": "types",
    "sysconfig": "platform sys",
    "pillow": "PIL",
    "Pillow": "PIL",
    "Image": "PIL",
    "fpdf2": "fpdf",
    "np": "numpy",
}
_NO_NETWORK = frozenset(
    "socket ssl select selectors socketserver requests httpx urllib3 aiohttp websocket websockets ftplib smtplib"
    " imaplib poplib telnetlib paramiko boto3 openai".split()
)
_NO_PROCESSES = frozenset("subprocess pty pexpect sh popen2 multiprocessing".split())


WHERE_ALL = "'allowed' lists all modules."  # the last sentence, for readers of HTTP's answers


def advice(modules: Sequence[str], allowed: Sequence[str], attached: Sequence[str] = ()) -> str:
    """Return what helps, as sentences, after these modules were refused.

    Args:
        modules: names as the script has them, with their submodules. allowed: those that it may import, dotted or not.
        attached: names of the files that came with the script.
    """
    tops = [each for each in dict.fromkeys(name.partition(".")[0] for name in modules) if len(each) <= _CHARACTERS]
    shadowed = [top for top in tops[:_MODULES] if f"{top}.py" in attached]
    sentences = [
        f"The attached {top}.py can't be imported: the module '{top}' is loaded before the script begins. Give the file"
        " another name."
        for top in shadowed
    ]
    sentences += [_of_one(top, allowed) for top in tops[:_MODULES] if top not in shadowed]
    if any(top in _NO_NETWORK for top in tops):
        sentences.append("Scripts have no network.")
    if any(top in _NO_PROCESSES for top in tops):
        sentences.append("Public scripts can't start processes.")
    libraries = ", ".join(_libraries(allowed))
    sentences.append(f"Libraries that may be imported: {libraries}." if libraries else "No library may be imported.")
    sentences.append(WHERE_ALL)
    return " ".join(filter(None, sentences))


def _of_one(top: str, allowed: Sequence[str]) -> str:
    below = [name for name in allowed if name.startswith(top + ".")]
    if below:
        return f"Of '{top}' only {_listed(below, 'and')} may be imported."
    instead = [name for name in _INSTEAD.get(top, "").split() if name in allowed]
    if instead:
        return f"Instead of '{top}' use {_listed(instead, 'or')}."
    near = [name for name in allowed if name.lower() == top.lower()]
    near = near or difflib.get_close_matches(top, allowed, 1, _SIMILAR)
    if top in _NO_NETWORK | _NO_PROCESSES:
        return ""
    if near:
        return f"Did you mean '{near[0]}'?"
    known = top in _INSTEAD or top in sys.builtin_module_names or importlib.machinery.PathFinder.find_spec(top)
    return "" if known or not top.isidentifier() else f"If '{top}' is a module of your own, attach it as {top}.py."


def _listed(names: list[str], conjunction: str) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {conjunction} {quoted[-1]}"


def _libraries(allowed: Sequence[str]) -> list[str]:
    standard = set(getattr(sys, "stdlib_module_names", ())) | set(DEFAULT_MODULES) - set(LIBRARIES)
    return [name for name in allowed if name.partition(".")[0] not in standard]
