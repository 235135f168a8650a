"""What may be said to a model and by it: a hook that is empty unless the operator fills it.

- ``interface``: ``ContentPolicy`` and ``Scan``, and what a policy must promise about streams.
- ``blocklist``: an operator's patterns, matched by RE2 (extra ``content``).
- ``moderation_http``: an external service that speaks as OpenAI's moderation endpoint does.
"""
