"""``seal``, ``verify``, ``inspect`` and ``rewrap``: what they do, and every refusal's exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Made, Runs, Said


def test_a_sealed_model_is_told_of(strongroom: Runs, made: Made, tmp_path: Path) -> None:
    said = strongroom(
        "--home", made.home, "seal", made.plain, "--out", tmp_path / "two.sealed", "--json"
    )
    assert said.code == 0
    assert (said.json["model_id"], said.json["release"]) == ("tiny", 2)
    assert said.json["rungs"] == {"*": "text"}
    assert said.json["files"] == len(list((tmp_path / "two.sealed").iterdir()))
    verified = strongroom("--home", made.home, "verify", tmp_path / "two.sealed", "--json")
    assert verified.json["digest"] == said.json["digest"]
    assert verified.json["ok"] is True


def test_the_next_release_names_the_one_before(strongroom: Runs, made: Made) -> None:
    first = strongroom("--home", made.home, "inspect", made.sealed, "--json").json
    second = made.sealed.with_name("second")
    assert strongroom("--home", made.home, "seal", made.plain, "--out", second).code == 0
    shown = strongroom("--home", made.home, "inspect", second, "--json").json
    assert (first["previous"], shown["previous"]) == (None, first["digest"])
    said = strongroom("--home", made.home, "verify", made.sealed, "--json")
    assert (said.code, said.refusal) == (3, "artifact.rollback")


def test_two_sealings_of_one_model_at_once_do_not_fork(
    strongroom: Runs, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes while the first one writes; another model's sealing is not held up."""
    from strongroom.artifact import seal as sealing

    said: dict[str, Said] = {}
    first = sealing.seal

    def meanwhile(*given: object, **named: object) -> object:
        monkeypatch.setattr(sealing, "seal", first)
        for out, model_id in (("same", "tiny"), ("other", "another")):
            words = ("--out", made.sealed.with_name(out), "--model-id", model_id, "--json")
            said[out] = strongroom("--home", made.home, "seal", made.plain, *words)
        return first(*given, **named)

    monkeypatch.setattr(sealing, "seal", meanwhile)
    outer = strongroom(
        "--home", made.home, "seal", made.plain, "--out", made.sealed.with_name("two"), "--json"
    )
    assert (said["same"].code, said["same"].refusal) == (5, "cli.sealing_runs")
    assert not made.sealed.with_name("same").exists()
    assert (said["other"].code, outer.code) == (0, 0)
    again = strongroom(
        "--home", made.home, "seal", made.plain, "--out", made.sealed.with_name("same"), "--json"
    )
    assert (again.code, again.json["release"]) == (0, outer.json["release"] + 1)
    assert strongroom("--home", made.home, "verify", made.sealed.with_name("same")).code == 0


def test_policy_and_expiry_are_sealed(strongroom: Runs, made: Made, tmp_path: Path) -> None:
    said = strongroom(
        "--home", made.home, "seal", made.plain, "--out", tmp_path / "p", "--model-id", "org/m",
        "--release", "7", "--rung", "closed", "--rung", "acme=topk",
        "--egress", "deployment=100/200", "--not-after", "2099-01-01", "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    shown = strongroom("--home", made.home, "inspect", tmp_path / "p", "--json").json
    assert (shown["model_id"], shown["release"]) == ("org/m", 7)
    assert shown["not_after"] == "2099-01-01T00:00:00Z"
    policy = shown["index"]["policy"]
    assert policy["rungs"] == {"*": "closed", "acme": "topk"}
    assert policy["deployment"] == {"bits_per_hour": 100, "bits_per_day": 200}
    assert policy["tenant"] is None


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (("--release", "1"), 5, "cli.release_not_newer"),
        (("--rung", "everything"), 5, "cli.bad_rung"),
        (("--rung", "=text"), 5, "cli.bad_rung"),
        (("--egress", "deployment=1e9/3"), 5, "cli.bad_egress"),
        (("--egress", "all=1/3"), 5, "cli.bad_egress"),
        (("--not-after", "tomorrow"), 5, "cli.bad_time"),
        (("--not-after", "2001-01-01"), 5, "cli.bad_time"),
        (("--model-id", "no spaces"), 5, "artifact.bad_argument"),
        (("--recipient", "nowhere.pub"), 4, "keys.file_missing"),
        (("--recipient", "vault:ftp://x"), 5, "cli.bad_recipient"),
        (("--recipient", "vault:https://127.0.0.1#transit/k"), 5, "cli.bad_recipient"),
        (("--recipient", "aws-kms:alias/mine"), 5, "cli.bad_recipient"),
        (("--release", "0"), 2, "cli.usage"),
        (("--colour", "red"), 2, "cli.usage"),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_made(
    strongroom: Runs,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    exit_code: int,
    code: str,
) -> None:
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    before = sorted(made.sealed.parent.iterdir())
    out = made.sealed.with_name("out")
    said = strongroom("--home", made.home, "seal", made.plain, "--out", out, "--json", *words)
    assert (said.code, said.refusal, said.out) == (exit_code, code, "")
    assert sorted(made.sealed.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("evil.py", b"print(1)", "artifact.code_in_model"),
        ("pytorch_model.bin", b"\x80\x04.", None),
        ("model.safetensors", b"\xff" * 64, None),
        ("model.safetensors", None, "artifact.no_model"),
    ],
)
def test_an_unsuitable_model_is_refused(
    strongroom: Runs, made: Made, name: str, content: bytes | None, code: str | None
) -> None:
    path = made.plain / name
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    out = made.sealed.with_name("out")
    said = strongroom("--home", made.home, "seal", made.plain, "--out", out, "--json")
    assert said.code == 3
    assert said.refusal.startswith("artifact.")
    assert code is None or said.refusal == code
    assert not out.exists()


