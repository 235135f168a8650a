"""Why a schema is not acceptable."""

from __future__ import annotations

from strongroom.errors import ConfigurationRefused


def unsupported(where: str, problem: str) -> ConfigurationRefused:
    """Something in it that cannot be compiled, or has no bound."""
    return ConfigurationRefused(
        "schemas.unsupported",
        f"The schema cannot be registered: at {where}, {problem}.",
        action="Keep to the subset in docs/structured-output.md.",
    )


def too_large(problem: str) -> ConfigurationRefused:
    """It is within the subset, but not within the bounds."""
    return ConfigurationRefused(
        "schemas.too_large",
        f"The schema cannot be registered: {problem}.",
        action="Shorten maxLength, maxItems and lists of values, or split the schema.",
    )
