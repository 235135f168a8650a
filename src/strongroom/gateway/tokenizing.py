"""Text to token ids and back, so that control tokens never come from a caller's text.

A tokenizer's *control tokens* are its added tokens, but those that are only white space. Text from
callers is encoded by a copy of the tokenizer in which all of them are special and special tokens
are not recognised (``encode_special_tokens``); then it is checked that none came out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from tokenizers import Tokenizer

from strongroom.errors import ConfigurationRefused
from strongroom.gateway.refusals import Refusal

_REPLACEMENT: Final = "\ufffd"
_CONTEXT: Final = 6
"""Tokens kept before the fresh ones: decoders may treat the first token of a text otherwise."""

_LONGEST_WINDOW: Final = 64
"""Bounds the work for a model that writes replacement characters itself."""


_KEPT: Final = 256


class TextPiece(msgspec.Struct, frozen=True):
    """A stretch of a rendered prompt; ``trusted`` where the model's owner wrote it."""

    text: str
    trusted: bool


class ModelTokenizer:
    """The model's own tokenizer, in its two roles.

    Args:
        definition: a ``tokenizer.json``.
        vocab_size: number of ids that the model knows.

    Raises:
        ConfigurationRefused: ``gateway.tokenizer_unsupported``.
    """

    def __init__(self, definition: bytes, vocab_size: int) -> None:
        try:
            tree: dict[str, Any] = msgspec.json.decode(definition)
            added = [t for t in tree.get("added_tokens") or () if t["content"].strip()]
            self._plain = Tokenizer.from_str(definition.decode())
            for token in added:
                token["special"] = True
            tree["truncation"] = tree["padding"] = None
            self._strict = Tokenizer.from_str(msgspec.json.encode(tree).decode())
        except Exception as error:  # the library raises bare Exception
            raise _unsupported(f"it cannot be read ({type(error).__name__})") from None
        self._strict.encode_special_tokens = True
        self._control: dict[str, int] = {t["content"]: int(t["id"]) for t in added}
        self._control_ids = frozenset(self._control.values())
        if any(t.get("single_word") for t in added):
            raise _unsupported("it has a control token that must stand as a word of its own")
        if self._strict.get_vocab_size(with_added_tokens=True) > vocab_size:
            raise _unsupported("it has more tokens than the model")
        self._pattern = _control_pattern(added)
        # Of what the template writes, the same pieces stand in every prompt.
        self.split = lru_cache(_KEPT)(self._split_controls)
        self._kept = lru_cache(_KEPT)(self.encode_text)
        self._longest = max((len(t) for t in self._strict.get_vocab()), default=1)

    @property
    def control_tokens(self) -> dict[str, int]:
        """Control tokens and their ids."""
        return dict(self._control)

    def too_long(self, characters: int, limit: int) -> bool:
        """Whether so many characters are certainly more than ``limit`` tokens."""
        return characters > limit * self._longest

    def encode_text(self, text: str) -> list[int]:
        """The ids of a caller's text; no control token among them.

        Raises:
            Refusal: 400 ``gateway.control_token``: the tokenizer's model itself spells one.
        """
        ids: list[int] = self._strict.encode(text, add_special_tokens=False).ids
        if not self._control_ids.isdisjoint(ids):
            raise Refusal(
                "gateway.control_token",
                "The text spells a control token of this model.",
                action="Remove it from the text.",
            )
        return ids

    def encode_pieces(self, pieces: Iterable[TextPiece]) -> list[int]:
        """The ids of a prompt: control tokens only where a trusted piece holds them.

        Between two control tokens, text is encoded in one stretch, trusted or not: so the ids are
        those of the rendered text, but for control tokens spelt by a caller, which stay text.
        """
        ids: list[int] = []
        stretch, own = "", True  # ``own``: nothing of a caller in it, so it comes again
        for piece in pieces:
            if not piece.trusted:
                stretch, own = stretch + piece.text, False
                continue
            text, controls = self.split(piece.text)
            stretch += text
            for control, following in controls:
                if stretch:
                    ids += self._kept(stretch) if own else self.encode_text(stretch)
                ids.append(control)
                stretch, own = following, True
        if stretch:
            ids += self._kept(stretch) if own else self.encode_text(stretch)
        return ids

    def _split_controls(self, text: str) -> tuple[str, tuple[tuple[int, str], ...]]:
        """What stands before the first control token; each of them, and what follows it."""
        found = list(self._pattern.finditer(text))
        ends = [each.start() for each in found[1:]] + [len(text)]
        return text[: found[0].start() if found else len(text)], tuple(
            (self._control[each[0].strip()], text[each.end() : end])
            for each, end in zip(found, ends, strict=bool(found))
        )

    def encode_prompt(self, text: str) -> list[int]:
        """The ids of a bare prompt, with what the tokenizer puts around every text (``<s>``)."""
        inside = self.encode_text(text)
        empty: list[int] = self._plain.encode("", add_special_tokens=True).ids
        around = self._plain.num_special_tokens_to_add(is_pair=False)
        if around == 0:
            return inside
        probe: list[int] = self._plain.encode("a", add_special_tokens=True).ids
        bare: list[int] = self._plain.encode("a", add_special_tokens=False).ids
        before = next(
            (i for i in range(len(empty) + 1) if probe[i : i + len(bare)] == bare), len(empty)
        )
        return [*empty[:before], *inside, *empty[before:]]

    def encode_reference(self, text: str) -> list[int]:
        """The ids that the unmodified tokenizer gives to trusted text; for start-up checks."""
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens have none."""
        return self._plain.decode(list(ids), skip_special_tokens=True)


class Detokenizer:
    """Turns a growing list of ids into text, piece by piece.

    A character whose bytes have not all arrived is held back; the pieces together are the text of
    all the ids, without a character that never became complete.
    """

    def __init__(self, tokenizer: ModelTokenizer) -> None:
        self._tokenizer = tokenizer
        self._window: list[int] = []
        self._shown = 0

    def push(self, ids: Sequence[int]) -> str:
        """Add ids; return the text that is now certain."""
        self._window += ids
        text = self._tokenizer.decode(self._window)
        certain = len(text) - text.endswith(_REPLACEMENT)
        piece = text[self._shown : certain]
        self._shown = max(self._shown, certain)
        if certain == len(text) or len(self._window) > _LONGEST_WINDOW:
            self._window = self._window[-_CONTEXT:]
            kept = self._tokenizer.decode(self._window)
            self._shown = len(kept) - kept.endswith(_REPLACEMENT)
        return piece


def _control_pattern(added: list[dict[str, Any]]) -> re.Pattern[str]:
    """Control tokens as the tokenizer would find them in text, the longest first."""
    ordered = sorted(added, key=lambda token: -len(token["content"]))
    forms = [
        (r"\s*" if t.get("lstrip") else "")
        + re.escape(t["content"])
        + (r"\s*" if t.get("rstrip") else "")
        for t in ordered
    ]
    return re.compile("|".join(forms) or r"(?!)")


def _unsupported(reason: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "gateway.tokenizer_unsupported",
        f"The model's tokenizer cannot be used safely: {reason}.",
        action="Seal the model with a tokenizer.json that the tokenizers library reads.",
    )
