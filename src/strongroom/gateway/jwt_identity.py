"""Signed tokens as identity: JWTs of one issuer, checked against keys in a file (extra ``jwt``).

1. A token has at most ``MAX_TOKEN_BYTES`` and three parts.
2. Its header holds ``alg``, ``kid`` and ``typ``, and nothing else: no ``jku``, ``x5u``, ``jwk``,
   ``x5c`` or ``crit`` is looked at, a token that has one is refused.
3. ``kid`` names the key among those of the file. The key says which algorithm is used with it,
   EdDSA for Ed25519 and RS256 for RSA; a token that names another is refused. So neither ``none``
   nor HMAC with a public key as its secret can come up: the file cannot hold a secret.
4. The signature, ``iss``, ``aud``, ``exp``, and ``nbf`` and ``iat`` where present, are verified by
   PyJWT; ``exp`` lies at most ``max_hours`` ahead.
5. ``sub`` and the claim of the organisation are texts, the organisation exists and may be spoken
   for by this issuer. ``scope`` lists what the token may do; without it, nothing.

Whoever fails gets the one answer that a wrong API key gets. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import Meta

from strongroom.errors import ConfigurationRefused
from strongroom.gateway.api_keys import CACHE_SECONDS, invalid_key
from strongroom.gateway.directory import Lookups
from strongroom.gateway.identity import Caller, caller_of
from strongroom.store.interface import ALL_SCOPES
from strongroom.store.limits import UNLIMITED, Limits

if TYPE_CHECKING:
    from jwt import PyJWK

MAX_TOKEN_BYTES: Final = 8192
LEEWAY_SECONDS: Final = 5
LOOK_SECONDS: Final = 0.5
"""How often the file of keys is looked at, at most."""

_log: Final = logging.getLogger("strongroom.gateway")
_MAX_FILE_BYTES: Final = 2**20
_LEAST_RSA_BITS: Final = 2048
_CACHED: Final = 10_000
_HEADER: Final = frozenset({"alg", "kid", "typ"})
_TYPES: Final = frozenset({None, "JWT", "at+jwt"})
_PUBLIC: Final = {
    "OKP": frozenset({"kty", "crv", "x", "kid", "alg", "use", "key_ops"}),
    "RSA": frozenset({"kty", "n", "e", "kid", "alg", "use", "key_ops"}),
}
_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)

_Text = Annotated[str, Meta(min_length=1, max_length=1024)]


class JwtTrust(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose tokens are accepted.

    ``jwks``: file with the issuer's public keys (RFC 7517). ``claim``: where a token names its
    organisation. ``organisations``: those that the issuer may speak for; none: all.
    ``limits`` are those of each subject of a token, below its organisation's.
    """

    issuer: _Text
    audience: _Text
    jwks: _Text
    claim: _Text = "organisation"
    organisations: tuple[_Text, ...] = ()
    max_hours: Annotated[int, Meta(ge=1, le=8760)] = 24
    limits: Limits = UNLIMITED


