"""Real texts by subject, as token ids."""

from __future__ import annotations

import gzip
import re
import sysconfig
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

TOKENIZER = Path.home() / ".cache/strongroom/smollm2-135m-instruct/tokenizer.json"
FOLDOC = Path("/usr/share/dictd/foldoc.dict.dz")
FORTUNES = Path("/usr/share/games/fortunes")
_LEAST_TOKENS = 4000

Ids = list[int]


class Corpus:
    """``subjects``: one long run of ids for each; ``code``: source files of Python's library."""

    def __init__(self, tokenizer: Path = TOKENIZER) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self.vocabulary = self._tokenizer.get_vocab_size()
        texts = [text for text in _subjects().values() if len(text) > 3 * _LEAST_TOKENS]
        self.subjects = [ids for ids in self._encode_all(texts) if len(ids) >= _LEAST_TOKENS]
        library = Path(sysconfig.get_path("stdlib"))
        sources = [p.read_text("utf-8") for p in sorted(library.glob("*.py"))[:120]]
        self.code = [ids for ids in self._encode_all(sources) if len(ids) > 1000]

    def encode(self, text: str) -> Ids:
        """The ids of ``text``."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _encode_all(self, texts: Sequence[str]) -> list[Ids]:
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [list(each.ids) for each in found]


def _subjects() -> dict[str, str]:
    parts: dict[str, list[str]] = defaultdict(list)
    entries = gzip.decompress(FOLDOC.read_bytes()).decode("utf-8", "replace")
    for entry in re.split(r"\n\n(?=\S)", entries):
        tag = re.search(r"<([a-z ]+)", entry)
        if tag:
            parts["foldoc " + tag[1]].append(_clean(entry))
    for file in FORTUNES.iterdir():
        if "." not in file.name:
            text = file.read_text("utf-8", "replace").replace("\n%\n", "\n")
            parts["fortunes " + file.name].append(_clean(text))
    return {name: " ".join(texts) for name, texts in sorted(parts.items())}


def _clean(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[{}]|\(\d{4}-\d\d-\d\d\)|<[a-z, ]+>", "", text))
