"""State behind one interface: organisations and API keys. SQLite by default."""
