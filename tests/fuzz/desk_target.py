"""Damaged frames into the whole trader: an engine with an open position at the simulated exchange.

Whatever is heard, no entry goes out; the exchange's own position never stands longer than ``NAKED_MS`` without a stop;
and when the damage ends, the account agrees with the venue and is protected or flat.
"""

from __future__ import annotations

import random

from tests.core.test_executor import opened
from tests.core.test_soak import problems
from tests.desk import Desk
from tests.fuzz import seeds as good
from tests.fuzz.rules import BrokenRuleError
from tests.fuzz.targets import BTC, Plain
from tui_trader.clock import VenueClock
from tui_trader.core import commands as cmd
from tui_trader.core.types import Leg, Side
from tui_trader.exchange.accounts import Account as ExchangeAccount
from tui_trader.exchange.feeds import make_feed
from tui_trader.exchange.wire import dumps
from tui_trader.venues.binance.account import Account
from tui_trader.venues.binance.feeds import Feeds

RECONCILE_MS = 10_000
NAKED_MS = 2 * RECONCILE_MS + 10_000
"""A lie that looks right in every field (a fill that never was) is found by the second comparison with the venue."""
EPISODE = 60
MARKET_STREAMS = ("btcusdt@markPrice@1s", "btcusdt@ticker", "btcusdt@kline_1m", "btcusdt@depth20@100ms", "!ticker@arr")


class _DeskClock(VenueClock):
    """The desk's own time as the venue's."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def now_ms(self) -> int:
        """The desk's now."""
        return self._desk.now


class Trader(Plain):
    """The desk with the real readers of frames in front of its engine."""

    name = "trader"
    measured = False

    def __init__(self) -> None:
        self._rng = random.Random(5)
        said: list[str] = []
        real = Desk._on_user_event

        def listen(desk: Desk, account: ExchangeAccount, event: dict[str, object]) -> None:
            said.append(dumps(event))
            real(desk, account, event)

        Desk._on_user_event = listen  # type: ignore[method-assign]
        try:
            desk = opened()
        finally:
            Desk._on_user_event = real  # type: ignore[method-assign]
        market = []
        for stream in MARKET_STREAMS:
            feed = make_feed(desk.exchange, stream)
            market += [f'{{"stream":"{stream}","data":{frame}}}' for frame in (feed.frames() if feed else [])]
        self.seeds = good.seeds([*said, *market], most=1_000) + good.seeds(said) * 3
        self._begin()

    def _begin(self) -> None:
        side = self._rng.choice(list(Side))
        self._desk = desk = opened(side)
        clock = _DeskClock(desk)
        self._account = Account(desk.process, clock, None, lambda: None)  # type: ignore[arg-type]
        self._feeds = Feeds(
            desk.process, clock, stale_after_s=1e9, soon=lambda flush: flush(), ask_snapshot=lambda symbol: None
        )
        self._feeds.know((BTC,))
        self._feeds.watch((BTC,))
        self._count = 0
        self._sent = len(desk.sent)
        self._bare_since = 0
        self._compared = desk.now

    def feed(self, raw: bytes) -> None:
        """One frame on the private or the public side, then some time."""
        desk = self._desk
        (self._feeds.on_frame if raw.startswith(b'{"stream"') else self._account.on_frame)(raw)
        self._count += 1
        try:
            desk.run(self._rng.choice((100, 100, 500)))
            if desk.now - self._compared > RECONCILE_MS:
                self._compared = desk.now
                desk.snapshot()
            self._judge()
            if self._count >= EPISODE or not self._held():
                self._settle()
                self._begin()
        except BaseException:
            self._begin()
            raise

    def _judge(self) -> None:
        desk = self._desk
        for order in desk.sent[self._sent :]:
            if isinstance(order, cmd.PlaceOrder) and (order.leg is Leg.ENTRY or not order.reduce_only):
                raise BrokenRuleError(f"an entry went out: {order}")
        self._sent = len(desk.sent)
        held = self._held()
        if held == 0 or self._guarded(held):
            self._bare_since = 0
            return
        self._bare_since = self._bare_since or desk.now
        if desk.now - self._bare_since > NAKED_MS:
            raise BrokenRuleError(f"{held} stood {desk.now - self._bare_since} ms without a stop: {desk.log[-8:]}")

    def _held(self) -> int:
        """The position in lots, as the exchange itself holds it."""
        position = self._desk.account.positions.get(BTC)
        return 0 if position is None else position.lots

    def _guarded(self, held: int) -> bool:
        """Whether the exchange itself holds a stop of the whole position."""
        return any(
            algo.is_open and algo.kind == "STOP_MARKET" and algo.is_buy == (held < 0) and algo.lots >= abs(held)
            for algo in self._desk.account.open_algos(BTC)
        )

    def _settle(self) -> None:
        desk = self._desk
        for _ in range(6):
            desk.snapshot()
            desk.run(10_000)
        found = problems(desk)
        if found:
            raise BrokenRuleError(f"after the damage: {found}: {desk.log[-12:]}")
