"""The pages for application developers say what the code does."""

from __future__ import annotations

from pathlib import Path

from strongroom.gateway.denied import DENIED
from strongroom.gateway.embeddings_api import EmbeddingRequest
from strongroom.gateway.schema import ChatMessage, ChatRequest, CompletionRequest

from .denied_page import PAGE, page

API = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_table_of_denied_parameters_is_the_codes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/gateway/denied_page.py"
    assert len(DENIED) >= 45


def test_every_accepted_field_is_documented() -> None:
    text = API.read_text(encoding="utf-8")
    fields = {
        *ChatRequest.__struct_fields__,
        *CompletionRequest.__struct_fields__,
        *EmbeddingRequest.__struct_fields__,
        *ChatMessage.__struct_fields__,
    }
    assert not sorted(name for name in fields if f"`{name}`" not in text)


def test_no_field_is_both_accepted_and_denied_but_scores() -> None:
    accepted = {*ChatRequest.__struct_fields__, *CompletionRequest.__struct_fields__}
    assert accepted & set(DENIED) == {"logprobs", "top_logprobs"}
