"""What a scenario may look at: the exchange's own positions, orders and trades, never the engine's memory of them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from tui_trader.core.orders import parse_client_id
from tui_trader.core.types import ZERO, Leg, Side
from tui_trader.drill.scenario import Stage
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.orders import AccountTrade, AlgoOrder, Order
from tui_trader.exchange.symbol_state import SymbolState

BTC, ETH = "BTCUSDT", "ETHUSDT"


class ScenarioFailed(AssertionError):  # noqa: N818 - named by what it is: the scenario did not end as it must
    """The exchange's own state is not what the scenario must lead to; the message says what was found instead."""


def check(condition: bool, words: str) -> None:
    """Raise ``ScenarioFailed`` with ``words`` unless ``condition`` holds."""
    if not condition:
        raise ScenarioFailed(words)


class Row(msgspec.Struct, frozen=True):
    """One order as the exchange holds it. ``qty`` and ``filled`` in base, ``price`` (limit or trigger) in quote."""

    client_id: str
    leg: Leg | None
    kind: str
    is_buy: bool
    qty: Decimal
    filled: Decimal
    price: Decimal
    reduce_only: bool
    status: str
    created_ms: int
    updated_ms: int

    @property
    def left(self) -> Decimal:
        """Quantity not filled, base units."""
        return self.qty - self.filled


def _leg(client_id: str) -> Leg | None:
    parsed = parse_client_id(client_id)
    return parsed.leg if parsed is not None else None


def _regular(state: SymbolState, order: Order) -> Row:
    return Row(
        client_id=order.client_id,
        leg=_leg(order.client_id),
        kind=order.kind,
        is_buy=order.is_buy,
        qty=state.lots.decimal(order.lots),
        filled=state.lots.decimal(order.filled),
        price=state.prices.decimal(order.price),
        reduce_only=order.reduce_only,
        status=order.status,
        created_ms=order.created_ms,
        updated_ms=order.updated_ms,
    )


def _conditional(state: SymbolState, algo: AlgoOrder) -> Row:
    return Row(
        client_id=algo.client_id,
        leg=_leg(algo.client_id),
        kind=algo.kind,
        is_buy=algo.is_buy,
        qty=state.lots.decimal(algo.lots),
        filled=state.lots.decimal(algo.order.filled) if algo.order is not None else ZERO,
        price=state.prices.decimal(algo.trigger),
        reduce_only=algo.reduce_only,
        status=algo.status,
        created_ms=algo.created_ms,
        updated_ms=algo.updated_ms,
    )


def position(stage: Stage, symbol: str = BTC) -> Decimal:
    """The exchange's position, signed, base units."""
    return stage.account.position(stage.exchange.states[symbol].spec).quantity


def entry_price(stage: Stage, symbol: str = BTC) -> float:
    """The exchange's average entry price, quote units; 0 when flat."""
    return float(stage.account.position(stage.exchange.states[symbol].spec).entry_price)


def mark(stage: Stage, symbol: str = BTC) -> float:
    """The exchange's mark price, quote units."""
    return stage.exchange.states[symbol].mark


def regular(stage: Stage, symbol: str = BTC) -> list[Row]:
    """What rests in the regular book, oldest first."""
    return [_regular(stage.exchange.states[symbol], o) for o in stage.account.open_orders(symbol)]


def conditional(stage: Stage, symbol: str = BTC) -> list[Row]:
    """What waits in the conditional book, oldest first."""
    return [_conditional(stage.exchange.states[symbol], a) for a in stage.account.open_algos(symbol)]


def own(rows: list[Row]) -> list[Row]:
    """Those with a client id of ours."""
    return [row for row in rows if row.leg is not None]


def stops(stage: Stage, symbol: str = BTC) -> list[Row]:
    """Own protective stops that wait for their trigger."""
    return [row for row in conditional(stage, symbol) if row.leg is Leg.STOP]


def targets(stage: Stage, symbol: str = BTC) -> list[Row]:
    """Own take-profit orders that rest, nearest to the market first."""
    rows = [row for row in regular(stage, symbol) if row.leg is not None and row.leg.target]
    return sorted(rows, key=lambda row: row.price, reverse=bool(rows) and rows[0].is_buy)


def ever(stage: Stage, leg: Leg, symbol: str = BTC) -> list[Row]:
    """Every order of one leg that the exchange ever accepted, in either book, oldest first."""
    state, account = stage.exchange.states[symbol], stage.account
    rows = [_regular(state, o) for o in account.history.values() if o.symbol == symbol and o.algo is None]
    rows += [_conditional(state, a) for a in account.algo_history.values() if a.symbol == symbol]
    return sorted((row for row in rows if row.leg is leg), key=lambda row: row.created_ms)


def trades(stage: Stage, symbol: str = BTC) -> list[AccountTrade]:
    """The account's executions, oldest first."""
    return [trade for trade in stage.account.trades if trade.symbol == symbol]


def sold(stage: Stage, symbol: str = BTC) -> Decimal:
    """Base quantity that the account ever sold."""
    return sum((trade.quantity for trade in trades(stage, symbol) if not trade.is_buy), ZERO)


def entered(stage: Stage, symbol: str = BTC) -> Decimal:
    """Base quantity that entries of ours ever filled: more than was approved would be a doubled order (I2)."""
    return sum((row.filled for row in ever(stage, Leg.ENTRY, symbol)), ZERO)


