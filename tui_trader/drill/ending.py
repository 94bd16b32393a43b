"""What must be true when the world has been calm for a minute: venue, local account and durable rows tell one story."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec

from tui_trader.core.orders import parse_client_id
from tui_trader.core.types import ZERO, Leg
from tui_trader.drill.world import SimWorld

Finding = tuple[str, str]
_MADE = frozenset({"REALIZED_PNL", "COMMISSION", "FUNDING_FEE"})
_ROUNDING = Decimal("0.000001")
"""The venue rounds each booking to eight places, and the averages of entries are periodic."""
SETTLED_S = 60.0
"""A payment is stamped up to so long after the moment that it is for."""
_ENDED = ("filled", "canceled", "rejected", "expired")


class _Paid(NamedTuple):
    """One stored funding payment; ``at`` is its stamp in venue ms."""

    tran_id: str
    symbol: str
    amount: Decimal
    at: int
    plan_id: int | None


def at_the_end(world: SimWorld) -> Iterator[Finding]:
    """Each (invariant, words) that does not hold."""
    yield from _orders_are_known(world)
    yield from _agree(world)
    yield from _fills_are_kept(world)
    yield from _money_adds_up(world)
    yield from _funding_is_kept(world)
    yield from _nothing_broke(world)


def _resting(world: SimWorld) -> dict[str, str]:
    account = world.account
    found = {o.client_id: o.symbol for o in account.orders.values()}
    found |= {a.client_id: a.symbol for a in account.algos.values()}
    return {text: symbol for text, symbol in found.items() if parse_client_id(text) is not None}


def _lots(world: SimWorld, symbol: str) -> int:
    position = world.account.positions.get(symbol)
    return position.lots if position is not None else 0


def _orders_are_known(world: SimWorld) -> Iterator[Finding]:
    """I5, I8: what the store calls alive rests at the venue, and what rests belongs to something open."""
    resting = _resting(world)
    marks = ", ".join("?" for _ in _ENDED)
    rows = world.disk.rows(f"SELECT client_id, status FROM orders WHERE status NOT IN ({marks})", *_ENDED)
    for client_id, status in rows:
        if str(client_id) not in resting:
            yield "I5", f"{client_id} is {status} in the store and does not rest at the venue"
    for text, symbol in resting.items():
        cid = parse_client_id(text)
        if cid is not None and cid.leg is not Leg.ENTRY and not _lots(world, symbol):
            yield "I8", f"{symbol}: {text} rests although nothing is open"


def _agree(world: SimWorld) -> Iterator[Finding]:
    """I7: venue, local account and open plans."""
    process = world.process
    trader = process.trader if process is not None else None
    if trader is None:
        yield "I14", "no trader runs a minute after the last fault"
        return
    plans = _open_plans(world)
    for symbol, state in world.exchange.states.items():
        lots = _lots(world, symbol)
        venue = state.lots.decimal(lots)
        local = trader.engine.state.portfolio.position(symbol).qty
        if local != venue:
            yield "I7", f"{symbol}: the venue holds {venue}, here it is {local}"
        held = plans.get(symbol, [])
        if len(held) > 1:
            yield "I7", f"{symbol}: {len(held)} open plans in the store"
        if lots and not held:
            yield "I7", f"{symbol}: {venue} is open and no stored plan owns it"
        entered = sum(held, ZERO)
        if held and lots and entered != venue:
            yield "I7", f"{symbol}: the stored plan accounts for {entered}, the venue holds {venue}"
        if symbol in trader.engine.state.reconciling:
            yield "I7", f"{symbol} is still reconciling"


def _open_plans(world: SimWorld) -> dict[str, list[Decimal]]:
    """What the open plans of the durable store account for, signed, base units, by symbol."""
    found: dict[str, list[Decimal]] = {}
    for symbol, side, body in world.disk.rows("SELECT symbol, side, body FROM plans WHERE closed_ms IS NULL"):
        plan = msgspec.json.decode(str(body))
        qty = Decimal(str(plan["entered"])) - Decimal(str(plan["exited"]))
        found.setdefault(str(symbol), []).append(qty if side == "long" else -qty)
    return found


def _fills_are_kept(world: SimWorld) -> Iterator[Finding]:
    """I6, I9: each execution of an order of ours stands in the store once, with its quantity, under its own plan."""
    stored = {
        (str(symbol), str(trade)): (str(client_id), Decimal(str(qty)), plan)
        for symbol, trade, client_id, qty, plan in world.disk.rows(
            "SELECT symbol, trade_id, client_id, qty, plan_id FROM fills"
        )
    }
    for trade in world.account.trades:
        cid = parse_client_id(trade.client_id)
        row = stored.get((trade.symbol, str(trade.id)))
        if cid is None:
            continue
        if row is None:
            yield "I6", f"{trade.symbol}: the fill {trade.id} of {trade.client_id} is not in the store"
        elif row[1] != trade.quantity:
            yield "I6", f"{trade.symbol}: the fill {trade.id} is stored with {row[1]}, it was {trade.quantity}"
        elif row[2] is not None and row[2] != cid.plan_id:
            yield "I9", f"{trade.symbol}: the fill {trade.id} of plan {cid.plan_id} is stored under plan {row[2]}"


def _money_adds_up(world: SimWorld) -> Iterator[Finding]:
    """I17: the wallet is the deposit plus every booking, and the local one equals it."""
    account = world.account
    booked = sum((row.amount for row in account.income), ZERO)
    if len(account.income) < (account.income.maxlen or 0) and booked != account.wallet:
        yield "I17", f"the venue's wallet is {account.wallet}, its bookings sum to {booked}"
    trader = world.process.trader if world.process is not None else None
    if trader is not None and trader.engine.state.portfolio.wallet != account.wallet:
        yield "I17", f"the wallet is {account.wallet}, here it is {trader.engine.state.portfolio.wallet}"


def _funding_is_kept(world: SimWorld) -> Iterator[Finding]:
    """I17: each funding payment stands in the store once, and each position accounts for its own and no other."""
    rows = [
        _Paid(str(tran_id), str(symbol), Decimal(str(amount)), int(str(at)), None if plan is None else int(str(plan)))
        for tran_id, symbol, amount, at, plan in world.disk.rows(
            "SELECT tran_id, symbol, amount, venue_ts, plan_id FROM funding"
        )
    ]
    stored = {row.tran_id: row.amount for row in rows}
    for booking in world.account.income:
        told = stored.get(str(booking.transaction_id))
        if booking.kind == "FUNDING_FEE" and told != booking.amount:
            found = f"stored as {told}" if told is not None else "not in the store"
            yield "I17", f"{booking.symbol}: funding {booking.amount} ({booking.transaction_id}) is {found}"
    yield from _funding_has_its_trade(world, rows)
    counted = {int(str(n)): Decimal(str(paid)) for n, paid in world.disk.rows("SELECT plan_id, funding FROM trades")}
    for number, body in world.disk.rows("SELECT plan_id, body FROM plans"):
        counted.setdefault(int(str(number)), Decimal(str(msgspec.json.decode(str(body))["funding"])))
    for number, amount in sorted(counted.items()):
        paid = sum((row.amount for row in rows if row.plan_id == number), ZERO)
        if paid != amount:
            yield "I17", f"plan {number} counts {amount} of funding, its payments sum to {paid}"


def _funding_has_its_trade(world: SimWorld, rows: list[_Paid]) -> Iterator[Finding]:
    """A payment belongs to the trade that was open at its stamp; only one without such a trade is the account's."""
    trades = [
        (int(str(number)), str(symbol), int(str(opened)), int(str(closed)))
        for number, symbol, opened, closed in world.disk.rows(
            "SELECT plan_id, symbol, opened_ms, closed_ms FROM trades"
        )
    ]
    late_ms = int(SETTLED_S * 1000)
    for row in rows:
        holders = [
            number for number, symbol, opened, closed in trades if symbol == row.symbol and opened <= row.at <= closed
        ]
        over = [number for number, _, opened, closed in trades if not opened <= row.at <= closed + late_ms]
        if row.plan_id in over or (row.plan_id is None and holders):
            booked = "to no trade" if row.plan_id is None else f"to plan {row.plan_id}"
            yield "I17", f"{row.symbol}: funding {row.amount} at {row.at} is booked {booked}; open then: {holders}"


