"""Position sizing: worked examples, floors, refusals, never enlarged."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.build import BTC, settings
from tui_trader.core.settings import SizingModel
from tui_trader.core.sizing import SizedTrade, effective_leverage, size_trade
from tui_trader.core.types import Tier

D = Decimal
SIZING = settings().sizing


def size(**changes: object) -> SizedTrade:
    base = {
        "settings": SIZING,
        "instrument": BTC,
        "tier": Tier.MAIN,
        "equity": D(10_000),
        "entry": D(43_500),
        "stop": D(42_850),
        "conviction": 0.85,
        "margin_in_use": D(0),
        "max_total_risk": 0.15,
    }
    return size_trade(**(base | changes))


def test_spec_2_margin_fraction_example() -> None:
    found = size(instrument=BTC.__class__(symbol="B", base_asset="B", step_size=D("1e-8"), market_step_size=D("1e-8")))
    assert found.leverage == 15
    assert abs(found.margin - 135) < D("0.001")
    assert abs(found.notional - 2_025) < D("0.01")
    assert str(found.qty).startswith("0.04655")
    assert size().qty == D("0.046"), "floored to the venue's step"


def test_spec_2_fixed_risk_example() -> None:
    model = SIZING.model_copy(update={"model": SizingModel.FIXED_RISK, "fixed_risk_frac": 0.02})
    found = size(settings=model, equity=D(100_000), entry=D(50_000), stop=D(48_000), max_total_risk=1.0)
    assert (found.qty, found.risk_usdt) == (D("1.000"), D(2_000))


def test_spec_2_fixed_margin_example() -> None:
    model = SIZING.model_copy(
        update={"model": SizingModel.FIXED_MARGIN, "fixed_margin": D("0.50"), "leverage_main": 10}
    )
    tiny = BTC.__class__(symbol="X", base_asset="X", min_notional=D(5), step_size=D(1), market_step_size=D(1))
    found = size(settings=model, instrument=tiny, entry=D("0.5"), stop=None)
    assert (found.notional, found.qty, found.refusals) == (D("5.0"), D(10), ())


def test_spec_2_equity_too_small_is_refused() -> None:
    found = size(equity=D(200))
    assert found.qty == 0
    assert "equity 200 too small" in found.refusals[0].text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"qty": D("0.0001")}, "min_qty"),
        ({"qty": D("0.001")}, "min_notional"),
        ({"margin_in_use": D(1_450)}, "total_margin"),
        ({"equity": D(0)}, "equity"),
        ({"risk_fraction": 0.01, "stop": None}, "stop"),
    ],
)
def test_refusals_are_hard_and_say_their_numbers(change: dict[str, object], code: str) -> None:
    refusals = size(**change).refusals
    assert [(r.code, r.hard) for r in refusals] == [(code, True)]
    assert any(c.isdigit() for c in refusals[0].text) or code == "stop"


@pytest.mark.parametrize(("tier", "leverage"), [(Tier.MAIN, 15), (Tier.L1, 12), (Tier.L2, 10), (Tier.MEME, 8)])
def test_effective_leverage(tier: Tier, leverage: int) -> None:
    assert effective_leverage(SIZING, tier) == leverage


@given(
    equity=st.integers(400, 1_000_000),
    conviction=st.floats(0, 1),
    entry=st.integers(1_000, 200_000),
)
def test_never_above_the_caps_and_on_the_step(equity: int, conviction: float, entry: int) -> None:
    found = size(equity=D(equity), conviction=conviction, entry=D(entry), stop=None)
    assert found.margin <= max(min(D(equity) * D("0.03"), D(1_000)), 0)
    assert found.qty % BTC.step_size == 0


@pytest.mark.parametrize(
    ("chosen", "refused"),
    [({"qty": D("0.46")}, False), ({"qty": D("0.47")}, True), ({"risk_fraction": 0.031}, True)],
)
def test_spec_8_the_loss_at_the_stop_is_limited_per_trade_however_the_size_was_chosen(
    chosen: dict[str, object], refused: bool
) -> None:
    found = size(max_total_risk=1.0, **chosen)
    assert [r.code for r in found.refusals] == (["trade_risk"] if refused else [])
    assert all(r.hard for r in found.refusals)
