"""Whole sessions against the simulated exchange, reached through the very settings that reach the real one."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from tests.runtime.build import ScriptedVenue
from tui_trader import clock
from tui_trader.cli_audit import check
from tui_trader.config import Loaded, load
from tui_trader.core.events import Event, MarkPrice, OpenPosition, Timer
from tui_trader.core.types import Channel, Side
from tui_trader.errors import ArmingError, ConfigError, RateLimited, SessionBusyError, VenueError, VenueUnreachable
from tui_trader.exchange.orders import AlgoOrder
from tui_trader.exchange.server import RunningExchange, running_exchange
from tui_trader.runtime.control import Request, ask, control_path
from tui_trader.runtime.latch import FILE_NAME as KILL_FILE
from tui_trader.runtime.lock import AccountLock, Holder, is_held, lock_path
from tui_trader.runtime.session import Session
from tui_trader.runtime.start import StartOptions, build_session
from tui_trader.venues.base import Sink

SYMBOLS = ("BTCUSDT", "ETHUSDT")


def options(exchange: RunningExchange, data_dir: Path, **changes: object) -> StartOptions:
    """Live trading, armed, on the simulated exchange."""
    overrides = {
        "venue.rest_url": exchange.rest_url,
        "venue.ws_url": exchange.ws_url,
        "strategies.threshold": 1.0,
    }
    facts: dict[str, object] = {
        "settings_source": lambda: load(None, environ={}, overrides=overrides),
        "mode": "live",
        "data_dir": data_dir,
        "environ": {"TP_API_KEY": exchange.api_key, "TP_API_SECRET": exchange.secret},
        "arm": True,
        "typed_venue": "binance",
    }
    return StartOptions(**(facts | changes))  # type: ignore[arg-type]


@asynccontextmanager
async def trading(options: StartOptions) -> AsyncIterator[Session]:
    """A started session that is stopped at the end."""
    session = await build_session(options)
    await session.start()
    try:
        yield session
    finally:
        await session.stop("end of the test")


@asynccontextmanager
async def simulated() -> AsyncIterator[RunningExchange]:
    start = clock.wall_ms() // 28_800_000 * 28_800_000 + 25 * 60_000
    async with running_exchange(seed=7, speed=20.0, start_ms=start, symbols=SYMBOLS) as exchange:
        yield exchange


async def until(done: Callable[[], object], seconds: float = 30.0) -> None:
    """Poll; the bound only keeps a failing test from hanging."""
    end = clock.monotonic() + seconds
    while not done():
        if clock.monotonic() > end:
            raise AssertionError("it never happened")
        await asyncio.sleep(0.02)


async def enter(session: Session) -> None:
    """A long of 0.01 BTC by hand, its stop proven."""

    def positions() -> bool:
        frame = session.view("BTCUSDT", "1m")
        return frame is not None and bool(frame.positions)

    def protected() -> bool:
        frame = session.view("BTCUSDT", "1m")
        return frame is not None and bool(frame.positions) and frame.positions[0].stop_proven

    def ticket() -> OpenPosition:
        return OpenPosition(
            ts=session.now_ms(), symbol="BTCUSDT", side=Side.LONG, qty=Decimal("0.01"), override_soft=True
        )

    await until(lambda: not session.preview(ticket()).error and not session.preview(ticket()).hard)
    session.send(ticket())
    await until(positions)
    await until(protected)


def held(exchange: RunningExchange) -> dict[str, Decimal]:
    """Open positions at the exchange, by its own books."""
    return {symbol: p.quantity for symbol, p in exchange.account.positions.items() if p.lots}


def resting_stops(exchange: RunningExchange) -> list[AlgoOrder]:
    """Stops resting at the exchange, by its own books."""
    return [algo for algo in exchange.account.open_algos() if algo.kind == "STOP_MARKET"]


async def test_live_through_url_settings_enters_protects_and_stops_with_the_stop_left(tmp_path: Path) -> None:
    """The live path: armed, key asked, entry filled, stop proven, SIGTERM's stop ≤ 5 s, protection stays."""
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
            assert held(exchange) == {"BTCUSDT": Decimal("0.010")}
            path = lock_path(tmp_path / "live", "binance", "live", exchange.api_key)
            assert is_held(path)
            with pytest.raises(SessionBusyError):
                await build_session(options(exchange, tmp_path))
            began = clock.monotonic()
            await session.stop("SIGTERM")
            assert clock.monotonic() - began <= 5.0
            assert await session.run_until_stopped() == "SIGTERM"
        assert not is_held(path)
        stops = resting_stops(exchange)
        lots = exchange.account.positions["BTCUSDT"].lots
        assert [(s.symbol, s.lots, s.is_buy) for s in stops] == [("BTCUSDT", lots, False)]
        assert held(exchange) == {"BTCUSDT": Decimal("0.010")}
        text = (tmp_path / "live" / "session.log").read_text()
        assert "stop proven) left at the venue" in text
        assert exchange.secret not in text
        assert exchange.api_key not in text
        report = check(tmp_path / "live" / "store.sqlite3")
        assert (report.whole, report.anchors) == (True, 1), "the head stands in the log at the stop"
        assert report.rows >= 3
        assert str(report.head) in text


