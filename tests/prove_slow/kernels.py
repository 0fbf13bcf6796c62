"""Proof: on the kernels that users really have, and on both architectures, pyexec starts, works and contains every attack.

The kernels are Debian's, booted in QEMU by emulation, so that the proof needs neither KVM nor a machine of the other
architecture. `machines` makes and boots them, `guest` is what runs there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Tuple

from tests.prove_slow import machines
from tests.prove_slow.outcomes import SuiteError
from tests.prove_slow.report import Section, table

NAME = "kernels"
_MARK = "PYEXEC-GUEST "  # as `guest` writes it, which needs the libraries of a guest and isn't imported here
_MOST_NAMED = 25  # troubles of each kernel in the report; more are counted
_ON = "  on  "  # as `doctor` marks a layer
_MACHINES = {"x86-64": "x86_64", "arm64": "aarch64"}
_KINDS = ("kernel", "doctor", "server", "photo", "stopped", "attacks", "end")
ROLES = ("root", "user")


@dataclass(frozen=True)
class Findings:
    """What a guest said in one role: its findings by kind, and each attack by its name."""

    said: Dict[str, Dict[str, Any]]
    attacks: Dict[str, Dict[str, Any]]

    @property
    def contained(self) -> int:
        """How many attacks ended as they should."""
        return sum(not each["troubles"] for each in self.attacks.values())

    @property
    def wanted(self) -> List[str]:
        """The names of all attacks that there are for this machine."""
        return list(self.said.get("attacks", {}).get("names", ()))

    def troubles(self) -> Iterator[str]:
        """Yield what is not as it should be, and what is missing; nothing if the claim holds."""
        for kind in _KINDS:
            if kind not in self.said:
                yield "no word of %s" % kind
        for broken in [self.said[kind] for kind in ("broken",) if kind in self.said]:
            yield "%(part)s broke off: %(why)s" % broken
        doctor = self.said.get("doctor")
        if doctor and (doctor["status"] or "No danger is uncovered." not in doctor["text"]):
            yield "doctor: %s" % doctor["text"].strip()[-300:]
        photo = self.said.get("photo")
        if photo and photo["trouble"]:
            yield "the photo: %s" % photo["trouble"]
        if self.said.get("stopped", {"status": 0})["status"]:
            yield "the server stopped with status %d" % self.said["stopped"]["status"]
        if not self.wanted:
            yield "no attack was tried"
        for name in self.wanted:
            if name not in self.attacks:
                yield "`%s` was not tried" % name
            for trouble in self.attacks.get(name, {"troubles": ()})["troubles"]:
                yield "`%s`: %s" % (name, trouble)

    def layers(self) -> str:
        """Return the layers that `doctor` calls on."""
        doctor: Dict[str, Any] = self.said.get("doctor", {"text": ""})
        lines = [line[len(_ON) :] for line in doctor["text"].splitlines() if line.startswith(_ON)]
        return ", ".join(line.split()[0] for line in lines)


@dataclass(frozen=True)
class Boot:
    """One machine: what was found in each role, how long that took, and why it couldn't be tried."""

    machine: machines.Machine
    roles: Dict[str, Findings]
    seconds: float
    trouble: str = ""

    def troubles(self) -> List[str]:
        """Return what is wrong, each with the role in which it is; empty if the claim holds."""
        if self.trouble:
            return [self.trouble]
        found = [(role, trouble) for role in ROLES for trouble in self.roles[role].troubles()]
        return ["as %s: %s" % each for each in [*self._another(), *found]]

    def _another(self) -> Iterator[Tuple[str, str]]:
        """Yield what tells that another kernel ran than the machine's name says."""
        series, machine = self.machine.name.split("-", 1)
        for role in ROLES:
            kernel = self.roles[role].said.get("kernel")
            if kernel and not kernel["release"].startswith(series + "."):
                yield role, "this is Linux %s" % kernel["release"]
            if kernel and kernel["machine"] != _MACHINES[machine]:
                yield role, "this is a machine of type %s" % kernel["machine"]


