"""What the attacks in `escapes/` show, as tables: one row a danger for the README, one row an attack for docs/claims.md.

    python tests/tools/claims.py        writes both anew

A claim stands there only because an attack's head makes it, and `test_escapes.py` holds every head to the truth.
"""

from __future__ import annotations

import ast
import os
import sys
from typing import Dict, List, Sequence, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ESCAPES = os.path.join(ROOT, "tests", "escapes")
PAGE = os.path.join(ROOT, "docs", "claims.md")
README = os.path.join(ROOT, "README.md")
START, END = "<!-- written by tests/tools/claims.py: start -->\n", "<!-- written by tests/tools/claims.py: end -->\n"

# EFAULT: the kernel would have done it, had the attack named an address that is there.
SUCCESS = {"ok", "EFAULT"}
# What a kernel answers to a call, an address family, a protocol or an option that it was built without.
NOT_OFFERED = {"ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "ENOPROTOOPT"}
KINDS = ("root", "user")
FROM = " from ABI "
NEWEST = 1 << 16  # a Landlock that has all that any head asks for
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


def steps(head: Dict[str, str], key: str) -> List[int]:
    """Return the Landlock ABIs from which on a head says something new about a key: 1, and each `KEY from ABI N`."""
    return sorted({1} | {_line(name)[1] for name in head if _line(name)[0].partition("@")[0] == key})


def _line(name: str) -> Tuple[str, int]:
    """Return the key of a line, with its kind of host, and the ABI from which on it holds."""
    key, _, abi = name.partition(FROM)
    return key, int(abi) if abi else 1


def expected(head: Dict[str, str], key: str, kinds: Sequence[str], abi: int = NEWEST) -> str:
    """Return what must come of an attack; a layer that is not named leaves it as it is without any.

    Args:
        head: of the attack. key: "control", a layer, "all", "admin" or "without LAYER".
        kinds: of host, the nearest first: a line `KEY@KIND` goes before the plain one.
        abi: Landlock's, as the kernel has it: of several lines `KEY from ABI N` the last that it has reached holds.
    """
    for wanted in ["%s@%s" % (key, kind) for kind in kinds] + [key]:
        lines = [(_line(name)[1], word) for name, word in head.items() if _line(name)[0] == wanted]
        reached = [line for line in lines if line[0] <= abi]
        if reached:
            return max(reached)[1]
    return expected(head, "control", kinds, abi) if key != "control" else "ok"


def not_offered(head: Dict[str, str], control: str) -> bool:
    """Return whether an attack failed without any layer because this kernel lacks what it calls for."""
    return control in NOT_OFFERED or control in head.get("absent", "").split()


def stops_alone(head: Dict[str, str], layer: str, abi: int = NEWEST) -> bool:
    """Return whether a layer by itself stops an attack, for root and for an ordinary user alike."""
    able = [kind for kind in KINDS if expected(head, "control", (kind,), abi) in SUCCESS]
    return bool(able) and all(expected(head, layer, (kind,), abi) not in SUCCESS for kind in able)


def by_danger() -> Dict[str, List[Tuple[str, Dict[str, str]]]]:
    """Return danger → attacks with their heads."""
    found: Dict[str, List[Tuple[str, Dict[str, str]]]] = {}
    for name in ATTACKS:
        head = claims(name)
        found.setdefault(head["danger"], []).append((name, head))
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def _newest_step() -> int:
    """Return the Landlock ABI from which on no head says anything new."""
    return max(abi for name in ATTACKS for head in [claims(name)] for layer in LAYERS for abi in steps(head, layer))


def readme_table() -> str:
    """Return the README's table, one row a danger and one column a layer, and the line below it."""
    names = ["danger", "attacks"] + list(LAYERS.values())
    rows = ["| %s |" % " | ".join(names), "|---" + "|--:" * (len(names) - 1) + "|"]
    for danger, attacks in by_danger().items():
        counts = [sum(stops_alone(head, layer) for _, head in attacks) for layer in LAYERS]
        cells = [str(count) if count else "" for count in counts]
        rows.append("| %s | %d | %s |" % (danger, len(attacks), " | ".join(cells)))
    rows.append("| together | %d | %s |" % (len(ATTACKS), " | ".join("" for _ in LAYERS)))
    note = "With Landlock's ABI %d; [docs/claims.md](docs/claims.md) says what older kernels stop." % _newest_step()
    return "\n".join(rows) + "\n\n" + note + "\n"


def _since(word: str, abi: int) -> str:
    return word + (FROM + str(abi) if abi > 1 else "")


def _cell(head: Dict[str, str], key: str) -> str:
    if key in LAYERS and not any(_line(name)[0].partition("@")[0] == key for name in head):
        return ""
    since = {_line(name)[1] for name in head if _line(name)[0].partition("@")[0] == key}
    words: List[str] = []
    for abi in sorted(since or {1}):
        said = [expected(head, key, (kind,), abi) for kind in KINDS]
        words.append(_since(said[0] if said[0] == said[1] else "%s, user: %s" % tuple(said), abi))
    if key == "control" and "absent" in head:
        words.append("%s: not offered" % ", ".join(head["absent"].split()))
    return "; ".join(words)


def page() -> str:
    """Return the whole page of claims."""
    parts = [
        "# What each layer stops\n",
        "Written by `python tests/tools/claims.py` from the heads of the attacks in `tests/escapes/`; don't edit. Each"
        " attack runs with\nno layer, behind each layer alone, behind all, and behind all but one; the tests check every"
        " cell down to the errno or signal.\nAn empty cell: that layer alone makes no difference. `EFAULT`: the kernel"
        " would have done it, had the attack passed a valid\naddress. `from ABI N`: with an older Landlock that layer"
        " makes no difference, unless the cell says otherwise. `not offered`:\nthe answer of a kernel without the feature"
        " that the attack needs, which then shows nothing. The table shows hosts that\naren't containers; the heads say"
        " where containers differ.\n",
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
            if cells[-1].startswith("ok"):
                cells[-1] += " (%s)" % head["contained"]
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
