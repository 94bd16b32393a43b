"""The parsers under attack. ``feed`` takes damaged bytes; whatever it raises is a finding.

A target swallows only what its parser declares. Facts that come out are checked by ``rules``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from tests.desk import START_MS
from tests.fuzz import rules
from tests.fuzz import seeds as good
from tests.fuzz.mutate import Seed
from tui_trader.clock import VenueClock, monotonic
from tui_trader.core.events import Event
from tui_trader.errors import VenueError
from tui_trader.runtime.control import Answer, ControlServer
from tui_trader.venues.binance import instruments as contracts
from tui_trader.venues.binance import orders as wire
from tui_trader.venues.binance.account import Account, DualSide
from tui_trader.venues.binance.answers import (
    BookAnswer,
    Brackets,
    InterestAnswer,
    ListenKey,
    Restrictions,
    ServerTime,
    candle,
    with_bracket,
)
from tui_trader.venues.binance.failures import failure
from tui_trader.venues.binance.feeds import Feeds
from tui_trader.venues.binance.rest import Rest
from tui_trader.venues.ratelimit import Budget, Urgency
from tui_trader.venues.replay_book import _Replay

T = TypeVar("T")
NOW_MS = START_MS + 600_000
BTC = "BTCUSDT"


class Target(Protocol):
    """One parser with its seeds. Where ``measured``, each frame's time and memory are held against right frames."""

    name: str
    measured: bool
    seeds: list[Seed]

    def feed(self, raw: bytes) -> None:
        """Let the parser have ``raw``. Raises only for a finding."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


class Plain:
    """What most targets share."""

    name = ""
    measured = True
    seeds: list[Seed]

    def close(self) -> None:
        """Nothing is held."""


class FrozenClock(VenueClock):
    """A venue clock that stands still, so that a run means the same twice."""

    def now_ms(self) -> int:
        """The one moment."""
        return NOW_MS


def _checked(event: Event) -> None:
    rules.check(event, NOW_MS)


class Market(Plain):
    """Public and market frames through the feeds: books, coalescing, routes kept by stream name."""

    name = "market"

    def __init__(self, sink: Callable[[Event], None] = _checked) -> None:
        self.seeds = good.seeds([*good.recorded(), *good.market_frames()])
        self._wanted: list[str] = []
        self._count = 0
        self._id = 1_000_000
        self.feeds = Feeds(
            sink, FrozenClock(), stale_after_s=1e9, soon=lambda flush: None, ask_snapshot=self._wanted.append
        )
        self.feeds.know((BTC, "ETHUSDT"))
        self.feeds.watch((BTC, "ETHUSDT"))

    def feed(self, raw: bytes) -> None:
        """One frame; every few frames the batch ends, time passes and wanted books arrive."""
        feeds = self.feeds
        feeds.on_frame(raw)
        self._count += 1
        if self._count % 4:
            return
        feeds.flush()
        feeds.tick()
        for symbol in self._wanted:
            self._id += 10
            feeds.book_snapshot(symbol, self._id, [(49_999.0, 2.0), (49_990.0, 1.0)], [(50_001.0, 2.0)], 1000)
        self._wanted.clear()
        book = feeds.book_of(BTC)
        if book is not None and book.synced:
            self._id = max(self._id, book.last_id)
            depth = book.depth(5)
            if depth is not None and not depth.bids[0][0] < depth.asks[0][0]:
                raise rules.BrokenRuleError("a synced book is crossed")


class Private(Plain):
    """Frames of the private stream through the account's reader."""

    name = "private"

    def __init__(self, sink: Callable[[Event], None] = _checked) -> None:
        self.seeds = good.seeds(good.private_frames())
        self.account = Account(sink, FrozenClock(), None, lambda: None)  # type: ignore[arg-type]

    def feed(self, raw: bytes) -> None:
        """One frame."""
        self.account.on_frame(raw)


class _Transport:
    """Stands where ccxt's exchange stands in ``Rest``: its own JSON reader and error hook, bodies from a table."""

    def __init__(self) -> None:
        from ccxt.async_support.binanceusdm import binanceusdm

        self._ccxt = binanceusdm()
        self.bodies: dict[str, str] = {}

    async def request(self, path: str, api: object, method: str, params: object) -> Any:
        """The body for ``path`` as ccxt's ``fetch`` would have given it."""
        body = self.bodies[path]
        parsed = self._ccxt.parse_json(body)
        error = failure(200, body, {})
        if error is not None:
            raise error
        return parsed if parsed is not None else body


