"""The backtest's arithmetic in plain functions over arrays: the engine's own entries, ladder, exits and costs.

``simulate`` is ordinary Python, and ``research.compiled`` has it compiled by numba; both give the same bits. Prices are
counted in ticks and quantities in steps, so that nothing is lost to binary fractions; a price is ticks / ticks per
unit. What the kernel leaves out is said in ``research.search``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

# Places in the array of parameters: rates and multiples as in the settings, times in ms, fractions as fractions.
(
    WALLET, HALF_SPREAD, SLIPPAGE, MAKER, TAKER, UNIT, STEPS, MARKET_STEPS, MIN_STEPS, MAX_STEPS, MIN_NOTIONAL,
    SL_MULT, TP1_MULT, TP2_MULT, BE_MULT, TRAIL_MULT, BE_OFFSET, PART_1, PART_2, FIXED_SL, FIXED_TP,
    SIZE_MODEL, BASE_FRACTION, MAX_FRACTION, FACTOR_MIN, FACTOR_MAX, MIN_MARGIN, MAX_MARGIN, FIXED_MARGIN, FIXED_RISK,
    LEVERAGE, MAX_TOTAL_RISK, MAX_NOTIONAL, DAILY_LOSS, DAILY_FRACTION, TOTAL_LOSS, TOTAL_FRACTION,
    THRESHOLD, COOLDOWN_MS, TRAIL_PAUSE_MS, TRAIL_STEP,
) = range(41)  # fmt: skip
PARAMETERS = 41
BY_MARGIN, BY_RISK, BY_FIXED_MARGIN = 0, 1, 2

# Rows of the decisions (stop and target NaN where there is none), columns of a trade, and of an exit.
(D_BAR, D_SIDE, D_CONVICTION, D_STOP, D_TARGET) = range(5)
(
    T_BAR, T_SIDE, T_ENTRY, T_QTY, T_STOP, T_ATR, T_CONVICTION, T_PNL, T_FEES, T_FUNDING, T_EXITS, T_AMBIGUOUS,
    T_OPEN, T_DECIDED, T_END,
) = range(15)  # fmt: skip
TRADE_COLUMNS = 15
(E_BAR, E_TS, E_LEG, E_PRICE, E_QTY, E_FEE) = range(6)
EXIT_COLUMNS = 6
MOST_EXITS = 4
LEG_STOP, LEG_TP1, LEG_TP2, LEG_CLOSE = 0, 1, 2, 3

# Places in the state of the open position: prices in ticks, quantities in steps, money in USDT.
(
    SIGN, ENTRY, STOP, TP1, TP2, BE_FROM, BE_PRICE, DISTANCE, LEFT_1, LEFT_2, OPEN, BEST, TRAIL_AT, AT_BE, TRAILING,
    CLOSING, REALIZED, FEES, PAID, EXITS, AMBIGUOUS, LADDER, AHEAD, RESTING, RETRY_AT, REFUSED, BOTH,
) = range(27)  # fmt: skip
"""STOP is where the plan wants the stop, RESTING where it stands at the venue, which refuses one that price has passed;
BOTH is the last bar that reached the stop and a target."""
STATES = 27

# Places in the state of the account.
(A_WALLET, A_BASELINE, A_DAY, A_DAY_START, A_DAILY, A_TOTAL, A_FREE_MS, A_ENDED_BAR) = range(8)
ACCOUNTS = 8

MINUTE, DAY = 60_000, 86_400_000
ADVERSE, FAVOURABLE = 20_000, 40_000  # when, within a minute, its extremes are told, ms; for the engine path too
BLOCK = 16
"""Bars whose highest high and lowest low are known beforehand, so that a quiet time is passed in few steps."""
LONGEST_PAUSE_S = 30.0
"""A refused stop is tried again after 1 s, 2 s, 4 s … up to this (``core.feedback``)."""
LEAST_SPREAD = 1e-9
"""Told to the gate where no spread is charged: a book without any would count as crossed."""
HAIR = 1e-7
"""In ticks or steps: what binary fractions may be off by. A level so close to a tick is on it, unlike in the engine."""
GRAIN = 1e-12
"""The same as a part of a quantity; less than ``LEAST_SPREAD``, which the engine's sizes know of too."""


def away(ticks: float, sign: float) -> float:
    """Whole ticks, rounded to where the position loses less."""
    return math.ceil(ticks - HAIR) if sign > 0 else math.floor(ticks + HAIR)


