"""What a gateway is told at its start: canonical JSON on an inherited descriptor, read once."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from strongroom.errors import ConfigurationRefused
from strongroom.gateway.client_certificates import ClientCertificate
from strongroom.gateway.content.config import ContentConfig
from strongroom.gateway.detection.interface import DetectionConfig
from strongroom.gateway.jwt_identity import JwtTrust
from strongroom.gateway.pacing import Pacing
from strongroom.gateway.pipeline.spending import ComputeRates
from strongroom.gateway.text_rules import TextPolicy
from strongroom.gateway.watching import Watching
from strongroom.tune.policy import Tuning

PEPPER_BYTES = 32
GATEWAY_LOG = "gateway"
"""Name of the log of a gateway that is no replica."""

_Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Replica = Annotated[str, Meta(max_length=40, pattern=r"^[a-z0-9\-]*$")]
_Descriptor = Annotated[int, Meta(ge=3)]


LeaseRequests = Annotated[int, Meta(ge=0, le=10_000)]


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """TLS 1.2 and up with this certificate chain and key (PEM files).

    With ``client_ca`` nobody connects without a certificate of one of these authorities.
    """

    cert: _Text
    key: _Text
    client_ca: _Text | None = None


class GatewayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Start-up configuration of one gateway.

    ``port`` 0 takes a free one. ``boundary_fd`` is the socket to the keeper, ``ready_fd`` takes
    one line when the gateway listens. ``database`` is the store of API keys, ``pepper`` the
    private file of 32 bytes that keys their digests. ``model_name`` is what callers call the model.
    ``log_key`` signs the record, which lies in the folder ``state``; ``replica`` tells gateways
    of one home apart, each of which writes a log of its own. ``tokens`` and ``certificates`` say
    who else than the holder of an API key is let in. ``counters`` is the URL of a Redis
    that several gateways count in, in blocks of ``lease_requests`` if that is not 0; without it
    this one counts in its memory. ``schemas`` are those of structured output that callers may
    name: their digests. ``tuning`` says whether customers may tune, its jobs lie in
    ``tuning_database``. A request that the keeper has not ended after ``keeper_seconds``, more than
    it allows one itself, says that it hangs.
    """

    host: _Text
    port: Annotated[int, Meta(ge=0, le=65535)]
    boundary_fd: _Descriptor
    ready_fd: _Descriptor
    database: _Text
    pepper: _Text
    log_key: _Text
    state: _Text
    model_name: Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._\-]+$")]
    max_head_bytes: Annotated[int, Meta(ge=1024, le=2**20)] = 32 * 1024
    max_body_bytes: Annotated[int, Meta(ge=1024, le=2**26)] = 2**20
    head_seconds: Annotated[float, Meta(gt=0, le=600)] = 10.0
    body_seconds: Annotated[float, Meta(gt=0, le=600)] = 30.0
    keeper_seconds: Annotated[float, Meta(gt=0, le=100_000)] = 660.0
    max_connections: Annotated[int, Meta(ge=1, le=65536)] = 1024
    replica: Replica = ""
    counters: Annotated[str, Meta(max_length=4096)] = ""
    lease_requests: LeaseRequests = 0
    compute: ComputeRates = ComputeRates()
    tls: Tls | None = None
    tokens: JwtTrust | None = None
    certificates: tuple[ClientCertificate, ...] = ()
    text: TextPolicy = TextPolicy()
    schemas: Annotated[dict[str, Annotated[str, Meta(max_length=64)]], Meta(max_length=64)] = {}
    pacing: Pacing = Pacing()
    content: ContentConfig = ContentConfig()
    detection: DetectionConfig = DetectionConfig()
    watching: Watching = Watching(port=0)
    tuning: Tuning = Tuning()
    tuning_database: Annotated[str, Meta(max_length=4096)] = ""

    @property
    def log_name(self) -> str:
        """The name of this gateway's log."""
        return f"{GATEWAY_LOG}-{self.replica}" if self.replica else GATEWAY_LOG


def read_pepper(path: Path) -> bytes:
    """The 32 bytes that key the digests of API keys.

    Raises:
        ConfigurationRefused: ``gateway.bad_pepper``: absent, readable by others, wrong length.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(PEPPER_BYTES + 1)
    except OSError as error:
        raise _bad_pepper(f"{path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise _bad_pepper(f"{path} can be read by other users")
    if len(content) != PEPPER_BYTES:
        raise _bad_pepper(f"{path} does not hold exactly {PEPPER_BYTES} bytes")
    return content


def _bad_pepper(reason: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "gateway.bad_pepper",
        f"The pepper of the API keys is unusable: {reason}.",
        action="Restore the file that `strongroom init` made, with mode 0600.",
    )
