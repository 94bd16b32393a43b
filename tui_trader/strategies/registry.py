"""Strategies by name."""

from __future__ import annotations

from tui_trader.core.settings import Settings
from tui_trader.core.signals import Strategy
from tui_trader.errors import ConfigError
from tui_trader.strategies.ma_crossover import MaCrossover
from tui_trader.strategies.volume_breakout import VolumeBreakout

NAMES = ("ma_crossover", "volume_breakout")


def build_strategies(settings: Settings) -> dict[str, Strategy]:
    """The enabled strategies in the configured order. Raises ``ConfigError`` for an unknown name."""
    found: dict[str, Strategy] = {}
    for name in settings.strategies.enabled:
        if name == "ma_crossover":
            found[name] = MaCrossover(settings.strategies)
        elif name == "volume_breakout":
            found[name] = VolumeBreakout(settings.strategies, settings.ladder.atr_period)
        else:
            known = ", ".join(NAMES)
            raise ConfigError(f"strategies.enabled: there is no strategy {name!r}; the known ones are {known}")
    return found
