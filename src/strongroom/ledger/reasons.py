"""Why a log is refused: every code of this room, its sentence and its remedy.

Values filled in are names, numbers and times; never what an entry says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.errors import (
    ConfigurationRefused,
    EnvironmentLacks,
    KeyRefused,
    LedgerRefused,
    StrongroomError,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One row: stable code, sentence with ``{places}``, remedy, and the class it is raised as."""

    code: str
    sentence: str
    action: str
    kind: type[StrongroomError] = LedgerRefused


_ROWS: Final = (
    # --- what was done to the history ---------------------------------------------------------
    Reason(
        "ledger.altered",
        "{where} was changed at record {index} or shortly after: what stands there was not signed.",
        "Treat the machine as tampered with; restore the log from a copy that verifies.",
    ),
    Reason(
        "ledger.dropped",
        "Record {index} of {where} is missing: a record was taken out.",
        "Treat the machine as tampered with; restore the log from a copy that verifies.",
    ),
    Reason(
        "ledger.inserted",
        "At place {index} of {where} stands a record that was never logged there.",
        "Treat the machine as tampered with; restore the log from a copy that verifies.",
    ),
    Reason(
        "ledger.reordered",
        "From place {index} on, the records of {where} stand in another order than they were "
        "logged in.",
        "Treat the machine as tampered with; restore the log from a copy that verifies.",
    ),
    Reason(
        "ledger.truncated",
        "{where} ends after {size} records, and a checkpoint over {seen} has been seen: its end "
        "was cut off, or an older copy was put in its place.",
        "Restore the newest copy; who restores an older one on purpose loses records for good.",
    ),
    Reason(
        "ledger.forked",
        "{where} does not continue the history that a checkpoint over {seen} records was seen of: "
        "there are two histories.",
        "Keep both; whoever holds the log key has signed two histories, so replace the key.",
    ),
    Reason(
        "ledger.tile_altered",
        "The hash tile {name} of {where} does not fit the records, which are whole.",
        "Find out who changed it; the tile can be restored from any copy of the log.",
    ),
    # --- what is missing or cannot be read ----------------------------------------------------
    Reason(
        "ledger.missing",
        "The log {where} must exist and does not: it was deleted or moved.",
        "Restore it from a copy; state/log.seen says how many records it must have.",
    ),
    Reason(
        "ledger.begun_damaged",
        "The note that the log was begun, {where}, is damaged.",
        "Restore that file from a copy; remove it only if you know why it is so.",
    ),
    Reason(
        "ledger.seen_missing",
        "The log {where} exists, but what was last seen of it, {seen}, does not.",
        "Restore that file from a backup; without it a cut-off end cannot be noticed.",
    ),
    Reason(
        "ledger.seen_damaged",
        "What was last seen of the log, {where}, is damaged or not a private regular file.",
        "Restore it from a backup; without it a cut-off end cannot be noticed.",
    ),
    Reason(
        "ledger.file_missing",
        "{where} lacks its file {name}.",
        "Restore the log from a copy that verifies.",
    ),
    Reason(
        "ledger.malformed",
        "{name} of {where} does not have the form it must have: {problem}.",
        "Restore the log from a copy that verifies.",
    ),
    Reason(
        "ledger.checkpoint_malformed",
        "What should be a checkpoint ({where}) is not one: {problem}.",
        "Restore it from a copy; a checkpoint is a signed note of c2sp.org/tlog-checkpoint.",
    ),
    Reason(
        "ledger.checkpoint_invalid",
        "The checkpoint ({where}) is not signed by the log key given.",
        "Check that the verifier key is this log's; if it is, do not believe this log.",
    ),
    Reason(
        "ledger.other_log",
        "This is the log {origin}, and {expected} is expected.",
        "Give the folder of the log that you mean.",
    ),
    Reason(
        "ledger.unknown_entry",
        "A record is of a kind that this program does not know.",
        "Use the program version that wrote it, or a later one.",
    ),
    Reason(
        "ledger.proof_invalid",
        "The proof does not lead to the checkpoint's root.",
        "Ask for a new proof; if that fails too, the log shows different histories.",
    ),
    Reason(
        "ledger.proof_malformed",
        "This is not a proof as `strongroom log prove` writes it.",
        "Give the whole text, unaltered (c2sp.org/tlog-proof).",
    ),
    # --- asking for what cannot be ------------------------------------------------------------
    Reason(
        "ledger.out_of_range",
        "There is no record {index} in a log of {size}.",
        "Records are counted from 0.",
        ConfigurationRefused,
    ),
    Reason(
        "ledger.no_log",
        "There is no log at {where}.",
        "Name a folder that holds a checkpoint; `strongroom serve` makes the logs of a home.",
        ConfigurationRefused,
    ),
    Reason(
        "ledger.bad_name",
        "{name} cannot be the name of a log.",
        "Use up to 64 lower-case letters, digits and hyphens.",
        ConfigurationRefused,
    ),
    Reason(
        "ledger.bad_verifier_key",
        "{where} does not hold a verifier key of an Ed25519 signed note.",
        "Use the line in keys/log.pub of the home whose log this is.",
        ConfigurationRefused,
    ),
    Reason(
        "ledger.bad_entry",
        "What was to be recorded does not have the form of a record: {problem}.",
        "Report it: this is a defect in the program, and nothing was recorded.",
    ),
    # --- the key file -------------------------------------------------------------------------
    Reason(
        "ledger.key_missing",
        "There is no log key at {where}.",
        "Restore it from a backup; where there never was one, `strongroom log init` makes it.",
        KeyRefused,
    ),
    Reason(
        "ledger.key_exists",
        "There is a log key at {where} already.",
        "Keep it: a new key cannot continue the logs that the old one signed.",
        KeyRefused,
    ),
    Reason(
        "ledger.key_unusable",
        "The log key {where} cannot be used: {problem}.",
        "It must be the file that was made, owned by this user, with mode 0600.",
        KeyRefused,
    ),
    # --- writing ------------------------------------------------------------------------------
    Reason(
        "ledger.in_use",
        "Another process writes the log {where}.",
        "A log has one writer: stop the other process, or give this one a log of its own.",
        ConfigurationRefused,
    ),
    Reason(
        "ledger.write_failed",
        "{where} could not be written ({problem}), so nothing more is recorded.",
        "Check the disk, then start again: what was not acknowledged may be missing.",
        EnvironmentLacks,
    ),
    Reason(
        "ledger.closed",
        "The log {where} is closed.",
        "Open it again; nothing is recorded after the end.",
        EnvironmentLacks,
    ),
)

REASONS: Final = {row.code: row for row in _ROWS}


def refuse(code: str, **values: object) -> StrongroomError:
    """The error for ``code`` with ``values`` filled into its sentence."""
    row = REASONS[code]
    return row.kind(code, row.sentence.format(**values), action=row.action)
