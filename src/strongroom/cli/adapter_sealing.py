"""``python -m strongroom.cli.adapter_sealing --config-fd N``: a finished adapter is sealed.

1. Read the base's manifest; obtain its data key from key release, as whoever opens the base does.
2. Derive the job's key, wipe the data key. The base itself is not opened.
3. Open the job's result in memory.
4. Seal it for the keepers that serve its base, under a key that follows from the base's.
5. Seal it as an artifact of its own: PEFT's tensors and configuration, and its lineage; signed by
   the home's owner, to be opened by the home's keyring. In the clear it is in this process only.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from strongroom import process
from strongroom.tune.frames import JobId
from strongroom.tune.policy import Recipe

if TYPE_CHECKING:
    from strongroom.keeper.adapters import AdapterKey


class SealingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Start-up configuration; see ``tune.config`` for what is not said here.

    ``result`` is the job's sealed result, under the key of ``key_of`` (the job, or the session that
    made it), ``destination`` the folder to make, ``served`` the file
    for keepers; ``change`` is the largest that an adapter may be. ``signing_key`` and ``keyring``
    are files of the home, which ``passphrase_fd`` opens if they have one.
    """

    sealed: str
    signers: tuple[str, ...]
    service_key: str
    release_state: str
    release_fd: int
    job: JobId
    key_of: JobId
    organisation: str
    adapter: str
    dataset: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    recipe: Recipe
    result: str
    destination: str
    served: str
    change: float
    signing_key: str
    keyring: str
    passphrase_fd: int | None = None
    strict: bool = True
    threads: int = 1


class Lineage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where an adapter comes from: ``lineage.json`` beside its tensors."""

    base: str
    base_release: int
    base_manifest: str
    job: str
    organisation: str
    dataset: str
    recipe: Recipe


def main() -> int:
    """Seal one adapter; returns the exit code."""
    return process.run("cli.adapter_sealing", SealingConfig, _work)


def _work(config: SealingConfig, digest: str) -> None:
    from strongroom.artifact.manifest import read_manifest
    from strongroom.artifact.signing import PublicSigner
    from strongroom.artifact.trust import ReleaseState, Trust
    from strongroom.keeper.adapters import AdapterKey
    from strongroom.keeper.loading import obtain
    from strongroom.release.evidence import LocalAttester
    from strongroom.release.hardening import harden
    from strongroom.tune.checkpoint import Identity, JobKey

    harden()
    trust = Trust([PublicSigner.decode(signer) for signer in config.signers])
    manifest = read_manifest(Path(config.sealed), trust)  # (1)
    ReleaseState(Path(config.release_state)).check(manifest)
    grant = obtain(config, LocalAttester(digest), manifest)
    try:
        key, serving = JobKey(grant.key, config.key_of), AdapterKey(grant.key)  # (2)
    finally:
        grant.key.wipe()
    identity = Identity(config.job, manifest.digest, config.dataset, config.recipe)
    tensors = key.open_result(Path(config.result).read_bytes(), identity)  # (3)
    lineage = Lineage(
        base=manifest.model_id,
        base_release=manifest.release,
        base_manifest=manifest.digest,
        job=config.job,
        organisation=config.organisation,
        dataset=config.dataset,
        recipe=config.recipe,
    )
    _seal_served(config, serving, manifest.digest, tensors)  # (4)
    _seal(config, tensors, lineage)  # (5)


def _seal_served(
    config: SealingConfig, key: AdapterKey, manifest: str, tensors: dict[str, Any]
) -> None:
    from strongroom.artifact.durable import write_durably
    from strongroom.keeper.adapters import Belonging, Shape
    from strongroom.tune.adapter import SCALE

    recipe, path = config.recipe, Path(config.served)
    whose = Belonging(config.organisation, config.adapter, manifest)
    blob = key.seal(whose, Shape(recipe.rank, recipe.modules, SCALE, config.change), tensors)
    path.unlink(missing_ok=True)
    write_durably(path, blob)


def _seal(config: SealingConfig, tensors: dict[str, Any], lineage: Lineage) -> None:
    from strongroom.artifact.claims import make_claims
    from strongroom.artifact.memory_source import Plain, memory_source
    from strongroom.artifact.policy import DisclosurePolicy
    from strongroom.artifact.seal import seal_opened
    from strongroom.artifact.source import ADAPTER
    from strongroom.cli import signing_key_file
    from strongroom.keeper.engine.adapter import Adapter
    from strongroom.keys.keyring import FileKeyring
    from strongroom.tune.adapter import SCALE, peft_config

    recipe = lineage.recipe
    described = peft_config(Adapter(recipe.rank, recipe.modules, SCALE, {}), lineage.base)
    files = {"adapter_config.json": described, "lineage.json": msgspec.json.encode(lineage)}
    plain = {
        name: Plain("F32", tuple(tensor.shape), tensor.numpy().tobytes())
        for name, tensor in tensors.items()
    }
    policy = DisclosurePolicy(rungs={"*": "closed"})  # it is no model: nothing opens it as one
    passphrase = _passphrase(config.passphrase_fd)
    signer = signing_key_file.load(Path(config.signing_key), passphrase)
    with ExitStack() as stack:
        own = stack.enter_context(FileKeyring.open(config.keyring, passphrase))
        seal_opened(
            memory_source(ADAPTER, plain, files, stack),
            Path(config.destination),
            signer=signer,
            wrap=[own.wrap],
            claims=make_claims(config.adapter, 1, policy, None, None),
            policy=policy,
        )


def _passphrase(descriptor: int | None) -> bytes | None:
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(4096)


if __name__ == "__main__":
    sys.exit(main())
