"""``strongroom grant``: several people approve that a model's key may be released."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options
from strongroom.cli.verify import signer_option, trust_of

if TYPE_CHECKING:
    from strongroom.release.approvals.approver_key import ApproverKey
    from strongroom.release.approvals.desk import Desk
    from strongroom.release.approvals.documents import Request
    from strongroom.store.grants import StoredRequest, StoredVote

_HOUR = 3600
_PATH = click.Path(path_type=Path)
_id = click.argument("request", metavar="REQUEST")
_key = click.option(
    "--key", "key_file", metavar="FILE", required=True, type=_PATH, help="The approver's key."
)
_reason = click.option(
    "--reason", metavar="TEXT", required=True, help="Why, in one line; it stands in the record."
)
_passphrase = click.option(
    "--passphrase-file",
    metavar="FILE",
    type=_PATH,
    help="Read the key's passphrase from FILE (one line) instead of asking.",
)
_out = click.option(
    "--out",
    metavar="FILE",
    type=_PATH,
    help="Write the vote to FILE, for `grant submit`. REQUEST is then a file, and no home is used.",
)


@click.group("grant")
def command() -> None:
    """Have several people approve that a model's key may be released.

    A policy can demand approvals. Those who may approve are listed in trust/approvers.toml, each
    with a key of their own. A request is about one release of one model under one policy; whatever
    changes one of them needs approval anew. One approver suffices to revoke a request.
    """


@command.command("key")
@click.argument("file", type=_PATH)
@click.option("--name", metavar="NAME", required=True, help="What the approver is called.")
@click.option("--passphrase", is_flag=True, help="Ask for a passphrase that protects the key.")
@click.option(
    "--passphrase-file",
    metavar="FILE",
    type=_PATH,
    help="Protect the key with the passphrase in FILE (one line, mode 0600).",
)
@shared_options
@click.pass_obj
def key(call: Call, file: Path, name: str, passphrase: bool, passphrase_file: Path | None) -> None:
    """Make an approver's key in FILE, and print the stanza that lets them approve.

    FILE belongs to the approver, who keeps it on a machine of their own. Whoever owns the home
    appends the stanza to its trust/approvers.toml, after comparing the fingerprint in person.
    """
    from strongroom.cli import passphrase as passphrases
    from strongroom.release.approvals.approver_key import ApproverKey

    secret = passphrases.new(passphrase_file) if passphrase or passphrase_file else None
    made = ApproverKey.create(file, name, secret).approver
    if call.json:
        output.print_json({"name": made.name, "fingerprint": made.key_id, "stanza": made.stanza})
        return
    click.echo(made.stanza, nl=False)
    output.note(f"Wrote {file}. Append these lines to trust/approvers.toml.")


@command.command("request")
@click.argument("sealed", type=_PATH)
@click.option("--policy", metavar="FILE", required=True, type=_PATH, help="The release policy.")
@_reason
@click.option(
    "--hours",
    type=click.IntRange(1, 2160),
    default=24,
    show_default=True,
    help="How long it lasts.",
)
@shared_options
@click.pass_obj
def request(call: Call, sealed: Path, policy: Path, reason: str, hours: int) -> None:
    """Ask for approval that the key of SEALED may be released under a policy.

    The signature of SEALED is checked against the home's signers. Keys are released, and leases
    renewed, as long as the request and enough approvals last.
    """
    import time

    from strongroom.cli import granting, identities
    from strongroom.cli.home import open_home

    subject = granting.subject_of(sealed, policy, open_home(call.home_path).trust)
    with granting.desk(call) as desk:
        until = int(time.time()) + hours * _HOUR
        made = desk.request(subject, asked_by=identities.by(), reason=reason, not_after=until)
    _show(call, made)
    output.note(f"Next: strongroom grant approve {made.id} --key FILE --reason TEXT")


@command.command("show")
@_id
@click.option("--out", metavar="FILE", type=_PATH, help="Write the request itself to FILE.")
@shared_options
@click.pass_obj
def show(call: Call, request: str, out: Path | None) -> None:
    """Show what a REQUEST is about; with --out, write it for an approver elsewhere."""
    from strongroom.cli import granting

    with granting.desk(call) as desk:
        stored = desk.find(request)
    if out is not None:
        granting.write_new(out, stored.document)
    _show(call, stored)


@command.command("approve")
@_id
@_key
@_reason
@click.option(
    "--hours", type=click.IntRange(1, 2160), help="How long it lasts.  [default: as the request]"
)
@click.option("--model", "sealed", metavar="SEALED", type=_PATH, help="Approve only this model.")
@click.option("--policy", metavar="FILE", type=_PATH, help="Approve only this policy.")
@signer_option
@_out
@_passphrase
@shared_options
@click.pass_obj
def approve(
    call: Call,
    request: str,
    key_file: Path,
    reason: str,
    hours: int | None,
    sealed: Path | None,
    policy: Path | None,
    signers: tuple[Path, ...],
    out: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Approve a REQUEST with an approver's key.

    A request names the model and the policy by digests. With --model and --policy, what you hold
    in hand is compared with it, and nothing is signed if it differs; without them you rely on
    whoever made the request.
    """
    import time

    from strongroom.cli import granting

    if (sealed is None) != (policy is None):
        raise click.UsageError("--model and --policy go together.")
    wanted = None
    if sealed is not None and policy is not None:
        wanted = granting.subject_of(sealed, policy, trust_of(call, signers)[0])

    def vote(key: ApproverKey, raw: bytes, asked: Request) -> StoredVote:
        now = int(time.time())
        if wanted is not None:
            granting.require_same(asked, wanted)
        until = asked.not_after if hours is None else now + hours * _HOUR
        return key.approve(raw, reason=reason, created=now, not_after=until)

    _vote(call, request, granting.approver_key(key_file, passphrase_file), vote, out)


