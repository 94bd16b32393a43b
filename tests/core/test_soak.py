"""Random markets and random faults, then quiet: whatever happened, the account ends protected or flat and agreed on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal

import pytest

from tests.core.build import settings
from tests.core.test_reconcile import remembered
from tests.desk import Desk
from tui_trader.core import events as ev
from tui_trader.core import oco
from tui_trader.core.state import Recovered
from tui_trader.core.types import Side
from tui_trader.exchange.rest import Reply

STEPS = 50
QUIET_MS = 60_000


class Chaos:
    """Faults at several percent each, all from one seeded source, while ``on``."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk = desk
        self.random = random.Random(seed)
        self.on = True
        desk.lose_request = self._lose_request
        desk.faults = self._reply
        desk.stream_delays = self._delays

    def _hit(self, chance: float) -> bool:
        return self.on and self.random.random() < 2 * chance

    def _lose_request(self, method: str, path: str) -> bool:
        return path.lower().endswith("order") and self._hit(0.03)

    def _reply(self, method: str, path: str, reply: Reply) -> Reply | None:
        if not path.lower().endswith("order"):
            return reply
        if self._hit(0.04):
            return None
        if self._hit(0.02):
            return Reply(503, '{"code":-1007,"msg":"Timeout waiting for response from backend server."}')
        return reply

    def _delays(self, event: dict[str, object]) -> Sequence[int]:
        if self._hit(0.05):
            return ()
        if self._hit(0.05):
            return (0, self.random.randrange(100, 5_000))
        return (self.random.randrange(100, 3_000),) if self._hit(0.1) else (0,)

    def act(self) -> None:
        """Something that a person, a phone or the venue may do."""
        desk, draw = self.desk, self.random.random()
        held = desk.engine.state.portfolio.position("BTCUSDT").qty
        if "BTCUSDT" not in desk.engine.state.plans and draw < 0.5:
            side = self.random.choice(list(Side))
            limit = Decimal(str(round(desk.market.mid))) if draw < 0.1 else None
            desk.process(
                ev.OpenPosition(
                    ts=desk.now,
                    symbol="BTCUSDT",
                    side=side,
                    qty=Decimal("0.040"),
                    limit_price=limit,
                    override_soft=True,
                )
            )
        elif draw < 0.04:
            desk.process(ev.ClosePosition(ts=desk.now, symbol="BTCUSDT", fraction=Decimal("0.3")))
        elif draw < 0.06:
            desk.process(ev.FlattenAll(ts=desk.now))
            desk.process(ev.PauseEntries(ts=desk.now, paused=False))
        elif draw < 0.09 and held:
            self._elsewhere("SELL" if held > 0 else "BUY", "0.011")
        elif draw < 0.11 and held:
            self._elsewhere("SELL" if held < 0 else "BUY", "0.007")
        elif draw < 0.12 and held:
            self._elsewhere("SELL" if held > 0 else "BUY", "0.060")
        elif draw < 0.14:
            for algo in list(desk.account.open_algos("BTCUSDT"))[:1]:
                desk.exchange.algos.cancel(algo)

    def _elsewhere(self, side: str, qty: str) -> None:
        faults, lose = self.desk.faults, self.desk.lose_request
        self.desk.faults = self.desk.lose_request = None
        fields = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": qty}
        self.desk.request("POST", "/fapi/v1/order", fields)
        self.desk.faults, self.desk.lose_request = faults, lose


def crash(desk: Desk, rng: random.Random) -> None:
    """The process dies between two writes: the newest rows that were not durable are lost with it. It starts again."""
    desk.run(rng.choice((0, 100, 200)))
    lost = rng.randrange(1, 30)
    desk.records = desk.records[:-lost] + [r for r in desk.records[-lost:] if r.durable]
    desk.restart(Recovered() if rng.random() < 0.2 else remembered(desk))
    desk.start()


def walk(seed: int, *, crashes: float = 0.0) -> Desk:
    """One session: ``STEPS`` moves under faults and crashes, then a quiet minute. A snapshot is asked every 10 s."""
    desk = Desk(settings=settings(limits={"total_loss_frac": 1.0, "daily_loss_frac": 1.0}), latency_ms=30)
    desk.start()
    chaos = Chaos(desk, seed)
    price = desk.market.mid
    for step in range(STEPS):
        price = min(60_000.0, max(30_000.0, price + chaos.random.gauss(0, 350)))
        desk.move(round(price, 1), ms=chaos.random.choice((300, 1_000, 2_500)))
        chaos.act()
        if chaos.random.random() < crashes:
            crash(desk, chaos.random)
        if step % 8 == 7:
            desk.snapshot()
    chaos.on = False
    for _ in range(QUIET_MS // 10_000):
        desk.snapshot()
        desk.run(10_000)
    return desk


def problems(desk: Desk) -> list[str]:
    """What is wrong with the account at rest; empty when protected or flat, and agreed on."""
    state = desk.engine.state
    held, local = desk.position, state.portfolio.position("BTCUSDT").qty
    found = [] if held == local else [f"position {local} here, {held} at the venue"]
    plan = state.plans.get("BTCUSDT")
    orders = state.ledger.of_plan(plan.plan_id) if plan is not None else []
    if held != 0 and (plan is None or oco.proven_stop(plan, orders, abs(held)) is None):
        found.append(f"{held} is held without a proven stop")
    if held == 0 and [r for r in desk.resting() if plan is None]:
        found.append(f"orphans rest: {desk.resting()}")
    if plan is not None and plan.entered - plan.exited != held * plan.side.sign:
        found.append(f"plan: entered {plan.entered} − exited {plan.exited} ≠ {held}")
    stops = [r for r in desk.resting() if r[0] == "STOP_MARKET"]
    if len(stops) != (1 if held else 0):
        found.append(f"stops at the venue: {stops}")
    limits = sum(Decimal(qty) for kind, _, qty, _ in desk.resting() if kind == "LIMIT")
    if held and limits > abs(held):
        found.append(f"targets {limits} exceed the position {held}")
    found += [f"{o.client_id} is {o.status}" for o in state.ledger.live() if o.unresolved]
    found += [f"{o.client_id} has unheard fills" for o in orders if o.unbooked]
    return found


@pytest.mark.parametrize("seed", range(40))
def test_after_the_faults_all_is_protected_or_flat(seed: int) -> None:
    desk = walk(seed)
    assert problems(desk) == [], "\n".join(desk.log[-30:])


@pytest.mark.parametrize("seed", range(100, 125))
def test_i14_crashes_between_any_two_writes_end_the_same_way(seed: int) -> None:
    desk = walk(seed, crashes=0.03)
    assert problems(desk) == [], "\n".join(desk.log[-30:])
