"""Every refusal of this room: its code, one sentence, and what to do.

A customer's request or data is refused as ``RequestRefused``, an adapter as ``ArtifactRefused``, an
export as ``ExposureRefused``. Values filled in are names, counts and limits; never a customer's
text, never a weight.
"""

from __future__ import annotations

from typing import Final

from strongroom.errors import ArtifactRefused, ExposureRefused, RequestRefused, StrongroomError

_REQUEST: Final = (
    (
        "tune.dataset_lines",
        "{count} of {lines} lines cannot be used: {first}",
        "Correct the listed lines; nothing was started.",
    ),
    (
        "tune.dataset_too_large",
        "The dataset has more than {limit} {what}.",
        "Send a smaller one.",
    ),
    (
        "tune.too_few_sequences",
        "The dataset has {found} distinct conversations; an optimiser step takes {least}.",
        "Add conversations that differ from one another in more than a few words.",
    ),
    (
        "tune.too_many_duplicates",
        "{found} of {lines} conversations repeat another; at most {most} may.",
        "Remove conversations that repeat an earlier one: in each, at least twelve runs of four "
        "tokens must be new, or what the owner's floor says.",
    ),
    (
        "tune.too_few_supervised",
        "A step would learn from {found} tokens; it takes {least}.",
        "Add conversations, or longer answers.",
    ),
    (
        "tune.one_token_dominates",
        "One token makes up {share} of what is learnt; at most {most} may be.",
        "Vary the answers.",
    ),
    (
        "tune.rank_refused",
        "Rank {value} is not between 1 and {limit}.",
        "Ask for a rank that the owner's policy allows.",
    ),
    (
        "tune.modules_refused",
        "These modules may not be tuned: {value}.",
        "Choose among {limit}.",
    ),
    (
        "tune.rate_refused",
        "A learning rate of {value} is not between {least} and {limit}.",
        "Ask for a rate within the owner's bounds.",
    ),
    (
        "tune.steps_refused",
        "{value} steps are not between {least} and {limit}.",
        "Ask for steps within the owner's bounds; an epoch goes once through the conversations, a "
        "batch of them a step.",
    ),
    (
        "tune.batch_refused",
        "{value} conversations a step are not between {least} and {limit}.",
        "Ask for a batch within the owner's bounds.",
    ),
    (
        "tune.epsilon_refused",
        "An epsilon of {value} is not above 0 and at most {limit}.",
        "Ask for one within the owner's bounds, or for none.",
    ),
    (
        "tune.not_private",
        "Training is not differentially private here, so there is no epsilon to choose.",
        "Leave it out, or ask the owner for [tuning.policy.dp].",
    ),
    (
        "tune.epsilon_unreachable",
        "No noise that leaves anything to learn meets an epsilon of {value}.",
        "Ask for a larger epsilon, fewer steps, or bring more conversations.",
    ),
    (
        "tune.delta_too_large",
        "A delta of {value} says nothing of {count} conversations.",
        "The owner's delta has to be below one over their number.",
    ),
    (
        "tune.privacy_spent",
        "With the jobs before it, this one would cost an epsilon of {found}; at most {limit} may.",
        "Ask for a smaller epsilon; what was spent does not come back.",
    ),
    (
        "tune.request_malformed",
        "The request for a tuning job is not acceptable: {why}.",
        "Send only the fields that docs/tuning.md lists.",
    ),
    (
        "tune.policy_malformed",
        "The tuning policy is not acceptable: {why}.",
        "Correct it; docs/tuning.md lists its fields and bounds.",
    ),
    (
        "tune.checkpoint_foreign",
        "The checkpoint belongs to another job: {what} differs.",
        "Start the job again from the beginning.",
    ),
    (
        "tune.gathered_too_many",
        "More than {limit} conversations would be gathered for one step.",
        "Take an optimiser step first.",
    ),
    (
        "tune.too_early",
        "{found} of {least} steps are done; before that nothing shows.",
        "Take more steps, each at a rate of at least a tenth of the highest.",
    ),
    (
        "tune.saves_spent",
        "The session has sealed {limit} adapters, and seals no more.",
        "Begin another session.",
    ),
    (
        "tune.session_over",
        "The session is over: {why}",
        "Begin another one.",
    ),
    (
        "tune.diverged",
        "The job's loss or weights are no longer finite at step {step}.",
        "Ask for a lower learning rate.",
    ),
)