def read(console: str) -> Dict[str, Findings]:
    """Return what the marked lines of a console say, by role. Raises SuiteError for one that can't be read."""
    found = {role: Findings({}, {}) for role in ROLES}
    for line in console.splitlines():
        if not line.startswith(_MARK):
            continue
        try:
            role, kind, words = json.loads(line[len(_MARK) :])
            if kind == "attack":
                found[role].attacks[words["name"]] = words
            else:
                found[role].said[kind] = words
        except (ValueError, KeyError):
            raise SuiteError("a guest said %r" % line[:200]) from None
    return found


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the option that narrows this proof, for development."""
    names = [machine.name for machine in machines.MACHINES]
    parser.add_argument("--kernel", choices=names, action="append", help="only this kernel (may be repeated)")


def narrowed(options: argparse.Namespace) -> bool:
    """Return whether this is less than the whole proof, in which case its result is not recorded."""
    return bool(options.kernel)


def prove(options: argparse.Namespace) -> Section:
    """Boot one machine after the other."""
    wanted = [each for each in machines.MACHINES if not options.kernel or each.name in options.kernel]
    boots = [_tried(machine, os.path.join(options.archives, NAME)) for machine in wanted]
    held = not any(boot.troubles() for boot in boots)
    return Section("Real kernels, and both architectures", _body(boots), held)


def _tried(machine: machines.Machine, folder: str) -> Boot:
    _say("%s: booting" % machine.name)
    try:
        console, seconds = machines.boot(machine, folder)
        boot = Boot(machine, read(console), seconds)
    except SuiteError as error:
        boot = Boot(machine, read(""), 0.0, str(error))
    for trouble in boot.troubles():
        _say("%s: %s" % (machine.name, trouble))
    _say("%s: ended after %.0f s" % (machine.name, boot.seconds))
    return boot


def _body(boots: List[Boot]) -> str:
    lines = [
        "Debian's own kernels and Python, with the libraries that requirements/runtime.txt pins, in QEMU by emulation",
        "(no KVM, one processor). In each, as root and as an ordinary user: `doctor` looks at the kernel; a server with",
        "the default settings turns a photo into a grayscale one; and every attack of `tests/escapes/` that there is",
        "machine code for runs without layers, behind each layer alone, and behind all of them by the rules of public",
        "scripts and of admins. Contained: it ended each time exactly as its head says, down to the errno or signal.",
        "Open: with no layer it gets what it is after; the others need root, or what that kernel doesn't offer.",
        "",
        table(_COLUMNS, [_row(boot, role) for boot in boots for role in ROLES]),
        "",
    ]
    found = {(boot.machine.name, role): boot.roles[role].layers() for boot in boots for role in ROLES}
    for layers in sorted(set(found.values())):
        places = ", ".join("%s (%s)" % place for place in found if found[place] == layers)
        lines.append("- Layers on in %s: %s." % (places, layers or "unknown"))
    for boot in boots:
        troubles = boot.troubles()
        lines += ["- %s: %s" % (boot.machine.name, " ".join(each.split())) for each in troubles[:_MOST_NAMED]]
        if len(troubles) > _MOST_NAMED:
            lines.append("- %s: and %d more." % (boot.machine.name, len(troubles) - _MOST_NAMED))
    return "\n".join(lines)


_COLUMNS = ("kernel", "machine", "as", "Landlock", "photo", "contained", "open without layers", "done after")


def _row(boot: Boot, role: str) -> List[object]:
    """Return one line of the table; the time is counted from when the kernel started."""
    findings = boot.roles[role]
    kernel, photo, attacks, end = (findings.said.get(kind) for kind in ("kernel", "photo", "attacks", "end"))
    return [
        kernel["release"] if kernel else boot.machine.name,
        kernel["machine"] if kernel else boot.machine.architecture,
        role,
        "ABI %d" % attacks["landlock_abi"] if attacks else "?",
        "right" if photo and not photo["trouble"] else "wrong",
        "%d / %d" % (findings.contained, len(findings.wanted)),
        sum(each["open"] for each in findings.attacks.values()),
        "%.0f s" % end["uptime"] if end else "never",
    ]


def _say(text: str) -> None:
    print("prove-slow: " + text, file=sys.stderr, flush=True)
