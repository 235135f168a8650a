"""EAR tokens, read by PyJWT: accepted as they are, each wrong use refused, nothing overstated."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from strongroom.attest.interface import Facts
from strongroom.errors import StrongroomError
from strongroom.release.ear.token import LIFETIME_SECONDS, issue
from strongroom.release.ear.token_key import TokenKey
from strongroom.release.policies.document import Allowed, Document, Image

jwt = pytest.importorskip("jwt", reason="PyJWT is not installed")

NOW = 1_800_000_000
NONCE = bytes(range(32))
GENOA = Facts(
    kind="snp",
    product="Genoa",
    assurance="HARDWARE",
    measurements={"measurement": "ab" * 48},
    report_data=bytes(64),
    debug=False,
    tcb={"reported.snp": 22},
    chip="01" * 64,
    claims={"vmpl": 0, "not_compared": ("host_data",)},
)
H100 = replace(GENOA, kind="nvidia", product="GH100", measurements={}, claims={"gpus": 1})
TDX = replace(GENOA, kind="tdx", product="TDX", tcb={"status": "UpToDate"})
NITRO = replace(GENOA, kind="nitro", product="Nitro", measurements={"pcr0": "cd" * 48})
LOCAL = replace(GENOA, kind="local", assurance="SOFTWARE-ONLY", measurements={"code": "ef" * 32})
POLICY = Document(
    "mine",
    "",
    Allowed(chips=("01" * 64,)),
    (
        Image("keeper", "snp", {"measurement": "ab" * 48}),
        Image("enclave", "nitro", {"pcr0": "cd" * 48}),
        Image("domain", "tdx", {"measurement": "ab" * 48}),
        Image("here", "local", {"code": "ef" * 32}),
    ),
    {},
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> TokenKey:
    return TokenKey.create(tmp_path_factory.mktemp("keys") / "token.key")


def token(key: TokenKey, *facts: Facts, **changes: Any) -> str:
    arguments: dict[str, Any] = {
        "key": key,
        "issuer": "release.example",
        "audience": "gateway.example",
        "token_id": "decision-1",
        "nonce": NONCE,
        "now": NOW,
    }
    return issue(facts or (GENOA,), POLICY, **{**arguments, **changes})


def accept(text: str, public: Any, *, at: int = NOW, audience: str = "gateway.example") -> Any:
    """What a relying party does: PyJWT, the pinned key, one algorithm, its own name and clock."""
    required = ["exp", "iat", "aud", "iss", "jti", "eat_nonce", "submods"]
    options = {"require": required, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(
        text,
        public,
        algorithms=["ES256"],
        audience=audience,
        issuer="release.example",
        options=options,
    )
    # PyJWT has no way to turn its clock.
    if not claims["iat"] <= at < claims["exp"]:
        raise jwt.ExpiredSignatureError
    return claims


def public_of(key: TokenKey) -> Any:
    return jwt.PyJWK({**key.jwk, "alg": "ES256"}).key


def test_another_implementation_accepts_it(key: TokenKey) -> None:
    text = token(key, GENOA, H100)
    claims = accept(text, public_of(key))
    assert jwt.get_unverified_header(text) == {"alg": "ES256", "kid": key.key_id, "typ": "eat+jwt"}
    assert claims["eat_profile"] == "tag:ietf.org,2026:rats/ear#04"
    assert claims["jti"] == "decision-1"
    assert urlsafe_b64decode(claims["eat_nonce"] + "=") == NONCE
    assert set(claims["ear_verifier_id"]) == {"developer", "build"}
    assert list(claims["submods"]) == ["cpu0", "gpu0"]
    cpu = claims["submods"]["cpu0"]
    assert cpu["ear_status"] == "affirming"
    assert cpu["ear_trustworthiness_vector"] == {
        "hardware": 2,
        "configuration": 2,
        "executables": 3,
        "runtime-opaque": 2,
        "instance-identity": 2,
    }
    digest = urlsafe_b64decode(cpu["ear_appraisal_policy_ids"][0].partition(";")[2] + "=")
    assert digest.hex() == POLICY.digest
    assert cpu["ear_attester_claims"]["measurements"] == {"measurement": "ab" * 48}
    assert cpu["ear_verifier_claims"]["images"] == ["keeper"]
    assert claims["submods"]["gpu0"]["ear_trustworthiness_vector"] == {
        "hardware": 2,
        "configuration": 2,
    }


def test_it_is_short_lived(key: TokenKey) -> None:
    text = token(key)
    last = NOW + LIFETIME_SECONDS - 1
    assert accept(text, public_of(key), at=last)["exp"] == last + 1
    with pytest.raises(jwt.ExpiredSignatureError):
        accept(text, public_of(key), at=last + 1)
    assert LIFETIME_SECONDS <= 300


def test_it_is_for_one_audience(key: TokenKey) -> None:
    with pytest.raises(jwt.InvalidAudienceError):
        accept(token(key), public_of(key), audience="somebody.else")


def test_another_key_did_not_sign_it(key: TokenKey, tmp_path: Path) -> None:
    other = TokenKey.create(tmp_path / "other.key")
    with pytest.raises(jwt.InvalidSignatureError):
        accept(token(key), public_of(other))


def test_every_byte_of_it_is_signed(key: TokenKey) -> None:
    text, public = token(key), public_of(key)
    for position in range(0, len(text) - 2, 13):
        spoiled = "B" if text[position] == "A" else "A"
        with pytest.raises(jwt.InvalidTokenError):
            accept(text[:position] + spoiled + text[position + 1 :], public)


@pytest.mark.parametrize(
    ("facts", "claim", "value", "status"),
    [
        (replace(GENOA, debug=True), "configuration", 96, "contraindicated"),
        (replace(GENOA, debug=True), "runtime-opaque", 96, "contraindicated"),
        (replace(GENOA, measurements={"measurement": "00" * 48}), "executables", 33, "warning"),
        (replace(TDX, tcb={"status": "SWHardeningNeeded"}), "hardware", 32, "warning"),
        (TDX, "hardware", 2, "affirming"),
        (NITRO, "runtime-opaque", 32, "warning"),
        (LOCAL, "hardware", 97, "contraindicated"),
        (LOCAL, "runtime-opaque", 96, "contraindicated"),
        (replace(H100, debug=True), "configuration", 96, "contraindicated"),
        (replace(GENOA, kind="tpm"), "runtime-opaque", 96, "contraindicated"),
    ],
)
def test_what_is_not_so_is_not_affirmed(
    key: TokenKey, facts: Facts, claim: str, value: int, status: str
) -> None:
    claims = accept(token(key, facts), public_of(key))
    (submod,) = claims["submods"].values()
    assert submod["ear_trustworthiness_vector"][claim] == value
    assert submod["ear_status"] == status


def test_a_chip_that_nobody_listed_has_no_identity(key: TokenKey) -> None:
    claims = accept(token(key, replace(GENOA, chip="02" * 64)), public_of(key))
    assert "instance-identity" not in claims["submods"]["cpu0"]["ear_trustworthiness_vector"]


def test_more_claims_replace_none_of_ours(key: TokenKey) -> None:
    text = token(key, more={"exp": NOW * 2, "submods": {}, "tee-pubkey": {"kty": "EC"}})
    claims = accept(text, public_of(key))
    assert claims["exp"] == NOW + LIFETIME_SECONDS
    assert claims["submods"]
    assert claims["tee-pubkey"] == {"kty": "EC"}


def test_the_key_survives_its_file(tmp_path: Path) -> None:
    made = TokenKey.create(tmp_path / "token.key")
    again = TokenKey.load(tmp_path / "token.key")
    assert again.jwk == made.jwk
    accept(token(again), public_of(made))
    stored = json.loads((tmp_path / "token.key").read_text())
    assert stored["secret"] not in repr(made)
    (tmp_path / "token.key").write_text(json.dumps({**stored, "secret": "A" * 43 + "="}))
    with pytest.raises(StrongroomError) as refused:
        TokenKey.load(tmp_path / "token.key")
    assert refused.value.code == "release.token_key_malformed"
