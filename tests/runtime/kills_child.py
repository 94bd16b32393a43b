"""The processes that ``tests.runtime.kills`` kills: a starter that has everything imported forks one session a life.

Each line on its standard input is one life (``Life`` as JSON); the words of the running process go to standard output,
one short line each, written before anything else can happen: ``PID``, ``ACK`` (an intent is acknowledged as durable),
``SENT``, ``READY`` (compared with the venue, all protected), ``DIED`` (by its own hand, at the point it was given),
``LAG`` (its loop stood still), ``DONE`` and the starter's ``GONE``.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from tui_trader import clock
from tui_trader.config import load
from tui_trader.core import events as ev
from tui_trader.core.commands import CancelOrder, PlaceOrder, QueryOrder
from tui_trader.core.types import Leg, Side
from tui_trader.core.views import PositionRow, Snapshot
from tui_trader.errors import StoreError
from tui_trader.runtime.session import Session
from tui_trader.runtime.signals import run_headless
from tui_trader.runtime.start import StartOptions, build_session
from tui_trader.runtime.trader import Trader
from tui_trader.store.journal import Store
from tui_trader.store.writer import Writer
from tui_trader.venues.binance.client import BinanceVenue

LAG_S = 0.05
ACTS = ("stop", "stop", "even", "trail", "target", "part", "close", "flatten", "wait")


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One life: where, who, what it draws from, and where it ends itself ("" when it is killed or goes on).

    ``sabotage`` breaks the program, to see that the audit finds it: "ack" acknowledges before the disk has it, "twice"
    sends an order again under another id, "bare" never sends a stop.
    """

    number: int
    seed: int
    data_dir: str
    rest_url: str
    ws_url: str
    key: str
    secret: str
    symbols: tuple[str, ...]
    point: str = ""
    nth: int = 1
    after_ms: float = 0.0
    last: bool = False
    sabotage: str = ""


def say(*words: object) -> None:
    """One line, in one write."""
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


