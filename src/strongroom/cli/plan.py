"""What ``serve`` is to serve, and what each of its processes is told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.errors import ConfigurationRefused

if TYPE_CHECKING:
    from strongroom.artifact.manifest import Manifest
    from strongroom.attester.config import EvidenceSource
    from strongroom.cli.children import Wires
    from strongroom.cli.home import Home
    from strongroom.cli.settings import Serving
    from strongroom.gateway.config import GatewayConfig, Tls
    from strongroom.gateway.content.config import ContentConfig
    from strongroom.gateway.jwt_identity import JwtTrust
    from strongroom.gateway.watching import Watching
    from strongroom.keeper.config import AttesterSocket, KeeperConfig, SchemaFile
    from strongroom.release.config import ReleaseConfig
    from strongroom.release.policies.document import Document
    from strongroom.tune.policy import Tuning

_KEEPER_GRACE_SECONDS = 60
"""How much longer than the keeper allows a request the gateway waits for its end."""


@dataclass(frozen=True)
class Plan:
    """What is to be served, and how."""

    home: Home
    sealed: Path
    manifest: Manifest
    serving: Serving
    policy: Document

    @property
    def threads(self) -> int:
        """Threads of the keeper."""
        return self.serving.threads or len(os.sched_getaffinity(0))

    @property
    def model_name(self) -> str:
        """What callers call the model: its id, as one path segment."""
        return self.manifest.model_id.replace("/", "-")

    @property
    def watching(self) -> Watching:
        """Where operators look; a free port where the callers' is a free one, too."""
        import msgspec

        watching = self.home.settings.watching
        return watching if self.serving.port else msgspec.structs.replace(watching, port=0)

    @property
    def tuning(self) -> Tuning:
        """How tuning is offered. Where no job ever was and none can come, no adapters are served:
        a keeper that may serve them warms up twice as long."""
        from msgspec.structs import replace

        tuning = self.home.settings.tuning
        some = tuning.offered or tuning.primitives or (self.home.state / "tuning").is_dir()
        return tuning if some else replace(tuning, served_megabytes=0)

    @cached_property
    def schemas(self) -> tuple[dict[str, str], tuple[SchemaFile, ...]]:
        """Names and digests of the registered schemas, and the files of their automata."""
        from strongroom.cli.schemas import Schemas

        return Schemas(self.home.schemas).lay_out(self.home.path / "run")

    def release_config(self, wires: Wires, passphrase_fd: int | None) -> ReleaseConfig:
        """For key release: only this very manifest's key may leave."""
        import msgspec

        from strongroom.release.config import Grants, KeyringUnlocker, Lineage, ReleaseConfig

        unlockers = tuple(
            msgspec.structs.replace(unlocker, passphrase_fd=passphrase_fd)
            if isinstance(unlocker, KeyringUnlocker)
            else unlocker
            for unlocker in self.home.unlockers()
        )
        return ReleaseConfig(
            service_key=str(self.home.keys / "service.key"),
            unlockers=unlockers,
            release_fd=wires.release.fileno(),
            policy=self.policy,
            manifest=self.manifest.digest,
            grants=Grants(self.home.grants, str(self.home.approvers_file)),
            once=True,
            lineage=Lineage(self.home.lineage),
        )

    @property
    def assurance(self) -> str:
        """What stands behind the evidence that a key is had for."""
        return "SOFTWARE-ONLY" if self.evidence.guest == "local" else "HARDWARE"

    @property
    def evidence(self) -> EvidenceSource:
        """What speaks for this machine; its files are named from the home."""
        from msgspec.structs import replace

        source = self.home.settings.evidence
        files = {
            name: str(self.home.path / path)
            for name in ("beside", "gpu_manifests")
            if (path := getattr(source, name))
        }
        return replace(source, **files)

    def keeper_config(self, wires: Wires, attester: AttesterSocket | None) -> KeeperConfig:
        """For the keeper: whom to trust, what may leave, how to lock itself in."""
        from strongroom.keeper.config import KeeperConfig

        return KeeperConfig(
            sealed=str(self.sealed),
            signers=tuple(signer.encode() for signer in self.home.signers),
            service_key=self._service_key(),
            release_state=str(self.home.state / "releases.json"),
            egress_state=str(self.home.state / "egress.state"),
            release_fd=wires.keeper_to_release.fileno(),
            boundary_fd=wires.keeper_to_gateway.fileno(),
            deployment_budget=self.home.settings.egress.deployment,
            tenant_budget=self.home.settings.egress.tenant,
            score_caps=self.home.settings.egress.scores,
            profile=self.serving.profile,
            required_walls=self.serving.required_walls,
            threads=self.threads,
            max_streams=self.serving.max_streams,
            context_length=self.serving.context_length,
            schemas=self.schemas[1],
            watermark=self.home.watermark,
            generation_seconds=self.serving.generation_seconds,
            patrol_seconds=self.serving.patrol_seconds,
            adapter_megabytes=self.tuning.served_megabytes,
            attester=attester,
        )

    def gateway_config(self, wires: Wires) -> GatewayConfig:
        """For the gateway: where it listens, whom it knows, where it records."""
        from strongroom.gateway.config import GatewayConfig

        settings = self.home.settings
        return GatewayConfig(
            host=self.serving.host,
            port=self.serving.port,
            boundary_fd=wires.gateway.fileno(),
            keeper_seconds=self.serving.generation_seconds + _KEEPER_GRACE_SECONDS,
            ready_fd=wires.ready_write,
            database=settings.stores.identity or str(self.home.database),
            counters=settings.stores.counters,
            lease_requests=settings.stores.lease_requests,
            pepper=str(self.home.keys / "pepper"),
            log_key=str(self.home.log_key),
            state=str(self.home.state),
            model_name=self.model_name,
            replica=self.serving.replica,
            compute=settings.compute,
            tls=self._tls(),
            tokens=self._tokens(),
            certificates=settings.certificate,
            text=settings.text,
            schemas=self.schemas[0],
            pacing=settings.pacing,
            detection=settings.detection,
            content=self._content(),
            watching=self.watching,
            tuning=self.tuning,
            tuning_database=self.home.tuning,
        )

    def _service_key(self) -> str:
        """The key of the service that is asked, base64: whose answers alone are believed."""
        import base64

        from strongroom.release.service_key import ServiceKey

        if not self.serving.key_release:
            service = ServiceKey.load(self.home.keys / "service.key")
            return base64.b64encode(service.public).decode()
        if not self.serving.service_key:
            raise ConfigurationRefused(
                "cli.service_key_missing",
                "A key-release service elsewhere is believed only by its key.",
                action="Give --service-key: what `strongroom release serve` says of itself.",
            )
        return self.serving.service_key

    def _content(self) -> ContentConfig:
        from msgspec.structs import replace

        content = self.home.settings.content
        moderation = content.moderation
        if moderation is None or not moderation.token_file:
            return content
        file = str(self.home.path / moderation.token_file)
        return replace(content, moderation=replace(moderation, token_file=file))

    def _tokens(self) -> JwtTrust | None:
        from msgspec.structs import replace

        trust = self.home.settings.tokens
        return trust and replace(trust, jwks=str(self.home.path / trust.jwks))

    def _tls(self) -> Tls | None:
        from strongroom.gateway.config import Tls

        serving = self.serving
        if not (serving.tls_cert or serving.tls_key or serving.client_ca):
            return None
        if not (serving.tls_cert and serving.tls_key):
            raise ConfigurationRefused(
                "cli.tls_incomplete",
                "TLS needs both a certificate and its key.",
                action="Give --tls-cert and --tls-key, or set tls_cert and tls_key.",
            )
        ca = str(self.home.path / serving.client_ca) if serving.client_ca else None
        cert, key = (str(self.home.path / name) for name in (serving.tls_cert, serving.tls_key))
        return Tls(cert, key, ca)
