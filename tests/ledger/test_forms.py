"""The C2SP forms: names of tiles, bundles, notes, verifier keys, checkpoints, proofs."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.ledger import merkle, note, tiles
from strongroom.ledger.checkpoint import Checkpoint, parse_signed, parse_text
from strongroom.ledger.merkle import leaf_hash
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.proof import Proof
from strongroom.ledger.tree import Tree

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey("example.com/log", PRIVATE.public_key().public_bytes_raw())

# From the documentation of golang.org/x/mod/sumdb/note, an implementation that is not ours.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpR"
    "Zb6KE6RyyBwJnAM=\n"
)


def code_of(error: pytest.ExceptionInfo[StrongroomError]) -> str:
    return error.value.code


@pytest.mark.parametrize(
    ("level", "number", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (1, 999, 256, "tile/1/999"),
        (0, 1000, 256, "tile/0/x001/000"),
        (2, 1234067, 256, "tile/2/x001/x234/067"),
        (0, 273, 112, "tile/0/273.p/112"),
    ],
)
def test_tile_names(level: int, number: int, width: int, path: str) -> None:
    assert tiles.tile_path(level, number, width) == path
    assert tiles.bundle_path(number, width) == path.replace(f"tile/{level}", "tile/entries", 1)


def test_tiles_of_70000_entries() -> None:
    """The specification's own example."""
    tree = Tree()
    for number in range(70000):
        tree.push(leaf_hash(b"%d" % number))
    full = tree.take_full()
    assert sum(tile.level == 0 for tile in full) == 273
    assert [tile.number for tile in full if tile.level == 1] == [0]
    partial = [(tile.level, tile.number, tile.width) for tile in tree.partial()]
    assert partial == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    stored = {(t.level, t.number): t.content for t in [*full, *tree.partial()]}
    node = tiles.nodes(70000, lambda level, number, width: stored[level, number])
    assert merkle.root_at(70000, node) == tree.root()
    proof = merkle.inclusion_proof(69999, 70000, node)
    leaf = leaf_hash(b"69999")
    assert merkle.inclusion_holds(69999, 70000, leaf, proof, tree.root())


def test_a_tree_of_256() -> None:
    tree = Tree()
    for number in range(256):
        tree.push(leaf_hash(b"%d" % number))
    assert [(t.level, t.number, t.width) for t in tree.take_full()] == [(0, 0, 256)]
    assert [(t.level, t.number, t.width) for t in tree.partial()] == [(1, 0, 1)]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundles_come_back(entries: list[bytes]) -> None:
    assert tiles.decode_bundle(tiles.encode_bundle(entries)) == entries


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=9), st.data())
def test_a_cut_bundle_is_another_list(entries: list[bytes], data: st.DataObject) -> None:
    whole = tiles.encode_bundle(entries)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert tiles.decode_bundle(whole[:cut]) != entries


def test_a_note_of_another_implementation() -> None:
    key = VerifierKey.parse(GO_KEY)
    assert key.encode() == GO_KEY
    assert note.verified_text(GO_NOTE.encode(), key, "it").endswith("problem is.\n")
    with pytest.raises(StrongroomError) as error:
        note.verified_text(GO_NOTE.replace("you think", "You think").encode(), key, "it")
    assert code_of(error) == "ledger.checkpoint_invalid"


def test_other_signatures_are_passed_over() -> None:
    signed = note.sign("a\n1\nb\n", KEY, PRIVATE)
    witness = "— witness.example " + "QUJDRA" + "AAAA=" * 0 + "AAAAAAAA==\n"
    assert note.verified_text(signed + witness.encode(), KEY, "it") == "a\n1\nb\n"
    with pytest.raises(StrongroomError) as error:
        note.verified_text(b"a\n1\nb\n\n" + witness.encode(), KEY, "it")
    assert code_of(error) == "ledger.checkpoint_invalid"


def test_a_bad_signature_beside_a_good_one_is_refused() -> None:
    signed = note.sign("a\n", KEY, PRIVATE)
    other = note.sign("b\n", KEY, PRIVATE).rpartition(b"\n\n")[2]
    with pytest.raises(StrongroomError) as error:
        note.verified_text(signed + other, KEY, "it")
    assert code_of(error) == "ledger.checkpoint_invalid"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+AQ==",
        GO_KEY.replace("c74f", "c74e"),
        GO_KEY.replace("Peter", "P r"),
    ],
)
def test_bad_verifier_keys(text: str) -> None:
    with pytest.raises(StrongroomError) as error:
        VerifierKey.parse(text)
    assert code_of(error) == "ledger.bad_verifier_key"


def test_a_key_name_counts() -> None:
    """The same 32 bytes under another name are another key."""
    signed = note.sign("text\n", KEY, PRIVATE)
    with pytest.raises(StrongroomError) as error:
        note.verified_text(signed, KEY.renamed("example.com/other"), "it")
    assert code_of(error) == "ledger.checkpoint_invalid"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        "origin\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n١\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jx\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n",
    ],
)
def test_malformed_checkpoints(text: str) -> None:
    with pytest.raises(StrongroomError) as error:
        parse_text(text, "it")
    assert code_of(error) == "ledger.checkpoint_malformed"


def test_the_specifications_checkpoint() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    found = parse_text(text, "it")
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20852163)
    assert found.text() == text
    assert parse_text(text + "an extension\n", "it") == found


@given(st.binary(max_size=200))
def test_garbage_is_refused_as_a_checkpoint(raw: bytes) -> None:
    with pytest.raises(StrongroomError) as error:
        parse_signed(raw, KEY, "it")
    assert code_of(error) == "ledger.checkpoint_malformed"


def proven() -> tuple[Proof, bytes]:
    entries = [b"%d" % number for number in range(11)]
    leaves = [leaf_hash(raw) for raw in entries]
    tree = Tree()
    for leaf in leaves:
        tree.push(leaf)
    node = tiles.nodes(11, lambda level, number, width: tree.partial()[level].content)
    signed = note.sign(Checkpoint(KEY.name, 11, tree.root()).text(), KEY, PRIVATE)
    return Proof(4, tuple(merkle.inclusion_proof(4, 11, node)), signed), entries[4]


def test_a_proof_travels_as_text() -> None:
    proof, entry = proven()
    read = Proof.parse(proof.encode())
    assert read == proof
    assert read.check(entry, KEY).size == 11
    with pytest.raises(StrongroomError) as error:
        read.check(b"another", KEY)
    assert code_of(error) == "ledger.proof_invalid"


def test_malformed_proofs() -> None:
    text = proven()[0].encode()
    extra = text.replace("@v1\n", "@v1\nextra AAAA\n")
    assert Proof.parse(extra) == Proof.parse(text)
    for broken in (
        "",
        text.replace("@v1", "@v2"),
        text.replace("index 4", "index 04"),
        text.replace("index 4\n", "index 4\nAAAA\n"),
        text.replace("\n\n", "\n", 1),
    ):
        with pytest.raises(StrongroomError) as error:
            Proof.parse(broken)
        assert code_of(error) in {"ledger.proof_malformed", "ledger.checkpoint_malformed"}


@given(st.text(max_size=200), st.integers(0, 400))
def test_garbage_is_no_proof(text: str, cut: int) -> None:
    for broken in (text, proven()[0].encode()[:cut] + text):
        with pytest.raises(StrongroomError):
            Proof.parse(broken).check(b"entry", KEY)
