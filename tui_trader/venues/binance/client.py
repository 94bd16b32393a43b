"""The Binance USDⓈ-M venue: the same code reaches mainnet, demo and the simulated exchange, by URL alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from tui_trader import clock as system_clock
from tui_trader.clock import VenueClock
from tui_trader.core.commands import CancelOrder, PlaceOrder, QueryOrder
from tui_trader.core.events import (
    AccountSnapshot,
    Candle,
    Event,
    InstrumentsLoaded,
    LinkDown,
    LinkUp,
    Notice,
    OpenInterest,
    OrderUpdate,
    WorkerFailed,
)
from tui_trader.core.instruments import Instrument
from tui_trader.core.refusals import SYMBOL_CLOSED, WRONG_MODE
from tui_trader.core.settings import DataSettings, VenueSettings
from tui_trader.core.types import Channel, OrderType, Severity, VenueBook
from tui_trader.errors import OutcomeUnknown, RateLimited, VenueError, VenueRefused, VenueUnreachable
from tui_trader.secret import Secret, everywhere
from tui_trader.venues.base import Capabilities, KeyPermissions, Sink
from tui_trader.venues.binance import instruments as rules
from tui_trader.venues.binance import orders as wire
from tui_trader.venues.binance import probe as canary
from tui_trader.venues.binance.account import Account
from tui_trader.venues.binance.answers import (
    BookAnswer,
    Bracket,
    Brackets,
    InterestAnswer,
    ListenKey,
    Restrictions,
    with_bracket,
)
from tui_trader.venues.binance.candles import fetch_candles
from tui_trader.venues.binance.feeds import Feeds
from tui_trader.venues.binance.reach import Reach
from tui_trader.venues.binance.rest import Rest, Transport, together
from tui_trader.venues.binance.subscriptions import MARKET_ALL, PUBLIC_ALL, Subscriptions
from tui_trader.venues.binance.wire import MAX_FRAME
from tui_trader.venues.hosts import checked_base
from tui_trader.venues.link import Dial, Link
from tui_trader.venues.link import dial as network
from tui_trader.venues.ratelimit import Budget, Urgency
from tui_trader.venues.text import clean

_BOOK_LIMIT = 1000
_BOOK_WEIGHT = 20
_KEEP_ALIVE_S = 30 * 60.0
_KEEP_ALIVE_AGAIN_S = 60.0
_ROTATE_S = 23.5 * 3600
_RULES_EVERY_S = 300.0
_USER_EVENTS = "ORDER_TRADE_UPDATE/ACCOUNT_UPDATE/ALGO_UPDATE/TRADE_LITE/listenKeyExpired"


class BinanceVenue:
    """Implements ``venues.base.Venue``. Times of real life (keep-alive, staleness, backoff) run on the monotonic clock,
    event times and signatures on ``clock``, the venue's."""

    name = "binance"
    capabilities = Capabilities(oco=False)

    def __init__(
        self,
        *,
        rest_url: str,
        ws_url: str,
        key: str,
        secret: str | Secret,
        settings: VenueSettings,
        data: DataSettings,
        rng: random.Random,
        keep_alive_s: float = _KEEP_ALIVE_S,
        rotate_s: float = _ROTATE_S,
        transport: Transport | None = None,
        dial: Dial | None = None,
    ) -> None:
        base = checked_base(rest_url, "rest_url", ("https", "http"))
        self._ws = checked_base(ws_url, "ws_url", ("wss", "ws"))
        self.clock = VenueClock()
        self.budget = Budget(system_clock.monotonic, reserve=settings.weight_reserve)
        self._rest = Rest(
            base,
            key,
            secret,
            recv_window_ms=settings.recv_window_ms,
            clock=self.clock,
            budget=self.budget,
            transport=transport,
            proxy=settings.proxy,
        )
        self._data = data
        self._rng = rng
        self._keep_alive_s = keep_alive_s
        self._rotate_s = rotate_s
        self._dial = dial or partial(network, proxy=settings.proxy or None)
        self._closing = False
        self._sink: Sink = _discard
        self._tasks: set[asyncio.Task[None]] = set()
        self._instruments: tuple[Instrument, ...] = ()
        self._known_brackets: dict[str, Bracket] = {}
        self._known_intervals: list[rules.FundingInfo] | None = None
        self._rules_doubtful = asyncio.Event()
        self._doubted: list[str] = []
        self._books_wanted: asyncio.Queue[str] = asyncio.Queue()
        self.feeds = Feeds(
            self._emit,
            self.clock,
            stale_after_s=data.stale_after_s,
            soon=lambda call: asyncio.get_running_loop().call_soon(call),
            ask_snapshot=self._books_wanted.put_nowait,
        )
        self._reach = Reach(self._emit, self.clock, self._rest, rng)
        self.account = Account(self._emit, self.clock, self._rest, self._listen_key_gone)
        self._public = self._link(Channel.PUBLIC, "public/stream", self.feeds.on_frame, self._public_up)
        self._market = self._link(Channel.MARKET, "market/stream", self.feeds.on_frame, self._market_up)
        self.subscriptions = Subscriptions(self.feeds, self._public, self._market)
        self._private = Link(
            url=self._private_url,
            on_frame=self.account.on_frame,
            on_up=self._private_up,
            on_down=lambda reason: self._down(Channel.PRIVATE, reason),
            rng=rng,
            max_frame=MAX_FRAME,
            rotate_s=rotate_s,
            dial=self._dial,
        )

    def _link(
        self,
        channel: Channel,
        path: str,
        on_frame: Callable[[bytes], None],
        on_up: Callable[[float], Coroutine[Any, Any, None]],
    ) -> Link:
        async def url() -> str:
            all_symbols = PUBLIC_ALL if channel is Channel.PUBLIC else MARKET_ALL
            return f"{self._ws}/{path}?streams={'/'.join(all_symbols)}"

        return Link(
            url=url,
            on_frame=on_frame,
            on_up=on_up,
            on_down=lambda reason: self._down(channel, reason),
            rng=self._rng,
            max_frame=MAX_FRAME,
            silence_s=max(3 * self._data.stale_after_s, 10.0),
            rotate_s=self._rotate_s,
            dial=self._dial,
        )

    # --- life ---

    def _emit(self, event: Event) -> None:
        self._sink(event)

    async def open(self, sink: Sink) -> None:
        """See ``Venue.open``."""
        self._sink = sink
        self._closing = False
        await self._rest.open()
        await self._reach.sync()
        await self._load_instruments()
        self._spawn("public stream", self._public.run())
        self._spawn("market stream", self._market.run())
        self._spawn("private stream", self._private.run())
        self._spawn("books", self._fetch_books())
        self._spawn("subscriptions", self.subscriptions.keep())
        self._spawn("feed ticker", self._tick())
        self._spawn("clock", self._reach.keep())
        self._spawn("listen key", self._keep_listen_key())
        self._spawn("rules", self._keep_rules())
        self._spawn("open interest", self._poll_interest())

    async def renew(self, reason: str) -> None:
        """See ``Venue.renew``."""
        with suppress(VenueError):
            await self._reach.sync()
        await asyncio.gather(*(link.renew(reason) for link in (self._public, self._market, self._private)))

    def troubles(self) -> str:
        """See ``Venue.troubles``."""
        again = sum(link.reconnects for link in (self._public, self._market, self._private))
        return self.feeds.oddities.counts(again, self.feeds.decoder.garbage, self.account.impossible)

    async def aclose(self) -> None:
        """See ``Venue.aclose``."""
        self._closing = True
        while pending := [task for task in self._tasks if not task.done()]:
            # Again until it is heard: a task that is just being answered can miss one cancellation (CPython 3.11's
            # wait_for), and would keep its socket.
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=0.2)
        self._sink = _discard
        await self._rest.aclose()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        if self._closing:
            work.close()
            return
        task = asyncio.create_task(work, name=f"binance {name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            reason = clean(everywhere(f"{type(error).__name__}: {error}"), 200)
            self._emit(WorkerFailed(ts=self.clock.now_ms(), worker=task.get_name(), reason=reason))

    # --- instruments and history ---

    async def _load_instruments(self) -> None:
        info: rules.ExchangeInfo
        funding: list[rules.FundingInfo]
        info, funding, brackets = await together(
            self._rest.read(rules.ExchangeInfo, "exchangeInfo"),
            self._intervals(),
            self._brackets(),
        )
        found, odd = rules.instruments(info, funding)
        self._instruments = tuple(with_bracket(row, brackets.get(row.symbol)) for row in found)
        limits, unlikely = rules.limits(info.rate_limits)
        self.budget.limits(weight=limits.weight, orders_10s=limits.orders_10s, orders_1m=limits.orders_1m)
        self.feeds.know(row.symbol for row in self._instruments)
        ts = self.clock.now_ms()
        self._emit(InstrumentsLoaded(ts=ts, instruments=self._instruments))
        self._doubt_rules(odd, unlikely)

    async def _keep_rules(self) -> None:
        """Read the contracts' rules again now and then, and at once when an order was refused because of a status."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RULES_EVERY_S):
                    await self._rules_doubtful.wait()
            await asyncio.sleep(1.0)
            self._rules_doubtful.clear()
            with suppress(VenueError):
                await self._load_instruments()

    def _doubt_rules(self, odd: Sequence[str], unlikely: Sequence[str]) -> None:
        """Say what of the rules is not believed, when that is news: they are read every few minutes."""
        words = []
        if odd:
            words.append(f"{len(odd)} contracts are left out because their rules cannot be read: {'; '.join(odd[:3])}")
        if unlikely:
            words.append(f"the venue's limits are not believed, the documented ones are kept: {'; '.join(unlikely)}")
        for text in words:
            if text not in self._doubted:
                self._emit(Notice(ts=self.clock.now_ms(), severity=Severity.WARNING, text=text))
        self._doubted = words

    async def _intervals(self) -> list[rules.FundingInfo]:
        """The funding intervals: the last that were told. Raises ``VenueError`` while none ever were."""
        try:
            found: list[rules.FundingInfo] = await self._rest.read(list[rules.FundingInfo], "fundingInfo")
        except VenueError:
            if self._known_intervals is None:
                raise
            return self._known_intervals
        self._known_intervals = found
        return found

    async def _brackets(self) -> dict[str, Bracket]:
        """The smallest bracket of each contract: the last that were told, none when the account may not ask."""
        with suppress(VenueError):
            rows: list[Brackets] = await self._rest.read(list[Brackets], "leverageBracket", api="fapiPrivate")
            self._known_brackets = {row.symbol: row.brackets[0] for row in rows if row.brackets}
        return self._known_brackets

    async def instruments(self) -> tuple[Instrument, ...]:
        """See ``Venue.instruments``; also emits ``InstrumentsLoaded`` anew."""
        await self._load_instruments()
        return self._instruments

    async def candles(self, symbol: str, count: int, timeframe: str = "1m") -> tuple[Candle, ...]:
        """See ``Venue.candles``."""
        wire.symbol(symbol)
        return await fetch_candles(self._rest, self.clock, symbol, count, timeframe)

    async def _poll_interest(self) -> None:
        while True:
            for symbol in tuple(self.feeds.watched):
                with suppress(VenueError):
                    answer: InterestAnswer = await self._rest.read(InterestAnswer, "openInterest", {"symbol": symbol})
                    if 0 <= answer.open_interest < float("inf"):
                        ts = self.clock.now_ms()
                        self._emit(OpenInterest(ts=ts, symbol=symbol, open_interest=answer.open_interest))
                await asyncio.sleep(0.5)
            await asyncio.sleep(30.0 if self.feeds.watched else 0.5)

    # --- streams ---

    async def watch(self, symbols: Sequence[str]) -> None:
        """See ``Venue.watch``."""
        await self.subscriptions.watch(symbols)

    async def _public_up(self, latency_ms: float) -> None:
        self._emit(LinkUp(ts=self.clock.now_ms(), channel=Channel.PUBLIC, latency_ms=latency_ms))
        await self.subscriptions.public_up()

    async def _market_up(self, latency_ms: float) -> None:
        self._emit(LinkUp(ts=self.clock.now_ms(), channel=Channel.MARKET, latency_ms=latency_ms))
        await self.subscriptions.market_up()

    async def _private_up(self, latency_ms: float) -> None:
        self.account.attention.deaf = False
        self.account.attention.gap()
        self._emit(LinkUp(ts=self.clock.now_ms(), channel=Channel.PRIVATE, latency_ms=latency_ms))

    def _down(self, channel: Channel, reason: str) -> None:
        self._emit(LinkDown(ts=self.clock.now_ms(), channel=channel, reason=reason))
        if channel is Channel.PUBLIC:
            self.feeds.link_down(reason)
        elif channel is Channel.PRIVATE:
            self.account.attention.deaf = True

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            self.feeds.tick()
            for notice in self.feeds.oddities.news(self.feeds.decoder, self.clock.now_ms()):
                self._emit(notice)

    async def _fetch_books(self) -> None:
        while True:
            symbol = await self._books_wanted.get()
            if self.feeds.book_of(symbol) is None:
                continue
            try:
                answer: BookAnswer = await self._rest.read(
                    BookAnswer, "depth", {"symbol": symbol, "limit": _BOOK_LIMIT}, weight=_BOOK_WEIGHT,
                    urgency=Urgency.BOOK,
                )  # fmt: skip
            except VenueError as error:
                self.feeds.book_failed(symbol)
                if isinstance(error, RateLimited):
                    await asyncio.sleep(min(error.retry_after_ms / 1000, 5.0))
                continue
            self.feeds.book_snapshot(symbol, answer.last_update_id, answer.bids, answer.asks, _BOOK_LIMIT)

    # --- the private stream ---

    async def _private_url(self) -> str:
        try:
            answer = await self._rest.write("listenKey", {})
            key = msgspec.convert(answer, ListenKey).listen_key
        except (msgspec.ValidationError, VenueRefused, OutcomeUnknown) as error:
            raise VenueUnreachable(f"no listen key for the private stream: {clean(error, 160)}") from None
        if not key.isascii() or not key.replace("-", "").replace("_", "").isalnum() or len(key) > 256:
            raise VenueUnreachable("the venue's listen key has characters that no key has; it is asked for again.")
        return f"{self._ws}/private/ws?listenKey={key}&events={_USER_EVENTS}"

    def _listen_key_gone(self) -> None:
        self._spawn("private renewal", self._private.renew("the listen key expired"))

    async def _keep_listen_key(self) -> None:
        pause = self._keep_alive_s
        while True:
            await asyncio.sleep(pause)
            pause = self._keep_alive_s
            try:
                await self._rest.write("listenKey", {}, method="PUT")
            except VenueRefused:
                await self._private.renew("the venue does not know the listen key any more")
            except VenueError as error:
                self._reach.lost(error)
                pause = min(pause, max(_KEEP_ALIVE_AGAIN_S, error.retry_after_ms / 1000))

    # --- orders ---

    async def permissions(self) -> KeyPermissions:
        """See ``Venue.permissions``."""
        hedge = await self.account.hedge_mode()
        if not self._rest.has_sapi:
            return KeyPermissions(can_trade=True, can_withdraw=None, hedge_mode=hedge)
        try:
            answer: Restrictions = await self._rest.read(Restrictions, "account/apiRestrictions", api="sapi")
        except (VenueRefused, VenueUnreachable):
            return KeyPermissions(can_trade=True, can_withdraw=None, hedge_mode=hedge)
        return KeyPermissions(
            can_trade=answer.enable_futures,
            can_withdraw=answer.enable_withdrawals,
            can_transfer=answer.can_transfer,
            ip_restricted=answer.ip_restrict,
            hedge_mode=hedge,
        )

    async def probe(self) -> tuple[str, ...]:
        """See ``Venue.probe``."""
        return await canary.probe(self._rest, self._instruments)

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        """See ``Venue.set_leverage``. "No need to change" (-4046) is a success."""
        try:
            await self._changed(lambda: self._rest.write("marginType", {"symbol": symbol, "marginType": "CROSSED"}))
        except VenueRefused as error:
            if error.code != -4046:
                raise
        await self._changed(lambda: self._rest.write("leverage", {"symbol": symbol, "leverage": leverage}))

    async def place(self, order: PlaceOrder) -> str:
        """See ``Venue.place``."""
        algo = order.book is VenueBook.ALGO
        if order.type is OrderType.TRAILING_STOP_MARKET:
            raise VenueRefused("not sent: the stop is trailed by this program, not by the venue.")
        self.account.attention.sign(order.symbol)
        try:
            answer = await self._changed(
                lambda: self._rest.write(
                    "algoOrder" if algo else "order",
                    wire.place_params(order),
                    weight=1,
                    orders=1,
                    urgent=order.approval.exit,
                )
            )
        except VenueRefused as error:
            if error.code in SYMBOL_CLOSED:
                self._rules_doubtful.set()
            if error.code in WRONG_MODE:
                self.account.forget_mode()
            raise
        venue_id = answer.get("algoId" if algo else "orderId")
        if not isinstance(venue_id, int):
            raise OutcomeUnknown("the venue's answer names no order id; the order may stand: query it.")
        self.account.remember(order.symbol, order.book, str(venue_id), order.client_id)
        return str(venue_id)

    async def cancel(self, order: CancelOrder) -> None:
        """See ``Venue.cancel``."""
        self.account.attention.sign(order.symbol)
        algo = order.book is VenueBook.ALGO
        params = {"symbol": order.symbol, "clientAlgoId" if algo else "origClientOrderId": order.client_id}
        await self._changed(
            lambda: self._rest.write("algoOrder" if algo else "order", params, method="DELETE", urgent=True)
        )

    async def query(self, order: QueryOrder) -> OrderUpdate:
        """See ``Venue.query``."""
        self.account.attention.sign(order.symbol)
        if order.book is VenueBook.ALGO:
            id_ = {"clientAlgoId": order.client_id}
            algo: wire.AlgoAnswer = await self._reach.asked(
                lambda: self._rest.read(wire.AlgoAnswer, "algoOrder", id_, api="fapiPrivate", urgency=Urgency.EXIT)
            )
            return _told(wire.algo_order_update, algo, self.clock.now_ms())
        id_ = {"symbol": order.symbol, "origClientOrderId": order.client_id}
        regular: wire.OrderAnswer = await self._reach.asked(
            lambda: self._rest.read(wire.OrderAnswer, "order", id_, api="fapiPrivate", urgency=Urgency.EXIT)
        )
        return _told(wire.order_update, regular, self.clock.now_ms())

    async def snapshot(self, fills_since_ms: int) -> AccountSnapshot:
        """See ``Venue.snapshot``."""
        try:
            found: AccountSnapshot = await self._reach.asked(lambda: self.account.snapshot(fills_since_ms))
        except wire.WireError as error:
            raise VenueUnreachable(f"the account cannot be read: {clean(error, 160)}; it is asked again.") from None
        return found

    async def _changed(self, request: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
        answer = await self._reach.asked(request)
        if not isinstance(answer, dict):
            raise OutcomeUnknown("the venue's answer cannot be read; the request may have had its effect: query it.")
        return answer


def _discard(event: Event) -> None:
    del event


def _told(convert: Callable[[Any, int], OrderUpdate], answer: object, ts: int) -> OrderUpdate:
    try:
        return convert(answer, ts)
    except wire.WireError as error:
        raise VenueUnreachable(f"the order's state cannot be read: {clean(error, 160)}; it is asked again.") from None
