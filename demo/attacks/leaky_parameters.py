"""Asks the served API for more than text: the parameters from which weights are reconstructed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai

from demo.attacks.interface import Attack, Outcome

if TYPE_CHECKING:
    from demo.stage import Stage

ASKED: dict[str, dict[str, Any]] = {
    "logprobs": {"logprobs": True},
    "top_logprobs": {"top_logprobs": 5},
    "logit_bias": {"logit_bias": {"100": 50}},
    "n": {"n": 4},
    "prompt_logprobs": {"extra_body": {"prompt_logprobs": 5}},
    "guided_regex": {"extra_body": {"guided_regex": "a+"}},
    "return_token_ids": {"extra_body": {"return_token_ids": True}},
}


class LeakyParameters(Attack):
    """Each through the official client; the same request without the parameter is the control."""

    name = "logprobs, logit_bias and their kin"
    goal = "Get probabilities or a handle on them, from which the last layer can be computed."
    expected = "refused, by name"
    reasons = frozenset({"gateway.parameter_not_allowed"})

    def run(self, stage: Stage) -> Outcome:
        codes = {name: self._ask(stage, name, extra) for name, extra in ASKED.items()}
        answered = self._ask(stage, "", {}) == ""
        control = "the same request without the parameter is answered"
        granted = [name for name, code in codes.items() if not code]
        if granted:
            evidence = f"The API answered a request with {', '.join(granted)}."
            return Outcome("succeeded", "answered", evidence, control, answered)
        evidence = f"{len(codes)} parameters were tried ({', '.join(codes)}); none was answered."
        reason = " / ".join(dict.fromkeys(codes.values()))
        return Outcome("refused", reason, evidence, control, answered)

    def _ask(self, stage: Stage, param: str, extra: dict[str, Any]) -> str:
        """The code of the refusal, or nothing if it was answered."""
        try:
            stage.client.chat.completions.create(
                model=stage.model_name,
                messages=[{"role": "user", "content": "Hello"}],
                max_tokens=2,
                **extra,
            )
        except openai.APIStatusError as error:
            # A refusal that does not name the parameter is not the one that was meant.
            return str(error.code) if error.param == param else f"{error.code} ({error.param})"
        return ""
