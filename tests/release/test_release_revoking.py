"""A revocation by the command line stops a key-release process that runs, without a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from release_desk import MODEL, code_of
from test_release_process import Running

from strongroom import framing
from strongroom.cli.main import run
from strongroom.release import messages
from strongroom.release.config import Lineage
from strongroom.release.requester import Grant


def renewed(running: Running, grant: Grant) -> str:
    """The code with which the renewal of a lease is refused; empty if it is granted."""
    frames = framing.FrameBuffer(messages.MAX_MESSAGE_BYTES)

    def exchange(message: bytes) -> bytes:
        running.sock.sendall(framing.encode(message, messages.MAX_MESSAGE_BYTES))
        while not (answers := frames.feed(running.sock.recv(65_536))):
            pass
        return answers[0]

    challenge = exchange(grant.renewer.ask())
    answered = grant.renewer.take(exchange(grant.renewer.take(challenge).send))
    if answered.refusal is not None:
        return answered.refusal.code
    assert answered.lease is not None
    return ""


def test_neither_renewed_nor_released_from_then_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    assert run(["--home", str(home), "init"]) == 0
    running = Running(tmp_path, lineage=Lineage(str(home / "state" / "lineage.sqlite")))
    try:
        grant = running.obtain()
        assert renewed(running, grant) == ""
        revoke = ["--home", str(home), "release", "revoke", "--reason", "leaked"]
        assert run([*revoke, "acme/another"]) == 0
        assert renewed(running, grant) == ""
        assert run([*revoke, MODEL]) == 0
        assert renewed(running, grant) == "release.revoked"
        assert code_of(running.obtain) == "release.revoked"
    finally:
        running.sock.close()
        running.process.kill()
        running.process.communicate()
