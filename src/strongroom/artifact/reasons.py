"""Why a sealed model is refused: every code of this room, its sentence and its remedy.

``refuse`` makes the error. Values filled in are names, numbers and times; never a key, never
plaintext. Names that a folder or file supplied pass through ``shown``, so that they cannot write
control characters into a log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.errors import (
    ArtifactRefused,
    ConfigurationRefused,
    EnvironmentLacks,
    KeyRefused,
    StrongroomError,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One row: stable code, sentence with ``{places}``, remedy, and the class it is raised as."""

    code: str
    sentence: str
    action: str
    kind: type[StrongroomError] = ArtifactRefused


_FETCH_AGAIN = "Fetch the sealed model again from its owner; do not use this copy."

_ROWS: Final = (
    # --- the folder ---------------------------------------------------------------------------
    Reason(
        "artifact.not_found",
        "There is no sealed model at {where}.",
        "Give the path of the folder that `strongroom seal` made.",
    ),
    Reason(
        "artifact.plain_model",
        "{where} is a plain model, and a sealed one is required.",
        "Seal it first with `strongroom seal`.",
    ),
    Reason(
        "artifact.unfinished_seal",
        "{where} is what an interrupted sealing left behind.",
        "Delete it and seal again.",
    ),
    Reason("artifact.missing_file", "The sealed model lacks its file {name}.", _FETCH_AGAIN),
    Reason(
        "artifact.plain_weights_beside",
        "An unsealed weight file {name} lies in the sealed model's folder.",
        "Remove it, and find out who put it there.",
    ),
    Reason(
        "artifact.unexpected_file",
        "The folder holds {name}, which the signed manifest does not name.",
        "Remove it, and find out who put it there.",
    ),
    Reason(
        "artifact.not_regular_file",
        "{name} is a link, a folder or a device where a regular file is required.",
        "Replace it by the file itself.",
    ),
    Reason("artifact.too_large", "{name} is larger than the {limit} bytes allowed.", _FETCH_AGAIN),
    Reason(
        "artifact.unreadable",
        "{name} could not be read ({problem}).",
        "Check the disk and the permissions.",
    ),
    Reason(
        "artifact.changed_while_reading",
        "{name} changed while it was read.",
        "Make sure that nothing writes there, and try again.",
    ),
    # --- documents and signatures -------------------------------------------------------------
    Reason("artifact.malformed", "{name} does not have the form it must have.", _FETCH_AGAIN),
    Reason("artifact.not_canonical", "{name} is not in canonical form (RFC 8785).", _FETCH_AGAIN),
    Reason(
        "artifact.signature_missing",
        "The manifest lacks its {scheme} signature; both are required.",
        "Ask the owner for a copy signed with both schemes.",
    ),
    Reason(
        "artifact.signer_unknown",
        "The manifest is signed by {signer}, which is not among the trusted signers.",
        "Add the signer to your trust only if its owner confirms the fingerprint to you.",
    ),
    Reason(
        "artifact.signature_invalid",
        "The {scheme} signature does not fit the manifest.",
        _FETCH_AGAIN,
    ),
    Reason(
        "artifact.unsupported_format",
        "The manifest uses format version {version} or a suite that this reader does not know.",
        "Update strongroom.",
    ),
    Reason(
        "artifact.reader_too_old",
        "The model requires a reader of level {minimum}, and this one has level {level}.",
        "Update strongroom.",
    ),
    Reason(
        "artifact.manifest_inconsistent",
        "The manifest contradicts itself: {problem}.",
        _FETCH_AGAIN,
    ),
    # --- time and history ---------------------------------------------------------------------
    Reason(
        "artifact.expired",
        "The model expired at {not_after}.",
        "Ask the owner for a newer release.",
    ),
    Reason(
        "artifact.rollback",
        "This is release {release}, and release {seen} has been seen already.",
        "Use the newest release; to go back on purpose, have the owner seal it as a new release.",
    ),
    Reason(
        "artifact.fork",
        "Release {release} does not follow from the release {seen} seen before.",
        "Ask the owner which one is genuine; one signing key made two histories.",
    ),
    Reason(
        "artifact.state_damaged",
        "The record of releases seen, {where}, is damaged or not a private regular file.",
        "Restore it from a backup; deleting it gives up protection against older releases.",
    ),
    Reason(
        "artifact.state_unwritable",
        "The record of releases seen, {where}, could not be written ({problem}).",
        "Check the disk and the permissions.",
        EnvironmentLacks,
    ),
    # --- bodies -------------------------------------------------------------------------------
    Reason("artifact.truncated", "{name} has {actual} bytes instead of {expected}.", _FETCH_AGAIN),
    Reason(
        "artifact.trailing_bytes",
        "{name} has {actual} bytes, more than the {expected} signed for.",
        _FETCH_AGAIN,
    ),
    Reason(
        "artifact.part_replaced",
        "{name} does not begin with the FLOE header that was signed for it.",
        _FETCH_AGAIN,
    ),
    Reason(
        "artifact.hash_list_altered",
        "The list of segment hashes does not fit the signed root.",
        _FETCH_AGAIN,
    ),
    Reason("artifact.segment_altered", "Segment {number} of {name} was altered.", _FETCH_AGAIN),
    Reason(
        "artifact.segment_moved",
        "Segment {number} of {name} belongs somewhere else in this model.",
        _FETCH_AGAIN,
    ),
    Reason(
        "artifact.index_invalid", "The sealed index contradicts itself or its parts.", _FETCH_AGAIN
    ),
    Reason(
        "artifact.policy_mismatch",
        "The sealed policy is not the one that the manifest signs for.",
        _FETCH_AGAIN,
    ),
    Reason(
        "artifact.wrong_key",
        "The data key is not the one that this model was sealed with.",
        "Check that the recipient stanza belongs to this model.",
        KeyRefused,
    ),
    Reason(
        "artifact.not_enough_memory",
        "The model needs {size} bytes of memory, which could not be had.",
        "Use a machine with more memory, or stop what else uses it.",
        EnvironmentLacks,
    ),
    # --- sealing ------------------------------------------------------------------------------
    Reason(
        "artifact.no_model",
        "{where} holds no model: no safetensors weights were found.",
        "Give a folder with model.safetensors, its index, or adapter_model.safetensors.",
    ),
    Reason(
        "artifact.ambiguous_model",
        "{where} holds several sets of weights ({names}).",
        "Leave one set in the folder.",
    ),
    Reason(
        "artifact.code_in_model",
        "{name} is executable or a pickle, which can run code when it is loaded.",
        "Remove it; convert weights to safetensors.",
    ),
    Reason(
        "artifact.file_not_allowed",
        "{name} is not one of the plain data files that can be sealed.",
        "Move it out of the folder.",
    ),
    Reason(
        "artifact.source_malformed",
        "{name} is not a sound safetensors file: {problem}.",
        "Save the model again with the safetensors library.",
    ),
    Reason(
        "artifact.source_index_malformed",
        "{name} does not describe the shards beside it: {problem}.",
        "Save the model again, or fetch the shard that is missing.",
    ),
    Reason(
        "artifact.destination_exists",
        "{where} exists already.",
        "Choose another name, or remove it.",
    ),
    Reason(
        "artifact.disk_full",
        "The disk filled up while sealing; nothing was left behind.",
        "Make room and seal again.",
        EnvironmentLacks,
    ),
    Reason(
        "artifact.write_failed",
        "{where} could not be written ({problem}); nothing was left in its place.",
        "Check the disk and the permissions.",
        EnvironmentLacks,
    ),
    Reason(
        "artifact.no_recipients",
        "No recipient was given, so nobody could open the model.",
        "Name at least one recipient.",
        ConfigurationRefused,
    ),
    Reason(
        "artifact.bad_argument",
        "{name} is not acceptable: {problem}.",
        "Correct it.",
        ConfigurationRefused,
    ),
    Reason(
        "artifact.bad_signer",
        "The signing key or public signer does not have the form it must have.",
        "Use what `strongroom init` made.",
        ConfigurationRefused,
    ),
)

REASONS: Final = {row.code: row for row in _ROWS}


def refuse(code: str, **values: object) -> StrongroomError:
    """The error for ``code`` with ``values`` filled into its sentence."""
    row = REASONS[code]
    return row.kind(code, row.sentence.format(**values), action=row.action)


def shown(name: object, limit: int = 120) -> str:
    """A foreign name made safe to print: ASCII, no control characters, bounded."""
    text = ascii(str(name))[1:-1]
    return text if len(text) <= limit else text[: limit - 1] + "…"
