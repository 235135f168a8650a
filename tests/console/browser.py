"""A headless Chromium, driven over plain W3C WebDriver: chromedriver speaks HTTP and JSON.

The six commands that these tests need take fewer lines than the packages that offer all of them.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")


class Browser:
    """One window. Use as a context manager."""

    def __init__(self, profile: Path, *, dark: bool = False, size: str = "1360,900") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._driver = subprocess.Popen(
            [str(DRIVER), f"--port={port}", "--log-level=OFF"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._at = f"http://127.0.0.1:{port}"
        arguments = [
            "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            f"--user-data-dir={profile}", f"--window-size={size}",
        ]  # fmt: skip
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        if dark:
            arguments.append("--force-dark-mode")
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        self._wait_for_driver()
        session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{session['sessionId']}"

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, t: TracebackType | None
    ) -> None:
        try:
            self._ask("DELETE", self._session)
        finally:
            self._driver.terminate()
            self._driver.wait(10)

    def go(self, url: str) -> None:
        self._do("POST", "/url", {"url": url})

    @property
    def url(self) -> str:
        return str(self._do("GET", "/url"))

    @property
    def title(self) -> str:
        return str(self._do("GET", "/title"))

    def run(self, script: str) -> Any:
        return self._do("POST", "/execute/sync", {"script": script, "args": []})

    def text(self, selector: str = "body") -> str:
        return str(self._do("GET", f"/element/{self._find(selector)}/text"))

    def click(self, selector: str) -> None:
        self._do("POST", f"/element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        self._do("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def arrives(self, url: str) -> bool:
        """Whether the browser gets to ``url``; a click may return before the page has changed."""
        until = time.monotonic() + 10
        while self.url != url and time.monotonic() < until:
            time.sleep(0.02)
        return self.url == url

    def comes_to_say(self, text: str) -> bool:
        """Whether the page says ``text`` before long; between two pages there is none to read."""
        script = f"return document.body !== null && document.body.innerText.includes({text!r})"
        until = time.monotonic() + 10
        while not (said := self.run(script)) and time.monotonic() < until:
            time.sleep(0.02)
        return bool(said)

    def press(self, key: str) -> None:
        """One key, wherever the focus is."""
        presses = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        actions = {"actions": [{"type": "key", "id": "keys", "actions": presses}]}
        self._do("POST", "/actions", actions)

    def cookies(self) -> list[dict[str, Any]]:
        return list(self._do("GET", "/cookie"))

    def complaints(self) -> list[str]:
        """What the browser has to say since the last time: refused by the policy, failed, ..."""
        found = self._do("POST", "/se/log", {"type": "browser"})
        return [each["message"] for each in found if "favicon" not in each["message"]]

    def shoot(self, path: Path) -> None:
        """The whole page as PNG."""
        height = self.run("return Math.max(document.documentElement.scrollHeight, 600)")
        width = self.run("return innerWidth")
        self._do("POST", "/window/rect", {"width": width, "height": min(height + 100, 4000)})
        path.write_bytes(base64.b64decode(self._do("GET", "/screenshot")))

    def _find(self, selector: str) -> str:
        found = self._do("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def _do(self, method: str, path: str, body: Any = None) -> Any:
        return self._ask(method, self._session + path, body)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._at + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:600]) from None

    def _wait_for_driver(self) -> None:
        for _ in range(200):
            try:
                self._ask("GET", "/status")
                return
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        raise AssertionError("chromedriver did not start")
