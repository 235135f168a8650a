"""Engines: what turns open tensors into answers.

``interface`` says what an engine is; ``llama`` decodes Llama-type language models with continuous
batching; ``classifier`` runs small image and tabular classifiers. An engine touches no socket, no
file and no key: it is given tensors that alias the keeper's arena.
"""
