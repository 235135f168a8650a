"""The policy file: a template or the owner's own Cedar text, and the lists that it speaks of.

TOML, with unknown keys refused::

    template = "production-cpu"          # or: cedar = "mine.cedar", beside this file

    [allow]
    products = ["Genoa"]
    approvals = 2

    [lease]
    seconds = 86400                      # a key may be used so long
    grace = 21600                        # so long before the end it is asked for anew

    [[image]]
    name = "keeper-2026-11"
    kind = "snp"
    measurements = { measurement = "..." }

    [expectations.snp]                   # what the verifier of a kind should insist on

An image names every measurement that it must show. What identifies the code differs by kind
(``IDENTIFYING``), and an image that leaves one of those out would match code that the owner never
saw, so it is refused.
"""

from __future__ import annotations

import hashlib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from strongroom.errors import ConfigurationRefused

TEMPLATES = ("dev", "production-cpu", "production-gpu", "air-gapped")
MAX_BYTES = 1024 * 1024

IDENTIFYING = {
    "snp": ("measurement",),
    "azure-snp": ("measurement", "pcr4", "pcr9", "pcr11"),
    "tdx": ("mrtd", "rtmr1", "rtmr2"),
    "sgx": ("mrenclave",),
    "nitro": ("pcr0",),
    "tpm": ("pcr4",),
    "local": ("code",),
}
"""The measurements without which evidence of a kind does not say which code runs."""

_Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
_Hex = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{2}){20,64}\Z")]
_Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Texts = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(max_length=4096)
]


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A workload that the owner built or reviewed: all of ``measurements`` (hex) must be shown."""

    name: _Name
    kind: str
    measurements: dict[_Name, _Hex]


class Allowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lists and numbers that a policy's text refers to as attributes of the model."""

    products: _Texts = ()
    chips: _Texts = ()
    gpu_products: _Texts = ()
    gpus: Annotated[int, Meta(ge=0, le=1024)] = 0
    approvals: Annotated[int, Meta(ge=0, le=64)] = 0
    manifests: Annotated[tuple[_Digest, ...], Meta(max_length=4096)] = ()


class Leasing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a key may be used, and how long before that a workload attests again (seconds).

    ``grace`` is so long as a service may be gone before a workload that needs it stops.
    """

    seconds: Annotated[int, Meta(ge=2, le=7 * 24 * 3600)] = 24 * 3600
    grace: Annotated[int, Meta(ge=1)] = 6 * 3600

    def __post_init__(self) -> None:
        if self.grace >= self.seconds:
            raise ValueError("the grace of a lease must be shorter than the lease")


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    template: Literal["dev", "production-cpu", "production-gpu", "air-gapped"] | None = None
    cedar: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    allow: Allowed = Allowed()
    lease: Leasing = Leasing()
    image: Annotated[tuple[Image, ...], Meta(max_length=1024)] = ()
    expectations: dict[str, dict[str, Any]] = {}


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A policy as read: Cedar text, lists, images, expectations and leases, all bounded."""

    name: str
    cedar: str
    allow: Allowed
    images: tuple[Image, ...]
    expectations: dict[str, dict[str, Any]]
    lease: Leasing = Leasing()

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over everything that decides, the schema included; not over the name."""
        content = (schema(), self.cedar, self.allow, self.images, self.expectations, self.lease)
        return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def schema() -> str:
    """The Cedar schema that every policy is held to."""
    return _shipped("schema.cedarschema")


def template(name: str) -> str:
    """The text of a shipped policy.

    Raises:
        ConfigurationRefused: ``release.policy_template``.
    """
    if name not in TEMPLATES:
        raise ConfigurationRefused(
            "release.policy_template",
            "No such template is shipped.",
            action=f"Choose one of {', '.join(TEMPLATES)}.",
        )
    return _shipped(f"templates/{name}.cedar")


def load(path: Path) -> Document:
    """Read a policy file.

    Raises:
        ConfigurationRefused: ``release.policy_unreadable``, ``release.policy_form`` or
            ``release.policy_image``.
    """
    file = _parse(_read(path))
    if file.template is not None and file.cedar is None:
        name, text = str(file.template), template(file.template)
    elif file.cedar is not None and file.template is None:
        if Path(file.cedar).name != file.cedar:
            raise _form("it names a Cedar file outside its own folder")
        name, text = file.cedar, _decode(_read(path.parent / file.cedar))
    else:
        raise _form("it must name either a template or a Cedar file")
    _check_images(file.image)
    return Document(name, text, file.allow, file.image, file.expectations, file.lease)


def _check_images(images: tuple[Image, ...]) -> None:
    if len({image.name for image in images}) != len(images):
        raise _form("two images share a name")
    for image in images:
        needed = IDENTIFYING.get(image.kind)
        if needed is None or not set(needed) <= set(image.measurements):
            raise ConfigurationRefused(
                "release.policy_image",
                f"The image {image.name} does not say which code it stands for.",
                action=(
                    f"Give it {', '.join(needed)}."
                    if needed
                    else f"Give it one of the kinds {', '.join(IDENTIFYING)}."
                ),
            )


def _parse(raw: bytes) -> _File:
    try:
        return msgspec.convert(tomllib.loads(_decode(raw)), _File)
    except tomllib.TOMLDecodeError as error:
        raise _form(f"it is not TOML ({error})") from None
    except msgspec.ValidationError as error:
        raise _form(str(error)) from None


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _form("it is not UTF-8") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationRefused(
            "release.policy_unreadable",
            f"The policy file {path} cannot be read: {error.strerror}.",
            action="Give the path of a file made with `strongroom policy new`.",
        ) from None
    if len(raw) > MAX_BYTES:
        raise _form("it is larger than a policy may be")
    return raw


def _form(why: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "release.policy_form",
        f"The policy file is not acceptable: {why}.",
        action="Correct it; docs/release-policies.md lists every field.",
    )


def _shipped(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
