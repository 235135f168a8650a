"""A language model behind an OpenAI-compatible door: ours, or one that its owner may test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from strongroom.exposure.interface import Budget
from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.http import Door, require_right
from strongroom.exposure.targets.interface import ScoredText
from strongroom.exposure.targets.metering import Meter

_AT_ONCE = 16


def open_served_text(
    url: str,
    key: str,
    name: str,
    rung: Rung,
    budget: Budget,
    *,
    route: Literal["chat", "completions"] = "completions",
    owned: bool = False,
) -> Any:
    """The target of ``rung`` (text, top1 or topk), over HTTP, sixteen requests at a time.

    Args:
        url: up to and without ``/v1``.
        key: an API key.
        name: of the model.
        rung: what the key's organisation is granted.
        budget: queries and seconds.
        route: chat renders a prompt as a user's turn, completions sends it as it stands.
        owned: the owner's word that an address which is not of this machine may be tested.

    Raises:
        ExposureRefused: ``exposure.not_yours``, ``exposure.unknown_rung``.
    """
    require_right(url, owned=owned)
    meter = Meter(budget.queries, budget.seconds)
    asking = _Asking([Door(url, key, meter) for _ in range(_AT_ONCE)], name, route, meter)
    questions: dict[str, Callable[..., Any]] = {"spent": meter.spent}
    match rung:
        case Rung.TEXT:
            questions |= {"complete": asking.complete, "biased": asking.biased_text}
        case Rung.TOP1 | Rung.TOPK:
            questions |= {"complete_scored": asking.complete_scored, "biased": asking.biased}
        case _:
            raise refuse(
                "exposure.unknown_rung",
                name=f"{rung} at a language model's door",
                known="text, top1, topk",
            )
    return close(questions)


class _Asking:
    def __init__(self, doors: list[Door], name: str, route: str, meter: Meter) -> None:
        self._doors = doors
        self._name = name
        self._chat = route == "chat"
        self._meter = meter

    def complete(
        self, prompts: Sequence[str], *, max_tokens: int, temperature: float = 0.0
    ) -> list[str]:
        answers = self._all(prompts, max_tokens, temperature, {})
        return [self._text(answer) for answer in answers]

    def complete_scored(
        self, prompts: Sequence[str], *, max_tokens: int, top: int, temperature: float = 0.0
    ) -> list[ScoredText]:
        more = {"logprobs": True, "top_logprobs": top} if self._chat else {"logprobs": top}
        answers = self._all(prompts, max_tokens, temperature, more)
        return [self._scored(answer) for answer in answers]

    def biased_text(
        self, prompts: Sequence[str], biases: Sequence[Mapping[int, float]], *, top: int
    ) -> list[tuple[tuple[str, float], ...]]:
        answers = self._all(prompts, 1, 0.0, [{"logit_bias": _named(bias)} for bias in biases])
        return [((self._text(answer), float("nan")),) for answer in answers]

    def biased(
        self, prompts: Sequence[str], biases: Sequence[Mapping[int, float]], *, top: int
    ) -> list[tuple[tuple[str, float], ...]]:
        more = {"logprobs": True, "top_logprobs": top} if self._chat else {"logprobs": top}
        answers = self._all(prompts, 1, 0.0, [{"logit_bias": _named(b), **more} for b in biases])
        scored = [self._scored(answer) for answer in answers]
        return [each.top[0] if each.top else () for each in scored]

    def _all(
        self,
        prompts: Sequence[str],
        most: int,
        temperature: float,
        more: dict[str, Any] | list[dict[str, Any]],
    ) -> list[dict[str, Any]]:
        """One answer a prompt; ``more`` is what all bodies have beside the prompt, or each has."""
        self._meter.charge(len(prompts))
        mores = more if isinstance(more, list) else [more] * len(prompts)
        numbered = list(enumerate(prompts))
        lanes = [numbered[lane :: len(self._doors)] for lane in range(len(self._doors))]

        def run(door: Door, lane: list[tuple[int, str]]) -> list[tuple[int, dict[str, Any]]]:
            return [(n, self._one(door, prompt, most, temperature, mores[n])) for n, prompt in lane]

        with ThreadPoolExecutor(len(self._doors)) as pool:
            found = dict(pair for part in pool.map(run, self._doors, lanes) for pair in part)
        return [found[n] for n, _ in numbered]

    def _one(
        self, door: Door, prompt: str, most: int, temperature: float, more: dict[str, Any]
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._name,
            "max_tokens": most,
            "temperature": temperature,
            **more,
        }
        if self._chat:
            body["messages"] = [{"role": "user", "content": prompt}]
        else:
            body["prompt"] = prompt
        said = door.post("/v1/chat/completions" if self._chat else "/v1/completions", body)
        try:
            usage = said.get("usage") or {}
            self._meter.answered(int(usage.get("completion_tokens", 0)))
            choice: dict[str, Any] = said["choices"][0]
        except (KeyError, IndexError, TypeError, AttributeError):
            raise refuse("exposure.endpoint_failed", why="its answer has no choice") from None
        return choice

    def _text(self, choice: dict[str, Any]) -> str:
        try:
            text = choice["message"]["content"] if self._chat else choice["text"]
        except (KeyError, TypeError):
            raise refuse("exposure.endpoint_failed", why="its choice has no text") from None
        return str(text or "")

    def _scored(self, choice: dict[str, Any]) -> ScoredText:
        said = choice.get("logprobs")
        if not said:
            raise refuse("exposure.endpoint_refused", why="it gives no log-probabilities")
        if self._chat:
            entries = said["content"]
            return ScoredText(
                self._text(choice),
                tuple(entry["token"] for entry in entries),
                tuple(float(entry["logprob"]) for entry in entries),
                tuple(
                    tuple((o["token"], float(o["logprob"])) for o in entry.get("top_logprobs", ()))
                    for entry in entries
                ),
            )
        return ScoredText(
            self._text(choice),
            tuple(said["tokens"]),
            tuple(float(value) for value in said["token_logprobs"]),
            tuple(
                tuple(sorted(each.items(), key=lambda item: -item[1]))
                for each in said.get("top_logprobs") or ()
            ),
        )


def _named(bias: Mapping[int, float]) -> dict[str, float]:
    """As the API has it: token ids as texts."""
    return {str(token): value for token, value in bias.items()}
