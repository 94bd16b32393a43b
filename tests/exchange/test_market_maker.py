"""The market replayed into a book: what a client sees agrees with the recording and the calibration."""

import math
from itertools import pairwise

import pytest

from tests.exchange.maker_replay import START_MS, MakerReplay, Minute
from tui_trader.exchange import calibration as cal
from tui_trader.exchange.contract import STEP_MS
from tui_trader.exchange.market_maker import REFILL, build_markets
from tui_trader.exchange.matching import OrderBook
from tui_trader.exchange.specs import SPECS

DAY_MS = 86_400_000
HEALTHY = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "ADAUSDT", "AVAXUSDT", "SUIUSDT", "LINKUSDT"]


def replay(symbol: str, seed: int = 1, start_ms: int = START_MS) -> MakerReplay:
    return MakerReplay(build_markets(seed, start_ms, [symbol])[symbol], start_ms)


def recorded(symbol: str, minutes: int, seed: int = 1) -> list[tuple[int, ...]]:
    """The candles that a later run with the same seed would show as history, in ticks and lots."""
    market = build_markets(seed, START_MS, [symbol])[symbol]
    tick, lot = float(market.spec.tick_size), float(market.spec.step_size)
    market._start_minute += minutes  # type: ignore[attr-defined]
    market._first += minutes  # type: ignore[attr-defined]
    rows = market.history_1m(START_MS, START_MS + minutes * 60_000)
    return [(*(round(v / tick) for v in row[1:5]), round(row[5] / lot)) for row in rows]


@pytest.mark.parametrize("symbol", SPECS)
def test_trades_form_exactly_the_recorded_candles(symbol: str) -> None:
    book = replay(symbol)
    assert [book.minute().ohlcv() for _ in range(25)] == recorded(symbol, 25)


