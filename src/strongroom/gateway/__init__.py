"""The process that faces the network: identity, schema, disclosure, OpenAI-compatible API.

It holds no weight and no key of a model: it can be taken over without either being lost. May
import ``boundary``, ``store`` and ``errors``; never ``artifact``, ``keys``, ``keeper`` or torch.
"""
