"""The main screen: places the panes for the terminal's size and hands each frame to those in sight."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.layout import Layout
from textual.screen import Screen
from textual.widget import Widget

from tui_trader.ui import format as f
from tui_trader.ui.actions import ACTIONS
from tui_trader.ui.layout import MIN_HEIGHT, MIN_WIDTH, PANES, ConsoleLayout, Plan, plan, shown
from tui_trader.ui.messages import PanePicked, ScreenReady
from tui_trader.ui.state import Frame
from tui_trader.ui.widgets.base import Line, Pane
from tui_trader.ui.widgets.book import BookPane
from tui_trader.ui.widgets.box import Box
from tui_trader.ui.widgets.chart import ChartPane
from tui_trader.ui.widgets.equity import EquityPane
from tui_trader.ui.widgets.header import HeaderLine, KeysLine, SelectedLine, StatusLine, TabsLine, status
from tui_trader.ui.widgets.ladder import LadderPane
from tui_trader.ui.widgets.lists import LogPane, OrdersPane, PerformancePane, TradesPane, WorkersPane
from tui_trader.ui.widgets.positions import PositionsPane
from tui_trader.ui.widgets.risk import RiskPane
from tui_trader.ui.widgets.signals import SignalsPane
from tui_trader.ui.widgets.universe import UniversePane

_PANE_TYPES: dict[str, type[Pane]] = {
    "universe": UniversePane,
    "chart": ChartPane,
    "book": BookPane,
    "positions": PositionsPane,
    "ladder": LadderPane,
    "risk": RiskPane,
    "orders": OrdersPane,
    "signals": SignalsPane,
    "trades": TradesPane,
    "log": LogPane,
    "equity": EquityPane,
    "performance": PerformancePane,
    "workers": WorkersPane,
}


class Stage(Widget, can_focus=False):
    """The surface that the panes stand on; its layout is a table of regions."""

    def __init__(self) -> None:
        super().__init__(id="stage")
        self.arrangement = ConsoleLayout()

    @property
    def layout(self) -> Layout:
        """The table of regions, whatever the styles say."""
        return self.arrangement

    def arrange_again(self) -> None:
        """Place the children anew although neither they nor the size changed."""
        self._clear_arrangement_cache()
        self.refresh(layout=True)


class TinyPane(Pane):
    """Shown alone when the terminal is too small for anything else."""

    def draw(self, frame: Frame, width: int, height: int) -> list[Line]:
        """The size it is, the size it needs, and that nothing depends on it."""
        header = frame.snapshot.header
        words = f"Terminal too small: {width}×{height}, at least {MIN_WIDTH}×{MIN_HEIGHT} is needed. Trading goes on."
        lines: list[Line] = [((part, "warn"),) for part in f.wrap(words, width)]
        stands = "NAKED" if header.naked else "protected" if header.positions else "flat"
        killed = ", KILLED" if header.killed else ""
        state = f"{header.mode.upper()} equity {f.money(header.equity)} {stands}{killed}"
        return [*lines, ((state, "alarm" if header.naked or header.killed else "text"),)]


class MainScreen(Screen[None]):
    """The panes, the lines around them, and the key bindings made from the registry of actions."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(action.key, f"app.do('{action.id}')", action.label, id=action.id, show=False, system=False)
        for action in ACTIONS
    ]

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage()
        self.box = Box("box")
        self.panes: dict[str, Pane] = {name: _PANE_TYPES[name](name) for name in PANES}
        self.universe = UniversePane("universe")
        self.panes["universe"] = self.universe
        self.lines: dict[str, Pane] = {
            "header": HeaderLine("header"),
            "status": StatusLine("status"),
            "tabs": TabsLine("tabs"),
            "selected": SelectedLine("selected"),
            "keys": KeysLine("keys"),
        }
        self.tiny = TinyPane("tiny")
        self.where: Plan = plan(0, 0)
        self.in_sight: tuple[str, ...] = ()
        self.picture: Frame | None = None
        self.ready = False

    def compose(self) -> ComposeResult:
        """Everything exists from the start; the plan says what is seen."""
        with self.stage:
            yield self.box
            yield from self.panes.values()
            yield from self.lines.values()
            yield self.tiny

    def on_mount(self) -> None:
        """All panes are mounted."""
        self.ready = True
        self.app.post_message(ScreenReady())

    def on_resize(self, event: events.Resize) -> None:
        """Another size, another plan."""
        if self.picture is not None:
            self.show(self.picture)

    def show(self, frame: Frame) -> None:
        """Draw a frame: place the panes anew when the plan changed, then let those in sight repaint what changed."""
        self.picture = frame
        width, height = self.app.size
        message = bool(status(frame, max(width, 1)))
        where = plan(width, height, message=message)
        in_sight = shown(where, frame.recent)
        if where != self.where or in_sight != self.in_sight:
            self._place(where, in_sight)
        if where.kind == "tiny":
            self.tiny.show(frame)
            return
        for name in in_sight:
            self.panes[name].show(frame)
        if where.body is not None:
            self.box.headings = {name: f.clean(self.panes[name].heading(frame)) for name in in_sight}
            self.box.show(frame)
        for name, line in self.lines.items():
            if name in self.stage.arrangement.regions:
                line.show(frame)

    def _place(self, where: Plan, in_sight: tuple[str, ...]) -> None:
        self.where = where
        self.in_sight = in_sight
        lines = {"header": where.header, "status": where.status, "tabs": where.tabs}
        lines.update({"selected": where.selected, "keys": where.keys, "box": where.body})
        regions = {name: region for name, region in lines.items() if region is not None}
        regions.update({name: slot.inner for slot, name in zip(where.slots, in_sight, strict=True)})
        if where.kind == "tiny":
            regions["tiny"] = where.size.region
        self.stage.arrangement.regions = regions
        self.box.place(where)
        self.box.visible_panes = in_sight
        self.stage.arrange_again()

    def on_pane_picked(self, message: PanePicked) -> None:
        """A tab or a pane was clicked."""
        message.stop()
        self.app.run_action_by_id(f"pane_{message.pane}")  # type: ignore[attr-defined]  # the app is ConsoleApp