class JwtAuthenticator:
    """Says whose token a request carries.

    Raises:
        ConfigurationRefused: ``gateway.no_jwt``, ``gateway.bad_jwks``.
    """

    def __init__(self, store: Lookups, trust: JwtTrust) -> None:
        try:
            import jwt
        except ImportError:
            raise ConfigurationRefused(
                "gateway.no_jwt",
                "Tokens are to be accepted, but PyJWT is not installed.",
                action="Install strongroom[jwt].",
            ) from None
        self._jwt = jwt
        self._store = store
        self._trust = trust
        self._file = Path(trust.jwks)
        self._stamp = _stamp(self._file)
        self._keys = read_jwks(self._file)
        self._look_again = time.monotonic() + LOOK_SECONDS
        self._cache: dict[bytes, tuple[float, float, Caller]] = {}

    def authenticate(self, token: str) -> Caller:
        """Who sent this token.

        Raises:
            Refusal: 401 ``gateway.invalid_api_key``.
            StrongroomError: ``store.unavailable``.
        """
        if len(token) > MAX_TOKEN_BYTES or not _FORM.fullmatch(token):  # (1)
            raise invalid_key()
        self._renew()
        name = hashlib.sha256(token.encode()).digest()
        trusted_until, expires, caller = self._cache.get(name, (0.0, 0.0, None))
        if caller is not None and time.monotonic() < trusted_until and time.time() < expires:
            return caller
        claims = self._verified(token)
        caller = self._caller(claims)
        if len(self._cache) >= _CACHED:
            self._cache.clear()
        self._cache[name] = (time.monotonic() + CACHE_SECONDS, float(claims["exp"]), caller)
        return caller

    def _renew(self) -> None:
        """Read the file again if it is another. While it cannot be used, no token is accepted: it
        may be the one from which a key was taken out."""
        now = time.monotonic()
        if now < self._look_again:
            return
        self._look_again = now + LOOK_SECONDS
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._keys, self._stamp = {}, stamp
        self._cache.clear()
        try:
            self._keys = read_jwks(self._file)
        except ConfigurationRefused as error:
            _log.error("tokens.file_unusable", extra={"code": error.code})

    def _verified(self, token: str) -> dict[str, Any]:
        try:
            header = self._jwt.get_unverified_header(token)
            if not header.keys() <= _HEADER or header.get("typ") not in _TYPES:  # (2)
                raise invalid_key()
            key = self._keys.get(header["kid"])  # (3)
            if key is None or header["alg"] != key.algorithm_name:
                raise invalid_key()
            claims: dict[str, Any] = self._jwt.decode(  # (4)
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._trust.audience,
                issuer=self._trust.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            if int(claims["exp"]) > time.time() + 3600 * self._trust.max_hours:
                raise invalid_key()
        except (
            self._jwt.PyJWTError,
            KeyError,
            TypeError,
            ValueError,
            OverflowError,
            RecursionError,
        ):
            raise invalid_key() from None
        return claims

    def _caller(self, claims: dict[str, Any]) -> Caller:  # (5)
        subject, name = claims["sub"], claims.get(self._trust.claim)
        scope = claims.get("scope", "")
        if not (isinstance(subject, str) and isinstance(name, str) and isinstance(scope, str)):
            raise invalid_key()
        allowed = self._trust.organisations
        organisation = None if allowed and name not in allowed else self._store.organisation(name)
        if organisation is None:
            raise invalid_key()
        who = hashlib.sha256(f"{self._trust.issuer}\0{subject}".encode()).hexdigest()
        scopes = ALL_SCOPES & frozenset(scope.split())
        return caller_of(f"jwt:{who[:32]}", organisation, scopes, self._trust.limits)


def _stamp(path: Path) -> tuple[int, ...]:
    """What tells one content of a file from another, without reading it."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def read_jwks(path: Path) -> dict[str, PyJWK]:
    """The public keys in a file, by ``kid``.

    Every key must be one that can be used: a file with a private or secret key, one of another
    kind, one without a ``kid`` or two with the same is refused as a whole.

    Raises:
        ConfigurationRefused: ``gateway.bad_jwks``.
    """
    from jwt import PyJWK, PyJWTError

    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
        listed = msgspec.json.decode(raw, type=dict[str, list[dict[str, Any]]])["keys"]
        found: dict[str, PyJWK] = {}
        for each in listed:
            kid = _judge(each)
            if kid in found:
                raise ValueError("two keys have the same kid")
            found[kid] = PyJWK(each, algorithm="EdDSA" if each["kty"] == "OKP" else "RS256")
            _judge_strength(found[kid].key)
    except OSError as error:
        raise _bad(path, str(error.strerror)) from None
    except (ValueError, KeyError, TypeError, msgspec.MsgspecError, PyJWTError) as error:
        said = str(error) if type(error) is ValueError else "it is not a list of public keys"
        raise _bad(path, said) from None
    if not found:
        raise _bad(path, "it holds no key")
    return found


def _judge(each: dict[str, Any]) -> str:
    """The ``kid`` of what may be a public key."""
    kind, kid = each["kty"], each["kid"]
    if not isinstance(kid, str) or not isinstance(kind, str):
        raise ValueError("a key has no kid")
    if kind not in _PUBLIC:
        raise ValueError("a key is neither Ed25519 nor RSA")
    if not each.keys() <= _PUBLIC[kind]:
        raise ValueError("a key has members that a public signing key does not have")
    if each.get("use", "sig") != "sig" or each.get("key_ops", ["verify"]) != ["verify"]:
        raise ValueError("a key is not for verifying signatures")
    if each.get("alg") not in (None, "EdDSA" if kind == "OKP" else "RS256"):
        raise ValueError("a key is for another algorithm than EdDSA or RS256")
    return kid


def _judge_strength(key: object) -> None:
    if isinstance(key, Ed25519PublicKey):
        return
    if not isinstance(key, RSAPublicKey):
        raise ValueError("a key is neither Ed25519 nor RSA")
    if key.key_size < _LEAST_RSA_BITS or key.public_numbers().e < 65537:
        raise ValueError("an RSA key is weak")


def _bad(path: Path, reason: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "gateway.bad_jwks",
        f"The file of token keys {path} cannot be used: {reason}.",
        action='Give a JSON file {"keys": [...]} with the public keys of the issuer, each with a '
        "kid of its own.",
    )
