"""Write the corpus of hostile bodies, 1 MiB each: ``python tests/gateway/hostile_bodies.py``.

Each is made to cost a parser time or memory, or to mean two things to two readers. The files are
compressed (a few hundred bytes each); ``bodies()`` reads them. Random parts come from fixed seeds.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).with_name("corpus")
SIZE = 2**20

HEAD = b'{"model":"smol","messages":[{"role":"user","content":"hello"}]'
VALID = HEAD + b"}"


def filled(before: bytes, unit: bytes, after: bytes) -> bytes:
    """As many ``unit`` as make 1 MiB of all."""
    return before + unit * ((SIZE - len(before) - len(after)) // len(unit)) + after


def numbered(before: bytes, pattern: bytes, after: bytes, count: int) -> bytes:
    """``count`` units with a number each."""
    return before + b",".join(pattern % number for number in range(count)) + after


def _content(inside: bytes, after: bytes = b"}]}") -> bytes:
    before = b'{"model":"smol","messages":[{"role":"user","content":"'
    return filled(before, inside, b'"' + after)


def made() -> Iterator[tuple[str, bytes]]:
    """Every body with its name."""
    seeded = random.Random(7)
    # keys
    yield "keys_80000", numbered(b"{", b'"k%05d":1', b"}", 80_000)
    yield "keys_behind_a_valid_head", numbered(HEAD + b",", b'"k%05d":1', b"}", 80_000)
    yield "keys_nested", numbered(HEAD + b',"metadata":{', b'"k%05d":""', b"}}", 70_000)
    yield "keys_empty", filled(b"{", b'"":0,', b'"":0}')
    yield "keys_ending_in_a_backslash", filled(HEAD + b",", b'"\\\\":1,', b'"z":1}')
    yield "keys_that_collide", numbered(b"{", b'"%020d":0', b"}", 40_000)
    yield "duplicates_of_model", filled(b"{", b'"model":"smol",', HEAD[1:] + b"}")
    yield "duplicates_without_texts", filled(HEAD, b',"n":1', b"}")
    yield "duplicate_at_the_end", filled(HEAD + b',"user":"', b"a", b'","user":"b"}')[:SIZE]
    yield "one_long_key", filled(b'{"', b"k", b'":1}')
    # structure
    yield "deep_arrays", filled(b'{"messages":', b"[", b"")
    yield "deep_objects", filled(b"", b'{"a":', b"")
    yield "deep_and_closed", b'{"a":' * 149_000 + b"1" + b"}" * 149_000
    yield "empty_arrays", filled(HEAD + b',"stop":[', b"[],", b"[]]}")
    yield "empty_objects", filled(b'{"model":"smol","messages":[', b"{},", b"{}]}")
    yield (
        "messages_80000",
        filled(b'{"model":"smol","messages":[', b'{"role":"user","content":""},', VALID[28:]),
    )
    yield (
        "parts_many",
        filled(
            b'{"model":"smol","messages":[{"role":"user","content":[',
            b'{"type":"text","text":""},',
            b'{"type":"text","text":""}]}]}',
        ),
    )
    yield "stops_many", filled(HEAD + b',"stop":[', b'"",', b'""]}')
    yield "commas", filled(b'{"messages":[', b",", b"]}")
    yield "colons", filled(b'{"messages"', b":", b"1}")
    yield "quotes", filled(b'{"messages":', b'"', b"}")
    yield "brackets_unclosed", filled(b'{"messages":[', b'{"role":[', b"")
    # numbers
    yield "huge_integer", filled(HEAD + b',"max_tokens":', b"9", b"}")
    yield "huge_fraction", filled(HEAD + b',"temperature":3.', b"9", b"}")
    yield "huge_exponent", filled(HEAD + b',"temperature":1e', b"9", b"}")
    yield "huge_negative_exponent", filled(HEAD + b',"top_p":1e-', b"9", b"}")
    yield "numbers_many", filled(HEAD + b',"metadata":[', b"1,", b"1]}")
    yield "floats_many", filled(HEAD + b',"logit_bias":[', b"1e300,", b"1]}")
    yield "true_many", filled(HEAD + b',"stop":[', b"true,", b"true]}")
    # texts
    yield "invalid_utf8_at_the_end", _content(b"a", b"}]}").replace(b'a"}]}', b'\xff"}]}')
    yield "invalid_utf8_all", _content(b"\xff")
    yield "overlong_utf8", _content(b"\xc0\xaf")
    yield "encoded_surrogates", _content(b"\xed\xa0\x80")
    yield "lone_surrogates", _content(b"\\ud800a")
    yield "escaped_controls", _content(b"\\u0000")
    yield "raw_controls", _content(b"\x01")
    yield "control_at_the_end", _content(b"a").replace(b'a"}]}', b'\x7f"}]}')
    yield "tag_characters", _content("\U000e0041".encode())
    yield "bidi_at_the_end", _content(b"a").replace(b'aaaa"}]}', "\u202ea".encode() + b'"}]}')
    yield "zero_width_all", _content("\u200b".encode())
    yield "zero_width_at_the_end", _content(b"a").replace(b'aaa"}]}', "\u200b".encode() + b'"}]}')
    yield "variation_selectors", _content("\U000e0101".encode())
    yield "too_long_for_the_context", _content(b"a")
    yield "escaped_quotes", _content(b'\\"')
    yield "escaped_backslashes", _content(b"\\\\")
    yield "escaped_quotes_and_a_bad_field", _content(b'\\"', b'}],"seed":1}')
    yield "escapes_of_all_kinds", _content(b'\\u0022\\\\\\"\\/\\b')
    yield "control_tokens", _content(b"<|im_start|>")
    yield "model_of_1_mib", filled(b'{"model":"', b"m", b'","messages":[]}')
    yield "role_of_1_mib", filled(b'{"model":"m","messages":[{"role":"', b"r", b'","content":""}]}')
    yield "denied_value_of_1_mib", filled(HEAD + b',"guided_regex":"', b"(a*)*", b'"}')
    yield "unknown_value_of_1_mib", filled(HEAD + b',"xyz":"', b"x", b'"}')
    yield (
        "media_url_of_1_mib",
        filled(
            b'{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":"',
            b"A",
            b'"}]}]}',
        ),
    )
    # no JSON
    yield "white_space", filled(b"{", b" ", b"}")
    yield "white_space_between", filled(HEAD + b",", b"\n", b'"seed":1}')
    yield "nothing_but_zeros", bytes(SIZE)
    yield "random_bytes", seeded.randbytes(64) * (SIZE // 64)
    yield "utf16", json.dumps({"a": "b" * (SIZE // 2 - 16)}).encode("utf-16")
    yield "many_valid_bodies", filled(b"", VALID, b"")
    yield "truncated", _content(b"a")[:-4]


def bodies() -> dict[str, bytes]:
    """The committed corpus: name to body."""
    return {
        path.name.removesuffix(".json.gz"): gzip.decompress(path.read_bytes())
        for path in sorted(FOLDER.glob("*.json.gz"))
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, body in made():
        packed = gzip.compress(body, mtime=0)
        (FOLDER / f"{name}.json.gz").write_bytes(packed)


if __name__ == "__main__":
    main()
