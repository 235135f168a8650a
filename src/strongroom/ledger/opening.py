"""Opening a home's logs: for writing, which verifies first, and for looking.

What must be there is decided by what was seen, in ``state`` and beside the log key: a log is made
only where nothing of it has been seen, and refused where something has and the log is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from strongroom.ledger import tiles
from strongroom.ledger.begun import Begun
from strongroom.ledger.checkpoint import Checkpoint
from strongroom.ledger.files import make_folders, write_durably
from strongroom.ledger.folder import LogFolder
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.merkle import EMPTY_ROOT
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.reasons import refuse
from strongroom.ledger.seen import Seen, read_seen
from strongroom.ledger.verify import Verified, verify
from strongroom.ledger.writer import LogWriter

LOGS, SEEN = "log", "log.seen"


def open_log(
    state: Path,
    name: str,
    key: LogKey,
    *,
    wait_seconds: float = 0.0,
    publish_seconds: float = 1.0,
) -> LogWriter:
    """The log ``name`` of a home, verified and locked for this process; made if it is new.

    Args:
        state: the home's folder ``state``.
        name: the log's name.
        key: the home's log key.
        wait_seconds: how long to wait for another writer; short-lived writers give a few.
        publish_seconds: how old the published checkpoint may get.

    Raises:
        LedgerRefused: ``ledger.missing``, ``seen_missing``, ``seen_damaged``, ``begun_damaged``
            or a code of ``verify.verify``.
        ConfigurationRefused: ``ledger.in_use``, ``ledger.bad_name``.
    """
    verifier = key.verifier(name)
    folder, place = state / LOGS / name, state / SEEN / name
    exists = (folder / tiles.CHECKPOINT).exists()
    if not place.exists() and exists:
        raise refuse("ledger.seen_missing", where=folder, seen=place)
    begun = Begun(key, state, name)
    noted = begun.read()
    if noted is not None and not exists:
        raise refuse("ledger.missing", where=folder)
    seen = Seen(place, verifier, wait_seconds)
    try:
        _make_if_new(folder, place, seen, key, verifier.name)
        known = [each for each in (seen.newest, noted) if each]
        verified = verify(LogFolder(folder), verifier, known)
        begun.write(verified.newest_signed)
        return LogWriter(LogFolder(folder), key, seen, verified, publish_seconds)
    except BaseException:
        seen.close()
        raise


def look(
    state: Path, name: str, home: VerifierKey, known: Sequence[Checkpoint] = ()
) -> tuple[LogFolder, Verified]:
    """A home's log, verified against what was seen of it; another process may be writing it.

    Args:
        state: the home's folder ``state``.
        name: the log's name.
        home: the home's verifier key, as in ``log.pub``.
        known: further checkpoints that the log must continue.

    Raises:
        LedgerRefused: as ``open_log``.
        ConfigurationRefused: ``ledger.no_log``: neither it nor anything seen of it is there.
    """
    verifier = home.renamed(f"{home.name}/{name}")
    folder, place = LogFolder(state / LOGS / name), state / SEEN / name
    seen = read_seen(place, verifier)
    exists = (folder.path / tiles.CHECKPOINT).exists()
    if seen is None and exists:
        raise refuse("ledger.seen_missing", where=folder, seen=place)
    if seen is not None and seen.size and not exists:
        raise refuse("ledger.missing", where=folder)
    return folder, verify(folder, verifier, [*known, *([seen] if seen else [])])


def log_names(state: Path) -> list[str]:
    """Names of the logs that a home must have or has."""
    found = [path for part in (LOGS, SEEN) for path in (state / part).glob("*")]
    return sorted({path.name for path in found})


def _make_if_new(folder: Path, place: Path, seen: Seen, key: LogKey, origin: str) -> None:
    """An empty log, if none was ever seen; made in an order that any crash lets be made again."""
    if (folder / tiles.CHECKPOINT).exists():
        if seen.newest is None:
            raise refuse("ledger.seen_damaged", where=place)
        return
    if seen.newest is not None and seen.newest.size:
        raise refuse("ledger.missing", where=folder)
    signed = key.sign(Checkpoint(origin, 0, EMPTY_ROOT))
    seen.put(signed)
    seen.sync()
    make_folders(folder.parent.parent, folder)
    write_durably(folder / tiles.CHECKPOINT, signed)
