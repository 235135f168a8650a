"""What the verbs of ``strongroom grant`` share: the desk of a home, keys, votes as files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from strongroom.errors import ConfigurationRefused, KeyRefused
from strongroom.release.approvals import documents
from strongroom.release.approvals.documents import Request, Subject
from strongroom.store.grants import StoredRequest, StoredVote, VoteKind

if TYPE_CHECKING:
    from strongroom.artifact.trust import Trust
    from strongroom.cli.call import Call
    from strongroom.release.approvals.approver_key import ApproverKey
    from strongroom.release.approvals.desk import Desk

_Signed = Annotated[bytes, Meta(max_length=documents.MAX_BYTES)]


class VoteFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A vote that was cast on another machine, on its way to the desk. It holds no secret."""

    request: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    approver: documents.Name
    kind: VoteKind
    document: _Signed
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


@contextmanager
def desk(call: Call) -> Iterator[Desk]:
    """The desk of the home that ``call`` names; what happens at it goes to the operators' log."""
    from strongroom.cli import home as homes
    from strongroom.cli import identities
    from strongroom.release.approvals import approvers
    from strongroom.release.approvals.desk import Desk
    from strongroom.store.grants import open_grant_store

    home = homes.open_home(call.home_path)
    with open_grant_store(home.grants) as store:
        listed = approvers.load(home.approvers_file)
        yield Desk(store, listed, lambda entry: identities.record(home, entry))


def subject_of(sealed: Path, policy: Path, trust: Trust) -> Subject:
    """What approvals of the release of a sealed model under a policy file are about.

    The manifest's signature is checked, the policy is loaded and validated.
    """
    from strongroom.artifact.manifest import read_manifest
    from strongroom.release.policies.document import load
    from strongroom.release.policies.engine import Engine

    manifest = read_manifest(sealed, trust)
    return Subject(
        model=manifest.model_id,
        release=manifest.release,
        manifest=manifest.digest,
        policy=Engine(load(policy)).digest,
    )


def approver_key(file: Path, passphrase_file: Path | None) -> ApproverKey:
    """The key in ``file``, its passphrase asked for if it has one."""
    import sys

    import click

    from strongroom.cli import passphrase as passphrases
    from strongroom.release.approvals.approver_key import ApproverKey, is_protected

    passphrase: bytes | None = None
    if is_protected(file):
        if passphrase_file is not None:
            passphrase = passphrases.from_file(passphrase_file)
        elif sys.stdin.isatty():
            passphrase = str(click.prompt("Passphrase", hide_input=True, err=True)).encode()
        else:
            raise KeyRefused(
                "cli.passphrase_needed",
                "The key is protected by a passphrase, and there is no terminal to ask on.",
                action="Give --passphrase-file FILE.",
            )
    return ApproverKey.load(file, passphrase)


def require_same(request: Request, wanted: Subject) -> None:
    """What the approver holds in hand is what the request is about.

    Raises:
        ConfigurationRefused: ``cli.grant_differs``.
    """
    pairs = zip(request.subject.__struct_fields__, msgspec.structs.astuple(wanted), strict=True)
    differing = [name for name, value in pairs if getattr(request.subject, name) != value]
    if differing:
        raise ConfigurationRefused(
            "cli.grant_differs",
            f"The request is about another {' and '.join(differing)} than the files you name.",
            action="Do not approve it before you know why.",
        )


def read_request(file: Path) -> bytes:
    """The bytes of a request that `grant show` wrote; ``release.grant_malformed``."""
    raw = _read(file)
    documents.decode(raw, Request)
    return raw


def read_vote(file: Path) -> StoredVote:
    """A vote that ``write_vote`` wrote; ``cli.vote_malformed``."""
    try:
        vote = msgspec.json.decode(_read(file), type=VoteFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ConfigurationRefused(
            "cli.vote_malformed",
            f"{file} does not hold a vote.",
            action="Name a file that `strongroom grant approve` or `revoke` wrote with --out.",
        ) from None
    return StoredVote(vote.request, vote.approver, vote.kind, vote.document, vote.signature)


def write_vote(file: Path, vote: StoredVote) -> None:
    """Write a vote into a new file."""
    held = VoteFile(vote.request, vote.approver, vote.kind, vote.document, vote.signature)
    write_new(file, msgspec.json.encode(held) + b"\n")


def write_new(file: Path, content: bytes) -> None:
    """Write a new file; ``cli.not_written``."""
    try:
        with file.open("xb") as made:
            made.write(content)
    except OSError as error:
        raise ConfigurationRefused(
            "cli.not_written",
            f"{file} cannot be written: {error.strerror}.",
            action="Name a file that does not exist, in a folder that does.",
        ) from None


def facts(stored: StoredRequest) -> dict[str, Any]:
    """What a request says, for people and scripts alike."""
    from strongroom.cli.identities import time_text

    asked = documents.decode(stored.document, Request)
    return {
        "id": stored.id,
        "model": asked.subject.model,
        "release": asked.subject.release,
        "manifest": asked.subject.manifest,
        "policy": asked.subject.policy,
        "asked_by": asked.asked_by,
        "reason": asked.reason,
        "ends": time_text(datetime.fromtimestamp(asked.not_after, UTC)),
    }


def row(desk: Desk, stored: StoredRequest) -> dict[str, Any]:
    """The same, with who approved it; ``state`` is ``open``, or why it does not count."""
    try:
        found = desk.tally(stored)
    except KeyRefused as refused:
        if refused.code == "release.grant_malformed":
            return dict.fromkeys(("model", "release", "ends"), "?") | {
                "id": stored.id,
                "approved_by": [],
                "state": refused.code,
            }
        return facts(stored) | {"approved_by": [], "state": refused.code}
    return facts(stored) | {"approved_by": list(found.approvers), "state": "open"}


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(4 * documents.MAX_BYTES)
    except OSError as error:
        raise ConfigurationRefused(
            "cli.unreadable", f"{file} cannot be read: {error.strerror}.", action="Check the file."
        ) from None