def taker_price(price: float, sign: float, p: Floats) -> float:
    """Ticks at which a market order of direction ``sign`` fills when the mid is ``price``."""
    if sign > 0:
        return float(math.ceil(price * (1.0 + p[HALF_SPREAD]) * (1.0 + p[SLIPPAGE]) * p[UNIT] - HAIR))
    return float(math.floor(price * (1.0 - p[HALF_SPREAD]) * (1.0 - p[SLIPPAGE]) * p[UNIT] + HAIR))


def stop_ticks(entry: float, sign: float, atr: float, hint: float, p: Floats) -> float:
    """The ladder's stop of a position entered at the price ``entry``."""
    distance = entry * p[FIXED_SL] / 100.0 if p[FIXED_SL] > 0 else atr * p[SL_MULT]
    if not math.isnan(hint):
        if (entry - hint) * sign <= 0:
            return -1.0
        if p[FIXED_SL] == 0 or (entry - hint) * sign <= distance:
            return away(hint * p[UNIT], sign)
    return away((entry - sign * distance) * p[UNIT], sign)


def target_scale(entry: float, sign: float, atr: float, aim: float, p: Floats) -> float:
    """What targets, break-even and trailing are multiples of, in price; −1 for a target on the wrong side."""
    if not math.isnan(aim):
        return abs(aim - entry) / p[TP2_MULT] if (aim - entry) * sign > 0 else -1.0
    if p[FIXED_TP] > 0:
        return float(entry * p[FIXED_TP] / 100.0 / p[TP2_MULT])
    return atr


def has_ladder(entry: float, stop: float, sign: float, scale: float, p: Floats) -> bool:
    """Whether a ladder can be built; else the entry is refused, or, once filled, the stop is an emergency's."""
    if stop <= 0 or (entry * p[UNIT] - stop) * sign <= 0 or scale <= 0:
        return False
    return bool(entry + sign * scale * p[TP2_MULT] > 0 and entry + sign * scale * p[TP1_MULT] > 0)


def position_size(wallet: float, price: float, stop: float, conviction: float, p: Floats) -> float:
    """Whole steps of an entry, 0 when it is refused."""
    cap = wallet * p[MAX_FRACTION]
    if wallet <= 0:
        return 0.0
    if p[SIZE_MODEL] == BY_RISK:
        amount = wallet * p[FIXED_RISK] / abs(price - stop)
    elif p[SIZE_MODEL] == BY_FIXED_MARGIN:
        amount = p[FIXED_MARGIN] * p[LEVERAGE] / price
    else:
        if p[MIN_MARGIN] > cap:
            return 0.0
        factor = min(max(0.5 + conviction, p[FACTOR_MIN]), p[FACTOR_MAX])
        raw = wallet * p[BASE_FRACTION] * factor
        margin = max(min(raw, cap, p[MAX_MARGIN]), min(p[MIN_MARGIN], cap))
        amount = margin * p[LEVERAGE] / price
    steps = math.floor(amount * p[STEPS] / p[MARKET_STEPS] * (1.0 + GRAIN)) * p[MARKET_STEPS]
    steps = min(steps, p[MAX_STEPS])
    qty = steps / p[STEPS]
    value = qty * price
    if steps < p[MIN_STEPS] or value < p[MIN_NOTIONAL] or value > p[MAX_NOTIONAL]:
        return 0.0
    if abs(price - stop) * qty > cap or value / p[LEVERAGE] > wallet * p[MAX_TOTAL_RISK]:
        return 0.0
    return float(steps)


def enough(steps: float, ticks: float, p: Floats) -> bool:
    """Whether the venue takes an order of this size at this price."""
    return steps >= p[MIN_STEPS] and steps > 0 and steps / p[STEPS] * ticks / p[UNIT] >= p[MIN_NOTIONAL]


def split(s: Floats, p: Floats) -> None:
    """Quantities of TP1 and TP2; what is too small for the venue joins its neighbour (``ladder.split_quantities``)."""
    qty = s[OPEN]
    first, second = math.floor(qty * p[PART_1] + HAIR), math.floor(qty * p[PART_2] + HAIR)
    if not enough(second, s[TP2], p):
        second = 0.0
    if not enough(first, s[TP1], p):
        moved = first + second
        second = moved if enough(moved, s[TP2], p) else 0.0
        first = 0.0
    runner = qty - first - second
    if runner > 0 and not enough(runner, s[TP2], p) and first + second > 0:
        if second > 0:
            second += runner
        else:
            first += runner
    s[LEFT_1], s[LEFT_2] = first, second


