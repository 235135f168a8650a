"""Release policies: each shipped template allows what it is for, and one thing wrong denies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from strongroom.attest.interface import Facts
from strongroom.cli import main
from strongroom.errors import ConfigurationRefused
from strongroom.release.policies import document, engine
from strongroom.release.policies.context import matches, of_accelerators
from strongroom.release.policies.document import TEMPLATES, Allowed, Document, Image
from strongroom.release.policies.engine import Engine

PRODUCTION = [name for name in TEMPLATES if name != "dev"]
MEASURED = "ab" * 48
MANIFEST = "cd" * 32
GENOA = Facts(
    kind="snp",
    product="Genoa",
    assurance="HARDWARE",
    measurements={"measurement": MEASURED},
    report_data=bytes(64),
    debug=False,
    tcb={"snp": 22},
    chip="01" * 64,
    claims={"smt": True},
)
H100 = Facts(
    kind="nvidia",
    product="GH100",
    assurance="HARDWARE",
    measurements={},
    report_data=bytes(32),
    debug=False,
    chip="02" * 8,
    claims={"gpus": 1, "devices": ("02" * 8,), "mode": "spt", "rims": ("driver", "vbios")},
)
LOCAL = replace(
    GENOA,
    kind="local",
    product="software",
    assurance="SOFTWARE-ONLY",
    measurements={"code": "ef" * 32},
)
IMAGES = (
    Image("keeper", "snp", {"measurement": MEASURED}),
    Image("here", "local", {"code": "ef" * 32}),
)
ALLOW = Allowed(
    products=("Genoa",),
    chips=("01" * 64,),
    gpu_products=("GH100",),
    gpus=1,
    approvals=2,
    manifests=(MANIFEST,),
)


def policy(template: str, allow: Allowed = ALLOW) -> Engine:
    return Engine(Document(template, document.template(template), allow, IMAGES, {}))


def own(text: str) -> Engine:
    return Engine(Document("own", text, ALLOW, IMAGES, {}))


def decide(template: str, *facts: Facts, **changes: Any) -> engine.Verdict:
    request: dict[str, Any] = {"manifest": MANIFEST, "approvals": 2} | changes
    return policy(template).decide(facts, **request)


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_a_template_is_for_is_allowed(template: str) -> None:
    verdict = decide(template, GENOA, H100)
    assert verdict.allowed
    assert verdict.because


def test_development_takes_software_only_evidence() -> None:
    assert decide("dev", LOCAL).allowed


WRONG = [
    ("hardware", {"assurance": "SOFTWARE-ONLY"}),
    ("no-debug", {"debug": True}),
    ("product-named", {"product": "Milan"}),
    ("confidential-guest", {"kind": "tpm"}),
]


@pytest.mark.parametrize("template", PRODUCTION)
@pytest.mark.parametrize(("reason", "change"), WRONG, ids=[name for name, _ in WRONG])
def test_one_thing_wrong_with_the_guest_denies(
    template: str, reason: str, change: dict[str, Any]
) -> None:
    verdict = decide(template, replace(GENOA, **change), H100)
    assert not verdict.allowed
    assert reason in verdict.because


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_unknown_image_is_not_permitted(template: str) -> None:
    verdict = decide(template, replace(GENOA, measurements={"measurement": "00" * 48}), H100)
    assert not verdict.allowed
    assert set(verdict.because) == {engine.NOT_PERMITTED}


@pytest.mark.parametrize("template", TEMPLATES)
def test_another_model_is_denied(template: str) -> None:
    verdict = decide(template, GENOA, H100, manifest="00" * 32)
    assert "model-named" in verdict.because


@pytest.mark.parametrize("template", TEMPLATES)
def test_too_few_approvals_deny(template: str) -> None:
    verdict = decide(template, GENOA, H100, approvals=1)
    assert not verdict.allowed
    assert {"approved", "two-people"} & set(verdict.because)


@pytest.mark.parametrize(
    ("template", "reason"), [("production-cpu", "chip-named"), ("air-gapped", "chip-known")]
)
def test_another_chip_is_denied(template: str, reason: str) -> None:
    assert reason in decide(template, replace(GENOA, chip="09" * 64)).because


def test_without_a_list_of_chips_only_the_air_gapped_site_refuses() -> None:
    anywhere = Allowed(products=("Genoa",), approvals=2)
    masked = replace(GENOA, chip="")
    asked: dict[str, Any] = {"manifest": MANIFEST, "approvals": 2}
    assert policy("production-cpu", anywhere).decide((masked,), **asked).allowed
    assert "chip-known" in policy("air-gapped", anywhere).decide((masked,), **asked).because


def test_an_air_gapped_site_wants_two_people_whatever_the_file_says() -> None:
    relaxed = policy("air-gapped", Allowed(products=("Genoa",), chips=("01" * 64,)))
    assert "two-people" in relaxed.decide((GENOA,), manifest=MANIFEST, approvals=1).because
    assert relaxed.decide((GENOA,), manifest=MANIFEST, approvals=2).allowed


GPUS: list[tuple[str, list[Facts]]] = [
    ("accelerators", []),
    ("accelerators", [replace(H100, claims={"gpus": 0, "switches": 4})]),
    ("accelerators", [replace(H100, claims={"gpus": "8"})]),
    ("accelerators-named", [replace(H100, product="GB100")]),
    ("accelerators-named", [H100, replace(H100, product="GB100")]),
    ("accelerators-proven", [replace(H100, debug=True)]),
    ("accelerators-proven", [H100, replace(H100, assurance="SOFTWARE-ONLY")]),
]


@pytest.mark.parametrize(("reason", "gpus"), GPUS)
def test_accelerators_are_judged_each(reason: str, gpus: list[Facts]) -> None:
    assert reason in decide("production-gpu", GENOA, *gpus).because


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("facts", [(), (H100,), (GENOA, GENOA), (GENOA, LOCAL)])
def test_there_must_be_exactly_one_guest(template: str, facts: tuple[Facts, ...]) -> None:
    assert set(decide(template, *facts).because) == {engine.EVALUATION_FAILED}


text = st.text(max_size=20)


SAID = {
    "kind": st.sampled_from(["snp", "tdx", "nitro", "azure-snp", "local"]) | text,
    "product": st.just("Genoa") | text,
    "chip": st.just("01" * 64) | text,
    "measurements": st.just({"measurement": MEASURED})
    | st.just({"code": "ef" * 32})
    | st.dictionaries(text, text, max_size=3),
    "claims": st.dictionaries(text, st.booleans() | text | st.integers(0, 99), max_size=3),
}
LISTS = st.builds(
    Allowed,
    products=st.just(("Genoa", "software")),
    chips=st.sampled_from([(), ("01" * 64,)]),
    gpu_products=st.sampled_from([(), ("GH100",)]),
    gpus=st.integers(0, 2),
    approvals=st.integers(0, 2),
    manifests=st.sampled_from([(), (MANIFEST,)]),
)


@given(
    template=st.sampled_from(PRODUCTION),
    allow=LISTS,
    said=st.fixed_dictionaries(SAID),
    debug=st.booleans(),
    gpus=st.lists(st.just(H100), max_size=2),
    approvals=st.integers(0, 9),
)
def test_no_production_policy_takes_software_only_evidence(
    template: str,
    allow: Allowed,
    said: dict[str, Any],
    debug: bool,
    gpus: list[Facts],
    approvals: int,
) -> None:
    """Whatever else the facts say, and whatever the owner's lists let through."""
    facts = Facts(assurance="SOFTWARE-ONLY", report_data=b"", debug=debug, **said)
    verdict = policy(template, allow).decide((facts, *gpus), manifest=MANIFEST, approvals=approvals)
    assert not verdict.allowed


