"""Adapters that are served: they come in sealed, are opened here, and stay one organisation's.

1. An adapter's blob is sealed under a key that follows from its base's data key, and bound to the
   base's manifest, to the organisation whose it is and to its name: only a keeper that was given
   the base's key opens it, and only as that organisation's, over that base.
2. A gateway brings the blob in pieces. It is opened when the last is there, and judged
   (``engine.adapter``); it is loaded whole or refused with a reason.
3. All that are loaded together have a bound in bytes. What does not fit is refused; which one is to
   go is the gateway's choice, and none goes that a request is using.
4. Within the engine an adapter's name begins with its organisation's: a request reaches those of
   the organisation that it is made for, and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Protocol

import msgspec
import torch
from msgspec import Meta
from torch import Tensor

from strongroom.artifact.data_key import DataKey
from strongroom.boundary.frames import AdapterState, LoadAdapter, UnloadAdapter
from strongroom.boundary.lora import MODULES, RANK_CAP
from strongroom.errors import ArtifactRefused, RequestRefused
from strongroom.keeper.engine.adapter import Adapter, check_adapter, place_shapes, weight_name
from strongroom.keeper.engine.interface import Tensors
from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.keeper.sealed_tensors import Foreign, TensorSealer

_LABEL: Final = b"strongroom served adapter v1\0"


class Belonging(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose an adapter is, what it is called, and the digest of its base's manifest."""

    organisation: str
    adapter: str
    manifest: str


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What its configuration says of an adapter; ``most_change`` as for ``check_adapter``."""

    rank: Annotated[int, Meta(ge=1, le=RANK_CAP)]
    modules: tuple[str, ...]
    scale: Annotated[float, Meta(gt=0, le=1e3)]
    most_change: Annotated[float, Meta(gt=0, le=1e3)]


class AdapterKey:
    """Seals and opens the adapters of one base. Derived while its data key is at hand."""

    __slots__ = ("_sealer",)

    def __init__(self, key: DataKey) -> None:
        self._sealer = TensorSealer(key, _LABEL)

    def seal(self, whose: Belonging, shape: Shape, tensors: Mapping[str, Tensor]) -> bytes:
        """The blob of an adapter; ``tensors`` by PEFT's keys."""
        return self._sealer.seal(_bound(whose), shape, tensors)

    def open(self, whose: Belonging, blob: bytes) -> tuple[Shape, dict[str, Tensor]]:
        """What ``seal`` was given; ``Foreign`` where anything of it was another."""
        facts, tensors = self._sealer.open(_bound(whose), blob)
        return msgspec.json.decode(facts, type=Shape), tensors


class Bank(Protocol):
    """The engine, as far as adapters go."""

    def load_adapter(self, name: str, adapter: Adapter) -> bool:
        """False if the name is taken."""

    def unload_adapter(self, name: str) -> bool:
        """False if it is not loaded, or in use."""


