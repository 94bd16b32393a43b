"""History of one symbol: 1 m bars and funding, checked, with its gaps and its hash; and where it is taken from."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tui_trader.core.bars import Bars
from tui_trader.core.instruments import Instrument
from tui_trader.core.types import HOUR_MS, MINUTE_MS
from tui_trader.errors import UsageError
from tui_trader.exchange.history import Recording, decode_recording, load_recording
from tui_trader.exchange.specs import SPECS

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECIMALS = 10
"""To so many decimals prices and volumes are rounded: a file's binary fractions must not lie just beyond a tick."""
FIELDS = ("open", "high", "low", "close", "volume")
EXCHANGE = "binanceusdm"
"""The exchange whose candles are meant unless another is named, by its ccxt id."""
LONGEST_FUNDING_MS = 8 * HOUR_MS
"""The longest usual funding interval: stamps that lie closer together leave nothing out."""


class Charges(msgspec.Struct, frozen=True):
    """Funding as it is charged, shape (m,): before the first trade of which bar, when (ms), rate, price in quote."""

    bars: NDArray[np.int64]
    at_ms: NDArray[np.int64]
    rates: NDArray[np.float64]
    prices: NDArray[np.float64]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """1 m bars of one symbol, oldest first, and the funding that was charged.

    ``funding_ms`` int64 and ``funding_rate`` float64, shape (m,). ``gaps`` are (first missing open, next present open);
    one at the beginning or the end is time that was asked for and is not there.
    ``digest`` is the SHA-256 of all values; ``source`` says where they came from.
    """

    symbol: str
    bars: Bars
    funding_ms: NDArray[np.int64]
    funding_rate: NDArray[np.float64]
    source: str
    gaps: tuple[tuple[int, int], ...]
    digest: str

    @property
    def unfunded(self) -> tuple[tuple[int, int], ...]:
        """Times (from, to; ms) of which no funding rate is recorded."""
        opens = self.bars.open_ms
        edges = np.concatenate((opens[:1], self.funding_ms, opens[-1:] + MINUTE_MS))
        wide = np.flatnonzero(np.diff(edges) > LONGEST_FUNDING_MS + MINUTE_MS)
        return tuple((int(edges[i]), int(edges[i + 1])) for i in wide)

    @property
    def charges(self) -> Charges:
        """Funding at the open of its minute; where that minute is missing, at the last close before the gap."""
        opens = self.bars.open_ms
        first, last = (int(opens[0]), int(opens[-1])) if len(opens) else (0, -1)
        inside = (self.funding_ms >= first) & (self.funding_ms <= last)
        at_ms = self.funding_ms[inside]
        at = np.searchsorted(opens, at_ms)
        # A minute that is there was found itself; else ``at`` is the one after the gap, which has one before it.
        prices = np.where(opens[at] == at_ms, self.bars.open[at], self.bars.close[at - 1])
        return Charges(at, at_ms, self.funding_rate[inside], prices)

    @property
    def charged_in_gaps(self) -> int:
        """How many of those charges have no candle of their minute."""
        found = self.charges
        return int(np.sum(self.bars.open_ms[found.bars] != found.at_ms))

    def between(self, start_ms: int, end_ms: int) -> History:
        """The bars that opened from ``start_ms`` on and before ``end_ms``, with the funding of that time."""
        first, last = np.searchsorted(self.bars.open_ms, (start_ms, end_ms))
        inside = (self.funding_ms >= start_ms) & (self.funding_ms <= end_ms)
        return make_history(
            self.symbol,
            self.bars.slice(int(first), int(last)),
            self.funding_ms[inside],
            self.funding_rate[inside],
            self.source,
        )

    def asked(self, start_ms: int | None, end_ms: int | None) -> History:
        """The part between two moments (None: no bound), with what is missing at its ends among the gaps."""
        if start_ms is None and end_ms is None:
            return self
        times = self.bars.open_ms
        begin = int(times[0]) if start_ms is None else start_ms
        end = int(times[-1]) + MINUTE_MS if end_ms is None else end_ms
        part = self.between(begin, end)
        first, last = int(part.bars.open_ms[0]), int(part.bars.open_ms[-1]) + MINUTE_MS
        before = ((begin, first),) if first - begin >= MINUTE_MS else ()
        after = ((last, end),) if end - last >= MINUTE_MS else ()
        return msgspec.structs.replace(part, gaps=(*before, *part.gaps, *after))


