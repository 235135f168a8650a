"""Marks in generated text: faint, statistical, told only by who has the secret.

The keeper marks while it draws tokens; an owner detects afterwards. Both schemes are those of
transformers (``WatermarkingConfig``, ``SynthIDTextWatermarkingConfig``), so that its detectors find
our marks; ours look at the likeliest candidates only, which makes them cheap.

- ``interface``: what a mark is; ``keys``: from one secret to a tenant's own keys.
- ``kgw``, ``synthid``: the two schemes, each with its marking and its counting.
- ``radioactivity``: has a model learnt from marked texts?
- ``marks``: which tenant's answers carry which; ``detect``: from token ids to z and p.

Imports torch, numpy and cryptography, and nothing of ours but ``errors``.
"""
