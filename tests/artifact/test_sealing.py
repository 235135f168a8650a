"""Sealing: what is refused as a source, and that a crash or a full disk leaves nothing whole."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.artifact import names
from strongroom.artifact.policy import DisclosurePolicy
from strongroom.artifact.recipients import Recipient
from strongroom.artifact.rewrap import read_recipients, replace_recipients
from strongroom.artifact.seal import seal
from strongroom.artifact.verify import verify
from strongroom.errors import ArtifactRefused, ConfigurationRefused, StrongroomError

from .models import (
    SIGNER,
    TRUST,
    Sealed,
    safetensors_bytes,
    seal_model,
    some_tensors,
    write_model,
    write_sharded,
)

HERE = Path(__file__).resolve().parent


def refused(source: Path, destination: Path, code: str) -> None:
    """Sealing is refused with ``code`` and leaves nothing behind."""
    before = sorted(destination.parent.iterdir())
    with pytest.raises(StrongroomError) as caught:
        seal_model(source, destination)
    assert caught.value.code == code
    assert sorted(destination.parent.iterdir()) == before


# --- the source ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("pytorch_model.bin", "artifact.code_in_model"),
        ("modeling_custom.py", "artifact.code_in_model"),
        ("optimizer.pt", "artifact.code_in_model"),
        ("run.sh", "artifact.code_in_model"),
        ("weights.npz", "artifact.code_in_model"),
        ("model.gguf", "artifact.file_not_allowed"),
        ("other.safetensors", "artifact.file_not_allowed"),
        ("unknown", "artifact.file_not_allowed"),
        ("spaced name.json", "artifact.file_not_allowed"),
        ("adapter_model.safetensors", "artifact.ambiguous_model"),
    ],
)
def test_files_that_are_not_plain_data(tmp_path: Path, name: str, code: str) -> None:
    source = write_model(tmp_path / "m")
    (source / name).write_bytes(b"x")
    refused(source, tmp_path / "s", code)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("spiece.model", b"\x80\x04pickled", "artifact.code_in_model"),
        ("config.json", b"\xff\xfe", "artifact.file_not_allowed"),
        ("vocab.txt", b"a\0b", "artifact.file_not_allowed"),
    ],
)
def test_plain_files_are_what_they_say(
    tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    source = write_model(tmp_path / "m")
    (source / name).write_bytes(content)
    refused(source, tmp_path / "s", code)


def test_folders_and_huge_files_are_refused(tmp_path: Path) -> None:
    source = write_model(tmp_path / "m")
    os.truncate(source / "config.json", 65 * 1024 * 1024)
    refused(source, tmp_path / "s", "artifact.too_large")
    (source / "config.json").unlink()
    (source / "onnx").mkdir()
    refused(source, tmp_path / "s", "artifact.file_not_allowed")


def test_licences_links_and_hidden_entries_are_fine(tmp_path: Path) -> None:
    source = write_model(tmp_path / "m")
    (source / "LICENSE").write_text("Apache-2.0")
    (source / "README.md").write_text("# a model")
    (source / ".gitattributes").write_text("x")
    (source / ".cache").mkdir()
    blob = (source / "model.safetensors").rename(tmp_path / "blob")
    (source / "model.safetensors").symlink_to(blob)
    opened = seal_model(source, tmp_path / "s").open()
    assert set(opened.files) == {"LICENSE", "README.md", "config.json", "tokenizer.json"}


def test_no_model(tmp_path: Path) -> None:
    refused(tmp_path / "none", tmp_path / "s", "artifact.no_model")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path / "s", "artifact.no_model")


def shard_edits() -> dict[str, Callable[[Path], object]]:
    index = "model.safetensors.index.json"
    second = "model-00002-of-00002.safetensors"
    return {
        "not JSON": lambda m: (m / index).write_text("{"),
        "no map": lambda m: (m / index).write_text("{}"),
        "a tensor too many": lambda m: edit_text(m / index, '{"layer', '{"more": "' + second),
        "outside": lambda m: edit_text(m / index, second, "../" + second),
        "a tensor twice": lambda m: (m / second).write_bytes(safetensors_bytes(some_tensors())),
    }


def edit_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    if old == '{"layer':
        text = text.replace(old, new + '", "layer')
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("edit", list(shard_edits()))
def test_an_index_that_does_not_fit_its_shards(tmp_path: Path, edit: str) -> None:
    shards = [some_tensors(), {"b": ("U8", (3,), b"abc")}]
    source = write_sharded(tmp_path / "m", shards)
    shard_edits()[edit](source)
    refused(source, tmp_path / "s", "artifact.source_index_malformed")


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    source = write_sharded(tmp_path / "m", [some_tensors(), {"b": ("U8", (3,), b"abc")}])
    (source / "model-00002-of-00002.safetensors").unlink()
    refused(source, tmp_path / "s", "artifact.missing_file")


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"model_id": ""},
        {"model_id": "a b"},
        {"model_id": "x" * 200},
        {"release": 0},
        {"release": 2**53},
        {"previous": "abc"},
        {"not_after": datetime(2030, 1, 1)},
        {"policy": DisclosurePolicy({"a b": "text"})},
        {"policy": DisclosurePolicy({"*": "everything"})},  # type: ignore[dict-item]
    ],
)
def test_arguments_that_could_not_be_signed(tmp_path: Path, arguments: dict) -> None:
    source = write_model(tmp_path / "m")
    with pytest.raises(ConfigurationRefused) as caught:
        seal_model(source, tmp_path / "s", **arguments)
    assert caught.value.code == "artifact.bad_argument"
    assert not (tmp_path / "s").exists()


def test_somebody_must_be_able_to_open(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        seal(
            write_model(tmp_path / "m"),
            tmp_path / "s",
            signer=SIGNER,
            wrap=[],
            model_id="m",
            release=1,
            policy=DisclosurePolicy(),
        )
    assert caught.value.code == "artifact.no_recipients"


@pytest.mark.parametrize("kind", ["file", "empty folder", "dangling link"])
def test_an_existing_destination_is_never_touched(tmp_path: Path, kind: str) -> None:
    source, destination = write_model(tmp_path / "m"), tmp_path / "s"
    if kind == "file":
        destination.write_text("x")
    elif kind == "empty folder":
        destination.mkdir()
    else:
        destination.symlink_to(tmp_path / "nowhere")
    refused(source, destination, "artifact.destination_exists")


# --- crashes and full disks ---------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1000, 20_000, 40_000])
def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, limit: int) -> None:
    """RLIMIT_FSIZE makes writes fail with EFBIG where a full disk gives ENOSPC."""
    source = write_model(tmp_path / "m", some_tensors(20))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        refused(source, tmp_path / "s", "artifact.disk_full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    verify(seal_model(source, tmp_path / "s").folder, trust=TRUST)


@pytest.mark.parametrize("call", ["fsync", "pwrite"])
def test_failing_writes_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    source = write_model(tmp_path / "m")
    genuine, left = getattr(os, call), [3]

    def failing(*arguments: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.EIO if call == "fsync" else errno.ENOSPC, "injected")
        return genuine(*arguments)

    monkeypatch.setattr(os, call, failing)
    code = "artifact.write_failed" if call == "fsync" else "artifact.disk_full"
    refused(source, tmp_path / "s", code)


CHILD = """
    import sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from artifact.models import seal_model
    print("ready", flush=True)
    seal_model(Path({source!r}), Path({destination!r}))
    print("done", flush=True)
