"""The tree: known answers, the naive definition of RFC 6962, and proofs that must not hold.

The known answers are the eight leaves and roots that Certificate Transparency's implementations
share (certificate-transparency-go, merkle tests); ``naive`` derives the same values again.
"""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.ledger import merkle
from strongroom.ledger.merkle import EMPTY_ROOT, NodeAt, leaf_hash
from strongroom.ledger.tree import Tree
from tests.ledger import naive

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
sizes = st.integers(1, 70)


def entries(count: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(count)]


def nodes(leaves: list[bytes]) -> NodeAt:
    def node(level: int, index: int) -> bytes:
        found = leaves[index << level : (index + 1) << level]
        assert len(found) == 1 << level, "not a complete subtree"
        return naive.mth(found)

    return node


def root_of(leaves: list[bytes]) -> bytes:
    tree = Tree()
    for raw in leaves:
        tree.push(leaf_hash(raw))
    return tree.root()


@pytest.mark.parametrize("size", range(9))
def test_known_roots(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size]
    assert naive.mth(LEAVES[:size]).hex() == ROOTS[size]


def test_known_proofs() -> None:
    """Two of Certificate Transparency's published paths."""
    path = merkle.inclusion_proof(5, 8, nodes(LEAVES))
    assert [value.hex() for value in path] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    growth = merkle.consistency_proof(6, 8, nodes(LEAVES))
    assert [value.hex() for value in growth] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@given(st.integers(0, 300))
def test_root_is_the_naive_one(size: int) -> None:
    leaves = entries(size)
    assert root_of(leaves) == naive.mth(leaves) == merkle.root_at(size, nodes(leaves))


@given(sizes, st.data())
def test_inclusion_is_the_naive_path_and_holds(size: int, data: st.DataObject) -> None:
    leaves = entries(size)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, nodes(leaves))
    root = naive.mth(leaves)
    assert proof == naive.path(index, leaves)
    assert merkle.inclusion_holds(index, size, leaf_hash(leaves[index]), proof, root)


@given(sizes, st.data())
def test_a_changed_inclusion_proof_does_not_hold(size: int, data: st.DataObject) -> None:
    leaves = entries(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root = naive.path(index, leaves), naive.mth(leaves)
    leaf = leaf_hash(leaves[index])
    other = data.draw(st.integers(-1, size + 1).filter(lambda value: value != index))
    assert not merkle.inclusion_holds(other, size, leaf, proof, root)
    assert not merkle.inclusion_holds(index, size, leaf_hash(b"other"), proof, root)
    assert not merkle.inclusion_holds(index, size, leaf, [*proof, root], root)
    assert not merkle.inclusion_holds(index, size, leaf, proof, hashlib.sha256(root).digest())
    if proof:
        assert not merkle.inclusion_holds(index, size, leaf, proof[:-1], root)
        place = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof]
        changed[place] = hashlib.sha256(changed[place]).digest()
        assert not merkle.inclusion_holds(index, size, leaf, changed, root)


@given(sizes, st.data())
def test_consistency_is_the_naive_proof_and_holds(new: int, data: st.DataObject) -> None:
    leaves = entries(new)
    old = data.draw(st.integers(1, new))
    proof = merkle.consistency_proof(old, new, nodes(leaves))
    assert proof == naive.proof(old, leaves)
    old_root, new_root = naive.mth(leaves[:old]), naive.mth(leaves)
    assert merkle.consistency_holds(old, new, old_root, new_root, proof)


@given(sizes, st.data())
def test_another_history_is_not_consistent(new: int, data: st.DataObject) -> None:
    leaves = entries(new)
    old = data.draw(st.integers(1, new))
    place = data.draw(st.integers(0, old - 1))
    forked = [*leaves]
    forked[place] = b"forked"
    proof = naive.proof(old, forked)
    assert not merkle.consistency_holds(old, new, naive.mth(leaves[:old]), naive.mth(forked), proof)
    longer = [*proof, b"\0" * 32]
    assert not merkle.consistency_holds(
        old, new, naive.mth(forked[:old]), naive.mth(forked), longer
    )


def test_consistency_from_nothing() -> None:
    assert merkle.consistency_proof(0, 5, nodes(LEAVES)) == []
    assert merkle.consistency_holds(0, 5, EMPTY_ROOT, naive.mth(LEAVES[:5]), [])
    assert not merkle.consistency_holds(0, 5, b"\1" * 32, naive.mth(LEAVES[:5]), [])
    assert not merkle.consistency_holds(6, 5, EMPTY_ROOT, EMPTY_ROOT, [])


def test_an_inner_node_is_no_leaf() -> None:
    """The prefixes keep a node from being shown as an entry (second preimage)."""
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != merkle.node_hash(left, right)
