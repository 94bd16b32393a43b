"""Recorded answers read once more by the code that read them live: does what the engine heard follow from them?

The account, candles, the contracts' rules, open interest, queried orders and acknowledgements reach the engine through
answers. A request that failed has none: what the engine heard of it stands in the recording alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import msgspec

from tui_trader.core import events as ev
from tui_trader.core.instruments import Instrument
from tui_trader.core.types import ZERO, Transfer, VenueBook
from tui_trader.errors import VenueError
from tui_trader.venues.binance import instruments as rules
from tui_trader.venues.binance import orders as wire
from tui_trader.venues.binance.account import DualSide
from tui_trader.venues.binance.answers import Brackets, InterestAnswer, candle, with_bracket
from tui_trader.venues.text import is_symbol

RECENT = 8
"""How many answers of a kind may come before what they say is heard."""
_RULES = 2
_FACTS_KEPT = 20_000

Parameters = Mapping[str, Any]
Heard = Callable[[Parameters, object], None]
Check = Callable[[Any], str]


class AnswerReader:
    """Takes the answers in the order in which they came; ``doubt`` says which part of an event none of them gave."""

    def __init__(self) -> None:
        self._positions: deque[tuple[frozenset[ev.VenuePosition], bool]] = deque(maxlen=RECENT)
        self._orders: dict[tuple[VenueBook, str], deque[frozenset[ev.OpenOrder]]] = {}
        self._asked: dict[VenueBook, set[str]] = {book: set() for book in VenueBook}
        self._wallets: deque[object] = deque(maxlen=RECENT)
        self._hedge: deque[bool] = deque([False], maxlen=RECENT)
        self._facts: dict[ev.Fill | ev.FundingPayment | Transfer, None] = {}
        self._candles: dict[tuple[str, str], dict[int, ev.Candle]] = {}
        self._interest: dict[str, deque[float]] = {}
        self._queried: dict[str, deque[ev.OrderUpdate]] = {}
        self._done: dict[tuple[ev.SendAction, str], str] = {}
        self._info: deque[rules.ExchangeInfo] = deque(maxlen=_RULES)
        self._intervals: deque[list[rules.FundingInfo]] = deque(maxlen=_RULES)
        self._brackets: deque[list[Brackets]] = deque([[]], maxlen=_RULES + 1)
        self._readers: dict[tuple[str, str], Heard] = {
            ("positionRisk", "GET"): self._heard_positions,
            ("openOrders", "GET"): self._heard_orders,
            ("openAlgoOrders", "GET"): self._heard_algos,
            ("balance", "GET"): self._heard_balance,
            ("positionSide/dual", "GET"): self._heard_mode,
            ("userTrades", "GET"): self._heard_trades,
            ("income", "GET"): self._heard_income,
            ("klines", "GET"): self._heard_candles,
            ("openInterest", "GET"): self._heard_interest,
            ("order", "GET"): self._heard_query,
            ("algoOrder", "GET"): self._heard_algo_query,
            ("exchangeInfo", "GET"): lambda _, answer: self._info.append(_read(rules.ExchangeInfo, answer)),
            ("fundingInfo", "GET"): lambda _, answer: self._intervals.append(_read(list[rules.FundingInfo], answer)),
            ("leverageBracket", "GET"): lambda _, answer: self._brackets.append(_read(list[Brackets], answer)),
            ("order", "POST"): self._heard_placed,
            ("algoOrder", "POST"): self._heard_placed,
            ("order", "DELETE"): self._heard_cancelled,
            ("algoOrder", "DELETE"): self._heard_cancelled,
            ("leverage", "POST"): self._heard_leverage,
        }
        self._checks: dict[type, Check] = {
            ev.AccountSnapshot: self._doubt_snapshot,
            ev.InstrumentsLoaded: self._doubt_rules,
            ev.CandleHistory: self._doubt_candles,
            ev.OpenInterest: self._doubt_interest,
            ev.OrderUpdate: self._doubt_query,
            ev.SendOutcome: self._doubt_outcome,
        }

    def take(self, path: str, method: str, parameters: Parameters, answer: object) -> None:
        """One answer. One that cannot be read said nothing to the session either."""
        heard = self._readers.get((path, method))
        if heard is None:
            return
        try:
            heard(parameters, answer)
        except (msgspec.ValidationError, ValueError, VenueError):
            return

    def doubt(self, event: ev.Event) -> str | None:
        """ "" when the answers say what ``event`` says, else in words what they do not; None when it rests on none."""
        check = self._checks.get(type(event))
        return check(event) if check is not None else None

    # --- what the answers say ---

    def _heard_positions(self, _: Parameters, answer: object) -> None:
        rows = [row for row in _read(list[wire.PositionAnswer], answer) if wire.number(row.position_amt) != 0]
        rows = wire.named(rows)
        hedged = any(row.position_side != "BOTH" for row in rows)
        self._positions.append((frozenset(wire.position(row) for row in rows), hedged))

    def _heard_orders(self, parameters: Parameters, answer: object) -> None:
        rows = wire.named(_read(list[wire.OrderAnswer], answer))
        self._know_book(VenueBook.REGULAR, parameters, [wire.order_update(row, 0) for row in rows])

    def _heard_algos(self, parameters: Parameters, answer: object) -> None:
        rows = wire.named(_read(list[wire.AlgoAnswer], answer))
        self._know_book(VenueBook.ALGO, parameters, [wire.algo_order_update(row, 0) for row in rows])

    def _know_book(self, book: VenueBook, parameters: Parameters, rows: list[ev.OrderUpdate]) -> None:
        """What rests of one symbol, or of the whole account ("")."""
        symbol = str(parameters.get("symbol", ""))
        found = self._orders.setdefault((book, symbol), deque(maxlen=RECENT))
        found.append(frozenset(wire.open_order(row) for row in rows))
        self._asked[book] |= {symbol} if symbol else {row.symbol for row in rows}

    def _heard_balance(self, _: Parameters, answer: object) -> None:
        rows = _read(list[wire.BalanceAnswer], answer)
        self._wallets.append(sum((wire.number(row.balance) for row in rows if row.asset == "USDT"), ZERO))

    def _heard_mode(self, _: Parameters, answer: object) -> None:
        self._hedge.append(_read(DualSide, answer).dual)

    def _heard_trades(self, _: Parameters, answer: object) -> None:
        for row in _read(list[wire.TradeAnswer], answer):
            self._know(_bare(wire.fill(row, "", 0)))

    def _heard_income(self, _: Parameters, answer: object) -> None:
        for row in _read(list[wire.IncomeAnswer], answer):
            if row.symbol and not is_symbol(row.symbol):
                continue
            if row.income_type == "FUNDING_FEE" and row.asset == "USDT":
                self._know(_bare(wire.funding(row, 0)))
            elif row.income_type in wire.TRANSFERS and row.asset == "USDT":
                self._know(_undated(wire.transfer(row, 0)))

    def _know(self, fact: ev.Fill | ev.FundingPayment | Transfer) -> None:
        self._facts.pop(fact, None)
        self._facts[fact] = None
        if len(self._facts) > _FACTS_KEPT:
            del self._facts[next(iter(self._facts))]

    def _heard_candles(self, parameters: Parameters, answer: object) -> None:
        key = str(parameters.get("symbol")), str(parameters.get("interval"))
        rows = [candle(row) for row in _read(list[list[Any]], answer)]
        self._candles.setdefault(key, {}).update((row.open_ms, row) for row in rows)

    def _heard_interest(self, parameters: Parameters, answer: object) -> None:
        found = self._interest.setdefault(str(parameters.get("symbol")), deque(maxlen=RECENT))
        found.append(_read(InterestAnswer, answer).open_interest)

    def _heard_query(self, _: Parameters, answer: object) -> None:
        self._know_order(wire.order_update(_read(wire.OrderAnswer, answer), 0))

    def _heard_algo_query(self, _: Parameters, answer: object) -> None:
        self._know_order(wire.algo_order_update(_read(wire.AlgoAnswer, answer), 0))

    def _know_order(self, update: ev.OrderUpdate) -> None:
        self._queried.setdefault(update.client_id, deque(maxlen=RECENT)).append(_bare(update))

    def _heard_placed(self, parameters: Parameters, answer: object) -> None:
        client_id = str(parameters.get("clientAlgoId") or parameters.get("newClientOrderId"))
        if isinstance(answer, dict):
            self._done[ev.SendAction.PLACE, client_id] = str(answer.get("algoId" if "algoId" in answer else "orderId"))

    def _heard_cancelled(self, parameters: Parameters, answer: object) -> None:
        if isinstance(answer, dict):
            client_id = str(parameters.get("clientAlgoId") or parameters.get("origClientOrderId"))
            self._done[ev.SendAction.CANCEL, client_id] = ""

    def _heard_leverage(self, parameters: Parameters, answer: object) -> None:
        if isinstance(answer, dict):
            self._done[ev.SendAction.LEVERAGE, str(parameters.get("symbol"))] = ""

    # --- what was heard ---

    def _doubt_snapshot(self, event: ev.AccountSnapshot) -> str:
        positions = frozenset(event.positions)
        hedged = {rows or mode for found, rows in self._positions if found == positions for mode in self._hedge}
        facts = all(_bare(fact) in self._facts for fact in (*event.fills, *event.funding))
        facts = facts and all(_undated(row) in self._facts for row in event.transfers)
        parts = {
            "its positions": bool(hedged),
            "its position mode": not hedged or event.hedge_mode in hedged,
            "its orders": self._rest(VenueBook.REGULAR, event.orders),
            "its conditional orders": self._rest(VenueBook.ALGO, event.orders),
            "its wallet": event.wallet in self._wallets,
            "its fills, funding or transfers": facts,
        }
        return ", ".join(name for name, told in parts.items() if not told)

    def _rest(self, book: VenueBook, orders: tuple[ev.OpenOrder, ...]) -> bool:
        """Whether answers say these orders of every symbol that has some or was asked for since the last snapshot."""
        mine: dict[str, set[ev.OpenOrder]] = {symbol: set() for symbol in self._asked[book]}
        self._asked[book] = set()
        for order in orders:
            if order.book is book:
                mine.setdefault(order.symbol, set()).add(order)
        whole = self._orders.get((book, ""), ())
        return all(
            rows in self._orders.get((book, symbol), ()) or any(rows == _of(symbol, found) for found in whole)
            for symbol, rows in mine.items()
        )

    def _doubt_rules(self, event: ev.InstrumentsLoaded) -> str:
        for info, intervals, brackets in product(self._info, self._intervals, self._brackets):
            if _instruments(info, intervals, brackets) == event.instruments:
                return ""
        return "these rules of the contracts"

    def _doubt_candles(self, event: ev.CandleHistory) -> str:
        known = self._candles.get((event.symbol, event.timeframe), {})
        return "" if all(known.get(row.open_ms) == row for row in event.candles) else "these candles"

    def _doubt_interest(self, event: ev.OpenInterest) -> str:
        return "" if event.open_interest in self._interest.get(event.symbol, ()) else "this open interest"

    def _doubt_query(self, event: ev.OrderUpdate) -> str:
        return "" if _bare(event) in self._queried.get(event.client_id, ()) else "this state of the order"

    def _doubt_outcome(self, event: ev.SendOutcome) -> str:
        if event.result is not ev.SendResult.ACCEPTED:
            return ""
        told = self._done.get((event.action, event.client_id or event.symbol))
        return "" if told == event.venue_id else f"this end of the {event.action} request"


def _of(symbol: str, orders: frozenset[ev.OpenOrder]) -> set[ev.OpenOrder]:
    return {order for order in orders if order.symbol == symbol}


def _read(kind: Any, answer: object) -> Any:
    return msgspec.convert(answer, kind, strict=False)


def _bare(fact: Any) -> Any:
    """Without the moment of reading, which bounds the venue's time too, and the client id that the session knew."""
    changes: dict[str, object] = {"ts": 0, "venue_ts": 0}
    if isinstance(fact, ev.Fill):
        changes["client_id"] = ""
    return msgspec.structs.replace(fact, **changes)


def _undated(row: Transfer) -> Transfer:
    """Without the venue's time, which the moment of reading bounds."""
    return msgspec.structs.replace(row, venue_ts=0)


def _instruments(
    info: rules.ExchangeInfo, intervals: list[rules.FundingInfo], brackets: list[Brackets]
) -> tuple[Instrument, ...]:
    smallest = {row.symbol: row.brackets[0] for row in brackets if row.brackets}
    found, _ = rules.instruments(info, intervals)
    return tuple(with_bracket(row, smallest.get(row.symbol)) for row in found)
