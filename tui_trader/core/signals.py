"""What strategies say: signals with every condition's value, and the protocol that a strategy fulfils."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import msgspec

from tui_trader.core.bars import Window
from tui_trader.core.candles import CandleBook
from tui_trader.core.parameters import Parameter, Values
from tui_trader.core.types import Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of a setup: its value against its limit. ``score`` 0–1 counts with ``weight``."""

    name: str
    value: float
    limit: float
    text: str
    met: bool
    score: float
    weight: float = 1.0


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy concludes at a bar's close. ``side`` None means hold; prices are suggestions in quote."""

    strategy: str
    symbol: str
    side: Side | None
    conviction: float
    conditions: tuple[Condition, ...]
    bar_close_ms: int
    stop: Decimal | None = None
    target: Decimal | None = None
    note: str = ""


class MarketState(msgspec.Struct, frozen=True, kw_only=True):
    """The read-only view of one symbol that a strategy gets: closed candles only.

    ``values`` are the parameters in force for it, ``source`` says where they came from.
    """

    symbol: str
    candles: CandleBook
    timeframe: str
    values: Values
    source: str = "default"


class Strategy(Protocol):
    """Closed candles in, signals out. A strategy never places orders, keeps no clock and remembers nothing."""

    name: str
    timeframe: str
    """The timeframe it runs on unless the settings say otherwise."""
    parameters: tuple[Parameter, ...]

    def higher(self, timeframe: str) -> str | None:
        """The higher timeframe that it looks at beside ``timeframe``, or None."""
        ...

    def history(self, values: Values) -> tuple[int, int]:
        """How many closed bars it needs of its timeframe and of the higher one."""
        ...

    def on_bar(self, state: MarketState) -> Signal | None:
        """Called at the close of a bar of its timeframe; None means nothing to say."""
        ...

    def scan(self, window: Window, values: Values) -> Scan:
        """The same decisions over a whole window at once."""
        ...


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """The bars of a window at whose close a strategy wants to enter, ascending; the other arrays stand beside ``bars``.

    ``side`` int8: 1 long, −1 short; ``conviction`` 0–1; ``stop`` and ``target`` in quote, NaN for none.
    """

    bars: NDArray[np.int64]
    side: NDArray[np.int8]
    conviction: NDArray[np.float64]
    stop: NDArray[np.float64]
    target: NDArray[np.float64]


class Scored(Protocol):
    """What has a part in a confluence: a score of 0–1 that counts with a weight ≥ 0."""

    @property
    def score(self) -> float: ...

    @property
    def weight(self) -> float: ...


def confluence(conditions: Sequence[Scored]) -> float:
    """Weighted mean of the conditions' scores, 0–1; 0 without conditions."""
    weight = sum(c.weight for c in conditions)
    return sum(c.score * c.weight for c in conditions) / weight if weight > 0 else 0.0
