"""Request parameters that are refused by name: why, and which rung of disclosure grants them.

The names come from OpenAI's API and from vLLM's additions to it. A parameter with a harmless
value (one that asks for nothing) is accepted with that value, because clients send defaults.
``docs/denied-parameters.md`` is this table; a test compares them.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from strongroom.gateway.refusals import Refusal
from strongroom.gateway.strict_json import Fields, decode_value

Grant = Literal["top1", "topk", "never"]
Group = Literal["probabilities", "steering", "structure", "internals", "routing", "input", "state"]

GROUPS: Final[dict[Group, str]] = {
    "probabilities": "shows more of the output distribution than the text that was asked for",
    "steering": "turns the sampler into an oracle for the distribution it draws from",
    "structure": "constrains the output by a caller's own grammar, which is an oracle too",
    "internals": "reaches into tokeniser, template or engine",
    "routing": "sends the request, or something in it, elsewhere",
    "input": "is an input that this model does not take as such",
    "state": "asks for something that is kept, run or delivered outside this answer",
}


class Denied(msgspec.Struct, frozen=True):
    """One refused parameter; ``grant`` is the least rung that allows it."""

    group: Group
    why: str
    grant: Grant = "never"
    harmless: tuple[Any, ...] = (None,)


_LONGEST_HARMLESS: Final = 64
"""Bytes of JSON; longer values are refused unread."""

_TEXT_FORMAT = {"type": "text"}

DENIED: Final[dict[str, Denied]] = {
    # What the distribution looks like.
    "logprobs": Denied(
        "probabilities", "log-probabilities of the answer's tokens", "top1", (None, False)
    ),
    "top_logprobs": Denied(
        "probabilities", "the likeliest alternatives at each position", "topk", (None, 0)
    ),
    "prompt_logprobs": Denied("probabilities", "log-probabilities of the prompt's tokens"),
    "logprob_token_ids": Denied("probabilities", "log-probabilities of chosen tokens"),
    "logprobs_mode": Denied("probabilities", "raw logits in place of log-probabilities"),
    "flat_logprobs": Denied(
        "probabilities", "another form of log-probabilities", harmless=(None, False)
    ),
    "prompt_logprob_token_ids": Denied("probabilities", "log-probabilities of chosen tokens"),
    "prompt_logprob_start": Denied("probabilities", "log-probabilities of the prompt's tokens"),
    "echo": Denied("probabilities", "the prompt's own scores", harmless=(None, False)),
    "best_of": Denied("probabilities", "the likeliest of several samples", harmless=(None, 1)),
    "n": Denied("probabilities", "several samples of one prompt", harmless=(None, 1)),
    "use_beam_search": Denied(
        "probabilities", "the likeliest sequence of many", harmless=(None, False)
    ),
    "length_penalty": Denied("probabilities", "part of beam search", harmless=(None, 1, 1.0)),
    "beam_width": Denied("probabilities", "part of beam search", harmless=(None, 1)),
    "early_stopping": Denied("probabilities", "part of beam search", harmless=(None, False)),
    # What makes an oracle of the sampler.
    "logit_bias": Denied(
        "steering", "shifts logits, so that answers reveal them", harmless=(None, {})
    ),
    "allowed_token_ids": Denied("steering", "restricts the vocabulary, so that answers rank it"),
    "bad_words": Denied(
        "steering", "removes words, so that the next likeliest shows", harmless=(None, [])
    ),
    "bad_words_ids": Denied("steering", "removes tokens, so that the next likeliest shows"),
    "min_p": Denied("steering", "a threshold on probability", harmless=(None, 0, 0.0)),
    "top_k": Denied("steering", "a threshold on rank", harmless=(None, -1, 0)),
    "top_a": Denied("steering", "a threshold on probability", harmless=(None, 0, 0.0)),
    "typical_p": Denied("steering", "a threshold on probability", harmless=(None, 1, 1.0)),
    "seed": Denied("steering", "repeats one draw under small changes"),
    "repetition_penalty": Denied("steering", "rescales chosen logits", harmless=(None, 1, 1.0)),
    "presence_penalty": Denied("steering", "shifts chosen logits", harmless=(None, 0, 0.0)),
    "frequency_penalty": Denied("steering", "shifts chosen logits", harmless=(None, 0, 0.0)),
    "logits_processors": Denied("steering", "runs a caller's choice of code on logits"),
    "min_tokens": Denied("steering", "suppresses the end of the text", harmless=(None, 0)),
    "ignore_eos": Denied("steering", "suppresses the end of the text", harmless=(None, False)),
    "stop_token_ids": Denied("steering", "probes for token ids", harmless=(None, [])),
    "include_stop_str_in_output": Denied(
        "steering", "shows how the end was cut", harmless=(None, False)
    ),
    "thinking_token_budget": Denied("steering", "steers hidden reasoning"),
    "reasoning_effort": Denied("steering", "steers hidden reasoning"),
    "trace_decode_token_ids": Denied("steering", "forces tokens, so that each can be scored"),
    "watermarking": Denied("steering", "switches the owner's watermark"),
    # The caller's grammars.
    "guided_json": Denied("structure", "a caller's schema; operators register schemas"),
    "guided_regex": Denied("structure", "a caller's regular expression"),
    "guided_grammar": Denied("structure", "a caller's grammar"),
    "guided_choice": Denied("structure", "a choice, which compares the probabilities of answers"),
    "guided_decoding_backend": Denied("structure", "chooses a grammar engine"),
    "guided_whitespace_pattern": Denied("structure", "a caller's regular expression"),
    "structured_outputs": Denied("structure", "a caller's grammar"),
    "structural_tag": Denied("structure", "a caller's grammar"),
    "response_format": Denied(
        "structure",
        "it names no schema that the operator has registered",
        harmless=(None, _TEXT_FORMAT),
    ),
    "tools": Denied(
        "structure", "schemas and text in the template's tool form", harmless=(None, [])
    ),
    "tool_choice": Denied("structure", "forces a structure", harmless=(None, "none")),
    "parallel_tool_calls": Denied("structure", "part of tool calling", harmless=(None, False)),
    "functions": Denied("structure", "the older form of tools", harmless=(None, [])),
    "function_call": Denied("structure", "the older form of tool choice", harmless=(None, "none")),
    "verbosity": Denied("structure", "not offered by this model"),
    # Tokeniser, template, engine.
    "chat_template": Denied("internals", "a caller's template could forge turns"),
    "chat_template_kwargs": Denied("internals", "changes the owner's template"),
    "chat_template_content_format": Denied("internals", "changes the owner's template"),
    "documents": Denied("internals", "fills a part of the template with no checked role"),
    "add_generation_prompt": Denied(
        "internals", "prefills the assistant's turn", harmless=(None, True)
    ),
    "continue_final_message": Denied(
        "internals", "prefills the assistant's turn", harmless=(None, False)
    ),
    "prefix": Denied("internals", "prefills the assistant's turn"),
    "add_special_tokens": Denied("internals", "changes how the prompt is tokenised"),
    "skip_special_tokens": Denied("internals", "shows control tokens", harmless=(None, True)),
    "spaces_between_special_tokens": Denied(
        "internals", "shows control tokens", harmless=(None, True)
    ),
    "detokenize": Denied("internals", "returns token ids", harmless=(None, True)),
    "return_token_ids": Denied("internals", "returns token ids", harmless=(None, False)),
    "return_tokens_as_token_ids": Denied("internals", "returns token ids", harmless=(None, False)),
    "return_prompt_text": Denied("internals", "returns the rendered template"),
    "return_token_offsets": Denied("internals", "shows where tokens begin", harmless=(None, False)),
    "return_mm_kwargs": Denied("internals", "returns decoded media", harmless=(None, True, False)),
    "return_routed_experts": Denied(
        "internals", "returns the model's routing", harmless=(None, False)
    ),
    "routed_experts_prompt_start": Denied(
        "internals", "returns the model's routing", harmless=(None, 0)
    ),
    "dimensions": Denied(
        "internals", "cuts an embedding to a width that the model was not made for"
    ),
    "return_hidden_states": Denied("internals", "returns activations", harmless=(None, False)),
    "prompt_token_ids": Denied("internals", "token ids could forge turns"),
    "truncate_prompt_tokens": Denied("internals", "cuts the template's own tokens"),
    "truncation_side": Denied("internals", "cuts the template's own tokens"),
    "cache_salt": Denied("internals", "prefix caches are keyed here, not by callers"),
    "prompt_cache_key": Denied("internals", "prefix caches are keyed here, not by callers"),
    "prompt_cache_retention": Denied("internals", "prefix caches are keyed here, not by callers"),
    "prompt_cache_options": Denied("internals", "prefix caches are keyed here, not by callers"),
    "skip_reading_prefix_cache": Denied("internals", "makes a cache speak by its absence"),
    "stream_interval": Denied("internals", "the ticks of a stream are the operator's"),
    "output_kind": Denied("internals", "configures the engine"),
    "skip_clone": Denied("internals", "configures the engine"),
    "extra_args": Denied("internals", "passes anything to an engine"),
    "include_reasoning": Denied("internals", "returns hidden reasoning", harmless=(None, False)),
    "mm_processor_kwargs": Denied("internals", "changes how media are decoded"),
    "vllm_xargs": Denied("internals", "passes anything to an engine"),
    "priority": Denied("internals", "reorders other callers' work", harmless=(None, 0)),
    "request_id": Denied("internals", "names a request inside the engine"),
    "session_id": Denied("internals", "ties requests together inside the engine"),
    "lora_request": Denied("internals", "loads an adapter by path"),
    "repetition_detection": Denied("internals", "configures the engine"),
    # Elsewhere.
    "base_url": Denied("routing", "sends the request to another server"),
    "api_base": Denied("routing", "sends the request to another server"),
    "api_key": Denied("routing", "a credential in a body that may be recorded"),
    "extra_body": Denied("routing", "passes anything on"),
    "extra_headers": Denied("routing", "passes anything on"),
    "extra_query": Denied("routing", "passes anything on"),
    "custom_llm_provider": Denied("routing", "sends the request to another server"),
    "fallbacks": Denied("routing", "sends the request to another model"),
    "kv_transfer_params": Denied("routing", "moves the model's cache to another host"),
    "ec_transfer_params": Denied("routing", "moves the encoder's cache to another host"),
    "bootstrap_host": Denied("routing", "moves the model's cache to another host"),
    "data_parallel_rank": Denied("routing", "chooses a worker"),
    "service_tier": Denied("routing", "chooses a worker", harmless=(None, "auto", "default")),
    # Inputs that are not text.
    "prompt_embeds": Denied("input", "embeddings bypass the tokeniser and its checks"),
    "input_embeds": Denied("input", "embeddings bypass the tokeniser and its checks"),
    "images": Denied("input", "media are never decoded here"),
    "audio": Denied("input", "media are never decoded here"),
    "modalities": Denied("input", "only text is answered", harmless=(None, ["text"])),
    "media_io_kwargs": Denied("input", "changes how media are fetched and decoded"),
    "web_search_options": Denied("input", "fetches from the network"),
    "prediction": Denied("input", "acceptance of a guess tells its probability"),
    "suffix": Denied("input", "infilling is not offered by this model"),
    # Kept or run elsewhere.
    "store": Denied("state", "answers are not kept", harmless=(None, False)),
    "background": Denied("state", "answers are not kept", harmless=(None, False)),
    "previous_response_id": Denied("state", "answers are not kept"),
    "moderation": Denied("state", "runs another model"),
}


def harmless(name: str, value: Any) -> bool:
    """Whether ``value`` asks for nothing; exact in type, so that ``True`` is not 1."""
    return any(
        value == allowed and type(value) is type(allowed) for allowed in DENIED[name].harmless
    )


def refuse(name: str) -> Refusal:
    """The refusal of a denied parameter."""
    row = DENIED[name]
    wanted = (
        "No rung of disclosure grants it; leave it out."
        if row.grant == "never"
        else f"Leave it out, or ask the model's owner for rung `{row.grant}`."
    )
    return Refusal(
        "gateway.parameter_not_allowed",
        f"The parameter `{name}` is not allowed: {row.why}.",
        action=wanted,
        param=name,
        rung=row.grant,
    )


def strip_denied(fields: Fields, granted: frozenset[str]) -> None:
    """Take harmless values of denied parameters out of ``fields``; refuse the others by name.

    ``granted`` are the names that the caller's rung allows: they stay.
    """
    for name in [name for name in fields if name in DENIED and name not in granted]:
        raw = fields.pop(name)
        if len(bytes(raw)) > _LONGEST_HARMLESS or not harmless(name, decode_value(raw)):
            raise refuse(name)
