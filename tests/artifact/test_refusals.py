"""Every way in which a sealed model can be wrong, and the reason given for each.

``verify`` (no key) and ``open_sealed`` must agree wherever no key is needed to notice.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.opening import open_sealed
from strongroom.artifact.trust import Trust
from strongroom.artifact.verify import verify
from strongroom.errors import ArtifactRefused, KeyRefused

from .models import (
    SIGNER,
    STRANGER,
    TRUST,
    Sealed,
    edit_manifest,
    flip,
    forge,
    resign_bodies,
    seal_model,
    segments_of,
    write_manifest,
    write_model,
)

INDEX, FILES, FIRST, SECOND = 0, 1, 2, 3


def refused(sealed: Sealed, code: str, *, trust: Trust = TRUST) -> None:
    """Both verbs refuse with ``code``."""
    with pytest.raises(ArtifactRefused) as verified:
        verify(sealed.folder, trust=trust)
    with pytest.raises(ArtifactRefused) as opened:
        open_sealed(sealed.folder, sealed.key, trust=trust, state=None)
    assert (verified.value.code, opened.value.code) == (code, code)


def rewrite(sealed: Sealed, part: int, segments: list[bytes], header: bytes | None = None) -> None:
    old, _ = segments_of(sealed, part)
    path = sealed.folder / sealed.manifest.parts[part].name
    path.write_bytes((header or old) + b"".join(segments))


def test_the_untouched_copy_is_accepted(sealed: Sealed, sharded: Sealed) -> None:
    for copy in (sealed, sharded):
        assert verify(copy.folder, trust=TRUST).digest == copy.manifest.digest
        copy.open()


# --- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [INDEX, FILES, FIRST])
@pytest.mark.parametrize("offset", [74, 80, 200, -1])
def test_a_flipped_bit_in_a_body(sealed: Sealed, part: int, offset: int) -> None:
    flip(sealed.folder / sealed.manifest.parts[part].name, offset)
    refused(sealed, "artifact.segment_altered")


@pytest.mark.parametrize("offset", [0, 9, 10, 41, 42, 73])
def test_a_flipped_bit_in_a_floe_header(sealed: Sealed, offset: int) -> None:
    flip(sealed.folder / sealed.manifest.parts[FIRST].name, offset)
    refused(sealed, "artifact.part_replaced")


def test_a_flipped_bit_without_strictness_is_refused_too(sealed: Sealed) -> None:
    flip(sealed.folder / sealed.manifest.parts[FIRST].name, 5000)
    with pytest.raises(ArtifactRefused) as caught:
        sealed.open(strict=False)
    assert caught.value.code == "artifact.segment_altered"


@pytest.mark.parametrize("cut", [1, 100, 4096, 1_000_000])
@pytest.mark.parametrize("part", [INDEX, FILES, FIRST])
def test_truncation(sealed: Sealed, part: int, cut: int) -> None:
    path = sealed.folder / sealed.manifest.parts[part].name
    os.truncate(path, max(0, path.stat().st_size - cut))
    refused(sealed, "artifact.truncated")


@pytest.mark.parametrize("more", [b"\0", bytes(4096)])
def test_trailing_bytes(sealed: Sealed, more: bytes) -> None:
    with (sealed.folder / sealed.manifest.parts[FIRST].name).open("ab") as file:
        file.write(more)
    refused(sealed, "artifact.trailing_bytes")


def test_reordered_segments(sealed: Sealed) -> None:
    _, segments = segments_of(sealed, FIRST)
    rewrite(sealed, FIRST, [segments[1], segments[0], *segments[2:]])
    refused(sealed, "artifact.segment_moved")


def test_a_duplicated_segment(sealed: Sealed) -> None:
    _, segments = segments_of(sealed, FIRST)
    rewrite(sealed, FIRST, [segments[0], segments[0], *segments[2:]])
    refused(sealed, "artifact.segment_moved")


def test_an_inserted_segment(sealed: Sealed) -> None:
    _, segments = segments_of(sealed, FIRST)
    rewrite(sealed, FIRST, [segments[0], *segments])
    refused(sealed, "artifact.trailing_bytes")


def test_a_dropped_segment(sealed: Sealed) -> None:
    _, segments = segments_of(sealed, FIRST)
    rewrite(sealed, FIRST, segments[1:])
    refused(sealed, "artifact.truncated")


@pytest.mark.parametrize("strict", [True, False])
def test_moves_are_refused_even_without_hashes(sealed: Sealed, strict: bool) -> None:
    _, segments = segments_of(sealed, FIRST)
    rewrite(sealed, FIRST, [segments[1], segments[0], *segments[2:]])
    with pytest.raises(ArtifactRefused):
        sealed.open(strict=strict)


def test_a_segment_spliced_in_from_another_sealing(sealed: Sealed, tmp_path: Path) -> None:
    other = seal_model(write_model(tmp_path / "m"), tmp_path / "other")
    _, segments = segments_of(sealed, FIRST)
    rewrite(sealed, FIRST, [segments_of(other, FIRST)[1][0], *segments[1:]])
    refused(sealed, "artifact.segment_altered")


def test_a_part_of_another_sealing(sealed: Sealed, tmp_path: Path) -> None:
    other = seal_model(write_model(tmp_path / "m"), tmp_path / "other")
    for part in (INDEX, FILES, FIRST):
        name = sealed.manifest.parts[part].name
        saved = (sealed.folder / name).read_bytes()
        shutil.copy(other.folder / name, sealed.folder / name)
        refused(sealed, "artifact.part_replaced")
        (sealed.folder / name).write_bytes(saved)


def test_swapped_shards(sharded: Sealed) -> None:
    one, two = (sharded.folder / sharded.manifest.parts[i].name for i in (FIRST, SECOND))
    first, second = one.read_bytes(), two.read_bytes()
    assert len(first) == len(second)
    one.write_bytes(second)
    two.write_bytes(first)
    refused(sharded, "artifact.part_replaced")


def test_an_altered_hash_list(sealed: Sealed) -> None:
    flip(sealed.folder / "segments.b3", 40)
    refused(sealed, "artifact.hash_list_altered")


def test_a_hash_list_of_another_length(sealed: Sealed) -> None:
    path = sealed.folder / "segments.b3"
    raw = path.read_bytes()
    path.write_bytes(raw + raw[:32])
    refused(sealed, "artifact.trailing_bytes")
    path.write_bytes(raw[:-32])
    refused(sealed, "artifact.truncated")


# --- what a customer who holds the key can do ----------------------------------------------------


def poison(plain: bytearray) -> None:
    plain[:4] = b"\xde\xad\xbe\xef"


def test_a_key_holder_cannot_forge_weights(sealed: Sealed) -> None:
    forge(sealed, FIRST, poison)
    refused(sealed, "artifact.segment_altered")


def test_without_strictness_a_key_holder_can(sealed: Sealed) -> None:
    """The positive control: the forgery is a good one, only the signed hashes stop it."""
    forge(sealed, FIRST, poison)
    assert bytes(sealed.open(strict=False).arena[:4]) == b"\xde\xad\xbe\xef"


@pytest.mark.parametrize("part", [INDEX, FILES])
def test_index_and_files_are_hashed_even_without_strictness(sealed: Sealed, part: int) -> None:
    forge(sealed, part, lambda plain: None)
    with pytest.raises(ArtifactRefused) as caught:
        sealed.open(strict=False)
    assert caught.value.code == "artifact.segment_altered"


def swap_names(plain: bytearray) -> None:
    text = bytes(plain).replace(b"layer.0.weight", b"layer.@.weight")
    text = text.replace(b"layer.1.weight", b"layer.0.weight")
    plain[:] = text.replace(b"layer.@.weight", b"layer.1.weight")


def test_swapped_tensors(sealed: Sealed) -> None:
    """By a key holder; the owner's own signature over it would make it another model."""
    forge(sealed, INDEX, swap_names)
    refused(sealed, "artifact.segment_altered")


