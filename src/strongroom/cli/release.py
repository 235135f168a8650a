"""``strongroom release``: the key-release service, and which models' keys it releases no more."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.call import Call, passphrase_option, shared_options
from strongroom.cli.verify import signer_option, trust_of

if TYPE_CHECKING:
    from strongroom.cli.lineage import Registry
    from strongroom.store.lineage import Named

_PATH = click.Path(path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, resolve_path=True)


def _resources(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[tuple[str, Path], ...]:
    pairs = [word.partition("=") for word in given]
    paths = [path for path, _, _ in pairs]
    if not all(path and sealed for path, _, sealed in pairs) or len(set(paths)) != len(paths):
        raise click.BadParameter("give REPOSITORY/TYPE/TAG=SEALED, each path once")
    return tuple((path, Path(sealed)) for path, _, sealed in pairs)


@click.group("release")
def command() -> None:
    """Run key release as a service; revoke models, and say what was made from what.

    A model that is revoked gets no key any more, and its leases are not renewed; nor does anything
    that was made from it, however far.
    """


@command.command("serve")
@click.option(
    "--policy",
    metavar="FILE",
    type=_FILE,
    help="Who may have a key.  [default: release_policy of strongroom.toml, or this installation]",
)
@click.option(
    "--listen",
    metavar="ADDRESS:PORT",
    default="127.0.0.1:8070",
    show_default=True,
    help="Where guests of Confidential Containers ask; port 0 takes a free one.",
)
@click.option(
    "--socket",
    metavar="PATH",
    type=_PATH,
    help="Where keepers of this user ask.  [default: run/release.sock of the home]",
)
@click.option("--tls-cert", metavar="FILE", type=_FILE, help="Certificate chain: speak TLS.")
@click.option("--tls-key", metavar="FILE", type=_FILE, help="Its private key.")
@click.option(
    "--resource",
    "resources",
    metavar="PATH=SEALED",
    multiple=True,
    callback=_resources,
    help="Give guests the key of SEALED as the resource REPOSITORY/TYPE/TAG. Repeatable.",
)
@click.option(
    "--collateral",
    metavar="BUNDLE",
    multiple=True,
    type=_PATH,
    help="Certificates and lists for guests' evidence, of `attest bundle`. Repeatable.",
)
@passphrase_option
@shared_options
@click.pass_obj
def serve(
    call: Call,
    policy: str | None,
    listen: str,
    socket: Path | None,
    tls_cert: str | None,
    tls_key: str | None,
    resources: tuple[tuple[str, Path], ...],
    collateral: tuple[Path, ...],
    passphrase_file: Path | None,
) -> int:
    """Run key release as a service of its own.

    Answers keepers on a Unix socket, and guests of Confidential Containers over HTTP (KBS 0.4.0),
    both under one policy, with one record. `strongroom serve` starts a key release for itself; this
    one is for workloads that somebody else starts. With --json the first line printed says where it
    listens. Stops with Ctrl-C.
    """
    from strongroom.cli import preconditions

    preconditions.require_extra(("uvicorn", "httptools"))
    from strongroom.cli import release_serving

    return release_serving.run(
        call,
        release_serving.Chosen(
            policy, listen, socket, tls_cert, tls_key, resources, collateral, passphrase_file
        ),
    )


@command.command("revoke")
@click.argument("target", metavar="MODEL")
@click.option(
    "--release", type=click.IntRange(1, 2**53 - 1), help="Only this release.  [default: all]"
)
@click.option(
    "--reason", metavar="TEXT", required=True, help="Why, in one line; it stands in the record."
)
@signer_option
@shared_options
@click.pass_obj
def revoke(
    call: Call, target: str, release: int | None, reason: str, signers: tuple[Path, ...]
) -> None:
    """Revoke MODEL for good: its id, a manifest's digest, or a sealed folder.

    An id revokes all its releases, those to come included; a folder or a digest this one release.
    Key releases that run see it at their next decision. Keepers that hold the key stop when their
    lease ends, or before, when they ask for a longer one.
    """
    from strongroom.cli import lineage

    with lineage.opened(call) as registry:
        named = lineage.target(target, release, trust_of(call, signers)[0])
        fallen = registry.revoke(named, reason)
        unheard = _is_unheard(registry, named)
    if call.json:
        output.print_json({"revoked": _facts(named), "with_it": [_facts(each) for each in fallen]})
        return
    click.echo(f"Revoked: {_words(named)}.")
    for each in fallen:
        click.echo(f"With it: {_words(each)}.")
    if unheard:
        output.note("This home has seen no model of that id: check that it is spelled right.")


@command.command("derive")
@click.argument("made", metavar="SEALED", type=_PATH)
@click.option(
    "--from", "source", metavar="SOURCE", required=True, type=_PATH, help="What it was made from."
)
@signer_option
@shared_options
@click.pass_obj
def derive(call: Call, made: Path, source: Path, signers: tuple[Path, ...]) -> None:
    """Note that SEALED was made from SOURCE, another sealed model, and falls with it.

    It cannot be taken back. Adapters are noted by themselves when a tuning job seals them.
    """
    from strongroom.cli import lineage
    from strongroom.errors import ConfigurationRefused

    with lineage.opened(call) as registry:
        trust = trust_of(call, signers)[0]
        child, parent = lineage.of_sealed(made, trust), lineage.of_sealed(source, trust)
        if child.manifest == parent.manifest:
            raise ConfigurationRefused(
                "cli.derives_from_itself",
                "Both are the same sealed model.",
                action="Name what was made, then --from what it was made from.",
            )
        registry.derive(child, parent)
        state = registry.state(child)
    if call.json:
        output.print_json({"made": _facts(child), "from": _facts(parent), "state": _state(state)})
        return
    click.echo(f"Noted: {_words(child)} was made from {_words(parent)}.")
    if state:
        output.note("It gets no key: it, or what it was made from, is revoked.")


@command.command("list")
@shared_options
@click.pass_obj
def list_lineage(call: Call) -> None:
    """List what is revoked, and what was made from what."""
    from strongroom.cli import lineage
    from strongroom.store.lineage import Named

    with lineage.opened(call) as registry:
        revoked = [
            {
                **_facts(Named(each.model, each.release, each.manifest)),
                "since": _time(each.at),
                "by": each.revoked_by,
                "reason": each.reason,
            }
            for each in registry.store.revocations()
        ]
        made = [
            {
                **_facts(each.made),
                "from": _facts(each.source),
                "since": _time(each.at),
                "by": each.noted_by,
                "state": _state(registry.state(each.made)),
            }
            for each in registry.store.derivations()
        ]
    if call.json:
        output.print_json({"revoked": revoked, "derived": made})
        return
    _show(revoked, made)


def _show(revoked: list[dict[str, Any]], made: list[dict[str, Any]]) -> None:
    if not revoked:
        click.echo("No model is revoked.")
    else:
        shown = [_short(row) for row in revoked]
        output.print_table(("model", "release", "manifest", "since", "by", "reason"), shown)
    if made:
        click.echo("")
        shown = [{**_short(row), "made_from": _from(row["from"])} for row in made]
        output.print_table(("model", "release", "manifest", "made_from", "state"), shown)


def _is_unheard(registry: Registry, named: Named) -> bool:
    """Whether a model that is named by its id was never seen here: it may be misspelled."""
    heard = {each.made.model for each in registry.store.derivations()}
    heard |= {each.source.model for each in registry.store.derivations()}
    return (
        bool(named.model)
        and not named.manifest
        and named.model not in heard
        and registry.home.releases.seen(named.model) is None
    )


def _facts(named: Named) -> dict[str, Any]:
    return {"model": named.model, "release": named.release, "manifest": named.manifest}


def _words(named: Named) -> str:
    if not named.model:
        return f"the release with manifest {named.manifest}"
    return f"{named.model}, " + (f"release {named.release}" if named.release else "all releases")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    digest = row["manifest"]
    one = row["release"] or ("all" if row["model"] else "")
    return {
        **row,
        "model": row["model"] or "(any)",
        "release": one,
        "manifest": digest and f"{digest[:16]}…",
    }


def _from(source: dict[str, Any]) -> str:
    return f"{source['model']} {source['release']}"


def _state(code: str) -> str:
    return code or "in force"


def _time(at: int) -> str | None:
    from strongroom.cli.identities import time_text

    return time_text(datetime.fromtimestamp(at, UTC))
