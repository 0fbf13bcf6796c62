"""A run behaves like `python script.py`: each script of the corpus runs both ways and all that comes back is compared.

Compared are stdout, stderr, the exit code and the files. Only what must differ is normalised, and in stderr alone: the
path of the script's directory, those of installed libraries, and addresses of objects. `tools/corpus.py` says how a
script states what it needs.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Dict, Iterator, NamedTuple

import pytest
from corpus import SCRIPTS, Script

from pyexec import Config, Job, Sandbox
from pyexec.job import ENDED, SCRIPT_NAME
from pyexec.kernel.tree import PLACE
from pyexec.runs.environment import zygote_environment
from pyexec.zygote.preload import installed_code

# With a file tree of its own, and without.
_RUN_DIRECTORY = r"%s(?:-\d+)?/box/work|%s/pyexec-[^/]+/[0-9a-f]{32}/work" % (
    PLACE,
    re.escape(os.path.realpath(tempfile.gettempdir())),
)


class Ending(NamedTuple):
    """All that is compared of a run."""

    stdout: bytes
    stderr: str
    exit_code: int
    files: Dict[str, object]


HERE = [script for script in SCRIPTS if script.python <= sys.version_info]


def run_plainly(script: Script) -> Ending:
    """Run a script with `python script.py` in a fresh directory."""
    with tempfile.TemporaryDirectory() as outer:
        directory = os.path.realpath(os.path.join(outer, "work"))
        os.mkdir(directory, 0o700)
        contents = [(each.filename, each.content) for each in script.attachments]
        for filename, content in [(SCRIPT_NAME, script.source)] + contents:
            with open(os.path.join(directory, filename), "xb") as file:
                file.write(content)
        paths = [os.path.join(outer, name) for name in ("stdin", "stdout", "stderr")]
        with open(paths[0], "wb") as file:
            file.write(script.stdin)
        with open(paths[0], "r+b") as stdin, open(paths[1], "w+b") as stdout, open(paths[2], "w+b") as stderr:
            process = subprocess.Popen(
                [sys.executable, SCRIPT_NAME],
                cwd=directory,
                env=dict(zygote_environment(), PYTHONUTF8="1", HOME=directory, TMPDIR=directory),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            try:
                exit_code = process.wait(60)
            finally:
                with contextlib.suppress(ProcessLookupError):  # nearly no script leaves a process behind
                    os.killpg(process.pid, signal.SIGKILL)
            stdout.seek(0)
            stderr.seek(0)
            files: Dict[str, object] = {}
            for name in script.files:
                try:
                    with open(os.path.join(directory, name), "rb") as file:
                        files[name] = file.read()
                except FileNotFoundError:
                    files[name] = None
            return Ending(stdout.read(), _normal(stderr.read(), re.escape(directory)), exit_code, files)


def run_confined(sandbox: Sandbox, script: Script, admin: bool) -> Ending:
    """Run a script in the sandbox."""
    job = Job("1", script.stdin, script.attachments, script.files, admin)
    # `script` is held to sources that no caller may send, as an empty one or one with a NUL byte, all the same.
    object.__setattr__(job, "code", script.source.decode("utf-8"))
    outcome = sandbox.run(job)
    assert outcome.verdict == ENDED, outcome
    assert not outcome.stdout_truncated and not outcome.stderr_truncated
    files = {file.name: file.content for file in outcome.files}
    return Ending(outcome.stdout, _normal(outcome.stderr, _RUN_DIRECTORY), outcome.exit_code, files)


def _normal(errors: bytes, directory: str) -> str:
    # A path that only contains such a name, as /check/work/main does, is another one.
    text = re.sub(r"(?<![\w./-])(?:%s)/" % directory, "", errors.decode("utf-8", "backslashreplace"))
    # The traceback of the exception that ends a script names a library's files from the package on.
    for library in sorted(installed_code(), key=len, reverse=True):
        text = text.replace(library + "/", "")
    # The interpreter's own functions, of which a child has others (faulthandler, from Python 3.14 on).
    text = re.sub(r"^  (Binary file .*|<truncated rest of calls>)\n", "", text, flags=re.MULTILINE)
    # The count of references stands beside an address, where an exception can't be shown because stderr is closed.
    return re.sub(r"0x[0-9a-f]+|(?<=^object refcount : )\d+", "…", text, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One sandbox for the whole corpus, gone before tests that count the zygotes of this process."""
    # Uids that no server of another test uses: processes are counted by uid over the whole machine.
    with Sandbox(Config.of(max_runs=2, uid_base=100000 + 10000 * (os.getpid() % 1000) + 9900)) as running:
        yield running


@pytest.fixture(scope="session")
def plain(request: pytest.FixtureRequest) -> Iterator[Dict[str, Future[Ending]]]:
    """What plain python makes of the selected scripts; run aside, since starting an interpreter takes longest."""
    parameters = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    scripts = [each["script"] for each in parameters if isinstance(each.get("script"), Script)]
    with ThreadPoolExecutor(2) as pool:
        yield {script.name: pool.submit(run_plainly, script) for script in scripts}


@pytest.mark.parametrize("script", HERE, ids=lambda script: script.name)
def test_runs_as_under_plain_python(script: Script, sandbox: Sandbox, plain: Dict[str, Future[Ending]]) -> None:
    expected = plain[script.name].result()
    deletes = sandbox.report.own_tree or sandbox.report.tmpfs_bytes > 0
    if script.tree and not sandbox.report.own_tree:
        pytest.skip("this host can't build a file tree")
    in_vain = script.metadata and not sandbox.report.own_tree and os.geteuid() != 0
    for admin in (True,) if script.admin or (script.deletes and not deletes) else (False, True):
        got = run_confined(sandbox, script, admin)
        who = "as admin" if admin else "as public"
        assert got.stderr == expected.stderr, who
        assert in_vain or got.stdout == expected.stdout, who
        assert got.exit_code == expected.exit_code, who
        assert got.files == expected.files, who
