"""Which parameters are in force, and the words for why."""

from __future__ import annotations

import msgspec
import pytest

from tui_trader.core.regime import Regime
from tui_trader.core.trained import TrainedBook, TrainedSet
from tui_trader.strategies.volume_breakout import VolumeBreakout

SET = TrainedSet(
    symbol="BTCUSDT",
    exchange="binance",
    strategy="volume_breakout",
    regime=Regime.BULL,
    timeframe="15m",
    values={"bars": 30.0},
    trained_ms=1,
    deployed=True,
)


@pytest.mark.parametrize(
    ("changes", "regime", "configured", "bars", "source"),
    [
        ({}, Regime.BULL, {}, 30, "trained for bull on 15m"),
        ({}, Regime.BULL, {"bars": 40}, 30, "trained for bull on 15m"),
        ({}, Regime.BEAR, {}, 20, "default: nothing trained for bear on 15m"),
        ({}, None, {"bars": 40}, 40, "config: the regime is not known yet"),
        ({"demoted": "it loses"}, Regime.BULL, {}, 20, "default: the trained set was demoted, it loses"),
        ({"deployed": False, "reason": "too few trades"}, Regime.BULL, {}, 20, "was not deployed, too few trades"),
        ({"values": {"size": 1.0}}, Regime.BULL, {}, 20, "does not fit this version, there is no parameter 'size'"),
    ],
)
def test_in_force(
    changes: dict[str, object], regime: Regime | None, configured: dict[str, object], bars: int, source: str
) -> None:
    book = TrainedBook([SET, msgspec.structs.replace(SET, **changes)])
    found = book.optimized_parameters("BTCUSDT", "binance", VolumeBreakout(), regime, "15m", configured)
    assert found.values["bars"] == bars
    assert source in found.source
    assert (found.trained is not None) == found.source.startswith("trained")


def test_other_symbols_and_exchanges_have_their_own() -> None:
    book = TrainedBook([SET])
    assert book.all() == (SET,)
    for symbol, exchange in (("ETHUSDT", "binance"), ("BTCUSDT", "bybit")):
        found = book.optimized_parameters(symbol, exchange, VolumeBreakout(), Regime.BULL, "15m", {})
        assert found.trained is None