async def test_an_unarmed_restart_only_protects(tmp_path: Path) -> None:
    """I24."""
    async with simulated() as exchange:
        quiet = options(exchange, tmp_path, arm=False, typed_venue="", protect_only=True)
        async with trading(quiet) as session:
            await until(lambda: session.view("", "1m"))
            frame = session.view("", "1m")
            assert frame is not None
            assert not frame.header.armed
            ticket = OpenPosition(ts=session.now_ms(), symbol="BTCUSDT", side=Side.LONG, qty=Decimal("0.01"))
            assert session.preview(ticket).hard
            session.send(ticket)
            await until(lambda: session.view("", "1m").signals)  # type: ignore[union-attr]
            assert held(exchange) == {}


async def test_a_key_that_can_withdraw_is_refused_and_everything_given_back(tmp_path: Path) -> None:
    async with simulated() as exchange:
        exchange.account.can_withdraw = True
        session = await build_session(options(exchange, tmp_path))
        with pytest.raises(ArmingError, match="withdraw"):
            await session.start()
        assert not is_held(lock_path(tmp_path / "live", "binance", "live", exchange.api_key))
        exchange.account.can_withdraw = False
        async with trading(options(exchange, tmp_path)) as again:
            await until(lambda: again.view("", "1m"))


async def test_live_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    async with simulated() as exchange:
        for changes in ({"arm": False}, {"typed_venue": "bybit"}):
            with pytest.raises(ArmingError):
                await build_session(options(exchange, tmp_path, **changes))
        assert list(tmp_path.iterdir()) == []


async def test_kill_over_the_socket_flattens_latches_and_survives_a_restart(tmp_path: Path) -> None:
    """I15."""
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
            path = lock_path(tmp_path / "live", "binance", "live", exchange.api_key)
            answer = await ask(control_path(path.parent, path.stem), Request(do="kill", reason="test"))
            assert answer.ok
            await until(lambda: not held(exchange))
            await until(lambda: not resting_stops(exchange))
            assert session.status()["killed"] is True
        async with trading(options(exchange, tmp_path)) as again:
            await until(lambda: again.view("", "1m"))
            assert again.status()["killed"] is True
            ticket = OpenPosition(ts=again.now_ms(), symbol="BTCUSDT", side=Side.LONG, qty=Decimal("0.01"))
            assert again.preview(ticket).hard


async def test_a_takeover_leaves_the_position_protected_and_adopted(tmp_path: Path) -> None:
    """I16."""
    async with simulated() as exchange, trading(options(exchange, tmp_path)) as first:
        await enter(first)
        async with trading(options(exchange, tmp_path, take_over=True)) as second:
            assert "taken over" in await first.run_until_stopped()
            await until(lambda: second.status().get("positions") == 1 and second.status().get("naked") == 0)
            await until(lambda: len(resting_stops(exchange)) == 1)
            assert held(exchange) == {"BTCUSDT": Decimal("0.010")}


