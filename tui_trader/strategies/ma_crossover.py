"""``ma_crossover``: price against the mean of the last closes, every 15 minutes (SPEC §7)."""

from __future__ import annotations

from tui_trader.core.candles import TIMEFRAMES
from tui_trader.core.events import Candle
from tui_trader.core.indicators import mean_close
from tui_trader.core.settings import StrategySettings
from tui_trader.core.types import MINUTE_MS, Side, dec
from tui_trader.strategies.base import Condition, MarketState, Signal, met_score


class MaCrossover:
    """Mean of the last 60 closes of 1 m candles, not counting the current one; above 0.1 % long, below short.

    Conviction is 0.8 (A+) at the edge of the band and grows to 1.0 at five bands from the mean.
    """

    name = "ma_crossover"
    timeframes: tuple[str, ...] = ("1m",)

    def __init__(self, settings: StrategySettings) -> None:
        self._length = settings.ma_length
        self._band = settings.ma_band
        self._every_ms = settings.ma_every_min * MINUTE_MS
        self._stop = dec(settings.ma_stop_pct) / 100
        self._target = dec(settings.ma_target_pct) / 100
        self.warmup_bars = settings.ma_length + 1

    def on_bar(self, state: MarketState, timeframe: str, bar: Candle) -> Signal | None:
        """Evaluate at each multiple of 15 minutes; None between, or with fewer than the needed candles."""
        close_ms = bar.open_ms + TIMEFRAMES[timeframe]
        if close_ms % self._every_ms:
            return None
        bars = state.candles.closed(timeframe, self._length + 1)
        if len(bars) < self._length + 1:
            return None
        mean = mean_close(bars[:-1], self._length)
        if mean is None or mean <= 0:
            return None
        return self._signal(state.symbol, bar.close, mean, close_ms)

    def _signal(self, symbol: str, price: float, mean: float, close_ms: int) -> Signal:
        away = price / mean - 1
        side = Side.LONG if price > mean * (1 + self._band) else None
        side = Side.SHORT if price < mean * (1 - self._band) else side
        score = met_score((abs(away) - self._band) / (4 * self._band)) if side is not None else 0.0
        where = "beyond" if side is not None else "inside"
        condition = Condition(
            name="distance to the mean",
            value=away,
            limit=self._band,
            text=f"{away:+.2%} {where} ±{self._band:.1%}".replace("-", "−"),
            met=side is not None,
            score=score,
        )
        exact = dec(price)
        return Signal(
            strategy=self.name,
            symbol=symbol,
            side=side,
            conviction=score,
            conditions=(condition,),
            bar_close_ms=close_ms,
            stop=exact * (1 - side.sign * self._stop) if side is not None else None,
            target=exact * (1 + side.sign * self._target) if side is not None else None,
            note="" if side is not None else condition.text,
        )