def enter(s: Floats, sign: float, price: float, qty: float, atr: float, hint: float, aim: float, p: Floats) -> None:
    """Fill the entry at the mid ``price`` and set up the ladder on the real fill."""
    s[:] = 0.0
    ticks = taker_price(price, sign, p)
    entry = ticks / p[UNIT]
    stop = stop_ticks(entry, sign, atr, hint, p)
    scale = target_scale(entry, sign, atr, aim, p)
    s[SIGN], s[ENTRY], s[OPEN] = sign, ticks, qty
    s[FEES] = qty / p[STEPS] * entry * p[TAKER]
    if not has_ladder(entry, stop, sign, scale, p):
        stop = away((entry - sign * atr * p[SL_MULT]) * p[UNIT], sign)
        s[STOP] = max(1.0, min(stop, ticks - 1)) if sign > 0 else max(stop, ticks + 1)
        protect(s, price, p)
        return
    s[LADDER], s[STOP] = 1.0, stop
    s[TP1] = away((entry + sign * scale * p[TP1_MULT]) * p[UNIT], sign)
    s[TP2] = away((entry + sign * scale * p[TP2_MULT]) * p[UNIT], sign)
    s[BE_FROM] = away((entry + sign * scale * p[BE_MULT]) * p[UNIT], sign)
    s[BE_PRICE] = away((entry + sign * entry * p[BE_OFFSET] / 10_000.0) * p[UNIT], sign)
    s[DISTANCE] = max(1.0, math.floor(scale * p[TRAIL_MULT] * p[UNIT] + 0.5 + HAIR))
    split(s, p)
    protect(s, price, p)


def protect(s: Floats, price: float, p: Floats) -> None:
    """The first stop: refused where spread and slippage put the entry beyond it, and then the position is closed."""
    s[RESTING] = s[STOP]
    if (price - s[STOP] / p[UNIT]) * s[SIGN] <= 0:
        s[CLOSING] = 1.0
    ahead(s, p)


def replace_stop(s: Floats, price: float, now: float, p: Floats) -> None:
    """Bring the venue's stop to where the plan wants it, if price allows; the older one stays meanwhile."""
    if s[RESTING] == s[STOP] or now < s[RETRY_AT]:
        return
    if (price - s[STOP] / p[UNIT]) * s[SIGN] <= 0:
        s[RETRY_AT] = now + 1000.0 * min(LONGEST_PAUSE_S, 2.0 ** min(s[REFUSED], 10.0))
        s[REFUSED] += 1
        return
    s[RESTING], s[REFUSED] = s[STOP], 0.0


def ahead(s: Floats, p: Floats) -> None:
    """Work out the nearest price in the position's favour at which something changes."""
    sign = s[SIGN]
    nearest = math.inf
    if s[LEFT_1] > 0:
        nearest = min(nearest, s[TP1] * sign)
    if s[LEFT_2] > 0:
        nearest = min(nearest, s[TP2] * sign)
    if s[LADDER] > 0 and s[AT_BE] == 0:
        nearest = min(nearest, s[BE_FROM] * sign)
    if s[TRAILING] > 0:
        nearest = min(nearest, s[BEST] * p[UNIT] * sign)
    elif s[LADDER] > 0 and s[LEFT_2] <= 0:
        nearest = min(nearest, s[TP2] * sign)
    s[AHEAD] = nearest * sign / p[UNIT]


def leave(
    s: Floats, out: Floats, bar: int, now: float, leg: int, ticks: float, qty: float, fee: float, p: Floats
) -> None:
    """Book one exit of ``qty`` steps at ``ticks``, with the fee rate ``fee``."""
    amount = qty / p[STEPS]
    cost = amount * (ticks / p[UNIT]) * fee
    if leg == LEG_STOP and s[BOTH] == bar:
        s[AMBIGUOUS] = 1.0
    s[REALIZED] += (ticks - s[ENTRY]) / p[UNIT] * s[SIGN] * amount
    s[FEES] += cost
    s[OPEN] -= qty
    row = out[int(s[EXITS])]
    row[E_BAR], row[E_TS], row[E_LEG] = bar, now, leg
    row[E_PRICE], row[E_QTY], row[E_FEE] = ticks / p[UNIT], amount, cost
    s[EXITS] += 1


