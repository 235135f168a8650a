"""The OpenAPI document of the served door, at ``/openapi.json``.

Request bodies and errors are described by the very types that decode and encode them, so the
document cannot promise what the door does not keep. A test holds its paths against the routes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from strongroom import __version__
from strongroom.gateway.embeddings_api import EmbeddingRequest
from strongroom.gateway.inference_protocol import InferRequest
from strongroom.gateway.refusals import TITLES, OpenAIErrorBody, Problem
from strongroom.gateway.schema import ChatRequest, CompletionRequest

_ASKED: Final = (400, 401, 403, 404, 408, 413, 415, 429, 503)
_TOLD: Final = (401, 403, 404)
_EVENTS: Final = "text/event-stream"


def document(model_name: str, registered: Iterable[str] = ()) -> bytes:
    """The document for the door to one model, as JSON; with the schemas that can be named."""
    kinds = (
        ChatRequest,
        CompletionRequest,
        EmbeddingRequest,
        InferRequest,
        OpenAIErrorBody,
        Problem,
    )
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for kind in (ChatRequest, CompletionRequest, EmbeddingRequest):
        schemas[kind.__name__]["properties"]["model"] = {"const": model_name}
    if names := sorted(registered):
        schemas["ChatRequest"]["properties"]["response_format"] = _response_format(names)
    at = f"/v2/models/{model_name}"
    paths = {
        "/v1/chat/completions": _post("Chat", ChatRequest, openai=True, streams=True),
        "/v1/completions": _post("Complete a text", CompletionRequest, openai=True, streams=True),
        "/v1/embeddings": _post("Embed texts", EmbeddingRequest, openai=True),
        "/v1/models": _get("The one model behind this door", *_TOLD, openai=True),
        f"/v1/models/{model_name}": _get("The model", *_TOLD, openai=True),
        "/v2": _get("Server metadata"),
        "/v2/health/live": _get("Whether the process answers"),
        "/v2/health/ready": _get("Whether requests are taken", 503),
        at: _get("What the model takes", *_TOLD),
        f"{at}/ready": _get("Whether the model answers", *_TOLD, 503),
        f"{at}/infer": _post("Classify one tensor", InferRequest),
        "/healthz": _get("Whether the process answers"),
        "/readyz": _get("Whether requests are taken", 503),
        "/openapi.json": _get("This document"),
    }
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "strongroom", "version": __version__},
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _response_format(names: list[str]) -> dict[str, Any]:
    named = {"type": "object", "required": ["name"], "properties": {"name": {"enum": names}}}
    return {
        "type": "object",
        "required": ["type", "json_schema"],
        "properties": {"type": {"const": "json_schema"}, "json_schema": named},
    }


def _post(
    summary: str, body: type[msgspec.Struct], *, openai: bool = False, streams: bool = False
) -> dict[str, Any]:
    answer: dict[str, Any] = {"application/json": {}}
    if streams:
        answer[_EVENTS] = {}
    operation = {
        "summary": summary,
        "security": [{"key": []}],
        "requestBody": {"required": True, "content": _content(body)},
        "responses": {
            "200": {"description": "The answer", "content": answer},
            **_errors(_ASKED, openai=openai),
        },
    }
    return {"post": operation}


def _get(summary: str, *statuses: int, openai: bool = False) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {"application/json": {}}},
            **_errors(statuses, openai=openai),
        },
    }
    if 401 in statuses:
        operation["security"] = [{"key": []}]
    elif statuses:  # readiness answers the same facts with another status
        operation["responses"]["503"] = operation["responses"]["200"]
    return {"get": operation}


def _errors(statuses: tuple[int, ...], *, openai: bool) -> dict[str, Any]:
    content = _content(OpenAIErrorBody) if openai else _content(Problem, "application/problem+json")
    return {str(s): {"description": TITLES[s], "content": content} for s in statuses}


def _content(of: type[msgspec.Struct], kind: str = "application/json") -> dict[str, Any]:
    return {kind: {"schema": {"$ref": f"#/components/schemas/{of.__name__}"}}}
