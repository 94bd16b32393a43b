"""History of one symbol: 1 m bars and funding from the package or a file, checked, with its gaps and its hash."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tui_trader.core.bars import Bars
from tui_trader.core.instruments import Instrument
from tui_trader.core.types import MINUTE_MS
from tui_trader.errors import UsageError
from tui_trader.exchange.history import load_recording
from tui_trader.exchange.specs import SPECS

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECIMALS = 10
"""To so many decimals prices and volumes are rounded: a file's binary fractions must not lie just beyond a tick."""
FIELDS = ("open", "high", "low", "close", "volume")


class History(msgspec.Struct, frozen=True, kw_only=True):
    """1 m bars of one symbol, oldest first, and the funding that was charged.

    ``funding_ms`` int64 and ``funding_rate`` float64, shape (m,). ``gaps`` are (first missing open, next present open).
    ``digest`` is the SHA-256 of all values; ``source`` says where they came from.
    """

    symbol: str
    bars: Bars
    funding_ms: NDArray[np.int64]
    funding_rate: NDArray[np.float64]
    source: str
    gaps: tuple[tuple[int, int], ...]
    digest: str

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


def make_history(
    symbol: str,
    bars: Bars,
    funding_ms: NDArray[np.int64],
    funding_rate: NDArray[np.float64],
    source: str,
) -> History:
    """Check bars and funding and put them together. Raises ``UsageError`` naming the first bad bar."""
    bars = msgspec.structs.replace(bars, **{name: np.round(getattr(bars, name), DECIMALS) for name in FIELDS})
    _check(symbol, bars, source)
    holes = np.flatnonzero(np.diff(bars.open_ms) != MINUTE_MS)
    gaps = tuple((int(bars.open_ms[i]) + MINUTE_MS, int(bars.open_ms[i + 1])) for i in holes)
    digest = hashlib.sha256(symbol.encode())
    for array in (*(getattr(bars, name) for name in ("open_ms", *FIELDS)), funding_ms, funding_rate):
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


def _check(symbol: str, bars: Bars, source: str) -> None:
    if not len(bars):
        raise UsageError(f"{source} holds no 1 m candles of {symbol} in the time asked for")
    times = bars.open_ms
    if np.any(times % MINUTE_MS) or np.any(np.diff(times) <= 0):
        raise UsageError(f"{source}: the candles of {symbol} are not in order, or not at whole minutes (UTC, ms)")
    prices = np.stack([getattr(bars, name) for name in FIELDS[:4]])
    good = np.isfinite(prices).all(axis=0) & (prices > 0).all(axis=0) & np.isfinite(bars.volume) & (bars.volume >= 0)
    good &= (bars.low <= np.minimum(bars.open, bars.close)) & (bars.high >= np.maximum(bars.open, bars.close))
    if not good.all():
        at = int(np.flatnonzero(~good)[0])
        raise UsageError(f"{source}: the candle of {symbol} at {int(times[at])} ms cannot be true: {bars.candle(at)}")


def packaged(symbol: str) -> History:
    """The recording that ships with the product. Raises ``UsageError`` when there is none for ``symbol``."""
    try:
        found = load_recording(symbol)
    except FileNotFoundError:
        raise UsageError(f"no candles of {symbol} ship with tui-trader; give a file with --candles") from None
    count = len(found.close)
    bars = Bars(
        timeframe="1m",
        open_ms=found.start_ms + MINUTE_MS * np.arange(count, dtype=np.int64),
        **{name: getattr(found, name) for name in FIELDS},
    )
    funding_ms = np.array(found.funding_ms, dtype=np.int64)
    rates = np.array(found.funding_rate, dtype=np.float64)
    return make_history(symbol, bars, funding_ms, rates, "the recording in the package (Binance USDⓈ-M)")


def from_npz(path: Path, symbol: str) -> History:
    """Candles of an ``.npz`` file: arrays open_time_ms, open … volume, and if there funding_time_ms, funding_rate."""
    with np.load(path, allow_pickle=False) as found:
        missing = {"open_time_ms", *FIELDS} - set(found.files)
        if missing:
            raise UsageError(f"{path} lacks the arrays {', '.join(sorted(missing))}")
        columns = {name: found[name].astype(np.float64) for name in FIELDS}
        bars = Bars(timeframe="1m", open_ms=found["open_time_ms"].astype(np.int64), **columns)
        none = np.zeros(0)
        funding_ms = (found["funding_time_ms"] if "funding_time_ms" in found.files else none).astype(np.int64)
        rates = (found["funding_rate"] if "funding_rate" in found.files else none).astype(np.float64)
    return make_history(symbol, bars, funding_ms, rates, str(path))


def instrument_of(symbol: str) -> Instrument:
    """The filters of a contract as the simulated exchange has them; for an unknown one Binance's usual ones."""
    spec = SPECS.get(symbol)
    base = symbol.removesuffix("USDT").removesuffix("USDC")
    if spec is None:
        return Instrument(symbol=symbol, base_asset=base, tick_size=Decimal("0.0001"), step_size=Decimal("0.1"))
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