"""


def start_sealing(source: Path, destination: Path) -> subprocess.Popen[bytes]:
    code = textwrap.dedent(CHILD).format(
        tests=str(HERE.parent), source=str(source), destination=str(destination)
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


@pytest.mark.slow
def test_killed_at_any_moment_nothing_passes_for_whole(tmp_path: Path) -> None:
    """kill -9 at random moments: the name is absent, or what it names verifies."""
    source = write_model(tmp_path / "m", some_tensors(6, elements=2_000_000))
    start = time.monotonic()
    assert start_sealing(source, tmp_path / "whole").wait() == 0
    needed = time.monotonic() - start
    seen = {"absent": 0, "whole": 0}
    for attempt in range(10):
        destination = tmp_path / f"s{attempt}"
        child = start_sealing(source, destination)
        time.sleep(random.uniform(0, needed / 2))
        child.kill()
        child.wait()
        if destination.exists():
            verify(destination, trust=TRUST)
        seen["whole" if destination.exists() else "absent"] += 1
    assert seen["absent"], "every kill came too late to test anything"
    for left in tmp_path.glob(f".*{names.UNFINISHED}*"):
        with pytest.raises(ArtifactRefused) as caught:
            verify(left, trust=TRUST)
        assert caught.value.code == "artifact.unfinished_seal"


MEASURED = """
    import resource, sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from artifact.models import TRUST, seal_model
    from strongroom.artifact.verify import verify
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    cap = pages * resource.getpagesize() + 64 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
    sealed = seal_model(Path({source!r}), Path({destination!r}))
    verify(sealed.folder, trust=TRUST)
    try:
        sealed.open()
    except BaseException as error:
        print(getattr(error, "code", repr(error)))
