"""Every refusal of this room: its code, one sentence, and what to do."""

from __future__ import annotations

from strongroom.errors import ExposureRefused

_ROWS = (
    (
        "distil.soft_labels_not_granted",
        "The plan asks for the teacher's probabilities or logits, which nobody granted.",
        "Ask for labels (of a language model for text), or grant them with --grant soft-labels.",
    ),
    (
        "distil.tensors_not_granted",
        "The plan begins the student with tensors of the teacher, which nobody granted.",
        "Begin with fresh weights, or release those tensors with --grant teacher-tensors.",
    ),
    (
        "distil.tokenizer_not_granted",
        "The plan gives the student tokens of the teacher's tokenizer, which nobody granted.",
        "Give it one of its own, or release those tokens with --grant teacher-tokenizer.",
    ),
    (
        "distil.asked_out",
        "The teacher tells no more {what} than the {most:,} that were declared.",
        "Declare more in a new plan, and judge what that gives away.",
    ),
    (
        "distil.beyond_ceiling",
        "The plan declares {bits:,} bits, but the model's sealed policy lets out {most:,} an hour.",
        "Ask fewer positions, or for less of each: the ceiling is sealed with the model.",
    ),
    (
        "distil.corpus_unfit",
        "The corpus cannot be learnt from: {why}.",
        "Give public texts that the teacher was not trained on, one JSON object a line.",
    ),
    (
        "distil.plan_malformed",
        "{path} is not a plan for a student: {why}.",
        "Make one with `strongroom distil plan`.",
    ),
    (
        "distil.plan_unfit",
        "The plan does not fit: {why}.",
        "Make a new plan for this teacher and these records.",
    ),
    (
        "distil.records_too_few",
        "There are too few records to judge a student: {why}.",
        "Give more records that the teacher was not trained on.",
    ),
    (
        "distil.student_malformed",
        "{path} is not a student: {why}.",
        "Make one with `strongroom distil run`.",
    ),
    (
        "distil.statement_invalid",
        "{path} is not a release of this student: {why}.",
        "Use the statement and the files as they were released, and the signer's audit.pub.",
    ),
    (
        "distil.not_registered",
        "The operators' log of this home holds no registration of these weights for that teacher.",
        "Register the student first: `strongroom distil register`.",
    ),
    (
        "distil.fingerprint_not_registered",
        "The operators' log of this home holds no fingerprint of this student's weights.",
        "Register the student first, and keep its fingerprint: `strongroom distil register`.",
    ),
    (
        "distil.watermark_not_registered",
        "The operators' log of this home holds no key that marks the answers of that teacher.",
        "Name whose with `strongroom distil register --org`: what comes of marked answers is found "
        "by them.",
    ),
    (
        "distil.gate_failed",
        "The student fails {count} of its checks, or they could not be made.",
        "See the lines above: ask fewer questions, for labels only, or start from fresh weights.",
    ),
)
_SAID = {code: (sentence, action) for code, sentence, action in _ROWS}


def refuse(code: str, **said: object) -> ExposureRefused:
    """The refusal of that code."""
    sentence, action = _SAID[code]
    return ExposureRefused(code, sentence.format(**said), action=action)
