"""What real libraries import while a public script uses them is never refused: from Python, C, Cython, generated code.

The libraries go into an environment of the test's own, from the package index. The rule itself is held by
`child/test_import_policy.py`, with a library of its own and without a network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Dict, Iterator

import pytest
from support import ROOT

PACKAGES = "sympy lxml statsmodels".split()
SCRIPTS: Dict[str, str] = {
    "sympy: code that it generates": (
        "import sympy as s\nx = s.symbols('x')\nprint(s.lambdify(x, s.sin(x) + x**2)(0.0))\n"
        "print(round(s.nsolve(s.cos(x) - x, x, 1), 6), s.lambdify(x, [x, x**2], 'numpy')(3))\n"
    ),
    "lxml: Cython": (
        "from lxml import etree, html\ntree = etree.fromstring(b'<a><b>1</b></a>')\n"
        "print(tree.find('b').text, html.fromstring('<p>x</p>').text_content(), len(etree.XPath('//b')(tree)))\n"
    ),
    "statsmodels: C of numpy, pandas and scipy": (
        "import numpy as np, pandas as pd, statsmodels.api as sm, statsmodels.formula.api as smf\nx = np.arange(20.0)\n"
        "print(len(str(sm.OLS(2 * x + 1, sm.add_constant(x)).fit().summary())) > 100)\n"
        "print(smf.ols('y ~ x', pd.DataFrame({'x': x, 'y': x * 3})).fit().params.round(2).x)\n"
    ),
}
PRINTED = {
    "sympy: code that it generates": "0.0\n0.739085 [3, 9]\n",
    "lxml: Cython": "1 x 1\n",
    "statsmodels: C of numpy, pandas and scipy": "True\n3.0\n",
}
RUN = """
import os, sys
from pyexec import Config, Job, Sandbox
from pyexec.config import DEFAULT_MODULES
modules = DEFAULT_MODULES + tuple("sympy lxml statsmodels pandas".split())
with Sandbox(Config.of(max_runs=1, wall_s=60, memory_bytes=2 << 30, modules=modules, uid_base=int(sys.argv[1]))) as sandbox:
    outcome = sandbox.run(Job(sys.stdin.read()))
print(outcome.verdict, outcome.modules)
print(outcome.stdout.decode() + outcome.stderr.decode(), end="")
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The interpreter of an environment with the libraries."""
    directory = tmp_path_factory.mktemp("libraries")
    for path in (directory, *directory.parents[:2]):
        os.chmod(path, 0o755)  # runs have uids of their own, and must get there
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    found = str(directory / "bin" / "python")
    subprocess.run([found, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    yield found


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_is_refused(python: str, name: str) -> None:
    done = subprocess.run(
        [python, "-c", RUN, str(30000000 + 10 * os.getpid())],
        input=SCRIPTS[name],
        stdout=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=ROOT),
        encoding="utf-8",
    )
    assert done.stdout == "ended ()\n" + PRINTED[name]