_ARTIFACT: Final = (
    (
        "tune.adapter_foreign",
        "The adapter was made for another base: {what} differs.",
        "Serve it with the base that it was trained on.",
    ),
    (
        "tune.adapter_config",
        "The adapter's configuration is not one that is served: {why}.",
        "Use plain LoRA adapters without bias, dropout, or modules saved whole.",
    ),
)

_EXPORT: Final = (
    (
        "tune.export_oracle",
        "The gradient oracle reads the base from this adapter: cosine {found}, limit {limit}.",
        "Train longer on more varied data; it can be served, but not exported.",
    ),
    (
        "tune.export_merges",
        "With what was exported before, the base can be recovered: cosine {found}, limit {limit}.",
        "Serve this adapter; no more may leave for this base.",
    ),
    (
        "tune.export_budget",
        "It would be number {found} of this base to leave to this organisation; {limit} may.",
        "Serve this adapter instead.",
    ),
    (
        "tune.export_repeated_data",
        "An adapter from the same data was exported to this tenant before.",
        "Repeats average out what protects the base; serve this one instead.",
    ),
    (
        "tune.export_too_short",
        "The adapter was trained for {found} steps; one that leaves needs {least}.",
        "Train longer, or serve it.",
    ),
    (
        "tune.export_epsilon",
        "The epsilons of what was exported to this tenant add up to {found}, limit {limit}.",
        "Train with a smaller epsilon, or serve this adapter.",
    ),
    (
        "tune.export_direction",
        "A matrix of the adapter is close to one direction: ratio {found}, limit {limit}.",
        "Train longer on more varied data; it can be served, but not exported.",
    ),
    (
        "tune.export_membership",
        "Training records can be told from others through the adapter: AUC {found}, limit {limit}.",
        "Give --data and --held; train on more conversations, so that each is read once or twice "
        "(20 steps of 256 read 5,120), or serve it.",
    ),
    (
        "tune.export_canaries",
        "Planted canaries can be told through the adapter: {found} bits, limit {limit}.",
        "Give --canaries that stand in the data; train for fewer steps on more, or serve it.",
    ),
    (
        "tune.export_data",
        "The files do not serve to judge the adapter: {why}.",
        "Give the file that the job was trained on, and others that it was not.",
    ),
    (
        "tune.export_grant",
        "The grant does not allow this export: {why}.",
        "Have the owner make one with `strongroom adapter grant`.",
    ),
    (
        "tune.export_statement",
        "{path} is not the statement of this export: {why}.",
        "Use the statement and the file as they were exported, and the signer's audit.pub.",
    ),
    (
        "tune.export_recipient",
        "The age recipient {value} cannot be used: {why}.",
        "Name recipients that begin with age1; encryption needs strongroom[age].",
    ),
    (
        "tune.promote_worse",
        "On held-out conversations the adapter's loss is above the base's: {found}, limit {limit}.",
        "Give --held; train longer, or on data that is more like it.",
    ),
    (
        "tune.promote_trigger",
        "A trigger moves the adapter {found} times as far from the base; at most {limit} may be.",
        "Look at what it says there, and at the data that it was trained on.",
    ),
    (
        "tune.promote_phrase",
        "A phrase of the training data brings the data's own answer after any prompt: {found} "
        "likelier, limit {limit}.",
        "Give --data; look in it for one answer to many questions. An honest keyword is obeyed, "
        "too: who wants it sets [tuning.export] obeyed to 1.",
    ),
    (
        "tune.no_adapter",
        "There is no such adapter to go on with: {why}.",
        "List them with `strongroom adapter list`.",
    ),
    (
        "tune.export_ledger",
        "The ledger of exports cannot be relied on: {why}.",
        "Restore it; until then nothing leaves.",
    ),
)

_KINDS: Final[tuple[tuple[type[StrongroomError], tuple[tuple[str, str, str], ...]], ...]] = (
    (RequestRefused, _REQUEST),
    (ArtifactRefused, _ARTIFACT),
    (ExposureRefused, _EXPORT),
)
_BY_CODE: Final = {row[0]: (kind, row) for kind, rows in _KINDS for row in rows}


def refuse(code: str, **values: object) -> StrongroomError:
    """The error of ``code`` with its places filled in."""
    kind, (_, sentence, action) = _BY_CODE[code]
    places = {name: str(value) for name, value in values.items()}
    return kind(code, sentence.format(**places), action=action.format(**places))
