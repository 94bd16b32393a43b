"""``volume_breakout``: a tight range left on volume (SPEC §7)."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.core.candles import TIMEFRAMES
from tui_trader.core.events import Candle
from tui_trader.core.indicators import high_low_range, mean_volume
from tui_trader.core.settings import StrategySettings
from tui_trader.core.types import Side, dec
from tui_trader.strategies.base import Condition, MarketState, Signal, confluence, met_score, missed_score


class VolumeBreakout:
    """Range of the 20 bars before ≤ 3 ATR; a close beyond it on volume ≥ 1.8 × their mean; stop at mid-range.

    A condition just met scores 0.8; tightness reaches 1.0 at half the allowed range, volume at twice the needed one,
    the break at half an ATR beyond the range. Without a break there is nothing to say.
    """

    name = "volume_breakout"

    def __init__(self, settings: StrategySettings, atr_period: int) -> None:
        self.timeframes: tuple[str, ...] = (settings.breakout_timeframe,)
        self._bars = settings.breakout_bars
        self._max_range = settings.breakout_max_range_atr
        self._volume_mult = settings.breakout_volume_mult
        self._atr_period = atr_period
        self.warmup_bars = max(settings.breakout_bars + 1, atr_period + 1)

    def on_bar(self, state: MarketState, timeframe: str, bar: Candle) -> Signal | None:
        """Evaluate one closed bar; None before warm-up and when the close stays inside the range."""
        bars = state.candles.closed(timeframe, self._bars + 1)
        atr = state.candles.atr(timeframe, self._atr_period)
        if len(bars) < self._bars + 1 or atr is None or atr.value <= 0:
            return None
        before = bars[:-1]
        bounds = high_low_range(before, self._bars)
        volume = mean_volume(before, self._bars)
        if bounds is None or not volume:
            return None
        high, low = bounds
        side = Side.LONG if bar.close > high else Side.SHORT if bar.close < low else None
        if side is None:
            return None
        return self._signal(state.symbol, side, bar, (high, low), atr.value, volume, timeframe)

    def _signal(
        self,
        symbol: str,
        side: Side,
        bar: Candle,
        bounds: tuple[float, float],
        atr: float,
        volume: float,
        timeframe: str,
    ) -> Signal:
        conditions = self._conditions(side, bar, bounds, atr, volume)
        met = all(c.met for c in conditions)
        middle = dec((bounds[0] + bounds[1]) / 2)
        return Signal(
            strategy=self.name,
            symbol=symbol,
            side=side if met else None,
            conviction=confluence(conditions) if met else 0.0,
            conditions=conditions,
            bar_close_ms=bar.open_ms + TIMEFRAMES[timeframe],
            stop=self._stop(side, bar, middle) if met else None,
            note="" if met else "; ".join(c.text for c in conditions if not c.met),
        )

    def _stop(self, side: Side, bar: Candle, middle: Decimal) -> Decimal | None:
        return middle if (dec(bar.close) - middle) * side.sign > 0 else None

    def _conditions(
        self, side: Side, bar: Candle, bounds: tuple[float, float], atr: float, volume: float
    ) -> tuple[Condition, ...]:
        width = (bounds[0] - bounds[1]) / atr
        times = bar.volume / volume
        beyond = (bar.close - bounds[0]) / atr if side is Side.LONG else (bounds[1] - bar.close) / atr
        tight = self._max_range / width if width > 0 else 1.0
        heavy = times / self._volume_mult
        return (
            Condition(
                name="consolidation",
                value=width,
                limit=self._max_range,
                text=f"range {width:.1f} ATR {'≤' if width <= self._max_range else '>'} {self._max_range:.1f}",
                met=width <= self._max_range,
                score=met_score(2 - 2 * width / self._max_range) if width <= self._max_range else missed_score(tight),
            ),
            Condition(
                name="volume",
                value=times,
                limit=self._volume_mult,
                text=f"volume {times:.1f}× {'≥' if times >= self._volume_mult else '<'} {self._volume_mult:.1f}",
                met=times >= self._volume_mult,
                score=met_score(times / self._volume_mult - 1) if times >= self._volume_mult else missed_score(heavy),
            ),
            Condition(
                name="break",
                value=beyond,
                limit=0.0,
                text=f"close {beyond:.2f} ATR beyond the range",
                met=beyond > 0,
                score=met_score(2 * beyond),
            ),
        )
