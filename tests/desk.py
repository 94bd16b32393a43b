"""A trading desk in one thread: the real engine against the real simulated exchange, without sockets or a clock.

Commands go through the venue's own wire translation to ``RestApi.handle``; the exchange's account events come back
through the venue's decoder. Time moves only by ``run``. ``latency_ms`` delays requests and account events alike.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
from collections.abc import Callable, Sequence
from decimal import Decimal
from urllib.parse import urlencode

import msgspec

from tests.core.build import settings as default_settings
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.engine import Engine
from tui_trader.core.instruments import Instrument
from tui_trader.core.settings import Settings
from tui_trader.core.signals import Strategy
from tui_trader.core.state import Recovered
from tui_trader.core.types import Channel, VenueBook
from tui_trader.errors import OrderNotFound, OutcomeUnknown, RateLimited
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.listen_keys import ListenKeys
from tui_trader.exchange.ratelimits import RateLimits
from tui_trader.exchange.rest import Reply, Request, RestApi
from tui_trader.exchange.scripted import ScriptedMarket, scripted_spec
from tui_trader.exchange.venue_clock import ManualClock
from tui_trader.exchange.wire import dumps
from tui_trader.venues.binance import messages as msg
from tui_trader.venues.binance import orders as wire
from tui_trader.venues.binance.failures import failure
from tui_trader.venues.binance.wire import Decoder

START_MS = 1_748_000_000_000 // 28_800_000 * 28_800_000 + 2 * 3_600_000
KEY, SECRET = "k" * 64, "s" * 64
TICK_MS = 100


def candles(price: float, atr: float, count: int = 900, end_ms: int = START_MS) -> tuple[ev.Candle, ...]:
    """Closed 1 m candles whose 15 m ATR is ``atr``: each bar spans price ± atr/2."""
    first = end_ms // 60_000 * 60_000 - count * 60_000
    return tuple(
        ev.Candle(first + i * 60_000, price, price + atr / 2, price - atr / 2, price, 10.0) for i in range(count)
    )


class OverBudgetError(Exception):
    """The exchange refused a read: too many requests."""


class Desk:
    """Engine and exchange side by side. ``faults`` may replace a reply or drop it (None) before it is heard;
    ``lose_request`` drops a request before it arrives; ``stream_faults`` drops account events and ``stream_delays``
    gives each the delays in ms of its copies, so that events come late, out of order, twice, or never.
    """

    def __init__(
        self,
        *,
        price: float = 43_500.0,
        atr: float = 650.0,
        settings: Settings | None = None,
        strategies: dict[str, Strategy] | None = None,
        latency_ms: int = 20,
        wallet: str = "10000",
        spec: dict[str, Decimal] | None = None,
    ) -> None:
        self.atr = atr
        facts = msgspec.structs.replace(scripted_spec(tick="0.10"), **(spec or {}))
        self.market = ScriptedMarket(facts, mid=price, lots=2_000, depth=40)
        self.clock = ManualClock(START_MS)
        self.exchange = ExchangeEngine({"BTCUSDT": self.market}, START_MS)
        self.account: Account = self.exchange.add_account(KEY, SECRET, Decimal(wallet))
        limits = RateLimits(lambda: self.clock.now_ms() / 1000)
        keys = ListenKeys(lambda: self.clock.now_ms() / 1000, "desk")
        self.api = RestApi(self.exchange, self.clock, keys, limits, wall_ms=self.clock.now_ms)
        self.exchange.on_user_event = self._on_user_event
        self.decoder = Decoder()
        self.settings = settings or default_settings()
        self.strategies = strategies or {}
        self.latency_ms = latency_ms
        self.faults: Callable[[str, str, Reply], Reply | None] | None = None
        self.stream_faults: Callable[[dict[str, object]], bool] | None = None
        self.lose_request: Callable[[str, str], bool] | None = None
        self.stream_delays: Callable[[dict[str, object]], Sequence[int]] | None = None
        self.sent: list[cmd.PlaceOrder | cmd.CancelOrder] = []
        self.records: list[cmd.Record] = []
        self.log: list[str] = []
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._runs = 0
        self.engine = self._new_engine(Recovered())

    # --- engine ---

    def _new_engine(self, recovered: Recovered) -> Engine:
        self._runs += 1
        return Engine(
            self.settings,
            self.strategies,
            mode="demo",
            venue="binance",
            epoch=f"desk{self._runs:03d}",
            recovered=recovered,
        )

    def restart(self, recovered: Recovered) -> None:
        """The process died and comes back; what was under way to it is lost."""
        self._due = [entry for entry in self._due if entry[2].__name__ != "hear"]
        self.engine = self._new_engine(recovered)

    def start(self) -> Desk:
        """Connect: instruments, history, links, first snapshot; then a second of market."""
        info = self._get("/fapi/v1/exchangeInfo", {}, signed=False)
        self.process(ev.InstrumentsLoaded(ts=self.now, instruments=tuple(instrument(s) for s in info["symbols"])))
        self.process(
            ev.CandleHistory(ts=self.now, symbol="BTCUSDT", candles=candles(self.market.mid, self.atr, end_ms=self.now))
        )
        for channel in Channel:
            self.process(ev.LinkUp(ts=self.now, channel=channel, latency_ms=1.0))
        self.snapshot()
        self.run(2_000)
        return self

    def process(self, event: ev.Event) -> None:
        """One event into the engine, its commands into the world."""
        for command in self.engine.process(event):
            self._carry(command)

    def _carry(self, command: cmd.Command) -> None:
        if isinstance(command, cmd.PlaceOrder | cmd.CancelOrder):
            self.sent.append(command)
        if isinstance(command, cmd.Record):
            self.records.append(command)
        elif isinstance(command, cmd.Announce):
            self.log.append(command.text)
        elif isinstance(command, cmd.PlaceOrder):
            self._later(lambda: self._place(command))
        elif isinstance(command, cmd.CancelOrder):
            self._later(lambda: self._cancel(command))
        elif isinstance(command, cmd.QueryOrder):
            self._later(lambda: self._query(command))
        elif isinstance(command, cmd.SetLeverage):
            self._later(lambda: self._leverage(command))
        elif isinstance(command, cmd.RequestSnapshot):
            self._later(self.snapshot)

    # --- time ---

    @property
    def now(self) -> int:
        """Venue time in ms."""
        return self.clock.now_ms()

    def _later(self, action: Callable[[], None], delay: int | None = None) -> None:
        self._sequence += 1
        due = self.now + (self.latency_ms if delay is None else delay)
        heapq.heappush(self._due, (due, self._sequence, action))

    def run(self, ms: int) -> None:
        """Let ``ms`` of venue time pass."""
        end = self.now + ms
        while self.now < end:
            self.clock.advance(min(TICK_MS, end - self.now))
            self.exchange.advance_to(self.now)
            self._feed()
            while self._due and self._due[0][0] <= self.now:
                heapq.heappop(self._due)[2]()
            self.process(ev.Timer(ts=self.now))

    def move(self, price: float, ms: int = 3_000) -> None:
        """Walk the market to ``price`` and let it settle."""
        self.market.move_to(price)
        self.run(ms)

    def _feed(self) -> None:
        state = self.exchange.states["BTCUSDT"]
        tick, step = float(self.market.spec.tick_size), float(self.market.spec.step_size)
        bids = tuple((round(p * tick, 8), round(q * step, 8)) for p, q in list(state.book.bids.levels())[:20])
        asks = tuple((round(p * tick, 8), round(q * step, 8)) for p, q in list(state.book.asks.levels())[:20])
        if not bids or not asks:
            return
        now = self.now
        mark = state.mark
        self.process(
            ev.MarkPrice(
                ts=now,
                symbol="BTCUSDT",
                mark=mark,
                index=mark,
                funding_rate=self.market.funding,
                next_funding_ms=self.market.next_funding_ms(now),
            )
        )
        self.process(ev.Ticker24h(ts=now, symbol="BTCUSDT", last=mark, change_pct=0.0, quote_volume=1e9))
        self.process(
            ev.BookDepth(
                ts=now,
                symbol="BTCUSDT",
                bids=bids,
                asks=asks,
                bid_depth=5e6,
                ask_depth=5e6,
                bid_reach=0.01,
                ask_reach=0.01,
            )
        )

    # --- the venue ---

    def _on_user_event(self, account: Account, event: dict[str, object]) -> None:
        if self.stream_faults is not None and self.stream_faults(event):
            return
        message = self.decoder.decode(dumps(event).encode())

        def hear() -> None:
            for fact in _facts(message, self.now):
                self.process(fact)

        delays = (0,) if self.stream_delays is None else self.stream_delays(event)
        for delay in delays:
            self._later(hear, self.latency_ms + delay)

    def request(self, method: str, path: str, params: dict[str, str], signed: bool = True) -> Reply | None:
        if self.lose_request is not None and self.lose_request(method, path):
            return None
        fields = dict(params)
        if signed:
            fields |= {"timestamp": str(self.now), "recvWindow": "5000"}
        query = urlencode(fields)
        if signed:
            query += "&signature=" + hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
        reply = self.api.handle(Request(method, path, query=query, headers={"x-mbx-apikey": KEY}))
        return self.faults(method, path, reply) if self.faults is not None else reply

    def _get(self, path: str, params: dict[str, str], signed: bool = True) -> dict[str, object]:
        reply = self.request("GET", path, params, signed)
        assert reply is not None
        if reply.status in (418, 429):
            raise OverBudgetError(reply.body)
        assert reply.status == 200, reply.body
        found: dict[str, object] = msgspec.json.decode(reply.body)
        return found

    def _outcome(
        self, action: ev.SendAction, symbol: str, client_id: str, reply: Reply | None
    ) -> tuple[bool, dict[str, object]]:
        error = None if reply is None else failure(reply.status, reply.body, reply.headers)
        body: dict[str, object] = {}
        code, reason, retry_at, venue_id = 0, "", 0, ""
        if reply is None:
            result, reason = ev.SendResult.UNKNOWN, "no answer"
        elif error is None:
            result, body = ev.SendResult.ACCEPTED, msgspec.json.decode(reply.body)
            venue_id = str(body.get("orderId") or body.get("algoId") or "")
        else:
            code, reason = error.code, str(error)
            result = ev.SendResult.REJECTED
            if isinstance(error, OutcomeUnknown):
                result = ev.SendResult.UNKNOWN
            elif isinstance(error, OrderNotFound):
                result = ev.SendResult.NOT_FOUND
            elif isinstance(error, RateLimited):
                retry_at = self.now + error.retry_after_ms
        outcome = ev.SendOutcome(
            ts=self.now,
            action=action,
            result=result,
            symbol=symbol,
            client_id=client_id,
            venue_id=venue_id,
            code=code,
            reason=reason,
            retry_at=retry_at,
        )
        if action is not ev.SendAction.QUERY or result is not ev.SendResult.ACCEPTED:
            self._later(lambda: self.process(outcome))
        return result is ev.SendResult.ACCEPTED, body

    def _place(self, order: cmd.PlaceOrder) -> None:
        path = "/fapi/v1/algoOrder" if order.book is VenueBook.ALGO else "/fapi/v1/order"
        reply = self.request("POST", path, wire.place_params(order))
        self._outcome(ev.SendAction.PLACE, order.symbol, order.client_id, reply)

    def _cancel(self, order: cmd.CancelOrder) -> None:
        reply = self.request("DELETE", *_addressed(order))
        self._outcome(ev.SendAction.CANCEL, order.symbol, order.client_id, reply)

    def _query(self, order: cmd.QueryOrder) -> None:
        reply = self.request("GET", *_addressed(order))
        good, body = self._outcome(ev.SendAction.QUERY, order.symbol, order.client_id, reply)
        if good:
            update = _row_update(body, order.book, self.now)
            self._later(lambda: self.process(msgspec.structs.replace(update, ts=self.now)))

    def _leverage(self, order: cmd.SetLeverage) -> None:
        fields = {"symbol": order.symbol, "leverage": str(order.leverage)}
        self._outcome(ev.SendAction.LEVERAGE, order.symbol, "", self.request("POST", "/fapi/v1/leverage", fields))

    def snapshot(self) -> None:
        """Fetch the whole account and hand it to the engine; over the request budget, try again later."""
        try:
            self._snapshot()
        except OverBudgetError:
            self._later(self.snapshot, 5_000)

    def _snapshot(self) -> None:
        asked = self.now
        rows: list[ev.OpenOrder] = []
        for path, book in (("openOrders", VenueBook.REGULAR), ("openAlgoOrders", VenueBook.ALGO)):
            rows += [wire.open_order(_row_update(r, book, asked)) for r in self._get(f"/fapi/v1/{path}", {})]
        positions = msgspec.convert(self._get("/fapi/v2/positionRisk", {}), list[wire.PositionAnswer], strict=False)
        balance = msgspec.convert(self._get("/fapi/v2/balance", {}), list[wire.BalanceAnswer], strict=False)
        trades = msgspec.convert(
            self._get("/fapi/v1/userTrades", {"symbol": "BTCUSDT"}), list[wire.TradeAnswer], strict=False
        )
        found = ev.AccountSnapshot(
            ts=self.now,
            asked_at=asked,
            positions=tuple(wire.position(p) for p in positions),
            orders=tuple(rows),
            wallet=next(b.balance for b in balance if b.asset == "USDT"),
            fills=tuple(wire.fill(t, "", asked) for t in trades),
        )
        self._later(lambda: self.process(msgspec.structs.replace(found, ts=self.now)))

    # --- looking ---

    @property
    def position(self) -> Decimal:
        """The position as the exchange itself holds it, signed base quantity."""
        rows = msgspec.convert(self._get("/fapi/v2/positionRisk", {}), list[wire.PositionAnswer], strict=False)
        return sum((wire.position(r).qty for r in rows if r.symbol == "BTCUSDT"), Decimal(0))

    def resting(self) -> list[tuple[str, str, str, str]]:
        """What rests at the exchange in both books: (kind, side, quantity, price or trigger), sorted."""
        out = []
        for path, book in (("openOrders", VenueBook.REGULAR), ("openAlgoOrders", VenueBook.ALGO)):
            for row in self._get(f"/fapi/v1/{path}", {}):
                update = _row_update(row, book, self.now)
                price = update.trigger_price or update.price
                out.append((update.type.value, update.side.value, f"{update.qty:f}", f"{price.normalize():f}"))
        return sorted(out)


def _addressed(order: cmd.CancelOrder | cmd.QueryOrder) -> tuple[str, dict[str, str]]:
    if order.book is VenueBook.ALGO:
        return "/fapi/v1/algoOrder", {"clientAlgoId": order.client_id}
    return "/fapi/v1/order", {"symbol": order.symbol, "origClientOrderId": order.client_id}


def _row_update(row: object, book: VenueBook, ts: int) -> ev.OrderUpdate:
    if book is VenueBook.ALGO:
        return wire.algo_order_update(msgspec.convert(row, wire.AlgoAnswer, strict=False), ts)
    return wire.order_update(msgspec.convert(row, wire.OrderAnswer, strict=False), ts)


def _facts(message: object, ts: int) -> Sequence[ev.Event]:
    if isinstance(message, msg.OrderTradeUpdate):
        return wire.stream_order(message, ts)
    if isinstance(message, msg.AlgoUpdate):
        return wire.stream_algo(message, ts)
    if isinstance(message, msg.AccountUpdate):
        return wire.stream_account(message, ts)
    return ()


def instrument(row: dict[str, object]) -> Instrument:
    """The contract as the exchange describes it."""
    filters = {f["filterType"]: f for f in row["filters"]}
    return Instrument(
        symbol=row["symbol"],
        base_asset=row["baseAsset"],
        tick_size=Decimal(filters["PRICE_FILTER"]["tickSize"]),
        step_size=Decimal(filters["LOT_SIZE"]["stepSize"]),
        market_step_size=Decimal(filters["MARKET_LOT_SIZE"]["stepSize"]),
        min_qty=Decimal(filters["LOT_SIZE"]["minQty"]),
        max_qty=Decimal(filters["LOT_SIZE"]["maxQty"]),
        market_max_qty=Decimal(filters["MARKET_LOT_SIZE"]["maxQty"]),
        min_notional=Decimal(filters["MIN_NOTIONAL"]["notional"]),
    )