def test_a_loosened_policy(sealed: Sealed) -> None:
    forge(sealed, INDEX, lambda plain: loosen(plain))
    refused(sealed, "artifact.segment_altered")
    resign_bodies(sealed)  # even if its hash were signed, the digest of the policy is too
    with pytest.raises(ArtifactRefused) as caught:
        sealed.open()
    assert caught.value.code == "artifact.policy_mismatch"


def loosen(plain: bytearray) -> None:
    plain[:] = bytes(plain).replace(b'{"*":"text"}', b'{"*":"topk"}')


def index_edit(old: bytes, new: bytes) -> Callable[[bytearray], None]:
    def edit(plain: bytearray) -> None:
        size = int.from_bytes(plain[:8], "big")
        text = bytes(plain[8 : 8 + size])
        assert old in text
        text = text.replace(old, new, 1)
        framed = len(text).to_bytes(8, "big") + text
        plain[:] = framed.ljust(len(plain), b"\0")

    return edit


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"layer.1.weight"', b'"layer.0.weight"'),
        (b'"offset":0', b'"offset":64'),
        (b'"offset":0', b'"offset":1'),
        (b'"shape":[1503]', b'"shape":[1603]'),
        (b'"shape":[1503]', b'"shape":[1403]'),
        (b'"shape":[1500]', b'"shape":[9007199254740991,9007199254740991]'),
        (b'"dtype":"F32"', b'"dtype":"F31"'),
        (b'"dtype":"F32"', b'"dtype":"F64"'),
        (b'"length":23', b'"length":23000'),
    ],
)
def test_an_index_that_contradicts_its_parts(sealed: Sealed, old: bytes, new: bytes) -> None:
    """Signed by a careless owner: still no tensor may reach outside its part."""
    forge(sealed, INDEX, index_edit(old, new))
    resign_bodies(sealed)
    with pytest.raises(ArtifactRefused) as caught:
        sealed.open()
    assert caught.value.code == "artifact.index_invalid"


