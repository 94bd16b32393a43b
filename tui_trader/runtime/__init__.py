"""The session: workers around the pure engine, in one asyncio loop."""
