"""What the README says, against the code: settings, errors, modules, dangers, commands."""

from __future__ import annotations

import inspect
import os
import re
import subprocess

from support import ROOT

from pyexec import config, errors
from pyexec.kernel import layers, policy, seccomp

with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as _file:
    README = _file.read()


def test_every_setting_stands_there_with_its_default() -> None:
    for setting in config.SETTINGS:
        row = re.search(r"^\| `%s` \| (.*?) \| (.*) \|$" % setting.flag, README, re.MULTILINE)
        assert row, setting.flag
        if setting.name not in ("modules", "work_dir"):
            assert row.group(1).strip("`") == (setting.default or "none")
        assert row.group(2) == setting.help
    assert README.count("| `--") == len(config.SETTINGS)


def test_every_error_stands_there_with_its_status() -> None:
    leaves = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.PyexecError) and c.type]
    assert len(leaves) >= 14
    for leaf in leaves:
        row = re.search(r"^\| ([0-9, ]+) \| [^|]*`%s`" % leaf.type, README, re.MULTILINE)
        assert row and str(leaf.status) in row.group(1), leaf.type


def test_every_module_stands_there() -> None:
    listed = re.search(r"Modules that public scripts may import: (.*)\.\n", README)
    assert listed and tuple(re.findall(r"`(\w+)`", listed.group(1))) == config.DEFAULT_MODULES


def test_count_of_calls_is_right() -> None:
    assert (
        "%d calls for public scripts on x86-64" % len(seccomp.allowed(False, policy.EVERYTHING_CONTAINED, "x86_64"))
        in README
    )


def test_every_danger_stands_there() -> None:
    table = README.split("## What holds a script")[1].split("## API")[0]
    for danger in layers.DANGERS:
        assert danger.name.split(",")[0].split(" or ")[0].rstrip("s") in table, danger.name


def test_commands_of_setup_sh_exist() -> None:
    usage = subprocess.run(["sh", os.path.join(ROOT, "setup.sh")], stdout=subprocess.PIPE, text=True)
    assert usage.returncode == 2
    for name in re.findall(r"sh setup.sh (\w+)", README):
        assert "sh setup.sh " + name in usage.stdout


def test_python_example_compiles() -> None:
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        compile(block, "README.md", "exec")


def test_pictures_exist_and_are_small() -> None:
    names = re.findall(r"docs/[\w.-]+\.png", README)
    assert len(set(names)) == 4
    sizes = [os.path.getsize(os.path.join(ROOT, name)) for name in set(names)]
    assert sum(sizes) < 300 * 1024
