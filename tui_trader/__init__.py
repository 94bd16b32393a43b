"""tui-trader: a terminal trading console for crypto perpetual futures."""

__version__ = "0.1.0"
