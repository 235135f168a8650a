"""What the verbs about lineage share: what a word names, the home's store, the record.

What takes a key away counts first and is recorded after: a record that cannot be written must not
keep it from working.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from strongroom.artifact import names
from strongroom.artifact.manifest import Manifest, ModelId, read_manifest
from strongroom.cli import identities
from strongroom.cli.home import Home, open_home
from strongroom.errors import ConfigurationRefused, KeyRefused
from strongroom.ledger.release_entries import DerivationNoted, ModelRevoked
from strongroom.release.lineage import require_standing
from strongroom.store.lineage import (
    Derivation,
    LineageStore,
    Named,
    Revocation,
    open_lineage_store,
)

if TYPE_CHECKING:
    from strongroom.artifact.trust import Trust
    from strongroom.cli.call import Call

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_REASON = 200


@dataclass(frozen=True)
class Registry:
    """The lineage of a home."""

    home: Home
    store: LineageStore

    def revoke(self, named: Named, reason: str) -> tuple[Named, ...]:
        """Revoke what ``named`` names; returns what was made from it, as far as is known.

        Raises:
            ConfigurationRefused: ``cli.reason``; nothing is revoked then.
            StrongroomError: ``store.*``, or of the record: then the revocation counts already.
        """
        _require_reason(reason)
        before = set(self.fallen())
        by = identities.by()
        self.store.revoke(
            Revocation(named.model, named.release, named.manifest, reason, by, int(time.time()))
        )
        entry = ModelRevoked(named.release, named.model, named.manifest, by, reason)
        identities.record(self.home, entry)
        return tuple(made for made in self.fallen() if made not in before)

    def derive(self, made: Named, source: Named) -> None:
        """Note that ``made`` was made from ``source``; the errors are as in ``revoke``.

        Raises:
            ConfigurationRefused: ``store.duplicate_derivation``.
        """
        by = identities.by()
        self.store.derive(Derivation(made, source, by, int(time.time())))
        entry = DerivationNoted(
            made.model, made.release, made.manifest,
            source.model, source.release, source.manifest, by,
        )  # fmt: skip
        identities.record(self.home, entry)

    def fallen(self) -> tuple[Named, ...]:
        """What is known to be made from something, and gets no key any more."""
        made = dict.fromkeys(each.made for each in self.store.derivations())
        return tuple(each for each in made if self.state(each))

    def state(self, named: Named) -> str:
        """The code with which key release refuses ``named``; empty where it does not."""
        try:
            require_standing(named, self.store.revocations(), self.store.derivations())
        except KeyRefused as refused:
            return refused.code
        return ""


@contextmanager
def opened(call: Call) -> Iterator[Registry]:
    """The lineage of the home that ``call`` names."""
    with of_home(open_home(call.home_path)) as registry:
        yield registry


@contextmanager
def of_home(home: Home) -> Iterator[Registry]:
    """The lineage of a home; ``store.*``."""
    with open_lineage_store(home.lineage) as store:
        yield Registry(home, store)


def of_sealed(folder: Path, trust: Trust) -> Named:
    """A sealed model's release, its signature checked; the errors of ``read_manifest``."""
    return named(read_manifest(folder, trust))


def named(manifest: Manifest) -> Named:
    """The release whose manifest this is."""
    return Named(manifest.model_id, manifest.release, manifest.digest)


def target(word: str, release: int | None, trust: Trust) -> Named:
    """What is to be revoked.

    Args:
        word: a sealed folder, a manifest's digest (64 hex digits), or a model's id.
        release: of a model's id; all of them without.
        trust: whose signatures on a sealed folder count.

    Raises:
        ConfigurationRefused: ``cli.revoke_release`` or ``cli.bad_model_id``.
        ArtifactRefused: the folder is not acceptable.
    """
    found: Named | None = None
    if (Path(word) / names.MANIFEST).is_file():
        found = of_sealed(Path(word), trust)
    elif _DIGEST.fullmatch(word):
        found = Named("", 0, word)
    if found is not None:
        if release is not None:
            raise ConfigurationRefused(
                "cli.revoke_release",
                "A sealed folder and a manifest's digest name one release already.",
                action="Leave --release out, or name the model by its id.",
            )
        return found
    try:
        return Named(msgspec.convert(word, ModelId), release or 0, "")
    except msgspec.ValidationError:
        raise ConfigurationRefused(
            "cli.bad_model_id",
            "That is no sealed folder, no manifest's digest and no model's id.",
            action="`strongroom inspect SEALED` shows a model's id and digest.",
        ) from None


def _require_reason(reason: str) -> None:
    if not reason.strip() or not reason.isprintable() or len(reason) > _MAX_REASON:
        raise ConfigurationRefused(
            "cli.reason",
            f"The reason is not one line of printable text of at most {_MAX_REASON} characters.",
            action="Say in one line why this should be.",
        )
