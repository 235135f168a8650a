"""Whom and which release is trusted, and what becomes of a damaged record."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from strongroom.artifact.manifest import read_manifest
from strongroom.artifact.secret_access import TOKEN, SecretAccess
from strongroom.artifact.signing import PublicSigner, SigningKey
from strongroom.artifact.trust import ReleaseState, Trust
from strongroom.artifact.verify import verify
from strongroom.errors import ArtifactRefused, StrongroomError

from .models import SIGNER, TRUST, Sealed, seal_model, write_model


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sealed]:
    """Release 1, 2 (following 1), 3 (following something else), and another release 2."""
    base = tmp_path_factory.mktemp("releases")
    source = write_model(base / "m")
    first = seal_model(source, base / "1")
    return {
        "1": first,
        "2": seal_model(source, base / "2", release=2, previous=first.manifest.digest),
        "2 again": seal_model(source, base / "2b", release=2),
        "3 astray": seal_model(source, base / "3", release=3, previous="0" * 64),
        "5": seal_model(source, base / "5", release=5, previous="0" * 64),
        "other": seal_model(source, base / "o", model_id="owner/other"),
    }


@pytest.fixture
def state(tmp_path: Path) -> ReleaseState:
    return ReleaseState(tmp_path / "home" / "releases.json")


def refused(sealed: Sealed, state: ReleaseState, code: str) -> None:
    for act in (
        lambda: sealed.open(state=state),
        lambda: verify(sealed.folder, trust=TRUST, state=state),
        lambda: state.advance(sealed.manifest),
    ):
        with pytest.raises(ArtifactRefused) as caught:
            act()
        assert caught.value.code == code


def test_history_goes_forward_only(releases: dict[str, Sealed], state: ReleaseState) -> None:
    releases["1"].open(state=state)
    releases["1"].open(state=state)
    releases["2"].open(state=state)
    refused(releases["1"], state, "artifact.rollback")
    refused(releases["2 again"], state, "artifact.fork")
    refused(releases["3 astray"], state, "artifact.fork")
    releases["5"].open(state=state)
    refused(releases["2"], state, "artifact.rollback")
    releases["other"].open(state=state)


def test_without_state_an_older_release_opens(releases: dict[str, Sealed]) -> None:
    """Control: it is the record that stops a rollback, nothing else."""
    releases["5"].open()
    releases["1"].open()


def test_verifying_does_not_advance(releases: dict[str, Sealed], state: ReleaseState) -> None:
    verify(releases["5"].folder, trust=TRUST, state=state)
    releases["1"].open(state=state)


def test_a_failed_opening_does_not_advance(
    releases: dict[str, Sealed], state: ReleaseState, tmp_path: Path
) -> None:
    from .conftest import copy_of
    from .models import flip

    broken = copy_of(releases["5"], tmp_path)
    flip(broken.folder / "weights-00001-of-00001.floe", -1)
    with pytest.raises(ArtifactRefused):
        broken.open(state=state)
    releases["1"].open(state=state)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"junk", b'{"models":{},"version":2}', b'{"models": {},"version":1}']
)
def test_a_damaged_record_is_refused_and_kept(
    releases: dict[str, Sealed], tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "releases.json"
    path.write_bytes(content)
    refused(releases["1"], ReleaseState(path), "artifact.state_damaged")
    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_a_record_must_be_a_regular_file(
    releases: dict[str, Sealed], tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "releases.json"
    if kind == "link":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    refused(releases["1"], ReleaseState(path), "artifact.state_damaged")


def test_many_writers_lose_nothing(releases: dict[str, Sealed], tmp_path: Path) -> None:
    path = tmp_path / "releases.json"
    manifests = [releases[name].manifest for name in ("1", "2", "5", "other")]
    errors: list[str] = []

    def advance(manifest: object) -> None:
        try:
            ReleaseState(path).advance(manifest)  # type: ignore[arg-type]
        except ArtifactRefused as refusal:
            errors.append(refusal.code)

    threads = [threading.Thread(target=advance, args=(m,)) for m in manifests * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(errors) <= {"artifact.rollback"}
    refused(releases["2"], ReleaseState(path), "artifact.rollback")
    ReleaseState(path).check(releases["5"].manifest)
    assert b"owner/other" in path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["releases.json", "releases.json.lock"]


def test_signers_travel_as_text() -> None:
    public = SIGNER.public
    assert PublicSigner.decode(public.encode()) == public
    assert SigningKey.from_seeds(SIGNER.to_seeds(TOKEN)).public == public
    assert len(public.fingerprint) == 32
    for text in ("", "AAAA", public.encode()[:-4], public.encode() + "AAAA", "é"):
        with pytest.raises(StrongroomError) as caught:
            PublicSigner.decode(text)
        assert caught.value.code == "artifact.bad_signer"


def test_a_signing_key_does_not_show_itself() -> None:
    with pytest.raises(StrongroomError):
        SIGNER.to_seeds(SecretAccess())
    seeds = SIGNER.to_seeds(TOKEN)
    assert seeds.hex() not in repr(SIGNER)
    with pytest.raises(TypeError):
        SIGNER.__reduce__()
    with pytest.raises(StrongroomError):
        SigningKey.from_seeds(seeds[:-1])


def test_reading_a_manifest_checks_its_signature(releases: dict[str, Sealed]) -> None:
    assert read_manifest(releases["1"].folder, TRUST) == releases["1"].manifest
    with pytest.raises(ArtifactRefused) as caught:
        read_manifest(releases["1"].folder, Trust([]))
    assert caught.value.code == "artifact.signer_unknown"
