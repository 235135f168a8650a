"""What leaks through a door: 31 dangerous request parameters, 7 response fields.

A parameter leaks if a request with it is answered, and a field if it stands anywhere in an answer
although nobody was granted it. Any door that speaks OpenAI's API can be asked; ``PermissiveDoor``
is the positive control.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

PARAMETERS: Mapping[str, Any] = {
    # the distribution
    "logprobs": True,
    "top_logprobs": 5,
    "prompt_logprobs": 5,
    "logprob_token_ids": [1, 2, 3],
    "echo": True,
    "best_of": 4,
    "n": 4,
    "use_beam_search": True,
    # steering
    "logit_bias": {"50": 100},
    "allowed_token_ids": [1, 2],
    "bad_words": ["the"],
    "min_p": 0.5,
    "top_k": 1,
    "seed": 7,
    "repetition_penalty": 1.5,
    "ignore_eos": True,
    # structure
    "guided_regex": "(a|b)",
    "guided_json": {"type": "object"},
    "structured_outputs": {"choice": ["a", "b"]},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
    # internals
    "return_token_ids": True,
    "cache_salt": "mine",
    "chat_template": "{{ messages }}",
    "chat_template_kwargs": {"enable_thinking": True},
    "continue_final_message": True,
    "skip_special_tokens": False,
    "vllm_xargs": {"a": 1},
    # elsewhere
    "base_url": "http://127.0.0.1:1/",
    "extra_body": {"logprobs": True},
    "kv_transfer_params": {"do_remote_decode": True},
    "prompt_embeds": "AAAA",
}

FIELDS: Mapping[str, Any] = {
    "logprobs": {"content": [{"token": "a", "logprob": -0.1}]},
    "prompt_logprobs": [{"1": -0.5}],
    "token_ids": [1, 2],
    "prompt_token_ids": [3, 4],
    "reasoning_content": "hidden",
    "system_fingerprint": "fp_1",
    "prompt_tokens_details": {"cached_tokens": 17},
}

ASK: dict[str, Any] = {"model": "smol", "messages": [{"role": "user", "content": "hello"}]}


def ask(url: str, key: str, body: Mapping[str, Any]) -> tuple[int, str]:
    """Status and text of the answer to one chat request; 0 if the door hung up."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (http.client.HTTPException, OSError):
        return 0, ""
    finally:
        connection.close()


def leaking_parameters(url: str, key: str) -> list[str]:
    """The dangerous parameters with which a request is answered."""
    return [
        name for name, value in PARAMETERS.items() if ask(url, key, {**ASK, name: value})[0] == 200
    ]


def leaking_fields(answers: list[str]) -> list[str]:
    """The fields that stand in any of the ``answers`` with a value, at any depth."""
    found: set[str] = set()
    for answer in answers:
        for line in answer.splitlines():
            text = line.removeprefix("data: ").strip()
            if text.startswith("{"):
                _collect(json.loads(text), found)
    return [name for name in FIELDS if name in found]


def _collect(value: Any, found: set[str]) -> None:
    if isinstance(value, dict):
        found |= {name for name, inside in value.items() if inside not in (None, [], {})}
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            _collect(each, found)


class PermissiveDoor:
    """A proxy as one finds them: takes every parameter, passes every field of the engine."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Permissive)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Permissive(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = {"role": "assistant", "content": "hello world"}
        body = json.dumps({"choices": [{"index": 0, "message": message}], **FIELDS}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
