"""README, docs, SECURITY.md, CONTRIBUTING.md and the page's examples against the code: all is compared, or run."""

from __future__ import annotations

import configparser
import html
import inspect
import json
import os
import re
import subprocess
import sys
from typing import Any, Dict, List, Tuple

import agents
import pytest
from rpc import ask_modern
from support import ROOT, STATUS_OF

from pyexec import config, errors, rules
from pyexec.api import openapi, request
from pyexec.cli.main import COMMANDS
from pyexec.kernel import policy, seccomp

PAGES = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES += sorted("docs/" + name for name in os.listdir(os.path.join(ROOT, "docs")) if name.endswith(".md"))
ADDRESS = re.compile(r"http://127\.0\.0\.1:5000|localhost:5000")


def text_of(name: str) -> str:
    """Return a page of the repository."""
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


TEXTS = {name: text_of(name) for name in PAGES}
README, API, SETTINGS, INSIDE = (
    TEXTS[name] for name in ("README.md", "docs/api.md", "docs/settings.md", "docs/how-it-works.md")
)


def rows(text: str, cells: int) -> List[Tuple[str, ...]]:
    """Return the rows of a page's tables of so many columns, without heads."""
    found = [
        tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in text.splitlines() if line[:1] == "|"
    ]
    return [row for row in found if len(row) == cells and not row[0].startswith("--")]


def blocks(kind: str) -> List[Any]:
    """Return the code blocks of a kind in all pages, as parameters of a test."""
    found = []
    for name, text in TEXTS.items():
        for number, block in enumerate(re.findall(r"^```%s\n(.*?)^```" % kind, text, re.DOTALL | re.MULTILINE)):
            found.append(pytest.param(block, id="%s-%d" % (name, number)))
    return found


def commands() -> List[Any]:
    """Return every command of every console block, with what stands below it."""
    found = []
    for parameter in blocks("console"):
        for part in re.split(r"^\$ ", parameter.values[0], flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            count = next(place for place, line in enumerate(lines) if not line.endswith("\\")) + 1
            found.append(pytest.param("\n".join(lines[:count]), "\n".join(lines[count:]), id=parameter.id))
    return found


# -- tables ------------------------------------------------------------------------------------------------------------


def test_every_setting_is_listed_with_its_default() -> None:
    listed = {name.strip("`"): default for name, default, _ in rows(SETTINGS, 3) if name.startswith("`--")}
    assert set(listed) == {setting.flag for setting in config.SETTINGS}
    assert len(listed) == len(re.findall(r"^\| `--", SETTINGS, re.MULTILINE))
    for setting in config.SETTINGS:
        default = listed[setting.flag]
        if setting.name == "modules":
            assert default == "the list below"
        elif setting.name == "work_dir":
            assert default == "the system's temporary directory"
        else:
            assert default == ("`%s`" % setting.default if setting.default else "none"), setting.name


def test_settings_stand_in_their_groups_with_the_words_of_the_help() -> None:
    parts = [part.partition("\n") for part in SETTINGS.split("\n## ")[1:]]
    assert [name.lower() for name, _, _ in parts] == list(config.GROUPS)
    for name, _, text in parts:
        listed = {row[0].strip("`"): row[2].replace("`", "") for row in rows(text, 3) if row[0].startswith("`--")}
        assert list(listed) == [setting.flag for setting in config.SETTINGS if setting.group == name.lower()]
        for setting in config.SETTINGS:
            # The page may add to it.
            assert setting.group != name.lower() or listed[setting.flag].startswith(setting.help), setting.flag


def test_every_module_is_listed() -> None:
    listed = re.search(r"Modules that public scripts may import: (.*?)\.\n", SETTINGS, re.DOTALL)
    assert listed and tuple(re.findall(r"`(\w+)`", listed.group(1))) == config.DEFAULT_MODULES


def test_every_error_is_listed_with_its_status() -> None:
    listed = [(kind.strip("`"), int(status)) for status, kind, _ in rows(API, 3) if status.isdigit()]
    assert len(listed) == len(dict(listed)) and dict(listed) == STATUS_OF
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.PyexecError)]
    assert dict(listed) == {kind.type: kind.status for kind in kinds if kind.type}


