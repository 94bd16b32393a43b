"""The kernel's arithmetic piece by piece, against the core's own functions in Decimal, and as worked examples."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.research.build import BTC, NO_COSTS, history, settings
from tui_trader.core.instruments import Instrument
from tui_trader.core.ladder import LadderError, build_ladder
from tui_trader.core.settings import Settings
from tui_trader.core.sizing import size_trade
from tui_trader.core.types import Side, Tier
from tui_trader.research import compiled
from tui_trader.research import kernel as k
from tui_trader.research.search import Market
from tui_trader.venues.paper import Costs

Floats = NDArray[np.float64]
ATR = 650.0
NONE = math.nan


def parameters(chosen: Settings | None = None, *, costs: Costs = NO_COSTS, instrument: Instrument = BTC) -> Floats:
    return Market(history([]), instrument, chosen or settings(), costs).parameters(Decimal(10_000))


def entered(p: Floats, *, sign: float = 1.0, qty: float = 100.0, price: float = 43_500.0) -> Floats:
    """A position right after its entry, in steps of 0.001."""
    state = np.zeros(k.STATES)
    k.enter(state, sign, price, qty, ATR, NONE, NONE, p)
    return state


def exits() -> Floats:
    return np.zeros((k.MOST_EXITS, k.EXIT_COLUMNS))


def test_places_do_not_overlap_and_fill_their_arrays() -> None:
    assert (k.TRAIL_STEP, k.T_END, k.E_FEE, k.BOTH, k.A_ENDED_BAR) == (
        k.PARAMETERS - 1,
        k.TRADE_COLUMNS - 1,
        k.EXIT_COLUMNS - 1,
        k.STATES - 1,
        k.ACCOUNTS - 1,
    )


def test_every_function_is_compiled_under_its_own_name() -> None:
    for function in k.FUNCTIONS:
        ours = getattr(compiled, function.__name__)
        assert ours.py_func.__name__ == function.__name__
        assert ours is not function


def test_the_worked_example_of_the_ladder() -> None:
    """Entry 43,500, ATR 650, in ticks of 0.1."""
    s = entered(parameters())
    levels = [s[place] / 10 for place in (k.STOP, k.TP1, k.TP2, k.BE_FROM, k.BE_PRICE, k.DISTANCE)]
    assert levels == [42_850.0, 44_475.0, 45_125.0, 44_150.0, 43_521.8, 520.0]
    assert (s[k.LEFT_1], s[k.LEFT_2], s[k.OPEN]) == (50.0, 30.0, 100.0)
    short = entered(parameters(), sign=-1.0)
    assert [short[k.STOP] / 10, short[k.TP1] / 10] == [44_150.0, 42_525.0]


@given(
    side=st.sampled_from(Side),
    ticks=st.integers(50_000, 1_500_000),
    atr=st.floats(1.0, 3_000.0),
    qty=st.integers(1, 5_000),
    fixed=st.booleans(),
    hint=st.none() | st.floats(-0.2, 0.2),
    aim=st.none() | st.floats(-0.2, 0.2),
    minimum=st.sampled_from([5, 100, 2_000]),
)
def test_the_ladder_is_that_of_the_core(
    side: Side, ticks: int, atr: float, qty: int, fixed: bool, hint: float | None, aim: float | None, minimum: int
) -> None:
    atr = round(atr, 8)
    entry = Decimal(ticks) / 10
    # Six places: a level is on a tick or farther from it than the kernel's hair.
    stop, target = (None if away is None else round(entry * (1 + Decimal(away)), 6) for away in (hint, aim))
    chosen = settings(ladder={"fixed_sl_pct": 1.3, "fixed_tp_pct": 2.7} if fixed else {})
    instrument = msgspec.structs.replace(BTC, min_notional=Decimal(minimum))
    p = parameters(chosen, instrument=instrument)
    state = np.zeros(k.STATES)
    price = float(entry)
    hinted, aimed = (NONE if level is None else float(level) for level in (stop, target))
    k.enter(state, side.sign, price, qty, atr, hinted, aimed, p)
    try:
        ladder = build_ladder(
            side=side,
            entry=entry,
            qty=Decimal(qty) / 1000,
            atr=atr,
            instrument=instrument,
            settings=chosen.ladder,
            stop=stop,
            target=target,
        )
    except LadderError:
        assert state[k.LADDER] == 0
        assert (price * 10 - state[k.STOP]) * side.sign > 0
        return
    assert state[k.LADDER] == 1
    prices = [state[place] for place in (k.STOP, k.BE_FROM, k.BE_PRICE, k.DISTANCE)]
    wanted = [ladder.stop, ladder.be_trigger, ladder.be_price, ladder.trail_distance]
    assert prices == [float(price * 10) for price in wanted]
    legs = {target.leg.name: (float(target.price * 10), float(target.qty * 1000)) for target in ladder.targets}
    ours = {"TP1": (state[k.TP1], state[k.LEFT_1]), "TP2": (state[k.TP2], state[k.LEFT_2])}
    assert {leg: row for leg, row in ours.items() if row[1] > 0} == legs


@given(
    model=st.sampled_from(["margin_fraction", "fixed_risk", "fixed_margin"]),
    wallet=st.integers(1, 100_000),
    ticks=st.integers(100_000, 1_500_000),
    distance=st.integers(1, 50_000),
    conviction=st.floats(0.8, 1.0),
)
def test_sizes_are_those_of_the_core(model: str, wallet: int, ticks: int, distance: int, conviction: float) -> None:
    chosen = settings(sizing={"model": model, "min_margin": Decimal(1), "fixed_margin": Decimal(7)})
    entry, stop = Decimal(ticks) / 10, Decimal(ticks - distance) / 10
    assume(stop > 0)
    conviction = round(conviction, 6)
    p = parameters(chosen)
    trade = size_trade(
        settings=chosen.sizing,
        instrument=BTC,
        tier=Tier.MAIN,
        equity=Decimal(wallet),
        entry=entry,
        stop=stop,
        conviction=conviction,
        margin_in_use=Decimal(0),
        max_total_risk=chosen.limits.max_total_risk,
    )
    refused = bool(trade.refusals) or trade.notional > chosen.limits.max_notional_per_symbol
    steps = k.position_size(float(wallet), float(entry), float(stop), conviction, p)
    assert steps == (0.0 if refused else float(trade.qty * 1000))


def test_a_market_order_pays_to_the_next_tick() -> None:
    p = parameters(costs=Costs(half_spread_bps=1.0, slippage_bps=2.0))
    assert k.taker_price(100_000.0, 1.0, p) == 1_000_301
    assert k.taker_price(100_000.0, -1.0, p) == 999_700


def test_rounding_forgives_a_hair_of_binary_fraction() -> None:
    assert k.away(1_000.0 + 1e-9, 1.0) == 1_000
    assert k.away(1_000.2, 1.0) == 1_001
    assert k.away(1_000.8, -1.0) == 1_000


def test_both_targets_in_one_move_then_the_trailing_stop() -> None:
    p, out = parameters(), exits()
    s = entered(p)
    k.exits_at(s, out, 7, 45_200.0, 40_000.0, False, p)
    assert s[k.EXITS] == 2
    assert out[:2, : k.E_FEE].tolist() == [
        [7, 40_000, k.LEG_TP1, 44_475.0, 0.05],
        [7, 40_000, k.LEG_TP2, 45_125.0, 0.03],
    ]
    assert out[0, k.E_FEE] == pytest.approx(0.05 * 44_475 * 0.0002)
    k.move_stop(s, 45_200.0, 40_000.0, p)
    assert s[k.STOP] / 10 == 45_200.0 - 520.0
    k.move_stop(s, 45_190.0, 50_000.0, p)
    assert s[k.STOP] / 10 == 44_680.0
    k.exits_at(s, out, 7, 44_000.0, 60_000.0, False, p)
    assert out[2, : k.E_FEE].tolist() == [7, 60_000, k.LEG_STOP, 44_680.0, 0.02]
    assert s[k.OPEN] == 0
    assert s[k.REALIZED] == pytest.approx(0.05 * 975 + 0.03 * 1_625 + 0.02 * 1_180)


def test_a_target_exactly_touched_does_not_fill_and_a_stop_does() -> None:
    p, out = parameters(), exits()
    s = entered(p)
    k.exits_at(s, out, 1, 44_475.0, 0.0, False, p)
    assert s[k.EXITS] == 0
    k.exits_at(s, out, 1, 42_850.0, 0.0, False, p)
    assert out[0, k.E_LEG] == k.LEG_STOP


def test_a_gap_through_the_stop_fills_where_the_market_is() -> None:
    p, out = parameters(), exits()
    s = entered(p)
    k.exits_at(s, out, 1, 42_000.0, 0.0, True, p)
    assert out[0, k.E_PRICE] == 42_000.0


def test_a_refused_stop_is_tried_again_after_a_pause_that_doubles() -> None:
    p = parameters()
    s = entered(p)
    s[k.STOP] = 436_000.0
    tries = [second for second in range(200) if _tried(s, second * 1000.0, p)]
    assert tries == [0, 1, 3, 7, 15, 31, 61, 91, 121, 151, 181]
    assert s[k.RESTING] / 10 == 42_850.0
    k.replace_stop(s, 43_600.1, 300_000.0, p)
    assert (s[k.RESTING], s[k.REFUSED]) == (436_000.0, 0.0)


def blocks(prices: Floats, extreme: Callable[..., Floats]) -> Floats:
    whole = len(prices) // k.BLOCK * k.BLOCK
    return extreme(prices[:whole].reshape(-1, k.BLOCK), axis=1)


def _tried(s: Floats, now: float, p: Floats) -> bool:
    before = s[k.REFUSED]
    k.replace_stop(s, 43_500.0, now, p)
    return bool(s[k.REFUSED] > before)


def test_losses_of_the_day_begin_anew_at_midnight_and_the_total_does_not() -> None:
    p = parameters(settings(limits={"daily_loss": Decimal(100), "total_loss": Decimal(150)}))
    a = np.zeros(k.ACCOUNTS)
    a[k.A_BASELINE], a[k.A_DAY] = 10_000.0, -1.0
    seen = []
    for now, equity in ((1.0, 10_000.0), (2.0, 9_901.0), (3.0, 9_900.0), (4.0, 10_000.0), (k.DAY + 1.0, 9_900.0)):
        k.watch_losses(a, now, equity, p)
        seen.append((a[k.A_DAILY], a[k.A_TOTAL]))
    k.watch_losses(a, k.DAY + 2.0, 9_850.0, p)
    assert seen == [(0, 0), (0, 0), (1, 0), (1, 0), (0, 0)]
    assert (a[k.A_DAILY], a[k.A_TOTAL]) == (0, 1)


@given(
    sign=st.sampled_from([1.0, -1.0]),
    moves=st.lists(st.floats(-200.0, 200.0), min_size=1, max_size=60),
    limit=st.integers(0, 60),
)
def test_passing_over_quiet_bars_misses_nothing(sign: float, moves: list[float], limit: int) -> None:
    """What ``quiet_until`` passes over, walked bar by bar, changes nothing but the best price."""
    p = parameters(settings(limits={"daily_loss": Decimal(30)}))
    closes = np.round(43_500.0 + np.cumsum(moves), 1)
    highs, lows = closes + 30.0, closes - 30.0
    stamps = 60_000 * np.arange(len(closes), dtype=np.int64)
    s, a = entered(p, sign=sign), np.zeros(k.ACCOUNTS)
    a[k.A_WALLET] = a[k.A_BASELINE] = a[k.A_DAY_START] = 10_000.0
    k.move_stop(s, 43_500.0, 0.0, p)
    walked, out, watched = s.copy(), exits(), a.copy()
    tops, bottoms = blocks(highs, np.max), blocks(lows, np.min)
    end = k.quiet_until(s, a, 0, min(limit, len(closes)), highs, lows, closes, tops, bottoms, p)
    assert end <= limit
    for bar in range(end):
        worse, better = (lows[bar], highs[bar]) if sign > 0 else (highs[bar], lows[bar])
        k.walk(walked, out, bar, float(stamps[bar]), False, closes[bar], worse, better, closes[bar], p)
        equity = 10_000.0 - walked[k.FEES] + (closes[bar] - 43_500.0) * sign * 0.1
        k.watch_losses(watched, float(stamps[bar]) + k.MINUTE, equity, p)
    np.testing.assert_array_equal(s, walked)
    np.testing.assert_array_equal(a, watched)


def test_no_decision_is_no_trade() -> None:
    found = Market(history([]), BTC, settings(), NO_COSTS)
    bars = found.history.bars
    marks, flat = np.array([len(bars)]), np.zeros(0)
    gate = np.zeros(len(bars), dtype=np.bool_)
    for simulate in (k.simulate, compiled.simulate):
        count = simulate(
            bars.open, bars.high, bars.low, bars.close, bars.open_ms, flat, flat, marks, np.zeros(1), gate,
            gate, found.atr, np.zeros((5, 0)),
            found.parameters(Decimal(100)), np.zeros(k.STATES), np.zeros(k.ACCOUNTS), np.zeros((0, k.TRADE_COLUMNS)),
            np.zeros((0, k.MOST_EXITS, k.EXIT_COLUMNS)),
        )  # fmt: skip
        assert count == 0


def test_no_bar_is_quiet_while_the_venue_refuses_the_stop_or_a_move_is_put_off() -> None:
    p = parameters(settings(execution={"trail_min_interval_s": 90.0}))
    flat, none = np.full(5, 43_500.0), np.zeros(0)
    a = np.zeros(k.ACCOUNTS)
    a[k.A_WALLET] = a[k.A_BASELINE] = a[k.A_DAY_START] = 10_000.0
    ends = []
    for place, value in ((k.CLOSING, 0.0), (k.TRAILING, 1.0), (k.RESTING, 420_000.0)):
        s = entered(p)
        s[place] = value
        ends.append(k.quiet_until(s, a, 0, 5, flat, flat, flat, none, none, p))
    assert ends == [5, 0, 0]


def test_a_size_on_the_edge_of_a_step_is_floored_as_the_engine_does() -> None:
    """The gate's book has a spread of a hair, so a quantity that is whole at the close falls short of it."""
    p = parameters(settings(sizing={"model": "fixed_margin", "fixed_margin": Decimal(20)}))
    whole = k.position_size(10_000.0, 37_500.0, 36_500.0, 1.0, p)
    assert whole > 0
    assert whole / 1000 * 37_500.0 == 20.0 * p[k.LEVERAGE]
    assert k.position_size(10_000.0, 37_500.0 * (1 + k.LEAST_SPREAD), 36_500.0, 1.0, p) == whole - 1
    assert k.position_size(10_000.0, 37_500.0 * (1 + 1e-15), 36_500.0, 1.0, p) == whole
