"""With positions open a limit may be tightened, never loosened."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core.build import BTC, settings
from tui_trader.core.reload import _SMALLER_IS_TIGHTER, apply_reload
from tui_trader.core.settings import Settings
from tui_trader.core.sizing import size_trade
from tui_trader.core.types import Tier

LOSSES = (Decimal(500), Decimal(2_000))


def changed(section: str, name: str, factor: float) -> Settings:
    base = settings()
    value = getattr(getattr(base, section), name)
    kind = type(value)
    other = {"sizing": {"default_leverage": 125}} if name.startswith("leverage_") else {}
    return settings(**{section: other.get(section, {}) | {name: kind(value * kind(factor))}})


@pytest.mark.parametrize(("section", "name"), [(s, n) for s, names in _SMALLER_IS_TIGHTER.items() for n in names])
def test_each_limit_is_held_when_looser_and_taken_when_tighter(section: str, name: str) -> None:
    old, looser = settings(), changed(section, name, 2)
    applied, held = apply_reload(old, looser, positions_open=True, losses=LOSSES)
    assert f"{section}.{name}" in held
    assert getattr(applied, section) == getattr(old, section)
    applied, held = apply_reload(looser, old, positions_open=True, losses=LOSSES)
    assert held == ()
    assert applied == old


def test_without_positions_everything_is_taken() -> None:
    looser = settings(limits={"max_positions": 90, "enabled": True})
    assert apply_reload(settings(), looser, positions_open=False) == (looser, ())


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [("100", "0", True), ("100", "101", True), ("100", "99", False), ("0", "499", False), ("0", "501", True)],
)
def test_a_fixed_loss_cannot_loosen_what_is_in_force(before: str, after: str, kept: bool) -> None:
    old, new = settings(limits={"daily_loss": before}), settings(limits={"daily_loss": after})
    applied, held = apply_reload(old, new, positions_open=True, losses=LOSSES)
    assert held == (("limits.daily_loss",) if kept else ())
    assert applied.limits.daily_loss == Decimal(before if kept else after)


def test_trading_is_not_enabled_by_a_reload_while_positions_are_open() -> None:
    off, on = settings(limits={"enabled": False}), settings()
    applied, held = apply_reload(off, on, positions_open=True)
    assert (applied.limits.enabled, held) == (False, ("limits.enabled",))
    applied, held = apply_reload(on, off, positions_open=True)
    assert (applied.limits.enabled, held) == (False, ())


def test_what_is_no_limit_changes_at_once() -> None:
    new = settings(ui={"fps": 2.0}, strategies={"cooldown_min": 3})
    assert apply_reload(settings(), new, positions_open=True) == (new, ())


def test_a_larger_least_margin_does_not_pass_by_the_largest_that_is_held() -> None:
    old = settings()
    new = settings(sizing={"min_margin": "2000", "max_margin": "3000", "min_ai_risk_factor": 1.5})
    applied, held = apply_reload(old, new, positions_open=True, losses=LOSSES)
    assert {"sizing.min_margin", "sizing.max_margin", "sizing.min_ai_risk_factor"} <= set(held)
    sizes = [
        size_trade(
            settings=one.sizing,
            instrument=BTC,
            tier=Tier.MAIN,
            equity=Decimal(100_000),
            entry=Decimal(43_500),
            stop=Decimal(43_000),
            conviction=0.0,
            margin_in_use=Decimal(0),
            max_total_risk=0.15,
        ).margin
        for one in (old, applied)
    ]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ("fixed_margin", "margin_fraction", True),
        ("fixed_margin", "fixed_risk", True),
        ("margin_fraction", "fixed_risk", True),
        ("margin_fraction", "fixed_margin", False),
        ("fixed_margin", "fixed_margin", False),
    ],
)
def test_a_way_of_sizing_that_may_give_larger_trades_waits_until_no_position_is_open(
    before: str, after: str, kept: bool
) -> None:
    old, new = settings(sizing={"model": before}), settings(sizing={"model": after})
    applied, held = apply_reload(old, new, positions_open=True, losses=LOSSES)
    assert held == (("sizing.model",) if kept else ())
    assert applied.sizing.model == (before if kept else after)


def test_a_fixed_margin_above_the_least_one_waits_as_well() -> None:
    old = settings(sizing={"fixed_margin": "500"})
    new = settings(sizing={"fixed_margin": "500", "model": "fixed_margin"})
    assert apply_reload(old, new, positions_open=True)[1] == ("sizing.model",)