@given(
    allow=LISTS,
    product=SAID["product"],
    chip=SAID["chip"],
    claims=SAID["claims"],
    approvals=st.integers(2, 9),
)
def test_development_takes_what_production_refuses(
    allow: Allowed, approvals: int, **said: Any
) -> None:
    """The control: nothing but the template stands between this evidence and a key."""
    facts = replace(LOCAL, **said)
    asked: dict[str, Any] = {"manifest": MANIFEST, "approvals": approvals}
    accelerators = (H100,) * allow.gpus
    assert policy("dev", allow).decide((facts, *accelerators), **asked).allowed
    for template in PRODUCTION:
        assert "hardware" in policy(template, allow).decide((facts, *accelerators), **asked).because


def test_an_image_is_matched_by_all_its_measurements() -> None:
    image = Image("both", "snp", {"measurement": MEASURED, "host_data": "00" * 32})
    assert not matches(GENOA, image)
    assert matches(replace(GENOA, measurements=image.measurements), image)
    assert not matches(replace(GENOA, kind="tdx", measurements=image.measurements), image)


def test_accelerators_share_a_claim_only_if_all_make_it() -> None:
    other = replace(H100, claims={"gpus": 7, "mode": "ppcie", "rims": ("driver",)})
    both = of_accelerators([H100, other])
    assert both["claims"] == ["rims=driver"]
    assert both["count"] == 8
    assert both["devices"] == ["02" * 8]
    assert not of_accelerators([])["hardware"]


