"""The report on a suspect as one printable HTML file: what was compared, and what that is worth.

The page forbids itself all but its own style; every value is escaped; the picture is made of
numbers alone. It carries the commitment and its inclusion proof in full, so that whoever reads it
can check both without the owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

_environment = Environment(
    loader=PackageLoader("strongroom.report"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["chance"] = lambda p: "below 1e-99" if p < 1e-99 else f"{p:.2g}"

_WIDTH, _LEFT, _RIGHT = 420.0, 30.0, 30.0


@dataclass(frozen=True, slots=True)
class Commitment:
    """The record that fixed a digest; ``shown`` is what ``strongroom log check`` takes."""

    at: str
    index: int
    shown: str
    verifier_key: str


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a probe for radioactivity found. ``key`` is the digest that ``commitment`` fixes."""

    verdict: str
    organisation: str
    scheme: str
    p: float
    z: float
    p_without_controls: float
    controls: tuple[str, ...]
    other_keys: int
    probe_tokens: int
    key: str
    commitment: Commitment


@dataclass(frozen=True, slots=True)
class Shown:
    """All that the page says. ``library`` is names and likenesses, ``matched`` pairs of layers."""

    model: str
    release: int
    manifest: str
    fingerprint: str
    suspect: str
    weights: tuple[tuple[str, str], ...]
    likeness: float
    least: float
    level: float
    z: float
    p: float
    rank_p: float
    verdict: str
    library: tuple[tuple[str, float], ...]
    matched: tuple[tuple[int, int], ...]
    shared: float
    layers: tuple[int, int]
    made: str
    version: str
    commitment: Commitment
    learnt: Learnt | None = None


def render(shown: Shown) -> bytes:
    """The whole page, UTF-8."""
    page = _environment.get_template("proof.html").render(
        shown=shown,
        copy=shown.verdict == "copy",
        picture=_picture(shown.likeness, [value for _, value in shown.library], shown.least),
    )
    return page.encode("utf-8", "replace")


def _picture(suspect: float, library: Sequence[float], least: float) -> Markup:
    """A line from -0.2 to 1 with the library, the threshold and the suspect on it."""

    def at(value: float) -> float:
        share = (min(max(value, -0.2), 1.0) + 0.2) / 1.2
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    parts = [f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="46" y2="46"/>']
    for tick in (-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(
            f'<line class="grid" x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="42" y2="50"/>'
        )
        parts.append(
            f'<text class="tick" x="{at(tick):.1f}" y="66" text-anchor="middle">{tick:g}</text>'
        )
    parts.append(f'<line class="null" x1="{at(least):.1f}" x2="{at(least):.1f}" y1="16" y2="58"/>')
    parts.append(
        f'<text class="tick" x="{at(least):.1f}" y="12" text-anchor="middle">threshold</text>'
    )
    parts += [f'<circle class="other" cx="{at(value):.1f}" cy="46" r="5"/>' for value in library]
    parts.append(f'<circle class="dot" cx="{at(suspect):.1f}" cy="46" r="7"/>')
    parts.append(
        f'<text class="name" x="{at(suspect):.1f}" y="30" text-anchor="middle">suspect</text>'
    )
    drawn = "".join(parts)
    return Markup(  # noqa: S704 - numbers formatted here, no text from data
        f'<svg viewBox="0 0 {_WIDTH:.0f} 74" role="img" '
        f'aria-label="Likeness of the suspect beside that of the library">{drawn}</svg>'
    )
