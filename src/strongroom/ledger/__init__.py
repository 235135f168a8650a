"""The record: append-only Merkle logs in C2SP tlog-tiles form, with signed checkpoints.

- ``interface``: the ``Record`` protocol, and how a log is used.
- ``entries``: what may be recorded; nothing with a field for a prompt, an output or a key.
- ``reasons``: every refusal of this room.

Imports only ``errors``, the standard library, cryptography and msgspec.
"""
