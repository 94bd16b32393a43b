"""The private side: user-stream frames to account facts, and the whole account as one snapshot."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from tui_trader import clock as system_clock
from tui_trader.clock import VenueClock
from tui_trader.core.events import (
    AccountDoubt,
    AccountSnapshot,
    BalanceUpdate,
    Event,
    Fill,
    FundingPayment,
    Notice,
    OpenOrder,
    OrderUpdate,
    PositionUpdate,
    VenuePosition,
)
from tui_trader.core.types import ZERO, Severity, Transfer, VenueBook
from tui_trader.errors import VenueError, VenueUnreachable
from tui_trader.venues.base import Sink
from tui_trader.venues.binance import orders as wire
from tui_trader.venues.binance.attention import Attention
from tui_trader.venues.binance.messages import (
    AccountUpdate,
    AlgoUpdate,
    ListenKeyExpired,
    OrderTradeUpdate,
    Unparsed,
)
from tui_trader.venues.binance.rest import Rest, asked_anew
from tui_trader.venues.binance.wire import Decoder
from tui_trader.venues.ratelimit import Urgency
from tui_trader.venues.text import clean, is_symbol

_IDS_KEPT = 20_000
_INCOME_EVERY_S = 60.0
_MODE_EVERY_S = 300.0
_WEEK_MS = 7 * 86_400_000 - 60_000
_HISTORY_MS = 89 * 86_400_000
"""The venue shows fills of at most a week at a time, and keeps its ledger for three months."""
_OVERLAP_MS = 5_000
_MARGIN_MS = 60_000
_PAGE = 1000
_INCOME_PAGES = 5
_UNNAMED_KEPT = 100


class DualSide(msgspec.Struct, rename={"dual": "dualSidePosition"}):
    """The account's position mode."""

    dual: bool


