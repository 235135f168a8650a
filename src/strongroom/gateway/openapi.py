"""The OpenAPI document of the served door, at ``/openapi.json``.

Request bodies and errors are described by the very types that decode and encode them, so the
document cannot promise what the door does not keep. A test holds its paths against the routes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from strongroom import __version__
from strongroom.gateway.embeddings_api import EmbeddingRequest
from strongroom.gateway.fine_tuning_shapes import FineTuningRequest
from strongroom.gateway.inference_protocol import InferRequest
from strongroom.gateway.refusals import TITLES, OpenAIErrorBody, Problem
from strongroom.gateway.schema import ChatRequest, CompletionRequest

_ASKED: Final = (400, 401, 403, 404, 408, 413, 415, 429, 503)
_TOLD: Final = (401, 403, 404)
_EVENTS: Final = "text/event-stream"
_PAGED: Final = (
    {"name": "after", "in": "query", "schema": {"type": "string"}},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1}},
)


def document(
    model_name: str,
    registered: Iterable[str] = (),
    *,
    tunes: bool = False,
    adapters: bool = False,
) -> bytes:
    """The document for the door to one model, as JSON.

    Args:
        model_name: the name that the model is served by.
        registered: the schemas that can be named.
        tunes: whether files and jobs are taken.
        adapters: whether adapters of the model are served.
    """
    kinds: list[type[msgspec.Struct]] = [
        ChatRequest,
        CompletionRequest,
        EmbeddingRequest,
        InferRequest,
        OpenAIErrorBody,
        Problem,
    ]
    base: dict[str, Any] = {"const": model_name}
    one_of_its_adapters = {"type": "string", "pattern": f"^{re.escape(model_name)}:"}
    asked = {"anyOf": [base, one_of_its_adapters]} if adapters else base
    models = {"ChatRequest": asked, "CompletionRequest": asked, "EmbeddingRequest": base}
    if tunes:
        kinds.append(FineTuningRequest)
        models["FineTuningRequest"] = base
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for name, model in models.items():
        schemas[name]["properties"]["model"] = model
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
    if adapters:
        paths["/v1/models"] = _get("The model and your adapters of it", *_TOLD, openai=True)
    if tunes:
        paths |= _tuning()
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


def _tuning() -> dict[str, Any]:
    """Paths of OpenAI's files and fine-tuning API."""
    files, jobs = "/v1/files", "/v1/fine_tuning/jobs"
    file, job = _named("file_id"), _named("job_id")
    content = _plain("What is in a file", file)
    content["responses"]["200"]["content"] = {"application/octet-stream": {}}
    create = _post("Tune the model on a file", FineTuningRequest, openai=True)["post"]
    return {
        files: {"get": _plain("Your files", *_PAGED), "post": _upload()},
        f"{files}/{{file_id}}": {
            "get": _plain("A file of yours", file),
            "delete": _plain("Delete a file", file),
        },
        f"{files}/{{file_id}}/content": {"get": content},
        jobs: {"get": _plain("Your jobs", *_PAGED), "post": create},
        f"{jobs}/{{job_id}}": {"get": _plain("A job of yours", job)},
        f"{jobs}/{{job_id}}/cancel": {"post": _plain("End a job that waits or runs", job)},
        f"{jobs}/{{job_id}}/events": {"get": _plain("What a job said", job, *_PAGED)},
        f"{jobs}/{{job_id}}/checkpoints": {"get": _plain("Where it was kept", job, *_PAGED)},
    }


def _upload() -> dict[str, Any]:
    operation = _plain("Keep a file of conversations, one JSON object a line")
    form = {
        "type": "object",
        "required": ["file", "purpose"],
        "properties": {
            "file": {"type": "string", "contentMediaType": "application/octet-stream"},
            "purpose": {"const": "fine-tune"},
        },
    }
    body = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    return operation | {"requestBody": body}


def _plain(summary: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    """An operation of OpenAI's whose request is told by its path and query."""
    return {
        "summary": summary,
        "security": [{"key": []}],
        "parameters": list(parameters),
        "responses": {
            "200": {"description": summary, "content": {"application/json": {}}},
            **_errors(_ASKED, openai=True),
        },
    }


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


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
