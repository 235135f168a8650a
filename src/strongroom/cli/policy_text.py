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


def starting(template: str) -> str:
    """A commented policy file for a template, which denies everything as it stands."""
    lines = [
        "# Who may have a model's key. `strongroom policy check` and `policy test` try it.",
        f'template = "{template}"',
        "",
        "[allow]",
        *(line for name in _LISTS[template] for line in _FIELDS[name]),
        "approvals = 0          # how many different people must approve a release",
        "manifests = []         # digests of the models this is for; empty: any",
        "",
        "# One table an image that you built or reviewed. All its measurements must be shown.",
        "# [[image]]",
        '# name = "keeper-2026-11"',
        '# kind = "snp"                 # or azure-snp, tdx, nitro, tpm, local',
        '# measurements = { measurement = "hex" }',
        "",
        "# What the verifier of a kind should insist on beyond its defaults.",
        "# [expectations.snp]",
    ]
    return "\n".join(lines) + "\n"
