"""A compiler from an allow-list to seccomp's filter programme. Pure: rules in, bytes out.

1. Another architecture's calls are killed; so are x32's, which share x86_64's architecture.
2. Each rule compares the number, then its conditions on arguments, and returns. A rule without
   conditions only compares, which lets the kernel answer it from a bitmap (Linux 5.11).
3. What no rule names is killed.

A rule's conditions end in a return, so jumps stay inside it and the accumulator is never read
after another value was loaded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

# include/uapi/linux/seccomp.h
ALLOW: Final = 0x7FFF_0000
KILL: Final = 0x8000_0000  # SECCOMP_RET_KILL_PROCESS
_ERRNO: Final = 0x0005_0000

# include/uapi/linux/audit.h: the ELF machine, 64 bit, little-endian
AUDIT_ARCH: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
X32_BIT: Final = 0x4000_0000  # arch/x86/include/uapi/asm/unistd.h

# include/uapi/linux/filter.h and bpf_common.h
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x35, 0x45
MAX_INSTRUCTIONS: Final = 4096  # BPF_MAXINSNS

# struct seccomp_data: nr, arch, instruction pointer, six arguments of 64 bits
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16


def refuse(code: int) -> int:
    """The action that returns ``code`` as errno instead of making the call."""
    return _ERRNO | code


@dataclass(frozen=True, slots=True)
class NoBits:
    """None of ``mask`` is set in the low half of an argument."""

    argument: int
    mask: int


@dataclass(frozen=True, slots=True)
class AllBits:
    """All of ``mask`` are set in the low half of an argument."""

    argument: int
    mask: int


@dataclass(frozen=True, slots=True)
class IsInt:
    """An argument that the kernel takes as a 32-bit value equals ``value``."""

    argument: int
    value: int


@dataclass(frozen=True, slots=True)
class IsNull:
    """An argument that the kernel takes as a pointer is null."""

    argument: int


Condition = NoBits | AllBits | IsInt | IsNull


@dataclass(frozen=True, slots=True)
class Rule:
    """One call: ``action`` where every condition holds, ``otherwise`` where one does not."""

    call: str
    conditions: tuple[Condition, ...] = ()
    action: int = ALLOW
    otherwise: int = KILL


@dataclass(frozen=True, slots=True)
class _Jump:
    """A conditional jump; ``fails`` when the comparison comes out as this, else falls through."""

    code: int
    operand: int
    fails: bool


def compile_filter(
    rules: Sequence[Rule], machine: str, number: Callable[[str], int | None]
) -> bytes:
    """The programme: an array of ``struct sock_filter`` (8 bytes each).

    Calls that ``machine`` does not have are left out.

    Raises:
        ValueError: no such machine, a rule too long to jump over, or too many instructions.
    """
    if machine not in AUDIT_ARCH:
        raise ValueError(f"no audit architecture for {machine}")
    code = [
        _pack(_LOAD, _ARCH),
        _pack(_IF_EQUAL, AUDIT_ARCH[machine], yes=1),
        _pack(_RETURN, KILL),
        _pack(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        code += [_pack(_IF_AT_LEAST, X32_BIT, no=1), _pack(_RETURN, KILL)]
    for rule in rules:
        place = number(rule.call)
        if place is not None:
            body = _body(rule)
            code += [_pack(_IF_EQUAL, place, no=len(body)), *body]
    code.append(_pack(_RETURN, KILL))
    if len(code) > MAX_INSTRUCTIONS:
        raise ValueError(f"{len(code)} instructions are more than a filter may have")
    return b"".join(code)


def _body(rule: Rule) -> list[bytes]:
    steps = [step for condition in rule.conditions for step in _test(condition)]
    end = len(steps) + 1  # steps, the action, then ``otherwise``
    body = []
    for place, step in enumerate(steps):
        if isinstance(step, _Jump):
            distance = end - place - 1
            yes, no = (distance, 0) if step.fails else (0, distance)
            body.append(_pack(step.code, step.operand, yes, no))
        else:
            body.append(step)
    body.append(_pack(_RETURN, rule.action))
    if steps:
        body.append(_pack(_RETURN, rule.otherwise))
    return body


def _test(condition: Condition) -> list[bytes | _Jump]:
    low = _ARGUMENTS + 8 * condition.argument  # little-endian: the low half comes first
    match condition:
        case NoBits(_, mask):
            return [_pack(_LOAD, low), _Jump(_IF_ANY_BIT, mask, fails=True)]
        case AllBits(_, mask):
            equal = _Jump(_IF_EQUAL, mask, fails=False)
            return [_pack(_LOAD, low), _pack(_AND, mask), equal]
        case IsInt(_, value):
            return [_pack(_LOAD, low), _Jump(_IF_EQUAL, value & 0xFFFF_FFFF, fails=False)]
        case IsNull():
            zero = _Jump(_IF_EQUAL, 0, fails=False)
            return [_pack(_LOAD, low), zero, _pack(_LOAD, low + 4), zero]


def _pack(code: int, operand: int, yes: int = 0, no: int = 0) -> bytes:
    if max(yes, no) > 0xFF:
        raise ValueError("a rule is too long to jump over")
    return struct.pack("=HBBI", code, yes, no, operand)
