"""The owner's data: what was trained on, and what was not, read strictly and never executed.

A classifier's: an ``.npz`` with ``inputs`` (n, *shape), ``labels`` (n,) integers and ``member``
(n,) 0 or 1. A language model's: JSON lines, each ``{"text": ..., "member": true}`` or
``{"prefix": ..., "secret": ..., "copies": 4}`` for a canary (``copies`` 0: never planted).
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from strongroom.errors import ExposureRefused
from strongroom.exposure.interface import Records
from strongroom.exposure.reasons import refuse

_MOST_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Split:
    """Labelled records and which were trained on."""

    records: Records
    member: np.ndarray

    def part(self, rows: np.ndarray) -> Records:
        """Some of the records."""
        return Records(self.records.inputs[rows], self.records.labels[rows])


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A passage."""

    text: Annotated[str, Meta(min_length=1, max_length=1_000_000)]
    member: bool


class Canary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret that was planted ``copies`` times."""

    prefix: Annotated[str, Meta(min_length=1, max_length=10_000)]
    secret: Annotated[str, Meta(pattern=r"^[0-9]{1,18}$")]
    copies: Annotated[int, Meta(ge=0, le=1_000_000)]


@dataclass(frozen=True)
class Corpus:
    """Texts, and canaries."""

    texts: tuple[Text, ...]
    canaries: tuple[Canary, ...]


def read_records(path: Path, shape: tuple[int, ...], classes: int) -> Split:
    """The records in ``path``, checked against the model.

    Raises:
        ExposureRefused: ``exposure.data_unreadable``, ``exposure.data_unfit``.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is larger than 4 GiB")
        with np.load(path, allow_pickle=False) as found:
            inputs, labels, member = (found[name] for name in ("inputs", "labels", "member"))
    except KeyError as error:
        raise refuse("exposure.data_unreadable", path=path, why=f"it lacks {error}") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise refuse("exposure.data_unreadable", path=path, why=str(error)) from None
    n = len(inputs)
    if inputs.shape[1:] != shape:
        raise _unfit(f"records have shape {list(inputs.shape[1:])}, the model takes {list(shape)}")
    if labels.shape != (n,) or labels.dtype.kind not in "iu" or member.shape != (n,):
        raise _unfit("labels and member are one integer for each record")
    if not n or labels.min() < 0 or labels.max() >= classes:
        raise _unfit(f"labels are 0 to {classes - 1}")
    if not np.isfinite(inputs).all() or not np.isin(member, (0, 1)).all():
        raise _unfit("inputs are finite, and member is 0 or 1")
    records = Records(np.ascontiguousarray(inputs, np.float32), labels.astype(np.int64))
    return Split(records, member.astype(bool))


def read_corpus(path: Path) -> Corpus:
    """The texts and canaries in ``path``.

    Raises:
        ExposureRefused: ``exposure.data_unreadable``, ``exposure.data_unfit``.
    """
    texts, canaries = [], []
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is larger than 4 GiB")
        lines = path.read_bytes().splitlines()
    except (OSError, ValueError) as error:
        raise refuse("exposure.data_unreadable", path=path, why=str(error)) from None
    for number, line in enumerate(lines, start=1):
        try:
            if b'"secret"' in line:
                canaries.append(msgspec.json.decode(line, type=Canary))
            elif line.strip():
                texts.append(msgspec.json.decode(line, type=Text))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _unfit(f"line {number}: {error}") from None
    if not texts and not canaries:
        raise _unfit("there is no record in it")
    return Corpus(tuple(texts), tuple(canaries))


def _unfit(why: str) -> ExposureRefused:
    return refuse("exposure.data_unfit", why=why)