class Fate:
    """Counts the points that the process passes, and ends it at its own."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._seen = 0

    def at(self, point: str) -> None:
        """The process is at ``point`` (any thread)."""
        if point != self._life.point:
            return
        self._seen += 1
        if self._seen != self._life.nth:
            return
        if self._life.after_ms <= 0:
            self._end()
        timer = threading.Timer(self._life.after_ms / 1000, self._end)
        timer.daemon = True
        timer.start()

    def _end(self) -> None:
        say("DIED", self._life.point)
        os.kill(os.getpid(), signal.SIGKILL)


def label(order: PlaceOrder | CancelOrder | QueryOrder) -> str:
    """What kind of request it is: a leg, or x for a cancel."""
    return order.leg.value if isinstance(order, PlaceOrder) else "x"


def watch(fate: Fate) -> None:
    """Let the process pass points around everything that is durable, sent or heard."""
    _watch_store(fate)
    _watch_venue(fate)
    apply = Trader.apply

    def applied(self: Trader, event: ev.Event) -> None:
        kind = type(event).__name__
        if kind in ("Fill", "AccountSnapshot", "OrderUpdate"):
            fate.at(f"hear:{kind}")
        apply(self, event)
        if kind in ("Fill", "AccountSnapshot"):
            fate.at(f"heard:{kind}")

    Trader.apply = applied  # type: ignore[method-assign]


def spoil(sabotage: str) -> None:
    """Break one rule of the program."""
    place, intent = BinanceVenue.place, Store.intent

    async def twice(self: BinanceVenue, order: PlaceOrder) -> str:
        answer = await place(self, order)
        if order.leg is Leg.ENTRY:
            await place(self, msgspec.structs.replace(order, client_id=f"{order.client_id}9"))
        return answer

    async def bare(self: BinanceVenue, order: PlaceOrder) -> str:
        return "1" if order.leg is Leg.STOP else await place(self, order)

    async def early(self: Store, order: PlaceOrder | CancelOrder) -> None:
        asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(intent(self, order)))

    if sabotage == "twice":
        BinanceVenue.place = twice  # type: ignore[method-assign]
    elif sabotage == "bare":
        BinanceVenue.place = bare  # type: ignore[method-assign]
    elif sabotage == "ack":
        Store.intent = early  # type: ignore[method-assign]


def _watch_store(fate: Fate) -> None:
    intent, commit, opened = Store.intent, Writer._commit, Store.open.__func__  # type: ignore[attr-defined]

    async def acknowledged(self: Store, order: PlaceOrder | CancelOrder) -> None:
        fate.at(f"intent:{label(order)}")
        try:
            await intent(self, order)
        except StoreError:
            say("FAILED", order.client_id)
            raise
        say("ACK", "cancel" if isinstance(order, CancelOrder) else "place", order.client_id)
        fate.at(f"acked:{label(order)}")

    def committed(self: Writer, rows: list[Any]) -> None:
        fate.at("commit")
        commit(self, rows)
        fate.at("committed")

    async def open_store(cls: type[Store], *arguments: Any) -> Store:
        fate.at("open")
        store: Store = await opened(cls, *arguments)
        fate.at("opened")
        return store

    Store.intent = acknowledged  # type: ignore[method-assign]
    Writer._commit = committed  # type: ignore[method-assign]
    Store.open = classmethod(open_store)  # type: ignore[assignment]


def _watch_venue(fate: Fate) -> None:
    place, cancel, start = BinanceVenue.place, BinanceVenue.cancel, BinanceVenue.open

    async def placed(self: BinanceVenue, order: PlaceOrder) -> str:
        say("SENT", order.client_id)
        fate.at(f"send:{label(order)}")
        sending = asyncio.ensure_future(place(self, order))
        await asyncio.sleep(0)
        fate.at(f"sending:{label(order)}")
        answer = await sending
        fate.at(f"answered:{label(order)}")
        return answer

    async def cancelled(self: BinanceVenue, order: CancelOrder) -> None:
        fate.at("send:x")
        await cancel(self, order)
        fate.at("answered:x")

    async def begun(self: BinanceVenue, sink: Callable[[ev.Event], None]) -> None:
        fate.at("connect")
        await start(self, sink)
        fate.at("connected")

    BinanceVenue.place = placed  # type: ignore[method-assign]
    BinanceVenue.cancel = cancelled  # type: ignore[method-assign]
    BinanceVenue.open = begun  # type: ignore[method-assign]


class Person:
    """Does what a person does, drawn from a seed, until the process ends."""

    def __init__(self, session: Session, life: Life) -> None:
        self._session = session
        self._life = life
        self._rng = random.Random(life.seed)

    async def live(self) -> None:
        """Wait until all is compared and protected, then act again and again."""
        await self._until(self._calm)
        say("READY")
        if self._life.last:
            self._session.send(ev.FlattenAll(ts=self._session.now_ms(), reason="the end"))
            await self._until(self._flat)
            say("DONE")
            return
        while True:
            await asyncio.sleep(self._rng.uniform(0.0, 0.25))
            self._act()

    async def _until(self, done: Callable[[Snapshot], bool]) -> None:
        while True:
            frame = self._session.view(self._life.symbols[0], "1m")
            if frame is not None and done(frame):
                return
            await asyncio.sleep(0.02)

    def _calm(self, frame: Snapshot) -> bool:
        state = self._session.engine.state
        compared = state.reconciled_ms and not state.reconciling
        return bool(compared) and all(row.stop_proven for row in frame.positions)

    def _flat(self, frame: Snapshot) -> bool:
        state = self._session.engine.state
        return not frame.positions and not state.plans and not any(order.live for order in state.ledger)

    def _act(self) -> None:
        frame = self._session.view(self._life.symbols[0], "1m")
        if frame is None:
            return
        symbol = self._rng.choice(self._life.symbols)
        row = next((row for row in frame.positions if row.symbol == symbol), None)
        if row is not None:
            self._manage(row)
        elif symbol not in self._session.engine.state.plans:
            self._enter(symbol)

    def _enter(self, symbol: str) -> None:
        session, side = self._session, self._rng.choice((Side.LONG, Side.SHORT))
        qty = Decimal(self._rng.choice(("0.010", "0.024", "0.050")))
        mark = session.engine.state.trigger_price(symbol)
        limit = None
        if mark > 0 and self._rng.random() < 0.3:
            away = Decimal(self._rng.choice(("0.0004", "0", "-0.001"))) * side.sign
            limit = session.engine.state.instruments[symbol].floor_price(mark * (1 - away))
        ticket = ev.OpenPosition(
            ts=session.now_ms(), symbol=symbol, side=side, qty=qty, limit_price=limit, override_soft=True
        )
        preview = session.preview(ticket)
        if not preview.error and not preview.hard:
            session.send(ticket)

    def _manage(self, row: PositionRow) -> None:
        act = "wait" if self._life.sabotage == "bare" else self._rng.choice(ACTS)
        ts, symbol = self._session.now_ms(), row.symbol
        away = Decimal(self._rng.uniform(0.001, 0.01)) * (-1 if row.side is Side.LONG else 1)
        mark = Decimal(str(row.mark))
        commands: dict[str, ev.UserCommand | None] = {
            "stop": ev.MoveStop(ts=ts, symbol=symbol, price=mark * (1 + away)),
            "even": ev.StopToBreakEven(ts=ts, symbol=symbol),
            "trail": ev.StartTrailing(ts=ts, symbol=symbol),
            "target": ev.SetTarget(
                ts=ts, symbol=symbol, leg=Leg.TP1, price=mark * (1 - away / 4), fraction=Decimal("0.4")
            ),
            "part": ev.ClosePosition(ts=ts, symbol=symbol, fraction=Decimal("0.3")),
            "close": ev.ClosePosition(ts=ts, symbol=symbol, fraction=Decimal(1)),
            "flatten": ev.FlattenAll(ts=ts, reason="by the test"),
            "wait": None,
        }
        command = commands[act]
        if command is not None:
            self._session.send(command)
        if act == "flatten":
            self._session.send(ev.PauseEntries(ts=ts, paused=False))


async def lag() -> None:
    """Tell how long the loop stood still, so that a busy machine is not taken for a slow program."""
    while True:
        before = clock.monotonic()
        await asyncio.sleep(0.01)
        late = clock.monotonic() - before - 0.01
        if late > LAG_S:
            say("LAG", round(late * 1000))


async def session(life: Life) -> None:
    """One life of a whole session."""
    overrides: dict[str, object] = {
        "venue.rest_url": life.rest_url,
        "venue.ws_url": life.ws_url,
        "strategies.threshold": 1.0,
        "limits.max_orders_per_minute": 1_000,
        "limits.daily_loss_frac": 0.9,
        "limits.total_loss_frac": 0.9,
    }
    options = StartOptions(
        settings_source=lambda: load(None, environ={}, overrides=overrides),
        mode="live",
        data_dir=Path(life.data_dir),
        environ={"TP_API_KEY": life.key, "TP_API_SECRET": life.secret},
        arm=True,
        typed_venue="binance",
    )
    built = await build_session(options)
    person = asyncio.ensure_future(Person(built, life).live())
    measuring = asyncio.ensure_future(lag())
    running = asyncio.ensure_future(run_headless(built))
    done, _ = await asyncio.wait({person, running}, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    await built.stop("the life is over")
    await _ended(person, measuring, running)


async def _ended(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def one_life(life: Life, work: Callable[[Life], Coroutine[Any, Any, None]] = session) -> int:
    """In the forked process: live, and say when the end was orderly."""
    say("PID", life.number, os.getpid())
    spoil(life.sabotage)
    watch(Fate(life))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work(life))
    except Exception as error:  # noqa: BLE001 - the parent must hear of a start that failed
        say("FAILED", type(error).__name__, " ".join(str(error).split())[:300])
        return 1
    say("OVER")
    return 0


def main() -> int:
    """Fork one session for each line until standard input ends."""
    import ccxt.async_support.binanceusdm  # noqa: F401 - imported once, not a hundred times

    import tui_trader.strategies.registry  # noqa: F401

    say("BORN")
    for line in sys.stdin:
        life = msgspec.json.decode(line, type=Life)
        pid = os.fork()
        if pid == 0:
            os._exit(one_life(life))
        _, status = os.waitpid(pid, 0)
        say("GONE", life.number, os.waitstatus_to_exitcode(status))
    return 0


if __name__ == "__main__":
    sys.exit(main())