"""


def test_a_model_larger_than_memory_is_sealed_and_verified(tmp_path: Path) -> None:
    """With 64 MiB to spare a model of 160 MiB seals and verifies; opening it says what it lacks."""
    source = write_model(tmp_path / "m", {})
    header = b'{"big":{"dtype":"U8","shape":[167772160],"data_offsets":[0,167772160]}}'
    with (source / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 167772160)
    code = textwrap.dedent(MEASURED).format(
        tests=str(HERE.parent), source=str(source), destination=str(tmp_path / "s")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "artifact.not_enough_memory\n"), done.stderr


def test_a_source_that_changes_meanwhile(tmp_path: Path) -> None:
    source = write_model(tmp_path / "m")

    def touch(done: int, total: int) -> None:
        os.utime(source / "model.safetensors", ns=(1, 1))

    with pytest.raises(ArtifactRefused) as caught:
        seal(
            source,
            tmp_path / "s",
            signer=SIGNER,
            wrap=[lambda key, context: Recipient("test", "x", "AAAA")],
            model_id="m",
            release=1,
            policy=DisclosurePolicy(),
            progress=touch,
        )
    assert caught.value.code == "artifact.changed_while_reading"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


# --- recipients ---------------------------------------------------------------------------------


def test_recipients_are_replaced_without_touching_a_weight(sealed: Sealed) -> None:
    before = {p.name: (p.stat().st_ino, p.read_bytes()) for p in sealed.folder.iterdir()}
    wanted = (Recipient("hpke", "a", "AAAA"), Recipient("vault", "b", "BBBB", {"mount": "t"}))
    replace_recipients(sealed.folder, wanted)
    assert read_recipients(sealed.folder) == wanted
    after = {p.name: (p.stat().st_ino, p.read_bytes()) for p in sealed.folder.iterdir()}
    assert {n for n in before if before[n] != after[n]} == {"recipients.json"}
    assert not list(sealed.folder.parent.glob(".*"))
    sealed.open()


def test_an_empty_list_of_recipients_is_refused(sealed: Sealed) -> None:
    before = read_recipients(sealed.folder)
    with pytest.raises(ConfigurationRefused):
        replace_recipients(sealed.folder, [])
    assert read_recipients(sealed.folder) == before


@pytest.mark.parametrize("content", [b"", b"[]", b'{"recipients":[],"version":1}', b"[" * 9999])
def test_malformed_recipients(sealed: Sealed, content: bytes) -> None:
    (sealed.folder / "recipients.json").write_bytes(content)
    with pytest.raises(ArtifactRefused) as caught:
        read_recipients(sealed.folder)
    assert caught.value.code == "artifact.malformed"


def test_a_release_sealed_now_is_dated_now(sealed: Sealed) -> None:
    created = datetime.strptime(sealed.manifest.created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - created).total_seconds()) < 3600
