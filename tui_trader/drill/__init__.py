"""Deterministic simulation: the very trader and exchange in seeded virtual time, attacked, and judged from outside."""
