"""What a student of a language model is to be made of: declared before the teacher is asked."""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.distil.reasons import refuse
from strongroom.report.canonical import canonical

Answers = Literal["text", "labels", "top-k", "logits"]
"""``text``: continuations of beginnings of the corpus, the default. ``labels``: of each position of
the corpus the likeliest next token. ``top-k``: the likeliest ``k`` with their probabilities, by
grant. ``logits``: log-probabilities of all the student's tokens, by grant."""

Init = Literal["fresh", "teacher-embeddings", "teacher-layers"]

SCORE_BITS = 16
"""A score is told in half precision; that is its width."""

ENDING_BITS = 3
"""How a continuation ended, as the egress meter of the keeper charges it."""

_TOKEN_BITS = 18.0
"""Bits of a token whose vocabulary is not known yet, at most."""

_Share = Annotated[float, Meta(ge=0.0, le=1.0)]
_Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Count = Annotated[int, Meta(ge=0, le=2**50)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a teacher tells, at most or in fact.

    ``positions``: tokens said, or positions of the corpus answered. ``coordinates``: probabilities
    and logits. ``bits``: of all that, by the egress meter's charges.
    """

    positions: _Count = 0
    coordinates: _Count = 0
    bits: _Count = 0


class LanguageGrants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner allows beyond the default.

    ``soft_labels``: probabilities and logits may be asked. ``teacher_tensors``: the student may
    begin with tensors of the teacher and hold them. ``teacher_tokenizer``: it may hold a part of
    the teacher's vocabulary, which is sealed as the weights are.
    """

    soft_labels: bool = False
    teacher_tensors: bool = False
    teacher_tokenizer: bool = False


class LanguageLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a student must keep to before it is released.

    ``utility``: of the teacher's. ``auc``, ``tpr``: of finding the teacher's training texts through
    the student, the latter at 1 % false positives. ``canary_bits``: exposure of planted canaries.
    ``copied``: from independent models (0) to the teacher itself (1). ``transfer``: above it a
    warning, not a refusal.
    """

    utility: _Share = 0.90
    auc: _Share = 0.55
    tpr: _Share = 0.02
    canary_bits: Annotated[float, Meta(ge=0.0, le=64.0)] = 3.0
    copied: _Share = 0.5
    transfer: _Share = 0.7


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Llama-type decoder with tied embeddings. Sizes count elements.

    With an ``init`` other than ``fresh`` all but ``layers`` is the teacher's.
    """

    layers: Annotated[int, Meta(ge=1, le=200)] = 6
    hidden: Annotated[int, Meta(ge=16, le=16_384)] = 256
    inner: Annotated[int, Meta(ge=16, le=65_536)] = 688
    heads: Annotated[int, Meta(ge=1, le=256)] = 8
    kv_heads: Annotated[int, Meta(ge=1, le=256)] = 4
    context: Annotated[int, Meta(ge=16, le=131_072)] = 2048


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it is trained: ``steps`` of ``batch`` rows of ``length`` tokens, AdamW at ``rate``.

    ``share``: of the loss of a position that the teacher answered, what its answer has; the text's
    own next token has the rest.
    """

    steps: Annotated[int, Meta(ge=1, le=10_000_000)] = 800
    batch: Annotated[int, Meta(ge=1, le=4096)] = 8
    length: Annotated[int, Meta(ge=8, le=8192)] = 128
    rate: Annotated[float, Meta(gt=0.0, le=1.0)] = 2e-3
    share: _Share = 0.7


class LanguagePlan(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="format",
    tag="strongroom language student plan v1",
):
    """A student. ``teacher``, ``records`` and ``corpus`` are digests (SHA-256, hex) of manifest and
    files; ``corpus`` None: some of the owner's other texts are the corpus.

    ``asked``: what the teacher tells at most. ``vocabulary``: tokens of the student at most.
    ``tokenizer``: ``own`` is made from the corpus; ``teacher`` keeps those of the teacher's tokens
    that the corpus needs, by grant. ``prompt`` and ``continuation``: tokens of a beginning and of
    what the teacher says to it; ``temperature``: of what it says, or of its logits.
    """

    teacher: _Digest
    model: Annotated[str, Meta(max_length=1024)]
    records: _Digest
    corpus: _Digest | None = None
    asked: Asked = Asked()
    answers: Answers = "text"
    k: Annotated[int, Meta(ge=1, le=5)] = 5
    temperature: Annotated[float, Meta(gt=0.0, le=100.0)] = 1.0
    prompt: Annotated[int, Meta(ge=1, le=8192)] = 16
    continuation: Annotated[int, Meta(ge=1, le=8192)] = 48
    tokenizer: Literal["own", "teacher"] = "own"
    vocabulary: Annotated[int, Meta(ge=300, le=1_000_000)] = 4096
    init: Init = "fresh"
    architecture: Architecture = Architecture()
    schedule: Schedule = Schedule()
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    grants: LanguageGrants = LanguageGrants()
    limits: LanguageLimits = LanguageLimits()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical plan, hex."""
        return hashlib.sha256(canonical(msgspec.to_builtins(self))).hexdigest()

    def require_granted(self) -> None:
        """Refuse what the owner did not allow, and what does not fit together.

        Raises:
            ExposureRefused: ``distil.soft_labels_not_granted``, ``distil.tensors_not_granted``,
                ``distil.tokenizer_not_granted``, ``distil.plan_unfit``.
        """
        if self.answers in ("top-k", "logits") and not self.grants.soft_labels:
            raise refuse("distil.soft_labels_not_granted")
        if self.init != "fresh" and not self.grants.teacher_tensors:
            raise refuse("distil.tensors_not_granted")
        if self.tokenizer == "teacher" and not self.grants.teacher_tokenizer:
            raise refuse("distil.tokenizer_not_granted")
        if self.tokenizer == "own" and (self.answers != "text" or self.init != "fresh"):
            raise refuse(
                "distil.plan_unfit",
                why="answers other than text, and tensors of the teacher, are about the teacher's "
                "tokens: they need its tokenizer",
            )
        if self.architecture.hidden % (2 * self.architecture.heads) or (
            self.architecture.heads % self.architecture.kv_heads
        ):
            raise refuse("distil.plan_unfit", why="hidden, heads and kv_heads do not divide")

    def declaring(self, positions: int) -> LanguagePlan:
        """The same plan, that asks so many positions at most and what they come to."""
        endings = -(-positions // self.continuation) if self.answers == "text" else 0
        each = _TOKEN_BITS if self.answers == "text" else math.log2(self.vocabulary)
        most = _charge(self.answers, self.k, positions, each, self.vocabulary, endings)
        return msgspec.structs.replace(self, asked=most)

    def charge(self, positions: int, vocabulary: int, endings: int = 0) -> Asked:
        """What so many positions come to.

        Args:
            positions: answered.
            vocabulary: among how many tokens each answer chooses: the teacher's for ``text``, the
                student's for all else.
            endings: continuations that came to an end.
        """
        return _charge(self.answers, self.k, positions, math.log2(vocabulary), vocabulary, endings)


def _charge(
    answers: Answers, k: int, positions: int, token: float, vocabulary: int, endings: int
) -> Asked:
    scores = {"top-k": k, "logits": vocabulary}.get(answers, 0)
    tokens = {"top-k": k, "logits": 0}.get(answers, 1)
    bits = positions * (tokens * token + scores * SCORE_BITS) + endings * ENDING_BITS
    return Asked(positions, positions * scores, math.ceil(bits))
