"""AWS KMS against moto, which encrypts for real and checks the encryption context."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from wrapper_contract import CONTEXT, check_contract, code_of

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.secret_access import TOKEN
from strongroom.errors import EnvironmentLacks

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

from strongroom.keys.aws_kms import AwsKms  # noqa: E402

REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with moto.mock_aws():
        yield


def new_key() -> str:
    arn: str = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]
    return arn


def test_contract() -> None:
    check_contract(AwsKms(new_key(), region=REGION), AwsKms(new_key(), region=REGION))


def test_kms_never_sees_the_data_key_and_is_told_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    kms = AwsKms(new_key(), region=REGION)
    sent: list[dict[str, Any]] = []
    real = kms._client.encrypt
    monkeypatch.setattr(kms._client, "encrypt", lambda **call: sent.append(call) or real(**call))
    key = DataKey.generate()
    stanza = kms.wrap(key, CONTEXT)
    (call,) = sent
    assert call["Plaintext"] != bytes(key.reveal(TOKEN))
    assert call["EncryptionContext"] == {"strongroom-context-sha256": stanza.params["context"]}


def test_kms_itself_enforces_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    kms = AwsKms(new_key(), region=REGION)
    stanza = kms.wrap(DataKey.generate(), CONTEXT)
    blob = base64.b64decode(stanza.params["kek"])
    with pytest.raises(kms._client.exceptions.InvalidCiphertextException):
        kms._client.decrypt(CiphertextBlob=blob, EncryptionContext={"other": "context"})
    kms.unwrap(stanza, CONTEXT)


def test_the_kek_of_another_stanza() -> None:
    kms = AwsKms(new_key(), region=REGION)
    ours, other = (kms.wrap(DataKey.generate(), CONTEXT) for _ in range(2))
    for kek, code in (
        (other.params["kek"], "keys.altered"),
        ("%%%", "keys.malformed_stanza"),
        ("", "keys.malformed_stanza"),
    ):
        mixed = msgspec.structs.replace(ours, params={**ours.params, "kek": kek})
        assert code_of(lambda m=mixed: kms.unwrap(m, CONTEXT)) == code


def test_kms_says_no() -> None:
    arn = new_key()
    absent = AwsKms(arn[:-4] + "0000", region=REGION)
    assert code_of(lambda: absent.wrap(DataKey.generate(), CONTEXT)) == "keys.no_such_key"
    AwsKms(arn, region=REGION).wrap(DataKey.generate(), CONTEXT)


@pytest.mark.parametrize(
    ("aws_code", "code"),
    [
        ("AccessDeniedException", "keys.denied"),
        ("DisabledException", "keys.key_disabled"),
        ("IncorrectKeyException", "keys.altered"),
        ("ThrottlingException", "keys.server_refused"),
    ],
)
def test_error_codes(monkeypatch: pytest.MonkeyPatch, aws_code: str, code: str) -> None:
    from botocore.exceptions import ClientError

    kms = AwsKms(new_key(), region=REGION)

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": aws_code, "Message": "no"}}, "Encrypt")

    monkeypatch.setattr(kms._client, "encrypt", refuse)
    assert code_of(lambda: kms.wrap(DataKey.generate(), CONTEXT)) == code


def test_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    kms = AwsKms("arn:aws:kms:eu-central-1:0:key/x", region=REGION, endpoint="http://127.0.0.1:9")
    assert code_of(lambda: kms.wrap(DataKey.generate(), CONTEXT)) == "keys.unreachable"


def test_without_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(EnvironmentLacks) as lacking:
        AwsKms("arn", region=REGION)
    assert lacking.value.code == "keys.missing_extra"
    assert "strongroom[aws]" in lacking.value.action