def exits_at(s: Floats, out: Floats, bar: int, price: float, now: float, gap: bool, p: Floats) -> None:
    """What fills when the market moves to ``price``: a stop first, then targets, nearest first."""
    sign = s[SIGN]
    if s[CLOSING] > 0:
        leave(s, out, bar, now, LEG_CLOSE, taker_price(price, -sign, p), s[OPEN], p[TAKER], p)
        return
    if (price - s[RESTING] / p[UNIT]) * sign <= 0:
        mid = price if gap else s[RESTING] / p[UNIT]
        leave(s, out, bar, now, LEG_STOP, taker_price(mid, -sign, p), s[OPEN], p[TAKER], p)
        return
    if s[LEFT_1] > 0 and (price - s[TP1] / p[UNIT]) * sign > 0:
        leave(s, out, bar, now, LEG_TP1, s[TP1], s[LEFT_1], p[MAKER], p)
        s[LEFT_1] = 0.0
        replace_stop(s, price, now, p)
    if s[LEFT_2] > 0 and (price - s[TP2] / p[UNIT]) * sign > 0:
        leave(s, out, bar, now, LEG_TP2, s[TP2], s[LEFT_2], p[MAKER], p)
        s[LEFT_2] = 0.0
        s[TRAILING] = 1.0
        replace_stop(s, price, now, p)


def move_stop(s: Floats, price: float, now: float, p: Floats) -> None:
    """Break-even and trailing at the mark ``price``."""
    sign = s[SIGN]
    if s[LADDER] == 0 or s[CLOSING] > 0:
        return
    before = s[STOP]
    if s[BEST] == 0 or (price - s[BEST]) * sign > 0:
        s[BEST] = price
    if s[AT_BE] == 0 and (price - s[BE_FROM] / p[UNIT]) * sign >= 0:
        s[AT_BE] = 1.0
        if (s[BE_PRICE] - s[STOP]) * sign > 0:
            s[STOP] = s[BE_PRICE]
    if s[TRAILING] == 0 and s[LEFT_2] <= 0 and (price - s[TP2] / p[UNIT]) * sign >= 0:
        s[TRAILING] = 1.0
    if s[TRAILING] > 0 and now - s[TRAIL_AT] >= p[TRAIL_PAUSE_MS]:
        moved = away(s[BEST] * p[UNIT] - sign * s[DISTANCE], sign)
        if (moved - s[STOP]) * sign >= p[TRAIL_STEP]:
            s[STOP], s[TRAIL_AT] = moved, now
    if s[STOP] != before:
        replace_stop(s, price, now, p)
    ahead(s, p)


def walk(
    s: Floats,
    out: Floats,
    bar: int,
    start: float,
    first: bool,
    o: float,
    worse: float,
    better: float,
    c: float,
    p: Floats,
) -> None:
    """One bar of an open position: open, the extreme against it, the one in its favour, close."""
    sign = s[SIGN]
    if not first:
        exits_at(s, out, bar, o, start, True, p)
        if s[OPEN] <= 0:
            return
    move_stop(s, o, start, p)
    nearest = s[TP1] if s[LEFT_1] > 0 else s[TP2]
    touched = (worse - s[STOP] / p[UNIT]) * sign <= 0
    if touched and s[LEFT_1] + s[LEFT_2] > 0 and (better - nearest / p[UNIT]) * sign > 0:
        s[BOTH] = bar
    exits_at(s, out, bar, worse, start + ADVERSE, False, p)
    if s[OPEN] <= 0:
        return
    move_stop(s, worse, start + ADVERSE, p)
    exits_at(s, out, bar, better, start + FAVOURABLE, False, p)
    if s[OPEN] <= 0:
        return
    move_stop(s, better, start + FAVOURABLE, p)
    exits_at(s, out, bar, c, start + MINUTE, False, p)
    if s[OPEN] > 0:
        move_stop(s, c, start + MINUTE, p)
        replace_stop(s, c, start + MINUTE, p)


