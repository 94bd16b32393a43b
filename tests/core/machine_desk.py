"""A desk whose engine can be made deaf for a while: what the venue says meanwhile is held, to be heard in any order."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from tests.core.build import settings
from tests.desk import Desk, candles
from tui_trader.core import events as ev
from tui_trader.core.types import Channel
from tui_trader.exchange.accounts import Account

SYMBOL = "BTCUSDT"
TICK_MS, STEP_MS = 250, 50


class Held(msgspec.Struct, frozen=True):
    """One thing said by the venue: words for a failing test, and its delivery."""

    label: str
    hear: Callable[[], None]


class HoldingDesk(Desk):
    """``hold`` lets the exchange live on while the engine hears nothing; ``release`` delivers in a given order."""

    def __init__(self, **changes: object) -> None:
        self.held: list[Held] = []
        self._holding = False
        self._label = ""
        super().__init__(settings=settings(limits={"total_loss_frac": 1.0, "daily_loss_frac": 1.0}), **changes)
        self.api.limits.weight_limit = 1_000_000

    def start(self) -> HoldingDesk:
        """As a desk starts, with just enough history."""
        info = self._get("/fapi/v1/exchangeInfo", {}, signed=False)
        from tests.desk import instrument

        self.process(ev.InstrumentsLoaded(ts=self.now, instruments=tuple(instrument(s) for s in info["symbols"])))
        history = candles(self.market.mid, self.atr, count=15 * 15, end_ms=self.now)
        self.process(ev.CandleHistory(ts=self.now, symbol=SYMBOL, candles=history))
        for channel in Channel:
            self.process(ev.LinkUp(ts=self.now, channel=channel, latency_ms=1.0))
        self.snapshot()
        self.run(1_500)
        return self

    def _on_user_event(self, account: Account, event: dict[str, object]) -> None:
        body = event.get("o") or {}
        self._label = f"{event['e']} {body.get('caid') or body.get('c') or ''} {body.get('X', '')}".strip()
        super()._on_user_event(account, event)

    def _later(self, action: Callable[[], None], delay: int | None = None) -> None:
        if self._holding and not action.__qualname__.startswith("Desk._carry"):
            self.held.append(Held(self._label or action.__qualname__, action))
            self._label = ""
            return
        self._label = ""
        super()._later(action, delay)

    def run(self, ms: int) -> None:
        """Let venue time pass: words travel in fine steps, prices and the timer come in coarser ones than a desk's."""
        end = self.now + ms
        while self.now < end:
            for _ in range(TICK_MS // STEP_MS):
                if self.now < end:
                    self._step(min(STEP_MS, end - self.now))
            self._feed()
            self.process(ev.Timer(ts=self.now))

    def hold(self, ms: int = 200) -> None:
        """Let venue time pass without a word to the engine; what is said is held."""
        self._holding = True
        for _ in range(ms // STEP_MS):
            self._step(STEP_MS)
        self._holding = False

    def _step(self, ms: int) -> None:
        self.clock.advance(ms)
        self.exchange.advance_to(self.now)
        while self._due and self._due[0][0] <= self.now:
            heapq.heappop(self._due)[2]()

    def walk(self, price: float, ms: int = 1_200) -> None:
        """The market goes to ``price`` while the engine hears nothing."""
        self.market.move_to(price)
        self.hold(ms)

    def release(self, order: Sequence[int], *, gap_ms: int = 0) -> None:
        """Deliver what was held in this order (the rest after it, as it came), then let everything settle."""
        held, self.held = self.held, []
        for index in (*order, *range(len(order), len(held))):
            held[index].hear()
            if gap_ms:
                self._step(gap_ms)
        for _ in range(2):
            self.run(1_500)
            self.snapshot()
        self.run(1_500)

    def enter(self, qty: str, limit: str | None = None, *, short: bool = False) -> None:
        """Enter by hand, without waiting."""
        from tui_trader.core.types import Side

        self.process(
            ev.OpenPosition(
                ts=self.now,
                symbol=SYMBOL,
                side=Side.SHORT if short else Side.LONG,
                qty=Decimal(qty),
                limit_price=None if limit is None else Decimal(limit),
                override_soft=True,
            )
        )


def final_state(desk: Desk) -> dict[str, object]:
    """All that must not depend on the order in which things were heard.

    Left out: times, client-id revisions, and ended orders that never traded. A word heard late may make the engine
    place an order that another order of words spares it (a stop for the part that it knows of), and take it back.
    """
    state = desk.engine.state
    plan = state.plans.get(SYMBOL)
    position = state.portfolio.position(SYMBOL)
    orders = sorted(
        (o.leg.value, o.status.value, str(o.qty), str(o.price), str(o.trigger_price), str(o.filled_qty), str(o.booked))
        for o in state.ledger
        if o.live or o.filled_qty > 0
    )
    return {
        "venue": (desk.account.positions[SYMBOL].lots if SYMBOL in desk.account.positions else 0, desk.resting()),
        "wallet": (desk.account.wallet, state.portfolio.wallet),
        "position": (position.qty, position.entry, state.reconciling),
        "plan": None if plan is None else plan_body(plan),
        "orders": orders,
        "trades": [
            (
                t.side.value,
                t.qty,
                round(t.entry, 6),
                round(t.exit, 6),
                round(t.pnl, 6),
                round(t.fees, 8),
                t.reason,
                t.tp1,
            )
            for t in state.trades
        ],
        "halted": state.halted,
    }


LEFT_OUT = frozenset(
    {
        "opened_ms", "entry_deadline_ms", "trail_ms", "first_fill_ms", "closed_ms", "naked_since_ms",
        "longest_naked_ms", "stop_failures", "revisions", "closing_ms", "targets_off_ms", "proven_ms",
    }
)  # fmt: skip


def plan_body(plan: msgspec.Struct) -> dict[str, object]:
    """A plan without times, counters of tries and revisions."""
    return {name: getattr(plan, name) for name in plan.__struct_fields__ if name not in LEFT_OUT}