async def test_the_view_and_a_reload_are_safe_at_any_time(tmp_path: Path) -> None:
    async with simulated() as exchange:
        source = options(exchange, tmp_path).settings_source
        broken = False

        def settings() -> Loaded:
            if broken:
                raise ConfigError("config.toml:3: universe.max_size = 0 must be at least 1")
            return source()

        session = await build_session(options(exchange, tmp_path, settings_source=settings))
        ticket = OpenPosition(ts=1, symbol="BTCUSDT", side=Side.LONG)
        assert session.view("BTCUSDT", "1m") is None
        assert "starting" in session.preview(ticket).error
        assert session.status()["mode"] == "live"
        await session.start()
        await until(lambda: session.view("BTCUSDT", "1m"))
        assert session.reload_settings() == "settings read again: nothing changed"
        broken = True
        assert "left as they were" in session.reload_settings()
        frame = session.view("NOSUCH", "1m")
        assert frame is not None
        assert {"engine", "reconcile", "outbox"} <= {w.name for w in frame.workers}
        session.detach("terminal closed")
        session.log.flush()
        assert "terminal closed; trading on headless" in session.log.path.read_text()
        await asyncio.gather(session.stop("one"), session.stop("two"))
        assert await session.run_until_stopped() == "one"
        assert session.view("BTCUSDT", "1m") is not None


async def test_the_kill_file_latches(tmp_path: Path) -> None:
    async with simulated() as exchange, trading(options(exchange, tmp_path)) as session:
        await until(lambda: session.view("", "1m"))
        (tmp_path / "live" / KILL_FILE).touch()
        await until(lambda: session.status().get("killed"))


async def test_a_defect_of_the_engine_halts_entries_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulated() as exchange, trading(options(exchange, tmp_path)) as session:
        await until(lambda: session.view("", "1m"))
        process, failed = session.engine.process, []

        def defective(event: Event) -> object:
            if isinstance(event, MarkPrice) and not failed:
                failed.append(event)
                raise ZeroDivisionError("defect")
            return process(event)

        monkeypatch.setattr(session.engine, "process", defective)
        await until(lambda: session.engine.state.halted)
        assert "ZeroDivisionError" in session.engine.state.halted
        ticket = OpenPosition(ts=session.now_ms(), symbol="BTCUSDT", side=Side.LONG, qty=Decimal("0.01"))
        assert session.preview(ticket).hard
        now = session.engine.state.now
        await until(lambda: session.engine.state.now > now)


def scripted(tmp_path: Path, venue: ScriptedVenue) -> Session:
    """A session on a venue that misbehaves."""
    lock = AccountLock(tmp_path / "a.lock", Holder(pid=1, started_ms=1)).acquire()
    return Session(
        settings_source=lambda: load(None, environ={}, overrides={}),
        mode="testnet",
        venue=venue,
        store_path=tmp_path / "store.sqlite3",
        lock=lock,
        armed=True,
    )


async def test_a_venue_that_cannot_be_reached_gives_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_trader.runtime.session.OPEN_PAUSE_MAX_S", 0.0)
    venue = ScriptedVenue()
    venue.answers["open"] = [VenueUnreachable("no route")] * 3
    session = scripted(tmp_path, venue)
    with pytest.raises(VenueUnreachable):
        await session.start()
    assert ("aclose", "") in venue.calls
    assert not is_held(tmp_path / "a.lock")
    assert await asyncio.wait_for(session.run_until_stopped(), 5) == ""


@pytest.mark.parametrize("error", [RateLimited("silence", retry_after_ms=60_000), VenueUnreachable("no answer")])
async def test_a_venue_that_does_not_answer_at_once_is_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: VenueError
) -> None:
    monkeypatch.setattr("tui_trader.runtime.session.OPEN_PAUSE_MAX_S", 0.0)
    venue = ScriptedVenue()
    venue.answers["open"] = [error, None]
    session = scripted(tmp_path, venue)
    await session.start()
    await session.stop("done")
    assert [c[0] for c in venue.calls[:3]] == ["open", "aclose", "open"]


