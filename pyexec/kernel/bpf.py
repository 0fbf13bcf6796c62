"""Assemble rules about system calls into a program for seccomp, and simulate it. Pure: makes no system call itself.

Runs in the zygote, once for each kind of child, and in tests. Knows no policy: what no rule names gets the default
action. The simulator runs the assembled instructions as the kernel would, so that a test can walk the whole system call
table of both machines. Programs never read memory: a check compares an argument's bits, nothing that it points to.

Source: linux/filter.h, linux/seccomp.h and Documentation/userspace-api/seccomp_filter.rst.
"""

from __future__ import annotations

import operator
import struct
from typing import NamedTuple, Sequence

# Instruction codes: class | size or operation | mode or source.
LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JUMP = 0x05  # BPF_JMP | BPF_JA
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

_COMPARISONS = {JUMP_EQUAL: operator.eq, JUMP_GREATER: operator.gt, JUMP_AT_LEAST: operator.ge}

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6].
OFFSET_NR, OFFSET_ARCH, OFFSET_ARGS = 0, 4, 16

RET_KILL_PROCESS = 0x80000000
RET_ERRNO = 0x00050000
RET_SUCCESS = RET_ERRNO  # with errno 0: the caller gets 0, and the call isn't made
RET_ALLOW = 0x7FFF0000

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# A jump's distance is one byte, so that only so many comparisons can share a target.
_LONGEST_RUN = 250
_LONGEST_PROGRAM = 4096  # BPF_MAXINSNS
INSTRUCTION_BYTES = 8


class Instruction(NamedTuple):
    """One ``struct sock_filter``."""

    code: int
    jump_true: int
    jump_false: int
    k: int


class Check(NamedTuple):
    """A condition on one argument: ``argument & mask`` is one of `values`.

    `width` is 32 for C ints, of which the kernel drops the upper half, and 64 for longs and pointers.
    """

    argument: int
    width: int
    mask: int
    values: tuple[int, ...]


class Rule(NamedTuple):
    """What happens to one call: `action` when every check holds, the default otherwise."""

    nr: int
    checks: tuple[Check, ...]
    action: int


def errno_action(number: int) -> int:
    """Return the action that makes a call fail with this errno."""
    if not 0 < number < 4096:
        raise ValueError(f"errno must be 1 to 4095, not {number!r}")
    return RET_ERRNO | number


def assemble(arch: int, rules: Sequence[Rule], default: int) -> list[Instruction]:
    """Return the program for these rules.

    A call made through another architecture's entry ends the process: its numbers mean other calls.

    Raises:
        ValueError: a call has two rules, or the program is longer than the kernel takes.
    """
    numbers = [rule.nr for rule in rules]
    if len(set(numbers)) != len(numbers):
        raise ValueError("a system call has two rules")
    program = [
        Instruction(LOAD_WORD, 0, 0, OFFSET_ARCH),
        Instruction(JUMP_EQUAL, 1, 0, arch),
        Instruction(RETURN, 0, 0, RET_KILL_PROCESS),
        Instruction(LOAD_WORD, 0, 0, OFFSET_NR),
    ]
    plain = [rule for rule in rules if not rule.checks]
    for action in sorted({rule.action for rule in plain}, reverse=True):
        same = [rule.nr for rule in plain if rule.action == action]
        for start in range(0, len(same), _LONGEST_RUN):
            program += _any_of(same[start : start + _LONGEST_RUN], action)
    for rule in rules:
        if rule.checks:
            body = _checked(rule, default)
            program.append(Instruction(JUMP_EQUAL, 0, len(body), rule.nr))
            program += body
    program.append(Instruction(RETURN, 0, 0, default))
    if len(program) > _LONGEST_PROGRAM:
        raise ValueError(f"{len(program)} instructions are more than the kernel's {_LONGEST_PROGRAM}")
    return program


def _any_of(values: Sequence[int], action: int) -> list[Instruction]:
    """Return instructions that end with `action` if the accumulator is one of `values`, else fall through."""
    tests = _matching(values, 1)
    return tests + [Instruction(JUMP, 0, 0, 1), Instruction(RETURN, 0, 0, action)]


def _matching(values: Sequence[int], beyond: int) -> list[Instruction]:
    """Return instructions that skip `beyond` more behind them if the accumulator is one of `values`.

    Numbers that follow each other take two comparisons together: each child pays for the kernel's compiling of each.
    """
    ranges: list[list[int]] = []
    for value in sorted(values):
        if ranges and value == ranges[-1][1] + 1:
            ranges[-1][1] = value
        else:
            ranges.append([value, value])
    found: list[Instruction] = []
    for first, last in reversed(ranges):  # a jump's distance is known from the end
        if first == last:
            found.insert(0, Instruction(JUMP_EQUAL, len(found) + beyond, 0, first))
        else:
            found.insert(0, Instruction(JUMP_GREATER, 0, len(found) + beyond, last))
            found.insert(0, Instruction(JUMP_AT_LEAST, 0, 1, first))
    return found


def _checked(rule: Rule, default: int) -> list[Instruction]:
    """Return the body of a rule with checks: it always ends, in the rule's action or in the default."""
    body: list[Instruction] = []
    for check in rule.checks:
        low = OFFSET_ARGS + 8 * check.argument  # little-endian on both machines: the low word comes first
        words = [(low, 0)] if check.width == 32 else [(low, 0), (low + 4, 32)]
        for offset, shift in words:
            mask = (check.mask >> shift) & 0xFFFFFFFF
            # Per word: exact for one value, and for several as long as they differ in the low word only.
            values = sorted({(value >> shift) & 0xFFFFFFFF for value in check.values})
            if shift and len(values) > 1:
                raise ValueError("alternatives may differ in the low 32 bits only")
            if mask == 0 and values == [0]:
                continue  # it says nothing about this word
            body.append(Instruction(LOAD_WORD, 0, 0, offset))
            if mask != 0xFFFFFFFF:
                body.append(Instruction(AND, 0, 0, mask))
            body += [*_matching(values, 1), Instruction(RETURN, 0, 0, default)]
    body.append(Instruction(RETURN, 0, 0, rule.action))
    return body


def encode(program: Sequence[Instruction]) -> bytes:
    """Return the program as an array of ``struct sock_filter``."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def simulate(program: Sequence[Instruction], arch: int, nr: int, arguments: Sequence[int] = ()) -> int:
    """Return the action that the kernel would take for this call.

    Raises:
        ValueError: the program runs off its end or holds an instruction that `assemble` never makes.
    """
    padded = tuple(arguments) + (0,) * (6 - len(arguments))
    data = struct.pack("=IIQ6Q", nr & 0xFFFFFFFF, arch, 0, *(a & (2**64 - 1) for a in padded))
    accumulator, index = 0, 0
    while index < len(program):
        code, jump_true, jump_false, k = program[index]
        index += 1
        if code == LOAD_WORD:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif code == AND:
            accumulator &= k
        elif code == JUMP:
            index += k
        elif code in _COMPARISONS:
            index += jump_true if _COMPARISONS[code](accumulator, k) else jump_false
        elif code == RETURN:
            return k
        else:
            raise ValueError(f"unknown instruction code {code:#x}")
    raise ValueError("the program runs off its end")