def test_every_field_of_a_request_is_listed() -> None:
    table = API.split("## Running a script")[1].split("```")[0]
    assert tuple(name.strip("`") for name, _, _ in rows(table, 3) if name != "field") == request.FIELDS


def test_every_path_is_listed() -> None:
    listed = {name.strip("`").split()[1] for name, _ in rows(API, 2) if name.startswith("`GET ")}
    assert listed | {"/execute"} == set(openapi.document(config.Config.of())["paths"])


def test_limits_in_prose_are_the_defaults() -> None:
    defaults = config.Config.of()
    budget = defaults.budget
    for name, sentences in {
        "README.md": [
            "a script gets %g seconds, %d MiB of memory and %d MiB of files"
            % (budget.wall_s, budget.memory_bytes >> 20, budget.workdir_bytes >> 20),
            "gets %d runs a minute and %d a day" % (defaults.rate_per_minute, defaults.rate_per_day),
        ],
        "docs/api.md": [
            "1 to %d characters" % defaults.code_chars,
            "standard input, at most %d MB" % (defaults.stdin_bytes >> 20),
            "at most %d files for" % defaults.attachments,
            "at most %d MB once decoded" % (defaults.attachment_bytes >> 20),
            "at most %d relative paths or patterns" % defaults.return_files,
            "At most %d files come back" % defaults.return_files,
            "at most %d stars" % rules.MOST_STARS,
            "ran longer than %g s" % budget.wall_s,
            "Output beyond %d MiB is cut" % (budget.output_bytes >> 20),
            "beyond %d MiB it ends" % (4 * budget.output_bytes >> 20),
            "%d runs a minute (all %d may come at once) and %d a day"
            % (defaults.rate_per_minute, defaults.rate_per_minute, defaults.rate_per_day),
            "up to %d processes" % budget.processes,
            "up to %d threads" % budget.threads,
        ],
        "SECURITY.md": [
            "Bodies may take %d MiB" % (defaults.bodies_bytes >> 20),
            "answers %d MiB" % (defaults.answers_bytes >> 20),
            "%d of the %d connections" % (defaults.peer_connections, defaults.max_connections),
        ],
    }.items():
        for sentence in sentences:
            assert sentence in " ".join(TEXTS[name].split()), sentence


def test_count_of_calls_is_right() -> None:
    count = len(seccomp.allowed(False, policy.EVERYTHING_CONTAINED, "x86_64"))
    assert "%d calls for public scripts on x86-64" % count in INSIDE
    checked = sum(bool(checks) for checks in seccomp.allowed(False, policy.EVERYTHING_CONTAINED, "x86_64").values())
    said = f"can make {count} system calls (on x86-64; fewer where a layer is missing), {checked} of them with certain"
    assert said in " ".join(TEXTS["SECURITY.md"].split())
    assert f"A public script can make {count} of the kernel's system calls (on x86-64)" in " ".join(README.split())


def test_the_map_names_every_folder_and_module() -> None:
    package = os.path.join(ROOT, "pyexec")
    names = [name for name in os.listdir(package) if not name.startswith("__")]
    folders = {name for name in names if os.path.isdir(os.path.join(package, name))}
    the_map = INSIDE.split("## The code")[1]
    assert {folder.strip("`/") for folder, _, _ in rows(the_map, 3) if folder.startswith("`")} == folders
    top = the_map.split("\nAt the top: ")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", top)) == {name[:-3] for name in names if name.endswith(".py")}


NO_MODULES = ("ctypes", "doctor", "mcp", "serve")  # but commands, and a module of the standard library


def test_modules_named_for_reading_exist() -> None:
    for name in re.findall(r"`((?:\w+/)*\w+)`", INSIDE.split("## The code")[1]):
        path = os.path.join(ROOT, "pyexec", name)
        assert os.path.isfile(path + ".py") or os.path.isdir(path) or name in NO_MODULES, name


# -- numbers that were measured ----------------------------------------------------------------------------------------


