"""The Textual console: draws frozen snapshots and answers with user commands."""
