"""Every refusal of this room: its code, one sentence, and what to do."""

from __future__ import annotations

from strongroom.errors import ExposureRefused

_ROWS = (
    (
        "exposure.budget_spent",
        "The attack's budget of {budget} queries is spent.",
        "Give the audit a larger --budget, or take the curve as far as it goes.",
    ),
    (
        "exposure.input_unfit",
        "A query does not fit the model: {why}.",
        "Give rows of the model's own shape and range.",
    ),
    (
        "exposure.data_unfit",
        "The data do not fit the model: {why}.",
        "Give data of the form that docs/measurement.md describes for this kind of model.",
    ),
    (
        "exposure.data_unreadable",
        "{path} cannot be used as data: {why}.",
        "Check the file; docs/measurement.md describes the forms that are read.",
    ),
    (
        "exposure.model_unsupported",
        "The audit cannot take this model: {why}.",
        "It takes strongroom classifiers and Llama-type language models.",
    ),
    (
        "exposure.knowledge_lacking",
        "The attack needs what was not given: {what}.",
        "Give it, or leave the attack out with --attacks.",
    ),
    (
        "exposure.unknown_attack",
        "There is no attack named {name}.",
        "There are: {known}.",
    ),
    (
        "exposure.unknown_rung",
        "There is no rung named {name}.",
        "There are: {known}.",
    ),
    (
        "exposure.not_yours",
        "{url} is not an address of this machine, and nobody said that it may be tested.",
        "Test only what you have the right to; then say so with --i-own-this-endpoint.",
    ),
    (
        "exposure.endpoint_failed",
        "The endpoint did not answer as the API says: {why}.",
        "Check its address and key; what was measured until then is kept, run again to go on.",
    ),
    (
        "exposure.endpoint_refused",
        "The endpoint refuses what the attack asks: {why}.",
        "This is a result, not a fault: the rung is not granted.",
    ),
    (
        "exposure.time_spent",
        "The endpoint refuses until later than the attack's time allows: its budget is spent.",
        "This is a result: the door's budget stopped the attack; the refusals are in the cell.",
    ),
    (
        "exposure.memory_closed",
        "The memory of the running keeper cannot be written from here: {why}.",
        "Audit as root, or with CAP_SYS_PTRACE, to see what a flipped bit does.",
    ),
    (
        "exposure.target_gone",
        "The process that holds the model has ended: {why}.",
        "Run again: what was measured is kept, and the audit goes on from the next cell.",
    ),
    (
        "exposure.server_failed",
        "strongroom serve did not start for the audit: {why}.",
        "Run `strongroom serve` on the model to see why.",
    ),
    (
        "exposure.bad_gate",
        "{path} is not a gate: {why}.",
        "docs/measurement.md shows one.",
    ),
    (
        "exposure.demo_base_missing",
        "The demonstration's base model is not at {path}.",
        "Run `make model` in a checkout: it converts the model from the installed wheel.",
    ),
    (
        "exposure.gate_failed",
        "{count} of the gate's limits are exceeded or could not be judged.",
        "See the lines above; `strongroom report compare` shows what a control would buy.",
    ),
    (
        "exposure.bad_results",
        "{path} is not a result of an audit: {why}.",
        "Give a file that `strongroom audit --json` wrote.",
    ),
    (
        "exposure.evidence_refused",
        "{path} is no evidence for a report: {why}.",
        "Give a statement that this home signed, or what prove detect or adapter scan printed.",
    ),
    (
        "exposure.results_altered",
        "The results in {path} do not carry a valid signature: {why}.",
        "Use the file that the audit wrote, with the home whose key signed it.",
    ),
)
STOPS = frozenset(
    {
        "exposure.budget_spent",
        "exposure.time_spent",
        "exposure.endpoint_refused",
        "exposure.memory_closed",
    }
)
"""Refusals by which a target ends an attack. What was learnt before them is still learnt."""

_SAID = {code: (sentence, action) for code, sentence, action in _ROWS}


def stops(error: ExposureRefused) -> bool:
    """Whether the target answers nothing more, so that an attack claims what it has."""
    return error.code in STOPS


def refuse(code: str, **said: object) -> ExposureRefused:
    """The error to raise for ``code``; ``said`` fills its sentences."""
    sentence, action = _SAID[code]
    return ExposureRefused(code, sentence.format(**said), action=action.format(**said))
