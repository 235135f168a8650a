"""Who is let in, and what a page can be made to do by somebody who is not."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import pytest
from jinja2 import Environment, PackageLoader

from strongroom.console.app import COOKIE, NONCE, Console, Parts
from strongroom.console.http import MAX_FORM_BYTES, POLICY
from strongroom.console.pages import MENU
from strongroom.console.sessions import IDLE_SECONDS, WHOLE_SECONDS, Sessions
from strongroom.console.throttle import PER_ADDRESS, WINDOW_SECONDS, Throttle
from tests.console.world import EVIL, NOW, World, make_world
from tests.telemetry.asking import ask

HOST = (b"host", b"127.0.0.1:8090")
FORM = (b"content-type", b"application/x-www-form-urlencoded")
PAGES = [page.path for page in MENU]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> World:
    made = make_world(tmp_path)
    made.console = Console(made.parts, Sessions(clock), Throttle(clock))
    return made


class Visitor:
    """A browser as far as cookies go; it keeps no policy."""

    def __init__(self, world: World, client: str = "127.0.0.1") -> None:
        self.world = world
        self.client = client
        self.cookies: dict[str, str] = {}
        self.set: list[str] = []

    def get(
        self, path: str, *more: tuple[bytes, bytes], host: tuple[bytes, bytes] = HOST
    ) -> tuple[int, dict[str, str], str]:
        where, _, query = path.partition("?")
        return self._ask(where, "GET", [host, *more], b"", query.encode())

    def post(
        self, path: str, fields: dict[str, str], *more: tuple[bytes, bytes]
    ) -> tuple[int, dict[str, str], str]:
        return self._ask(path, "POST", [HOST, FORM, *more], urlencode(fields).encode(), b"")

    def token(self, path: str) -> str:
        found = re.search(r'name="token" value="([^"]+)"', self.get(path)[2])
        assert found is not None
        return found[1]

    def log_in(self, key: str | None = None) -> tuple[int, dict[str, str], str]:
        fields = {"token": self.token("/login"), "key": key or self.world.key}
        return self.post("/login", fields)

    def _ask(
        self, path: str, method: str, headers: list[tuple[bytes, bytes]], body: bytes, query: bytes
    ) -> tuple[int, dict[str, str], str]:
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = [*headers, (b"cookie", jar.encode())] if jar else headers
        status, found, answer = ask(
            self.world.console, path, method, sent, body, query, self.client
        )
        self.set = found.get("set-cookie", "").splitlines()
        for line in self.set:
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return status, found, answer.decode()


@pytest.fixture
def stranger(world: World) -> Visitor:
    return Visitor(world)


@pytest.fixture
def ada(world: World) -> Visitor:
    visitor = Visitor(world)
    assert visitor.log_in()[0] == 303
    return visitor


SWITCH = {"kind": "tenant", "name": "Globex", "to": "off", "reason": "extraction"}


# --- who is let in -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, "/switch?kind=model&name=m&to=off", "/nowhere"])
def test_without_a_session_there_is_only_the_login(stranger: Visitor, path: str) -> None:
    status, headers, body = stranger.get(path)
    assert (status, headers["location"]) == (303, "/login")
    assert "Globex" not in body


@pytest.mark.parametrize("path", PAGES)
def test_control_with_a_session_every_page_is_there(ada: Visitor, path: str) -> None:
    status, _, body = ada.get(path)
    assert status == 200
    assert "Log out" in body


def test_a_page_that_renews_itself_is_sent_to_the_login_as_a_whole(stranger: Visitor) -> None:
    status, headers, _ = stranger.get("/", (b"hx-request", b"true"))
    assert (status, headers["hx-redirect"]) == (401, "/login")


@pytest.mark.parametrize("path", ["/switch", "/logout"])
def test_nothing_can_be_done_without_a_session(stranger: Visitor, world: World, path: str) -> None:
    status, _, _ = stranger.post(path, {**SWITCH, "token": "x" * 43})
    assert status == 303
    assert world.switchboard.done == []


@pytest.mark.parametrize(
    "key",
    ["", "x", "sro_", "sro_" + "0" * 16 + "_" + "A" * 43, "sr_" + "0" * 16 + "_" + "A" * 43, "é"],
)
def test_wrong_keys_get_one_answer(stranger: Visitor, key: str) -> None:
    status, _, body = stranger.log_in(key or " ")
    assert status == 403
    assert "That key is not in force." in body
    assert COOKIE not in stranger.cookies


def test_a_key_with_one_character_changed_is_wrong(stranger: Visitor, world: World) -> None:
    other = "A" if world.key[30] != "A" else "B"
    assert stranger.log_in(world.key[:30] + other + world.key[31:])[0] == 403


def test_log_in_is_limited_by_address_and_right_keys_wait_too(world: World, clock: Clock) -> None:
    guesser, other = Visitor(world), Visitor(world, "10.0.0.9")
    for _ in range(PER_ADDRESS):
        assert guesser.log_in("sro_wrong")[0] == 403
    status, headers, _ = guesser.log_in()
    assert status == 429
    assert 0 < int(headers["retry-after"]) <= WINDOW_SECONDS
    assert other.log_in()[0] == 303  # control
    clock.now += WINDOW_SECONDS + 1
    assert guesser.log_in()[0] == 303


def test_a_revoked_operator_is_out_at_the_next_request(ada: Visitor, world: World) -> None:
    assert ada.get("/")[0] == 200
    world.operators.revoke(world.operator_id, NOW)
    assert ada.get("/")[0] == 303
    assert ada.log_in()[0] == 403


# --- sessions ------------------------------------------------------------------------------------


def test_the_cookie_is_out_of_reach(stranger: Visitor) -> None:
    stranger.log_in()
    (line,) = [line for line in stranger.set if line.startswith(COOKIE) and "Max-Age" not in line]
    assert COOKIE.startswith("__Host-")
    assert {part.strip() for part in line.split(";")[1:]} == {
        "Path=/", "Secure", "HttpOnly", "SameSite=Strict",
    }  # fmt: skip


def test_a_session_id_cannot_be_fixed_beforehand(stranger: Visitor, world: World) -> None:
    stranger.cookies[COOKIE] = "chosen-by-an-attacker"
    stranger.log_in()
    assert stranger.cookies[COOKIE] != "chosen-by-an-attacker"
    attacker = Visitor(world)
    attacker.cookies[COOKIE] = "chosen-by-an-attacker"
    assert attacker.get("/")[0] == 303


def test_logging_in_again_ends_the_old_session(ada: Visitor, world: World) -> None:
    old = Visitor(world)
    old.cookies[COOKIE] = ada.cookies[COOKIE]
    assert old.get("/")[0] == 200
    ada.log_in()
    assert old.get("/")[0] == 303
    assert ada.get("/")[0] == 200


def test_logging_out_ends_it_on_the_server(ada: Visitor, world: World) -> None:
    thief = Visitor(world)
    thief.cookies[COOKIE] = ada.cookies[COOKIE]
    assert ada.post("/logout", {"token": ada.token("/")})[1]["location"] == "/login"
    assert thief.get("/")[0] == 303


def test_a_session_ends_when_nobody_uses_it(ada: Visitor, clock: Clock) -> None:
    clock.now += IDLE_SECONDS - 1
    assert ada.get("/")[0] == 200
    clock.now += IDLE_SECONDS + 1
    assert ada.get("/")[0] == 303


def test_a_page_that_renews_itself_keeps_no_session_alive(ada: Visitor, clock: Clock) -> None:
    for _ in range(3):
        clock.now += IDLE_SECONDS / 2 - 1
        assert ada.get("/", (b"hx-request", b"true"))[0] in (200, 401)
    assert ada.get("/")[0] == 303


def test_a_session_ends_after_a_shift(ada: Visitor, clock: Clock) -> None:
    began = clock.now
    while clock.now - began < WHOLE_SECONDS:
        assert ada.get("/")[0] == 200
        clock.now += IDLE_SECONDS - 1
    assert ada.get("/")[0] == 303


# --- forged forms --------------------------------------------------------------------------------


def test_control_a_form_of_ours_switches(ada: Visitor, world: World) -> None:
    token = ada.token("/switch?kind=tenant&name=Globex&to=off")
    headers = [(b"origin", b"http://127.0.0.1:8090"), (b"sec-fetch-site", b"same-origin")]
    status, found, _ = ada.post("/switch", {**SWITCH, "token": token}, *headers)
    assert (status, found["location"]) == (303, "/organisations")
    assert world.switchboard.done == [("tenant", "Globex", False, "extraction", "ada")]


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "é"])
def test_a_form_without_the_sessions_token_does_nothing(
    ada: Visitor, world: World, token: str
) -> None:
    assert ada.post("/switch", {**SWITCH, "token": token})[0] == 403
    assert ada.post("/switch", SWITCH)[0] == 403
    assert world.switchboard.done == []


def test_a_token_of_another_session_does_not_fit(ada: Visitor, world: World) -> None:
    _, key = world.operators.create("eve", NOW)
    eve = Visitor(world)
    eve.log_in(key)
    assert ada.post("/switch", {**SWITCH, "token": eve.token("/")})[0] == 403


@pytest.mark.parametrize(
    "header",
    [
        (b"origin", b"http://evil.example"),
        (b"origin", b"null"),
        (b"origin", b"http://127.0.0.1:8091"),
        (b"sec-fetch-site", b"cross-site"),
        (b"sec-fetch-site", b"same-site"),
    ],
)
def test_a_form_from_elsewhere_is_refused_even_with_the_token(
    ada: Visitor, world: World, header: tuple[bytes, bytes]
) -> None:
    token = ada.token("/")
    assert ada.post("/switch", {**SWITCH, "token": token}, header)[0] == 403
    assert world.switchboard.done == []


def test_the_login_form_has_a_token_too(stranger: Visitor, world: World) -> None:
    status, _, _ = stranger.post("/login", {"token": "0" * 64, "key": world.key})
    assert status == 403
    other = Visitor(world)
    status, _, _ = stranger.post("/login", {"token": other.token("/login"), "key": world.key})
    assert status == 403
    assert COOKIE not in stranger.cookies


def test_a_nonce_of_another_form_is_replaced(stranger: Visitor) -> None:
    stranger.cookies[NONCE] = "x y"
    stranger.get("/login")
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", stranger.cookies[NONCE])


def test_switching_by_a_link_is_not_possible(ada: Visitor, world: World) -> None:
    token = ada.token("/")
    ada.get("/switch?" + urlencode({**SWITCH, "token": token}))
    assert world.switchboard.done == []


# --- hostile requests ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"a=" + b"b" * MAX_FORM_BYTES, FORM, 413),
        (b"{}", (b"content-type", b"application/json"), 415),
        (b"token", FORM, 400),
        (b"a=1&a=2", FORM, 400),
        (b"a=%ff", FORM, 400),
        (b"a=\xff", FORM, 400),
        (b"&".join(b"a%d=1" % n for n in range(17)), FORM, 400),
    ],
)
def test_malformed_forms_are_refused(
    world: World, ada: Visitor, body: bytes, kind: tuple[bytes, bytes], status: int
) -> None:
    cookie = (b"cookie", f"{COOKIE}={ada.cookies[COOKIE]}".encode())
    found, _, _ = ask(world.console, "/switch", "POST", [HOST, kind, cookie], body)
    assert found == status


@pytest.mark.parametrize(
    "change",
    [{"kind": "all"}, {"name": ""}, {"name": "x" * 129}, {"name": "a\nb"}, {"to": "sideways"}],
)
def test_malformed_switches_are_refused(ada: Visitor, world: World, change: dict[str, str]) -> None:
    fields = {**SWITCH, **change, "token": ada.token("/")}
    assert ada.post("/switch", fields)[0] == 400
    assert ada.get("/switch?" + urlencode({**SWITCH, **change}))[0] == 400
    assert world.switchboard.done == []


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201, "a\nb", "\u202e"])
def test_switching_off_needs_a_reason_that_can_be_read(
    ada: Visitor, world: World, reason: str
) -> None:
    fields = {**SWITCH, "reason": reason, "token": ada.token("/")}
    assert ada.post("/switch", fields)[0] == 422
    assert world.switchboard.done == []


def test_a_switch_that_cannot_be_recorded_says_so(ada: Visitor) -> None:
    status, _, body = ada.post("/switch", {**SWITCH, "name": "nobody", "token": ada.token("/")})
    assert status == 422
    assert "store.no_tenant" in body
    assert EVIL not in body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"127.0.0.1:8090", 200), (b"localhost", 200), (b"[::1]:8090", 200),
        (b"console.internal", 200), (b"evil.example", 421), (b"127.0.0.1.evil.example", 421),
        (b"localhost.evil.example:8090", 421), (b"", 421), (b"[::1]evil", 421),
    ],
)  # fmt: skip
def test_names_that_point_here_from_elsewhere_are_refused(
    world: World, host: bytes, status: int
) -> None:
    world.parts.names = ("console.internal",)
    assert Visitor(world).get("/login", host=(b"host", host))[0] == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/login", "/switch", "/assets/console.css"])
def test_other_methods_do_nothing(ada: Visitor, method: str, path: str) -> None:
    cookie = (b"cookie", f"{COOKIE}={ada.cookies[COOKIE]}".encode())
    status, _, _ = ask(ada.world.console, path, method, [HOST, FORM, cookie], b"a=1")
    assert status in (404, 405)


@pytest.mark.parametrize("path", ["/assets/../app.py", "/assets/app.py", "/templates/base.html"])
def test_only_listed_assets_exist(ada: Visitor, path: str) -> None:
    assert ada.get(path)[0] == 404


# --- headers and pages ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/login", "/nowhere", "/assets/console.css", "/assets/htmx.js"]
)
def test_every_answer_has_the_strict_headers(ada: Visitor, path: str) -> None:
    _, headers, _ = ada.get(path)
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if "assets" in path else "no-store")
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "frame-ancestors 'none'" in POLICY


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.styles = 0
        self.handlers: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "script":
            self.scripts.append(given.get("src") or "inline")
        self.styles += tag == "style" or "style" in given
        self.handlers += [name for name in given if name.startswith(("on", "hx-on"))]
        for name in ("src", "href", "action", "hx-get"):
            if name in given:
                self.addresses.append(given[name] or "")


def tags(page: str) -> _Tags:
    found = _Tags()
    found.feed(page)
    return found


@pytest.mark.parametrize(
    "path", [*PAGES, "/login", "/switch?" + urlencode({**SWITCH, "name": EVIL})]
)
def test_names_and_reasons_stay_text(ada: Visitor, path: str) -> None:
    """Organisations, reasons and explanations in this world are scripts and broken attributes."""
    found = tags(ada.get(path)[2])
    assert set(found.scripts) <= {"/assets/htmx.js"}
    assert not found.handlers
    assert not found.styles
    assert all(each.startswith(("/", "?", "#")) for each in found.addresses)
    assert not any(each.startswith("//") for each in found.addresses)


def test_control_without_escaping_the_same_names_would_run(world: World) -> None:
    loader = PackageLoader("strongroom.console")
    naive = Environment(loader=loader, autoescape=False)
    naive.filters.update(dict.fromkeys(("moment", "machine", "count", "bits", "percent"), str))
    naive.filters["ago"] = lambda value, _now: str(value)
    source = loader.get_source(naive, "refusals.html")[0]
    body = source.partition("{% block content %}")[2].rpartition("{% endblock %}")[0]
    template = naive.from_string('{% import "parts.html" as parts with context %}' + body)
    found = tags(template.render(shot=world.reader.shown))
    assert "inline" in found.scripts


def test_an_altered_htmx_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "js_lib_htmx"
    (package / "static" / "htmx").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "static" / "htmx" / "htmx.min.js").write_text("steal()")
    monkeypatch.syspath_prepend(str(tmp_path))
    visitor = Visitor(make_world(tmp_path))
    visitor.log_in()
    assert visitor.get("/assets/htmx.js")[0] == 404
    page = visitor.get("/")[2]
    assert tags(page).scripts == []
    assert '<meta http-equiv="refresh"' in page


def test_a_failure_inside_shows_and_logs_no_detail(
    ada: Visitor, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def snapshot(self) -> object:
            raise RuntimeError("secret detail")

    world.console = Console(
        Parts(world.operators, Broken(), world.switchboard)  # type: ignore[arg-type]
    )
    visitor = Visitor(world)
    visitor.log_in()
    status, _, body = visitor.get("/")
    assert status == 500
    assert "secret detail" not in body
    assert {record.getMessage() for record in caplog.records} >= {"console.failed"}


def test_keys_are_in_no_page_and_no_log(
    ada: Visitor, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    ada.log_in("sro_" + "1" * 16 + "_" + "B" * 43)
    ada.log_in()
    shown = "".join(ada.get(path)[2] for path in PAGES) + caplog.text
    assert world.key[20:] not in shown
    assert "B" * 43 not in shown
    assert COOKIE not in caplog.text
