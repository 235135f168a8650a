"""The console as a raw ASGI application.

Every request, in this order: 1. the Host is one of ours; 2. an asset or the login needs no session;
3. everything else needs one, of an operator still in force; 4. a POST needs the session's token.
What is not listed does not exist.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from strongroom.console import assets
from strongroom.console.http import Answer, Receive, Refused, Request, Scope, Send, redirect, reply
from strongroom.console.operators import Operators
from strongroom.console.pages import MENU, Pages
from strongroom.console.reading import Reader, Snapshot, Switchboard
from strongroom.console.sessions import Session, Sessions, same
from strongroom.console.throttle import Throttle
from strongroom.errors import StrongroomError
from strongroom.host_header import acceptable

_log: Final = logging.getLogger("strongroom.console")

COOKIE: Final = "__Host-strongroom"
NONCE: Final = "__Host-strongroom-login"
_FLAGS: Final = "Path=/; Secure; HttpOnly; SameSite=Strict"
FRESH_SECONDS: Final = 2.0
"""How old a snapshot may be that is shown."""

_MENU: Final = {page.path: page for page in MENU}
_NONCE_FORM: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_REASON_LENGTH: Final = 200


@dataclass
class Parts:
    """What a console is made of. ``names``: host names besides addresses and localhost."""

    operators: Operators
    reader: Reader
    switchboard: Switchboard
    names: Collection[str] = ()


class Console:
    """Answers operators' browsers."""

    def __init__(
        self, parts: Parts, sessions: Sessions | None = None, throttle: Throttle | None = None
    ) -> None:
        self._parts = parts
        self._sessions = sessions or Sessions()
        self._throttle = throttle or Throttle()
        self._assets = assets.load()
        self._pages = Pages(htmx="/assets/htmx.js" in self._assets)
        self._snapshot: tuple[float, Snapshot] | None = None
        self._taking = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return
        request = Request.of(scope, receive)
        try:
            answer = await self._answer(request)
        except Refused as refused:
            body = self._pages.refused(refused.status, refused.sentence)
            answer = Answer(body, refused.status, headers=refused.headers)
        except Exception as error:
            _log.error("console.failed", exc_info=error)
            body = self._pages.refused(500, "The console failed at this. Its log says where.")
            answer = Answer(body, 500)
        await reply(send, answer, head=request.method == "HEAD")

    async def _answer(self, request: Request) -> Answer:
        if not acceptable(request.headers.get("host", ""), self._parts.names):  # (1)
            raise Refused(421, "This console does not answer under that name.")
        method = "GET" if request.method == "HEAD" else request.method
        if method == "GET" and request.path in self._assets:  # (2)
            return self._asset(request)
        if request.path == "/login":
            return await self._login(request, method)
        session = self._session(request)  # (3)
        match method, request.path:
            case "GET", path if path in _MENU:
                return await self._page(request, session)
            case "GET", "/switch":
                kind, name, on = _wanted(request.fields())
                return Answer(self._pages.switch(session, kind, name, on))
            case "POST", "/switch":
                return await self._switch(session, await self._form(request, session))
            case "POST", "/logout":
                await self._form(request, session)
                self._sessions.end(request.cookie(COOKIE))
                _log.info("console.logged_out", extra={"key_id": session.operator_id})
                return redirect("/login", ("set-cookie", f"{COOKIE}=; Max-Age=0; {_FLAGS}"))
        known = request.path in (*_MENU, "/switch", "/logout")
        raise Refused(*((405, "Not in this way.") if known else (404, "There is no such page.")))

    # --- who asks ------------------------------------------------------------------------------

    def _session(self, request: Request) -> Session:
        session = self._sessions.find(request.cookie(COOKIE), touch=not request.live)
        if session is not None and self._parts.operators.current(session.operator_id):
            return session
        self._sessions.end(request.cookie(COOKIE))
        # htmx follows a redirect inside the page it renews: it gets its own, for the whole window
        headers = (("hx-redirect", "/login"),) if request.live else (("location", "/login"),)
        raise Refused(401 if request.live else 303, "Log in first.", headers)

    async def _form(self, request: Request, session: Session) -> dict[str, str]:
        fields = await request.form()  # (4)
        if not same(fields.get("token", ""), session.token):
            raise Refused(403, "The form is out of date. Go back, reload and send it again.")
        return fields

    async def _login(self, request: Request, method: str) -> Answer:
        if method == "GET":
            return self._login_page(request)
        if method != "POST":
            raise Refused(405, "Not in this way.")
        fields = await request.form()
        nonce = request.cookie(NONCE)
        if not nonce or not same(fields.get("token", ""), self._sessions.login_token(nonce)):
            return self._login_page(request, 403, "The form was out of date. Please try again.")
        wait = self._throttle.wait(request.client)
        if wait:
            again = (("retry-after", f"{wait:.0f}"),)
            sentence = f"Too many attempts. Try again in {wait:.0f} seconds."
            return self._login_page(request, 429, sentence, again)
        operator = self._parts.operators.identify(fields.get("key", "").strip())
        if operator is None:
            self._throttle.failed(request.client)
            _log.warning("console.login_failed")
            return self._login_page(request, 403, "That key is not in force.")
        self._sessions.end(request.cookie(COOKIE))
        session_id, _ = self._sessions.begin(operator.id, operator.name)
        _log.info("console.logged_in", extra={"key_id": operator.id})
        return redirect(
            "/",
            ("set-cookie", f"{COOKIE}={session_id}; {_FLAGS}"),
            ("set-cookie", f"{NONCE}=; Max-Age=0; {_FLAGS}"),
        )

    def _login_page(
        self,
        request: Request,
        status: int = 200,
        problem: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Answer:
        nonce = request.cookie(NONCE)
        if _NONCE_FORM.fullmatch(nonce) is None:
            nonce = self._sessions.nonce()
        body = self._pages.login(self._sessions.login_token(nonce), problem=problem)
        cookie = ("set-cookie", f"{NONCE}={nonce}; {_FLAGS}")
        return Answer(body, status, headers=(cookie, *headers))

    # --- what is shown and done ----------------------------------------------------------------

    def _asset(self, request: Request) -> Answer:
        asset = self._assets[request.path]
        headers = (("etag", asset.tag),)
        if request.headers.get("if-none-match") == asset.tag:
            return Answer(status=304, kind=asset.kind, headers=headers, cache="no-cache")
        return Answer(asset.content, kind=asset.kind, headers=headers, cache="no-cache")

    async def _page(self, request: Request, session: Session) -> Answer:
        live = request.fields().get("live") != "off"
        snapshot = await self._current()
        page = _MENU[request.path]
        return Answer(self._pages.menu_page(page, snapshot, session, live=live))

    async def _current(self) -> Snapshot:
        async with self._taking:
            now = time.monotonic()
            if self._snapshot is None or now - self._snapshot[0] > FRESH_SECONDS:
                taken = await asyncio.to_thread(self._parts.reader.snapshot)
                self._snapshot = (time.monotonic(), taken)
            return self._snapshot[1]

    async def _switch(self, session: Session, fields: dict[str, str]) -> Answer:
        kind, name, on = _wanted(fields)
        reason = fields.get("reason", "").strip()
        problem = ""
        if not on and not reason:
            problem = "Say why: the reason goes into the record."
        elif len(reason) > _REASON_LENGTH or not reason.isprintable():
            problem = f"A reason has at most {_REASON_LENGTH} printable characters."
        else:
            try:
                await asyncio.to_thread(
                    self._parts.switchboard.switch, kind, name, on, reason, session.operator
                )
            except StrongroomError as error:
                problem = str(error)
        if problem:
            return Answer(self._pages.switch(session, kind, name, on, problem), 422)
        async with self._taking:
            self._snapshot = None
        extra = {"key_id": session.operator_id, "action": "on" if on else "off", "kind": kind}
        _log.warning("console.switched", extra=extra)
        return redirect("/models" if kind == "model" else "/organisations")


def _wanted(fields: dict[str, str]) -> tuple[Literal["model", "tenant"], str, bool]:
    """What a switch form is about."""
    kind, name, to = fields.get("kind", ""), fields.get("name", ""), fields.get("to", "")
    sound = 1 <= len(name) <= 128 and name.isprintable()
    if not sound or to not in ("on", "off"):
        raise Refused(400, "The form is malformed.")
    if kind == "model":
        return "model", name, to == "on"
    if kind == "tenant":
        return "tenant", name, to == "on"
    raise Refused(400, "The form is malformed.")
