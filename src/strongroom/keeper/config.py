"""What a keeper is told at its start: canonical JSON on an inherited descriptor, read once."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from strongroom.attester.config import Kind


class EgressBudget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bits that answers may carry, per sliding hour and day. Zero means nothing may leave."""

    bits_per_hour: Annotated[float, Meta(ge=0)]
    bits_per_day: Annotated[float, Meta(ge=0)]


class ScoreCaps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Distinct tokens of which scores are shown at the rungs ``top1`` and ``topk``.

    Fewer for an organisation than the model is wide (576 for the smallest in use), so that what it
    ever sees does not span the output space.
    """

    tokens_per_answer: Annotated[int, Meta(ge=0, le=2**18)] = 256
    tokens_per_organisation: Annotated[int, Meta(ge=0, le=2**18)] = 512


class SchemaFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A schema of structured output: the file of its automaton, and the SHA-256 (hex) of it."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    path: str
    sha256: str


class Watermark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose answers carry a mark: tenant to scheme, ``*`` for all others; absent: none.

    ``secret`` is the file that the tenants' keys follow from.
    """

    secret: str = "keys/watermark.secret"  # noqa: S105 - a path
    tenants: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=128)], Literal["kgw", "synthid"]],
        Meta(max_length=4096),
    ] = {}


class AttesterSocket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The socket to the process that asks the machine's devices, and the kind of its evidence."""

    descriptor: Annotated[int, Meta(ge=3)]
    kind: Kind


class KeeperConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Start-up configuration of one keeper.

    ``signers`` are the public keys (each ``ed25519`` ‖ ``ml-dsa-65`` raw bytes, base64) whose
    signature on a sealed model is accepted. ``service_key`` pins the Ed25519 key of the
    key-release service (raw, base64). ``release_state`` is the file that remembers the newest
    release seen of each model. ``egress_state`` is the file that keeps the meter over restarts.
    ``schemas`` are those that an answer may be held to. ``generation_seconds`` is the longest that
    a generation may take, from when it is admitted. ``patrol_seconds`` is the time
    in which every weight is looked at once. ``adapter_megabytes`` is what adapters may have of the
    memory together; 0 serves none. Without an ``attester`` the evidence is ``local``: the word of
    software.
    """

    sealed: str
    signers: tuple[str, ...]
    service_key: str
    release_state: str
    egress_state: str
    release_fd: int
    boundary_fd: int
    deployment_budget: EgressBudget
    tenant_budget: EgressBudget
    score_caps: ScoreCaps = ScoreCaps()
    profile: Literal["no-exec", "jit"] = "no-exec"
    required_walls: tuple[str, ...] = ()
    strict: bool = True
    schemas: Annotated[tuple[SchemaFile, ...], Meta(max_length=64)] = ()
    generation_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 600
    watermark: Watermark = Watermark()
    patrol_seconds: Annotated[int, Meta(ge=1, le=60)] = 50
    adapter_megabytes: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    attester: AttesterSocket | None = None
    threads: Annotated[int, Meta(ge=1, le=1024)] = 2
    max_streams: Annotated[int, Meta(ge=1, le=256)] = 16
    context_length: Annotated[int, Meta(ge=0, le=131_072)] = 0
    """Longest sequence served; 0 takes the model's own limit, at most 2,048."""
