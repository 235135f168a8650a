"""The record: append-only Merkle logs in C2SP tlog-tiles form, with signed checkpoints.

- ``interface``: the ``Record`` protocol, and how a log is used. Start there.
- ``entries``: what may be recorded; nothing with a field for a prompt, an output or a key.
- ``reasons``: every refusal of this room.

Pure, bytes in and bytes out:

- ``merkle``, ``tree``: RFC 6962 hashes and proofs; a tree that grows.
- ``tiles``, ``note``, ``checkpoint``, ``proof``: the C2SP forms.
- ``journal``: what makes an entry durable before its tiles are written.
- ``diagnosis``: what was done to records that do not lead to the signed root.
- ``recovery``: what the requests of a log cost.

Around them, with files:

- ``log_key``: signs checkpoints, keys digests.
- ``opening``: the logs of a home; what must exist.
- ``writer``, ``segments``, ``publisher``, ``seen``: appending.
- ``folder``, ``verify``, ``reading``, ``proving``: looking, with no more than a folder and a
  verifier key.

Imports only ``errors``, the standard library, cryptography and msgspec.
"""
