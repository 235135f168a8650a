"""The sealed model: framing, container, seal, open, sign, verify, rollback.

The format is specified in ``spec/sealed-model-v1.md``; the code follows its numbering. May import
the standard library, cryptography, msgspec, numpy and blake3, and nothing of ours but ``errors``.
"""
