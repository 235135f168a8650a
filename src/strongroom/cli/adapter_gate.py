"""``python -m strongroom.cli.adapter_gate --config-fd N``: an adapter is judged behind walls.

1. Open the base, with its key from key release for evidence, as a keeper does.
2. Open the sealed adapter, and those of this organisation that left before, with the home's
   keyring; each must be signed, made for this base and this organisation, and servable.
3. Run everything once on a little; lock down with the keeper's walls.
4. Say how text becomes ids; receive the owner's conversations as ids.
5. Run the attacks and probes; judge (``tune.export.judging``).
6. To leave: only if every check passed, refactored and encrypted to the granted recipients. In the
   clear the adapter is in this process only.
7. Wipe the base.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from strongroom import process
from strongroom.tune.export.gate import History
from strongroom.tune.export.limits import ExportLimits
from strongroom.tune.export.purpose import Purpose
from strongroom.tune.frames import JobId

if TYPE_CHECKING:
    from strongroom.artifact.opening import OpenedModel
    from strongroom.cli.adapter_sealing import Lineage
    from strongroom.keeper.engine.adapter import Adapter
    from strongroom.keeper.engine.llama_config import LlamaConfig
    from strongroom.keys.keyring import FileKeyring
    from strongroom.tune.export.judging import Judging

_STANDARD_ERROR: Final = 2
_MOST_PASSPHRASE: Final = 4096


class GateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Start-up configuration; see ``tune.config`` for what is not said here.

    ``adapter`` is the sealed adapter's folder, ``earlier`` those of what left before.
    ``recipients``: to whom an export is encrypted.
    """

    sealed: str
    signers: tuple[str, ...]
    service_key: str
    release_state: str
    release_fd: int
    gate_fd: int
    purpose: Purpose
    job: JobId
    organisation: str
    adapter: str
    earlier: tuple[str, ...] = ()
    limits: ExportLimits
    history: History
    change: Annotated[float, Meta(gt=0, le=1)] = 0.5
    recipients: tuple[str, ...] = ()
    keyring: str
    passphrase_fd: int | None = None
    required_walls: tuple[str, ...] = ()
    strict: bool = True
    threads: Annotated[int, Meta(ge=1, le=1024)] = 2


def main() -> int:
    """Judge one adapter; returns the exit code."""
    return process.run("cli.adapter_gate", GateConfig, _work)


def _work(config: GateConfig, digest: str) -> None:
    import torch

    from strongroom.keeper.loading import load
    from strongroom.release.evidence import LocalAttester
    from strongroom.tune.export import wire

    torch.set_num_threads(config.threads)
    torch.set_num_interop_threads(1)
    loaded = load(config, LocalAttester(digest))  # (1)
    try:
        loaded.lease.hang_up()
        _judge(config, loaded.model)
    except wire.HungUp:
        return
    finally:
        loaded.model.wipe()  # (7)


def _judge(config: GateConfig, model: OpenedModel) -> None:
    from strongroom.keeper import lockdown
    from strongroom.keeper.card import speech_of
    from strongroom.tune.export import wire
    from strongroom.tune.frames import Speech

    judging = _opened(config, model)
    judging.warm_up()  # (3)
    llama = judging.config
    speech = Speech(
        **speech_of(model.files), vocab_size=llama.vocab_size, positions=llama.max_positions
    )
    walls = lockdown.protect_arena(model.arena)
    walls |= lockdown.lock(
        "jit", keep_fds=[config.gate_fd, _STANDARD_ERROR], required=config.required_walls
    )
    wire.send(config.gate_fd, speech)  # (4)
    answer = judging.answer(wire.receive(config.gate_fd, wire.Questions))  # (5), (6)
    wire.send(config.gate_fd, msgspec.structs.replace(answer, walls=walls))


def _opened(config: GateConfig, model: OpenedModel) -> Judging:
    """Step 2."""
    from strongroom.keeper.arena import tensors_over
    from strongroom.keeper.engine.llama_config import parse_llama_config
    from strongroom.keys.keyring import FileKeyring
    from strongroom.tune.export.judging import Judging, Subject
    from strongroom.tune.reasons import refuse

    base = tensors_over(model.arena, model.tensors)
    llama = parse_llama_config(model.files["config.json"])
    with FileKeyring.open(Path(config.keyring), _passphrase(config.passphrase_fd)) as own:
        opened = [
            _adapter(config, Path(folder), own, model.manifest.digest, (llama, base))
            for folder in (config.adapter, *config.earlier)
        ]
    (adapter, lineage), earlier = opened[0], tuple(each for each, _ in opened[1:])
    if lineage.job != config.job:
        raise refuse("tune.adapter_foreign", what="the job")
    recipe = lineage.recipe
    epsilon = None if recipe.private is None else recipe.private.epsilon
    return Judging(
        config.purpose,
        config.limits,
        config.history,
        llama,
        base,
        Subject(adapter, recipe.steps, lineage.dataset, lineage.base, epsilon),
        earlier,
        config.recipients,
    )


def _adapter(
    config: GateConfig, folder: Path, own: FileKeyring, base: str, model: tuple[LlamaConfig, Any]
) -> tuple[Adapter, Lineage]:
    """Step 2 for one folder; ``base`` is the digest of the base's manifest."""
    from strongroom.artifact.manifest import read_manifest, recipient_context
    from strongroom.artifact.opening import open_sealed
    from strongroom.artifact.rewrap import read_recipients
    from strongroom.artifact.signing import PublicSigner
    from strongroom.artifact.trust import Trust
    from strongroom.cli.adapter_sealing import Lineage
    from strongroom.keeper.arena import tensors_over
    from strongroom.keeper.engine.adapter import check_adapter
    from strongroom.tune.adapter import SCALE
    from strongroom.tune.reasons import refuse

    trust = Trust([PublicSigner.decode(signer) for signer in config.signers])
    manifest = read_manifest(folder, trust)
    stanza = next((each for each in read_recipients(folder) if own.holds(each)), None)
    if stanza is None:
        raise refuse("tune.no_adapter", why="the home's keyring does not open it")
    key = own.unwrap(stanza, recipient_context(manifest))
    try:
        opened = open_sealed(folder, key, trust=trust, state=None, strict=config.strict)
    finally:
        key.wipe()
    try:
        lineage = msgspec.json.decode(opened.files["lineage.json"], type=Lineage)
        shown = tensors_over(opened.arena, opened.tensors)
        tensors = {name: tensor.clone() for name, tensor in shown.items()}
    except (KeyError, msgspec.MsgspecError):
        raise refuse("tune.adapter_config", why="its lineage.json cannot be read") from None
    finally:
        opened.wipe()
    if lineage.base_manifest != base:
        raise refuse("tune.adapter_foreign", what="the base's manifest")
    if lineage.organisation != config.organisation:
        raise refuse("tune.adapter_foreign", what="the organisation")
    recipe = lineage.recipe
    adapter = check_adapter(
        *model,
        tensors,
        rank=recipe.rank,
        modules=recipe.modules,
        scale=SCALE,
        most_change=config.change,
    )
    return adapter, lineage


def _passphrase(descriptor: int | None) -> bytes | None:
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MOST_PASSPHRASE)


if __name__ == "__main__":
    # The interpreter's own farewell would make calls that lock-down forbids; nothing is left to do.
    os._exit(main())
