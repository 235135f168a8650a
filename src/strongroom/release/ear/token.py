"""An EAR token: a JWT with the claims of draft-ietf-rats-ear-04, signed with ES256.

1. It lives 300 seconds at most: it says what was found now, and nobody can revoke it.
2. It names one audience. A relying party must refuse a token for another, one that has ended, one
   that another key signed (pin the key; never take it from the token), and any submodule that is
   not ``affirming``, unless it knows why it accepts that.
3. ``eat_nonce`` is the challenge that the evidence answered, so that whoever posed it can see that
   the token speaks of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

import strongroom
from strongroom.attest.interface import Facts
from strongroom.release.ear.appraisal import appraise
from strongroom.release.ear.token_key import TokenKey, base64url
from strongroom.release.policies.context import ACCELERATORS
from strongroom.release.policies.document import Document

PROFILE: Final = "tag:ietf.org,2026:rats/ear#04"
LIFETIME_SECONDS: Final = 300


def issue(
    facts: Sequence[Facts],
    policy: Document,
    *,
    key: TokenKey,
    issuer: str,
    audience: str,
    token_id: str,
    nonce: bytes,
    now: int,
    more: Mapping[str, Any] | None = None,
) -> str:
    """A token about one workload, in the compact form of RFC 7515.

    Args:
        facts: the guest's, then those of its accelerators.
        policy: the release policy that they are appraised by.
        key: signs.
        issuer: who says so: the service's key id or URL.
        audience: for whom.
        token_id: ``jti``, unique; the record's handle on it.
        nonce: the challenge that the evidence answered, 8 to 64 bytes.
        now: Unix seconds.
        more: further claims, each an object, as EAR asks of extensions.
    """
    claims = {
        **(more or {}),
        "eat_profile": PROFILE,
        "iss": issuer,
        "aud": audience,
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
        "jti": token_id,
        "eat_nonce": base64url(nonce),
        "ear_verifier_id": {"developer": "strongroom", "build": strongroom.__version__},
        "submods": dict(_submods(facts, policy)),
    }
    header = {"alg": "ES256", "kid": key.key_id, "typ": "eat+jwt"}
    signed = f"{_part(header)}.{_part(claims)}"
    return f"{signed}.{base64url(key.sign(signed.encode('ascii')))}"


def _submods(facts: Sequence[Facts], policy: Document) -> list[tuple[str, dict[str, Any]]]:
    counted = {"cpu": 0, "gpu": 0}
    named = []
    for fact in facts:
        kind = "gpu" if fact.kind in ACCELERATORS else "cpu"
        named.append((f"{kind}{counted[kind]}", appraise(fact, policy)))
        counted[kind] += 1
    return named


def _part(content: Mapping[str, Any]) -> str:
    return base64url(msgspec.json.encode(content, order="sorted"))
