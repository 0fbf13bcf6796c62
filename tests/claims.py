"""What the attacks in `escapes/` show, as tables: one row a danger for the README, one row an attack for docs/claims.md.

    python tests/claims.py        writes both anew

A claim stands there only because an attack's head makes it, and `test_escapes.py` holds every head to the truth.
"""

from __future__ import annotations

import ast
import os
import sys
from typing import Dict, List, Sequence, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
ESCAPES = os.path.join(HERE, "escapes")
PAGE = os.path.join(ROOT, "docs", "claims.md")
README = os.path.join(ROOT, "README.md")
START, END = "<!-- written by tests/claims.py: start -->\n", "<!-- written by tests/claims.py: end -->\n"

# EFAULT: the kernel would have done it, had the attack named an address that is there.
SUCCESS = {"ok", "EFAULT"}
KINDS = ("root", "user")
LAYERS = {
    "seccomp": "system call filter",
    "landlock": "Landlock",
    "namespaces": "namespaces",
    "identity": "own uid, no capabilities",
    "rlimits": "rlimits",
}
ATTACKS = sorted(name[:-3] for name in os.listdir(ESCAPES) if name.endswith(".py"))


def claims(name: str) -> Dict[str, str]:
    """Return the lines of an attack's head, and its first line as "claim"."""
    with open(os.path.join(ESCAPES, name + ".py"), encoding="utf-8") as file:
        head = ast.get_docstring(ast.parse(file.read())) or ""
    lines = [line.partition(":") for line in head.splitlines() if ": " in line]
    found = {key.strip(): value.strip() for key, _, value in lines}
    found["claim"] = head.splitlines()[0]
    return found


def expected(head: Dict[str, str], key: str, kinds: Sequence[str]) -> str:
    """Return what must come of an attack; a layer that is not named leaves it as it is without any.

    Args:
        head: of the attack. key: "control", a layer, "all", "admin" or "without LAYER".
        kinds: of host, the nearest first: a line `KEY@KIND` goes before the plain one.
    """
    for kind in kinds:
        if "%s@%s" % (key, kind) in head:
            return head["%s@%s" % (key, kind)]
    return head.get(key, expected(head, "control", kinds) if key != "control" else "ok")


def stops_alone(head: Dict[str, str], layer: str) -> bool:
    """Return whether a layer by itself stops an attack, for root and for an ordinary user alike.

    Where none succeeds even without a layer (a kernel without x32), the layer must give an answer of its own.
    """
    able = [kind for kind in KINDS if expected(head, "control", (kind,)) in SUCCESS]
    if not able:
        return expected(head, layer, KINDS[:1]) != expected(head, "control", KINDS[:1])
    return all(expected(head, layer, (kind,)) not in SUCCESS for kind in able)


def by_danger() -> Dict[str, List[Tuple[str, Dict[str, str]]]]:
    """Return danger → attacks with their heads."""
    found: Dict[str, List[Tuple[str, Dict[str, str]]]] = {}
    for name in ATTACKS:
        head = claims(name)
        found.setdefault(head["danger"], []).append((name, head))
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def readme_table() -> str:
    """Return the README's table."""
    rows = ["| danger | attacks tried | of these each layer stops alone |", "|---|---|---|"]
    for danger, attacks in by_danger().items():
        counts = {layer: sum(stops_alone(head, layer) for _, head in attacks) for layer in LAYERS}
        best = sorted((layer for layer in LAYERS if counts[layer]), key=lambda layer: -counts[layer])
        words = " · ".join("%s %d" % (LAYERS[layer], counts[layer]) for layer in best)
        rows.append("| %s | %d | %s |" % (danger, len(attacks), words))
    rows.append("| together | %d | |" % len(ATTACKS))
    return "\n".join(rows) + "\n"


def _cell(head: Dict[str, str], key: str) -> str:
    said = [expected(head, key, (kind,)) for kind in KINDS]
    if key in LAYERS and not any(name == key or name.startswith(key + "@") for name in head):
        return ""
    return said[0] if said[0] == said[1] else "%s, user: %s" % tuple(said)


def page() -> str:
    """Return the whole page of claims."""
    parts = [
        "# What each layer stops\n",
        "Written by `python tests/claims.py` from the heads of the attacks in `tests/escapes/`; don't edit. Each attack"
        " runs with no\nlayer, behind each layer alone, behind all, and behind all but one; the tests hold every cell to"
        " the exact errno or signal.\nAn empty cell: that layer alone leaves the attack as it is. `EFAULT`: the kernel"
        " would have done it, had the attack named\nmemory that is there. Shown are hosts without a container; the heads"
        " say where containers differ.\n",
    ]
    columns = ["control"] + list(LAYERS) + ["all"]
    names = ["claim", "no layer"] + list(LAYERS.values()) + ["all", "all, admin"]
    for danger, attacks in by_danger().items():
        parts.append("## %s\n" % (danger[0].upper() + danger[1:]))
        rows = ["| %s |" % " | ".join(names), "|" + "---|" * len(names)]
        for name, head in attacks:
            cells = [_cell(head, key) for key in columns]
            admin = _cell(head, "admin") if "admin" in head else cells[-1]
            if admin.startswith("ok"):
                admin += " (%s)" % head["contained"]
            claim = "[%s](../tests/escapes/%s.py)" % (head["claim"], name)
            rows.append("| %s |" % " | ".join([claim] + cells + [admin]))
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def with_table(readme: str) -> str:
    """Return the README's text with the table written anew between its marks."""
    before, _, rest = readme.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError("README.md lacks the marks that the table stands between")
    return before + START + readme_table() + END + after


def main() -> None:
    """Write both."""
    with open(README, encoding="utf-8") as file:
        readme = file.read()
    with open(README, "w", encoding="utf-8") as file:
        file.write(with_table(readme))
    os.makedirs(os.path.dirname(PAGE), exist_ok=True)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page())


if __name__ == "__main__":
    sys.exit(main())