def test_padding_that_holds_something(sealed: Sealed) -> None:
    def hide(plain: bytearray) -> None:
        plain[-1] = 1

    forge(sealed, INDEX, hide)
    resign_bodies(sealed)
    with pytest.raises(ArtifactRefused) as caught:
        sealed.open()
    assert caught.value.code == "artifact.index_invalid"


# --- keys ----------------------------------------------------------------------------------------


def test_a_wrong_key_has_an_error_of_its_own(sealed: Sealed) -> None:
    with pytest.raises(KeyRefused) as caught:
        open_sealed(sealed.folder, DataKey.generate(), trust=TRUST, state=None)
    assert caught.value.code == "artifact.wrong_key"


def test_a_wiped_key(sealed: Sealed) -> None:
    key = DataKey.generate()
    key.wipe()
    with pytest.raises(KeyRefused) as caught:
        open_sealed(sealed.folder, key, trust=TRUST, state=None)
    assert caught.value.code == "keys.wiped"


# --- signatures and the manifest -----------------------------------------------------------------


def test_a_stranger_signs_the_very_same_model(sealed: Sealed) -> None:
    raw = (sealed.folder / "manifest.json").read_bytes()
    write_manifest(sealed, raw, STRANGER)
    refused(sealed, "artifact.signer_unknown")
    verify(sealed.folder, trust=Trust([STRANGER.public]))


def test_a_stranger_under_the_owners_name(sealed: Sealed) -> None:
    raw = (sealed.folder / "manifest.json").read_bytes()
    write_manifest(sealed, raw, STRANGER)
    path = sealed.folder / "signatures.json"
    text = path.read_text().replace(STRANGER.public.fingerprint, SIGNER.public.fingerprint)
    path.write_text(text)
    refused(sealed, "artifact.signature_invalid")


def test_nobody_is_trusted(sealed: Sealed) -> None:
    refused(sealed, "artifact.signer_unknown", trust=Trust([]))


@pytest.mark.parametrize("scheme", ["ed25519", "ml_dsa_65"])
def test_both_signatures_are_required(sealed: Sealed, scheme: str) -> None:
    path = sealed.folder / "signatures.json"
    document = json.loads(path.read_bytes())
    good = document.pop(scheme)
    path.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True))
    refused(sealed, "artifact.signature_missing")
    document[scheme] = good[:-8] + ("AAAA" if good[-8:-4] != "AAAA" else "BBBB") + good[-4:]
    path.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True))
    refused(sealed, "artifact.signature_invalid")


@pytest.mark.parametrize("field", ["release", "model_id", "seal_id", "created", "key_commitment"])
def test_an_edited_manifest(sealed: Sealed, field: str) -> None:
    def edit(document: dict) -> None:
        value = document[field]
        document[field] = (
            value + 1
            if isinstance(value, int)
            else value[:-1] + ("0" if value[-1:] == "1" else "1")
        )

    edit_manifest(sealed, edit, signer=None)
    refused(sealed, "artifact.signature_invalid")


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda m: m.update(extra=1), "artifact.malformed"),
        (lambda m: m["parts"][0].update(extra=1), "artifact.malformed"),
        (lambda m: m.pop("previous"), "artifact.malformed"),
        (lambda m: m.update(release=0), "artifact.malformed"),
        (lambda m: m.update(release=1.0), "artifact.malformed"),
        (lambda m: m.update(release=2**60), "artifact.malformed"),
        (lambda m: m.update(model_id="a b"), "artifact.malformed"),
        (lambda m: m.update(model_id="a\n"), "artifact.malformed"),
        (lambda m: m.update(seal_id=m["seal_id"].upper()), "artifact.malformed"),
        (lambda m: m["parts"][2].update(name="../../etc/passwd"), "artifact.manifest_inconsistent"),
        (lambda m: m["parts"].reverse(), "artifact.manifest_inconsistent"),
        (lambda m: m["parts"][2].update(segments=3), "artifact.manifest_inconsistent"),
        (lambda m: m["parts"][2].update(length=75), "artifact.manifest_inconsistent"),
        (lambda m: m["hash_list"].update(segments=1), "artifact.manifest_inconsistent"),
        (lambda m: m.update(created="2026-02-30T00:00:00Z"), "artifact.manifest_inconsistent"),
        (lambda m: m.update(version=2), "artifact.unsupported_format"),
        (lambda m: m.update(suite="rot13"), "artifact.unsupported_format"),
        (lambda m: m.update(reader_minimum=2), "artifact.reader_too_old"),
    ],
)
def test_a_manifest_that_its_owner_signed_wrongly(
    sealed: Sealed, edit: Callable[[dict], None], code: str
) -> None:
    edit_manifest(sealed, edit)
    refused(sealed, code)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw + b"\n",
        lambda raw: raw.replace(b",", b", ", 1),
        lambda raw: raw.replace(b'"release":1', b'"release":1,"release":1'),
        lambda raw: raw.replace(b'"format"', b'"\\u0066ormat"'),
        lambda raw: b'{"version":1,' + raw[1:].replace(b',"version":1', b""),
    ],
    ids=["newline", "space", "duplicate", "escape", "order"],
)
def test_a_signed_manifest_that_is_not_canonical(
    sealed: Sealed, spoil: Callable[[bytes], bytes]
) -> None:
    raw = (sealed.folder / "manifest.json").read_bytes()
    spoiled = spoil(raw)
    assert spoiled != raw
    write_manifest(sealed, spoiled)
    refused(sealed, "artifact.not_canonical")


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a":'])
def test_a_signed_manifest_that_is_no_manifest(sealed: Sealed, raw: bytes) -> None:
    write_manifest(sealed, raw)
    refused(sealed, "artifact.malformed")


