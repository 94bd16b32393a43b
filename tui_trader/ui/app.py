"""The console application: a guest in the session's event loop that draws frozen snapshots and sends user commands."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
os.environ.setdefault("TEXTUAL_FPS", "20")

from rich.text import Text
from textual.app import App
from textual.timer import Timer

from tui_trader.core.events import UserCommand
from tui_trader.core.settings import Settings
from tui_trader.core.views import PositionRow, Snapshot
from tui_trader.errors import SessionBusyError
from tui_trader.runtime.face import SessionFace
from tui_trader.secret import everywhere
from tui_trader.ui import theme as themes
from tui_trader.ui.actions import BY_ID, default_keys, known_keymap
from tui_trader.ui.answers import Awaited
from tui_trader.ui.driver import ConsoleDriver
from tui_trader.ui.format import clean
from tui_trader.ui.handlers import HANDLERS
from tui_trader.ui.layout import PANES
from tui_trader.ui.messages import RowOpened, RowPicked, TerminalGone
from tui_trader.ui.palette import ActionProvider
from tui_trader.ui.screens.main import MainScreen
from tui_trader.ui.state import Frame, starting_snapshot
from tui_trader.ui.widgets.table import Row, StripTable

TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "1d")
_FEEDBACK_S = 6.0
_NOTICE_S = 12.0

Start = Callable[[], Awaitable[SessionFace]]


@dataclass(frozen=True)
class ExitReason:
    """Why the console ended. ``kind``: quit (session stopped), detached or terminal_gone (it trades on), failed."""

    kind: str
    words: str
    error: BaseException | None = None

    @property
    def goes_on(self) -> bool:
        """True when the session is to trade on headless."""
        return self.kind in {"detached", "terminal_gone"}


class ConsoleApp(App[ExitReason]):
    """Shows one session. ``start`` builds the session after the first paint; a ready session may be given instead."""

    CSS_PATH = "app.tcss"
    COMMANDS: ClassVar[set[Any]] = {ActionProvider}
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[Any]] = []
    TITLE = "tui-trader"

    def __init__(
        self,
        session_or_start: SessionFace | Start,
        *,
        settings: Settings | None = None,
        low_bandwidth: bool = False,
        mode: str = "demo",
        progress: Sequence[str] = (),
    ) -> None:
        super().__init__(driver_class=ConsoleDriver)
        self.session: SessionFace | None = None
        self._start: Start | None = None
        if callable(session_or_start):
            self._start = session_or_start
        else:
            self.session = session_or_start
        self.settings_shown = settings or (self.session.settings if self.session else Settings())
        self.low_bandwidth = low_bandwidth or self.settings_shown.ui.low_bandwidth
        self.mode = self.session.mode if self.session else mode
        self.progress = progress
        self.selected = ""
        self.timeframe = self.settings_shown.ladder.atr_timeframe
        self.recent: tuple[str, ...] = ("universe",)
        self.failure: BaseException | None = None
        keymap, self._keymap_words = known_keymap(dict(self.settings_shown.ui.keymap))
        self.keys = {**default_keys(), **keymap}
        self._custom_keys = keymap
        self._feedback = ("", "dim")
        self._feedback_timer: Timer | None = None
        self._ticker: Timer | None = None
        self._starting: asyncio.Task[SessionFace] | None = None
        self._awaited: Awaited | None = None
        self._alarm = ""
        self._leaving = False
        self._told = False
        for each in themes.PALETTES.values():
            self.register_theme(each.textual())
        self.theme = self._first_theme()
        self.picture = self._frame()

    def _first_theme(self) -> str:
        if self.no_color:
            return themes.MONO
        name = self.settings_shown.ui.theme
        return name if name in themes.PALETTES else themes.DEFAULT

    def get_default_screen(self) -> MainScreen:
        """The main screen is the only one that stays."""
        return MainScreen()

    @property
    def main(self) -> MainScreen:
        """The main screen, whatever lies over it."""
        screen = self.screen_stack[0]
        if not isinstance(screen, MainScreen):
            raise LookupError("the main screen is not mounted")
        return screen

    # --- life ---

    def on_mount(self) -> None:
        """The keys in force, and a frame now and then."""
        self.set_keymap(self._custom_keys)
        if self._keymap_words:
            self.say(" ".join(self._keymap_words), "warn")
        self._run_ticker()

    def on_screen_ready(self) -> None:
        """The main screen stands: paint it, then start the session."""
        self.tick()
        if self._start is not None:
            self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        if self._start is None or self._starting is not None or self._leaving:
            return
        self._starting = asyncio.ensure_future(self._start())
        self._starting.add_done_callback(self._started)

    def _started(self, task: asyncio.Future[SessionFace]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.failure = error
            if isinstance(error, SessionBusyError):
                self.leave("failed", str(error))
        else:
            self.session = task.result()
            self.mode = self.session.mode
        if self.is_running:
            self.tick()

    def _fatal_error(self) -> None:
        """Where a defect lies, without Textual's table of local values: they hold settings, orders and worse."""
        told = everywhere(traceback.format_exc()).splitlines()
        self._exit_renderables.append(Text("\n".join(map(clean, told))))
        self._close_messages_no_wait()

    def _run_ticker(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
        ui = self.settings_shown.ui
        self._ticker = self.set_interval(1 / (ui.low_bandwidth_fps if self.low_bandwidth else ui.fps), self.tick)

    def tick(self) -> None:
        """Take the newest snapshot and show it."""
        if self._leaving or not self.screen_stack:
            return
        self.picture = self._frame()
        screen = self.screen_stack[0]
        if isinstance(screen, MainScreen) and screen.ready:
            screen.show(self.picture)

    def _frame(self) -> Frame:
        snapshot = self.session.view(self.selected, self.timeframe) if self.session is not None else None
        starting = snapshot is None
        if snapshot is None:
            lines = tuple(self.progress) or ("Starting the session.",)
            failed = self._failure_words()
            shown = (*lines, failed) if failed else lines
            detail = "not started: q leaves" if failed else "starting"
            snapshot = starting_snapshot(shown, mode=self.mode, detail=detail, failed=failed)
        else:
            self._hear(snapshot)
            if not self.selected:
                self.selected = self._first_symbol(snapshot.chart.symbol, snapshot.universe.members, snapshot.positions)
        words, role = self._feedback
        return Frame(
            snapshot=snapshot,
            selected=self.selected,
            palette=themes.palette(self.theme),
            recent=self.recent if not starting else ("log", *self.recent),
            starting=starting,
            low_bandwidth=self.low_bandwidth,
            feedback=words,
            feedback_role=role,
            keys=self.keys,
        )

    @staticmethod
    def _first_symbol(chart: str, members: Sequence[Any], positions: Sequence[PositionRow]) -> str:
        if positions:
            return positions[0].symbol
        if members:
            return str(members[0].symbol)
        return chart

    def _failure_words(self) -> str:
        if self.failure is None:
            return ""
        words = str(self.failure) or type(self.failure).__name__
        return f"The session could not start: {words} Press q to leave."

    def say(self, words: str, role: str = "text") -> None:
        """Answer a key in the status line for a few seconds."""
        self._say(words, role)
        if self.is_running:
            self.tick()

    def _say(self, words: str, role: str) -> None:
        self._feedback = (words, role)
        if self._feedback_timer is not None:
            self._feedback_timer.stop()
        seconds = _FEEDBACK_S if role == "text" else _NOTICE_S
        self._feedback_timer = self.set_timer(seconds, self._silence) if self.is_running else None

    def _silence(self) -> None:
        self._feedback = ("", "dim")
        self._awaited = None
        self.tick()

    def send(self, command: UserCommand, words: str, role: str = "text") -> None:
        """Hand a command to the session and say ``words``, until the engine's own answer takes their place."""
        if self.session is None:
            return
        self._awaited = Awaited(command, self.picture.snapshot.log)
        self.session.send(command)
        self.say(words, role)

    def _hear(self, snapshot: Snapshot) -> None:
        """Take up what the engine says: a new alarm ends every answer on show; a command's answer is shown."""
        if snapshot.alarm and snapshot.alarm != self._alarm:
            self._feedback = ("", "dim")
        self._alarm = snapshot.alarm
        answer = self._awaited.answer(snapshot.log) if self._awaited is not None else None
        if answer is not None:
            self._say(*answer)

    # --- leaving ---

    def leave(self, kind: str, words: str) -> None:
        """End the console with its reason; the terminal is given back."""
        if self._leaving:
            return
        self._leaving = True
        if self._ticker is not None:
            self._ticker.stop()
        self.exit(ExitReason(kind if self.failure is None else "failed", words, self.failure))

    def detach(self, words: str, kind: str = "detached") -> None:
        """Leave while the session trades on."""
        if self._leaving:
            return
        if self.session is not None:
            self._told = True
            self.session.detach(words)
        self.leave(kind, words)

    async def stop_session(self) -> None:
        """Quit: the session stops entries, leaves positions protected and closes; then the console ends."""
        if self.session is not None:
            self.say("Stopping: entries are cancelled, positions stay protected.", "warn")
            self._told = True
            await self.session.stop("quit by the person")
        self.leave("quit", "quit by the person")

    async def settle(self, reason: ExitReason) -> None:
        """After the console has ended: a session that came too late is told, too. An unfinished start is cancelled, but
        not by a terminal that is gone: what is open may have no stop yet.
        """
        task = self._starting
        if task is not None:
            if not reason.goes_on:
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self.session is None or self._told:
            return
        if reason.kind == "quit":
            await self.session.stop(reason.words)
        elif reason.goes_on:
            self.session.detach(reason.words)

    def on_terminal_gone(self, message: TerminalGone) -> None:
        """The terminal was closed: leave at once, the session trades on."""
        message.stop()
        self.detach("terminal closed; trading on headless", "terminal_gone")

    async def action_quit(self) -> None:
        """Textual's own quit goes through the question."""
        self.run_action_by_id("quit")

    # --- actions ---

    def action_do(self, name: str) -> None:
        """A key of the registry was pressed."""
        self.run_action_by_id(name)

    def run_action_by_id(self, name: str) -> None:
        """Run an action of the registry, or say why it makes no sense now."""
        action = BY_ID.get(name)
        if action is None:
            return
        reason = action.why_not(self.picture)
        if reason:
            self.say(reason, "warn")
            return
        handler = HANDLERS.get(name)
        if handler is not None:
            self.run_worker(handler(self), name=name, exit_on_error=True)
        elif name.startswith("pane_"):
            self.show_pane(name.removeprefix("pane_"))
        else:
            _SIMPLE[name](self)

    def show_pane(self, name: str) -> None:
        """Make a pane the active one."""
        if name in PANES:
            self.recent = (name, *(pane for pane in self.recent if pane != name))
            self.tick()

    def turn_pane(self, steps: int) -> None:
        """Make the pane after or before the active one active."""
        now = PANES.index(self.recent[0])
        self.show_pane(PANES[(now + steps) % len(PANES)])

    def move(self, steps: int) -> None:
        """Move the cursor of the active pane; panes without rows move the selected symbol instead."""
        active = self.main.panes[self.recent[0]]
        pane = active if isinstance(active, StripTable) else self.main.universe
        if not pane.size.height:
            pane.draw(self.picture, 80, 24)
        row = pane.move(steps)
        if row is not None and row.symbol and pane.follows_selection:
            self.select(row.symbol)

    def select(self, symbol: str) -> None:
        """Select a symbol everywhere."""
        self.selected = symbol
        self.tick()

    def chosen_symbol(self) -> str:
        """The symbol of the row under the cursor of the active pane."""
        row = self.chosen_row()
        return row.symbol if row is not None else ""

    def chosen_row(self) -> Row | None:
        """The row under the cursor of the active pane."""
        pane = self.main.panes[self.recent[0]]
        if not isinstance(pane, StripTable):
            return None
        if not pane.size.height:
            # Its key was pressed a moment ago and the screen has not been laid out anew yet.
            pane.picture = self.picture
            pane.draw(self.picture, 80, 24)
        return pane.chosen()

    @property
    def reading_width(self) -> int:
        """Cells of a line in a dialog with a text to read."""
        return min(self.size.width * 96 // 100, 110) - 8

    def position_of(self, symbol: str) -> PositionRow | None:
        """The open position in ``symbol`` as of the newest frame."""
        return next((row for row in self.picture.snapshot.positions if row.symbol == symbol), None)

    def turn_timeframe(self, steps: int) -> None:
        """A shorter or longer chart timeframe."""
        now = TIMEFRAMES.index(self.timeframe) if self.timeframe in TIMEFRAMES else 2
        self.timeframe = TIMEFRAMES[min(max(now + steps, 0), len(TIMEFRAMES) - 1)]
        self.say(f"Chart: {self.timeframe} candles.")

    def turn_theme(self) -> None:
        """The next theme."""
        self.theme = themes.following(self.theme)
        self.say(f"Theme: {themes.palette(self.theme).title}.")

    def turn_bandwidth(self) -> None:
        """Draw seldom, or often again."""
        self.low_bandwidth = not self.low_bandwidth
        self._run_ticker()
        ui = self.settings_shown.ui
        rate = ui.low_bandwidth_fps if self.low_bandwidth else ui.fps
        often = "once" if rate == 1 else f"{rate:g} times"
        self.say(f"Drawing {often} a second{' (low bandwidth)' if self.low_bandwidth else ''}.")

    def on_row_picked(self, message: RowPicked) -> None:
        """A row was clicked."""
        message.stop()
        if message.symbol:
            self.selected = message.symbol
        self.show_pane(message.pane)

    def on_row_opened(self, message: RowOpened) -> None:
        """A row was clicked twice."""
        message.stop()
        self.run_action_by_id("detail")


_SIMPLE: dict[str, Callable[[ConsoleApp], None]] = {
    "down": lambda app: app.move(1),
    "up": lambda app: app.move(-1),
    "page_down": lambda app: app.move(10),
    "page_up": lambda app: app.move(-10),
    "first": lambda app: app.move(-1_000_000),
    "last": lambda app: app.move(1_000_000),
    "next_pane": lambda app: app.turn_pane(1),
    "previous_pane": lambda app: app.turn_pane(-1),
    "shorter": lambda app: app.turn_timeframe(-1),
    "longer": lambda app: app.turn_timeframe(1),
    "theme": ConsoleApp.turn_theme,
    "low_bandwidth": ConsoleApp.turn_bandwidth,
}


async def run_console(
    start: Start,
    *,
    low_bandwidth: bool = False,
    settings: Settings | None = None,
    mode: str = "demo",
    progress: Sequence[str] = (),
    on_app: Callable[[ConsoleApp], None] | None = None,
    on_exit: Callable[[ExitReason], None] | None = None,
) -> ExitReason:
    """Run the console in the present event loop until it ends; the session's tasks live on in the loop afterwards.

    ``start`` is awaited after the first paint; ``progress`` is a list that it fills with lines, shown as they come.
    ``on_app`` gets the application before it runs (a signal handler calls its ``detach``); ``on_exit`` gets the reason.
    """
    app = ConsoleApp(start, settings=settings, low_bandwidth=low_bandwidth, mode=mode, progress=progress)
    if on_app is not None:
        on_app(app)
    answer = await app.run_async()
    reason = answer or ExitReason("failed", "the console ended by an error", app.failure)
    if answer is None and app.session is not None:
        reason = replace(reason, kind="detached", words="the console ended by an error; trading on headless")
    await app.settle(reason)
    if on_exit is not None:
        on_exit(reason)
    return reason
