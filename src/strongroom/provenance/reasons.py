"""Every refusal of this room."""

from __future__ import annotations

from typing import Final

from strongroom.errors import ArtifactRefused

_REASONS: Final = {
    "provenance.model_unreadable": (
        "{name} is no model that can be compared: {why}.",
        "Give a folder with config.json, tokenizer.json and safetensors of a Llama-type decoder.",
    ),
    "provenance.fingerprint_malformed": (
        "{name} is not a fingerprint of this version.",
        "Register the model again, or use the version that made the file.",
    ),
    "provenance.anchors_missing": (
        "{name} has {found} of the {wanted} tokens that the fingerprint looks at.",
        "A model with another vocabulary can only be compared by its answers.",
    ),
    "provenance.answers_malformed": (
        "{name} does not hold answers that can be compared: {why}.",
        "Ask every model the same prompts, and see docs/provenance.md for the file's form.",
    ),
    "provenance.not_committed": (
        "The operators' log of this home holds no commitment to this fingerprint.",
        "Register it with `strongroom prove register`: before a dispute, or it proves little.",
    ),
    "provenance.key_not_committed": (
        "The operators' log of this home holds no commitment to the key of {tenant} ({scheme}).",
        "Register it with `strongroom prove register --org`: a key that is named only once there "
        "is a suspect may have been looked for.",
    ),
    "provenance.probe_marked": (
        "The texts to probe with carry the mark of {tenant} themselves (p = {p:.2g}).",
        "Probe with texts that were written without the mark.",
    ),
    "provenance.probe_too_short": (
        "The texts to probe with have {found} tokens; it takes {least}.",
        "Give more unmarked text, of the kind that the answers were.",
    ),
    "provenance.tokenizer_differs": (
        "{name} cuts text into other tokens than the marked model.",
        "Its weights cannot be read for this mark; look for the mark in answers that it gives.",
    ),
    "provenance.radioactivity_malformed": (
        "{name} is not what `strongroom prove radioactivity --json` prints about this suspect.",
        "Probe the same folder again, and keep all that is printed.",
    ),
    "provenance.control_marked": (
        "The controls, not the suspect, show the mark of {tenant} (p = {p:.2g}).",
        "Use controls that were trained on texts without the mark.",
    ),
    "provenance.library_too_small": (
        "{found} independent models were given; it takes {least}.",
        "Add folders of models that were trained from nothing by somebody else.",
    ),
    "provenance.library_unwritable": (
        "{path} cannot be made: {why}.",
        "Name a folder that does not exist yet, in one that does.",
    ),
    "provenance.library_not_independent": (
        "{name}, of the library, is a copy of the registered model or of the suspect.",
        "Leave it out: what is compared with must have nothing to do with either.",
    ),
}


def refuse(code: str, **values: object) -> ArtifactRefused:
    """The refusal of that code."""
    message, action = _REASONS[code]
    return ArtifactRefused(code, message.format(**values), action=action)
