"""``strongroom policy``: which workload may have a key; write, check and try release policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import output
from strongroom.cli.bounded import content
from strongroom.cli.call import Call, shared_options
from strongroom.cli.moment import seconds

if TYPE_CHECKING:
    from strongroom.attest.interface import Facts
    from strongroom.release.policies.engine import Engine, Verdict

DENIED = 4


@click.group("policy")
def command() -> None:
    """Write, check and try the policies of key release.

    A policy says which attested workloads may have a model's key. Its text is Cedar, and the
    shipped templates need no editing: what is yours to choose stands as lists in a TOML file.
    """


@command.command("new")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--template",
    "name",
    required=True,
    type=click.Choice(["dev", "production-cpu", "production-gpu", "air-gapped"]),
    help="The shipped policy to start from.",
)
@shared_options
@click.pass_obj
def new(call: Call, file: Path, name: str) -> None:
    """Write a policy FILE that uses a template, with every list to fill in.

    As written it denies everything, since it lists no image. An existing FILE is refused.
    """
    from strongroom.cli.policy_text import starting
    from strongroom.errors import ConfigurationRefused
    from strongroom.release.evidence import running_measurement

    try:
        with file.open("x", encoding="utf-8") as made:
            made.write(starting(name, running_measurement()))
    except OSError as error:
        raise ConfigurationRefused(
            "cli.policy_not_written",
            f"The policy file cannot be written: {error.strerror}.",
            action="Name a file that does not exist, in a folder that does.",
        ) from None
    if call.json:
        output.print_json({"ok": True, "file": str(file), "template": name})
        return
    click.echo(f"Wrote {file}. It denies everything until it lists an image.")
    output.note(f"Next: strongroom policy test {file} EVIDENCE")


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@shared_options
@click.pass_obj
def check(call: Call, file: Path) -> None:
    """Check a policy FILE: its form, its Cedar text against the schema, its images."""
    policy = _load(file)
    shown = {
        "policy": policy.document.name,
        "digest": policy.digest,
        "images": ", ".join(image.name for image in policy.document.images) or "none",
        "approvals": policy.document.allow.approvals,
    }
    if call.json:
        output.print_json({"ok": True, **shown})
        return
    output.print_facts(shown)
    if not policy.document.images:
        output.note("It lists no image, so a shipped template denies everything.")


@command.command("test")
@click.argument("file", metavar="POLICY", type=click.Path(path_type=Path))
@click.argument("evidence", type=click.Path(path_type=Path))
@click.option("--at", "moment", metavar="TIME", help="Judge as of TIME (ISO 8601), not as of now.")
@click.option("--manifest", metavar="DIGEST", default="", help="The model's manifest digest.")
@click.option("--approvals", type=click.IntRange(0, 64), default=0, help="Approvals to assume.")
@shared_options
@click.pass_obj
def test(
    call: Call, file: Path, evidence: Path, moment: str | None, manifest: str, approvals: int
) -> int:
    """Say whether POLICY would release a key to EVIDENCE, and why.

    EVIDENCE is a bundle, as `strongroom attest bundle` makes it. It is verified first: evidence
    that is not genuine is refused before any policy is asked. Ends with 0 if the key would be
    released and with 4 if it would be denied.
    """
    from strongroom.attest import bundle, registry

    policy = _load(file)
    facts = registry.verify_bundle(
        bundle.decode(content(evidence)),
        now=seconds(moment),
        expectations=policy.document.expectations,
    )
    verdict = policy.decide(facts, manifest=manifest, approvals=approvals)
    if call.json:
        output.print_json(_json(verdict, facts))
    else:
        _print(verdict, facts)
    return 0 if verdict.allowed else DENIED


def _load(file: Path) -> Engine:
    from strongroom.release.policies.document import load
    from strongroom.release.policies.engine import Engine

    return Engine(load(file))


def _json(verdict: Verdict, facts: tuple[Facts, ...]) -> dict[str, object]:
    return {
        "allowed": verdict.allowed,
        "because": verdict.because,
        "policy": verdict.policy,
        "policy_digest": verdict.policy_digest,
        "evidence": [
            {"kind": fact.kind, "product": fact.product, "assurance": fact.assurance}
            for fact in facts
        ],
    }


def _print(verdict: Verdict, facts: tuple[Facts, ...]) -> None:
    for fact in facts:
        click.echo(f"evidence  {fact.kind}, {fact.product}, {fact.assurance}")
    click.echo("allow" if verdict.allowed else "deny")
    for name, sentence in verdict.because.items():
        click.echo(output.wrapped(f"  {name}: ", sentence))
    click.echo(f"policy {verdict.policy}, digest {verdict.policy_digest}")
