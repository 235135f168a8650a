"""``strongroom log``: is the record whole, what is in it, and what proves it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options
from strongroom.errors import ConfigurationRefused

if TYPE_CHECKING:
    from strongroom.ledger.checkpoint import Checkpoint
    from strongroom.ledger.entries import Recorded
    from strongroom.ledger.folder import LogFolder
    from strongroom.ledger.note import VerifierKey
    from strongroom.ledger.verify import Verified

DEFAULT_LOG = "gateway"

_path = click.argument("path", required=False, type=click.Path(path_type=Path))
_key = click.option(
    "--key",
    "key_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Verifier key of the log at PATH (somebody's log.pub).",
)
_log = click.option("--log", "name", metavar="NAME", help="Which log of the home.")


@dataclass(frozen=True)
class _Target:
    """One log to look at: in a home, with what was seen of it, or a folder by itself."""

    name: str
    folder: LogFolder
    key: VerifierKey
    state: Path | None = None

    def verified(self, known: list[Checkpoint]) -> Verified:
        from strongroom.ledger.opening import look
        from strongroom.ledger.verify import verify

        if self.state is not None:
            return look(self.state, self.name, self.key, known)[1]
        return verify(self.folder, self.key, known)


@click.group("log")
def command() -> None:
    """Verify and read the record.

    A home has several logs, such as gateway, release and operator. Each can be checked without the
    home, by whoever has a copy of its folder and the verifier key in keys/log.pub.
    """


@command.command("init")
@shared_options
@click.pass_obj
def init(call: Call) -> None:
    """Make the log key of a home that has none."""
    from strongroom.cli.home import open_home
    from strongroom.ledger.log_key import LogKey

    key = LogKey.create(open_home(call.home_path).keys / "log.key")
    if call.json:
        output.print_json({"verifier_key": key.public.encode()})
        return
    click.echo(key.public.encode())
    output.note("Give this line to whoever is to verify the record. It is in keys/log.pub.")


@command.command("verify")
@_path
@_key
@_log
@click.option(
    "--older",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A checkpoint kept earlier, which the log must continue. Repeatable.",
)
@shared_options
@click.pass_obj
def verify(
    call: Call,
    path: Path | None,
    key_file: Path | None,
    name: str | None,
    older: tuple[Path, ...],
) -> None:
    """Check that the record is whole.

    Every signature, record and hash tile is checked: the logs of the home, or with PATH and --key
    one log's folder by itself. In a home they must also continue what was last seen of them.
    """
    answers = []
    for target in _targets(call, path, key_file, name):
        known = [_checkpoint(file, target.key) for file in older]
        answers.append(_facts(target, target.verified(known)))
    if call.json:
        output.print_json({"ok": True, "logs": answers})
        return
    for facts in answers:
        click.echo(f"Good: {facts['origin']}, {facts['size']} records.")
        output.print_facts({k: v for k, v in facts.items() if k not in {"origin", "size", "log"}})
    if not answers:
        click.echo("This home has no log yet. `strongroom serve` makes them.")


@command.command("prove")
@click.argument("index", type=click.IntRange(min=0))
@_path
@_key
@_log
@shared_options
@click.pass_obj
def prove(
    call: Call, index: int, path: Path | None, key_file: Path | None, name: str | None
) -> None:
    """Print the record at INDEX and a proof that the log holds it.

    The record goes to standard error, the proof (c2sp.org/tlog-proof) to standard output; with
    --json both are in one object, which `strongroom log check` takes.
    """
    from strongroom.ledger import proving

    target = _target(call, path, key_file, name)
    proof, entry = proving.prove(target.folder, target.key, index)
    if call.json:
        output.print_json({"entry": entry.decode(), "proof": proof.encode()})
        return
    output.note(entry.decode())
    click.echo(proof.encode(), nl=False)


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "key_file",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="Verifier key of the log (somebody's log.pub).",
)
@shared_options
@click.pass_obj
def check(call: Call, file: Path, key_file: Path) -> None:
    """Check what `strongroom log prove --json` printed, without the log."""
    import msgspec

    from strongroom.ledger.proof import Proof
    from strongroom.ledger.reasons import refuse

    try:
        shown = msgspec.json.decode(_read(file), type=dict[str, str])
        entry, text = shown["entry"], shown["proof"]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
        raise refuse("ledger.proof_malformed") from None
    proof = Proof.parse(text)
    checkpoint = proof.check(entry.encode(), _verifier(key_file))
    if call.json:
        answer = {"ok": True, "index": proof.index, **_checkpoint_facts(checkpoint)}
        output.print_json(answer)
        return
    click.echo(f"Good: record {proof.index} of {checkpoint.origin}, {checkpoint.size} records.")
    click.echo(entry)


@command.command("consistency")
@click.argument("older", type=click.Path(path_type=Path))
@_path
@_key
@_log
@shared_options
@click.pass_obj
def consistency(
    call: Call, older: Path, path: Path | None, key_file: Path | None, name: str | None
) -> None:
    """Prove that the log continues the checkpoint in OLDER.

    Standard output is the proof with the new checkpoint, as a witness takes it (`add-checkpoint` of
    c2sp.org/tlog-witness).
    """
    from strongroom.ledger import proving

    target = _target(call, path, key_file, name)
    old = _checkpoint(older, target.key)
    growth = proving.prove_consistency(target.folder, target.key, old)
    if call.json:
        answer = {"ok": True, "old_size": old.size, "proof": growth.encode()}
        output.print_json({**answer, **_checkpoint_facts(growth.new)})
        return
    new = growth.new
    output.note(f"Good: {new.origin}, {new.size} records, continues the {old.size} seen earlier.")
    click.echo(growth.encode(), nl=False)


@command.command("tail")
@click.option("-n", "count", default=10, type=click.IntRange(1, 10**6), show_default=True)
@_path
@_key
@_log
@shared_options
@click.pass_obj
def tail(
    call: Call, count: int, path: Path | None, key_file: Path | None, name: str | None
) -> None:
    """Print the newest records of a log, after verifying it. With --json one a line."""
    from strongroom.ledger import entries, reading

    target = _target(call, path, key_file, name)
    found = target.verified([])
    start = max(0, found.newest.size - count)
    raws = reading.raw_records(target.folder, found.published.size, found.unpublished, start)
    for raw in raws:
        click.echo(raw.decode() if call.json else _line(entries.decode(raw)))


def _targets(
    call: Call, path: Path | None, key_file: Path | None, name: str | None
) -> list[_Target]:
    from strongroom.ledger.folder import LogFolder
    from strongroom.ledger.opening import LOGS, log_names

    if path is not None and key_file is not None and name is None:
        return [_Target(path.name, LogFolder(path), _verifier(key_file))]
    if path is not None or key_file is not None:
        raise ConfigurationRefused(
            "cli.log_unclear",
            "A log outside the home needs both its folder and --key, and has no --log.",
            action="Give PATH and --key FILE, or neither.",
        )
    from strongroom.cli.home import open_home

    home = open_home(call.home_path)
    key = _verifier(home.keys / "log.pub")
    return [
        _Target(log, LogFolder(home.state / LOGS / log), key, home.state)
        for log in ([name] if name else log_names(home.state))
    ]


def _target(call: Call, path: Path | None, key_file: Path | None, name: str | None) -> _Target:
    wanted = name if name or path or key_file else DEFAULT_LOG
    return _targets(call, path, key_file, wanted)[0]


def _verifier(path: Path) -> VerifierKey:
    from strongroom.ledger.note import VerifierKey

    return VerifierKey.parse(_read(path).decode(errors="replace"), path)


def _checkpoint(path: Path, key: VerifierKey) -> Checkpoint:
    from strongroom.ledger.checkpoint import parse_signed

    return parse_signed(_read(path), key, path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(2**20)
    except OSError as error:
        raise ConfigurationRefused(
            "cli.unreadable", f"{path} cannot be read: {error.strerror}.", action="Check the file."
        ) from None


def _facts(target: _Target, found: Verified) -> dict[str, Any]:
    return {
        "log": target.name,
        **_checkpoint_facts(found.newest),
        "published": found.published.size,
        "verifier_key": target.key.renamed(found.newest.origin).encode(),
    }


def _checkpoint_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": base64.b64encode(checkpoint.root).decode(),
    }


def _line(recorded: Recorded) -> str:
    """One record for people: place, time, kind, then what it says."""
    import msgspec

    at = datetime.fromtimestamp(recorded.at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    said = msgspec.to_builtins(recorded.entry)
    kind = said.pop("type")
    members = " ".join(f"{name}={_shown(value)}" for name, value in said.items())
    return f"{recorded.index:>8} {at}Z {kind} {members}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}:{amount}" for name, amount in value.items())
    text = str(value)
    return f"{text[:12]}…" if len(text) >= 64 and " " not in text else text