def test_the_cost_of_a_run_is_that_of_the_measurements() -> None:
    light = TEXTS["docs/performance.md"].split("<!-- light -->")[1].split("<!-- end of light -->")[0]
    cells = {(row[0], row[1]): row for row in rows(light, 7)}
    own, fresh = cells[("numpy", "pyexec")], cells[("numpy", "fresh interpreter")]
    part = {20: "twentieth", 30: "thirtieth", 40: "fortieth", 50: "fiftieth"}[
        round(0.1 / float(own[5].split()[0])) * 10
    ]
    sentence = "takes %.1f ms, against %.0f ms in a fresh interpreter: about a %s" % (
        float(own[2]),
        float(fresh[2]),
        part,
    )
    assert sentence in " ".join(README.split())
    page = TEXTS["docs/performance.md"]
    lead = " ".join(page.split("## How it was measured")[0].split())
    for job, server in (("numpy", "pyexec"), ("print(1)", "pyexec"), ("numpy", "fresh interpreter")):
        shown = float(cells[(job, server)][2])
        assert ("%.1f ms" if shown < 10 else "%.0f ms") % shown in lead
    assert "%d of the %d goals" % (page.count("| MISSED"), page.count("| MISSED") + page.count("| met ")) in lead


def test_the_suites_are_those_that_ran() -> None:
    found = {row[0].split()[0]: row[1:3] for row in rows(TEXTS["docs/prove-slow.md"], 7)}
    sentence = "numpy %s of %s tests, Pillow %s, fpdf2 %s and reportlab %s, all of them" % (
        found["numpy"][1],
        found["numpy"][0],
        found["pillow"][0],
        found["fpdf2"][0],
        found["reportlab"][0],
    )
    assert all(found[name][0] == found[name][1] for name in ("pillow", "fpdf2", "reportlab"))
    assert sentence in " ".join(README.split())


def test_the_kernels_are_those_that_were_booted() -> None:
    """As root and as an ordinary user each, with every attack contained."""
    booted: Dict[str, List[str]] = {}
    for kernel, machine, role, _, photo, attacks, *_ in rows(TEXTS["docs/prove-slow.md"], 8)[1:]:
        name = "%s on %s" % (".".join(kernel.split(".")[:2]), {"x86_64": "x86-64", "aarch64": "arm64"}[machine])
        contained, _, wanted = attacks.partition(" / ")
        assert photo == "right" and contained == wanted != "0", (kernel, role)
        booted.setdefault(name, []).append(role)
    assert booted and all(roles == ["root", "user"] for roles in booted.values())
    assert "Linux %s." % " and ".join([", ".join(list(booted)[:-1]), list(booted)[-1]]) in " ".join(README.split())


def test_the_readme_is_short() -> None:
    plain = re.sub(r"<!--.*?-->|\]\([^)]*\)|<[^>]*>", " ", README, flags=re.DOTALL)
    words = [word for word in plain.split() if re.search("[A-Za-z]", word)]
    assert 700 < len(words) < 1000, len(words)


# -- commands and examples ---------------------------------------------------------------------------------------------


