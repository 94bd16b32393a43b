"""Keys to commands: what a person presses is what the session is told, and nothing else."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
import pytest

from tests.ui.sample import NOW, FakeSession, alarm_snapshot, empty_snapshot, snapshot
from tui_trader.core.events import (
    ArmEntries,
    CancelEntry,
    ClosePosition,
    FlattenAll,
    KillSwitch,
    MoveStop,
    OpenPosition,
    PauseEntries,
    Rearm,
    RemoveTarget,
    SetTarget,
    StartTrailing,
    StopToBreakEven,
    UserCommand,
)
from tui_trader.core.settings import Settings, UiSettings
from tui_trader.core.types import Leg, Side
from tui_trader.errors import SessionBusyError, VenueError
from tui_trader.runtime.face import SessionFace
from tui_trader.ui.actions import ACTIONS, BY_ID, known_keymap
from tui_trader.ui.app import _SIMPLE, ConsoleApp
from tui_trader.ui.handlers import HANDLERS
from tui_trader.ui.messages import TerminalGone
from tui_trader.ui.screens.dialogs import ChoiceDialog, Dialog, PromptDialog, ReadDialog
from tui_trader.ui.screens.main import MainScreen
from tui_trader.ui.screens.ticket import TicketScreen
from tui_trader.ui.theme import MONO, PALETTES

SIZE = (160, 50)


async def press(session: FakeSession, *keys: str, size: tuple[int, int] = SIZE) -> ConsoleApp:
    """Run the console, press keys, leave; returns the application for a look at its state."""
    app = ConsoleApp(session)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
    return app


def text_of(app: ConsoleApp) -> str:
    """Everything on the terminal, as text."""
    width, height = app.size
    lines = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in lines[:height])[: (width + 1) * height]


def typed(text: str) -> list[str]:
    names = {".": "full_stop", " ": "space"}
    return [names.get(char, char) for char in text]


CLEAR = ["ctrl+u", "end", "ctrl+u"]


async def test_a_halt_is_shown_and_resumed_by_its_own_key() -> None:
    shown = snapshot()
    reason = "I2 is broken: two orders under one id"
    header = msgspec.structs.replace(shown.header, halted=reason, blocks=(f"entries halted: {reason}",))
    session = FakeSession(shown=msgspec.structs.replace(shown, header=header))
    app = ConsoleApp(session)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert "No new entries, p resumes them: entries halted: I2 is broken" in text_of(app)
        await pilot.press("p")
        await pilot.pause()
        assert "two orders under one id" in text_of(app)
        await pilot.press("r")
        await pilot.pause()
    assert session.sent == [PauseEntries(ts=NOW, paused=False)]


async def test_h_tells_the_story_of_the_selected_symbol() -> None:
    app = ConsoleApp(FakeSession())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press("h")
        await pilot.pause()
        told = text_of(app)
    assert "BTCUSDT: what happened" in told
    assert told.index("Entry filled: 0.046") < told.index("The stop was cancelled from outside")


@pytest.mark.parametrize(("answer", "title"), [("h", "BTCUSDT: what happened"), ("s", "ETHUSDT: what happened")])
async def test_h_offers_the_symbol_of_the_alarm_on_show_first(answer: str, title: str) -> None:
    app = ConsoleApp(FakeSession(shown=alarm_snapshot()))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        app.select("ETHUSDT")
        await pilot.press("4", "j", "h")
        await pilot.pause()
        offered = text_of(app)
        await pilot.press(answer)
        await pilot.pause()
        told = text_of(app)
    assert offered.index("BTCUSDT, the alarm's symbol") < offered.index("ETHUSDT, the selected one")
    assert title in told


async def test_h_asks_nothing_when_the_alarm_is_about_the_selected_symbol() -> None:
    app = ConsoleApp(FakeSession(shown=alarm_snapshot()))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press("h")
        await pilot.pause()
        assert "BTCUSDT: what happened" in text_of(app)


async def test_the_positions_after_a_kill_say_why_they_are_gone_and_how_to_go_on() -> None:
    app = ConsoleApp(FakeSession(shown=alarm_snapshot(killed=True)))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        told = " ".join(text_of(app).split())
    assert "Flat: the kill switch closes everything" in told
    assert "re-arms: R" in told


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["x", "1"], ClosePosition(ts=NOW, symbol="BTCUSDT", plan_id=1, fraction=Decimal("0.25"))),
        (["x", "2"], ClosePosition(ts=NOW, symbol="BTCUSDT", plan_id=1, fraction=Decimal("0.5"))),
        (["x", "a"], ClosePosition(ts=NOW, symbol="BTCUSDT", plan_id=1, fraction=Decimal(1))),
        (["e"], StopToBreakEven(ts=NOW, symbol="BTCUSDT", plan_id=1)),
        (["t"], StartTrailing(ts=NOW, symbol="BTCUSDT", plan_id=1)),
        (
            ["m", *CLEAR, *typed("43000.5"), "enter"],
            MoveStop(ts=NOW, symbol="BTCUSDT", plan_id=1, price=Decimal("43000.5")),
        ),
        (["minus", "1"], RemoveTarget(ts=NOW, symbol="BTCUSDT", plan_id=1, leg=Leg.TP1)),
        (
            ["plus", "tab", *typed("46000"), "enter"],
            SetTarget(ts=NOW, symbol="BTCUSDT", plan_id=1, leg=Leg.TP3, price=Decimal(46000), fraction=Decimal("0.2")),
        ),
        (["p", "a"], PauseEntries(ts=NOW, paused=True)),
        (["p", "s"], PauseEntries(ts=NOW, paused=True, symbol="BTCUSDT")),
        (["p", "1"], PauseEntries(ts=NOW, paused=True, strategy="volume_breakout")),
        (["p", "3"], PauseEntries(ts=NOW, paused=False, strategy="htf_sweep")),
        (["j", "j", "c"], CancelEntry(ts=NOW, symbol="SOLUSDT")),
        (["F", "F"], FlattenAll(ts=NOW)),
        (["K", "K"], KillSwitch(ts=NOW, reason="key in the console")),
        (["j", "x", "a"], ClosePosition(ts=NOW, symbol="ETHUSDT", plan_id=2, fraction=Decimal(1))),
        (["slash", *typed("eth"), "enter", "e"], StopToBreakEven(ts=NOW, symbol="ETHUSDT", plan_id=2)),
        (["colon", *typed("trail"), "enter"], StartTrailing(ts=NOW, symbol="BTCUSDT", plan_id=1)),
        (["b", "enter"], OpenPosition(ts=NOW, symbol="BTCUSDT", side=Side.LONG)),
        (["s", "enter"], OpenPosition(ts=NOW, symbol="BTCUSDT", side=Side.SHORT)),
        (
            ["b", "right", "tab", *typed("1.5"), "enter"],
            OpenPosition(ts=NOW, symbol="BTCUSDT", side=Side.LONG, risk_fraction=0.015),
        ),
        (
            ["b", "left", "tab", *typed("0.05"), "enter"],
            OpenPosition(ts=NOW, symbol="BTCUSDT", side=Side.LONG, qty=Decimal("0.05")),
        ),
        (
            ["b", "tab", "space", "tab", "enter"],
            OpenPosition(ts=NOW, symbol="BTCUSDT", side=Side.LONG, limit_price=Decimal("43512.4")),
        ),
        (
            ["j", "b", "shift+tab", "shift+tab", "space", "enter"],
            OpenPosition(ts=NOW, symbol="ETHUSDT", side=Side.LONG, override_soft=True),
        ),
    ],
)
async def test_keys_become_commands(keys: list[str], expected: UserCommand) -> None:
    session = FakeSession()
    await press(session, *keys)
    assert session.sent == [expected]


async def test_a_paused_symbol_is_resumed_also_while_the_universe_refuses_it() -> None:
    session = FakeSession()
    full = snapshot()
    row = msgspec.structs.replace(full.universe.refused[0], paused=True)
    universe = msgspec.structs.replace(full.universe, refused=(row, *full.universe.refused[1:]))
    session.shown = msgspec.structs.replace(full, universe=universe)
    app = ConsoleApp(session)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        app.select(row.symbol)
        await pilot.press("p")
        await pilot.pause()
        assert f"resume {row.symbol}" in text_of(app)
        await pilot.press("s")
        await pilot.pause()
    assert session.sent == [PauseEntries(ts=NOW, paused=False, symbol=row.symbol)]


async def test_the_mark_beside_a_new_stop_is_that_of_now() -> None:
    session = FakeSession()
    full = snapshot()
    app = ConsoleApp(session)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press("m")
        await pilot.pause()
        assert isinstance(app.screen, PromptDialog)
        moved = msgspec.structs.replace(full.positions[0], mark=43_444.4)
        session.shown = msgspec.structs.replace(full, positions=(moved, *full.positions[1:]))
        app.tick()
        app.screen.renew()
        await pilot.pause()
        assert "mark 43,444.4" in text_of(app)
        session.shown = msgspec.structs.replace(full, positions=full.positions[1:])
        app.tick()
        app.screen.renew()
        await pilot.pause()
        assert "the position has been closed meanwhile" in text_of(app)
        assert "✓ Enter confirms" not in text_of(app)


@pytest.mark.parametrize(
    "keys",
    [["x", "a"], ["minus", "1"], ["m", *CLEAR, *typed("43000.5"), "enter"], ["plus", "tab", *typed("46000"), "enter"]],
)
@pytest.mark.parametrize("change", [{"plan_id": 7, "side": Side.SHORT}, {"plan_id": 7}, None])
async def test_an_answer_about_a_position_that_is_gone_reaches_no_other(
    keys: list[str], change: dict[str, object] | None
) -> None:
    session = FakeSession()
    full = snapshot()
    app = ConsoleApp(session)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press(keys[0])
        await pilot.pause()
        others = full.positions[1:]
        held = others if change is None else (msgspec.structs.replace(full.positions[0], **change), *others)
        session.shown = msgspec.structs.replace(full, positions=held)
        app.tick()
        if keys[0] == "x":
            assert isinstance(app.screen, ChoiceDialog)
            app.screen.renew()
            await pilot.pause()
            assert "the position has been closed meanwhile" in text_of(app)
        await pilot.press(*keys[1:])
        await pilot.pause()
    assert session.sent == []


@pytest.mark.parametrize(
    "keys",
    [
        ["x", "escape"],
        ["x", "enter"],
        ["F", "escape"],
        ["F", "f"],
        ["F", "enter"],
        ["K", "k", "escape"],
        ["K", "y"],
        ["b", "escape"],
        ["m", *CLEAR, *typed("44000"), "enter"],
        ["m", *CLEAR, *typed("abc"), "enter"],
        ["m", *CLEAR, *typed("43000.55"), "enter"],
        ["j", "b", "enter"],
        ["j", "j", "b", "enter"],
        ["slash", *typed("avax"), "enter", "b", "enter"],
        ["b", "right", "tab", *typed("-5"), "enter"],
        ["b", "right", "tab", *typed("200"), "enter"],
        ["c"],
        ["R"],
        ["A"],
        ["j", "j", "j", "x"],
        ["q", "escape"],
    ],
)
async def test_keys_that_send_nothing(keys: list[str]) -> None:
    session = FakeSession()
    await press(session, *keys)
    assert session.sent == []
    assert session.left == []


@pytest.mark.parametrize(
    ("shown", "key", "words"),
    [
        (snapshot(), "R", "not set"),
        (snapshot(), "c", "No entry order of BTCUSDT"),
        (empty_snapshot(), "x", "No position"),
        (empty_snapshot(), "e", "No position"),
        (alarm_snapshot(killed=True), "b", "kill switch is set"),
        (alarm_snapshot(killed=True), "K", "already set"),
        (None, "b", "still starting"),
        (None, "K", "still starting"),
    ],
)
async def test_a_key_at_the_wrong_moment_says_why(shown: object, key: str, words: str) -> None:
    session = FakeSession(shown=shown)  # type: ignore[arg-type]
    app = ConsoleApp(session)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press(key)
        await pilot.pause()
        assert words in text_of(app)
    assert session.sent == []


async def test_rearm_and_arm_ask_first() -> None:
    session = FakeSession(shown=alarm_snapshot(killed=True))
    await press(session, "R", "R")
    assert session.sent == [Rearm(ts=NOW)]
    disarmed = snapshot()
    disarmed = msgspec.structs.replace(disarmed, header=msgspec.structs.replace(disarmed.header, armed=False))
    session = FakeSession(shown=disarmed)
    await press(session, "A", *typed("simulate"), "enter")
    assert session.sent == []
    await press(session, "A", *typed("simulated"), "enter")
    assert session.sent == [ArmEntries(ts=NOW, venue="simulated")]


async def test_rearm_says_what_is_still_being_closed() -> None:
    held = snapshot().positions[:2]
    app = ConsoleApp(FakeSession(shown=msgspec.structs.replace(alarm_snapshot(killed=True), positions=held)))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press("R")
        await pilot.pause()
        assert "2 positions are" in text_of(app)


async def test_quit_stops_and_detach_leaves() -> None:
    session = FakeSession()
    app = await press(session, "q", "q")
    assert session.left == ["stop: quit by the person"]
    assert app.return_value is not None
    assert (app.return_value.kind, app.return_value.goes_on) == ("quit", False)
    session = FakeSession()
    app = await press(session, "q", "d")
    assert session.left == ["detach: detached by the person"]
    assert app.return_value is not None
    assert app.return_value.goes_on


async def test_a_terminal_that_is_gone_leaves_the_session_trading() -> None:
    session = FakeSession()
    app = ConsoleApp(session)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        app.post_message(TerminalGone())
        app.post_message(TerminalGone())
        await pilot.pause()
    assert session.left == ["detach: terminal closed; trading on headless"]
    assert app.return_value is not None
    assert app.return_value.kind == "terminal_gone"


async def test_it_paints_before_the_session_starts_and_shows_the_lines_of_the_start() -> None:
    lines = ["starting the simulated exchange"]
    may_go = asyncio.Event()
    session = FakeSession()

    async def start() -> SessionFace:
        lines.append("opening the venue")
        await may_go.wait()
        return session

    app = ConsoleApp(start, progress=lines)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        app.tick()
        await pilot.pause()
        before = text_of(app)
        may_go.set()
        await pilot.pause()
        app.tick()
        await pilot.pause()
        after = text_of(app)
    assert "opening the venue" in before
    assert "starting the simulated exchange" in before
    assert "43,512.4" not in before
    assert "43,512.4" in after


async def test_a_start_that_fails_is_told_and_q_leaves() -> None:
    async def start() -> SessionFace:
        raise VenueError("the venue refused the key (-2015): check TP_API_KEY.")

    app = ConsoleApp(start)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.tick()
        await pilot.pause()
        assert "refused the key" in text_of(app)
        await pilot.press("q")
        await pilot.pause()
    assert app.return_value is not None
    assert app.return_value.kind == "failed"
    assert isinstance(app.return_value.error, VenueError)


async def test_a_session_held_elsewhere_ends_the_console_at_once_for_the_question() -> None:
    async def start() -> SessionFace:
        raise SessionBusyError("process 4711 holds this account")

    reason = None
    app = ConsoleApp(start)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.pause()
        reason = app.return_value
    assert reason is not None
    assert isinstance(reason.error, SessionBusyError)


async def test_leaving_during_the_start_cancels_it() -> None:
    cancelled = []

    async def start() -> SessionFace:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)
        raise AssertionError

    app = ConsoleApp(start)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("q")
        await pilot.pause()
    assert app.return_value is not None
    await app.settle(app.return_value)
    assert cancelled == [True]


async def test_i25_a_terminal_that_is_gone_during_the_start_lets_the_session_trade_on() -> None:
    session, ready = FakeSession(), asyncio.Event()

    async def start() -> SessionFace:
        await ready.wait()
        return session

    app = ConsoleApp(start)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.post_message(TerminalGone())
        await pilot.pause()
    assert app.return_value is not None
    settling = asyncio.ensure_future(app.settle(app.return_value))
    await asyncio.sleep(0)
    ready.set()
    await settling
    assert session.left == ["detach: terminal closed; trading on headless"]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 50), (200, 60)])
async def test_every_pane_says_why_it_is_empty(size: tuple[int, int]) -> None:
    app = ConsoleApp(FakeSession(shown=empty_snapshot()))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for name, pane in app.main.panes.items():
            app.show_pane(name)
            await pilot.pause()
            words = "".join(strip.text for strip in (pane.render_line(y) for y in range(pane.size.height)))
            assert len(words.split()) >= 4, name


async def test_resizing_never_fails_and_too_small_is_told() -> None:
    app = ConsoleApp(FakeSession(moving=True))
    async with app.run_test(size=SIZE) as pilot:
        for size in ((40, 10), (80, 24), (61, 15), (59, 13), (120, 40), (20, 3), (300, 90), (139, 38), (160, 50)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            app.tick()
            await pilot.pause()
            if size == (40, 10):
                assert "too small" in text_of(app)
        assert "Universe 12 of 17" in text_of(app)


async def test_the_mode_is_on_the_screen_and_on_the_ticket() -> None:
    app = ConsoleApp(FakeSession(shown=alarm_snapshot(), mode="live", venue="binance"))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        screen = text_of(app)
        assert "LIVE" in screen
        assert "1 NAKED" in screen
        assert "no proven stop for 4.2 s" in screen
        await pilot.press("b")
        await pilot.pause()
        assert "LIVE: real money" in text_of(app)
        assert app.screen.query_one("#ticket-mode").has_class("-live")


async def test_an_unchanged_snapshot_repaints_nothing_and_one_value_only_its_cells() -> None:
    session = FakeSession()
    app = ConsoleApp(session)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        app.tick()
        await pilot.pause()
        asked: list[tuple[str, tuple[object, ...]]] = []
        main = app.main
        for pane in (*main.panes.values(), *main.lines.values(), main.box):
            plain = pane.refresh

            def spy(*regions: object, name: str = pane.id or "", do: object = plain, **how: object) -> object:
                asked.append((name, regions))
                return do(*regions, **how)  # type: ignore[operator]

            pane.refresh = spy  # type: ignore[method-assign, assignment]
        app.tick()
        assert asked == []
        assert session.shown is not None
        members = list(session.shown.universe.members)
        members[2] = msgspec.structs.replace(members[2], change_pct=-3.02)
        universe = msgspec.structs.replace(session.shown.universe, members=tuple(members))
        session.shown = msgspec.structs.replace(session.shown, universe=universe)
        app.tick()
        assert [name for name, _ in asked] == ["universe"]
        (region,) = asked[0][1]
        assert (region.y, region.height) == (3, 1)  # type: ignore[attr-defined]
        assert region.width <= 8  # type: ignore[attr-defined]


async def test_the_keymap_of_the_settings_is_in_force() -> None:
    settings = Settings(ui=UiSettings(keymap={"break_even": "z", "nonsense": "y"}))
    session = FakeSession(settings=settings)
    app = await press(session, "e", "z")
    assert session.sent == [StopToBreakEven(ts=NOW, symbol="BTCUSDT", plan_id=1)]
    assert app.keys["break_even"] == "z"
    assert "nonsense" in known_keymap(dict(settings.ui.keymap))[1][0]


def test_the_registry_is_whole() -> None:
    assert len(BY_ID) == len(ACTIONS)
    keys = [key for action in ACTIONS for key in action.key.split(",")]
    assert len(keys) == len(set(keys))
    for action in ACTIONS:
        assert action.id in HANDLERS or action.id in _SIMPLE or action.id.startswith("pane_"), action.id
        assert action.help.endswith(".")
        if action.dangerous:
            assert action.key.isupper()


async def test_help_detail_palette_and_themes() -> None:
    app = ConsoleApp(FakeSession())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, ReadDialog)
        assert "Stop to break-even" in text_of(app)
        await pilot.press("escape", "enter")
        await pilot.pause()
        assert "BTCUSDT: why" in text_of(app)
        await pilot.press("escape", "ctrl+p")
        await pilot.pause(0.2)
        assert not isinstance(app.screen, MainScreen)
        await pilot.press("escape")
        await pilot.pause()
        seen = set()
        for _ in PALETTES:
            await pilot.press("T")
            await pilot.pause()
            seen.add(app.theme)
        assert seen == set(PALETTES)


async def test_no_color_chooses_the_theme_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = await press(FakeSession())
    assert app.theme == MONO


async def test_markup_and_control_characters_from_outside_stay_text() -> None:
    evil = "[red]x[/] \x1b[2J\x07 [@click=app.quit]q[/]"
    shown = snapshot()
    row = msgspec.structs.replace(shown.log[0], text=evil)
    shown = msgspec.structs.replace(shown, log=(row,), alarm=evil)
    app = ConsoleApp(FakeSession(shown=shown))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press("0")
        await pilot.pause()
        text = text_of(app)
        assert "[red]x[/]" in text
        assert "\x1b" not in text
        assert "\x07" not in text


async def test_the_dialogs_show_over_a_moving_screen_at_the_smallest_size() -> None:
    for key in ("b", "x", "m", "K", "question_mark", "slash", "colon", "enter", "plus"):
        app = ConsoleApp(FakeSession(moving=True))
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, Dialog), key
            app.tick()
            await pilot.pause()
            box = app.screen.query_one(".dialog")
            assert app.screen.region.contains_region(box.region), key
            if isinstance(app.screen, TicketScreen):
                assert "The gate allows it" in text_of(app)


async def test_mouse_chooses_rows_and_tabs() -> None:
    app = ConsoleApp(FakeSession())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.click("#universe", offset=(4, 3))
        await pilot.pause()
        assert app.selected == "SOLUSDT"
        await pilot.press("E", "W", "P", "0", "9", "tab", "shift+tab", "end", "home", "pagedown")
        await pilot.pause()
        assert app.recent[0] == "trades"
