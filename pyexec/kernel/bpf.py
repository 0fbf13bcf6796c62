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
JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

_COMPARISONS = {JUMP_EQUAL: operator.eq, JUMP_AT_LEAST: operator.ge}

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6].
OFFSET_NR, OFFSET_ARCH, OFFSET_ARGS = 0, 4, 16

RET_KILL_PROCESS = 0x80000000
RET_ERRNO = 0x00050000
RET_SUCCESS = RET_ERRNO  # with errno 0: the caller gets 0, and the call isn't made
RET_ALLOW = 0x7FFF0000

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# A comparison's distances are one byte each; both of its targets may need an instruction of their own before it.
_FARTHEST = 255 - 2
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
    """What happens to one call: `action` when every check holds, else what `others` say of it, else the default."""

    nr: int
    checks: tuple[Check, ...]
    action: int
    others: tuple[tuple[Check, int], ...] = ()  # a check, and the action when it holds


def errno_action(number: int) -> int:
    """Return the action that makes a call fail with this errno."""
    if not 0 < number < 4096:
        raise ValueError(f"errno must be 1 to 4095, not {number!r}")
    return RET_ERRNO | number


def assemble(arch: int, rules: Sequence[Rule], default: int) -> list[Instruction]:
    """Return the program for these rules: a binary search for the call's number, then the checks of its rule.

    A search, since the kernel runs the program once for each call there is whenever a child puts it on, to learn which
    calls are always allowed (Linux 5.11); and shared ends, since each child pays for compiling every instruction.
    A call made through another architecture's entry ends the process: its numbers mean other calls.

    Raises:
        ValueError: a call has two rules, or the program is longer than the kernel takes.
    """
    numbers = [rule.nr for rule in rules]
    if len(set(numbers)) != len(numbers):
        raise ValueError("a system call has two rules")
    made = _Assembly(default)
    made.start_with(made.search(made.ranges(rules)))
    known = made.add(LOAD_WORD, OFFSET_NR)
    foreign = made.add(RETURN, RET_KILL_PROCESS)
    made.compare(JUMP_EQUAL, arch, known, foreign)
    made.add(LOAD_WORD, OFFSET_ARCH)
    program = made.program()
    if len(program) > _LONGEST_PROGRAM:
        raise ValueError(f"{len(program)} instructions are more than the kernel's {_LONGEST_PROGRAM}")
    return program


class _End(NamedTuple):
    """A target that isn't a place yet: the program ends with this action."""

    action: int


class _Range(NamedTuple):
    """Numbers from `first` to the next range's, and where they lead: an end, or a place in the program."""

    first: int
    target: _End | int


class _Assembly:
    """A program from its last instruction to its first, so that the target of each jump is there before the jump.

    A place is the number of instructions behind an instruction.
    """

    def __init__(self, default: int) -> None:
        self._default = _End(default)
        self._backwards: list[Instruction] = []
        self._ends: dict[_End, int] = {}
        self._bodies: dict[Rule, _End | int] = {}

    def program(self) -> list[Instruction]:
        """Return the instructions, first to last."""
        return self._backwards[::-1]

    def add(self, code: int, k: int, jump_true: int = 0, jump_false: int = 0) -> int:
        """Put an instruction before all others; return its place."""
        self._backwards.append(Instruction(code, jump_true, jump_false, k))
        return len(self._backwards) - 1

    def compare(self, code: int, k: int, if_true: _End | int, if_false: _End | int) -> int:
        """Put a comparison of the accumulator before all others; return its place."""
        true, false = self._near(if_true), self._near(if_false)
        here = len(self._backwards)
        return self.add(code, k, here - true - 1, here - false - 1)

    def start_with(self, target: _End | int) -> None:
        """See to it that what is put before all others next goes on at the target."""
        place = self._near(target)
        if place != len(self._backwards) - 1:
            self.add(JUMP, len(self._backwards) - place - 1)

    def _near(self, target: _End | int) -> int:
        """Return a place that a comparison made next can reach, and that leads to the target."""
        place = self._ends.get(target, -1) if isinstance(target, _End) else target
        distance = len(self._backwards) - place - 1
        if 0 <= place and distance <= _FARTHEST:
            return place
        if isinstance(target, _End):
            self._ends[target] = self.add(RETURN, target.action)
            return self._ends[target]
        return self.add(JUMP, distance)

    def ranges(self, rules: Sequence[Rule]) -> list[_Range]:
        """Add the checks of all rules; return the ranges of numbers, in order, from 0 on."""
        found = [_Range(0, self._default)]
        for rule in sorted(rules):
            if found[-1].first == rule.nr:  # no number that nobody names lies between the last rule and this one
                found.pop()
            found += [_Range(rule.nr, self._body(rule)), _Range(rule.nr + 1, self._default)]
        return _joined(found)

    def search(self, ranges: Sequence[_Range]) -> _End | int:
        """Add a binary search; return where it begins."""
        if len(ranges) == 1:
            return ranges[0].target
        if len(ranges) == 3 and ranges[0].target == ranges[2].target and ranges[2].first == ranges[1].first + 1:
            return self.compare(JUMP_EQUAL, ranges[1].first, ranges[1].target, ranges[0].target)
        middle = len(ranges) // 2
        above, below = self.search(ranges[middle:]), self.search(ranges[:middle])
        return self.compare(JUMP_AT_LEAST, ranges[middle].first, above, below)

    def _body(self, rule: Rule) -> _End | int:
        """Add a rule's checks, once for all rules that have the same; return where they begin."""
        key = rule._replace(nr=0)
        if key not in self._bodies:
            otherwise: _End | int = self._default
            for check, action in rule.others:
                otherwise = self._check(check, _End(action), otherwise)
            target: _End | int = _End(rule.action)
            for check in reversed(rule.checks):
                target = self._check(check, target, otherwise)
            self._bodies[key] = target
        return self._bodies[key]

    def _check(self, check: Check, then: _End | int, otherwise: _End | int) -> _End | int:
        """Add one check: it leads to `then` when it holds."""
        low = OFFSET_ARGS + 8 * check.argument  # little-endian on both machines: the low word comes first
        for offset, shift in [(low, 0)] if check.width == 32 else [(low + 4, 32), (low, 0)]:
            mask = (check.mask >> shift) & 0xFFFFFFFF
            # Per word: exact for one value, and for several as long as they differ in the low word only.
            values = sorted({(value >> shift) & 0xFFFFFFFF for value in check.values})
            if shift and len(values) > 1:
                raise ValueError("alternatives may differ in the low 32 bits only")
            if mask == 0 and values == [0]:
                continue  # it says nothing about this word
            edges = {0, *values, *(value + 1 for value in values if value < 0xFFFFFFFF)}
            found = [_Range(edge, then if edge in values else otherwise) for edge in sorted(edges)]
            self.start_with(self.search(_joined(found)))
            if mask != 0xFFFFFFFF:
                self.add(AND, mask)
            then = self.add(LOAD_WORD, offset)
        return then


def _joined(ranges: Sequence[_Range]) -> list[_Range]:
    """Return these ranges with neighbours that lead to the same place as one."""
    return [one for n, one in enumerate(ranges) if not n or one.target != ranges[n - 1].target]


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