def test_an_existing_destination_is_refused_and_left(strongroom: Runs, made: Made) -> None:
    before = {path.name: path.read_bytes() for path in made.sealed.iterdir()}
    said = strongroom("--home", made.home, "seal", made.plain, "--out", made.sealed, "--json")
    assert (said.code, said.refusal) == (3, "artifact.destination_exists")
    assert before == {path.name: path.read_bytes() for path in made.sealed.iterdir()}


def test_altered_and_half_written_models_are_refused(strongroom: Runs, made: Made) -> None:
    body = made.sealed / "weights-00001-of-00001.floe"
    good = body.read_bytes()
    body.write_bytes(good[:-1])
    said = strongroom("--home", made.home, "verify", made.sealed, "--json")
    assert (said.code, said.refusal, said.out) == (3, "artifact.truncated", "")
    middle = len(good) // 2
    body.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
    said = strongroom("--home", made.home, "verify", made.sealed, "--json")
    assert (said.code, said.refusal) == (3, "artifact.segment_altered")
    body.write_bytes(good)
    assert strongroom("--home", made.home, "verify", made.sealed).code == 0

    half = made.sealed.with_name(f".tiny.sealed.unfinished-seal-{'0' * 16}")
    shutil.copytree(made.sealed, half)  # what a kill -9 before the rename leaves
    for verb in ("verify", "inspect", "serve"):
        said = strongroom("--home", made.home, verb, half, "--json")
        assert (said.code, said.refusal) == (3, "artifact.unfinished_seal")


def test_a_plain_model_and_a_stranger_are_refused(
    strongroom: Runs, made: Made, tmp_path: Path
) -> None:
    said = strongroom("--home", made.home, "verify", made.plain, "--json")
    assert (said.code, said.refusal) == (3, "artifact.plain_model")
    stranger = tmp_path / "stranger"
    strongroom("init", "--home", stranger)
    said = strongroom("--home", stranger, "verify", made.sealed, "--json")
    assert (said.code, said.refusal) == (3, "artifact.signer_unknown")
    with (stranger / "trust" / "signers.toml").open("a") as file:
        file.write((made.home / "keys" / "signing.pub").read_text())
    assert strongroom("--home", stranger, "verify", made.sealed).code == 0


def test_verify_with_a_signer_needs_no_home(strongroom: Runs, made: Made, tmp_path: Path) -> None:
    public = made.home / "keys" / "signing.pub"
    nowhere = ("--home", tmp_path / "nowhere")
    said = strongroom(*nowhere, "verify", made.sealed, "--signer", public, "--json")
    assert (said.code, said.json["history_checked"]) == (0, False)
    said = strongroom(*nowhere, "inspect", made.sealed, "--signer", public, "--json")
    assert (said.code, said.json["index"]) == (0, None)


def test_inspect_lists_tensors_only_with_the_key(
    strongroom: Runs, made: Made, tmp_path: Path
) -> None:
    shown = strongroom("--home", made.home, "inspect", made.sealed, "--json").json["index"]
    assert shown["tensors"]["model.norm.weight"] == {"dtype": "F32", "shape": [32], "bytes": 128}
    assert "tokenizer.json" in shown["files"]
    text = strongroom("--home", made.home, "inspect", made.sealed)
    assert "model.norm.weight" in text.out
    without = strongroom("--home", made.home, "inspect", made.sealed, "--no-key")
    assert without.code == 0
    assert "norm" not in without.out

    other = tmp_path / "other"
    strongroom("init", "--home", other)
    shutil.copy(made.home / "trust" / "signers.toml", other / "trust" / "signers.toml")
    assert strongroom("--home", other, "inspect", made.sealed, "--json").json["index"] is None
    said = strongroom("--home", other, "inspect", made.sealed, "--key", "--json")
    assert (said.code, said.refusal) == (4, "cli.no_stanza")


