"""A world in virtual time: one exchange, its market and its faults, and a trader that may die and come back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from tui_trader.core.events import OpenPosition, UserCommand
from tui_trader.core.orders import parse_client_id
from tui_trader.core.settings import Settings
from tui_trader.core.types import Side
from tui_trader.drill.journal import Disk
from tui_trader.drill.loop import VirtualLoop, run_virtual
from tui_trader.drill.network import Network
from tui_trader.drill.process import Process, owned_tasks
from tui_trader.drill.venue import SimVenue, bars
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.fault_acts import heal, perform
from tui_trader.exchange.fault_rules import Act, FaultRule
from tui_trader.exchange.faults import Faults
from tui_trader.exchange.listen_keys import ListenKeys
from tui_trader.exchange.ratelimits import RateLimits
from tui_trader.exchange.rest import RestApi
from tui_trader.exchange.scripted import ScriptedMarket, scripted_spec
from tui_trader.exchange.streams import StreamHub
from tui_trader.exchange.venue_clock import ExchangeClock
from tui_trader.runtime.supervise import describe, where_of
from tui_trader.runtime.trader import Trader

START_MS = 1_748_000_000_000 // 28_800_000 * 28_800_000 + 2 * 3_600_000
"""Two hours after a funding time, so that a short run is far from the next one."""
KEY, SECRET = "k" * 64, "s" * 64
_FAR_MS = 3_600_000
_ATR = 0.015
_QUIET_S = 3.0
_GRAIN = 0.0001
"""A walking price moves in steps of a basis point: quotes that stand still cost nothing."""
_FARTHEST = 0.6
_PRINTS_MS = 5_000
_SYMBOLS = {
    "BTCUSDT": (43_500.0, "0.10", "0.001"),
    "ETHUSDT": (2_400.0, "0.01", "0.001"),
    "SOLUSDT": (150.0, "0.010", "0.01"),
    "BNBUSDT": (600.0, "0.010", "0.01"),
}


@dataclass(frozen=True)
class Setup:
    """How a world begins. ``fine_s`` is the step of market and timer while something is under way, ``coarse_s`` else;
    ``settings`` are overrides by dotted name.
    """

    seed: int = 1
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    wallet: str = "10000"
    latency_ms: float = 20.0
    fine_s: float = 0.1
    coarse_s: float = 0.1
    rules: tuple[FaultRule, ...] = ()
    settings: dict[str, object] = field(default_factory=dict)


def drill_settings(overrides: dict[str, object]) -> Settings:
    """The defaults, the drill's symbols in their tiers, and ``overrides``. Raises pydantic's ``ValidationError``."""
    values: dict[str, Any] = Settings().model_dump()
    values["tiers"] |= {"main": ("BTC", "ETH"), "l1": ("SOL", "BNB")}
    for name, value in overrides.items():
        section, _, key = name.partition(".")
        values[section][key] = value
    return Settings.model_validate(values)


class Trace:
    """A hash over everything that was asked, sent and done; ``lines`` keeps it readable when wanted."""

    def __init__(self, keep: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = [] if keep else None

    def add(self, at_s: float, what: str, body: str) -> None:
        """One fact."""
        line = f"{at_s:.6f} {what} {body}\n"
        self._hash.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    def digest(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()


class _Path:
    """Where a price goes: straight from here to there."""

    __slots__ = ("begin_s", "end_s", "start", "target")

    def __init__(self, price: float) -> None:
        self.begin_s = self.end_s = 0.0
        self.start = self.target = price

    def lead(self, now_s: float, price: float, seconds: float) -> None:
        self.start, self.target = self.at(now_s), price
        self.begin_s, self.end_s = now_s, now_s + seconds

    def at(self, now_s: float) -> float:
        if now_s >= self.end_s:
            return self.target
        return self.start + (self.target - self.start) * (now_s - self.begin_s) / (self.end_s - self.begin_s)


class SimWorld:
    """Implements ``scenario.Stage``. Use it inside ``run_world``."""

    def __init__(self, loop: VirtualLoop, setup: Setup, *, keep_trace: bool = False) -> None:
        loop.set_task_factory(owned_tasks)  # type: ignore[arg-type]  # it may be called without a context
        loop.set_exception_handler(self._defect)
        self.defects: list[str] = []
        self.loop = loop
        self.setup = setup
        self.settings = drill_settings(setup.settings)
        self.rng = Random(f"{setup.seed}/world")
        self.trace = Trace(keep_trace)
        self.said: list[str] = []
        self.faults = Faults(setup.seed, setup.rules)
        self.markets = {symbol: _market(symbol) for symbol in setup.symbols}
        self.exchange = ExchangeEngine(dict(self.markets), START_MS)
        self.account: Account = self.exchange.add_account(KEY, SECRET, Decimal(setup.wallet))
        self.exchange.faults = self.faults
        self.clock = ExchangeClock(START_MS, 1.0, loop.monotonic)
        self.keys = keys = ListenKeys(loop.monotonic, "drill")
        self.limits = RateLimits(loop.monotonic)
        api = RestApi(self.exchange, self.clock, keys, self.limits, wall_ms=self.clock.now_ms)
        self.hub = StreamHub(self.exchange, keys)
        self.network = Network(loop, api, self.hub, self.faults, self.rng, setup.latency_ms)
        self.network.note = self._note
        self.exchange.on_restart = self._restarted
        self.disk = Disk()
        self.process: Process | None = None
        self.steps_before = 0
        self.on_step: Callable[[], None] = lambda: None
        self.on_command: Callable[[UserCommand], None] = lambda command: None
        self._paths = {symbol: _Path(market.mid) for symbol, market in self.markets.items()}
        self._acts_rng = Random(f"{setup.seed}/acts")
        self._starts = 0
        self._kill_in = 0
        self._busy_until = 0.0
        self._stepped_s = 0.0
        self._beat: asyncio.Future[None] = loop.create_future()
        self._nap: asyncio.Future[None] | None = None
        self._wake_at: asyncio.TimerHandle | None = None
        self._market_task: asyncio.Task[None] | None = None
        self._hear_events()

    def _hear_events(self) -> None:
        deliver = self.exchange.on_user_event

        def on_event(account: Account, event: dict[str, object]) -> None:
            self.trace.add(self.loop.monotonic(), "event", str(msgspec.json.encode(event), "utf-8"))
            self.busy()
            deliver(account, event)

        self.exchange.on_user_event = on_event

    def _restarted(self) -> None:
        self.keys.forget()
        self.network.cut_all("connection reset")

    def heal(self) -> None:
        """The faults end: network, venue and disk are honest from now on, and what acts left behind is put right."""
        self.faults.clear()
        heal(self.exchange)
        self.disk.full = False
        self._kill_in = 0
        self.busy()

    def _defect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody took: in the simulation, in the exchange, or in a task of the trader."""
        error = context.get("exception")
        where = where_of(error) if isinstance(error, BaseException) else ""
        words = describe(error) if isinstance(error, BaseException) else str(context.get("message", ""))
        self.defects.append(f"{words} ({where})")

    # --- life ---

    async def start(self, ms: int = 30_000) -> None:
        """Begin the market and a trader, and wait until it may enter. Raises ``TimeoutError``."""
        self.begin()
        await self.until(self.may_enter, ms)

    def begin(self) -> None:
        """Begin the market and a trader, and wait for nothing."""
        self.exchange.next_step_ms = self.clock.now_ms() + _FAR_MS
        self._market_task = self.loop.create_task(self._run_market(), name="market")
        self.begin_process()

    def may_enter(self) -> bool:
        """Whether the trader is ready to enter every symbol."""
        trader = self.process.trader if self.process is not None else None
        if trader is None:
            return False
        state = trader.engine.state
        return bool(state.reconciled_ms) and not state.blocks() and set(self.markets) <= set(state.leverage_set)

    async def aclose(self) -> None:
        """End everything."""
        if self.process is not None:
            self.process.kill()
            await self.process.ended()
        if self._market_task is not None:
            self._market_task.cancel()
        self.disk.close()

    @property
    def steps(self) -> int:
        """Engine events processed so far, over all processes."""
        trader = self.process.trader if self.process is not None else None
        return self.steps_before + (trader.processed if trader is not None else 0)

    @property
    def trader(self) -> Trader:
        """See ``Stage``."""
        trader = self.process.trader if self.process is not None and self.process.alive else None
        if trader is None:
            raise RuntimeError("no trader runs: it was killed, or its venue is not open yet")
        return trader

    def begin_process(self) -> Process:
        """A new process on what is durable; returns at once."""
        self._starts += 1
        rng = Random(f"{self.setup.seed}/process/{self._starts}")
        venue = SimVenue(self.network, self.exchange.states, KEY, SECRET, self.settings, rng)
        process = Process(
            disk=self.disk,
            venue=venue,
            settings=self.settings,
            rng=rng,
            say=self._say,
            note=self._note,
            pause=self._next_beat,
        )
        self.process = process
        process.begin()
        self.busy()
        return process

    def _note(self, what: str, body: str) -> None:
        self.trace.add(self.loop.monotonic(), what, body)
        if self._kill_in:
            self._kill_in -= 1
            if not self._kill_in:
                self.kill_process()

    def kill_after(self, effects: int) -> None:
        """kill -9 at once after so many more commands, requests and answers: in the very middle of things."""
        self._kill_in = effects

    def _say(self, severity: str, text: str) -> None:
        self.said.append(text)
        self.trace.add(self.loop.monotonic(), severity, text)

    def kill_process(self) -> None:
        """kill -9, effective at once; may be called from anywhere, also from inside the process's own calls."""
        process = self.process
        if process is None or not process.alive:
            return
        self.trace.add(self.loop.monotonic(), "crash", "")
        self._kill_in = 0
        process.kill()

    async def crash(self) -> None:
        """See ``Stage``."""
        self.kill_process()
        if (process := self.process) is not None:
            await process.ended()
            self._forget(process)

    def _forget(self, process: Process) -> None:
        # Crash and stop may end the same process, and the next one may run before the slower of the two is done.
        if process is not self.process:
            return
        if process.trader is not None:
            self.steps_before += process.trader.processed
        self.process = None

    async def restart(self) -> None:
        """See ``Stage``."""
        await self.crash()
        for _ in range(20):
            process = self.begin_process()
            await self.until(lambda it=process: not it.alive or it.compared, 600_000)  # type: ignore[misc]  # a lambda's default
            if process.alive:
                return
            await process.ended()
            self._forget(process)
            await asyncio.sleep(1.0)
        raise TimeoutError("the trader did not come up again in 20 starts")

    async def stop(self) -> None:
        """SIGTERM: an orderly end."""
        if (process := self.process) is not None:
            await process.stop()
            self._forget(process)

    # --- time and market ---

    def busy(self) -> None:
        """Something happens: go on in fine steps for a while."""
        self._busy_until = self.loop.monotonic() + _QUIET_S
        nap, wake = self._nap, self._wake_at
        if nap is None or nap.done() or wake is None or wake.when() <= self.loop.monotonic() + self.setup.fine_s:
            return
        wake.cancel()
        self._wake_at = self.loop.call_later(self.setup.fine_s, _awake, nap)

    async def _run_market(self) -> None:
        while True:
            fine = self.loop.monotonic() < self._busy_until or self.unsettled()
            self._nap = self.loop.create_future()
            self._wake_at = self.loop.call_later(self.setup.fine_s if fine else self.setup.coarse_s, _awake, self._nap)
            await self._nap
            self._step()

    def unsettled(self) -> bool:
        """Whether a position lacks its stop, an order rests without one, or a request is under way."""
        account = self.account
        held = {symbol for symbol, position in account.positions.items() if position.lots}
        if any(not self.covered(symbol) for symbol in held):
            return True
        process = self.process
        return process is None or process.trader is None or bool(process.trader.outbox.pending)

    def covered(self, symbol: str) -> bool:
        """Whether own stops at the exchange cover all that is open."""
        position = self.account.positions.get(symbol)
        return position is None or not position.lots or self.coverage(symbol) >= abs(position.lots)

    def coverage(self, symbol: str) -> int:
        """Lots for which reduce-only stops wait at the exchange, not absurdly far from the price."""
        position = self.account.positions.get(symbol)
        if position is None or not position.lots:
            return 0
        found = 0
        for algo in self.account.algos.values():
            if algo.symbol != symbol or not algo.is_open or not algo.reduce_only or algo.is_take_profit:
                continue
            mark = self.exchange.states[symbol].mark / self.exchange.states[symbol].prices.unit_float
            if algo.is_buy == (position.lots < 0) and abs(algo.trigger - mark) <= mark * _FARTHEST:
                found += abs(position.lots) if algo.close_position else algo.lots
        return found

    def _step(self) -> None:
        now_s, now = self.loop.monotonic(), self.clock.now_ms()
        for symbol, path in self._paths.items():
            market, price = self.markets[symbol], path.at(now_s)
            if abs(price - market.mid) > market.mid * _GRAIN or now_s >= path.end_s:
                market.move_to(price)
        self._perform_due(now)
        self.exchange.next_step_ms = now
        self.exchange.advance_step()
        self.exchange.next_step_ms = now + _FAR_MS
        if now_s - self._stepped_s > 30.0:
            self._stepped_s = now_s
            self.hub.pump(now_s)
        self.on_step()
        process = self.process
        if process is not None and process.alive and process.ready:
            process.venue.market()
        beat, self._beat = self._beat, self.loop.create_future()
        beat.set_result(None)

    def _perform_due(self, now: int) -> None:
        for act in self.faults.acts(self.network.now_ms, (now - START_MS) / 3_600_000):
            self.act(act)

    async def _next_beat(self) -> None:
        await asyncio.shield(self._beat)

    async def sleep(self, ms: int) -> None:
        """See ``Stage``."""
        await asyncio.sleep(ms / 1000)

    async def move(self, symbol: str, price: float, ms: int = 1000) -> None:
        """See ``Stage``."""
        self.lead(symbol, price, ms)
        await asyncio.sleep(ms / 1000 + self.setup.fine_s)

    def lead(self, symbol: str, price: float, ms: int) -> None:
        """As ``move``, without waiting for it."""
        self._paths[symbol].lead(self.loop.monotonic(), price, ms / 1000)

    async def gap(self, symbol: str, price: float) -> None:
        """See ``Stage``."""
        self._paths[symbol].lead(self.loop.monotonic(), price, 0.0)
        self.busy()
        await asyncio.sleep(self.setup.fine_s * 1.5)

    # --- acting ---

    def user(self, command: UserCommand) -> None:
        """See ``Stage``. A command to a trader that is not running is lost, as a key pressed then is."""
        self.busy()
        process = self.process
        if process is not None and process.alive and process.ready:
            self.trace.add(self.loop.monotonic(), "user", str(msgspec.json.encode(command), "utf-8"))
            self.on_command(command)
            process.send(command)

    async def enter(
        self,
        symbol: str = "BTCUSDT",
        side: Side = Side.LONG,
        qty: str = "0.040",
        limit: str | None = None,
        wait: bool = True,
    ) -> None:
        """See ``Stage``."""
        before = len(self.said)
        price = None if limit is None else Decimal(limit)
        ticket = OpenPosition(
            ts=self.clock.now_ms(), symbol=symbol, side=side, qty=Decimal(qty), limit_price=price, override_soft=True
        )
        self.user(ticket)
        if wait:
            await self.until(lambda: self._entered(symbol, before, limit is not None), 60_000)

    def _entered(self, symbol: str, before: int, resting: bool) -> bool:
        position = self.account.positions.get(symbol)
        if position is not None and position.lots:
            return self.covered(symbol)
        if resting and any(parse_client_id(o.client_id) for o in self.account.open_orders(symbol)):
            return True
        ends = (f"{symbol}: entry refused", f"{symbol}: entry ended", f"{symbol}: closed")
        return any(text.startswith(ends) for text in self.said[before:])

    def act(self, act: Act) -> str:
        """See ``Stage``."""
        words = perform(self.exchange, act, self._acts_rng)
        self.trace.add(self.loop.monotonic(), "act", words)
        self.busy()
        return words

    async def until(self, condition: Callable[[], bool], ms: int = 30_000, poll_s: float = 0.02) -> None:
        """See ``Stage``."""
        end = self.loop.monotonic() + ms / 1000
        while not condition():
            if self.loop.monotonic() >= end:
                raise TimeoutError(f"not so after {ms} ms; last said: {self.said[-5:]}")
            await asyncio.sleep(poll_s)


def _awake(nap: asyncio.Future[None]) -> None:
    if not nap.done():
        nap.set_result(None)


def _market(symbol: str) -> ScriptedMarket:
    price, tick, step = _SYMBOLS[symbol]
    spec = scripted_spec(symbol, tick=tick, step=step, min_notional="5")
    lots = int(200_000 / price / float(step))
    history = bars(price, price * _ATR, START_MS)
    return ScriptedMarket(spec, mid=price, depth=5, lots=lots, print_every_ms=_PRINTS_MS, history=history)


def run_world(
    setup: Setup, script: Callable[[SimWorld], Coroutine[Any, Any, Any]], *, keep_trace: bool = False
) -> SimWorld:
    """Build a world, run ``script`` in it from before its start, and return it after its end."""

    async def main(loop: VirtualLoop) -> SimWorld:
        world = SimWorld(loop, setup, keep_trace=keep_trace)
        try:
            await script(world)
        finally:
            await world.aclose()
        return world

    return run_virtual(START_MS, main)
