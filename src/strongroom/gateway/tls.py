"""TLS for the listener, and mutual TLS where client authorities are named."""

from __future__ import annotations

import ssl

from strongroom.errors import ConfigurationRefused
from strongroom.gateway.config import Tls


def tls_context(tls: Tls) -> ssl.SSLContext:
    """A server's context: TLS 1.2 and up, HTTP/1.1, no renegotiation, no compression.

    Raises:
        ConfigurationRefused: ``gateway.bad_tls``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.cert, tls.key, password=_no_password)
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationRefused(
            "gateway.bad_tls",
            f"The TLS certificate, key or client authorities cannot be used: {reason}.",
            action="Give PEM files: a chain, its key without a passphrase, the authorities.",
        ) from None
    return context


def _no_password() -> str:
    raise ValueError("the key is protected by a passphrase")
