"""The console in a real browser: it logs in, renews itself, switches, and obeys its own policy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.console.pages import MENU
from tests.console.browser import CHROMIUM, DRIVER, Browser
from tests.console.served import Served, serve
from tests.console.world import EVIL, SNAPSHOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver on the machine"
    ),
]
TAB, ENTER = "\ue004", "\ue007"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("console")) as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def inside(served: Served, browser: Browser) -> Browser:
    """The browser, logged in and with its complaints read."""
    browser.go(served.url + "/")
    if browser.url.endswith("/login"):
        browser.type("#key", served.world.key)
        browser.click("form button")
    browser.complaints()
    return browser


def until(said: Callable[[], Any], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def test_an_operator_logs_in_and_out(served: Served, browser: Browser) -> None:
    browser.go(served.url + "/egress")
    assert browser.url == served.url + "/login"
    browser.type("#key", "sro_not-a-key")
    browser.click("form button")
    assert browser.comes_to_say("That key is not in force.")
    browser.type("#key", served.world.key)
    browser.click("form button")
    assert browser.arrives(served.url + "/")
    (cookie,) = [each for each in browser.cookies() if each["name"] == "__Host-strongroom"]
    assert cookie["httpOnly"]
    assert cookie["secure"]
    assert cookie["sameSite"] == "Strict"
    assert browser.run("return document.cookie") == ""
    browser.click(".who button")
    assert browser.arrives(served.url + "/login")
    browser.go(served.url + "/")
    assert browser.url == served.url + "/login"


@pytest.mark.parametrize("page", MENU, ids=lambda page: page.title)
def test_every_page_shows_without_a_complaint(served: Served, inside: Browser, page: Any) -> None:
    inside.go(served.url + page.path)
    assert inside.title == f"{page.title} · strongroom"
    assert inside.text("h1") == page.title
    assert inside.text("[aria-current=page]") == page.title
    assert inside.complaints() == []
    assert inside.run("return document.querySelector('[data-owned]')") is None
    # nothing sticks out sideways, and what scrolls can be reached by keyboard
    assert inside.run("return document.documentElement.scrollWidth <= innerWidth")


def test_names_are_text_in_a_real_browser(served: Served, inside: Browser) -> None:
    inside.go(served.url + "/organisations")
    assert EVIL in inside.text("table")
    assert inside.title == "Organisations · strongroom"
    assert inside.run("return document.querySelectorAll('main script').length") == 0


def test_control_the_policy_stops_a_script_that_got_in(served: Served, inside: Browser) -> None:
    """As if escaping had failed: the browser itself refuses inline script, handler and style."""
    inside.go(served.url + "/organisations?live=off")
    inside.run(
        "const s = document.createElement('script'); s.textContent = \"document.title = 'owned'\";"
        "document.body.append(s);"
        "const i = document.createElement('img'); i.setAttribute('onerror', "
        "\"document.title = 'owned'\"); i.src = '/nowhere'; document.body.append(i);"
        "const f = document.createElement('img'); f.src = 'http://127.0.0.1:9/steal';"
        "document.body.append(f);"
    )
    time.sleep(0.5)
    assert inside.title == "Organisations · strongroom"
    refused = [each for each in inside.complaints() if "Content Security Policy" in each]
    assert len(refused) >= 3


def test_a_page_renews_itself_and_keeps_the_focus(served: Served, inside: Browser) -> None:
    inside.go(served.url + "/organisations")
    inside.run("document.getElementById('flip-tenant-2').focus(); window.mark = 1")
    fewer = tuple(each for each in SNAPSHOT.organisations if each.name != "Initech")
    served.world.reader.shown = msgspec.structs.replace(SNAPSHOT, organisations=fewer)
    try:
        until(lambda: "Initech" not in inside.text("main"))
        assert inside.run("return window.mark") == 1  # no reload
        assert inside.run("return document.activeElement.id") == "flip-tenant-2"
        assert inside.complaints() == []
    finally:
        served.world.reader.shown = SNAPSHOT


def test_a_pause_stops_it(served: Served, inside: Browser) -> None:
    inside.go(served.url + "/")
    inside.click("main .top a")
    assert inside.url.endswith("/?live=off")
    assert inside.run("return typeof htmx") == "undefined"
    assert "Paused" in inside.text("main .top")


def test_switching_off_with_the_keyboard_alone(served: Served, inside: Browser) -> None:
    inside.go(served.url + "/organisations?live=off")
    inside.run("document.getElementById('flip-tenant-2').focus()")
    inside.press(ENTER)
    until(lambda: "/switch" in inside.url)
    assert inside.run("return document.activeElement.id") == "reason"
    inside.press(ENTER)  # a reason is required: the browser holds the form back
    assert served.world.switchboard.done == []
    inside.type("#reason", "template extraction")
    inside.press(ENTER)
    until(lambda: inside.url.endswith("/organisations"))
    wanted = ("tenant", "Globex", False, "template extraction", "ada")
    assert served.world.switchboard.done == [wanted]
    served.world.switchboard.done.clear()


def test_the_first_tab_leads_past_the_menu(served: Served, inside: Browser) -> None:
    inside.go(served.url + "/log?live=off")
    inside.press(TAB)
    assert inside.run("return document.activeElement.textContent") == "Skip to content"
    assert inside.run("return document.activeElement.getBoundingClientRect().left >= 0")


def test_another_site_cannot_use_the_session(served: Served, inside: Browser) -> None:
    """From another origin the cookie stays away and no form of it is taken."""
    inside.go("data:text/html,<title>evil</title>")
    inside.run(
        f"const f = document.createElement('form'); f.method = 'post'; f.action = "
        f"'{served.url}/switch'; document.body.append(f); f.submit()"
    )
    until(lambda: inside.url.startswith(served.url))
    assert served.world.switchboard.done == []
    assert "Logged in as" not in inside.text()


def test_it_fits_a_telephone(served: Served, tmp_path: Path) -> None:
    with Browser(tmp_path, size="500,900") as narrow:
        narrow.go(served.url)
        narrow.type("#key", served.world.key)
        narrow.click("form button")
        for page in MENU:
            narrow.go(served.url + page.path)
            assert narrow.run("return document.documentElement.scrollWidth <= innerWidth")