class _FreeBudget(Budget):
    """A budget without limits: only the answers matter here."""

    def take(self, weight: int, *, orders: int = 0, urgency: Urgency = Urgency.NORMAL) -> None:
        """Always allowed."""


def rest_over(transport: _Transport) -> Rest:
    """The real reader of REST answers on ``transport``."""
    rest = Rest(
        "http://127.0.0.1:1", "k", "s", recv_window_ms=5_000, clock=FrozenClock(), budget=_FreeBudget(monotonic)
    )
    rest._exchanges = dict.fromkeys(Urgency, transport)
    return rest


def driven(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        work.close()
    raise rules.BrokenRuleError("a coroutine waited where nothing is to be waited for")


class RestAnswers(Plain):
    """Answers of one read each, and what the client makes of them."""

    name = "rest"

    def __init__(self) -> None:
        self._transport = _Transport()
        self._rest = rest_over(self._transport)
        self._readers: list[tuple[list[Seed], Callable[[], None]]] = [
            (good.seeds(good.answers("/fapi/v1/exchangeInfo")), self._info),
            (good.seeds(good.answers("/fapi/v1/fundingInfo")), self._funding),
            (good.seeds(good.answers("/fapi/v1/leverageBracket")), self._brackets),
            (good.seeds(good.answers("/fapi/v1/depth")), self._book),
            (good.seeds(good.answers("/fapi/v1/klines")), self._klines),
            (good.seeds(good.one_order(False)), self._order),
            (good.seeds(good.one_order(True)), self._algo),
            (good.seeds(good.answers("/fapi/v1/time")), self._time),
            (good.seeds(good.answers("/fapi/v1/openInterest")), self._interest),
            (good.seeds(good.answers("/fapi/v1/positionSide/dual")), self._dual),
            (good.seeds(good.answers("/sapi/v1/account/apiRestrictions")), self._restrictions),
            (good.seeds(['{"listenKey":"' + "a" * 64 + '"}']), self._listen_key),
        ]
        self.seeds = [seed for group, _ in self._readers for seed in group]
        self._turn = 0
        base = good.answers("/fapi/v1/exchangeInfo")[0]
        self._transport.bodies["x"] = base
        self._contract = contracts.instruments(self._read(contracts.ExchangeInfo), [])[0][0]

    def feed(self, raw: bytes) -> None:
        """The next reader gets ``raw``, right or wrong as it may be for it."""
        self._turn = (self._turn + 1) % len(self._readers)
        self._transport.bodies["x"] = raw.decode("utf-8", "replace")
        reader = next((r for seeds, r in self._readers if any(raw[:9] == s.raw[:9] for s in seeds)), None)
        try:
            (reader or self._readers[self._turn][1])()
        except (VenueError, wire.WireError):
            return

    def _read(self, kind: Any) -> Any:
        return driven(self._rest.read(kind, "x"))

    def _info(self) -> None:
        for row in contracts.instruments(self._read(contracts.ExchangeInfo), [])[0]:
            rules.instrument(row)

    def _funding(self) -> None:
        contracts.instruments(contracts.ExchangeInfo(symbols=[]), self._read(list[contracts.FundingInfo]))

    def _brackets(self) -> None:
        for row in self._read(list[Brackets]):
            rules.instrument(with_bracket(self._contract, row.brackets[0] if row.brackets else None))

    def _book(self) -> None:
        answer = self._read(BookAnswer)
        feeds = Feeds(
            _checked, FrozenClock(), stale_after_s=1e9, soon=lambda flush: None, ask_snapshot=lambda symbol: None
        )
        feeds.know((BTC,))
        feeds.watch((BTC,))
        feeds.book_snapshot(BTC, answer.last_update_id, answer.bids, answer.asks, 1000)
        feeds.tick()

    def _klines(self) -> None:
        for row in [candle(row) for row in self._read(list[list[Any]])]:
            if row.open_ms + 59_999 <= NOW_MS:
                rules.candle(row, NOW_MS)

    def _order(self) -> None:
        _checked(wire.order_update(self._read(wire.OrderAnswer), NOW_MS))

    def _algo(self) -> None:
        _checked(wire.algo_order_update(self._read(wire.AlgoAnswer), NOW_MS))

    def _time(self) -> None:
        self._read(ServerTime)

    def _interest(self) -> None:
        self._read(InterestAnswer)

    def _dual(self) -> None:
        self._read(DualSide)

    def _restrictions(self) -> None:
        self._read(Restrictions)

    def _listen_key(self) -> None:
        self._read(ListenKey)


SNAPSHOT_READS = {
    "positionRisk": "/fapi/v3/positionRisk",
    "openOrders": "/fapi/v1/openOrders",
    "openAlgoOrders": "/fapi/v1/openAlgoOrders",
    "balance": "/fapi/v3/balance",
    "positionSide/dual": "/fapi/v1/positionSide/dual",
    "income": "/fapi/v1/income",
    "userTrades": "/fapi/v1/userTrades",
}


class AccountReads(Plain):
    """The whole account snapshot, one of its answers damaged."""

    name = "snapshot"

    def __init__(self) -> None:
        self._transport = _Transport()
        self._rest = rest_over(self._transport)
        self._good = {path: good.answers(source)[-2] if len(good.answers(source)) > 1 else good.answers(source)[0]
                      for path, source in SNAPSHOT_READS.items()}  # fmt: skip
        self._owner: dict[bytes, str] = {}
        bodies: list[bytes] = []
        for path, source in SNAPSHOT_READS.items():
            for body in good.answers(source):
                bodies.append(body.encode())
                self._owner.setdefault(body.encode()[:24], path)
        self.seeds = good.seeds(bodies)
        self._turn = 0
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        """Close the loop."""
        self._loop.close()

    def feed(self, raw: bytes) -> None:
        """One snapshot in which ``raw`` is one of the answers."""
        self._turn = (self._turn + 1) % len(SNAPSHOT_READS)
        path = self._owner.get(raw[:24]) or tuple(SNAPSHOT_READS)[self._turn]
        self._transport.bodies = dict(self._good)
        self._transport.bodies[path] = raw.decode("utf-8", "replace")
        account = Account(_checked, FrozenClock(), self._rest, lambda: None)
        try:
            found = self._loop.run_until_complete(account.snapshot(NOW_MS - 60_000))
        except (VenueError, wire.WireError):
            return
        _checked(found)


class Errors(Plain):
    """Bodies and headers of failed requests."""

    name = "errors"

    def __init__(self) -> None:
        self.seeds = good.seeds(good.ERRORS)
        self._rng = random.Random(0)
        self._headers = (
            "1",
            "0",
            "-1",
            "",
            "9" * 20,
            "x",
            "1e3",
            "٣",
            " 5 ",
            "60",
            "\x00",
            "Wed, 21 Oct 2026 07:28:00 GMT",
        )

    def feed(self, raw: bytes) -> None:
        """Every status with this body must have a meaning in words without control characters."""
        body = raw.decode("utf-8", "replace")
        status = self._rng.choice((200, 302, 400, 401, 403, 404, 408, 418, 429, 500, 502, 503, 504, 999))
        error = failure(status, body, {"Retry-After": self._rng.choice(self._headers)})
        if error is None:
            if status >= 400:
                raise rules.BrokenRuleError(f"HTTP {status} counts as a success")
            return
        rules.check_text(str(error))
        if not 0 <= error.retry_after_ms <= 10**11:
            raise rules.BrokenRuleError(f"silence for {error.retry_after_ms} ms")


class _Session:
    """What the control socket may do; keeps what it was told."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def status(self) -> dict[str, object]:
        """Nothing to say."""
        return {}

    async def latch_kill(self, reason: str) -> bool:
        """Remember why."""
        self.reasons.append(reason)
        return True

    async def hand_over(self, reason: str) -> None:
        """Remember why."""
        self.reasons.append(reason)


class Control(Plain):
    """Lines on the control socket."""

    name = "control"

    def __init__(self) -> None:
        from pathlib import Path

        lines = ('{"do":"status"}', '{"do":"takeover","reason":"night shift"}', '{"do":"kill","reason":"by hand"}')
        self.seeds = good.seeds(lines)
        self._session = _Session()
        self._server = ControlServer(Path("unused"), self._session)

    def feed(self, raw: bytes) -> None:
        """Each line is answered, and a reason that reaches the session is clean."""
        answers: list[Answer] = []

        async def reply(answer: Answer) -> None:
            answers.append(answer)

        driven(self._server._answer(raw, reply))
        if not answers:
            raise rules.BrokenRuleError("a line without an answer")
        for reason in self._session.reasons:
            rules.check_text(reason)
        self._session.reasons.clear()


class Recording(Plain):
    """Lines of a recorded file."""

    name = "replay"

    def __init__(self) -> None:
        self.seeds = good.seeds([*good.recorded()[:200], *good.answers("/fapi/v1/depth")])
        self._replay = _Replay()
        self._count = 0

    def feed(self, raw: bytes) -> None:
        """One line, with its stamp; every so often a new file begins."""
        self._count += 1
        if self._count % 500 == 0:
            self._replay = _Replay()
        self._replay.line(b"1721347061447000000 " + raw)
