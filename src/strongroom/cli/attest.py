"""``strongroom attest``: judge evidence, explain a refusal, gather a bundle."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import output
from strongroom.cli.bounded import content
from strongroom.cli.call import Call, shared_options
from strongroom.cli.moment import seconds
from strongroom.errors import ConfigurationRefused

if TYPE_CHECKING:
    from strongroom.attest.interface import Check, EvidenceRefused, Facts

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


def _named(_context: click.Context, _option: Any, values: tuple[str, ...]) -> dict[str, bytes]:
    """What stands in the files of ``NAME=FILE``."""
    found: dict[str, bytes] = {}
    for value in values:
        name, _, path = value.partition("=")
        if not name or name in found or not Path(path).is_file():
            raise click.BadParameter(f"{value!r} is not NAME=FILE, with a new name and a file")
        found[name] = content(Path(path))
    return found


@click.group("attest")
def command() -> None:
    """Judge evidence about a machine; gather what that needs.

    What each kind of evidence proves, and what not, is in docs/attestation.md.
    """


@command.command("verify")
@click.argument("bundle", type=_file)
@click.option(
    "--policy",
    metavar="FILE",
    type=_file,
    help="Expectations, TOML or JSON: one table a kind.  [default: the strict ones]",
)
@click.option(
    "--at",
    metavar="TIME",
    help="Judge validity at this time: ISO 8601 or Unix seconds.  [default: now]",
)
@shared_options
@click.pass_obj
def verify(call: Call, bundle: Path, policy: Path | None, at: str | None) -> None:
    """Verify a bundle: every check, then the facts.

    Ends with 0 only if the evidence is genuine and meets the expectations. Opens no connection.
    """
    from strongroom.attest.bundle import decode
    from strongroom.attest.interface import EvidenceRefused
    from strongroom.attest.registry import verify_bundle

    now = seconds(at)
    expectations = _expectations(policy)
    try:
        found = verify_bundle(decode(content(bundle)), now=now, expectations=expectations)
    except EvidenceRefused as error:
        _show_refused(call, error, now)
        raise
    if call.json:
        output.print_json({"accepted": True, "at": now, "evidence": [_as_json(f) for f in found]})
        return
    for facts in found:
        _show_checks(facts.checks)
        output.print_facts(_for_people(facts))
    click.echo(click.style("Accepted.", fg="green", bold=True))


@command.command("explain")
@click.argument("code")
@shared_options
@click.pass_obj
def explain(call: Call, code: str) -> None:
    """Say what a refusal's CODE means and what to do."""
    from strongroom.attest.registry import reasons

    known = reasons()
    if code not in known:
        raise ConfigurationRefused(
            "cli.attest_code",
            f"No verifier refuses evidence with {code!r}.",
            action="See docs/errors.md for all codes.",
        )
    reason = known[code]
    if call.json:
        output.print_json({"code": code, "message": reason.sentence, "action": reason.action})
        return
    output.print_facts({"code": code, "means": reason.sentence, "do": reason.action})


@command.command("bundle")
@click.argument("kind")
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--part",
    "evidence",
    multiple=True,
    metavar="NAME=FILE",
    callback=_named,
    help="A part of the evidence; repeat.",
)
@click.option(
    "--certificate",
    "certificates",
    multiple=True,
    metavar="FILE",
    type=_file,
    help="Certificates in DER or PEM, signer first, root last; repeat.",
)
@click.option(
    "--crl", "crls", multiple=True, metavar="FILE", type=_file, help="Revocation list, DER; repeat."
)
@click.option(
    "--collateral",
    multiple=True,
    metavar="NAME=FILE",
    callback=_named,
    help="Collateral that the kind takes; repeat.",
)
@click.option(
    "--nested", multiple=True, metavar="FILE", type=_file, help="Bundle of the same machine."
)
@click.option(
    "--fetch",
    is_flag=True,
    help="Fetch what AMD, Intel or NVIDIA publish for it (snp, tdx, sgx, nvidia).",
)
@click.option("--product", metavar="NAME", help="Product of a report that names none (version 2).")
@click.option("--service", metavar="URL", help="Fetch from this cache instead of from the maker.")
@shared_options
@click.pass_obj
def bundle(
    call: Call,
    kind: str,
    target: Path,
    evidence: dict[str, bytes],
    certificates: tuple[Path, ...],
    crls: tuple[Path, ...],
    collateral: dict[str, bytes],
    nested: tuple[Path, ...],
    fetch: bool,
    product: str | None,
    service: str | None,
) -> None:
    """Make a bundle of KIND at TARGET.

    This is the only part of attestation that may use a network, and only with --fetch.
    """
    from strongroom.attest.bundle import Bundle, decode, encode
    from strongroom.attest.registry import verifier
    from strongroom.cli.attest_gather import gather

    verifier(kind)
    chain = tuple(raw for path in certificates for raw in _certificates(content(path)))
    lists = tuple(content(path) for path in crls)
    parts = _parts(kind, collateral)
    if fetch:
        found = gather(kind, evidence, key=chain, product=product, service=service)
        chain, lists = found.certificates, found.crls
        parts = found.collateral or parts
    made = Bundle(
        kind=kind,
        evidence=evidence,
        certificates=chain,
        crls=lists,
        collateral=parts,
        nested=tuple(decode(content(path)) for path in nested),
    )
    raw = encode(made) + b"\n"
    decode(raw)
    target.write_bytes(raw)
    answer = {"bundle": str(target), "kind": kind, "bytes": len(raw)}
    if call.json:
        output.print_json(answer)
        return
    output.print_facts(answer)


