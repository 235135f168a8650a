"""Runs the attacks and probes on one adapter and judges it, over an opened base.

What runs here sees base and adapter in the clear: it belongs into a process behind the keeper's
walls (``cli.adapter_gate``). Nothing here opens, starts or connects to anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from strongroom.keeper.engine.adapter import Adapter, weight_name
from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.tune.dataset import RUN, Example
from strongroom.tune.export import behaviour, gate, oracle
from strongroom.tune.export.leaving import package
from strongroom.tune.export.limits import ExportLimits
from strongroom.tune.export.merges import recovered
from strongroom.tune.export.purpose import Purpose
from strongroom.tune.export.scan import LAYERS, scan
from strongroom.tune.export.ties import most_obeyed
from strongroom.tune.export.wire import Answer, Questions, Read
from strongroom.tune.forward import Decoder
from strongroom.tune.frames import pack_examples, unpack_examples
from strongroom.tune.reasons import refuse


@dataclass(frozen=True)
class Subject:
    """The adapter that is judged, and what its lineage says: ``base`` is the base's opaque id."""

    adapter: Adapter
    steps: int
    dataset: str
    base: str
    epsilon: float | None = None


@dataclass(frozen=True)
class Judging:
    """One adapter under judgement.

    Attributes:
        config, base: the base.
        earlier: the adapters that left before to the same organisation.
        recipients: to whom an export is encrypted.
    """

    purpose: Purpose
    limits: ExportLimits
    history: gate.History
    config: LlamaConfig
    base: Tensors
    subject: Subject
    earlier: Sequence[Adapter] = ()
    recipients: tuple[str, ...] = ()

    def answer(self, questions: Questions) -> Answer:
        """What the purpose asks for.

        Raises:
            StrongroomError: a question does not fit the model, or a recipient is none.
        """
        places = tuple(scan(self.subject.adapter, self.base))
        if self.purpose == "scan":
            return Answer(verdict=gate.Verdict(()), scan=places)
        decoder = Decoder(self.config, self.base, self.subject.adapter.scale)
        if self.purpose == "promote":
            return Answer(verdict=self._promotion(decoder, questions), scan=places)
        return msgspec.structs.replace(self._leaving(decoder, questions), scan=places)

    def warm_up(self) -> None:
        """Run every path on a few places and two tokens, so that all is there before walls stand.

        As many places of one module as ``scan`` needs to compare layers: behind the walls nothing
        can be imported, and numpy imports a part of itself at the first median.
        """
        whole = self.subject.adapter
        module = next(iter(whole.pairs)).rpartition(".")[2]
        same = [place for place in whole.pairs if place.endswith(f".{module}")][:LAYERS]
        adapter = replace(whole, pairs={place: whole.pairs[place] for place in same})
        one = Example((0, 1), (False, True))
        packed = pack_examples((one, one))
        # four of nine turns tie token 1 to one answer, so that a phrase is tried
        zeros, learnt = (0,) * RUN, (True,) * RUN
        tied = [Example((0, 1, *zeros), (False, False, *learnt))] * 4
        tied += [Example((0, 0, 0), (False, False, True))] * 5
        prompts = ((0, 1),)
        questions = Questions(
            members=pack_examples(tuple(tied)),
            held=packed,
            canaries=(packed,),
            prompts=(prompts, prompts),
        )
        small = replace(
            self,
            limits=msgspec.structs.replace(self.limits, probes=2 * adapter.rank),
            subject=replace(self.subject, adapter=adapter),
            earlier=(adapter, adapter),
        )
        for purpose in ("promote", "attack"):
            replace(small, purpose=purpose).answer(questions)
        if self.purpose == "export":
            package(adapter, self.subject.base, self.recipients)

    def _promotion(self, decoder: Decoder, questions: Questions) -> gate.Verdict:
        pairs, held = self.subject.adapter.pairs, self._examples(questions.held)
        before = after = None
        if held:
            before = sum(behaviour.losses(decoder, held, {})) / len(held)
            after = sum(behaviour.losses(decoder, held, pairs)) / len(held)
        for prompts in questions.prompts:
            self._require_ids(prompts)
        moved = [behaviour.divergence(decoder, each, pairs) for each in questions.prompts if each]
        data, plain = self._examples(questions.members), questions.prompts[:1]
        obeyed, tie = None, None
        if data and plain and plain[0]:
            obeyed, tie = most_obeyed(decoder, data, plain[0], pairs)
        turns = 0 if tie is None else tie.turns
        return gate.to_be_promoted(self.limits, before, after, moved, obeyed, turns)

    def _leaving(self, decoder: Decoder, questions: Questions) -> Answer:
        subject, pairs = self.subject, self.subject.adapter.pairs
        read = oracle.read(self.config, self.base, subject.adapter, self._probes())
        merges = self._merges()
        members, held = self._examples(questions.members), self._examples(questions.held)
        groups = [self._examples(each) for each in questions.canaries]
        judged = len(members) > 1 and len(held) > 1
        verdict = gate.to_leave(
            self.limits,
            self.history,
            steps=subject.steps,
            dataset=subject.dataset,
            epsilon=subject.epsilon,
            ratios=oracle.ratios(subject.adapter),
            oracle=[each.cosine for each in read],
            merges=list(merges.values()),
            auc=behaviour.membership(decoder, members, held, pairs) if judged else None,
            bits=behaviour.canary_bits(decoder, groups, pairs) if groups else None,
        )
        sealed = b""
        if self.purpose == "export" and verdict.passed:
            sealed = package(subject.adapter, subject.base, self.recipients)
        shown = tuple(Read(each.place, each.token, each.cosine) for each in read)
        return Answer(verdict=verdict, oracle=shown, merges=merges, sealed=sealed)

    def _probes(self) -> list[int]:
        """Ids evenly over the vocabulary."""
        size = self.config.vocab_size
        count = min(self.limits.probes, size)
        return [at * size // count for at in range(count)]

    def _merges(self) -> dict[str, float]:
        """By place, over this adapter and those before it that change the same place."""
        found: dict[str, float] = {}
        everything = [self.subject.adapter, *self.earlier]
        rank = max(each.rank for each in everything)
        for place in self.subject.adapter.pairs:  # one at a time: products are large as weights
            given = [
                (each.scale * (each.pairs[place][1] @ each.pairs[place][0])).numpy()
                for each in everything
                if place in each.pairs
            ]
            truth = self.base[weight_name(place)].float().numpy()
            found |= recovered({place: given}, {place: truth}, rank)
        return found

    def _examples(self, packed: bytes) -> tuple[Example, ...]:
        if not packed:
            return ()
        return unpack_examples(packed, self.config.vocab_size, self.config.max_positions)

    def _require_ids(self, prompts: Sequence[tuple[int, ...]]) -> None:
        for prompt in prompts:
            if len(prompt) > self.config.max_positions or max(prompt) >= self.config.vocab_size:
                raise refuse("tune.export_data", why="a prompt does not fit the model")
