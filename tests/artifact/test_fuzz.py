"""Random edits: none opens, none crashes, none allocates beyond what the file warrants.

``python fuzz/sealed_model.py`` runs 100,000 of them; here are some thousands, and edits that the
owner signed, which reach the parsers behind the signature.
"""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.artifact.opening import open_sealed
from strongroom.errors import ArtifactRefused

from .edits import Folder, fresh_seed
from .fuzzing import Outcome, fuzz, small_models, try_one
from .models import TRUST, Sealed, edit_manifest, forge, resign_bodies, write_manifest

EDITS = 2500


def test_no_random_edit_opens() -> None:
    seed = fresh_seed()
    outcome = fuzz(EDITS, seed)
    assert not outcome.findings, outcome.findings[:5]
    assert outcome.edits == EDITS
    assert len(outcome.reasons) >= 10, f"seed {seed}: the edits hardly vary: {outcome.reasons}"


def test_the_harness_notices_what_opens(sealed: Sealed) -> None:
    """Control: an edit of the recipients opens, and an untyped error counts as a finding."""
    outcome = Outcome()
    (sealed.folder / "recipients.json").write_bytes(b"anything")
    try_one(sealed.folder, sealed.key, "recipients", outcome)
    try_one(None, sealed.key, "a defect", outcome)  # type: ignore[arg-type]
    assert [finding.rpartition(":")[0] for finding in outcome.findings] == [
        "recipients",
        "a defect: AttributeError",
    ]


def test_a_small_folder_never_costs_much_memory() -> None:
    """Refused edits allocate at most a few times the folder's size, whatever they claim."""
    with small_models() as (sealed, _):
        folder = Folder(sealed.folder)
        size = sum(map(len, folder.original.values()))
        huge = {
            "manifest.json": lambda m: m["parts"][2].update(length=2**53 - 1),
            "segments.b3": lambda m: m["hash_list"].update(segments=2**53 - 1),
        }
        for edit in huge.values():
            edit_manifest(sealed, edit)
            tracemalloc.start()
            outcome = Outcome()
            try_one(sealed.folder, sealed.key, "huge", outcome)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert not outcome.findings
            assert peak < 4 * size, f"{peak} bytes for a folder of {size}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
SETTINGS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SETTINGS
@given(data=st.data(), value=JSON)
def test_signed_manifests_of_any_shape(pristine: Sealed, data: st.DataObject, value: Any) -> None:
    """Refused, or (where the edit changes nothing that matters) the same model."""
    folder = Folder(pristine.folder)
    document = json.loads(folder.original["manifest.json"])
    target = data.draw(st.sampled_from([document, document["hash_list"], *document["parts"]]))
    target[data.draw(st.sampled_from(sorted(target)))] = value
    raw = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    write_manifest(pristine, raw)
    try:
        accepted_or_refused(pristine)
    finally:
        restore(folder)


@SETTINGS
@given(data=st.data(), value=JSON)
def test_signed_indexes_of_any_shape(pristine: Sealed, data: st.DataObject, value: Any) -> None:
    def edit(plain: bytearray) -> None:
        size = int.from_bytes(plain[:8], "big")
        document = json.loads(plain[8 : 8 + size])
        targets = [document, document["policy"], *document["tensors"], *document["files"]]
        target = data.draw(st.sampled_from(targets))
        target[data.draw(st.sampled_from(sorted(target)))] = value
        text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        plain[:] = (len(text).to_bytes(8, "big") + text)[: len(plain)].ljust(len(plain), b"\0")

    folder = Folder(pristine.folder)
    try:
        forge(pristine, 0, edit)
        resign_bodies(pristine)
        accepted_or_refused(pristine)
    finally:
        restore(folder)


def restore(folder: Folder) -> None:
    for name, content in folder.original.items():
        (folder.path / name).write_bytes(content)


def accepted_or_refused(sealed: Sealed) -> None:
    try:
        opened = open_sealed(sealed.folder, sealed.key, trust=TRUST, state=None, threads=1)
    except ArtifactRefused:
        return
    for tensor in opened.tensors.values():
        assert tensor.offset % 64 == 0
        assert tensor.offset + tensor.nbytes <= len(opened.arena)