def watch_losses(a: Floats, now: float, equity: float, p: Floats) -> None:
    """Today's and total loss against their limits, as of a bar's close."""
    today = math.floor(now / DAY)
    if today != a[A_DAY]:
        a[A_DAY], a[A_DAY_START], a[A_DAILY] = today, equity, 0.0
    daily = p[DAILY_LOSS] if p[DAILY_LOSS] > 0 else a[A_DAY_START] * p[DAILY_FRACTION]
    total = p[TOTAL_LOSS] if p[TOTAL_LOSS] > 0 else a[A_BASELINE] * p[TOTAL_FRACTION]
    if equity - a[A_DAY_START] <= -daily:
        a[A_DAILY] = 1.0
    if equity - a[A_BASELINE] <= -total:
        a[A_TOTAL] = 1.0


def hold(
    s: Floats,
    a: Floats,
    out: Floats,
    first: int,
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    open_ms: Ints,
    tops: Floats,
    bottoms: Floats,
    marks: Ints,
    rates: Floats,
    p: Floats,
) -> int:
    """Carry an open position to its end; returns the bar of its last exit, or the number of bars when it stays open."""
    sign = s[SIGN]
    bar, mark = first, np.searchsorted(marks, first + 1)
    while bar < len(opens):
        if bar > first and s[CLOSING] == 0:
            bar = quiet_until(s, a, bar, marks[mark], highs, lows, closes, tops, bottoms, p)
            if bar >= len(opens):
                break
        start = float(open_ms[bar])
        if bar == marks[mark]:
            s[PAID] -= sign * s[OPEN] / p[STEPS] * opens[bar] * rates[mark]
            mark += 1
        worse, better = (lows[bar], highs[bar]) if sign > 0 else (highs[bar], lows[bar])
        walk(s, out, bar, start, bar == first, opens[bar], worse, better, closes[bar], p)
        marked = a[A_WALLET] + s[REALIZED] - s[FEES] + s[PAID]
        marked += (closes[bar] - s[ENTRY] / p[UNIT]) * sign * s[OPEN] / p[STEPS]
        watch_losses(a, start + MINUTE, marked, p)
        if s[OPEN] <= 0:
            return bar
        if a[A_TOTAL] > 0:
            s[CLOSING] = 1.0
        bar += 1
    return len(opens)


def worst_close(s: Floats, a: Floats, p: Floats) -> float:
    """The close from which on a loss limit may be reached, a hair early: ``watch_losses`` decides."""
    least = a[A_BASELINE] - (p[TOTAL_LOSS] if p[TOTAL_LOSS] > 0 else a[A_BASELINE] * p[TOTAL_FRACTION])
    if a[A_DAILY] == 0:
        daily = p[DAILY_LOSS] if p[DAILY_LOSS] > 0 else a[A_DAY_START] * p[DAILY_FRACTION]
        least = max(least, a[A_DAY_START] - daily)
    entry = s[ENTRY] / p[UNIT]
    settled = a[A_WALLET] + s[REALIZED] - s[FEES] + s[PAID]
    return float(entry + s[SIGN] * ((least - settled) * p[STEPS] / s[OPEN] + entry * 1e-9))


def quiet_until(
    s: Floats,
    a: Floats,
    bar: int,
    limit: int,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    tops: Floats,
    bottoms: Floats,
    p: Floats,
) -> int:
    """The first bar from ``bar`` on in which something can happen: a level, a loss limit, or bar ``limit``."""
    if s[RESTING] != s[STOP] or (s[TRAILING] > 0 and p[TRAIL_PAUSE_MS] >= ADVERSE):
        return bar
    # Prices times the sign: what goes against the position is lower for a short too.
    sign = s[SIGN]
    worse, better, worse_blocks, better_blocks = lows, highs, bottoms, tops
    if sign < 0:
        worse, better, worse_blocks, better_blocks = highs, lows, tops, bottoms
    stop, target, worst = s[STOP] / p[UNIT] * sign, s[AHEAD] * sign, worst_close(s, a, p) * sign
    near, best = max(stop, worst), s[BEST] * sign
    here = bar
    while here < limit:
        if here % BLOCK == 0 and here + BLOCK <= limit:
            block = here // BLOCK
            if worse_blocks[block] * sign > near and better_blocks[block] * sign < target:
                best = max(best, better_blocks[block] * sign)
                here += BLOCK
                continue
        low = worse[here] * sign
        if better[here] * sign >= target or (low <= near and (low <= stop or closes[here] * sign <= worst)):
            break
        best = max(best, better[here] * sign)
        here += 1
    s[BEST] = best * sign
    return here


