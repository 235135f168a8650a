"""The policy file that ``strongroom policy new`` writes: every field, explained."""

from __future__ import annotations

_LISTS = {
    "dev": (),
    "production-cpu": ("products", "chips"),
    "production-gpu": ("products", "chips", "gpu_products", "gpus"),
    "air-gapped": ("products", "chips"),
}

_FIELDS = {
    "products": ('products = []          # processors, such as ["Genoa", "Turin"]',),
    "chips": (
        "chips = []             # ids (hex) of the machines; empty: any genuine chip of a product",
    ),
    "gpu_products": ('gpu_products = []      # accelerators, such as ["GH100"]',),
    "gpus": ("gpus = 1               # how many the evidence must cover",),
}

_GUEST = """\
# [[image]]
# name = "keeper-2026-11"
# kind = "snp"                 # or azure-snp, tdx, nitro, tpm
# measurements = { measurement = "hex" }
"""

_THIS = """\
# [[image]]
# name = "this-installation"   # as it measures now: every update needs a new value
# kind = "local"
# measurements = {{ code = "{}" }}
"""


def starting(template: str, own: str) -> str:
    """A commented policy file for a template, which denies everything as it stands.

    Args:
        template: the shipped policy to start from.
        own: the measurement of this installation, which only ``dev`` has a use for.
    """
    example = _THIS.format(own) if template == "dev" else _GUEST
    lines = [
        "# Who may have a model's key. `strongroom policy check` and `policy test` try it.",
        f'template = "{template}"',
        "",
        "[allow]",
        *(line for name in _LISTS[template] for line in _FIELDS[name]),
        "approvals = 0          # how many different people must approve a release",
        "manifests = []         # digests of the models this is for; empty: any",
        "",
        "[lease]                # in seconds",
        "seconds = 86400        # a key may be used so long",
        "grace = 21600          # so long before that end a workload attests again; if it cannot, "
        "it stops",
        "",
        "# One table an image that you built or reviewed. All its measurements must be shown.",
        *example.splitlines(),
        "",
        "# What the verifier of a kind should insist on beyond its defaults.",
        "# [expectations.snp]",
    ]
    return "\n".join(lines) + "\n"
