"""The scripts of `corpus/`. A script says in its leading comments what it needs (values are Python literals):

# admin                   it imports modules that public scripts may not; otherwise it runs as public and as admin
# tree                    it needs a file tree of its own
# deletes                 it deletes or replaces files, which public scripts can't on a disk
# metadata                it sets modes and times of files, which do nothing without a file tree and a uid of its own
# python: 3.10            the first version that can run it; older ones don't collect it
# stdin: "text\\n"         its standard input
# attach: NAME "content"  a file put beside it; may stand more than once
# files: a.txt b.bin      files that it writes, compared byte for byte
"""

from __future__ import annotations

import ast
import os
import re
from typing import List, NamedTuple, Tuple

from support import ROOT

from pyexec.job import Attachment

CORPUS = os.path.join(ROOT, "tests", "corpus")
_DIRECTIVE = re.compile(r"# *(admin|tree|deletes|metadata|python|stdin|attach|files)(?:: *(.*))?")


class Script(NamedTuple):
    """One file of the corpus."""

    name: str
    source: bytes
    admin: bool
    tree: bool
    deletes: bool
    metadata: bool
    python: Tuple[int, ...]
    stdin: bytes
    attachments: Tuple[Attachment, ...]
    files: Tuple[str, ...]


def _content(literal: str) -> bytes:
    value = ast.literal_eval(literal)
    return value if isinstance(value, bytes) else value.encode("utf-8")


def read_script(path: str) -> Script:
    """Return a script with its directives."""
    with open(path, "rb") as file:
        source = file.read()
    python, stdin, files = (3, 8), b"", ""
    said = set()
    attachments: List[Attachment] = []
    for line in source.decode("utf-8-sig").splitlines():
        if not line.startswith("#"):
            break
        found = _DIRECTIVE.fullmatch(line)
        if found is None:
            continue
        word, value = found.groups()
        said.add(word)
        if word == "python":
            python = tuple(int(part) for part in value.split("."))
        elif word == "stdin":
            stdin = _content(value)
        elif word == "files":
            files = value
        elif word == "attach":
            name, literal = re.fullmatch(r'(.+?) (b?".*")', value).groups()
            attachments.append(Attachment(name, _content(literal)))
    name = os.path.basename(path)[: -len(".py")]
    return Script(
        name,
        source,
        *(word in said for word in ("admin", "tree", "deletes", "metadata")),
        python,
        stdin,
        tuple(attachments),
        tuple(files.split()),
    )


SCRIPTS = [read_script(os.path.join(CORPUS, name)) for name in sorted(os.listdir(CORPUS)) if name.endswith(".py")]
