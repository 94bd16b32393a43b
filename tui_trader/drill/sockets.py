"""The same stage behind real sockets: the exchange's server on loopback, the real client, trader and store.

In real time, so a scenario takes as long as it says. A crash here drops every task and connection at once; what the
store's writer was handed before it is still written, which only a real SIGKILL does not grant (tests/runtime).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from random import Random

from tui_trader import clock
from tui_trader.core.engine import Engine
from tui_trader.core.events import LinkDown, LinkUp, OpenPosition, UserCommand
from tui_trader.core.orders import parse_client_id
from tui_trader.core.settings import Settings
from tui_trader.core.types import Channel, Side
from tui_trader.drill.scenario import Scenario
from tui_trader.drill.scenarios.look import ScenarioFailed, describe, fitted, gone
from tui_trader.drill.venue import bars
from tui_trader.drill.world import START_MS, drill_settings
from tui_trader.errors import StoreError, VenueError
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.fault_acts import heal, perform
from tui_trader.exchange.fault_rules import Act
from tui_trader.exchange.faults import Faults
from tui_trader.exchange.scripted import ScriptedMarket, scripted_spec
from tui_trader.exchange.server import RunningExchange, running_exchange
from tui_trader.runtime.inbox import Inbox
from tui_trader.runtime.trader import Trader
from tui_trader.store.journal import Store
from tui_trader.venues.binance.client import BinanceVenue

STEP_MS = 100
_ATR = 0.015
POLL_S = 0.02
SETTLE_MS = 20_000
PATIENCE = 4.0
"""A busy machine is slower than the exchange's clock: each deadline of a script is so many times as long."""


