"""The laboratory: backtests, searches and training with the very code that trades."""
