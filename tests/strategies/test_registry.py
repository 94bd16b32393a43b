"""Strategies by name, in the configured order; an unknown name is refused in words."""

from __future__ import annotations

import pytest

from tests.core.build import settings
from tui_trader.errors import ConfigError
from tui_trader.strategies.registry import build_strategies


def test_enabled_strategies_in_order() -> None:
    wanted = ("volume_breakout", "ma_crossover")
    assert tuple(build_strategies(settings(strategies={"enabled": wanted}))) == wanted


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match="there is no strategy 'magic'"):
        build_strategies(settings(strategies={"enabled": ("magic",)}))