class SocketStage:
    """Implements ``scenario.Stage``. Use ``socket_stage`` to make one."""

    def __init__(
        self,
        running: RunningExchange,
        markets: dict[str, ScriptedMarket],
        faults: Faults,
        folder: Path,
        settings: Settings,
    ) -> None:
        self.faults = faults
        self.exchange: ExchangeEngine = running.engine
        self.account: Account = running.account
        self.said: list[str] = []
        self.settings = settings
        self._running = running
        self._markets = markets
        self._folder = folder
        self._starts = 0
        self._acts = Random("acts")
        self._inbox = Inbox()
        self._store: Store | None = None
        self._venue: BinanceVenue | None = None
        self._trader: Trader | None = None

    # --- life ---

    async def start(self, ms: int = 30_000) -> None:
        """Begin a trader and wait until it may enter. Raises ``TimeoutError``."""
        await self._begin()
        await self.until(self.may_enter, ms)

    def may_enter(self) -> bool:
        """Whether the trader is ready to enter every symbol."""
        if self._trader is None:
            return False
        state = self._trader.engine.state
        loaded = all(symbol in state.candles and not state.candles[symbol].missing for symbol in self._markets)
        ready = bool(state.reconciled_ms) and not state.blocks() and loaded
        return ready and set(self._markets) <= set(state.leverage_set)

    async def _begin(self) -> None:
        self._starts += 1
        self._inbox = inbox = Inbox()
        self._store = store = await Store.open(self._folder / "store.sqlite3", self._store_changed)
        recovered = await store.recovered()
        self._venue = venue = BinanceVenue(
            rest_url=self._running.rest_url,
            ws_url=self._running.ws_url,
            key=self._running.api_key,
            secret=self._running.secret,
            settings=self.settings.venue,
            data=self.settings.data,
            rng=Random(self._starts),
        )
        await venue.open(inbox.put)
        engine = Engine(
            self.settings,
            {},
            mode="demo",
            venue=venue.name,
            epoch=store.epoch,
            capabilities_note="emulated here",
            clock_rate=venue.clock.rate,
            armed=True,
            recovered=recovered,
        )
        self._trader = Trader(
            engine,
            venue,
            store,
            inbox,
            say=self._say,
            redact=str,
            on_hopeless=self.said.append,
            on_beat=lambda: None,
        )
        self._trader.start()

    def _say(self, severity: str, text: str, **facts: object) -> None:
        self.said.append(text)

    def _store_changed(self, words: str) -> None:
        ts = self._venue.clock.now_ms() if self._venue is not None else 0
        channel = Channel.STORE
        self._inbox.put(LinkDown(ts=ts, channel=channel, reason=words) if words else LinkUp(ts=ts, channel=channel))

    @property
    def trader(self) -> Trader:
        """See ``Stage``."""
        if self._trader is None:
            raise RuntimeError("no trader runs: it was killed")
        return self._trader

    async def crash(self) -> None:
        """See ``Stage``."""
        trader, venue, store = self._trader, self._venue, self._store
        self._trader = self._venue = self._store = None
        if trader is not None:
            await trader.aclose()
            await trader.outbox.aclose(0.0)
        if venue is not None:
            await venue.aclose()
        if store is not None:
            with suppress(StoreError):
                await store.aclose()

    async def restart(self) -> None:
        """See ``Stage``."""
        for _ in range(20):
            await self.crash()
            try:
                await self._begin()
            except VenueError as error:
                self.said.append(f"the session did not start: {error}")
                await asyncio.sleep(1.0)
                continue
            await self.until(lambda: bool(self.trader.engine.state.reconciled_ms), 60_000)
            return
        raise TimeoutError("the trader did not come up again in 20 starts")

    # --- time and market ---

    async def sleep(self, ms: int) -> None:
        """See ``Stage``."""
        await asyncio.sleep(ms / 1000)

    async def move(self, symbol: str, price: float, ms: int = 1000) -> None:
        """See ``Stage``."""
        market = self._markets[symbol]
        start, steps = market.mid, max(1, ms // STEP_MS)
        for step in range(1, steps + 1):
            market.move_to(start + (price - start) * step / steps)
            await asyncio.sleep(STEP_MS / 1000)
        await self._step()

    async def gap(self, symbol: str, price: float) -> None:
        """See ``Stage``."""
        self._markets[symbol].move_to(price)
        await self._step()

    async def _step(self) -> None:
        """Wait until the exchange has quoted anew."""
        due = self.exchange.next_step_ms
        await self.until(lambda: self.exchange.next_step_ms > due)

    async def until(self, condition: Callable[[], bool], ms: int = 30_000) -> None:
        """See ``Stage``."""
        end = clock.monotonic() + ms / 1000 * PATIENCE
        while not condition():
            if clock.monotonic() >= end:
                raise TimeoutError(f"not so after {ms} ms; last said: {self.said[-5:]}")
            await asyncio.sleep(POLL_S)

    # --- acting ---

    def user(self, command: UserCommand) -> None:
        """See ``Stage``. A command to a trader that is not running is lost, as a key pressed then is."""
        if self._trader is not None:
            self._inbox.put(command)

    async def enter(
        self,
        symbol: str = "BTCUSDT",
        side: Side = Side.LONG,
        qty: str = "0.040",
        limit: str | None = None,
        wait: bool = True,
    ) -> None:
        """See ``Stage``."""
        before, price = len(self.said), None if limit is None else Decimal(limit)
        self.user(
            OpenPosition(
                ts=self.exchange.now_ms,
                symbol=symbol,
                side=side,
                qty=Decimal(qty),
                limit_price=price,
                override_soft=True,
            )
        )
        if wait:
            await self.until(lambda: self._entered(symbol, before, limit is not None), 60_000)

    def _entered(self, symbol: str, before: int, resting: bool) -> bool:
        position = self.account.positions.get(symbol)
        if position is not None and position.lots:
            return bool(self.account.open_algos(symbol))
        if resting and any(parse_client_id(o.client_id) for o in self.account.open_orders(symbol)):
            return True
        ends = (f"{symbol}: entry refused", f"{symbol}: entry ended", f"{symbol}: closed")
        return any(text.startswith(ends) for text in self.said[before:])

    def act(self, act: Act) -> str:
        """See ``Stage``."""
        return perform(self.exchange, act, self._acts)

    def heal(self) -> None:
        """From now on the network and the venue are honest."""
        self.faults.clear()
        heal(self.exchange)


@asynccontextmanager
async def socket_stage(scenario: Scenario, folder: Path, seed: int = 1) -> AsyncIterator[SocketStage]:
    """A stage for a scenario, with a trader that may enter; its store lives in ``folder``."""
    markets = {"BTCUSDT": _market("BTCUSDT", 43_500.0, "0.10"), "ETHUSDT": _market("ETHUSDT", 2_400.0, "0.01")}
    faults = Faults(seed)
    async with running_exchange(markets=dict(markets), start_ms=START_MS, faults=faults) as running:
        stage = SocketStage(running, markets, faults, folder, drill_settings(dict(scenario.settings)))
        try:
            await stage.start()
            yield stage
        finally:
            await stage.crash()


async def play_over_sockets(scenario: Scenario, folder: Path, seed: int = 1) -> str:
    """Play it, let the faults end, and wait until all is protected or flat; what was not as it must be, or ""."""
    async with socket_stage(scenario, folder, seed) as stage:
        try:
            await scenario.script(stage)
            stage.heal()
            for symbol in stage.exchange.states:
                await stage.until(lambda at=symbol: gone(stage, at) or fitted(stage, at), SETTLE_MS)  # type: ignore[misc]  # a default
        except (ScenarioFailed, TimeoutError) as error:
            return f"{type(error).__name__}: {error}; {describe(stage)}; {stage.said[-8:]}"
    return ""


def _market(symbol: str, price: float, tick: str) -> ScriptedMarket:
    spec = scripted_spec(symbol, tick=tick, min_notional="5")
    lots = int(200_000 / price / float(spec.step_size))
    return ScriptedMarket(spec, mid=price, depth=5, lots=lots, history=bars(price, price * _ATR, START_MS))
