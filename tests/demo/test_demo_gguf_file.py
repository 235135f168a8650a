"""The GGUF reader against files written here, block by block."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from demo.gguf_file import GgufFile

STRING, UINT32, ARRAY = 8, 4, 9


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf(tensors: dict[str, tuple[int, tuple[int, ...], bytes]], magic: bytes = b"GGUF") -> bytes:
    """A file with two pieces of metadata and ``tensors`` (type, row-major shape, bytes)."""
    head = magic + struct.pack("<IQQ", 3, len(tensors), 3)
    head += text("general.name") + struct.pack("<I", STRING) + text("tiny")
    head += text("count") + struct.pack("<II", UINT32, 7)
    head += text("words") + struct.pack("<IIQ", ARRAY, STRING, 2) + text("a") + text("é")
    data = b""
    for name, (kind, shape, raw) in tensors.items():
        head += text(name) + struct.pack("<I", len(shape))
        head += struct.pack(f"<{len(shape)}Q", *reversed(shape))
        head += struct.pack("<IQ", kind, len(data))
        data += raw + b"\0" * (-len(raw) % 32)
    return head + b"\0" * (-len(head) % 32) + data


def q4_1(scale: float, minimum: float, nibbles: list[int]) -> bytes:
    packed = bytes(nibbles[i] | nibbles[i + 16] << 4 for i in range(16))
    return np.array([scale, minimum], "<f2").tobytes() + packed


def q8_0(scale: float, numbers: list[int]) -> bytes:
    return np.array([scale], "<f2").tobytes() + np.array(numbers, np.int8).tobytes()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    nibbles = [i % 16 for i in range(32)]
    numbers = list(range(-16, 16))
    path = tmp_path / "tiny.gguf"
    path.write_bytes(
        gguf(
            {
                "plain": (0, (2, 3), np.arange(6, dtype="<f4").tobytes()),
                "four": (3, (1, 32), q4_1(0.5, -1.0, nibbles)),
                "eight": (8, (2, 32), q8_0(0.25, numbers) + q8_0(2.0, numbers[::-1])),
            }
        )
    )
    return path


def test_metadata_and_tensors_come_out_as_written(written: Path) -> None:
    with GgufFile(written) as file:
        assert file.metadata == {"general.name": "tiny", "count": 7, "words": ["a", "é"]}
        assert file.float32("plain").tolist() == [[0, 1, 2], [3, 4, 5]]
        assert file.float32("four").tolist() == [[0.5 * (i % 16) - 1.0 for i in range(32)]]
        numbers = list(range(-16, 16))
        expected = [[0.25 * n for n in numbers], [2.0 * n for n in numbers[::-1]]]
        assert file.float32("eight").tolist() == expected


@pytest.mark.parametrize("kept", [0, 3, 20, 60, 100, 200])
def test_a_file_that_ends_early_is_refused(written: Path, kept: int) -> None:
    written.write_bytes(written.read_bytes()[:kept])
    with pytest.raises(ValueError):
        GgufFile(written).float32("eight")


def test_a_tensor_past_the_end_is_refused(written: Path) -> None:
    written.write_bytes(written.read_bytes()[:-64])
    with GgufFile(written) as file, pytest.raises(ValueError, match="past the end"):
        file.float32("eight")


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(gguf({}, magic=b"GGML"))
    with pytest.raises(ValueError, match="not a GGUF"):
        GgufFile(path)


def test_an_unknown_tensor_type_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k.gguf"
    path.write_bytes(gguf({"k": (14, (1, 256), bytes(210))}))
    with GgufFile(path) as file, pytest.raises(ValueError, match="not supported"):
        file.float32("k")
