"""The simulated exchange: a loopback server that speaks the Binance USDⓈ-M protocol."""
