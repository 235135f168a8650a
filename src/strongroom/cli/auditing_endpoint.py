"""An OpenAI-compatible endpoint as the target of an audit: asked, never opened.

The owner's word is demanded before the first byte leaves for an address that is not this machine's.
The key comes from a private file, so that it stands in no process list and no report.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.http import Door, require_right
from strongroom.exposure.targets.metering import Meter
from strongroom.exposure.targets.served_text import open_served_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strongroom.exposure.cell import Cell
    from strongroom.exposure.data import Corpus
    from strongroom.exposure.subjects.endpoint import EndpointSubject
    from strongroom.exposure.subjects.interface import Opener, Scale

_RUNGS = (Rung.TEXT, Rung.TOPK)
_LOOK_SECONDS = 30.0


@dataclass(frozen=True)
class Endpoint:
    """Where it is, its ``model`` there, how to speak to it, and whether its owner gave his word."""

    url: str
    model: str
    key_file: Path | None
    route: Literal["chat", "completions"]
    owned: bool

    @property
    def digest(self) -> str:
        """SHA-256 of address and name, hex: an endpoint shows no weights to take one of."""
        return hashlib.sha256(f"endpoint\0{self.url}\0{self.model}".encode()).hexdigest()

    def words(self) -> list[str]:
        """Options of the command that asks it again."""
        said = ["--endpoint-model", self.model, "--endpoint-route", self.route]
        if self.key_file is not None:
            said += ["--endpoint-key", str(self.key_file)]
        return [*said, "--i-own-this-endpoint"] if self.owned else said


def is_endpoint(named: str) -> bool:
    """Whether what is to be audited is an address and no file."""
    return named.startswith(("http://", "https://"))


def reached(
    url: str,
    *,
    model: str,
    key_file: Path | None,
    route: Literal["chat", "completions"],
    owned: bool,
) -> Endpoint:
    """The endpoint, with the name of the one model that it lists where none is given.

    Raises:
        ExposureRefused: ``exposure.not_yours``, ``exposure.endpoint_failed``,
            ``exposure.endpoint_refused``.
        KeyRefused: a code of ``private_file.read_private``.
    """
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise refuse("exposure.endpoint_failed", why="its address is more than host and path")
    require_right(url, owned=owned)
    plain = url.rstrip("/").removesuffix("/v1")
    door = Door(plain, _key(key_file), Meter(1, _LOOK_SECONDS), timeout=_LOOK_SECONDS)
    return Endpoint(plain, model or _only_model(door), key_file, route, owned)


def endpoint_subject(
    endpoint: Endpoint, corpus: Corpus | None, base: Path | None, scale: Scale, seed: int
) -> EndpointSubject:
    """The subject: text for everybody, log-probabilities if it gives them."""
    from strongroom.exposure.subjects.endpoint import EndpointSubject

    key = _key(endpoint.key_file)
    openers: dict[Rung, Opener] = {
        rung: partial(
            _open, endpoint.url, key, endpoint.model, rung, endpoint.route, endpoint.owned
        )
        for rung in _RUNGS
    }
    module, tokenizer = (None, None) if base is None else _public(base)
    return EndpointSubject(endpoint.url, corpus, module, tokenizer, scale, openers, seed=seed)


def granted_by(cells: Sequence[Cell]) -> Rung:
    """What the endpoint turned out to give: the highest rung at which a question was answered.

    That it refuses ``logit_bias`` is an answer about that, and none to the rung's own question.
    """
    told = [cell for cell in cells if not cell.attack.startswith("logit-bias")]
    answered = {cell.rung for cell in told if cell.status == "measured"}
    return max((rung for rung in _RUNGS if rung in answered), key=_RUNGS.index, default=Rung.TEXT)


def _open(
    url: str,
    key: str,
    model: str,
    rung: Rung,
    route: Literal["chat", "completions"],
    owned: bool,
    budget: Any,
) -> Any:
    return open_served_text(url, key, model, rung, budget, route=route, owned=owned)


def _public(base: Path) -> tuple[Any, Any]:
    from tokenizers import Tokenizer

    from strongroom.cli.auditing_language import folder_module

    module = folder_module(base)
    try:
        return module, Tokenizer.from_file(str(base / "tokenizer.json"))
    except Exception:  # the library raises no narrower type
        why = "it has no tokenizer.json that can be read"
        raise refuse("exposure.data_unreadable", path=base, why=why) from None


def _only_model(door: Door) -> str:
    listed = door.get("/v1/models").get("data")
    names = [each.get("id") for each in listed or () if isinstance(each, dict)]
    if len(names) != 1 or not isinstance(names[0], str) or not names[0]:
        why = f"it lists {len(names)} models; name one with --endpoint-model"
        raise refuse("exposure.endpoint_failed", why=why)
    return names[0]


def _key(file: Path | None) -> str:
    """What stands in the private file; an endpoint without keys takes any."""
    from strongroom.cli.passphrase import from_file

    if file is None:
        return "none"
    try:
        key = from_file(file).decode("ascii")
    except UnicodeDecodeError:
        key = ""
    if not key or not key.isprintable() or " " in key:
        raise refuse("exposure.data_unreadable", path=file, why="it holds no API key") from None
    return key