def _parts(kind: str, collateral: dict[str, bytes]) -> dict[str, bytes]:
    """The collateral by its parts; Intel's may be given whole, as ``pcs``: a PCS client's JSON."""
    from strongroom.attest.dcap.collateral import from_json

    if kind in {"tdx", "sgx"} and set(collateral) == {"pcs"}:
        return from_json(collateral["pcs"])
    return collateral


def _certificates(raw: bytes) -> tuple[bytes, ...]:
    from strongroom.attest.certificates import read_pem

    if b"-----BEGIN" not in raw:
        return (raw,)
    try:
        return read_pem(raw)
    except ValueError as error:
        raise ConfigurationRefused(
            "cli.attest_pem",
            "A file given with --certificate is not canonical PEM.",
            action="Write it again with `openssl x509`, certificates only.",
        ) from error


def _expectations(path: Path | None) -> dict[str, object]:
    import msgspec

    if path is None:
        return {}
    raw, kind = content(path), dict[str, object]
    try:
        if path.suffix == ".json":
            return msgspec.json.decode(raw, type=kind)
        return msgspec.toml.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationRefused(
            "cli.attest_policy",
            f"{path} cannot be read as expectations.",
            action="Write TOML (or JSON, named .json) with one table a kind of evidence.",
        ) from error


def _show_refused(call: Call, error: EvidenceRefused, now: int) -> None:
    if call.json:
        output.print_json(
            {
                "accepted": False,
                "at": now,
                "checks": [_check(check) for check in error.made],
                "refused": {"number": error.number, "code": error.code, "found": error.found},
            }
        )
        return
    _show_checks(error.made)
    if error.number:
        click.echo(f"  no  {error.number:>5}  {error.code}  {error.found}")


def _show_checks(checks: tuple[Check, ...]) -> None:
    for check in checks:
        click.echo(f"  ok  {check.number:>5}  {check.code}  {check.found}".rstrip())


def _check(check: Check) -> dict[str, str]:
    return {"number": check.number, "code": check.code, "found": check.found}


def _as_json(facts: Facts) -> dict[str, object]:
    return {
        "kind": facts.kind,
        "product": facts.product,
        "assurance": facts.assurance,
        "measurements": dict(facts.measurements),
        "report_data": facts.report_data.hex(),
        "debug": facts.debug,
        "tcb": dict(facts.tcb),
        "chip": facts.chip,
        "certificates": [
            {"subject": c.subject, "not_before": c.not_before, "not_after": c.not_after}
            for c in facts.certificates
        ],
        "claims": dict(facts.claims),
        "checks": [_check(check) for check in facts.checks],
    }


def _for_people(facts: Facts) -> dict[str, object]:
    days = "{:%Y-%m-%d} to {:%Y-%m-%d}"
    return {
        "kind": f"{facts.kind} ({facts.product}, {facts.assurance})",
        **{f"  {name}": value for name, value in facts.measurements.items()},
        "report data": facts.report_data.hex(),
        "debug": "on" if facts.debug else "off",
        "chip": facts.chip or "not shown",
        "TCB": ", ".join(f"{name} {value}" for name, value in facts.tcb.items()),
        **{
            f"  {entry.subject}": days.format(
                *(datetime.fromtimestamp(t, UTC) for t in (entry.not_before, entry.not_after))
            )
            for entry in facts.certificates
        },
        **{f"  {name}": _plain(value) for name, value in facts.claims.items()},
    }


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
