"""The results of one audit as one value: what was measured of which model, and how to repeat it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from strongroom.exposure.cell import Cell, Figure, Severity
from strongroom.exposure.ladder import Rung, within
from strongroom.exposure.measurement.holm import holm
from strongroom.exposure.reasons import refuse

SCHEMA: Final = "https://strongroom.invalid/exposure/v1"
_MOST_BYTES = 256 * 2**20


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model. ``digest``: SHA-256 of its manifest, hex; ``rungs``: its sealed policy.

    ``endpoint``: where it was asked, if it was not opened: then ``digest`` is of address and name
    alone, and there is no policy.
    """

    name: str
    kind: str
    release: int
    digest: str
    rungs: dict[str, str]
    endpoint: str = ""


class Omitted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cell that there could have been and that was not planned."""

    attack: str
    rung: str
    knowledge: str
    why: str


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One check of another verb's gate, as it told it."""

    name: str
    value: str
    limit: str
    outcome: str


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What another verb found. ``source``: the file, ``digest`` its SHA-256, hex.

    ``grade``: measured (signed by this home, about this model), declared (unsigned), unknown.
    """

    kind: str
    source: str = ""
    digest: str = ""
    about: str = ""
    outcome: Literal["passed", "failed", "told", "unknown"] = "unknown"
    grade: Literal["measured", "declared", "unknown"] = "unknown"
    sentence: str = ""
    told: tuple[Told, ...] = ()


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One audit. ``granted``: the rung of callers that the policy does not name."""

    schema: Literal["https://strongroom.invalid/exposure/v1"] = SCHEMA
    model: Model
    granted: str
    facts: dict[str, str]
    data_digest: str
    budget: str
    seed: int
    began: str
    seconds: float
    versions: dict[str, str]
    machine: dict[str, str]
    cells: tuple[Cell, ...]
    omitted: tuple[Omitted, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def measured(self) -> list[Cell]:
        """Cells that have a headline."""
        return [cell for cell in self.cells if cell.status == "measured" and cell.figures]

    def adjusted(self) -> dict[tuple[str, str, str], float]:
        """Holm's p-value over the matrix, of each measured cell."""
        cells = self.measured()
        values = holm([min(1.0, max(0.0, cell.figures[0].p_value)) for cell in cells])
        return {cell.key: p for cell, p in zip(cells, values, strict=True)}

    def rows(self) -> list[tuple[str, str]]:
        """Attack and knowledge of each row of the matrix, families together."""
        families = list(dict.fromkeys(cell.family for cell in self.cells))
        found = dict.fromkeys((cell.attack, cell.knowledge) for cell in self.cells)
        of = {cell.attack: families.index(cell.family) for cell in self.cells}
        return sorted(found, key=lambda row: of[row[0]])

    def worst(self, family: str, rung: Rung) -> Cell | None:
        """The worst measured cell of ``family`` of those that ``rung`` allows.

        More exposure never scores worse: an attacker at a rung may use every attack of the rungs
        within it. Severity comes first: the figures of a family need not be of one metric, and then
        what was gained can be compared within a severity only.
        """
        allowed = {each.value for each in within(rung)}
        found = [c for c in self.measured() if c.family == family and c.rung in allowed]
        return max(found, key=_badness, default=None)


def _badness(cell: Cell) -> tuple[int, float]:
    return -get_args(Severity).index(cell.severity), excess(cell.figures[0])


def excess(figure: Figure) -> float:
    """What was gained over the null."""
    return figure.measured.value - figure.null.value


def read(path: Path) -> Results:
    """The results in ``path``: plain, or in the statement that an audit signed (not verified here).

    Raises:
        ExposureRefused: ``exposure.bad_results``.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is larger than 256 MiB")
        return decode(path.read_bytes())
    except OSError as error:
        raise refuse("exposure.bad_results", path=path, why=error.strerror) from None
    except (ValueError, msgspec.MsgspecError) as error:
        raise refuse("exposure.bad_results", path=path, why=error) from None


def decode(raw: bytes) -> Results:
    """The results in a DSSE envelope, a statement, or plain.

    Raises:
        ValueError: it is none of them.
    """
    import base64

    found = msgspec.json.decode(raw)
    if isinstance(found, dict) and "payload" in found:
        found = msgspec.json.decode(base64.b64decode(found["payload"], validate=True))
    if isinstance(found, dict) and "predicate" in found:
        found = found["predicate"]
    return msgspec.convert(found, Results)