@command.command("revoke")
@_id
@_key
@_reason
@_out
@_passphrase
@shared_options
@click.pass_obj
def revoke(
    call: Call,
    request: str,
    key_file: Path,
    reason: str,
    out: Path | None,
    passphrase_file: Path | None,
) -> None:
    """End a REQUEST for good, whoever approved it.

    No key is released and no lease renewed by it any more. Keepers that hold a key go on until
    their lease ends.
    """
    import time

    from strongroom.cli import granting

    def vote(key: ApproverKey, raw: bytes, _asked: Request) -> StoredVote:
        return key.revoke(raw, reason=reason, created=int(time.time()))

    _vote(call, request, granting.approver_key(key_file, passphrase_file), vote, out)


@command.command("submit")
@click.argument("file", type=_PATH)
@shared_options
@click.pass_obj
def submit(call: Call, file: Path) -> None:
    """Take in a vote that was cast on another machine with --out."""
    from strongroom.cli import granting

    with granting.desk(call) as desk:
        _cast(call, desk, granting.read_vote(file))


@command.command("list")
@click.option("--all", "every", is_flag=True, help="Those that ended or were revoked, too.")
@shared_options
@click.pass_obj
def list_requests(call: Call, every: bool) -> None:
    """List requests, and who approved them."""
    from strongroom.cli import granting

    with granting.desk(call) as desk:
        rows = [granting.row(desk, stored) for stored in desk.requests()]
    rows = [row for row in rows if every or row["state"] == "open"]
    if call.json:
        output.print_json({"requests": rows})
        return
    if not rows:
        click.echo("There are no requests for approval that are open.")
        return
    shown = [{**row, "approved_by": ", ".join(row["approved_by"]) or "nobody"} for row in rows]
    output.print_table(("id", "model", "release", "ends", "approved_by", "state"), shown)


def _vote(
    call: Call,
    request: str,
    key: ApproverKey,
    vote: Callable[[ApproverKey, bytes, Request], StoredVote],
    out: Path | None,
) -> None:
    """Cast a vote at the desk of the home, or into a file."""
    from strongroom.cli import granting
    from strongroom.release.approvals import documents
    from strongroom.release.approvals.documents import Request

    if out is not None:
        raw = granting.read_request(Path(request))
        granting.write_vote(out, vote(key, raw, documents.decode(raw, Request)))
        output.note(f"Wrote {out}. Next, at the home: strongroom grant submit {out.name}")
        return
    with granting.desk(call) as desk:
        raw = desk.find(request).document
        _cast(call, desk, vote(key, raw, documents.decode(raw, Request)))


def _cast(call: Call, desk: Desk, vote: StoredVote) -> None:
    if vote.kind == "approval":
        approvers = desk.approve(vote).approvers
        shown: dict[str, Any] = {"request": vote.request, "approved_by": list(approvers)}
        sentence = f"Approved by {', '.join(approvers)}."
    else:
        desk.revoke(vote)
        shown = {"request": vote.request, "revoked_by": vote.approver}
        sentence = f"Revoked by {vote.approver}; it counts no more."
    if call.json:
        output.print_json(shown)
        return
    click.echo(f"{vote.request}  {sentence}")


def _show(call: Call, stored: StoredRequest) -> None:
    from strongroom.cli import granting

    facts = granting.facts(stored)
    if call.json:
        output.print_json(facts)
    else:
        output.print_facts(facts)
