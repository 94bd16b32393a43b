"""Strategies: closed candles in, signals out; they never place orders."""
