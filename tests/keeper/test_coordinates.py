"""Scores of so many distinct tokens and no more, for an answer and for an organisation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.boundary.frames import Done, Generate, Refused, Tokens
from strongroom.errors import ConfigurationRefused, RequestRefused
from strongroom.keeper import coordinates
from strongroom.keeper.config import ScoreCaps
from strongroom.keeper.coordinates import FILE_BYTES, MOST_TOKENS, PLACES, Coordinates, open_memory

from .fakes import VOCABULARY, Parrot
from .test_session import Keeper

token_lists = st.lists(st.integers(0, MOST_TOKENS - 1), max_size=5)


@given(
    answers=st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(token_lists, max_size=6)), max_size=8
    ),
    caps=st.builds(ScoreCaps, st.integers(0, 12), st.integers(0, 20)),
)
@settings(max_examples=60, deadline=None)
def test_no_more_distinct_tokens_than_granted(
    answers: list[tuple[str, list[list[int]]]], caps: ScoreCaps
) -> None:
    seen = Coordinates(bytearray(FILE_BYTES), caps)
    shown: dict[str, set[int]] = {"a": set(), "b": set(), "c": set()}
    for tenant, steps in answers:
        answer: set[int] = set()
        for tokens in steps:
            fits = (
                len(answer | set(tokens)) <= caps.tokens_per_answer
                and len(shown[tenant] | set(tokens)) <= caps.tokens_per_organisation
            )
            assert seen.show(tenant, answer, tokens) == fits
            if fits:
                shown[tenant] |= set(tokens)
        assert len(answer) <= caps.tokens_per_answer
    assert all(len(tokens) <= caps.tokens_per_organisation for tokens in shown.values())


def test_it_is_remembered_over_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "scores"
    code = f"""
import os, signal
from pathlib import Path
from strongroom.keeper.config import ScoreCaps
from strongroom.keeper.coordinates import Coordinates, open_memory
seen = Coordinates(open_memory(Path({str(path)!r})), ScoreCaps(256, 6))
print(seen.show("acme", set(), [1, 2, 70_000]), seen.show("other", set(), [9]), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True True\n", done.stderr
    seen = Coordinates(open_memory(path), ScoreCaps(256, 6))
    assert not seen.show("acme", set(), [3, 4, 5, 6])
    assert seen.show("acme", set(), [1, 2, 70_000, 3, 4, 5])
    assert not seen.show("acme", set(), [6])
    assert seen.show("other", set(), [6, 7, 8, 10, 11])


def test_the_file_is_private_whole_and_ours(tmp_path: Path) -> None:
    path = tmp_path / "scores"
    kept = open_memory(path)
    assert path.stat().st_size == FILE_BYTES
    assert path.stat().st_mode & 0o777 == 0o600
    assert refused(path) == "keeper.egress_state_in_use"
    kept.close()
    open_memory(path).close()
    path.chmod(0o640)
    assert refused(path) == "keeper.egress_state_unusable"
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"x")
    assert refused(path) == "keeper.egress_state_damaged"
    path.write_bytes(bytes(5000))
    assert refused(path) == "keeper.egress_state_damaged"
    assert refused(tmp_path / "missing" / "scores") == "keeper.egress_state_unusable"


def test_a_start_that_was_killed_is_made_good(tmp_path: Path) -> None:
    for begun in (b"", b"strongroom seen1"):
        path = tmp_path / f"scores{len(begun)}"
        path.write_bytes(begun)
        path.chmod(0o600)
        open_memory(path).close()


def refused(path: Path) -> str:
    with pytest.raises(ConfigurationRefused) as caught:
        open_memory(path)
    return caught.value.code


def test_who_finds_no_place_sees_no_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinates, "PLACES", 2)
    assert PLACES == 256
    seen = Coordinates(bytearray(FILE_BYTES), ScoreCaps())
    assert seen.show("a", set(), [1])
    assert seen.show("b", set(), [1])
    assert not seen.show("c", set(), [1])
    with pytest.raises(RequestRefused):
        seen.require("c", 1)
    seen.require("a", 1)


def ask(keeper: Keeper, number: int, top: int = 2, tenant: str = "t") -> list[object]:
    found = keeper.ask(Generate(number, tenant, (number, number + 1, 9), 8, top_logprobs=top))
    return [*found, *keeper.finish()]


@pytest.mark.parametrize(("rung", "capped"), [("topk", True), ("logits", False)])
def test_a_generation_ends_where_a_cap_is_reached(rung: str, capped: bool) -> None:
    keeper = Keeper(Parrot(), {"*": rung}, caps=ScoreCaps(256, 5))
    ended = []
    for number in range(1, 99, 10):
        frames = ask(keeper, number, top=1)
        ended.append(frames[-1])
        for frame in frames:
            if isinstance(frame, Tokens):
                assert frame.scores
    reasons = {frame.reason for frame in ended if isinstance(frame, Done)}
    codes = {frame.code for frame in ended if isinstance(frame, Refused)}
    assert reasons == ({"length", "egress"} if capped else {"length"})
    assert codes == ({"keeper.scores_exhausted"} if capped else set())
    assert isinstance(ask(keeper, 99, top=0)[-1], Done)  # text goes on
    if capped:
        assert isinstance(ask(keeper, 100, tenant="another")[-1], Done)


def test_one_answer_has_its_own_cap() -> None:
    keeper = Keeper(Parrot(), {"*": "topk"}, caps=ScoreCaps(3, VOCABULARY))
    frames = ask(keeper, 1)
    assert isinstance(frames[-1], Done)
    assert frames[-1].reason == "egress"
    shown = {
        i for frame in frames if isinstance(frame, Tokens) for s in frame.scores for i in s.ids
    }
    assert len(shown) <= 3
