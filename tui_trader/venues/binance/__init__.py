"""Binance USDⓈ-M futures: pure wire protocol and the client around it."""