def test_rewrap_hands_a_model_to_another_home(strongroom: Runs, made: Made, tmp_path: Path) -> None:
    weights = (made.sealed / "weights-00001-of-00001.floe").read_bytes()
    other = tmp_path / "other"
    strongroom("init", "--home", other)
    shutil.copy(made.home / "trust" / "signers.toml", other / "trust" / "signers.toml")
    identity = other / "keys" / "me.identity"
    made_pair = strongroom(
        "recipient", "create", "--out", tmp_path / "me.pub", "--identity", identity, "--json"
    ).json
    with (other / "strongroom.toml").open("a") as file:
        file.write('\n[[unlock]]\ntype = "hpke"\npath = "keys/me.identity"\n')

    sealed = ("--home", made.home, "rewrap", made.sealed)
    said = strongroom(*sealed, "--add", tmp_path / "me.pub", "--json")
    assert said.code == 0
    assert [each["kind"] for each in said.json["recipients"]] == ["keyring", "hpke"]
    assert said.json["recipients"][1]["key_id"] == made_pair["key_id"]
    shown = strongroom("--home", other, "inspect", made.sealed, "--key", "--json")
    assert shown.json["index"]["tensors"]
    again = strongroom(*sealed, "--add", tmp_path / "me.pub", "--json").json["recipients"]
    assert len(again) == 2  # replaced, not doubled

    own = said.json["recipients"][0]["key_id"]
    assert strongroom(*sealed, "--remove", own[:8]).code == 0
    said = strongroom("--home", made.home, "inspect", made.sealed, "--key", "--json")
    assert (said.code, said.refusal) == (4, "cli.no_stanza")
    assert strongroom("--home", made.home, "verify", made.sealed).code == 0
    assert (made.sealed / "weights-00001-of-00001.floe").read_bytes() == weights


def test_rewrap_refuses_what_makes_no_sense(strongroom: Runs, made: Made) -> None:
    sealed = ("--home", made.home, "rewrap", made.sealed, "--json")
    listed = strongroom(*sealed, "--list").json["recipients"]
    own = listed[0]["key_id"]
    for words, code, exit_code in [
        (("--remove", own), "cli.last_recipient", 4),
        (("--remove", "00000000"), "cli.no_such_recipient", 5),
        (("--remove", own[:7]), "cli.no_such_recipient", 5),
        ((), "cli.usage", 2),
        (("--list", "--remove", own), "cli.usage", 2),
    ]:
        said = strongroom(*sealed, *words)
        assert (said.code, said.refusal) == (exit_code, code)
    assert strongroom(*sealed, "--list").json["recipients"] == listed


def test_rewrap_refuses_a_stanza_of_another_key(
    strongroom: Runs, made: Made, tmp_path: Path
) -> None:
    other = tmp_path / "other.sealed"
    assert strongroom("--home", made.home, "seal", made.plain, "--out", other).code == 0
    shutil.copy(other / "recipients.json", made.sealed / "recipients.json")
    strongroom("recipient", "create", "--out", tmp_path / "me.pub")
    before = (made.sealed / "recipients.json").read_bytes()
    said = strongroom(
        "--home", made.home, "rewrap", made.sealed, "--add", tmp_path / "me.pub", "--json"
    )
    assert said.code == 4
    assert (made.sealed / "recipients.json").read_bytes() == before


def test_a_passphrase_protects_signing_and_opening(strongroom: Runs, tmp_path: Path) -> None:
    secret, wrong = tmp_path / "secret", tmp_path / "wrong"
    for path, text in ((secret, "correct horse battery"), (wrong, "another horse")):
        path.write_text(text + "\n")
        path.chmod(0o600)
    home, sealed = tmp_path / "h", tmp_path / "s"
    from tests.cli.tiny_llama import write_tiny_llama

    plain = write_tiny_llama(tmp_path / "tiny")
    said = strongroom("init", "--home", home, "--passphrase-file", secret, "--json")
    assert said.json["passphrase"] is True
    seal = ("--home", home, "seal", plain, "--out", sealed, "--json")
    said = strongroom(*seal)
    assert (said.code, said.refusal) == (4, "cli.passphrase_needed")
    said = strongroom(*seal, "--passphrase-file", wrong)
    assert (said.code, said.refusal) == (4, "keys.wrong_passphrase")
    assert strongroom(*seal, "--passphrase-file", secret).code == 0
    inspect = ("--home", home, "inspect", sealed, "--json")
    assert strongroom(*inspect).json["index"] is None
    assert strongroom(*inspect, "--passphrase-file", secret).json["index"]["tensors"]
    secret.chmod(0o644)
    said = strongroom(*inspect, "--passphrase-file", secret)
    assert (said.code, said.refusal) == (4, "keys.file_permissions")


def test_a_signing_key_file_that_was_altered_is_refused(strongroom: Runs, made: Made) -> None:
    path = made.home / "keys" / "signing.key"
    document = json.loads(path.read_text())
    document["seeds"] = document["seeds"][:-8]
    path.write_text(json.dumps(document))
    out = made.sealed.with_name("out")
    said = strongroom("--home", made.home, "seal", made.plain, "--out", out, "--json")
    assert (said.code, said.refusal) == (4, "cli.signing_key_malformed")