def simulate(
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    open_ms: Ints,
    tops: Floats,
    bottoms: Floats,
    marks: Ints,
    rates: Floats,
    longs: Flags,
    shorts: Flags,
    atrs: Floats,
    decisions: Floats,
    p: Floats,
    s: Floats,
    a: Floats,
    trades: Floats,
    exits: Floats,
) -> int:
    """Run all decisions; returns the number of trades.

    ``tops`` and ``bottoms``: the highest high and the lowest low of each whole block of BLOCK bars. ``marks``: the bars
    that no open position passes unseen, and n: funding of one of ``rates`` is charged at their open, or their close is
    the first on a new day. ``longs``, ``shorts``, ``atrs`` (n,): where the gate lets a side through at a bar's close,
    and the ATR it sees. ``decisions`` (5, m): see D_BAR. ``s`` (STATES,), ``a`` (ACCOUNTS,): scratch. Of ``trades``
    (m, TRADE_COLUMNS) and ``exits`` (m, MOST_EXITS, EXIT_COLUMNS) as many are filled as there are trades.
    """
    a[:] = 0.0
    a[A_WALLET] = a[A_BASELINE] = p[WALLET]
    a[A_DAY], a[A_FREE_MS], a[A_ENDED_BAR] = -1.0, -1.0, -1.0
    count = 0
    watch_losses(a, float(open_ms[0]) + MINUTE, p[WALLET], p)
    for d in range(decisions.shape[1]):
        bar = int(decisions[D_BAR, d])
        if bar < a[A_ENDED_BAR] or bar + 1 >= len(opens):
            continue
        sign, conviction = decisions[D_SIDE, d], decisions[D_CONVICTION, d]
        now = float(open_ms[bar]) + MINUTE
        if now < a[A_FREE_MS] or not (conviction >= p[THRESHOLD] and (longs[bar] if sign > 0 else shorts[bar])):
            continue
        watch_losses(a, now, a[A_WALLET], p)
        if a[A_DAILY] > 0 or a[A_TOTAL] > 0:
            continue
        atr, hint, aim = atrs[bar], decisions[D_STOP, d], decisions[D_TARGET, d]
        touch = closes[bar] * (1.0 + sign * max(p[HALF_SPREAD], LEAST_SPREAD))
        planned = stop_ticks(touch, sign, atr, hint, p)
        if not has_ladder(touch, planned, sign, target_scale(touch, sign, atr, aim, p), p):
            continue
        qty = position_size(a[A_WALLET], touch, planned / p[UNIT], conviction, p)
        if qty <= 0:
            continue
        exits[count] = 0.0
        enter(s, sign, opens[bar + 1], qty, atr, hint, aim, p)
        stop = s[STOP]
        end = hold(s, a, exits[count], bar + 1, opens, highs, lows, closes, open_ms, tops, bottoms, marks, rates, p)
        result = s[REALIZED] - s[FEES] + s[PAID]
        a[A_WALLET] += result
        row = trades[count]
        row[T_BAR], row[T_SIDE], row[T_ENTRY], row[T_QTY] = bar + 1, sign, s[ENTRY] / p[UNIT], qty / p[STEPS]
        row[T_STOP], row[T_ATR], row[T_CONVICTION], row[T_PNL] = stop / p[UNIT], atr, conviction, result
        row[T_FEES], row[T_FUNDING], row[T_EXITS], row[T_AMBIGUOUS] = s[FEES], s[PAID], s[EXITS], s[AMBIGUOUS]
        row[T_OPEN], row[T_DECIDED], row[T_END] = s[OPEN] / p[STEPS], now, end
        count += 1
        if s[OPEN] > 0 or a[A_TOTAL] > 0:
            break
        a[A_ENDED_BAR] = end
        a[A_FREE_MS] = exits[count - 1, int(s[EXITS]) - 1, E_TS] + p[COOLDOWN_MS]
    return count


FUNCTIONS = (
    away, taker_price, stop_ticks, target_scale, has_ladder, position_size, enough, split, ahead, protect,
    enter, replace_stop, leave, exits_at, move_stop, walk, watch_losses, worst_close,
    quiet_until, hold, simulate,
)  # fmt: skip
"""What ``research.compiled`` compiles, callees first."""
