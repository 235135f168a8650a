"""Digests in the record are HMAC-SHA-256 under the key in the file, by anybody's implementation."""

from __future__ import annotations

import base64
import hmac
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from strongroom.ledger.log_key import LogKey


def test_digests_are_those_of_the_standard_library(tmp_path: Path) -> None:
    key = LogKey.create(tmp_path / "log.key")
    secret = base64.b64decode(json.loads((tmp_path / "log.key").read_text())["digest_key"])

    @given(st.sampled_from(["input", "output"]), st.binary(max_size=5000))
    def check(kind: str, content: bytes) -> None:
        expected = hmac.new(secret, kind.encode() + b"\0" + content, "sha256").hexdigest()
        assert key.digest(kind, content) == expected

    check()
