"""The crossover in three forms of backtesting.py, for ``peers``.

``Brief`` returns from ``next`` at once while there is nothing to decide; ``Plain`` reads price, mean and clock on every
bar, as its manual does; ``Ladder`` does what ours does besides: half closed at 2.4 %, 30 % at 4 %, the stop to
break-even from 1.6 % on, and a trailing stop for the rest.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from backtesting import Strategy

BAND = 0.001


class Plain(Strategy):
    target = 0.04
    at: Any

    def init(self) -> None:
        close = pd.Series(self.data.Close)
        self.mean = self.I(lambda: close.rolling(60).mean().shift(1).to_numpy())
        self.due = self.I(lambda: self.at)

    def next(self) -> None:
        price, mean, now = self.data.Close[-1], self.mean[-1], self.due[-1]
        if not self.position and now:
            self.decide(price, mean)

    def decide(self, price: float, mean: float) -> None:
        if price > mean * (1 + BAND):
            self.buy(size=0.1, sl=price * 0.98, tp=price * (1 + self.target) if self.target else None)
        elif price < mean * (1 - BAND):
            self.sell(size=0.1, sl=price * 1.02, tp=price * (1 - self.target) if self.target else None)


class Brief(Plain):
    def next(self) -> None:
        if self.position or not self.due[-1]:
            return
        self.decide(self.data.Close[-1], self.mean[-1])


class Ladder(Plain):
    target = 0.0
    stage = 0

    def next(self) -> None:
        if self.trades:
            self.carry(self.trades[-1])
            return
        self.stage = 0
        super().next()

    def carry(self, trade: Any) -> None:
        sign = 1 if trade.is_long else -1
        extreme = self.data.High[-1] if sign > 0 else self.data.Low[-1]
        gain = (extreme / trade.entry_price - 1) * sign
        if self.stage == 0 and gain >= 0.016:
            trade.sl = trade.entry_price * (1 + sign * 0.0005)
            self.stage = 1
        if self.stage == 1 and gain >= 0.024:
            trade.close(0.5)
            self.stage = 2
        if self.stage == 2 and gain >= 0.04:
            trade.close(0.6)
            self.stage = 3
        stop = extreme * (1 - sign * 0.0128)
        if self.stage == 3 and (stop - trade.sl) * sign > 0:
            trade.sl = stop


FORMS = {"brief": Brief, "plain": Plain, "ladder": Ladder}
