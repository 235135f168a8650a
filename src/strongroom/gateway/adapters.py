"""``model="base:adapter"``: whose adapters there are, and which of them the keeper holds.

1. A name is looked up among the finished jobs of whoever asks, for the base that is served: that of
   an adapter, or one that was promoted. Another organisation's adapter and one that never was are
   the same refusal.
2. An adapter is brought to the keeper when it is first asked for, as the sealed blob that its job
   left, which this process cannot open. Where the keeper has no room the one that was used longest
   ago goes, unless it is in use.
3. While a request goes through it an adapter stays.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from strongroom.boundary.frames import (
    MAX_ADAPTER_BYTES,
    MAX_PIECE_BYTES,
    LoadAdapter,
    UnloadAdapter,
)
from strongroom.gateway.keeper_client import KeeperClient
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.served_model import ServedModel
from strongroom.store.tuning import StoredJob, TuningStore

TUNING_FOLDER: Final = "tuning"
"""The folder of a gateway's state that has a folder for each job."""

SERVED_BLOB: Final = "served"
"""The file in a job's folder that holds its adapter, sealed for keepers of its base."""

_FULL: Final = "keeper.adapters_full"
_THERE: Final = "keeper.adapter_loaded"


class Adapters:
    """The adapters of one served model.

    Args:
        model: the base.
        keeper: holds those that are loaded.
        store: the jobs; None where no adapters are served.
        folder: where the jobs' folders are.
    """

    def __init__(
        self, model: ServedModel, keeper: KeeperClient, store: TuningStore | None, folder: Path
    ) -> None:
        self._model, self._keeper, self._store, self._folder = model, keeper, store, folder
        self._loaded: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._used: Counter[tuple[str, str]] = Counter()
        self._loading = asyncio.Lock()

    @property
    def served(self) -> bool:
        """Whether any adapters are."""
        return self._store is not None

    async def find(self, organisation: str, name: str) -> StoredJob | None:
        """The job whose adapter ``name`` means; None for the base.

        Raises:
            Refusal: 404 ``gateway.no_model``.
        """
        base, _, adapter = name.partition(":")
        if adapter and base == self._model.name and self._store is not None:
            job = await asyncio.to_thread(self._look, self._store, organisation, adapter)
            if job is not None:
                return job
        self._model.require(name)
        return None

    async def all(self, organisation: str) -> list[StoredJob]:
        """An organisation's, newest first."""
        if self._store is None:
            return []
        return await asyncio.to_thread(self._usable, self._store, organisation)

    @asynccontextmanager
    async def held(self, job: StoredJob | None) -> AsyncIterator[str]:
        """Its adapter is loaded while this context lasts; the name that the keeper knows it by.

        Raises:
            Refusal: 503: ``gateway.adapter_unavailable``, or what the keeper says.
        """
        if job is None:
            yield ""
            return
        key = (job.organisation, job.adapter)
        self._used[key] += 1
        try:
            async with self._loading:
                if key not in self._loaded:
                    await self._load(job)
                    self._loaded[key] = None
                self._loaded.move_to_end(key)
            yield job.adapter
        finally:
            self._used[key] -= 1
            if not self._used[key]:
                del self._used[key]

    def _look(self, store: TuningStore, organisation: str, name: str) -> StoredJob | None:
        usable = self._usable(store, organisation)
        found = next((job for job in usable if job.adapter == name), None)
        if found is not None:
            return found
        promoted = store.promoted(organisation, self._model.name, name)
        return next((job for job in usable if promoted and job.id == promoted.job), None)

    def _usable(self, store: TuningStore, organisation: str) -> list[StoredJob]:
        digest = self._model.card.manifest_digest
        return [
            job
            for job in store.jobs(organisation)
            if job.status == "succeeded" and job.manifest == digest
        ]

    async def _load(self, job: StoredJob) -> None:
        """Rule 2."""
        blob = await asyncio.to_thread(self._read, job)
        while True:
            try:
                return await self._bring(job, blob)
            except Refusal as refusal:
                if refusal.code == _THERE:  # whoever brought it was cancelled meanwhile
                    return None
                oldest = next((key for key in self._loaded if key not in self._used), None)
                if refusal.code != _FULL or oldest is None:
                    raise
            del self._loaded[oldest]
            with suppress(Refusal):  # a request that nobody reads any more may still go through it
                await self._end(UnloadAdapter(self._keeper.next_id(), *oldest))

    async def _bring(self, job: StoredJob, blob: bytes) -> None:
        number, size = self._keeper.next_id(), len(blob)
        pieces = [
            LoadAdapter(
                number,
                job.organisation,
                job.adapter,
                size=size,
                offset=at,
                data=blob[at : at + MAX_PIECE_BYTES],
            )
            for at in range(0, size, MAX_PIECE_BYTES)
        ]
        await self._end(*pieces)

    async def _end(self, *frames: LoadAdapter | UnloadAdapter) -> None:
        async with self._keeper.start(*frames) as exchange:
            await exchange.next()

    def _read(self, job: StoredJob) -> bytes:
        try:
            with (self._folder / job.id / SERVED_BLOB).open("rb") as file:
                blob = file.read(MAX_ADAPTER_BYTES + 1)
        except OSError:
            blob = b""
        if not 0 < len(blob) <= MAX_ADAPTER_BYTES:
            raise Refusal(
                "gateway.adapter_unavailable",
                "This adapter cannot be served now.",
                action="Ask whoever runs this service to look into its job's folder.",
                status=503,
            )
        return blob
