"""SQLite persistence: durable intents, batched facts, queries and exports."""