class Adapters:
    """The adapters of one keeper.

    Args:
        bank: the engine.
        key: opens the blobs.
        manifest: digest of the base's.
        config: the base's.
        base: the base's tensors; their norms are taken now, and no more is kept.
        most_bytes: that all loaded adapters may have together.
    """

    def __init__(
        self,
        bank: Bank,
        key: AdapterKey,
        manifest: str,
        config: LlamaConfig,
        base: Tensors,
        most_bytes: int,
    ) -> None:
        self._bank, self._key, self._manifest, self._config = bank, key, manifest, config
        self._norms = norms(config, base)
        self._most = most_bytes
        self._sizes: dict[str, int] = {}
        self._coming: tuple[LoadAdapter, bytearray] | None = None

    def take(self, piece: LoadAdapter) -> AdapterState | None:
        """Rules 2 and 3; None until the last piece.

        Raises:
            RequestRefused: ``keeper.adapters_full``, ``keeper.adapter_loaded``,
                ``keeper.adapter_piece``, ``keeper.adapter_foreign``, ``keeper.adapters_off``, or
                as ``check_adapter``.
        """
        name = engine_name(piece.tenant, piece.adapter)
        if piece.offset == 0:
            self._coming = None
            if name in self._sizes:
                raise _refused("keeper.adapter_loaded", "The adapter is loaded already.", "Use it.")
            if sum(self._sizes.values()) + piece.size > self._most:
                raise _refused(
                    "keeper.adapters_full",
                    f"The loaded adapters leave no room for one of {piece.size} bytes.",
                    "Unload another, or give adapters more room.",
                )
            self._coming = (piece, bytearray())
        if self._coming is None or not _follows(self._coming, piece):
            self._coming = None
            raise _refused(
                "keeper.adapter_piece",
                "A piece of an adapter does not follow the one before it.",
                "Send it again from its beginning.",
            )
        whole = self._coming[1]
        whole += piece.data
        if len(whole) < piece.size:
            return None
        self._coming = None
        self._open(name, piece, bytes(whole))
        return AdapterState(piece.id, loaded=True)

    def drop(self, asked: UnloadAdapter) -> AdapterState:
        """Forget one.

        Raises:
            RequestRefused: ``keeper.adapter_in_use``.
        """
        name = engine_name(asked.tenant, asked.adapter)
        if name in self._sizes:
            if not self._bank.unload_adapter(name):
                raise _refused(
                    "keeper.adapter_in_use", "A request goes through the adapter.", "Try later."
                )
            del self._sizes[name]
        return AdapterState(asked.id, loaded=False)

    def require(self, tenant: str, adapter: str) -> str:
        """The engine's name of a tenant's adapter.

        Raises:
            RequestRefused: ``keeper.adapter_unknown``.
        """
        name = engine_name(tenant, adapter)
        if name not in self._sizes:
            raise _refused(
                "keeper.adapter_unknown",
                "The tenant has no adapter of that name loaded.",
                "Load it first.",
            )
        return name

    def _open(self, name: str, piece: LoadAdapter, blob: bytes) -> None:
        whose = Belonging(piece.tenant, piece.adapter, self._manifest)
        try:
            shape, tensors = self._key.open(whose, blob)
            adapter = check_adapter(
                self._config,
                self._norms,
                tensors,
                rank=shape.rank,
                modules=shape.modules,
                scale=shape.scale,
                most_change=shape.most_change,
            )
        except Foreign:
            raise _refused(
                "keeper.adapter_foreign",
                "The adapter is another organisation's or base's, or was altered.",
                "Bring it as it was sealed, for whom it was sealed.",
            ) from None
        except ArtifactRefused as refusal:
            raise _refused(refusal.code, refusal.message, refusal.action) from None
        if not self._bank.load_adapter(name, adapter):
            raise adapters_off()
        self._sizes[name] = len(blob)


def adapters_off() -> RequestRefused:
    """Nothing here serves adapters."""
    return _refused("keeper.adapters_off", "No adapters are served here.", "Ask for the base.")


def engine_name(tenant: str, adapter: str) -> str:
    """Rule 4. No name of an adapter has a slash."""
    return f"{tenant}/{adapter}"


def norms(config: LlamaConfig, base: Tensors) -> dict[str, Tensor]:
    """For each weight that an adapter can change a tensor of one number, its norm: it stands for
    the weight in ``check_adapter``, which looks at nothing else.
    """
    names = map(weight_name, place_shapes(config, MODULES))
    return {name: torch.linalg.vector_norm(base[name].float()).reshape(1) for name in names}


def _follows(coming: tuple[LoadAdapter, bytearray], piece: LoadAdapter) -> bool:
    first, whole = coming
    same = (first.id, first.tenant, first.adapter, first.size) == (
        piece.id,
        piece.tenant,
        piece.adapter,
        piece.size,
    )
    return same and piece.offset == len(whole) and len(whole) + len(piece.data) <= piece.size


def _bound(whose: Belonging) -> bytes:
    return _LABEL + msgspec.json.encode(whose, order="sorted")


def _refused(code: str, message: str, action: str) -> RequestRefused:
    return RequestRefused(code, message, action=action)