EVERYTHING = "(principal, action, resource)"
BAD_TEXTS = {
    "does not parse": "permit (principal, action, resource",
    "no @id": f"permit {EVERYTHING};",
    "share an @id": f'@id("a") permit {EVERYTHING}; @id("a") forbid {EVERYTHING};',
    "does not fit the schema": f'@id("a") permit {EVERYTHING} when {{ context.colour == "red" }};',
    "Cedar templates": '@id("a") permit (principal == ?principal, action, resource);',
}


@pytest.mark.parametrize("why", BAD_TEXTS)
def test_a_text_that_could_not_decide_is_not_loaded(why: str) -> None:
    with pytest.raises(ConfigurationRefused, match=why) as refused:
        own(BAD_TEXTS[why])
    assert refused.value.code == "release.policy_invalid"


def test_an_error_in_any_statement_denies() -> None:
    overflow = own(
        '@id("yes") permit (principal, action, resource);'
        '@id("no") forbid (principal, action, resource)'
        " when { context.approvals * 9223372036854775807 < 0 };"
    )
    assert overflow.decide((GENOA,), manifest=MANIFEST, approvals=1).allowed
    verdict = overflow.decide((GENOA,), manifest=MANIFEST, approvals=3)
    assert set(verdict.because) == {engine.EVALUATION_FAILED}


def test_facts_of_the_wrong_type_deny() -> None:
    crooked = replace(GENOA, debug="no")  # type: ignore[arg-type]
    assert set(decide("dev", crooked).because) == {engine.EVALUATION_FAILED}


def test_the_digest_covers_all_that_decides() -> None:
    base = policy("dev").document
    changed = [
        Document("other name", base.cedar, base.allow, base.images, {}),
        Document("dev", base.cedar + "\n", base.allow, base.images, {}),
        Document("dev", base.cedar, Allowed(), base.images, {}),
        Document("dev", base.cedar, base.allow, (), {}),
        Document("dev", base.cedar, base.allow, base.images, {"snp": {"vmpl": 1}}),
    ]
    digests = [each.digest for each in changed]
    assert digests[0] == base.digest
    assert len({base.digest, *digests}) == len(changed)


DEV = "template = 'dev'\n"


def image_table(kind: str, measurements: str) -> str:
    return f"[[image]]\nname = 'a'\nkind = '{kind}'\nmeasurements = {{{measurements}}}\n"


FILES = {
    "release.policy_form": [
        "",
        DEV + "cedar = 'a.cedar'",
        "template = 'mine'",
        DEV + "colour = 'red'",
        "cedar = '../a.cedar'",
        "= 1",
        DEV + "[allow]\napprovals = -1",
        DEV + 2 * image_table("snp", f"measurement = '{MEASURED}'"),
    ],
    "release.policy_image": [
        DEV + image_table("snp", ""),
        DEV + image_table("tdx", f"mrtd = '{MEASURED}'"),
        DEV + image_table("abacus", ""),
    ],
    "release.policy_unreadable": ["cedar = 'absent.cedar'"],
}


@pytest.mark.parametrize(("code", "written"), [(c, t) for c, texts in FILES.items() for t in texts])
def test_a_bad_file_is_refused(tmp_path: Path, code: str, written: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(written)
    with pytest.raises(ConfigurationRefused) as refused:
        document.load(file)
    assert refused.value.code == code


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(main.cli, list(map(str, words)), standalone_mode=False)
    if isinstance(done.exception, ConfigurationRefused):
        return done.exception.exit_code, done.exception.code
    return (done.return_value or 0), done.output


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_new_file_can_be_checked_and_denies(tmp_path: Path, template: str) -> None:
    file = tmp_path / "policy.toml"
    assert run("policy", "new", file, "--template", template)[0] == 0
    assert run("policy", "new", file, "--template", template)[1] == "cli.policy_not_written"
    code, shown = run("policy", "check", file, "--json")
    assert code == 0
    assert json.loads(shown)["digest"] == document.load(file).digest
    verdict = Engine(document.load(file)).decide((GENOA, H100), manifest=MANIFEST, approvals=9)
    assert not verdict.allowed
