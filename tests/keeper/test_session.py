"""A gateway that lies, floods or asks for too much gets refusals, and nothing it may not have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from strongroom.boundary import charging
from strongroom.boundary.frames import (
    AskStatus,
    Cancel,
    Classify,
    Done,
    Generate,
    Labels,
    Refused,
    Status,
    Tokens,
)
from strongroom.keeper import generations
from strongroom.keeper.config import ScoreCaps
from strongroom.keeper.coordinates import FILE_BYTES, Coordinates
from strongroom.keeper.disclosure import UNLIKELY, Disclosure
from strongroom.keeper.egress import Budget, Meter
from strongroom.keeper.engine.constraint import Constraint
from strongroom.keeper.session import Session

from .fakes import PLENTY, VOCABULARY, Oracle, Parrot, meter

BIT = charging.GRAINS_PER_BIT
TOKEN = charging.token_charge(VOCABULARY)


CAPS = ScoreCaps()


class Keeper:
    """A session with everything around it in sight."""

    def __init__(
        self,
        engine: Parrot | Oracle,
        rungs: dict[str, Any] | None = None,
        budget: Budget = PLENTY,
        tenant: Budget = PLENTY,
        caps: ScoreCaps = CAPS,
        constraints: dict[str, Constraint] | None = None,
        seconds: float = 600,
    ) -> None:
        self.time = 0.0
        self.meter: Meter = meter(budget, tenant)
        self.uncommitted_seen: list[int] = []
        self.session = Session(
            engine,
            Disclosure(rungs or {"*": "text"}),
            Coordinates(bytearray(FILE_BYTES), caps),
            self.meter,
            lambda: 10**9,
            self._commit,
            generations.Terms(constraints or {}, seconds, lambda: self.time),
        )

    def _commit(self) -> None:
        self.meter.touched.clear()

    def ask(self, frame: Any) -> list[Any]:
        answers = list(self.session.receive(frame))
        assert not self.meter.touched, "an answer was returned before its charge was recorded"
        return answers

    def finish(self) -> list[Any]:
        frames: list[Any] = []
        while self.session.busy:
            frames += self.session.step()
            assert not self.meter.touched, "an answer was returned before its charge was recorded"
        return frames

    @property
    def spent(self) -> int:
        return self.meter.spent(10**9)[0]


def generate(job: int = 1, tokens: tuple[int, ...] = (5, 6, 0), **fields: Any) -> Generate:
    return Generate(**{"id": job, "tenant": "acme", "tokens": tokens, "max_tokens": 8, **fields})


def refusal(answers: list[Any]) -> str:
    (answer,) = answers
    assert isinstance(answer, Refused)
    return answer.code.removeprefix("keeper.")


def test_a_generation_ends_at_its_end_token_which_stays_inside() -> None:
    keeper = Keeper(Parrot())
    assert keeper.ask(generate()) == []
    assert keeper.finish() == [Tokens(1, (5,)), Tokens(1, (6,)), Done(1, "stop", 3, 2)]
    assert keeper.spent == charging.ENDING + 3 * TOKEN  # the end token is charged too


def test_a_generation_ends_at_its_length() -> None:
    keeper = Keeper(Parrot())
    keeper.ask(generate(max_tokens=2))
    assert keeper.finish() == [Tokens(1, (5,)), Tokens(1, (6,)), Done(1, "length", 3, 2)]
    assert keeper.spent == charging.ENDING + 2 * TOKEN


def test_generations_share_steps() -> None:
    engine = Parrot()
    keeper = Keeper(engine)
    keeper.ask(generate(1))
    keeper.ask(generate(2))
    assert len(keeper.finish()) == 6
    assert engine.steps == 3


@pytest.mark.parametrize(
    ("rung", "top", "granted"),
    [
        ("text", 0, True),
        ("text", 1, False),
        ("top1", 1, True),
        ("top1", 2, False),
        ("topk", 5, True),
        ("logits", 5, True),
        ("embeddings", 5, True),
        ("label", 0, False),
        ("closed", 0, False),
    ],
)
def test_logprobs_are_given_as_the_sealed_policy_says(rung: str, top: int, granted: bool) -> None:
    engine = Parrot()
    keeper = Keeper(engine, {"acme": rung})
    answers = keeper.ask(generate(top_logprobs=top))
    if not granted:
        assert refusal(answers) in {"logprobs_not_granted", "closed"}
        assert not engine.jobs
        assert keeper.spent == 0
        return
    first = keeper.finish()[0]
    assert all(len(scores.ids) == top for scores in first.scores)
    assert len(first.scores) == bool(top)


def test_a_tenant_the_policy_does_not_know_is_closed_unless_everybody_is_named() -> None:
    assert refusal(Keeper(Parrot(), {"acme": "text"}).ask(generate(tenant="other"))) == "closed"
    assert Keeper(Parrot(), {"acme": "topk", "*": "text"}).ask(generate(tenant="other")) == []


def test_another_tenants_name_gives_no_more_than_that_tenant_may_have() -> None:
    """The keeper cannot know who asks; what a liar gets is bounded by the most favoured tenant and
    by the budget of the deployment, which all names share."""
    budget = Budget(charging.ENDING + 10 * TOKEN, PLENTY.day)
    keeper = Keeper(Parrot(), {"rich": "top1", "*": "text"}, budget, tenant=budget)
    for tenant in ("rich", "poor", "invented"):
        assert refusal(keeper.ask(generate(tenant=tenant, top_logprobs=2))) == (
            "logprobs_not_granted"
        )
    tokens = 0
    for number in range(1, 30):
        keeper.ask(generate(number, (9,) * 9, tenant=f"t{number}"))
        tokens += sum(isinstance(frame, Tokens) for frame in keeper.finish())
    assert tokens <= 10
    assert keeper.spent <= budget.hour


def test_top1_rounds_the_probability_to_two_decimals() -> None:
    engine = Parrot()
    keeper = Keeper(engine, {"*": "top1"})
    keeper.ask(generate(top_logprobs=1))
    (scores,) = keeper.finish()[0].scores
    assert scores.logprobs == (math.log(0.78),)  # exp(-0.25) is 0.7788
    assert keeper.spent == charging.ENDING + 3 * (
        2 * charging.choice(VOCABULARY) + charging.choice(101)
    )
    engine.logprob = -40.0
    keeper.ask(generate(2, top_logprobs=1))
    assert keeper.finish()[0].scores[0].logprobs == (UNLIKELY,)


def test_topk_gives_floats_and_charges_their_width() -> None:
    keeper = Keeper(Parrot(), {"*": "topk"})
    keeper.ask(generate(top_logprobs=2))
    assert keeper.finish()[0].scores[0].logprobs == (-0.25, -1.25)
    assert keeper.spent == charging.ENDING + 3 * (8 * BIT + 2 * (8 + 32) * BIT)


def test_scores_that_are_no_numbers_end_the_generation() -> None:
    engine = Parrot()
    engine.logprob = math.nan
    keeper = Keeper(engine, {"*": "topk"})
    keeper.ask(generate(top_logprobs=1))
    assert refusal(keeper.finish()) == "not_finite"
    assert engine.cancelled == [1]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"tokens": (VOCABULARY,)}, "token_unknown"),
        ({"tokens": (2**31 - 1, 1)}, "token_unknown"),
        ({"tokens": (1,) * 60, "max_tokens": 5}, "too_long"),
        ({"tokens": (1,), "max_tokens": 64}, "too_long"),
    ],
)
def test_requests_outside_the_model_are_refused(fields: dict[str, Any], code: str) -> None:
    engine = Parrot()
    keeper = Keeper(engine)
    assert refusal(keeper.ask(generate(**fields))) == code
    assert not engine.jobs
    assert keeper.spent == 0


def test_a_request_that_just_fits_is_served() -> None:
    keeper = Keeper(Parrot())
    assert keeper.ask(generate(tokens=(VOCABULARY - 1,) * 60, max_tokens=4)) == []


def test_an_id_in_use_is_refused_and_free_again_afterwards() -> None:
    keeper = Keeper(Parrot())
    keeper.ask(generate(1))
    assert refusal(keeper.ask(generate(1))) == "id_in_use"
    assert keeper.finish()[-1] == Done(1, "stop", 3, 2)
    assert keeper.ask(generate(1)) == []


def test_the_queue_is_bounded() -> None:
    keeper = Keeper(Parrot())
    answers = [keeper.ask(generate(number)) for number in range(1, 400)]
    admitted = sum(not answer for answer in answers)
    assert admitted == generations.MAX_WAITING + Parrot.max_streams
    assert refusal(answers[-1]) == "queue_full"


def test_cancel_ends_a_generation_once() -> None:
    engine = Parrot()
    keeper = Keeper(engine)
    keeper.ask(generate(tokens=(5, 6, 7, 8)))
    keeper.session.step()
    assert keeper.ask(Cancel(1)) == [Done(1, "cancelled", 4, 1)]
    assert keeper.ask(Cancel(1)) == []
    assert not keeper.session.busy
    assert not engine.jobs


def test_cancelling_ids_that_are_unknown_does_nothing() -> None:
    keeper = Keeper(Parrot())
    keeper.ask(generate(1))
    for unknown in (2, 2**53):
        assert keeper.ask(Cancel(unknown)) == []
    assert len(keeper.finish()) == 3
    assert Keeper(Oracle()).ask(Cancel(1)) == []


@pytest.mark.parametrize("which", ["budget", "tenant"])
def test_a_generation_ends_where_the_budget_does(which: str) -> None:
    engine = Parrot()
    small = Budget(charging.ENDING + 3 * TOKEN + TOKEN - 1, PLENTY.day)
    keeper = Keeper(engine, **{which: small})  # type: ignore[arg-type]
    keeper.ask(generate(tokens=(9,) * 9))
    assert keeper.finish() == [*[Tokens(1, (9,))] * 3, Done(1, "egress", 9, 3)]
    assert engine.cancelled == [1]
    assert keeper.spent == charging.ENDING + 3 * TOKEN
    assert refusal(keeper.ask(generate(2))) == "egress_exhausted"


def test_a_request_that_a_first_token_would_exceed_is_refused_and_costs_nothing() -> None:
    keeper = Keeper(Parrot(), budget=Budget(charging.ENDING + TOKEN - 1, PLENTY.day))
    assert refusal(keeper.ask(generate())) == "egress_exhausted"
    assert keeper.spent == 0


def test_generations_at_the_same_time_cannot_overdraw_together() -> None:
    budget = Budget(2 * charging.ENDING + 5 * TOKEN, PLENTY.day)
    keeper = Keeper(Parrot(), budget=budget)
    keeper.ask(generate(1, (9,) * 9))
    keeper.ask(generate(2, (9,) * 9))
    frames = keeper.finish()
    assert sum(isinstance(frame, Tokens) for frame in frames) == 5
    assert {frame.reason for frame in frames if isinstance(frame, Done)} == {"egress"}
    assert keeper.spent == budget.hour


def test_the_end_token_needs_budget_too() -> None:
    """Else the place of the end would be told for nothing."""
    keeper = Keeper(Parrot(), budget=Budget(charging.ENDING + 2 * TOKEN, PLENTY.day))
    keeper.ask(generate())
    assert keeper.finish()[-1] == Done(1, "egress", 3, 2)


def test_status_tells_load_and_egress() -> None:
    keeper = Keeper(Parrot(), budget=Budget.of_bits(1000, 2000))
    keeper.ask(generate(1, max_tokens=1))
    keeper.ask(generate(2))
    keeper.ask(generate(3))
    (status,) = keeper.ask(AskStatus())
    assert isinstance(status, Status)
    assert (status.active, status.waiting) == (2, 1)
    assert status.egress_bits_hour == status.egress_bits_day == 9.0
    assert (status.budget_bits_hour, status.budget_bits_day) == (1000, 2000)


def test_each_kind_of_model_refuses_the_other_kind_of_request() -> None:
    assert refusal(Keeper(Parrot()).ask(classify())) == "wrong_kind"
    assert refusal(Keeper(Oracle()).ask(generate())) == "wrong_kind"


ROWS = np.full((2, 4), 0.5, "<f4")


def classify(batch: np.ndarray = ROWS, **fields: Any) -> Classify:
    given = {
        "id": 1,
        "tenant": "acme",
        "dtype": "F32",
        "shape": batch.shape,
        "data": batch.tobytes(),
    }
    return Classify(**{**given, **fields})


def test_a_label_is_charged_its_choice() -> None:
    keeper = Keeper(Oracle(), {"*": "label"})
    assert keeper.ask(classify()) == [Labels(1, (1, 1))]
    assert keeper.spent == 2 * 3 * BIT


@pytest.mark.parametrize("rung", ["label", "text"])
def test_scores_are_refused_below_top1(rung: str) -> None:
    engine = Oracle()
    keeper = Keeper(engine, {"*": rung})
    assert refusal(keeper.ask(classify(scores=True))) == "scores_not_granted"
    assert refusal(Keeper(engine, {"acme": "closed"}).ask(classify())) == "closed"
    assert engine.asked == 0


def test_scores_take_the_form_of_the_rung() -> None:
    engine = Oracle()
    exact = torch.softmax(torch.tensor(engine.answer), 0)
    (top1,) = Keeper(engine, {"*": "top1"}).ask(classify(scores=True))
    assert top1.scores == ((round(float(exact[1]), 2),),) * 2
    assert top1.top == ()
    (topk,) = Keeper(engine, {"*": "topk"}).ask(classify(scores=True))
    assert topk.top == ((1, 7, 2, 4, 5),) * 2
    assert topk.scores[0] == pytest.approx(exact[[1, 7, 2, 4, 5]].tolist())
    (logits,) = Keeper(engine, {"*": "logits"}).ask(classify(scores=True))
    assert logits.scores == (tuple(engine.answer),) * 2


@pytest.mark.parametrize(
    ("rung", "row"),
    [
        ("top1", 3 * BIT + charging.choice(101)),
        ("topk", 3 * BIT + 5 * (32 + 3) * BIT),
        ("logits", 3 * BIT + 8 * 32 * BIT),
    ],
)
def test_scores_are_charged_their_width(rung: str, row: int) -> None:
    keeper = Keeper(Oracle(), {"*": rung})
    keeper.ask(classify(scores=True))
    assert keeper.spent == 2 * row


def test_a_classification_over_budget_is_refused_before_it_is_computed() -> None:
    engine = Oracle()
    keeper = Keeper(engine, {"*": "label"}, budget=Budget(2 * 3 * BIT - 1, PLENTY.day))
    assert refusal(keeper.ask(classify())) == "egress_exhausted"
    assert engine.asked == 0
    assert keeper.ask(classify(ROWS[:1])) == [Labels(1, (1,))]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"dtype": "U8", "data": bytes(8)}, "input_mismatch"),
        ({"shape": (8,)}, "input_mismatch"),
        ({"shape": (2, 2, 2)}, "input_mismatch"),
        ({"shape": (1, 4)}, "input_mismatch"),
        ({"data": ROWS.tobytes()[:-1]}, "input_mismatch"),
        ({"data": ROWS.tobytes() + b"\0"}, "input_mismatch"),
        ({"shape": (2**20, 4), "data": b""}, "input_mismatch"),
        ({"shape": (9, 4), "data": bytes(9 * 16)}, "input_mismatch"),
        ({"data": np.full((2, 4), math.nan, "<f4").tobytes()}, "input_out_of_range"),
        ({"data": np.full((2, 4), math.inf, "<f4").tobytes()}, "input_out_of_range"),
        ({"data": np.full((2, 4), 1.01, "<f4").tobytes()}, "input_out_of_range"),
        ({"data": np.full((2, 4), -0.01, "<f4").tobytes()}, "input_out_of_range"),
    ],
)
def test_inputs_that_are_not_the_models_are_refused(fields: dict[str, Any], code: str) -> None:
    engine = Oracle()
    keeper = Keeper(engine)
    assert refusal(keeper.ask(classify(**fields))) == code
    assert engine.asked == 0
    assert keeper.spent == 0


def test_an_answer_that_is_no_number_is_refused() -> None:
    engine = Oracle()
    engine.answer[3] = math.nan
    keeper = Keeper(engine, {"*": "logits"})
    assert refusal(keeper.ask(classify(scores=True))) == "not_finite"


def test_a_generation_has_its_time_and_frees_its_place() -> None:
    parrot = Parrot()
    keeper = Keeper(parrot, seconds=60)
    keeper.ask(generate(1, max_tokens=50))
    keeper.ask(generate(2, max_tokens=50))
    keeper.ask(generate(3, max_tokens=50))  # waits: the parrot has two slots
    keeper.time = 59.0
    assert {type(frame) for frame in keeper.session.step()} == {Tokens}
    keeper.time = 60.0
    ends = keeper.session.step()
    assert ends[:2] == [Done(1, "time", 3, 1), Done(2, "time", 3, 1)]
    assert refusal(ends[2:]) == "time_over"
    assert not keeper.session.busy
    assert parrot.cancelled == [1, 2, 3]
    keeper.ask(generate(4, max_tokens=1))  # the places are free, and the clock begins anew
    assert keeper.finish()[-1] == Done(4, "length", 3, 1)


def test_only_a_registered_schema_and_no_scores_with_it() -> None:
    held: Any = object()
    keeper = Keeper(Parrot(), {"*": "topk"}, constraints={"person": held})
    assert refusal(keeper.ask(generate(1, schema="persons"))) == "schema_refused"
    assert refusal(keeper.ask(generate(1, schema="person", top_logprobs=1))) == "schema_refused"
    assert keeper.spent == 0
    assert keeper.ask(generate(1, schema="person")) == []
    assert keeper.ask(generate(2)) == []
    jobs = keeper.session._engine.jobs  # type: ignore[union-attr]
    assert [jobs[number][0].constraint for number in (1, 2)] == [held, None]
