"""The filter as arithmetic: an interpreter of its own runs it over every number and argument."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.keeper.lockdown import seccomp
from strongroom.keeper.lockdown.bpf import (
    ALLOW,
    AUDIT_ARCH,
    KILL,
    X32_BIT,
    AllBits,
    IsInt,
    IsNull,
    NoBits,
    Rule,
    compile_filter,
    refuse,
)
from strongroom.keeper.lockdown.numbers import NUMBERS

PROCESS = 4321
MACHINES = sorted(AUDIT_ARCH)
WORD = st.integers(0, 2**64 - 1)


def evaluate(code: bytes, arch: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """Classic BPF over ``struct seccomp_data``, as Documentation/networking/filter.rst has it."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *(*arguments, *[0] * 6)[:6])
    place = accumulator = 0
    while True:
        operation, yes, no, operand = struct.unpack_from("=HBBI", code, 8 * place)
        place += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x06:
                return int(operand)
            case 0x15:
                place += yes if accumulator == operand else no
            case 0x35:
                place += yes if accumulator >= operand else no
            case 0x45:
                place += yes if accumulator & operand else no
            case _:
                raise AssertionError(f"unknown operation {operation:#x}")


def filter_of(profile: seccomp.Profile, machine: str) -> bytes:
    column = MACHINES[::-1].index(machine)
    return compile_filter(
        seccomp.rules(profile, PROCESS), machine, lambda name: NUMBERS[name][column]
    )


def number(name: str, machine: str) -> int:
    found = NUMBERS[name][MACHINES[::-1].index(machine)]
    assert found is not None
    return found


def judge(
    name: str, *arguments: int, profile: seccomp.Profile = "no-exec", machine: str = "x86_64"
) -> int:
    code = filter_of(profile, machine)
    return evaluate(code, AUDIT_ARCH[machine], number(name, machine), arguments)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("profile", ["no-exec", "jit"])
def test_whatever_is_not_listed_kills(profile: seccomp.Profile, machine: str) -> None:
    code = filter_of(profile, machine)
    listed = {
        NUMBERS[rule.call][MACHINES[::-1].index(machine)] for rule in seccomp.rules(profile, 1)
    }
    for place in range(1024):
        action = evaluate(code, AUDIT_ARCH[machine], place, (2**64 - 1,) * 6)
        assert action == KILL or place in listed, place
    assert judge("read", profile=profile, machine=machine) == ALLOW  # the control


@pytest.mark.parametrize("machine", MACHINES)
def test_other_architectures_are_killed_whatever_they_call(machine: str) -> None:
    code = filter_of("no-exec", machine)
    i386, arm = 0x4000_0003, 0x4000_0028
    for arch in (i386, arm, *(a for name, a in AUDIT_ARCH.items() if name != machine)):
        assert {evaluate(code, arch, place) for place in range(512)} == {KILL}


def test_x32_numbers_are_killed_though_their_low_bits_are_listed() -> None:
    code = filter_of("no-exec", "x86_64")
    read = number("read", "x86_64")
    assert evaluate(code, AUDIT_ARCH["x86_64"], read) == ALLOW
    assert evaluate(code, AUDIT_ARCH["x86_64"], X32_BIT | read) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_executable_pages_depend_on_the_profile(machine: str) -> None:
    private_anonymous, read_exec = 0x22, 5
    refused = refuse(13)
    for call in ("mmap", "mprotect"):
        arguments = (0, 4096, read_exec, private_anonymous)
        assert judge(call, *arguments, machine=machine) == refused
        assert judge(call, *arguments, machine=machine, profile="jit") == ALLOW
        assert judge(call, 0, 4096, 3, private_anonymous, machine=machine) == ALLOW
    file_mapping = (0, 4096, 1, 2, 5)
    assert judge("mmap", *file_mapping, machine=machine) == refused
    assert judge("mmap", *file_mapping, machine=machine, profile="jit") == refused


def test_clone_makes_threads_and_nothing_else() -> None:
    thread = 0x3D0F00  # what glibc's pthread_create passes
    assert judge("clone", thread) == ALLOW
    assert judge("clone", 17) == KILL  # fork
    assert judge("clone", 0x4111) == KILL  # vfork
    for bit in (0x1000, 0x2000, 0x4000, 0x8000, 0x20000, 0x2000000, 0x10000000, 0x40000000, 17):
        assert judge("clone", thread | bit) == KILL, hex(bit)
    for bit in (0x100, 0x800, 0x10000):
        assert judge("clone", thread & ~bit) == KILL, hex(bit)


def test_a_file_is_refused_for_reading_and_fatal_for_writing() -> None:
    assert judge("openat", 0, 0, 0o2000000) == refuse(13)
    for flags in (1, 2, 0o100, 0o1000, 0o2000):
        assert judge("openat", 0, 0, flags) == KILL, oct(flags)


@given(low=st.integers(1, 2**32 - 1), high=st.integers(1, 2**32 - 1))
def test_addresses_are_compared_in_both_halves(low: int, high: int) -> None:
    assert judge("sendto", 3, 0, 0, 0, 0) == ALLOW
    assert judge("sendto", 3, 0, 0, 0, low) == KILL
    assert judge("sendto", 3, 0, 0, 0, high << 32) == KILL
    assert judge("prlimit64", 0, 4, 0) == ALLOW
    assert judge("prlimit64", 0, 4, high << 32) == KILL


def test_signals_go_to_the_process_itself_only() -> None:
    assert judge("tgkill", PROCESS, 5, 6) == ALLOW
    assert judge("tgkill", PROCESS + 1, 5, 6) == KILL


@given(argument=st.integers(0, 5), mask=st.integers(1, 2**32 - 1), value=WORD)
def test_conditions_mean_what_they_say(argument: int, mask: int, value: int) -> None:
    arguments = tuple(value if place == argument else 0 for place in range(6))
    low = value & 0xFFFF_FFFF
    for condition, holds in (
        (NoBits(argument, mask), not low & mask),
        (AllBits(argument, mask), low & mask == mask),
        (IsInt(argument, mask), low == mask),
        (IsNull(argument), value == 0),
    ):
        rule = Rule("read", (condition,), otherwise=refuse(1))
        code = compile_filter([rule], "x86_64", lambda _: 7)
        expected = ALLOW if holds else refuse(1)
        assert evaluate(code, AUDIT_ARCH["x86_64"], 7, arguments) == expected
        assert evaluate(code, AUDIT_ARCH["x86_64"], 8, arguments) == KILL


def test_all_conditions_must_hold() -> None:
    rule = Rule("read", (IsInt(0, 1), IsInt(1, 2)))
    code = compile_filter([rule], "x86_64", lambda _: 7)
    seen = {
        pair: evaluate(code, AUDIT_ARCH["x86_64"], 7, pair) == ALLOW
        for pair in ((1, 2), (1, 0), (0, 2), (0, 0))
    }
    assert [pair for pair, allowed in seen.items() if allowed] == [(1, 2)]


def test_what_cannot_be_compiled_is_refused() -> None:
    with pytest.raises(ValueError, match="audit architecture"):
        compile_filter([], "riscv64", lambda _: 1)
    with pytest.raises(ValueError, match="too long"):
        compile_filter([Rule("read", (IsNull(0),) * 70)], "x86_64", lambda _: 1)
    with pytest.raises(ValueError, match="more than a filter"):
        compile_filter([Rule("read")] * 2100, "x86_64", lambda _: 1)


def test_calls_that_a_machine_lacks_are_left_out() -> None:
    assert compile_filter([Rule("open")], "aarch64", lambda _: None) == compile_filter(
        [], "aarch64", lambda _: 1
    )
