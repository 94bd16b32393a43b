"""Where the market maker quotes and how much: the levels of a book around a best price.

Close to the best price every tick (or, on a fine tick, about every second one) carries a level; further out levels
stand on multiples of growing spacings. The multiples are absolute prices, so that when the best price moves, far levels
stay where they are and a step changes few of them."""

from __future__ import annotations

from typing import Final

import numpy as np

from tui_trader.exchange import calibration as cal

_ZONES: Final = ((3.0, 0.2), (12.0, 1.0), (cal.REACH_BPS, 5.0))
"""(end, spacing) of the coarser zones, basis points."""
_NEAR_TICKS_FINE: Final = 12
_NEAR_TICKS: Final = 6
_FINE_TICK_BPS: Final = 0.3
_LEVEL_MEAN: Final = float(np.exp(-(cal.LEVEL_LOG_SIGMA**2) / 2))
_REFIT: Final = 0.02


class LadderShape:
    """Level prices and usual quantities of one symbol; prices in ticks, quantities in lots."""

    def __init__(self, reference_ticks: float, tick_lots_per_minute: float, depth_scale: float) -> None:
        """`tick_lots_per_minute` is the mean traded volume of a minute, price in ticks × quantity in lots."""
        self._per_minute = tick_lots_per_minute * depth_scale
        tick_bps = 10_000 / reference_ticks
        self._fine = tick_bps < _FINE_TICK_BPS
        self._near = _NEAR_TICKS_FINE if self._fine else _NEAR_TICKS
        self._spacings: list[int] = []
        spacing = 1
        for _, wanted in _ZONES:
            spacing *= max(1, round(wanted / (tick_bps * spacing)))
            self._spacings.append(spacing)
        self._price = 0.0
        self._ends: list[int] = []
        self._usual: list[float] = []
        self.fit(round(reference_ticks))

    def fit(self, price: int) -> None:
        """Adapt distances and quantities to the price level; spacings stay, so levels keep their places."""
        if abs(price - self._price) <= _REFIT * self._price:
            return
        self._price = float(price)
        tick_bps = 10_000 / price
        self._ends = [max(self._near + 1, round(end / tick_bps)) for end, _ in _ZONES]
        self._usual = self._quantities(tick_bps)

    def _quantities(self, tick_bps: float) -> list[float]:
        distance = np.arange(self._ends[-1] + self._spacings[-1] + 1)
        width = np.full(len(distance), 1 / cal.NEAR_OCCUPANCY if self._fine else 1.0)
        start = self._near
        for end, spacing in zip(self._ends, self._spacings, strict=True):
            width[start : end + 1] = spacing
            start = end + 1
        width[start:] = self._spacings[-1]
        bps, minutes = np.array(cal.DEPTH_BPS), np.array(cal.DEPTH_MINUTES)
        slope = (minutes[-1] - minutes[-2]) / (bps[-1] - bps[-2])
        bps, minutes = np.append(bps, 10 * bps[-1]), np.append(minutes, minutes[-1] + 9 * slope * bps[-1])
        inner = np.maximum(distance, 1) * tick_bps
        within = np.interp(inner, bps, minutes)
        beyond = np.interp(inner + width * tick_bps, bps, minutes)
        both = np.maximum(beyond - within, 1e-9)
        both[0] = np.interp(max(tick_bps, bps[0]), bps, minutes)
        lots = both / 2 * self._per_minute / self._price
        lots[1:] *= _LEVEL_MEAN
        return lots.tolist()  # type: ignore[no-any-return]  # numpy's stubs do not say what the list holds

    def prices(self, best: int, is_bid: bool) -> list[int]:
        """Level prices of a side, best first."""
        sign = -1 if is_bid else 1
        if self._fine:
            levels = [best]
            for k in range(1, self._near):
                price = best + sign * k
                if (price * 2654435761 >> 13) & 1:
                    levels.append(price)
        else:
            levels = list(range(best, best + sign * self._near, sign))
        last = best + sign * (self._near - 1)
        for end, spacing in zip(self._ends, self._spacings, strict=True):
            first = last - last % spacing if is_bid else last + -last % spacing
            if first == last:
                first += sign * spacing
            levels.extend(range(first, best + sign * (end + 1), sign * spacing))
            last = levels[-1]
        return [price for price in levels if price > 0] if is_bid and levels[-1] <= 0 else levels

    def usual(self, distance: int) -> float:
        """Usual quantity of a level so many ticks from the best price."""
        return self._usual[distance] if distance < len(self._usual) else self._usual[-1]
