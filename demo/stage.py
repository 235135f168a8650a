"""What the attacks play on: a home, sealed models, and a server, all made by the real commands."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from demo import home as homes
from demo.privilege import as_ordinary_child
from strongroom.artifact.data_key import DataKey
from strongroom.artifact.opening import open_sealed
from strongroom.artifact.trust import ReleaseState, Trust
from strongroom.errors import StrongroomError

COMMAND = Path(sys.executable).with_name("strongroom")
"""The installed command line, beside the interpreter that runs this."""


@dataclass
class Stage:
    """Folders of one run, and, once serving, how to reach the server.

    ``plain`` is the unsealed model, ``older`` and ``sealed`` are its sealed releases 1 and 2,
    ``began`` is when the run started (Unix seconds).
    """

    work: Path
    plain: Path
    began: float = field(default_factory=time.time)
    keeper_pid: int = 0
    model_name: str = ""
    api_key: str = ""
    url: str = ""

    @property
    def home(self) -> Path:
        """The home that ``strongroom init`` makes for this run."""
        return self.work / "home"

    @property
    def older(self) -> Path:
        """Release 1, sealed."""
        return self.work / "release-1.sealed"

    @property
    def sealed(self) -> Path:
        """Release 2, sealed; the one that is served."""
        return self.work / "release-2.sealed"

    @property
    def trust(self) -> Trust:
        """Whom the home trusts to sign."""
        return homes.trust(self.home)

    @property
    def client(self) -> openai.OpenAI:
        """The official client, pointed at the gateway."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.api_key, max_retries=0)

    @contextmanager
    def data_key(self, folder: Path | None = None) -> Iterator[DataKey]:
        """The data key of a sealed model, unwrapped with the home's keyring and wiped after."""
        key = homes.unwrap(self.home, folder or self.sealed)
        try:
            yield key
        finally:
            key.wipe()

    def command(self, *words: str | Path) -> list[str]:
        """``strongroom`` with this run's home, and these words."""
        return [str(COMMAND), "--home", str(self.home), *map(str, words)]

    def run(self, *words: str | Path) -> dict[str, Any]:
        """What a command answers as JSON.

        Raises:
            RuntimeError: the command failed; its own words are in the message.
        """
        done = self._finish(*words)
        if done.returncode != 0:
            raise RuntimeError(f"strongroom {words[0]} failed: {done.stderr or done.stdout}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _finish(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words, "--json"),
            capture_output=True,
            text=True,
            preexec_fn=as_ordinary_child,
        )

    def verify_code(self, folder: Path) -> str:
        """The code with which ``strongroom verify`` refuses ``folder``, or nothing."""
        done = self._finish("verify", folder)
        return "" if done.returncode == 0 else refusal_code(done.stdout + done.stderr)

    def open_code(
        self, folder: Path, *, trust: Trust | None = None, state: ReleaseState | None = None
    ) -> str:
        """The code with which opening ``folder`` is refused, or nothing; as the keeper opens it."""
        try:
            key = homes.unwrap(self.home, folder, trusting=trust or self.trust)
        except StrongroomError as error:
            return error.code
        try:
            opened = open_sealed(
                folder,
                key,
                trust=trust or self.trust,
                state=state or homes.release_state(self.home),
            )
        except StrongroomError as error:
            return error.code
        finally:
            key.wipe()
        opened.wipe()
        return ""


def refusal_code(printed: str) -> str:
    """The stable code in a JSON error that a command printed."""
    for line in printed.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "error" in found:
            return str(found["error"])
    return f"no code, but: {printed.strip()[:80]}"
