"""State behind interfaces: organisations, API keys and switches; and what has been spent.

- ``interface``: ``IdentityStore`` and the records it keeps.
- ``sql``: what both databases share; ``sqlite``: one private file; ``postgres``: for replicas.
- ``opening``: the store that a setting names.
- ``limits``: costs, limits and GCRA, pure; ``counters``: reserve, then settle.

Imports nothing of ours but ``errors``. No secret is kept here: of an API key only its keyed digest.
"""