def covered(stage: Stage, symbol: str = BTC) -> bool:
    """Whether own stops on the losing side of the market cover all that is open (I1); True when flat."""
    qty = position(stage, symbol)
    if qty == 0:
        return True
    now = Decimal(str(mark(stage, symbol)))
    good = [
        row.qty
        for row in stops(stage, symbol)
        if row.reduce_only and row.is_buy == (qty < 0) and (row.price - now) * (1 if qty > 0 else -1) < 0
    ]
    return sum(good, ZERO) >= abs(qty)


def fitted(stage: Stage, symbol: str = BTC) -> bool:
    """Whether exactly one own stop waits, for exactly what is open, and the targets do not exceed it (I3, I18)."""
    qty = abs(position(stage, symbol))
    resting = stops(stage, symbol)
    within = sum((row.left for row in targets(stage, symbol)), ZERO) <= qty
    return qty > 0 and covered(stage, symbol) and len(resting) == 1 and resting[0].qty == qty and within


def gone(stage: Stage, symbol: str = BTC) -> bool:
    """Whether nothing is open and no own order is left in either book (I8)."""
    return position(stage, symbol) == 0 and not own(regular(stage, symbol)) and not own(conditional(stage, symbol))


def heard(stage: Stage, *words: str) -> bool:
    """Whether one sentence of the log has all of ``words`` in it."""
    return any(all(word in text for word in words) for text in stage.said)


def describe(stage: Stage, symbol: str = BTC) -> str:
    """Position and orders in one line, for the words of a failed check."""
    rows = [
        f"{row.kind} {'buy' if row.is_buy else 'sell'} {row.left:f} at {row.price:f} ({row.client_id})"
        for row in [*conditional(stage, symbol), *regular(stage, symbol)]
    ]
    return f"position {position(stage, symbol):f} at {entry_price(stage, symbol)}; " + ("; ".join(rows) or "no orders")


async def wait(stage: Stage, condition: Callable[[], bool], what: str, ms: int = 30_000, symbol: str = BTC) -> None:
    """Wait up to ``ms`` for ``condition``; raises ``ScenarioFailed`` saying ``what`` was awaited and what is."""
    try:
        await stage.until(condition, ms)
    except Exception as error:
        last = " | ".join(stage.said[-4:])
        words = f"not within {ms / 1000:g} s: {what} ({type(error).__name__}); {describe(stage, symbol)}; {last}"
        raise ScenarioFailed(words) from error


async def hold(stage: Stage, condition: Callable[[], bool], what: str, ms: int, symbol: str = BTC) -> None:
    """Look every 100 ms for ``ms``; raises ``ScenarioFailed`` when ``condition`` is once not so."""
    for _ in range(max(1, ms // 100)):
        check(condition(), f"not all the time: {what}; {describe(stage, symbol)}")
        await stage.sleep(100)


async def until_protected(stage: Stage, symbol: str = BTC, ms: int = 30_000) -> None:
    """A position is open and has exactly its stop."""
    await wait(stage, lambda: fitted(stage, symbol), f"{symbol} with exactly its stop", ms, symbol)


async def until_gone(stage: Stage, symbol: str = BTC, ms: int = 30_000) -> None:
    """Flat, and nothing of ours left in either book."""
    await wait(stage, lambda: gone(stage, symbol), f"{symbol} flat without orders", ms, symbol)


class CoverWatch:
    """Looks with every event that the exchange emits whether a covered position has become bare (I10).

    A part that was just entered is not counted: it has ten seconds. ``bare`` holds a line for each time.
    """

    def __init__(self, stage: Stage, symbol: str = BTC) -> None:
        self.bare: list[str] = []
        self._stage = stage
        self._symbol = symbol
        self._was = covered(stage, symbol)
        self._qty = position(stage, symbol)
        self._heard = stage.exchange.on_user_event
        stage.exchange.on_user_event = self._on_event

    def _on_event(self, account: Account, event: dict[str, object]) -> None:
        qty, now = position(self._stage, self._symbol), covered(self._stage, self._symbol)
        triggered = any(
            algo.status in ("TRIGGERING", "TRIGGERED") and algo.symbol == self._symbol
            for algo in self._stage.account.algo_history.values()
        )
        if self._was and not now and abs(qty) <= abs(self._qty) and not triggered:
            self.bare.append(f"{self._stage.exchange.now_ms} {describe(self._stage, self._symbol)}")
        self._was, self._qty = now, qty
        self._heard(account, event)


class Levels(msgspec.Struct, frozen=True):
    """The ladder as it rests at the exchange, quote units. ``risk`` is R, the distance from entry to the stop."""

    side: Side
    entry: float
    stop: float
    targets: tuple[float, ...]
    risk: float

    def at(self, multiple: float) -> float:
        """The price that is ``multiple`` R in the position's favour."""
        return self.entry + self.side.sign * multiple * self.risk


def levels(stage: Stage, symbol: str = BTC) -> Levels:
    """Read the ladder from the exchange; raises ``ScenarioFailed`` when there is no position with one stop."""
    check(fitted(stage, symbol), f"{symbol} should be open with one stop: {describe(stage, symbol)}")
    entry, stop = entry_price(stage, symbol), float(stops(stage, symbol)[0].price)
    return Levels(
        side=Side.LONG if position(stage, symbol) > 0 else Side.SHORT,
        entry=entry,
        stop=stop,
        targets=tuple(float(row.price) for row in targets(stage, symbol)),
        risk=abs(entry - stop),
    )
