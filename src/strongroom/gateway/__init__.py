"""The process that faces the network: identity, schema, disclosure, OpenAI-compatible API.

It holds no weight and no key of a model: it can be taken over without either being lost. May
import ``boundary``, ``store`` and ``errors``; never ``artifact``, ``keys``, ``keeper`` or torch.

- the process: ``__main__``, ``server``, ``config``, ``http_protocol`` (bounds on heads).
- the door: ``app`` (routes), ``http``, ``line``, ``refusals``, ``admission``, ``api_keys``.
- what is asked: ``strict_json``, ``denied`` (parameters), ``schema``, ``text_rules``, ``openapi``.
- the model: ``served_model``, ``tokenizing``, ``chat_template``, ``keeper_client``.
- what is answered: ``openai_api``, ``generating``, ``stops``, ``answers``, ``pacing`` (when and in
  what sizes), ``inference_protocol``.
"""
