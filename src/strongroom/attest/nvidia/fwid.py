"""Read the firmware identity (FWID) out of the leaf's DICE extension.

Hopper and LS10 carry TCG's CompositeDeviceID (2.23.133.5.4.1): version 1, device key, FWID.
Blackwell carries DiceTcbInfo (2.23.133.5.4.1.1; TCG DICE Attestation Architecture 1.1, section
6.1), whose field 6 lists FWIDs, the first of which is the reporting firmware's, and whose field 7
holds the operational flags.
"""

from __future__ import annotations

from strongroom.attest import der
from strongroom.attest.certificates import Certificate

COMPOSITE = "2.23.133.5.4.1"
TCB_INFO = "2.23.133.5.4.1.1"
SHA384_OID = "2.16.840.1.101.3.4.2.2"
FWIDS, FLAGS = 0xA6, 0x87
# notSecure, recovery and debug: bits 1 to 3 of the operational flags.
UNSAFE = 0x70000000


def read(certificate: Certificate) -> tuple[bytes, bool]:
    """The 48-byte FWID, and whether the flags call the firmware unsafe.

    Raises:
        ValueError: there is none, or it is malformed.
    """
    composite = certificate.extensions.get(COMPOSITE)
    if composite is not None:
        return _composite(der.children(der.only(composite.value, der.SEQUENCE)))
    info = certificate.extensions.get(TCB_INFO)
    if info is None:
        raise ValueError("no TCB information")
    return _tcb_info(der.children(der.only(info.value, der.SEQUENCE)))


def _composite(fields: list[der.Element]) -> tuple[bytes, bool]:
    if len(fields) != 3 or der.integer(fields[0]) != 1:
        raise ValueError("composite device id")
    return _fwid(fields[2]), False


def _tcb_info(fields: list[der.Element]) -> tuple[bytes, bool]:
    by_tag = {field.tag: field.body for field in fields}
    fwids = der.elements(by_tag.get(FWIDS, b""))
    flags = by_tag.get(FLAGS, b"\0")
    if len(by_tag) != len(fields) or not fwids or len(flags) > 5:
        raise ValueError("TCB information")
    bits = int.from_bytes(flags[1:].ljust(4, b"\0"), "big")
    return _fwid(fwids[0]), bool(bits & UNSAFE)


def _fwid(element: der.Element) -> bytes:
    """The digest of a ``FWID ::= SEQUENCE { hashAlg, digest }`` that uses SHA-384."""
    algorithm, digest = der.children(element)
    value = der.expect(digest, der.OCTETS).body
    if der.object_identifier(algorithm) != SHA384_OID or len(value) != 48:
        raise ValueError("FWID")
    return value
