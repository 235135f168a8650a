"""Every request parameter of the APIs whose clients come here, as their authors publish them.

vLLM: the fields of ``ChatCompletionRequest`` and ``CompletionRequest``
(``vllm/entrypoints/openai/{chat_completion,completion}/protocol.py`` at commit 002032ee, 2026) and
of ``SamplingParams`` (``vllm/sampling_params.py`` at commit 00388f65). OpenAI: of the installed
client.
"""

from __future__ import annotations

from types import ModuleType

_VLLM = """
    messages model frequency_penalty logit_bias logprobs top_logprobs max_tokens
    max_completion_tokens n presence_penalty response_format seed stop stream stream_options
    temperature top_p tools tool_choice reasoning_effort thinking_token_budget include_reasoning
    parallel_tool_calls user use_beam_search top_k min_p repetition_penalty watermarking
    length_penalty stop_token_ids include_stop_str_in_output ignore_eos min_tokens
    skip_special_tokens spaces_between_special_tokens truncate_prompt_tokens truncation_side
    prompt_logprobs logprob_token_ids allowed_token_ids bad_words echo add_generation_prompt
    continue_final_message add_special_tokens documents chat_template chat_template_kwargs
    media_io_kwargs mm_processor_kwargs structured_outputs priority request_id session_id
    return_tokens_as_token_ids return_token_ids routed_experts_prompt_start return_token_offsets
    return_prompt_text return_mm_kwargs cache_salt kv_transfer_params ec_transfer_params vllm_xargs
    repetition_detection stream_interval prompt suffix prompt_embeds detokenize flat_logprobs
    prompt_logprob_token_ids prompt_logprob_start output_kind skip_clone extra_args
    skip_reading_prefix_cache trace_decode_token_ids
"""
VLLM = frozenset(_VLLM.split())


def openai_parameters() -> frozenset[str]:
    """Of chat completions and completions, in the official client's own types."""
    from openai.types import completion_create_params as completion
    from openai.types.chat import completion_create_params as chat

    return _fields(chat) | _fields(completion)


def _fields(module: ModuleType) -> frozenset[str]:
    kinds = (getattr(module, name) for name in dir(module) if "CreateParams" in name)
    return frozenset(name for kind in kinds for name in getattr(kind, "__annotations__", ()))
