"""A ladder's whole life under random hands, prices, partial fills and trades from elsewhere, at the real exchange.

After each step everything settles without faults; then the stop covers exactly what is open, targets never exceed it,
quantities and prices lie on the venue's steps, the stop has only tightened unless a person moved it or the entry grew,
and money adds up to the exchange's own figures.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.machine_desk import SYMBOL, HoldingDesk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core import oco
from tui_trader.core.types import ZERO, Leg, OrderType, Side

LEGS = (Leg.TP1, Leg.TP2, Leg.TP3)
SPECS: tuple[dict[str, Decimal], ...] = (
    {},
    {"step_size": Decimal("0.004"), "market_step_size": Decimal("0.004"), "min_qty": Decimal("0.004")},
    {"min_notional": Decimal(400)},
    {"tick_size": Decimal("2.50"), "min_notional": Decimal(5)},
)
"""Contracts whose steps, minimums and ticks leave dust and merge targets."""


class LadderLife(RuleBasedStateMachine):
    """One symbol at the exchange, traded by hand and by price."""

    @initialize(spec=st.sampled_from(SPECS), lots=st.sampled_from((2_000, 2_000, 4)))
    def begin(self, spec: dict[str, Decimal], lots: int) -> None:
        """A desk with one kind of contract, its book thick or thin."""
        self.desk = HoldingDesk(spec=spec).start()
        self.desk.market.lots = lots
        self.desk.market.prints = False
        self.desk.run(1_000)
        self.step = spec.get("step_size", Decimal("0.001"))
        self.tick = spec.get("tick_size", Decimal("0.10"))
        self.stop_was: tuple[int, Decimal, Decimal] | None = None
        self.by_hand = False
        self.alien = False

    # --- what people do ---

    @precondition(lambda self: SYMBOL not in self.desk.engine.state.plans)
    @rule(steps=st.integers(1, 40), side=st.sampled_from(list(Side)), offset=st.sampled_from((None, -1, 0, 3)))
    def enter(self, steps: int, side: Side, offset: int | None) -> None:
        """At market, or with a limit in front of, at or through the touch."""
        if self.desk.account.positions.get(SYMBOL) and self.desk.account.positions[SYMBOL].lots:
            return
        self._command(ev.PauseEntries(ts=self.desk.now, paused=False))
        self._command(ev.PauseEntries(ts=self.desk.now, paused=False, symbol=SYMBOL))
        price = None if offset is None else str(self._tidy(self.desk.market.mid * (1 + side.sign * offset / 2_000)))
        self.desk.enter(str(4 * steps * Decimal("0.001")), price, short=side is Side.SHORT)
        self._settle()

    @rule(fraction=st.sampled_from(("0.01", "0.3", "0.5", "0.99", "1", "2", "0", "-1")))
    def close(self, fraction: str) -> None:
        """A part, all, or nonsense."""
        self._command(ev.ClosePosition(ts=self.desk.now, symbol=SYMBOL, fraction=Decimal(fraction)))

    @rule(away=st.integers(-60, 60))
    def move_stop(self, away: int) -> None:
        """To anywhere, the impossible side included."""
        self.by_hand = True
        self._command(ev.MoveStop(ts=self.desk.now, symbol=SYMBOL, price=self._near(away)))

    @rule(
        leg=st.sampled_from((*LEGS, Leg.STOP)), away=st.integers(-60, 60), part=st.sampled_from(("0.1", "0.5", "1.5"))
    )
    def set_target(self, leg: Leg, away: int, part: str) -> None:
        """Add or move a target."""
        price = self._near(away)
        self._command(ev.SetTarget(ts=self.desk.now, symbol=SYMBOL, leg=leg, price=price, fraction=Decimal(part)))

    @rule(leg=st.sampled_from(LEGS))
    def remove_target(self, leg: Leg) -> None:
        """Take a target away."""
        self._command(ev.RemoveTarget(ts=self.desk.now, symbol=SYMBOL, leg=leg))

    @rule(kind=st.sampled_from((ev.StopToBreakEven, ev.StartTrailing, ev.CancelEntry)))
    def ask(self, kind: type) -> None:
        """Break-even, trailing, no more entry."""
        self._command(kind(ts=self.desk.now, symbol=SYMBOL))

    @rule()
    def flatten(self) -> None:
        """Everything closes."""
        self._command(ev.FlattenAll(ts=self.desk.now))

    # --- what the world does ---

    @rule(away=st.integers(-40, 40), slowly=st.booleans())
    def market_moves(self, away: int, slowly: bool) -> None:
        """The price walks or jumps by up to 4 %."""
        here = self.desk.market.mid
        goal = min(60_000.0, max(30_000.0, here * (1 + away / 1_000)))
        for part in range(1, 4 if slowly else 2):
            self.desk.market.move_to(float(self._tidy(here + (goal - here) * part / (3 if slowly else 1))))
            self.desk.run(1_000)
        self._settle()

    @rule(ms=st.sampled_from((500, 5_000, 65_000)))
    def time_passes(self, ms: int) -> None:
        """Deadlines, pauses, a minute."""
        self.desk.run(min(ms, 10_000))
        self._settle()

    @rule(steps=st.integers(1, 6), closing=st.booleans())
    def traded_elsewhere(self, steps: int, closing: bool) -> None:
        """Somebody trades on the account with a phone."""
        held = self._lots()
        if held == 0:
            return
        side = "SELL" if (held > 0) == closing else "BUY"
        qty = 4 * steps * Decimal("0.001")
        fields = {"symbol": SYMBOL, "side": side, "type": "MARKET", "quantity": str(qty)}
        if closing:
            fields["reduceOnly"] = "true"
        self.desk.request("POST", "/fapi/v1/order", fields)
        self.alien = True
        self._settle()

    # --- at rest ---

    @invariant()
    def all_is_well(self) -> None:
        """What must hold whenever nothing is under way."""
        if hasattr(self, "desk"):
            self.here_equals_the_venue()
            self.the_stop_covers_exactly_what_is_open()
            self.targets_never_exceed_what_is_open()
            self.the_stop_only_tightens()
            self.every_order_is_well_formed()

    def here_equals_the_venue(self) -> None:
        """I7."""
        assert self.desk.engine.state.portfolio.position(SYMBOL).qty == self._lots() * self._lot()
        plan = self._plan()
        if plan is not None:
            assert plan.entered - plan.exited == abs(self._lots() * self._lot()), self.desk.log[-15:]
        self._no_invariant_broke()

    def _no_invariant_broke(self) -> None:
        broken = [text for text in self.desk.log if text.startswith("INVARIANT")]
        assert not broken, broken[:3]

    def the_stop_covers_exactly_what_is_open(self) -> None:
        """I1, I18: nothing is open beyond it, and it would not open anything."""
        held = self._lots()
        algos = [a for a in self.desk.account.open_algos(SYMBOL) if a.is_open]
        if held == 0:
            entering = any(o.live for o in self.desk.engine.state.ledger if o.leg is Leg.ENTRY)
            assert not algos, self.desk.log[-15:]
            assert entering or not self.desk.account.open_orders(SYMBOL), "orphans (I8)"
            return
        assert sum(a.lots for a in algos) == abs(held), self.desk.log[-15:]
        assert all(a.is_buy == (held < 0) and a.reduce_only and a.kind == "STOP_MARKET" for a in algos)

    def targets_never_exceed_what_is_open(self) -> None:
        """I3, I18: what rests, and what is planned."""
        plan, held = self._plan(), abs(self._lots())
        resting = [o for o in self.desk.account.open_orders(SYMBOL) if o.reduce_only]
        assert sum(o.lots - o.filled for o in resting) <= held
        if plan is None or plan.stage is not oco.Stage.OPEN:
            return
        orders = self.desk.engine.state.ledger.of_plan(plan.plan_id)
        rows = self.desk.engine.state.instruments[SYMBOL]
        desired = oco.desired_targets(plan, held * self._lot(), rows, orders)
        assert sum((t.qty for t in desired), ZERO) <= held * self._lot()
        assert all(t.qty % self.step == 0 and t.price % self.tick == 0 for t in desired)
        if not (plan.targets_by_hand or self.alien or plan.exited):
            ladder = plan.ladder
            assert ladder is not None
            assert sum((t.qty for t in ladder.targets), ladder.runner_qty) == plan.entered, "the legs sum to the whole"

    def the_stop_only_tightens(self) -> None:
        """Unless a person moved it, or the entry grew (then the ladder is computed on the new average)."""
        plan = self._plan()
        if plan is None or plan.stop_price <= 0:
            self.stop_was = None
            return
        before, self.stop_was = self.stop_was, (plan.plan_id, plan.stop_price, plan.entered)
        if before is None or before[0] != plan.plan_id or before[2] != plan.entered or self.by_hand:
            self.by_hand = False
            return
        assert (plan.stop_price - before[1]) * plan.side.sign >= 0

    def every_order_is_well_formed(self) -> None:
        """On the steps, reduce-only unless an entry, each id once."""
        placed = [c for c in self.desk.sent if isinstance(c, cmd.PlaceOrder)]
        new = [c for c in placed if not c.resend]
        assert len({c.client_id for c in new}) == len(new)
        for order in placed:
            assert order.qty > 0
            assert order.qty % self.step == 0
            assert order.price % self.tick == 0
            assert order.trigger_price % self.tick == 0
            assert order.reduce_only == (order.leg is not Leg.ENTRY)
            assert (order.trigger_price > 0) == (order.type is OrderType.STOP_MARKET)

    def teardown(self) -> None:
        """Flat at last: nothing rests, and the trades' results are what the wallet changed by."""
        if not hasattr(self, "desk"):
            return
        desk = self.desk
        desk.market.lots = 2_000
        self.flatten()
        for _ in range(4):
            self._settle()
        self.the_stop_covers_exactly_what_is_open()
        assert self._lots() == 0
        assert desk.engine.state.plans == {}
        assert desk.account.open_orders(SYMBOL) == []
        assert desk.engine.state.portfolio.wallet == desk.account.wallet
        if not self.alien:
            earned = sum(t.pnl for t in desk.engine.state.trades)
            assert earned == pytest.approx(float(desk.account.wallet) - 10_000, abs=1e-6)

    # --- helpers ---

    def _plan(self) -> oco.Plan | None:
        return self.desk.engine.state.plans.get(SYMBOL)

    def _lots(self) -> int:
        position = self.desk.account.positions.get(SYMBOL)
        return 0 if position is None else position.lots

    def _lot(self) -> Decimal:
        return self.desk.market.spec.step_size

    def _tidy(self, price: float) -> Decimal:
        return (Decimal(str(price)) / self.tick).to_integral_value() * self.tick

    def _near(self, away: int) -> Decimal:
        return self._tidy(self.desk.market.mid * (1 + away / 1_000))

    def _command(self, command: ev.UserCommand) -> None:
        self.desk.process(command)
        self._settle()

    def _settle(self) -> None:
        """Time enough for every answer, for a comparison with the venue, and for what follows from it."""
        for _ in range(3):
            self.desk.run(1_500)
            self.desk.snapshot()
        self.desk.run(2_000)


TestLadderLife = LadderLife.TestCase
TestLadderLife.settings = settings(max_examples=25, stateful_step_count=25)
