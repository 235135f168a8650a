"""The configuration of a home: ``strongroom.toml`` as strict types.

Unknown settings are refused with the nearest name that exists; ``settings_text`` holds the
commented file that ``init`` writes. Every default stands here and nowhere else.
"""

from __future__ import annotations

import difflib
import tomllib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from strongroom.attester.config import EvidenceSource
from strongroom.errors import ConfigurationRefused
from strongroom.gateway.client_certificates import ClientCertificate
from strongroom.gateway.config import LeaseRequests, Replica
from strongroom.gateway.content.config import ContentConfig
from strongroom.gateway.detection.interface import DetectionConfig
from strongroom.gateway.jwt_identity import JwtTrust
from strongroom.gateway.pacing import Pacing
from strongroom.gateway.pipeline.spending import ComputeRates
from strongroom.gateway.text_rules import TextPolicy
from strongroom.gateway.watching import Watching
from strongroom.keeper.config import EgressBudget, ScoreCaps, Watermark
from strongroom.release.config import AwsKmsUnlocker, HpkeUnlocker, VaultUnlocker
from strongroom.tune.policy import Tuning

Rung = Literal["closed", "label", "text", "top1", "topk", "logits", "embeddings"]
OtherUnlocker = HpkeUnlocker | VaultUnlocker | AwsKmsUnlocker


class Sealing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Defaults of ``seal``: what outsiders get of a model unless the command says otherwise."""

    language_model_rung: Rung = "text"
    classifier_rung: Rung = "label"


class Serving(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Defaults of ``serve``."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    profile: Literal["no-exec", "jit"] = "no-exec"
    required_walls: tuple[str, ...] = ()
    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    max_streams: Annotated[int, Meta(ge=1, le=256)] = 16
    context_length: Annotated[int, Meta(ge=0, le=131_072)] = 0
    lease_hours: Annotated[int, Meta(ge=1, le=168)] = 24
    generation_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 600
    patrol_seconds: Annotated[int, Meta(ge=1, le=60)] = 50
    tls_cert: str = ""
    tls_key: str = ""
    client_ca: str = ""
    replica: Replica = ""
    release_policy: str = ""
    key_release: str = ""
    service_key: str = ""


def _deployment() -> EgressBudget:
    return EgressBudget(bits_per_hour=4_000_000, bits_per_day=20_000_000)


def _tenant() -> EgressBudget:
    return EgressBudget(bits_per_hour=1_000_000, bits_per_day=5_000_000)


class Egress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Most bits that answers may carry: all together, and those of one organisation.

    ``scores``: of how many distinct tokens an answer and an organisation see scores.
    """

    deployment: EgressBudget = msgspec.field(default_factory=_deployment)
    tenant: EgressBudget = msgspec.field(default_factory=_tenant)
    scores: ScoreCaps = ScoreCaps()


class Stores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where identities, what they spent, grants and tuning jobs are kept. Empty: in this home."""

    identity: Annotated[str, Meta(max_length=4096, pattern=r"^$|^postgres(ql)?://")] = ""
    counters: Annotated[str, Meta(max_length=4096, pattern=r"^$|^(rediss?|unix)://")] = ""
    lease_requests: LeaseRequests = 0
    grants: Annotated[str, Meta(max_length=4096, pattern=r"^$|^postgres(ql)?://")] = ""
    tuning: Annotated[str, Meta(max_length=4096, pattern=r"^$|^postgres(ql)?://")] = ""


class Console(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Defaults of ``console``. Without ``gateways`` it looks at this home's own."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8090
    names: tuple[str, ...] = ()
    gateways: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[^/@\s]+:[0-9]{1,5}$")], ...], Meta(max_length=64)
    ] = ()


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole ``strongroom.toml``. ``unlock``: keys besides the home's keyring that may open.

    ``tokens`` and ``certificate`` say who else than the holder of an API key is let in.
    """

    sealing: Sealing = Sealing()
    serving: Serving = Serving()
    egress: Egress = msgspec.field(default_factory=Egress)
    watermark: Watermark = Watermark()
    compute: ComputeRates = ComputeRates()
    text: TextPolicy = TextPolicy()
    watching: Watching = Watching()
    console: Console = Console()
    stores: Stores = Stores()
    evidence: EvidenceSource = EvidenceSource()
    tokens: JwtTrust | None = None
    certificate: Annotated[tuple[ClientCertificate, ...], Meta(max_length=1000)] = ()
    pacing: Pacing = Pacing()
    detection: DetectionConfig = DetectionConfig()
    content: ContentConfig = ContentConfig()
    tuning: Tuning = Tuning()
    unlock: Annotated[tuple[OtherUnlocker, ...], Meta(max_length=15)] = ()


def parse(text: str) -> Settings:
    """The settings in ``text``.

    Raises:
        ConfigurationRefused: ``cli.bad_toml``, ``cli.unknown_setting``, ``cli.bad_setting``.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationRefused(
            "cli.bad_toml",
            f"strongroom.toml is not valid TOML: {error}.",
            action="Correct that line.",
        ) from None
    _require_known(found, Settings, "")
    try:
        return msgspec.convert(found, Settings)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at ")
        name = where.strip("`$.") or "strongroom.toml"
        raise ConfigurationRefused(
            "cli.bad_setting",
            f"The setting {name} in strongroom.toml is not acceptable: {problem}.",
            action="The comments in strongroom.toml say what each setting takes.",
        ) from None


def _require_known(found: dict[str, Any], form: type[msgspec.Struct], prefix: str) -> None:
    known = {field.encode_name: field.type for field in msgspec.structs.fields(form)}
    for name, value in found.items():
        if name not in known:
            raise _unknown(prefix + name, [prefix + other for other in known])
        inner = known[name]
        if (
            isinstance(value, dict)
            and isinstance(inner, type)
            and issubclass(inner, msgspec.Struct)
        ):
            _require_known(value, inner, f"{prefix}{name}.")


def _unknown(name: str, known: list[str]) -> ConfigurationRefused:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
    return ConfigurationRefused(
        "cli.unknown_setting", f"strongroom.toml has no setting {name}.", action=hint
    )