async def test_a_stop_while_starting_ends_the_start(tmp_path: Path) -> None:
    venue = ScriptedVenue()
    venue.answers["open"] = [asyncio.Event()]
    session = scripted(tmp_path, venue)
    starting = asyncio.ensure_future(session.start())
    await until(lambda: venue.calls)
    await session.stop("SIGTERM")
    with pytest.raises(Exception, match="stopped while starting: SIGTERM"):
        await starting
    assert not is_held(tmp_path / "a.lock")
    assert "the session did not start: SIGTERM" in session.log.path.read_text()


@pytest.mark.parametrize("opened", [VenueUnreachable("no route"), asyncio.CancelledError()])
async def test_a_stop_while_a_start_that_failed_or_was_left_gives_everything_back_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: BaseException
) -> None:
    monkeypatch.setattr("tui_trader.runtime.session.OPEN_TRIES", 1)
    venue, closing = ScriptedVenue(), asyncio.Event()
    venue.answers = {"open": [opened], "aclose": [closing]}
    kept: list[bool] = []
    session = scripted(tmp_path, venue)
    session._on_stopped = partial(_note, kept)
    starting = asyncio.ensure_future(session.start())
    await until(lambda: ("aclose", "") in venue.calls)
    stopping = asyncio.ensure_future(session.stop("SIGTERM"))
    for _ in range(3):
        await asyncio.sleep(0)
        starting.cancel()
    closing.set()
    await asyncio.wait({starting, stopping}, timeout=5)
    assert starting.done()
    assert stopping.done()
    assert not is_held(tmp_path / "a.lock")
    assert kept == [True]


async def test_a_stop_after_a_failed_start_ends_no_simulated_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether a position is open there."""
    monkeypatch.setattr("tui_trader.runtime.session.OPEN_TRIES", 1)
    venue = ScriptedVenue()
    venue.answers["open"] = [VenueUnreachable("no route")]
    kept: list[bool] = []
    session = scripted(tmp_path, venue)
    session._on_stopped = partial(_note, kept)
    with pytest.raises(VenueUnreachable):
        await session.start()
    await session.stop("quit by the person")
    assert kept == [True]


async def _note(kept: list[bool], keep: bool) -> None:
    kept.append(keep)


async def test_a_venue_that_does_not_close_keeps_nothing_from_closing(tmp_path: Path) -> None:
    venue = ScriptedVenue()
    venue.answers["aclose"] = [asyncio.Event()]
    session = scripted(tmp_path, venue)
    await session.start()
    began = clock.monotonic()
    await session.stop("SIGTERM")
    assert clock.monotonic() - began <= 5.0
    assert not is_held(tmp_path / "a.lock")


async def test_a_session_whose_folders_were_deleted_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    session = scripted(Path(), ScriptedVenue())
    await session.start()
    while (tmp_path / "work").exists():  # the session writes meanwhile
        shutil.rmtree(tmp_path / "work", ignore_errors=True)
    await asyncio.wait_for(session.stop("SIGTERM"), 10)
    assert await session.run_until_stopped() == "SIGTERM"


async def test_a_broken_store_blocks_entries_and_a_mended_one_frees_them(tmp_path: Path) -> None:
    """I11."""
    session = scripted(tmp_path, ScriptedVenue())
    await session.start()
    session._store_changed("the disk is full")
    await until(lambda: not session.engine.state.channels[Channel.STORE].up)
    session._store_changed("")
    await until(lambda: session.engine.state.channels[Channel.STORE].up)
    await session.stop("done")


async def test_timers_beat(tmp_path: Path) -> None:
    heard: list[Event] = []

    class Listening(ScriptedVenue):
        async def open(self, sink: Sink) -> None:
            await super().open(sink)

    session = scripted(tmp_path, Listening())
    await session.start()
    process = session.engine.process
    session.engine.process = lambda event: heard.append(event) or process(event)  # type: ignore[method-assign, func-returns-value]
    await until(lambda: len([e for e in heard if isinstance(e, Timer)]) >= 3)
    await session.stop("done")
