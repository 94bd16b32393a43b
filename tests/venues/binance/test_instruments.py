"""Rules of contracts: what is read, and that an odd row is left out and said instead of guessed."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tui_trader.venues.binance.instruments import ExchangeInfo, FundingInfo, Limits, instruments, limits

ROW: dict[str, Any] = {
    "symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "status": "TRADING", "contractType": "PERPETUAL",
    "maintMarginPercent": "2.5", "requiredMarginPercent": "5",
    "filters": [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
        {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "maxQty": "120"},
        {"filterType": "MIN_NOTIONAL", "notional": "50"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95"},
    ],
}  # fmt: skip


def read(*rows: dict[str, Any]) -> tuple[list[str], list[str]]:
    found, odd = instruments(ExchangeInfo(symbols=list(rows)), [FundingInfo("BTCUSDT", 4)])
    return [row.symbol for row in found], odd


def test_a_contract_is_read_whole() -> None:
    found, odd = instruments(ExchangeInfo(symbols=[ROW]), [FundingInfo("BTCUSDT", 4)])
    row = found[0]
    assert odd == []
    assert (row.tick_size, row.step_size, row.min_notional) == (Decimal("0.10"), Decimal("0.001"), Decimal(50))
    assert (row.market_max_qty, row.maintenance_rate, row.funding_interval_hours) == (120, Decimal("0.025"), 4)


@pytest.mark.parametrize("odd", [{"symbol": "ETHUSDT", "fundingIntervalHours": None}, {"symbol": None}, {}])
def test_an_odd_funding_interval_hides_no_contract(odd: dict[str, Any]) -> None:
    funding = msgspec.convert([odd, {"symbol": "BTCUSDT", "fundingIntervalHours": 4}], list[FundingInfo], strict=False)
    found, told = instruments(ExchangeInfo(symbols=[ROW, {**ROW, "symbol": "ETHUSDT"}]), funding)
    assert [(row.symbol, row.funding_interval_hours) for row in found] == [("BTCUSDT", 4), ("ETHUSDT", 8)]
    assert told == []


def test_other_contracts_are_not_odd() -> None:
    assert read({**ROW, "quoteAsset": "USDC"}, {**ROW, "contractType": "CURRENT_QUARTER"}) == ([], [])


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-1", "1E+99", "x", ""])
def test_an_impossible_number_leaves_one_contract_out(number: int, value: str) -> None:
    row = deepcopy(ROW)
    row["filters"][number] = {
        key: (text if key == "filterType" else value) for key, text in row["filters"][number].items()
    }
    symbols, odd = read(row, {**ROW, "symbol": "ETHUSDT"})
    assert (symbols, len(odd)) == (["ETHUSDT"], 1)


@pytest.mark.parametrize("name", ["PRICE_FILTER", "LOT_SIZE", "MIN_NOTIONAL", "PERCENT_PRICE"])
def test_a_missing_filter_refuses_instead_of_defaulting(name: str) -> None:
    row = {**ROW, "filters": [one for one in ROW["filters"] if one["filterType"] != name]}
    symbols, odd = read(row)
    assert (symbols, len(odd)) == ([], 1)
    assert name in odd[0]


def test_odd_names_and_rows_are_cleaned_and_said() -> None:
    symbols, odd = read({**ROW, "symbol": "币安人生USDT"}, {**ROW, "symbol": "A\x1b[2J"}, {"symbol": 5}, {}, ROW)
    assert (symbols, len(odd)) == (["BTCUSDT"], 4)
    assert not any("\x1b" in text for text in odd)


def limit(value: object, kind: str = "REQUEST_WEIGHT", interval: str = "MINUTE", count: int = 1) -> dict[str, object]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": value}


ORDERS = [limit(400, "ORDERS", "SECOND", 10), limit(1_000, "ORDERS", "MINUTE", 1)]


def test_the_venue_s_limits_are_taken() -> None:
    assert limits([limit(6_000), *ORDERS]) == (Limits(6_000, 400, 1_000), [])


@pytest.mark.parametrize("value", [0, -1, 1, 10**12, 10**30, "x", None, 1.5, True, "NaN"])
def test_a_limit_out_of_reason_is_not_believed_and_said(value: object) -> None:
    """I13: a huge one would get the address banned, a tiny one would keep exits from leaving."""
    found, odd = limits([limit(value), *ORDERS])
    assert found == Limits(2_400, 400, 1_000)
    assert len(odd) == 1
    assert len(odd[0]) < 120


def test_missing_limits_and_those_of_other_spans_leave_the_documented_ones() -> None:
    assert limits([])[0] == Limits()
    assert len(limits([])[1]) == 3
    found, odd = limits([limit(61_000, "RAW_REQUESTS", count=5), limit(9_000, count=5), *ORDERS])
    assert (found, len(odd)) == (Limits(2_400, 400, 1_000), 1)
