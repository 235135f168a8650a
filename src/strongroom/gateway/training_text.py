"""From a customer's conversations to a dataset, by the encoding in which the model is served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from strongroom.gateway.chat_template import ChatTemplate
from strongroom.gateway.schema import Message, Role
from strongroom.gateway.tokenizing import ModelTokenizer
from strongroom.tune.dataset import Dataset, read_dataset
from strongroom.tune.policy import Policy


def dataset_of(
    raw: bytes, template: ChatTemplate, tokenizer: ModelTokenizer, policy: Policy
) -> Dataset:
    """The dataset in a file; the errors of ``tune.dataset.read_dataset``."""

    def encode(turns: Sequence[tuple[str, str]]) -> list[int]:
        return template.encode([Message(cast(Role, role), text) for role, text in turns])

    return read_dataset(raw, encode, frozenset(tokenizer.control_tokens.values()), policy)
