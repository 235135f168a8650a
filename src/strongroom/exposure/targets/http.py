"""One connection to a served door, as any customer has it: refusals and waits are results.

``retry-after`` is obeyed if it asks for no more than a tenth of the time that the attack has left;
``x-should-retry: false`` ends it.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from strongroom.errors import ExposureRefused
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.metering import Meter

_MOST_BYTES = 64 * 2**20
_MOST_WAIT = 120.0
_PATIENCE = 0.1
"""Of the attack's time: a budget that makes one wait longer for a single answer is spent."""

_MOST_WAITS = 1
"""For one request: who is told to come back and is refused again has met a spent budget."""


def require_right(url: str, *, owned: bool) -> None:
    """Refuse an address that is not this machine's unless its owner said that it may be tested.

    Raises:
        ExposureRefused: ``exposure.not_yours``.
    """
    host = urlsplit(url).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not (local or owned):
        raise refuse("exposure.not_yours", url=url)


class Door:
    """JSON requests to one server under one key.

    Args:
        url: scheme, host and port; nothing but ``http`` and ``https``.
        key: sent as a bearer token; in no message and no ``repr``.
        meter: counts refusals and waits.
        timeout: seconds for one answer.
    """

    def __init__(self, url: str, key: str, meter: Meter, *, timeout: float = 300.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise refuse("exposure.endpoint_failed", why="its address is no http or https URL")
        self._path = parts.path.rstrip("/")
        self._headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        self._meter = meter
        self._parts, self._timeout = parts, timeout
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> dict[str, Any]:
        """``GET path``; the errors of ``post``."""
        return self._until_answered("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that answers.

        Raises:
            ExposureRefused: ``exposure.endpoint_refused`` (a 4xx that waiting does not help),
                ``exposure.time_spent``, ``exposure.endpoint_failed``.
        """
        return self._until_answered("POST", path, json.dumps(body).encode())

    def _until_answered(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        for attempt in range(_MOST_WAITS + 1):
            status, headers, answer = self._exchange(method, path, body)
            if status == 200:
                return answer
            code = _code_of(answer, status)
            self._meter.refused(code)
            self._wait_or_raise(status, headers, code, last=attempt == _MOST_WAITS)
        raise refuse("exposure.time_spent")

    def _wait_or_raise(
        self, status: int, headers: Mapping[str, str], code: str, *, last: bool
    ) -> None:
        final = headers.get("x-should-retry") == "false"
        if status not in {429, 503} or final:
            self._meter.stopped("exposure.endpoint_refused")
            raise refuse("exposure.endpoint_refused", why=f"status {status}, {code}")
        try:
            wait = min(max(float(headers.get("retry-after", "1")), 0.05), 86_400.0)
        except ValueError:
            wait = 1.0
        if last or wait > min(_PATIENCE * self._meter.time_left(), _MOST_WAIT):
            self._meter.stopped("exposure.time_spent")
            raise refuse("exposure.time_spent")
        time.sleep(wait)
        self._meter.waited(wait)

    def _exchange(
        self, method: str, path: str, body: bytes | None
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        fresh = self._connection is None
        try:
            return self._once(method, path, body)
        except (http.client.HTTPException, OSError, ValueError) as error:
            self._connection = None
            if fresh:
                raise _failed(error) from None
        try:  # the server may have closed an idle connection
            return self._once(method, path, body)
        except (http.client.HTTPException, OSError, ValueError) as error:
            self._connection = None
            raise _failed(error) from None

    def _once(
        self, method: str, path: str, body: bytes | None
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        self._connection = self._connection or self._connect()
        self._connection.request(method, self._path + path, body, self._headers)
        response = self._connection.getresponse()
        raw = response.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise ValueError("its answer is too large")
        found = json.loads(raw)
        if not isinstance(found, dict):
            raise ValueError("its answer is no JSON object")
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, found

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)


def _code_of(answer: Mapping[str, Any], status: int) -> str:
    error = answer.get("error")
    code = error.get("code") if isinstance(error, dict) else answer.get("code")
    return str(code)[:80] if code else f"http.{status}"


def _failed(error: Exception) -> ExposureRefused:
    said = str(error)[:200] or type(error).__name__
    return refuse("exposure.endpoint_failed", why=said)