def when_flat(world: SimWorld) -> Iterator[Finding]:
    """What must be true besides when everything was flattened in calm."""
    for text, symbol in _resting(world).items():
        yield "I8", f"{symbol}: {text} rests although everything was flattened"
    rows = world.disk.rows("SELECT plan_id, symbol FROM plans WHERE closed_ms IS NULL")
    for plan_id, name in rows:
        if not _lots(world, str(name)):
            yield "I7", f"{name}: plan {plan_id} is open in the store although nothing is"
    yield from _trades_add_up(world)


def _trades_add_up(world: SimWorld) -> Iterator[Finding]:
    """I17: trades and funding of no trade sum to what the wallet made, when nobody else traded on the account."""
    account = world.account
    foreign = any(parse_client_id(trade.client_id) is None for trade in account.trades)
    if foreign or any(_lots(world, symbol) for symbol in world.markets):
        return
    made = sum((row.amount for row in account.income if row.kind in _MADE), ZERO)
    told = sum((Decimal(str(pnl)) for (pnl,) in world.disk.rows("SELECT pnl FROM trades")), ZERO)
    rows = world.disk.rows("SELECT amount FROM funding WHERE plan_id IS NULL")
    told += sum((Decimal(str(amount)) for (amount,) in rows), ZERO)
    if abs(made - told) > _ROUNDING:
        yield "I17", f"trades and funding in the store sum to {told}, the wallet made {made}"


def _nothing_broke(world: SimWorld) -> Iterator[Finding]:
    for words in world.defects:
        yield "defect", words
    for text in world.said:
        if text.startswith(("the engine failed", "worker ")) or "the watch itself failed" in text:
            yield "defect", text
