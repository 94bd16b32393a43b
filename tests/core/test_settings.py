"""Settings refuse what makes no sense, by name."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from tests.core.build import settings
from tui_trader.core.settings import Settings, SizingModel


@pytest.mark.parametrize(
    ("section", "values", "word"),
    [
        ("universe", {"max_size": 0}, "max_size"),
        ("universe", {"min_depth": float("nan")}, "min_depth"),
        ("universe", {"max_spread_bps": float("inf")}, "max_spread_bps"),
        ("tiers", {"main": ("BTC",), "l1": ("BTC",)}, "BTC stands in both main and l1"),
        ("sizing", {"base_risk_frac": 0.05, "max_risk_frac": 0.03}, "must not exceed max_risk_frac"),
        ("sizing", {"min_ai_risk_factor": 2.0}, "max_ai_risk_factor"),
        ("sizing", {"min_margin": 2_000}, "must not exceed max_margin"),
        ("sizing", {"leverage_main": 50}, "must not exceed default_leverage"),
        ("sizing", {"model": "martingale"}, "model"),
        ("ladder", {"partial_close_tp1": 0.8, "partial_close_tp2": 0.3}, "must not exceed 1"),
        ("ladder", {"atr_mult_tp1": 3.0}, "must be under atr_mult_tp2"),
        ("ladder", {"atr_timeframe": "2m"}, "atr_timeframe"),
        ("limits", {"max_positions": 0}, "max_positions"),
        ("limits", {"daily_loss": -1}, "daily_loss"),
        ("limits", {"price_collar": 0}, "price_collar"),
        ("execution", {"not_found_needs": 1}, "not_found_needs"),
        ("execution", {"stop_working_type": "LAST"}, "stop_working_type"),
        ("venue", {"name": "mtgox"}, "name"),
        ("limits", {"max_postions": 3}, "max_postions"),
    ],
)
def test_each_impossible_value_is_named(section: str, values: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError) as error:
        settings(**{section: values})
    assert word in str(error.value)


def test_unknown_sections_are_refused() -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"limit": {}})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        settings().limits.max_positions = 99  # type: ignore[misc]


def test_json_round_trip_keeps_exact_money() -> None:
    made = settings(sizing={"fixed_margin": "0.50", "model": "fixed_margin"})
    again = Settings.model_validate_json(made.model_dump_json())
    assert again == made
    assert (again.sizing.fixed_margin, again.sizing.model) == (Decimal("0.50"), SizingModel.FIXED_MARGIN)