def make_history(
    symbol: str,
    bars: Bars,
    funding_ms: NDArray[np.int64],
    funding_rate: NDArray[np.float64],
    source: str,
    row: Callable[[int], str] | None = None,
) -> History:
    """Check bars and funding and put them together. Raises ``UsageError`` naming the first bad bar.

    ``row`` gives the words for where bar ``index`` stands in its file.
    """
    with np.errstate(over="ignore"):  # what is too large to be rounded becomes infinite, and is named below
        bars = msgspec.structs.replace(bars, **{name: np.round(getattr(bars, name), DECIMALS) for name in FIELDS})
    _check(symbol, bars, source, row or (lambda index: f"candle {index + 1}"))
    # Exchanges stamp a funding some milliseconds after the minute in which it is charged.
    funding_ms = (funding_ms + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS
    _check_funding(symbol, funding_ms, funding_rate, source)
    holes = np.flatnonzero(np.diff(bars.open_ms) != MINUTE_MS)
    gaps = tuple((int(bars.open_ms[i]) + MINUTE_MS, int(bars.open_ms[i + 1])) for i in holes)
    digest = hashlib.sha256(symbol.encode())
    for array in (*(getattr(bars, name) for name in ("open_ms", *FIELDS)), funding_ms, funding_rate):
        array.flags.writeable = False  # the digest names these numbers, and histories are shared
        digest.update(np.ascontiguousarray(array).tobytes())
    return History(
        symbol=symbol,
        bars=bars,
        funding_ms=funding_ms,
        funding_rate=funding_rate,
        source=source,
        gaps=gaps,
        digest=digest.hexdigest(),
    )


def _check(symbol: str, bars: Bars, source: str, row: Callable[[int], str]) -> None:
    if not len(bars):
        raise UsageError(f"{source} holds no 1 m candles of {symbol} in the time asked for.")
    _check_order(symbol, bars.open_ms, source, row)
    prices = np.stack([getattr(bars, name) for name in FIELDS[:4]])
    good = np.isfinite(prices).all(axis=0) & (prices > 0).all(axis=0) & np.isfinite(bars.volume) & (bars.volume >= 0)
    good &= (bars.low <= np.minimum(bars.open, bars.close)) & (bars.high >= np.maximum(bars.open, bars.close))
    if not good.all():
        at = int(np.flatnonzero(~good)[0])
        values = ", ".join(f"{name} {float(getattr(bars, name)[at]):.10g}" for name in FIELDS)
        raise UsageError(
            f"{source}, {row(at)}: the candle of {symbol} at {shown(int(bars.open_ms[at]))} cannot be true: {values}."
        )


def _check_order(symbol: str, times: NDArray[np.int64], source: str, row: Callable[[int], str]) -> None:
    odd = np.flatnonzero(times % MINUTE_MS)
    if odd.size:
        at = int(odd[0])
        raise UsageError(
            f"{source}, {row(at)}: {int(times[at])} ms is no whole minute (UTC). 1 m candles with the time at which "
            "they open are needed."
        )
    steps = np.diff(times)
    back = np.flatnonzero(steps <= 0)
    if back.size:
        at = int(back[0]) + 1
        what = "stands there twice" if steps[at - 1] == 0 else f"comes after {shown(int(times[at - 1]))}"
        raise UsageError(
            f"{source}, {row(at)}: the candle of {symbol} at {shown(int(times[at]))} {what}. Candles must be in order, "
            "each once."
        )


def check_spacing(history: History) -> None:
    """Raises ``UsageError`` when no two candles lie a minute apart: another timeframe's file."""
    steps = np.diff(history.bars.open_ms)
    usual = int(steps.min()) if len(steps) else MINUTE_MS
    if usual != MINUTE_MS:
        raise UsageError(
            f"{history.source}: the candles of {history.symbol} lie {usual / MINUTE_MS:g} minutes apart; "
            "1 m candles are needed."
        )


def _check_funding(symbol: str, funding_ms: NDArray[np.int64], funding_rate: NDArray[np.float64], source: str) -> None:
    if funding_ms.shape != funding_rate.shape or funding_ms.ndim != 1:
        raise UsageError(f"{source}: {len(funding_ms)} funding times but {len(funding_rate)} rates of {symbol}.")
    if np.any(np.diff(funding_ms) <= 0):
        at = int(np.flatnonzero(np.diff(funding_ms) <= 0)[0]) + 1
        raise UsageError(
            f"{source}: the funding of {symbol} at {shown(int(funding_ms[at]))} is not in order (number {at + 1})."
        )
    odd = np.flatnonzero(~(np.abs(funding_rate) < 1.0))
    if odd.size:
        at = int(odd[0])
        raise UsageError(
            f"{source}: the funding rate of {symbol} at {shown(int(funding_ms[at]))} cannot be true: "
            f"{funding_rate[at]}."
        )


def shown(ms: int) -> str:
    """A time as people read it, UTC."""
    return str(np.datetime64(ms, "ms")).replace("T", " ").removesuffix(".000").removesuffix(":00") + " UTC"


# --- where it is taken from ---


def load_history(
    symbol: str,
    *,
    file: Path | None = None,
    store_path: Path | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
    exchange: str = EXCHANGE,
) -> History:
    """1 m history of ``symbol`` from ``start_ms`` on and before ``end_ms`` (ms, UTC; None: as far as there is any).

    From ``file`` when one is given. Else what the store holds, when it covers the time asked for, and else the
    package's recording. Without bounds: what ``backfill`` fetched from ``exchange``; failing that, the longer one of
    the candles that this store's sessions recorded themselves and the package's. These two are Binance's: for another
    exchange only what was fetched from it counts. What is missing stands in ``History.gaps``.
    Raises ``UsageError``, ``StoreError``.
    """
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise UsageError(f"The end {shown(end_ms)} must lie after the beginning {shown(start_ms)}.")
    if file is not None:
        from tui_trader.research.files import read_history

        found = read_history(file, symbol)
        return (_with_funding(found, store_path, exchange)).asked(start_ms, end_ms)
    candidates = _stored(symbol, store_path, start_ms, end_ms, exchange)
    if _is_own(exchange):
        candidates += _packaged_part(symbol, start_ms, end_ms)
    if not candidates:
        raise UsageError(_nothing(symbol, start_ms, end_ms, exchange))
    return _chosen(candidates, start_ms, end_ms).asked(start_ms, end_ms)


def _chosen(candidates: list[History], start_ms: int | None, end_ms: int | None) -> History:
    """The first that covers what was asked for, in their order; else the one with the most candles."""
    if start_ms is not None or end_ms is not None:
        for found in candidates:
            times = found.bars.open_ms
            begins = start_ms is None or int(times[0]) < start_ms + MINUTE_MS
            ends = end_ms is None or int(times[-1]) + MINUTE_MS >= end_ms
            if begins and ends:
                return found
    elif _is_fetched(candidates[0]):
        return candidates[0]
    return max(candidates, key=lambda found: len(found.bars))


def _is_own(exchange: str) -> bool:
    """Whether it is the exchange of the sessions and of the package's recording."""
    from tui_trader.store.candles import ccxt_name

    return ccxt_name(exchange) == EXCHANGE


def _is_fetched(found: History) -> bool:
    return found.source.endswith("(backfill)")


def _stored(
    symbol: str, store_path: Path | None, start_ms: int | None, end_ms: int | None, exchange: str
) -> list[History]:
    if store_path is None or not store_path.is_file():
        return []
    from tui_trader.store.candles import OWN, ccxt_name, read_candles, read_funding

    found = []
    name = ccxt_name(exchange)
    own = ((OWN, "its own sessions"),) if _is_own(exchange) else ()
    for where, words in ((name, f"{name} (backfill)"), *own):
        columns = read_candles(store_path, symbol, where, start_ms, end_ms)
        if len(columns[0]):
            bars = Bars(timeframe="1m", open_ms=columns[0], **dict(zip(FIELDS, columns[1:], strict=True)))
            funding = read_funding(store_path, symbol, name)
            source = f"the store {store_path.parent.name}/{store_path.name}, from {words}"
            history = make_history(symbol, bars, *funding, source)
            found.append(history.between(int(bars.open_ms[0]), int(bars.open_ms[-1]) + MINUTE_MS))
    return found


def _with_funding(found: History, store_path: Path | None, exchange: str) -> History:
    """A file without funding takes what was backfilled for its time."""
    if len(found.funding_ms) or store_path is None or not store_path.is_file():
        return found
    from tui_trader.store.candles import ccxt_name, read_funding

    times, rates = read_funding(store_path, found.symbol, ccxt_name(exchange))
    if not len(times):
        return found
    whole = make_history(found.symbol, found.bars, times, rates, found.source)
    return whole.between(int(found.bars.open_ms[0]), int(found.bars.open_ms[-1]) + MINUTE_MS)


def _packaged_part(symbol: str, start_ms: int | None, end_ms: int | None) -> list[History]:
    try:
        found = packaged(symbol)
    except UsageError:
        return []
    times = found.bars.open_ms
    outside = (start_ms is not None and int(times[-1]) < start_ms) or (end_ms is not None and int(times[0]) >= end_ms)
    return [] if outside else [found]


def _nothing(symbol: str, start_ms: int | None, end_ms: int | None, exchange: str) -> str:
    since = f" from {shown(start_ms)}" if start_ms is not None else ""
    until = f" until {shown(end_ms)}" if end_ms is not None else ""
    try:
        times = packaged(symbol).bars.open_ms
    except UsageError:
        ships = f"No candles of {symbol} ship with tui-trader"
    else:
        ships = f"The package has Binance's {symbol} from {shown(int(times[0]))} to {shown(int(times[-1]))}"
    return (
        f"There are no candles of {symbol} of {exchange}{since}{until} in the store. {ships}. Fetch them with "
        f"`tui-trader backfill {symbol} --exchange {exchange}`, or give a file with --candles."
    )


@functools.cache
def packaged(symbol: str) -> History:
    """The recording that ships with the product. Raises ``UsageError`` when there is none for ``symbol``.

    Of some symbols 30 days ship for research; of the others the 8 days that the simulated exchange replays.
    """
    try:
        found = _recording(symbol)
    except FileNotFoundError:
        raise UsageError(f"No candles of {symbol} ship with tui-trader; give a file with --candles.") from None
    count = len(found.close)
    bars = Bars(
        timeframe="1m",
        open_ms=found.start_ms + MINUTE_MS * np.arange(count, dtype=np.int64),
        **{name: getattr(found, name) for name in FIELDS},
    )
    funding_ms = np.array(found.funding_ms, dtype=np.int64)
    rates = np.array(found.funding_rate, dtype=np.float64)
    return make_history(symbol, bars, funding_ms, rates, "the recording in the package (Binance USDⓈ-M)")


def _recording(symbol: str) -> Recording:
    file = resources.files("tui_trader.research").joinpath("data", f"{symbol}.npz")
    return decode_recording(file.read_bytes()) if file.is_file() else load_recording(symbol)


def instrument_of(symbol: str, bars: Bars | None = None) -> Instrument:
    """The filters of a contract as the simulated exchange has them. Those of an unknown one are told by its ``bars``:
    the tick by the decimals of its prices, the step by what about 1 USDT buys.
    """
    spec = SPECS.get(symbol)
    if spec is None:
        unknown = Instrument(symbol=symbol, base_asset=symbol.removesuffix("USDT").removesuffix("USDC"))
        return unknown if bars is None else _told_by(bars, unknown)
    return Instrument(
        symbol=symbol,
        base_asset=spec.base_asset,
        tick_size=spec.tick_size,
        step_size=spec.step_size,
        market_step_size=spec.market_step_size,
        min_qty=spec.min_qty,
        max_qty=spec.max_qty,
        market_max_qty=spec.market_max_qty,
        min_notional=spec.min_notional,
        multiplier_up=spec.multiplier_up,
        multiplier_down=spec.multiplier_down,
        max_leverage=spec.max_leverage,
        maintenance_rate=spec.maintenance_rate,
        funding_interval_hours=spec.funding_interval_hours,
    )


def _told_by(bars: Bars, unknown: Instrument) -> Instrument:
    prices = np.concatenate([getattr(bars, name) for name in FIELDS[:4]])
    places = next((d for d in range(DECIMALS) if np.array_equal(np.round(prices, d), prices)), DECIMALS)
    size = math.ceil(math.log10(prices.max()))
    most = Decimal(1).scaleb(8 - size)
    return msgspec.structs.replace(
        unknown,
        tick_size=Decimal(1).scaleb(-places),
        step_size=min(Decimal(1), Decimal(1).scaleb(-size)),
        max_qty=most,
        market_max_qty=most,
    )
