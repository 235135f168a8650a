"""State behind interfaces: organisations, API keys, switches; grants; and what has been spent.

- ``interface``: ``IdentityStore`` and the records it keeps; ``sql``: its statements.
- ``grants``: ``GrantStore``: requests for approval and votes, and its statements.
- ``tuning``: ``TuningStore``: customers' files, tuning jobs and their events, and its statements.
- ``database``: what statements run on; ``sqlite``: one private file; ``postgres``: for replicas.
- ``opening``: the store of identities, and the counters, that a setting names.
- ``limits``: costs, limits and GCRA, pure; ``counters``: reserve, then settle.

Imports nothing of ours but ``errors``. No secret is kept here: of an API key only its keyed digest.
"""
