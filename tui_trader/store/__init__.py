"""SQLite persistence: durable intents, batched facts, queries and exports."""

STORE_FILE = "store.sqlite3"
"""The store's name in the folder of its account."""