class Account:
    """Keeps what the snapshot needs between calls: ids by venue id, what must be asked again, the position mode."""

    def __init__(self, sink: Sink, clock: VenueClock, rest: Rest, on_expired: Callable[[], None]) -> None:
        self._sink = sink
        self._clock = clock
        self._rest = rest
        self._on_expired = on_expired
        self.decoder = Decoder()
        self.impossible = 0
        self._client_ids: OrderedDict[str, str] = OrderedDict()
        self.attention = Attention(system_clock.monotonic)
        self._income_at = 0.0
        self._income_from = 0
        self._wallet_told: Decimal | None = None
        self._unnamed: set[tuple[str, str]] = set()
        self._mode_at = 0.0
        self._hedge = False

    def on_frame(self, raw: bytes) -> None:
        """Take one frame of the private link. What cannot be used is counted and said once, never raised."""
        message = self.decoder.decode(raw)
        ts = self._clock.now_ms()
        try:
            if isinstance(message, OrderTradeUpdate):
                self._tell(wire.stream_order(message, ts))
            elif isinstance(message, AlgoUpdate):
                self._tell(wire.stream_algo(message, ts))
            elif isinstance(message, AccountUpdate):
                if message.account.reason == "FUNDING_FEE":
                    self._income_at = 0.0
                self._tell(wire.stream_account(message, ts))
            elif isinstance(message, ListenKeyExpired):
                self._on_expired()
            elif isinstance(message, Unparsed):
                self._odd(message.reason)
        except wire.WireError as error:
            self._odd(str(error))

    def _odd(self, reason: str) -> None:
        self.impossible += 1
        self.attention.gap()
        self._sink(AccountDoubt(ts=self._clock.now_ms(), reason="a private event could not be used"))
        if self.impossible & (self.impossible - 1) == 0:
            text = (
                f"a private event could not be used ({reason}; {self.impossible} so far). "
                "The next account snapshot brings its effect."
            )
            self._sink(Notice(ts=self._clock.now_ms(), severity=Severity.WARNING, text=text))

    def _tell(self, facts: list[Event]) -> None:
        for fact in facts:
            if isinstance(fact, OrderUpdate | Fill | PositionUpdate):
                self.attention.sign(fact.symbol)
            if isinstance(fact, OrderUpdate):
                self.remember(fact.symbol, fact.book, fact.venue_id, fact.client_id, fact.actual_id)
            elif isinstance(fact, Fill):
                self.remember(fact.symbol, VenueBook.REGULAR, fact.venue_id, fact.client_id)
            elif isinstance(fact, BalanceUpdate):
                self._wallet_told = fact.wallet
            self._sink(fact)

    def remember(self, symbol: str, book: VenueBook, venue_id: str, client_id: str, actual_id: str = "") -> None:
        """Which client id belongs to a regular order's venue id. The two books number their orders independently, so
        only regular ids (``actual_id`` of a triggered conditional order is one) can name an execution's order."""
        regular_id = venue_id if book is VenueBook.REGULAR else actual_id
        if regular_id and client_id:
            self._client_ids[f"{symbol}:{regular_id}"] = client_id
            if len(self._client_ids) > _IDS_KEPT:
                self._client_ids.popitem(last=False)

    # --- snapshot ---

    async def snapshot(self, fills_since_ms: int) -> AccountSnapshot:
        """The account now; its reads may use the budget's reserve, because protection rests on them.

        ``complete`` is False when fills or funding could not be fetched; raises ``VenueError`` when positions, orders
        or the wallet could not.
        """
        asked_at = self._clock.now_ms()
        cursor = min(fills_since_ms or asked_at - 55_000, asked_at)
        since = max(cursor - _OVERLAP_MS, asked_at - _HISTORY_MS)
        positions, hedge_rows, orders, wallet, hedge = await self._state(asked_at)
        if wallet != self._wallet_told:
            # What the stream has not told stands in the ledger: a transfer, perhaps, which must not pass for a loss.
            self._income_at = 0.0
        funding, transfers, complete = await self._income(since, asked_at)
        if complete:
            self._wallet_told = wallet
        fills: list[Fill] = []
        for symbol in self.attention.fills():
            try:
                fills.extend(await self._fills(symbol, since, asked_at))
            except VenueError:
                complete = False
        fills.sort(key=lambda fill: (fill.venue_ts, fill.symbol, int(fill.trade_id)))
        return AccountSnapshot(
            ts=self._clock.now_ms(),
            asked_at=asked_at,
            positions=tuple(positions),
            orders=tuple(orders),
            wallet=wallet,
            fills=tuple(fills),
            funding=tuple(funding),
            transfers=tuple(transfers),
            complete=complete,
            hedge_mode=hedge or hedge_rows,
        )

    async def _part(
        self,
        kind: Any,
        path: str,
        params: Mapping[str, object] | None = None,
        *,
        api: str = "fapiPrivate",
        weight: int = 1,
    ) -> Any:
        """One read of the account, asked anew when its answer is lost: cheaper than the whole again."""
        return await asked_anew(
            lambda: self._rest.read(kind, path, params, api=api, weight=weight, urgency=Urgency.ACCOUNT)
        )

    async def _positions(self) -> tuple[list[VenuePosition], bool]:
        rows: list[wire.PositionAnswer] = await self._part(
            list[wire.PositionAnswer], "positionRisk", api="fapiPrivateV3", weight=5
        )
        open_rows = self._named([row for row in rows if wire.number(row.position_amt) != 0], "a position")
        return [wire.position(row) for row in open_rows], any(row.position_side != "BOTH" for row in open_rows)

    async def _state(self, ts: int) -> tuple[list[VenuePosition], bool, list[OpenOrder], Decimal, bool]:
        """Positions and whether one is of hedge mode, resting orders, wallet, position mode."""
        began = self.attention.now()
        asked = self.attention.books()
        (positions, hedge_rows), orders, wallet, hedge = await asyncio.gather(
            self._positions(), self._orders(asked, ts), self._wallet(), self._hedge_mode()
        )
        if asked is not None:
            unasked = {row.symbol for row in positions} - set(asked)
            orders += await self._orders(tuple(sorted(unasked)), ts)
        self.attention.saw(asked, began, positions, orders)
        return positions, hedge_rows, orders, wallet, hedge

    async def _orders(self, symbols: tuple[str, ...] | None, ts: int) -> list[OpenOrder]:
        """What rests in both books, of ``symbols`` or of the whole account."""
        asks: list[tuple[Mapping[str, object], int]] = [({}, 40)]
        if symbols is not None:
            asks = [({"symbol": symbol}, 1) for symbol in symbols]
        answers = await asyncio.gather(*(self._books(params, weight, ts) for params, weight in asks))
        rows = [row for answer in answers for row in answer]
        for row in rows:
            self.remember(row.symbol, row.book, row.venue_id, row.client_id)
        return rows

    async def _books(self, params: Mapping[str, object], weight: int, ts: int) -> list[OpenOrder]:
        regular: list[wire.OrderAnswer]
        algos: list[wire.AlgoAnswer]
        regular, algos = await asyncio.gather(
            self._part(list[wire.OrderAnswer], "openOrders", params, weight=weight),
            self._part(list[wire.AlgoAnswer], "openAlgoOrders", params, weight=weight),
        )
        regular, algos = self._named(regular, "an order"), self._named(algos, "an order")
        rows = [wire.open_order(wire.order_update(row, ts)) for row in regular]
        return rows + [wire.open_order(wire.algo_order_update(row, ts)) for row in algos]

    def _named(self, rows: list[wire.Row], what: str) -> list[wire.Row]:
        """The rows of symbols that can be handled; that there are others is said once of each."""
        found = wire.named(rows)
        for row in rows if len(found) < len(rows) else ():
            name = clean(row.symbol, 32)
            if row in found or (what, name) in self._unnamed or len(self._unnamed) >= _UNNAMED_KEPT:
                continue
            self._unnamed.add((what, name))
            text = (
                f"the account has {what} in {name}, a contract whose name is not handled here: it is not watched, "
                "protected or closed, and its result is not in the equity; see to it at the venue"
            )
            self._sink(Notice(ts=self._clock.now_ms(), severity=Severity.ALARM, text=text))
        return found

    async def _wallet(self) -> Decimal:
        rows: list[wire.BalanceAnswer] = await self._part(
            list[wire.BalanceAnswer], "balance", api="fapiPrivateV3", weight=5
        )
        return sum((wire.number(row.balance) for row in rows if row.asset == "USDT"), ZERO)

    async def _hedge_mode(self) -> bool:
        now = system_clock.monotonic()
        # In hedge mode nothing is compared, so it is asked about each time until the account is one-way again.
        if self._hedge or not self._mode_at or now - self._mode_at > _MODE_EVERY_S:
            self._hedge = await self.hedge_mode()
            self._mode_at = now
        return self._hedge

    def forget_mode(self) -> None:
        """The venue refused an order for its position mode: the next snapshot asks for the mode."""
        self._mode_at = 0.0

    async def hedge_mode(self) -> bool:
        """Whether the account keeps long and short positions apart; this product refuses such an account."""
        answer: DualSide = await self._part(DualSide, "positionSide/dual", api="fapiPrivate", weight=30)
        return answer.dual

    async def _income(self, since: int, until: int) -> tuple[list[FundingPayment], list[Transfer], bool]:
        """Funding and transfers since the cursor, at most once a minute (weight 30), and whether it is all: what does
        not fit into a few pages is read on with the next snapshot. Each booking is a sign of its symbol."""
        now = system_clock.monotonic()
        if self._income_at and now - self._income_at < _INCOME_EVERY_S:
            return [], [], True
        begin = self._income_from or min(since, until - 3_600_000)
        found: list[FundingPayment] = []
        moved: list[Transfer] = []
        for _ in range(_INCOME_PAGES):
            try:
                rows = await self._income_page(begin, until + 60_000)
            except VenueError:
                return found, moved, False
            for row in (row for row in rows if not row.symbol or is_symbol(row.symbol)):
                if row.income_type == "FUNDING_FEE" and row.asset == "USDT":
                    found.append(wire.funding(row, until))
                elif row.income_type in wire.TRANSFERS and row.asset == "USDT":
                    moved.append(wire.transfer(row, until))
                if row.symbol and row.time >= since:
                    self.attention.booked(row.symbol, row.time)
            if len(rows) < _PAGE:
                self._income_at, self._income_from = now, 0
                return found, moved, True
            # The last millisecond may go on with the next page; a page of one millisecond alone cannot be split.
            begin = self._income_from = max(begin + 1, *(row.time for row in rows))
        return found, moved, False

    async def _income_page(self, begin: int, end: int) -> list[wire.IncomeAnswer]:
        params = {"startTime": begin, "endTime": end, "limit": _PAGE}
        rows: list[wire.IncomeAnswer] = await self._part(list[wire.IncomeAnswer], "income", params, weight=30)
        return rows

    async def _fills(self, symbol: str, since: int, ts: int) -> list[Fill]:
        """All fills of a symbol since the cursor: the first page by time, week by week, the next ones by trade id."""
        began = self.attention.now()
        found: list[Fill] = []
        margin = int(_MARGIN_MS * max(1.0, self._clock.rate))
        start = max(self.attention.since(symbol, since, margin), ts - _HISTORY_MS)
        params = _week(symbol, start, ts)
        while True:
            rows: list[wire.TradeAnswer] = await self._part(
                list[wire.TradeAnswer], "userTrades", params, api="fapiPrivate", weight=5
            )
            for row in rows:
                client_id = self._client_ids.get(f"{symbol}:{row.order_id}", "")
                found.append(wire.fill(row, client_id, ts))
            if len(rows) < _PAGE and "endTime" in params:
                start = int(str(params["endTime"])) + 1
                params = _week(symbol, start, ts)
                continue
            if len(rows) < _PAGE:
                self.attention.filled(symbol, began, ts)
                return found
            after = max(row.id for row in rows) + 1
            if after <= int(str(params.get("fromId", 0))):
                raise VenueUnreachable("the venue repeats a page of fills; they are asked again.")
            params = {"symbol": symbol, "fromId": after, "limit": _PAGE}


def _week(symbol: str, start: int, now: int) -> dict[str, object]:
    """What to ask for a page of fills from ``start`` on; an end is named where more than a week has passed since."""
    params: dict[str, object] = {"symbol": symbol, "startTime": start, "limit": _PAGE}
    return params if now - start <= _WEEK_MS else params | {"endTime": start + _WEEK_MS}
