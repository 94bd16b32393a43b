from decimal import Decimal

import numpy as np
import pytest

from tui_trader.exchange.history import load_recording
from tui_trader.exchange.specs import RECORDED, SOURCES, SPECS


def test_every_symbol_has_a_tape_and_the_bad_ones_are_there() -> None:
    assert set(SOURCES) == set(SPECS)
    assert len(RECORDED) == 12
    assert set(SPECS) - set(RECORDED) == {
        "TAOUSDT", "1000PEPEUSDT", "METISUSDT", "MANTAUSDT", "SEIUSDT", "INJUSDT", "PERPUSDT",
    }  # fmt: skip
    assert [s.symbol for s in SPECS.values() if s.status != "TRADING"] == ["PERPUSDT"]


@pytest.mark.parametrize("symbol", RECORDED)
def test_recorded_prices_and_volumes_lie_exactly_on_the_grid(symbol: str) -> None:
    recording, spec = load_recording(symbol), SPECS[symbol]
    for values, grid in (
        (recording.open, spec.tick_size),
        (recording.low, spec.tick_size),
        (recording.volume, spec.step_size),
    ):
        units = values / float(grid)
        assert np.abs(units - np.rint(units)).max() < 1e-3
    assert all(Decimal(str(round(float(v), 8))) % spec.tick_size == 0 for v in recording.close[:500])


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_filters_are_consistent(spec) -> None:  # type: ignore[no-untyped-def]
    assert spec.min_qty == spec.step_size
    assert spec.max_qty % spec.step_size == 0
    assert 0 < spec.min_price < spec.max_price
    assert spec.multiplier_down < 1 < spec.multiplier_up
    assert spec.tick_size == Decimal(1).scaleb(-spec.price_precision)
    assert spec.step_size == Decimal(1).scaleb(-spec.quantity_precision)
    assert spec.maintenance_rate < Decimal(1) / spec.max_leverage


def test_known_real_filters() -> None:
    btc, ada = SPECS["BTCUSDT"], SPECS["ADAUSDT"]
    assert (btc.tick_size, btc.step_size, btc.min_notional) == (Decimal("0.1"), Decimal("0.001"), Decimal(50))
    assert (ada.tick_size, ada.step_size, ada.min_notional) == (Decimal("0.0001"), Decimal(1), Decimal(5))
    assert SPECS["1000PEPEUSDT"].base_asset == "1000PEPE"
