"""Age recipients: read here, without torch, wherever one is named."""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.tune.reasons import refuse


def require_recipients(recipients: Sequence[str]) -> list[object]:
    """The recipients as pyrage has them.

    Raises:
        ExposureRefused: ``tune.export_recipient``: one is none, or pyrage is not installed.
    """
    try:
        import pyrage
    except ImportError:
        raise refuse("tune.export_recipient", value="", why="pyrage is not installed") from None
    found: list[object] = []
    for text in recipients:
        try:
            found.append(pyrage.x25519.Recipient.from_str(text))
        except pyrage.RecipientError as error:
            raise refuse("tune.export_recipient", value=text[:80], why=str(error)[:80]) from None
    if not found:
        raise refuse("tune.export_recipient", value="", why="none is named")
    return found
