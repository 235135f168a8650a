"""Read the firmware identity (FWID) out of the leaf's DICE extension.

Hopper and LS10 carry TCG's CompositeDeviceID (2.23.133.5.4.1): version 1, device key, FWID.
Blackwell carries DiceTcbInfo (2.23.133.5.4.1.1; TCG DICE Attestation Architecture 1.1, section
6.1), whose field 6 lists FWIDs, the first of which is the reporting firmware's, and whose field 7
holds the operational flags.
"""

from __future__ import annotations

from cryptography import x509

COMPOSITE = x509.ObjectIdentifier("2.23.133.5.4.1")
TCB_INFO = x509.ObjectIdentifier("2.23.133.5.4.1.1")
SHA384_OID = bytes.fromhex("0609608648016503040202")
SEQUENCE, OCTETS, FWIDS, FLAGS = 0x30, 0x04, 0xA6, 0x87
# notSecure, recovery and debug: bits 1 to 3 of the operational flags.
UNSAFE = 0x70000000


def read(certificate: x509.Certificate) -> tuple[bytes, bool]:
    """The 48-byte FWID, and whether the flags call the firmware unsafe.

    Raises:
        ValueError: there is none, or it is malformed.
    """
    for extension in certificate.extensions:
        if extension.oid in (COMPOSITE, TCB_INFO) and isinstance(
            extension.value, x509.UnrecognizedExtension
        ):
            fields = _children(_one(extension.value.value, SEQUENCE))
            return _composite(fields) if extension.oid == COMPOSITE else _tcb_info(fields)
    raise ValueError("no TCB information")


def _composite(fields: list[tuple[int, bytes]]) -> tuple[bytes, bool]:
    if len(fields) != 3 or fields[0] != (0x02, b"\1") or fields[2][0] != SEQUENCE:
        raise ValueError("composite device id")
    return _fwid(fields[2][1]), False


def _tcb_info(fields: list[tuple[int, bytes]]) -> tuple[bytes, bool]:
    by_tag = dict(fields)
    fwids = _children(by_tag.get(FWIDS, b""))
    flags = by_tag.get(FLAGS, b"\0")
    if len(by_tag) != len(fields) or not fwids or fwids[0][0] != SEQUENCE or len(flags) > 5:
        raise ValueError("TCB information")
    bits = int.from_bytes(flags[1:].ljust(4, b"\0"), "big")
    return _fwid(fwids[0][1]), bool(bits & UNSAFE)


def _fwid(body: bytes) -> bytes:
    """The digest of a ``FWID ::= SEQUENCE { hashAlg, digest }`` that uses SHA-384."""
    if not body.startswith(SHA384_OID):
        raise ValueError("FWID algorithm")
    digest = _one(body[len(SHA384_OID) :], OCTETS)
    if len(digest) != 48:
        raise ValueError("FWID length")
    return digest


def _one(data: bytes, tag: int) -> bytes:
    """The contents of the single element that ``data`` is."""
    elements = _children(data)
    if len(elements) != 1 or elements[0][0] != tag:
        raise ValueError("unexpected element")
    return elements[0][1]


def _children(data: bytes) -> list[tuple[int, bytes]]:
    """The DER elements in a row: tag byte and contents, lengths in shortest form up to 65535."""
    elements: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        tag, size, at = data[at], int.from_bytes(data[at + 1 : at + 2], "big"), at + 2
        if size in (0x81, 0x82):
            width = size & 3
            size, at = int.from_bytes(data[at : at + width], "big"), at + width
            if size < (0x80 if width == 1 else 0x100):
                raise ValueError("length not in shortest form")
        elif size > 0x7F:
            raise ValueError("length")
        if at + size > len(data):
            raise ValueError("element runs over the end")
        elements.append((tag, data[at : at + size]))
        at += size
    return elements