def test_an_oversized_document(sealed: Sealed) -> None:
    path = sealed.folder / "signatures.json"
    os.truncate(path, 2**40)  # sparse: nothing may be allocated for it
    refused(sealed, "artifact.too_large")


# --- time ----------------------------------------------------------------------------------------


def test_an_expired_model(tmp_path: Path) -> None:
    end = datetime(2030, 1, 1, tzinfo=UTC)
    sealed = seal_model(write_model(tmp_path / "m"), tmp_path / "s", not_after=end)
    verify(sealed.folder, trust=TRUST, now=end)
    with pytest.raises(ArtifactRefused) as caught:
        verify(sealed.folder, trust=TRUST, now=end + timedelta(seconds=1))
    assert caught.value.code == "artifact.expired"


# --- the folder ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "w.GGUF", "x.pt"])
def test_an_unsealed_weight_file_beside(sealed: Sealed, name: str) -> None:
    (sealed.folder / name).write_bytes(b"x")
    refused(sealed, "artifact.plain_weights_beside")


@pytest.mark.parametrize("name", ["README.md", "config.json", "weights-00002-of-00002.floe", ".x"])
def test_any_other_file_beside(sealed: Sealed, name: str) -> None:
    (sealed.folder / name).write_bytes(b"x")
    refused(sealed, "artifact.unexpected_file")


@pytest.mark.parametrize(
    "name", ["signatures.json", "recipients.json", "segments.b3", "index.floe", "files.floe"]
)
def test_a_missing_file(sealed: Sealed, name: str) -> None:
    (sealed.folder / name).unlink()
    refused(sealed, "artifact.missing_file")


def test_a_plain_model_where_a_sealed_one_is_required(tmp_path: Path, sealed: Sealed) -> None:
    plain = Sealed(write_model(tmp_path / "m"), sealed.key, sealed.manifest)
    refused(plain, "artifact.plain_model")
    file = Sealed(plain.folder / "model.safetensors", sealed.key, sealed.manifest)
    refused(file, "artifact.plain_model")


def test_nothing_there(tmp_path: Path, sealed: Sealed) -> None:
    refused(Sealed(tmp_path / "none", sealed.key, sealed.manifest), "artifact.not_found")
    (tmp_path / "empty").mkdir()
    refused(Sealed(tmp_path / "empty", sealed.key, sealed.manifest), "artifact.not_found")


def test_a_link_in_place_of_a_file(sealed: Sealed, tmp_path: Path) -> None:
    path = sealed.folder / sealed.manifest.parts[FIRST].name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    refused(sealed, "artifact.not_regular_file")


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_special_files(sealed: Sealed, kind: str) -> None:
    path = sealed.folder / "index.floe"
    path.unlink()
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    refused(sealed, "artifact.not_regular_file")


def test_a_folder_that_an_interrupted_sealing_left(sealed: Sealed) -> None:
    name = f".copy.unfinished-seal-{'0' * 16}"
    moved = sealed.folder.rename(sealed.folder.with_name(name))
    refused(Sealed(moved, sealed.key, sealed.manifest), "artifact.unfinished_seal")
