"""History: what ships, what is refused, and which source answers which question."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.research.build import START
from tui_trader.core.bars import Bars
from tui_trader.core.events import Candle
from tui_trader.errors import StoreError, UsageError
from tui_trader.research.history import History, instrument_of, load_history, make_history, packaged
from tui_trader.store.candles import OWN, CandleStore
from tui_trader.store.opening import open_store
from tui_trader.store.schema import MIGRATIONS, migrate

NONE = (np.zeros(0, dtype=np.int64), np.zeros(0))
MINUTE = 60_000
PACKAGED_START = 1_746_372_960_000
"""2025-05-04 15:36 UTC."""


def bars_at(opens: Sequence[int]) -> Bars:
    ones = np.ones(len(opens))
    return Bars(
        timeframe="1m",
        open_ms=np.array(opens, dtype=np.int64),
        open=ones * 10,
        high=ones * 12,
        low=ones * 9,
        close=ones * 11,
        volume=ones,
    )


def stored(path: Path, exchange: str, first_ms: int, count: int, price: float, symbol: str = "BTCUSDT") -> None:
    store = CandleStore(path, exchange, symbol, "1m")
    with closing(store):
        store.add([Candle(first_ms + i * MINUTE, price, price, price, price, 1.0) for i in range(count)])


def test_a_shared_history_cannot_be_changed() -> None:
    found = packaged("ETHUSDT")
    for array in (found.bars.open_ms, found.bars.close, found.bars.slice(5, 9).volume, found.funding_rate):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def prices(found: History) -> set[float]:
    return set(found.bars.close.tolist())


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"])
def test_thirty_days_ship(symbol: str) -> None:
    found = packaged(symbol)
    assert int(found.bars.open_ms[0]) == PACKAGED_START
    assert len(found.bars) == 43_196
    assert found.gaps == ()
    assert len(found.funding_ms) >= 89
    assert set(np.diff(found.funding_ms).tolist()) == {8 * 3_600_000}


def test_the_shipped_days_agree_with_what_the_exchange_replays() -> None:
    from tui_trader.exchange.history import load_recording

    eight = load_recording("SOLUSDT")
    part = packaged("SOLUSDT").between(eight.start_ms, eight.start_ms + len(eight.close) * MINUTE)
    np.testing.assert_allclose(part.bars.close, eight.close, rtol=1e-12)
    np.testing.assert_allclose(part.bars.volume, eight.volume, rtol=1e-12)
    np.testing.assert_allclose(part.bars.high, eight.high, rtol=1e-12)


def test_other_recorded_symbols_have_the_exchanges_days_and_unknown_ones_are_refused() -> None:
    assert len(packaged("LTCUSDT").bars) == 11_520
    with pytest.raises(UsageError, match="No candles of NOPEUSDT ship"):
        packaged("NOPEUSDT")


# --- checks ---


@given(st.sets(st.integers(0, 300), min_size=2, max_size=120))
def test_gaps_are_exactly_the_minutes_that_are_missing(minutes: set[int]) -> None:
    there = sorted(minutes)
    found = make_history("A", bars_at([START + m * MINUTE for m in there]), *NONE, "t")
    missing = {m for start, end in found.gaps for m in range((start - START) // MINUTE, (end - START) // MINUTE)}
    assert missing == set(range(there[0], there[-1] + 1)) - minutes


@given(st.integers(2, 40), st.data())
def test_a_candle_out_of_place_is_named_with_its_row(count: int, data: st.DataObject) -> None:
    opens = [START + i * MINUTE for i in range(count)]
    at = data.draw(st.integers(1, count - 1))
    back = data.draw(st.integers(0, at))
    opens[at] = opens[at] - (back + 1) * MINUTE
    with pytest.raises(UsageError) as refused:
        make_history("A", bars_at(opens), *NONE, "file.csv", lambda i: f"line {i + 2}")
    words = str(refused.value)
    assert f"file.csv, line {at + 2}:" in words
    assert ("stands there twice" in words) == (back == 0)


@pytest.mark.parametrize(
    ("field", "value"), [("low", 13.0), ("high", 10.5), ("close", np.nan), ("open", -1.0), ("volume", -1.0)]
)
def test_a_candle_that_cannot_be_true_is_named_with_its_values(field: str, value: float) -> None:
    bars = bars_at([START, START + MINUTE])
    getattr(bars, field)[1] = value
    with pytest.raises(UsageError, match=rf"x, candle 2: .*cannot be true: .*{field} {value:g}"):
        make_history("A", bars, *NONE, "x")


def test_times_that_are_no_minutes_and_impossible_funding_are_refused() -> None:
    with pytest.raises(UsageError, match="no whole minute"):
        make_history("A", bars_at([START + 59_999]), *NONE, "x")
    good = bars_at([START])
    with pytest.raises(UsageError, match="2 funding times but 1 rates"):
        make_history("A", good, np.array([1, 2]), np.array([0.1]), "x")
    with pytest.raises(UsageError, match=r"funding of A at 1970.* not in order \(number 2\)"):
        make_history("A", good, np.array([2, 2]), np.array([0.1, 0.1]), "x")
    with pytest.raises(UsageError, match=r"rate of A .* cannot be true: nan"):
        make_history("A", good, np.array([1]), np.array([np.nan]), "x")


# --- where it comes from ---


def test_without_a_store_the_package_answers_and_what_lies_outside_is_a_gap(tmp_path: Path) -> None:
    assert load_history("BTCUSDT", store_path=tmp_path / "none.sqlite3") == packaged("BTCUSDT")
    begin, end = PACKAGED_START - 10 * MINUTE, PACKAGED_START + 5 * MINUTE
    found = load_history("BTCUSDT", start_ms=begin, end_ms=end)
    assert len(found.bars) == 5
    assert found.gaps == ((begin, PACKAGED_START),)
    late = load_history("BTCUSDT", start_ms=PACKAGED_START + 43_190 * MINUTE, end_ms=PACKAGED_START + 43_200 * MINUTE)
    assert late.gaps == ((PACKAGED_START + 43_196 * MINUTE, PACKAGED_START + 43_200 * MINUTE),)


def test_nothing_anywhere_says_what_ships_and_how_to_fetch() -> None:
    with pytest.raises(UsageError, match=r"from 2025-05-04 15:36 UTC to .*tui-trader backfill BTCUSDT --exchange"):
        load_history("BTCUSDT", start_ms=1_800_000_000_000)
    with pytest.raises(UsageError, match="must lie after the beginning"):
        load_history("BTCUSDT", start_ms=2, end_ms=1)


def test_what_was_fetched_comes_before_the_package(tmp_path: Path) -> None:
    path = tmp_path / "live" / "store.sqlite3"
    stored(path, "binanceusdm", START, 300, 5.0)
    found = load_history("BTCUSDT", store_path=path, exchange="binance")
    assert prices(found) == {5.0}
    assert found.source == "the store live/store.sqlite3, from binanceusdm (backfill)"
    inside = load_history("BTCUSDT", store_path=path, start_ms=START, end_ms=START + 10 * MINUTE)
    assert (len(inside.bars), prices(inside), inside.gaps) == (10, {5.0}, ())
    beyond = load_history("BTCUSDT", store_path=path, start_ms=START, end_ms=START + 400 * MINUTE)
    assert beyond.source.startswith("the recording in the package"), "the store does not cover it"
    with pytest.raises(UsageError, match="no candles of BTCUSDT of okx in the store"):
        load_history("BTCUSDT", store_path=path, exchange="okx")


def test_what_sessions_heard_counts_when_there_is_more_of_it_or_when_it_covers(tmp_path: Path) -> None:
    path = tmp_path / "demo" / "store.sqlite3"
    stored(path, OWN, START, 300, 7.0)
    assert load_history("BTCUSDT", store_path=path).source.startswith("the recording in the package")
    asked = load_history("BTCUSDT", store_path=path, start_ms=START, end_ms=START + 300 * MINUTE)
    assert prices(asked) == {7.0}
    stored(path, OWN, START, 300, 7.0, "NEWUSDT")
    assert prices(load_history("NEWUSDT", store_path=path)) == {7.0}


def test_funding_of_the_store_joins_its_candles(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    stored(path, "binanceusdm", START, 600, 5.0)
    with closing(CandleStore(path, "binanceusdm", "BTCUSDT", "1m")) as store:
        store.add_funding([(START - 8 * 3_600_000, 0.5), (START, 1e-4), (START + 8 * 3_600_000, 2e-4)])
    found = load_history("BTCUSDT", store_path=path)
    assert (found.funding_ms.tolist(), found.funding_rate.tolist()) == (
        [START, START + 8 * 3_600_000],
        [1e-4, 2e-4],
    )


def test_a_damaged_row_of_the_store_is_named_not_used(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    stored(path, "binanceusdm", START, 3, 5.0)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE candles SET high = 'torn' WHERE open_ms = ?", (START + MINUTE,))
        db.commit()
    with pytest.raises(UsageError, match=r"candle 2: .* cannot be true"):
        load_history("BTCUSDT", store_path=path)


def test_a_store_of_an_earlier_version_is_read_and_migrated_with_its_candles(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    before = next(i for i, step in enumerate(MIGRATIONS) if step.__name__ == "_name_exchanges")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db, MIGRATIONS[:before])
        for i in range(300):
            db.execute(
                "INSERT INTO candles(symbol, timeframe, open_ms, open, high, low, close, volume) "
                "VALUES('OLDUSDT', '1m', ?, 3, 3, 3, 3, 1)",
                (START + i * MINUTE,),
            )
    assert prices(load_history("OLDUSDT", store_path=path)) == {3.0}
    open_store(path)
    assert len(load_history("OLDUSDT", store_path=path).bars) == 300


def test_a_store_that_is_still_empty_has_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    path.touch()
    assert load_history("BTCUSDT", store_path=path) == packaged("BTCUSDT")


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        load_history("BTCUSDT", store_path=path)


@pytest.mark.parametrize(
    ("price", "tick", "step"),
    [(0.00001234, "1E-8", "1"), (2.1683, "0.0001", "0.1"), (43_210.5, "0.1", "0.00001"), (7.0, "1", "0.1")],
)
def test_an_unknown_contracts_rules_are_told_by_its_candles(price: float, tick: str, step: str) -> None:
    prices = np.full(3, price)
    flat = msgspec.structs.replace(bars_at([0, MINUTE, 2 * MINUTE]), open=prices, high=prices, low=prices, close=prices)
    found = instrument_of("NEWUSDT", flat)
    assert (found.tick_size, found.step_size) == (Decimal(tick), Decimal(step))
    assert 1e7 <= float(found.market_max_qty) * price <= 1e8
    assert instrument_of("BTCUSDT", flat) == instrument_of("BTCUSDT"), "what is known stays"


def test_a_price_beyond_all_bounds_is_named_without_a_warning() -> None:
    bars = bars_at([START])
    with pytest.raises(UsageError, match="cannot be true: open inf"):
        make_history(
            "BTCUSDT",
            Bars(**{**{n: getattr(bars, n) for n in bars.__struct_fields__}, "open": np.array([1e300])}),
            *NONE,
            "x",
        )
