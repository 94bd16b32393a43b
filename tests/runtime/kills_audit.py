"""What the exchange itself says about a session that is killed again and again: naked times, ids, fills, orphans.

Everything here reads the exchange's own state and the rows that are durable, never the engine.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec

from tui_trader.core.orders import parse_client_id
from tui_trader.core.types import Leg
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.store.emergency import FILE_NAME
from tui_trader.store.opening import read_only

ENDED = {"FILLED": "filled", "CANCELED": "canceled", "EXPIRED": "expired", "EXPIRED_IN_MATCH": "expired"}
ORPHAN_MS = 10_000


class Naked(msgspec.Struct, kw_only=True):
    """A stretch of venue time in which a position had no stop that covers it; ``end_ms`` 0 while it lasts."""

    symbol: str
    begin_ms: int
    end_ms: int = 0


class Guard:
    """Watches, at every change, whether each position is covered by stops resting at the exchange."""

    def __init__(self, engine: ExchangeEngine, account: Account) -> None:
        self._engine = engine
        self._account = account
        self.naked: list[Naked] = []
        self._open: dict[str, Naked] = {}
        self.orphans: dict[str, int] = {}
        """Symbol to since when it is flat with orders of ours resting, venue ms."""

    def look(self) -> None:
        """Compare now. Cheap: called at each account event and each market step."""
        now = self._engine.now_ms
        for symbol, position in self._account.positions.items():
            if position.lots and not self._covered(symbol):
                if symbol not in self._open:
                    self._open[symbol] = Naked(symbol=symbol, begin_ms=now)
                    self.naked.append(self._open[symbol])
            elif symbol in self._open:
                self._open.pop(symbol).end_ms = now
            if not position.lots and self._resting_exits(symbol):
                self.orphans.setdefault(symbol, now)
            else:
                self.orphans.pop(symbol, None)

    def _covered(self, symbol: str) -> bool:
        position = self._account.positions[symbol]
        exits = [a for a in self._account.open_algos(symbol) if a.kind == "STOP_MARKET" and a.reduce_only]
        return sum(a.lots for a in exits if a.is_buy == (position.lots < 0)) >= abs(position.lots)

    def _resting_exits(self, symbol: str) -> bool:
        rows = [*self._account.open_orders(symbol), *self._account.open_algos(symbol)]
        return any(row.reduce_only and parse_client_id(row.client_id) is not None for row in rows)


def overlap(naked: Naked, begin_ms: int, end_ms: int) -> int:
    """How much of ``naked`` lies between two venue times, ms."""
    return max(0, min(naked.end_ms or end_ms, end_ms) - max(naked.begin_ms, begin_ms))


class Rows(msgspec.Struct, kw_only=True):
    """What is durable, at one moment: orders whose intent is there by client id, cancels, fills by symbol and id."""

    orders: dict[str, dict[str, object]]
    cancels: set[str]
    fills: dict[tuple[str, str], Decimal]


def durable(store: Path) -> Rows:
    """The rows of the store and of the emergency log beside it, as a start would find them."""
    with closing(read_only(store)) as db:
        db.row_factory = sqlite3.Row
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sends'").fetchone() is None:
            return Rows(orders={}, cancels=set(), fills={})  # killed while the first start made the tables
        stored = db.execute("SELECT * FROM orders WHERE intent_ts IS NOT NULL")
        orders = {str(row["client_id"]): dict(row) for row in stored}
        sends = db.execute("SELECT client_id FROM sends WHERE action = 'cancel' AND result = 'intent'")
        cancels = {str(row[0]) for row in sends}
        fills = {
            (str(symbol), str(trade)): Decimal(qty) * (1 if side == "BUY" else -1)
            for symbol, trade, qty, side in db.execute("SELECT symbol, trade_id, qty, side FROM fills")
        }
    emergency = store.with_name(FILE_NAME)  # made after the tables: absent when the first start was killed in between
    for line in emergency.read_bytes().split(b"\n") if emergency.exists() else ():
        if not line.strip():
            continue
        row = json.loads(line)
        if row["kind"] == "orders":
            orders.setdefault(str(row["data"]["client_id"]), row["data"])
        elif row["kind"] == "sends" and row["data"]["action"] == "cancel":
            cancels.add(str(row["data"]["client_id"]))
    return Rows(orders=orders, cancels=cancels, fills=fills)


class Auditor:
    """Collects breaches as sentences."""

    def __init__(self, engine: ExchangeEngine, account: Account, store: Path) -> None:
        self._engine = engine
        self._account = account
        self._store = store
        self.acknowledged: set[str] = set()
        self.acknowledged_cancels: set[str] = set()
        self.sent: set[str] = set()
        self.breaches: list[str] = []

    def after_death(self, life: int) -> None:
        """No acknowledged row is lost; what the exchange has of ours was journalled first; nothing exists twice."""
        if not self._store.exists():
            return
        rows = durable(self._store)
        for lost in sorted(self.acknowledged - rows.orders.keys()):
            self._breach(life, f"the acknowledged intent {lost} is not in the store")
        for lost in sorted(self.acknowledged_cancels - rows.cancels):
            self._breach(life, f"the acknowledged cancel of {lost} is not in the store")
        history = self._ours()
        for client_id in sorted(history.keys() - rows.orders.keys()):
            self._breach(life, f"the exchange has {client_id}, which was never journalled")
        for client_id, count in sorted(history.items()):
            if count > 1:
                self._breach(life, f"the exchange has {count} orders with the id {client_id}")
        self._check_entries(life, rows)

    def _ours(self) -> Counter[str]:
        """Ids of ours at the exchange; a triggered stop and the market order it became count as one."""
        regular = [o.client_id for o in self._account.history.values() if o.algo is None]
        algos = [a.client_id for a in self._account.algo_history.values()]
        return Counter(name for name in [*regular, *algos] if parse_client_id(name) is not None)

    def _check_entries(self, life: int, rows: Rows) -> None:
        entries: Counter[tuple[str, int]] = Counter()
        for order in self._account.history.values():
            parsed = parse_client_id(order.client_id)
            if parsed is None or order.algo is not None:
                continue
            if parsed.leg is Leg.ENTRY:
                entries[(parsed.epoch, parsed.plan_id)] += 1
                row = rows.orders.get(order.client_id)
                step = self._engine.states[order.symbol].market.spec.step_size
                if row is not None and step * order.lots > Decimal(str(row["qty"])):
                    self._breach(life, f"{order.client_id} is larger at the exchange than approved")
            elif not order.reduce_only:
                self._breach(life, f"the exit {order.client_id} is not reduce-only")
        for (epoch, plan), count in entries.items():
            if count > 1:
                self._breach(life, f"plan {plan} of {epoch} has {count} entry orders: doubled")

    def at_the_end(self) -> None:
        """Flat, both books empty, and the store agrees with the exchange on every order and every fill."""
        for symbol, position in self._account.positions.items():
            if position.lots:
                self._breach(0, f"{symbol} is not flat at the end: {position.quantity}")
        for row in [*self._account.open_orders(), *self._account.open_algos()]:
            self._breach(0, f"{row.client_id} of {row.symbol} still rests at the end")
        rows = durable(self._store)
        trades = {
            (t.symbol, str(t.id)): t.quantity * (1 if t.is_buy else -1)
            for t in self._account.trades
            if parse_client_id(t.client_id) is not None
        }
        for key in sorted(trades.keys() - rows.fills.keys()):
            self._breach(0, f"the fill {key} is not in the store")
        for key in sorted(rows.fills.keys() - trades.keys()):
            self._breach(0, f"the store has the fill {key}, which the exchange has not")
        self._check_statuses(rows)

    def _check_statuses(self, rows: Rows) -> None:
        for order in self._account.history.values():
            row = rows.orders.get(order.client_id)
            wanted = ENDED.get(order.status)
            if row is None or order.algo is not None or wanted is None:
                continue
            step = self._engine.states[order.symbol].market.spec.step_size
            filled = Decimal(str(row.get("filled_qty") or 0))
            if row["status"] != wanted or filled != step * order.filled:
                words = f"{row['status']}, {filled} filled; the exchange says {wanted}, {step * order.filled}"
                self._breach(0, f"the store says of {order.client_id}: {words}")

    def _breach(self, life: int, words: str) -> None:
        text = f"life {life}: {words}" if life else words
        if words not in (known.partition(": ")[2] for known in self.breaches):
            self.breaches.append(text)
