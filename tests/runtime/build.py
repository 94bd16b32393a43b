"""Orders, outcomes and a scripted venue for the runtime's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal

from tui_trader.clock import VenueClock
from tui_trader.core.commands import Approval, CancelOrder, PlaceOrder, QueryOrder, SetLeverage
from tui_trader.core.events import AccountSnapshot, BookTop, Candle, Event, Fill, KlineUpdate, OrderUpdate
from tui_trader.core.instruments import Instrument
from tui_trader.core.types import Leg, OrderSide, OrderStatus, OrderType, VenueBook
from tui_trader.venues.base import Capabilities, KeyPermissions, Sink

Answer = Callable[[], Awaitable[object]]


def place(
    client_id: str = "tt-a-1-en-1",
    *,
    sequence: int = 1,
    exit: bool = False,
    qty: str = "1",
    max_qty: str = "1",
    symbol: str = "BTCUSDT",
    reduce_only: bool | None = None,
    resend: bool = False,
) -> PlaceOrder:
    """An approved order."""
    return PlaceOrder(
        ts=1,
        client_id=client_id,
        plan_id=1,
        leg=Leg.STOP if exit else Leg.ENTRY,
        symbol=symbol,
        side=OrderSide.SELL if exit else OrderSide.BUY,
        type=OrderType.STOP_MARKET if exit else OrderType.MARKET,
        qty=Decimal(qty),
        trigger_price=Decimal(90) if exit else Decimal(0),
        reduce_only=exit if reduce_only is None else reduce_only,
        approval=Approval(sequence=sequence, max_qty=Decimal(max_qty), exit=exit),
        resend=resend,
    )


def cancel(client_id: str, symbol: str = "BTCUSDT") -> CancelOrder:
    """A cancel of a regular order."""
    return CancelOrder(ts=1, client_id=client_id, symbol=symbol, book=VenueBook.REGULAR)


def query(client_id: str, symbol: str = "BTCUSDT") -> QueryOrder:
    """A query of a regular order."""
    return QueryOrder(ts=1, client_id=client_id, symbol=symbol, book=VenueBook.REGULAR)


def top(symbol: str, bid: float) -> BookTop:
    """A quote."""
    return BookTop(ts=1, symbol=symbol, bid=bid, bid_qty=1.0, ask=bid + 1, ask_qty=1.0)


def kline(symbol: str, open_ms: int, *, closed: bool) -> KlineUpdate:
    """A candle update."""
    return KlineUpdate(ts=1, symbol=symbol, candle=Candle(open_ms, 1.0, 1.0, 1.0, 1.0, 1.0), closed=closed)


def fill(trade_id: str, symbol: str = "BTCUSDT") -> Fill:
    """An execution."""
    return Fill(
        ts=1,
        symbol=symbol,
        client_id="c",
        venue_id="v",
        trade_id=trade_id,
        side=OrderSide.BUY,
        qty=Decimal(1),
        price=Decimal(1),
        fee=Decimal(0),
        fee_asset="USDT",
        maker=False,
        realized_pnl=Decimal(0),
        venue_ts=1,
    )


def update(client_id: str) -> OrderUpdate:
    """A resting order, as a query tells it."""
    return OrderUpdate(
        ts=1,
        symbol="BTCUSDT",
        client_id=client_id,
        venue_id="7",
        book=VenueBook.REGULAR,
        status=OrderStatus.WORKING,
        side=OrderSide.BUY,
        type=OrderType.LIMIT,
        qty=Decimal(1),
    )


def snapshot(asked_at: int = 1) -> AccountSnapshot:
    """An empty, complete account."""
    return AccountSnapshot(ts=asked_at, asked_at=asked_at, positions=(), orders=(), wallet=Decimal(100))


class ScriptedVenue:
    """A venue whose answers a test scripts, one list of answers per method; the last one stays. It records its calls.

    The simulated exchange serves wherever the venue behaves; this one misbehaves on demand.
    """

    name = "binance"
    capabilities = Capabilities(oco=False)

    def __init__(self) -> None:
        self.clock = VenueClock()
        self.calls: list[tuple[str, str]] = []
        self.answers: dict[str, list[object]] = {}

    async def _answer(self, method: str, what: str, usual: object) -> object:
        self.calls.append((method, what))
        script = self.answers.get(method)
        if not script:
            return usual
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return usual
        return answer

    async def open(self, sink: Sink) -> None:
        await self._answer("open", "", None)

    async def renew(self, reason: str) -> None:
        await self._answer("renew", reason, None)

    def troubles(self) -> str:
        return ""

    async def aclose(self) -> None:
        await self._answer("aclose", "", None)

    async def watch(self, symbols: Sequence[str]) -> None:
        await self._answer("watch", ",".join(symbols), None)

    async def instruments(self) -> tuple[Instrument, ...]:
        return ()

    async def candles(self, symbol: str, count: int, timeframe: str = "1m") -> tuple[Candle, ...]:
        return await self._answer("candles", f"{symbol} {count} {timeframe}", ())  # type: ignore[return-value]

    async def permissions(self) -> KeyPermissions:
        usual = KeyPermissions(can_trade=True, can_withdraw=False, can_transfer=False, hedge_mode=False)
        return await self._answer("permissions", "", usual)  # type: ignore[return-value]

    async def probe(self) -> tuple[str, ...]:
        return await self._answer("probe", "", ())  # type: ignore[return-value]

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        await self._answer("set_leverage", symbol, None)

    async def place(self, order: PlaceOrder) -> str:
        return await self._answer("place", order.client_id, f"venue-{order.client_id}")  # type: ignore[return-value]

    async def cancel(self, order: CancelOrder) -> None:
        await self._answer("cancel", order.client_id, None)

    async def query(self, order: QueryOrder) -> OrderUpdate:
        return await self._answer("query", order.client_id, update(order.client_id))  # type: ignore[return-value]

    async def snapshot(self, fills_since_ms: int) -> AccountSnapshot:
        return await self._answer("snapshot", str(fills_since_ms), snapshot())  # type: ignore[return-value]


class Heard:
    """A sink that remembers and can be waited on."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    async def count(self, number: int, kind: type = object) -> list[Event]:
        """Wait until ``number`` events of ``kind`` were heard; the test's own timeout bounds it."""
        while True:
            found = [e for e in self.events if isinstance(e, kind)]
            if len(found) >= number:
                return found
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 20)


def leverage(symbol: str = "BTCUSDT") -> SetLeverage:
    """Leverage 30."""
    return SetLeverage(ts=1, symbol=symbol, leverage=30)
