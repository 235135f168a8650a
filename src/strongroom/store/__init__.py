"""State behind one interface: organisations and API keys. SQLite by default.

- ``interface``: ``KeyStore`` and the records it keeps.
- ``sqlite``: ``SqliteKeyStore``, one private file on one host.

Imports nothing of ours but ``errors``. No secret is kept here: of an API key only its keyed digest.
"""