def _run(command: List[str], cwd: Any) -> str:
    environment = dict(os.environ, PYTHONPATH=ROOT)
    done = subprocess.run(command, cwd=str(cwd), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _covers(shown: Any, got: Any) -> None:
    """Check that an answer has all that its example shows: the same fields, of the same types, the same output."""
    assert type(shown) is type(got)
    if isinstance(shown, dict):
        for name, value in shown.items():
            assert name in got
            _covers(value, got[name])
            assert name not in ("status", "success", "stdout", "stderr", "exit_code") or value == got[name]


def _same_fields(shown: Any, got: Any) -> None:
    if isinstance(shown, dict):
        assert list(shown) == list(got)
        for name, value in shown.items():
            _same_fields(value, got[name])


@pytest.mark.parametrize("command, below", commands())
def test_a_command_does_what_is_said(server, tmp_path, command: str, below: str) -> None:
    """A new kind of command needs a test of its own here: none is taken on trust."""
    plain = re.sub(r"\s{2,}#.*", "", command)
    if plain.startswith("curl "):
        got = json.loads(_run(["sh", "-c", ADDRESS.sub(server.url, plain)], tmp_path))
        shown = json.loads(re.sub(r"(?<=[,{]) ?…, ?|, …(?=})", "", below.replace("\n", " ")))
        _covers(shown, got)
        if "…" not in below:
            _same_fields(shown, got)
    elif re.match(r"(make|sh setup\.sh) ", plain):
        _check_target(plain)
    elif plain.startswith(("pyexec run ", "pyexec batch ")):
        _use_command(plain, tmp_path)
    elif plain == "python -m pyexec doctor":
        got_lines = {
            " ".join(line.split()) for line in _run([sys.executable, "-m", "pyexec", "doctor"], "/").splitlines()
        }
        bare = {re.sub(r"ABI \d+", "ABI", line) for line in got_lines}
        for line in below.splitlines():
            assert line == "…" or re.sub(r"ABI \d+", "ABI", " ".join(line.split())) in bare, line
    elif plain.startswith(".venv/bin/pip install "):
        extra = re.fullmatch(r'"\.\[(\w+)\]"', plain.split()[-1])
        lists = configparser.ConfigParser(interpolation=None)
        lists.read(os.path.join(ROOT, "setup.cfg"), encoding="utf-8")
        extras = lists["options.extras_require"]
        assert extra.group(1) in extras if extra else plain.split()[-1] in extras["data"].split()
    else:
        assert plain.startswith("docker run --rm "), "followed by nothing: " + plain
        with open(os.path.join(ROOT, "Containerfile"), encoding="utf-8") as file:
            assert "#   %s\n" % plain in file.read()  # which tests/prove/containers follows, word for word


def _use_command(command: str, directory: Any) -> None:
    """Run a command on files of the names that it has, and check that it makes what it says."""
    (directory / "data.csv").write_text("1\n2\n")
    (directory / "plot.py").write_text("open('rows.png', 'w').write(open('data.csv').read())")
    (directory / "jobs.jsonl").write_text('{"id": "17", "code": "print(6 * 7)"}\n')
    _run(["sh", "-c", command.replace("pyexec", f"{sys.executable} -m pyexec", 1)], directory)
    if command.startswith("pyexec run"):
        assert (directory / "results" / "rows.png").read_text() == "1\n2\n"
    else:
        assert json.loads((directory / "results.jsonl").read_text())["execution_details"]["stdout"] == "42\n"


def _check_target(command: str) -> None:
    words = command.split()
    name = words[1] if words[0] == "make" else words[2]
    usage = subprocess.run(["sh", os.path.join(ROOT, "setup.sh")], stdout=subprocess.PIPE, text=True)
    assert usage.returncode == 2 and re.search(r"^sh setup\.sh %s\b" % re.escape(name), usage.stdout, re.MULTILINE)
    assert name in text_of("Makefile").split(".PHONY:")[1].splitlines()[0].split()
    if name == "bench":
        known = _run([sys.executable, "-m", "benchmarks", "--help"], ROOT)
        for flag in re.findall(r" (--[\w-]+)", command):
            assert flag in known


@pytest.mark.parametrize("name", PAGES)
def test_commands_in_the_text_exist(name: str) -> None:
    for code in re.findall(r"`([^`\n]+)`", TEXTS[name]):
        if re.match(r"make \w|sh setup\.sh \w", code):
            _check_target(code)
        found = re.match(r"(?:python -m pyexec|pyexec)(?: (\w+))?(?: |$)", code)
        if found and found.group(1):
            assert found.group(1) in COMMANDS, code
        script = re.match(r"python3? (\w+/[\w/]+\.py)$", code)
        assert not script or os.path.isfile(os.path.join(ROOT, script.group(1))), code


@pytest.mark.parametrize("name", PAGES)
def test_settings_in_the_text_exist(name: str) -> None:
    flags = {setting.flag for setting in config.SETTINGS} | {"--admin", "--help", "--version", "--privileged"}
    variables = {setting.variable for setting in config.SETTINGS} | {
        config.KEY_VARIABLE,
        config.LIMITS_VARIABLE,
        "PYEXEC_DATA_NAME",
    }
    flags |= {"--attach", "--return", "--out", "--url"}
    for code in re.findall(r"`(--[\w-]+)", TEXTS[name]):
        assert code in flags, code
    for variable in re.findall(r"\b(?:PYEXEC|PYTHON_EXE)_[A-Z_]+\b", TEXTS[name]):
        assert variable in variables, variable


def _run_example(server: Any, directory: Any, source: str) -> None:
    """Run a Python example as it stands, but for the address; what a comment beside a print says must be printed."""
    from PIL import Image

    Image.new("RGB", (4, 3), "red").save(str(directory / "input_photo.jpg"))
    printed = _run([sys.executable, "-c", ADDRESS.sub(server.url, source)], directory).splitlines()
    promised = re.findall(r"^ *print\(.*\)  # (.*)$", source, re.MULTILINE)
    assert promised == [] or printed == promised
    if "output_grayscale.png" in source:
        with Image.open(str(directory / "output_grayscale.png")) as picture:
            assert (picture.mode, picture.size) == ("L", (4, 3))


@pytest.mark.parametrize("source", blocks("python"))
def test_a_python_example_works(server, tmp_path, source: str) -> None:
    _run_example(server, tmp_path, source)


def _samples() -> Dict[str, str]:
    pattern = r'<div class="sample" data-title="(.*?)"><pre[^>]*><code[^>]*>(.*?)</code></pre>'
    found = re.findall(pattern, text_of("pyexec/static/index.html"), re.DOTALL)
    return {title: html.unescape(re.sub(r"<[^>]+>", "", text)) for title, text in found}


def test_examples_of_the_page_work(server, tmp_path) -> None:
    samples = _samples()
    got = json.loads(_run(["sh", "-c", ADDRESS.sub(server.url, samples["curl"])], tmp_path))
    assert got["execution_details"]["stdout"] == "The sum is 35\n"


# -- agents ------------------------------------------------------------------------------------------------------------


def test_ten_mistakes_are_answered_as_said(start_server) -> None:
    running = start_server(rate_per_minute=1000, rate_per_day=1000)

    def result_of(arguments: Dict[str, Any]) -> Any:
        return ask_modern(running.port, "tools/call", {"name": "execute_python", "arguments": arguments}).document[
            "result"
        ]

    def call(arguments: Dict[str, Any]) -> str:
        return str(result_of(arguments)["content"][0]["text"])

    assert len(agents.MISTAKES) == 10
    for mistake in agents.MISTAKES:
        corrected = result_of(mistake.corrected)
        assert not corrected["isError"] and "printed nothing" not in corrected["content"][0]["text"], mistake.what
    page = TEXTS["docs/agents.md"]
    assert page == agents.written(page, "mistakes", agents.mistakes(agents.answers_of(call)))


def test_the_schemas_are_those_of_the_tool() -> None:
    page = TEXTS["docs/agents.md"]
    assert page == agents.written(page, "schemas", agents.schemas())


def test_the_configurations_of_clients_are_json() -> None:
    for text in re.findall(r"^```json\n(.*?)^```", TEXTS["docs/agents.md"], re.DOTALL | re.MULTILINE):
        found = json.loads(text)
        entry = (found.get("mcpServers") or found.get("servers") or {}).get("pyexec", {})
        assert "url" not in entry or entry["url"] == "http://127.0.0.1:5000/mcp"
        if "args" in entry:  # which tests/prove/containers follows, word for word
            assert entry["command"] == "docker" and entry["args"][-2:] == ["pyexec", "mcp"]


# -- pages and links ---------------------------------------------------------------------------------------------------


def _anchors(text: str) -> List[str]:
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads]


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r'\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)"', TEXTS[name]):
        path, _, anchor = "".join(target).partition("#")
        if path.startswith("http"):
            continue
        file = os.path.normpath(os.path.join(ROOT, os.path.dirname(name), path)) if path else os.path.join(ROOT, name)
        assert os.path.exists(file), path
        if anchor:
            assert anchor in _anchors(text_of(os.path.relpath(file, ROOT))), target


@pytest.mark.parametrize("name", [name for name in PAGES if name != "docs/comparison.md"])  # files of other projects
def test_files_named_in_the_text_exist(name: str) -> None:
    for path in re.findall(r"`((?:pyexec|tests|docs|benchmarks|requirements|\.ci)/[\w./-]*)`", TEXTS[name]):
        assert os.path.exists(os.path.join(ROOT, path)), path


def test_every_page_is_linked_from_the_readme_and_is_in_the_archive() -> None:
    manifest = text_of("MANIFEST.in").split()
    for name in PAGES:
        assert name == "README.md" or "(%s)" % name in README, name
        assert "/" in name or name in manifest, name


def test_pictures_are_small() -> None:
    names = {name for text in (README, API) for name in re.findall(r"page-[\w-]+\.png", text)}
    assert len(names) == 4
    assert sum(os.path.getsize(os.path.join(ROOT, "docs", name)) for name in names) < 300 * 1024
