"""What the web page says in words, against the code: errors, fields, limits, paths, examples. No browser is needed."""

from __future__ import annotations

import html
import json
import re
from typing import List

import pytest
from jsonschema import Draft202012Validator
from servers import ADMIN_KEY
from support import STATUS_OF

from pyexec import config
from pyexec.api import openapi, pages, schemas
from pyexec.api import request as contract

PAGE = pages.PAGES["/"].content.decode("utf-8")


def _section(name: str) -> str:
    found = re.search(r'<section id="%s">(.*?)</section>' % name, PAGE, re.DOTALL)
    assert found, name
    return found.group(1)


def _samples(section: str) -> List[str]:
    texts = re.findall(r"<pre[^>]*><code[^>]*>(.*?)</code></pre>", _section(section), re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]+>", "", text)) for text in texts]


def test_every_error_stands_there_with_its_status() -> None:
    pairs = re.findall(r'<code>(\w+)</code> <span class="type">(\d+)</span>', _section("errors"))
    assert {kind: int(status) for kind, status in pairs} == STATUS_OF and len(pairs) == len(STATUS_OF)


def test_every_field_stands_there_with_its_type() -> None:
    pairs = re.findall(r'<dt><code>(\w+)</code> <span class="type">(.*?)</span>', _section("request"))
    assert sorted(name for name, _ in pairs) == sorted(contract.FIELDS)
    for name, kind in pairs:
        described = schemas.request(config.Config.of())["properties"][name]["type"]
        assert kind.split()[0].rstrip(",") in described


@pytest.mark.parametrize("section, name", [("answer", "Success"), ("errors", "Error")])
def test_the_examples_are_as_described(section: str, name: str) -> None:
    (sample,) = _samples(section)
    described = dict(schemas.ref(name), components=openapi.document(config.Config.of())["components"])
    example = json.loads(sample)
    for added in ("stdout_truncated", "stderr_truncated"):  # the contract's own example is without these two
        if name == "Success":
            example["execution_details"][added] = False
    Draft202012Validator(described).validate(example)


def test_every_limit_has_words() -> None:
    docs = pages.PAGES["/static/docs.js"].content.decode("utf-8")
    table = docs.split("const LIMITS = {")[1].split("\n};")[0]
    assert set(re.findall(r"^  (\w+): \[", table, re.MULTILINE)) == set(schemas.PUBLIC_LIMITS)
    assert set(re.findall(r'data-limit="(\w+)"', PAGE)) <= set(schemas.PUBLIC_LIMITS)


def test_no_default_is_typed_twice() -> None:
    """Numbers of limits come from the server; they stand in the page's text nowhere, but in the contract's examples."""
    prose = re.sub(r"<pre.*?</pre>", "", PAGE, flags=re.DOTALL)
    for number in ("2,?000", "8 MB", "512", "10 s", "64 M", r"1,?000\b(?! ×)", r"\b30\b(?! )"):
        assert not re.search(number, re.sub(r"<[^>]+>", "", prose)), number
    for module in config.DEFAULT_MODULES:
        assert not re.search(r"<code>%s</code>" % module, prose) or module in ("requests",), module


def test_every_path_stands_there() -> None:
    listed = set(re.findall(r"<code>(?:GET|POST) (/[\w.]*)</code>", _section("endpoints")))
    assert listed | {"/"} == set(openapi.document(config.Config.of())["paths"])


def test_no_file_names_another_host() -> None:
    for path, page in pages.PAGES.items():
        text = page.content.decode("utf-8")
        hosts = set(
            re.findall(r"""(?:https?:)?//([\w.-]+\.[\w.-]+)""", re.sub(r"^\s*//.*$|[^:]// .*$", "", text, flags=re.M))
        )
        assert hosts <= {"www.w3.org", "127.0.0.1"}, path
        assert "eval(" not in text and "innerHTML" not in text and "document.write" not in text
        assert ADMIN_KEY not in text


def test_every_module_is_preloaded() -> None:
    """Without that, modules load one after the other: each import is seen only when its file is there."""
    preloaded = set(re.findall(r'<link rel="modulepreload" href="(static/\w+\.js)">', PAGE))
    assert {"/" + path for path in preloaded} | {
        "/",
        "/static/app.js",
        "/static/style.css",
        "/static/noscript.css",
    } == set(pages.PAGES)