@pytest.mark.parametrize("symbol", HEALTHY)
def test_healthy_symbols_pass_the_liquidity_gate_at_every_minute(symbol: str) -> None:
    book = replay(symbol)
    market = book.market
    assert sum(row[6] for row in market.history_1m(START_MS - DAY_MS, START_MS)) >= 5_000_000
    for _ in range(20):
        seen = book.minute()
        mid = (book.bid + book.ask) / 2
        assert sorted(seen.spreads)[len(seen.spreads) * 99 // 100] / mid <= 3.0e-4
        assert book.depth_notional(0.005) >= 200_000


def test_bad_symbols_fail_in_the_one_respect_they_are_there_for() -> None:
    volume, spread, depth = {}, {}, {}
    for symbol in ("TAOUSDT", "METISUSDT", "MANTAUSDT", "SEIUSDT", "INJUSDT", "1000PEPEUSDT"):
        book = replay(symbol)
        for _ in range(5):
            book.minute()
        volume[symbol] = sum(row[6] for row in book.market.history_1m(START_MS - DAY_MS, START_MS))
        spread[symbol] = (book.ask - book.bid) / book.bid * 1e4
        depth[symbol] = book.depth_notional(0.005)
    assert spread.pop("TAOUSDT") == pytest.approx(99.0, abs=1.0)
    assert max(spread.values()) <= 3.0
    assert depth.pop("METISUSDT") < 200_000
    del depth["TAOUSDT"]
    assert min(depth.values()) > 200_000
    assert volume.pop("MANTAUSDT") < 5_000_000
    assert min(volume.values()) > 5_000_000
    markets = build_markets(1, START_MS, ["SEIUSDT", "INJUSDT"])
    assert markets["SEIUSDT"].funding_rate(START_MS) == 0.0015
    assert markets["INJUSDT"].funding_rate(START_MS) == -0.0005


def test_book_of_btc_looks_like_the_recorded_one() -> None:
    book = replay("BTCUSDT")
    minutes = [book.minute() for _ in range(60)]
    spreads = [s for m in minutes for s in m.spreads]
    assert sum(s > 1 for s in spreads) / len(spreads) < 0.02
    mean_minute = book.market._tape.mean_tick_lots * 0.0001  # type: ignore[attr-defined]
    mid = (book.bid + book.ask) / 2 * 0.1
    touch = sorted(q for m in minutes for q in m.touch)[3600] * mid * 0.001 / mean_minute
    assert touch == pytest.approx(cal.DEPTH_MINUTES[0] / 2, rel=0.35)
    depth = book.depth_notional(0.005) / mean_minute
    assert depth == pytest.approx(cal.DEPTH_MINUTES[-1], rel=0.35)
    changed = [c for m in minutes for c in m.changed]
    assert sum(changed) / len(changed) <= 25
    sides = [is_buy for m in minutes for _, _, is_buy in m.prints]
    same = sum(a == b for a, b in pairwise(sides)) / (len(sides) - 1)
    assert 0.7 < same < 0.97


def test_same_seed_same_market_and_another_seed_another() -> None:
    def run(seed: int, start_ms: int) -> list[object]:
        market = build_markets(seed, start_ms, ["ETHUSDT"])["ETHUSDT"]
        first = market.open_book()
        return [first, *(market.step(start_ms + k * STEP_MS) for k in range(400))]

    assert run(5, START_MS) == run(5, START_MS)
    assert run(5, START_MS) == run(5, START_MS + 11 * 3_600_000)
    assert run(5, START_MS) != run(6, START_MS)


def test_path_and_takers_do_not_depend_on_participants() -> None:
    markets = [build_markets(3, START_MS, ["SUIUSDT"])["SUIUSDT"] for _ in range(2)]
    for market in markets:
        market.open_book()
    for k in range(600):
        now = START_MS + k * STEP_MS
        calm, hit = markets[0].step(now), markets[1].step(now, own_impact_ticks=(k % 7 - 3))
        assert calm.takers == hit.takers
    assert markets[0].open_interest(now) == markets[1].open_interest(now)


def test_maker_refills_over_a_few_steps_what_a_participant_ate() -> None:
    book = replay("BTCUSDT")
    book.minute()
    market = book.market
    eaten = sorted(book.book[False])[:12]
    usual = sum(book.book[False][p] for p in eaten)
    mid = book.bid + book.ask
    for price in eaten:
        del book.book[False][price]
    impact = (book.bid + book.ask - mid) // 2
    depth = []
    for k in range(len(REFILL) + 1):
        book.step(Minute(), own_impact_ticks=impact if k == 0 else 0)
        top = sorted(book.book[False])[:12]
        depth.append(sum(book.book[False][p] for p in top))
    assert depth[0] < 0.7 * usual
    assert depth[-1] > 0.6 * usual
    assert depth[0] < depth[1] < depth[len(REFILL) - 1]
    assert market is book.market


class _Fills:
    """Lets participants' orders trade without accounts."""

    def __init__(self) -> None:
        self.prints: list[int] = []

    def fillable(self, order: object) -> int:
        return order.remaining  # type: ignore[attr-defined,no-any-return]

    def on_match(self, maker: object, price: int, lots: int) -> None:
        self.prints.append(price)

    def on_expired(self, maker: object) -> None:
        raise AssertionError("nothing expires here")


class _Resting:
    """As much of an order as the book looks at."""

    def __init__(self, is_buy: bool, price: int, lots: int) -> None:
        self.account = object()
        self.is_buy, self.price, self.lots, self.filled, self.notional = is_buy, price, lots, 0, 0
        self.resting = False

    @property
    def remaining(self) -> int:
        return self.lots - self.filled


@pytest.mark.parametrize("lots", [1, 5_000, 500_000])
@pytest.mark.parametrize("is_buy", [True, False])
def test_price_never_passes_a_resting_order_before_it_is_filled(is_buy: bool, lots: int) -> None:
    """The matching engine with an order that the path walks through: no trade beyond it while it rests."""
    market = build_markets(4, START_MS, ["BTCUSDT"])["BTCUSDT"]
    fills, book = _Fills(), OrderBook()
    book.apply_levels(market.open_book().levels, fills)
    path = recorded("BTCUSDT", 90, seed=4)
    best = book.bids.best() if is_buy else book.asks.best()
    assert best is not None
    extreme = min(bar[2] for bar in path) if is_buy else max(bar[1] for bar in path)
    price = (best + extreme) // 2
    assert price < best if is_buy else price > best
    order = _Resting(is_buy, price, lots)
    book.rest(order)  # type: ignore[arg-type]
    for k in range(90 * 120):
        fills.prints.clear()
        step = market.step(START_MS + k * STEP_MS)
        book.apply_levels(step.levels, fills)
        for taker_buys, quantity in step.takers:
            book.execute(taker_buys, quantity, None, None, fills)
        bid, ask = book.bids.best(), book.asks.best()
        assert bid is not None
        assert ask is not None
        assert bid < ask
        if order.resting:
            beyond = min(fills.prints, default=price) < price if is_buy else max(fills.prints, default=price) > price
            assert not beyond
    assert order.filled == lots
    assert not order.resting
    assert order.notional == lots * price


def test_index_mark_and_funding_are_near_the_price_and_finite() -> None:
    book = replay("SEIUSDT")
    for _ in range(3):
        book.minute()
        mid = (book.bid + book.ask) / 2 * 0.00001
        now = book.now_ms - STEP_MS
        mark, index = book.market.mark_price(now, mid), book.market.index_price(now)
        assert math.isfinite(mark)
        assert mark == pytest.approx(mid, rel=2e-3)
        assert index == pytest.approx(mid, rel=3e-3)
    four_hours = 4 * 3_600_000
    assert book.market.next_funding_ms(now) == (now // four_hours + 1) * four_hours
    past = book.market.past_funding(START_MS - DAY_MS, now + DAY_MS)
    assert len(past) == 6
    assert all(at <= now and rate == 0.0015 and mark > 0 for at, rate, mark in past)


def test_history_is_gapless_long_and_ends_where_the_run_begins() -> None:
    book = replay("LINKUSDT", start_ms=START_MS + 17_500)
    rows = book.market.history_1m(START_MS - 3 * DAY_MS, START_MS + DAY_MS)
    assert [row[0] for row in rows] == list(range(START_MS - 3 * DAY_MS, START_MS, 60_000))
    for _, o, high, low, c, volume, quote, trades, buy_volume, buy_quote in rows:
        assert low <= min(o, c) <= max(o, c) <= high
        assert low * volume * (1 - 1e-9) <= quote <= high * volume * (1 + 1e-9)
        assert 0 <= buy_volume <= volume
        assert 0 <= buy_quote <= quote
        assert trades >= 1
    assert rows[-1][4] == pytest.approx(book.bid * 0.001, rel=5e-3)


def test_a_run_may_start_inside_a_minute() -> None:
    start = START_MS + 17_500
    late = MakerReplay(build_markets(2, start, ["XRPUSDT"])["XRPUSDT"], start)
    early = replay("XRPUSDT", seed=2)
    seen = Minute()
    for _ in range(36):
        early.step(seen)
    assert (late.bid, late.ask) == seen.bests[35]


def test_unknown_symbol_is_an_error() -> None:
    with pytest.raises(KeyError):
        build_markets(1, START_MS, ["NOPEUSDT"])
