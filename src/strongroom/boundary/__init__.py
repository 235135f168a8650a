"""The frames between gateway and keeper, and their limits.

Pure: bytes in, frames out. Neither side's sockets live here. May import msgspec and ``errors``.

- ``frames``: the closed set of typed frames in each direction.
- ``charging``: what an answer is charged in egress, for both sides.
- ``codec``: length-prefixed encoding, and the buffer that cuts a byte stream into frames.
"""
