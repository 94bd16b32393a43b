"""Rows of strategies survive being written as JSON and read again."""

from __future__ import annotations

import msgspec

from tests.ui.sample_strategies import regimes, signals, strategies
from tui_trader.core.strategy_rows import RegimeView, SignalRow, StrategyRow

NAMES = tuple(f"S{n}USDT" for n in range(12))


def test_rows_are_the_same_after_json() -> None:
    for rows, kind in (
        (signals(1_000_000_000, NAMES), SignalRow),
        (strategies(NAMES), StrategyRow),
        (regimes(11), RegimeView),
    ):
        assert msgspec.json.decode(msgspec.json.encode(rows), type=tuple[kind, ...]) == rows
