"""The file that leaves: a tar of PEFT's two files, encrypted to age recipients.

age (C2SP, age-encryption.org/v1) through ``pyrage``, the binding of its Rust implementation. The
matrices are those of ``factors``; what training ended with does not leave.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence

import msgspec
import torch
from torch import Tensor

from strongroom.keeper.engine.adapter import Adapter
from strongroom.tune.adapter import peft_config
from strongroom.tune.export.factors import exported
from strongroom.tune.export.recipients import require_recipients


def package(adapter: Adapter, base: str, recipients: Sequence[str]) -> bytes:
    """The encrypted file; ``base`` is the opaque id that PEFT's configuration names."""
    whom = require_recipients(recipients)
    import pyrage

    files = {
        "adapter_config.json": peft_config(adapter, base),
        "adapter_model.safetensors": safetensors(exported(adapter.pairs)),
    }
    return bytes(pyrage.encrypt(_tar(files), whom))


def safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    """bf16 tensors in the safetensors format, names in order."""
    header: dict[str, object] = {}
    body = bytearray()
    for name in sorted(tensors):
        raw = tensors[name].contiguous().view(torch.int16).numpy().tobytes()
        header[name] = {
            "dtype": "BF16",
            "shape": list(tensors[name].shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    head = msgspec.json.encode(header, order="sorted")
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + bytes(body)


def _tar(files: Mapping[str, bytes]) -> bytes:
    """No times, owners or modes of this machine."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()
