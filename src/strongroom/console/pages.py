"""Pages from a snapshot: Jinja2 with everything escaped and nothing undefined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from strongroom.console import figures
from strongroom.console.reading import Snapshot
from strongroom.console.sessions import Session

REFRESH_SECONDS: Final = 5


@dataclass(frozen=True)
class Page:
    """One page of the menu: its path, its title, its template."""

    path: str
    title: str
    template: str


MENU: Final = (
    Page("/", "Overview", "overview.html"),
    Page("/models", "Models", "models.html"),
    Page("/organisations", "Organisations", "organisations.html"),
    Page("/refusals", "Refusals", "refusals.html"),
    Page("/signals", "Signals", "signals.html"),
    Page("/egress", "Egress", "egress.html"),
    Page("/log", "Log", "log.html"),
)


class Pages:
    """Renders. ``htmx``: whether the script can be served; without it pages reload as a whole."""

    def __init__(self, *, htmx: bool) -> None:
        self._jinja = Environment(
            loader=PackageLoader("strongroom.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._jinja.filters.update(
            count=figures.count,
            bits=figures.bits,
            percent=figures.percent,
            days=figures.days,
            moment=figures.moment,
            machine=figures.machine,
            ago=figures.ago,
        )
        self._jinja.globals.update(menu=MENU, htmx=htmx, refresh=REFRESH_SECONDS)

    def menu_page(self, page: Page, snapshot: Snapshot, session: Session, *, live: bool) -> bytes:
        """A page of the menu. ``live``: it renews itself."""
        return self._render(
            page.template, page=page, shot=snapshot, session=session, live=live, title=page.title
        )

    def login(self, token: str, *, problem: str = "") -> bytes:
        """The page to log in on."""
        return self._render("login.html", token=token, problem=problem, title="Log in")

    def switch(self, session: Session, kind: str, name: str, on: bool, problem: str = "") -> bytes:
        """The page that asks once more before something is switched."""
        title = f"Switch {'on' if on else 'off'} {name}"
        return self._render(
            "switch.html", session=session, kind=kind, name=name, on=on, problem=problem,
            title=title, page=None,
        )  # fmt: skip

    def refused(self, status: int, sentence: str) -> bytes:
        """A page that says what was wrong."""
        return self._render("refused.html", status=status, sentence=sentence, title="Not done")

    def _render(self, template: str, **values: Any) -> bytes:
        return self._jinja.get_template(template).render(values).encode()
