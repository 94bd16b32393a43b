"""Every action of the console, once: its key, its words, when it makes sense, whether it is dangerous.

Bindings, the line of keys, the command palette, the command line and the help page are all made from this list. Lower
case acts on the selection; what is dangerous is upper case and asks before it does anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tui_trader.ui.state import Frame

Need = Callable[[Frame], str]
"""Says in words why an action makes no sense now; "" when it does."""

_KEY_TEXTS = {
    "slash": "/",
    "question_mark": "?",
    "colon": ":",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "enter": "Enter",
    "tab": "Tab",
    "shift+tab": "⇧Tab",
    "escape": "Esc",
    "space": "Space",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
}


def key_text(keys: str) -> str:
    """The keys of a binding as a person reads them: "ctrl+p" → "^p"; the first of several."""
    first = keys.split(",")[0] or keys
    if first.startswith("ctrl+"):
        return f"^{first[5:]}"
    return _KEY_TEXTS.get(first, first)


def all_keys_text(keys: str) -> str:
    """All keys of a binding: "j,down" → "j ↓"."""
    return " ".join(key_text(key) for key in keys.split(",") if key) or key_text(keys)


@dataclass(frozen=True)
class Action:
    """One thing a person can do. ``id`` is stable: keymaps, the command line and audit words use it."""

    id: str
    key: str
    label: str
    help: str
    group: str
    short: str = ""
    needs: tuple[Need, ...] = ()
    dangerous: bool = False

    def why_not(self, frame: Frame) -> str:
        """Why the action cannot be done now; "" when it can."""
        for need in self.needs:
            reason = need(frame)
            if reason:
                return reason
        return ""


def _session(frame: Frame) -> str:
    return "The session is still starting; wait until the header shows equity." if frame.starting else ""


def _symbol(frame: Frame) -> str:
    return "" if frame.selected else "No symbol is selected: press / and type its name."


def _position(frame: Frame) -> str:
    if frame.position is not None:
        return ""
    if not frame.selected:
        return _symbol(frame)
    return f"No position in {frame.selected}: nothing to act on. Select one with j and k, or open one with b or s."


def _not_killed(frame: Frame) -> str:
    return "The kill switch is set: no entries until you re-arm with R." if frame.snapshot.header.killed else ""


def _killed(frame: Frame) -> str:
    return "" if frame.snapshot.header.killed else "The kill switch is not set: nothing to re-arm."


def _not_killed_twice(frame: Frame) -> str:
    if not frame.snapshot.header.killed:
        return ""
    return "The kill switch is already set; everything is being flattened. R re-arms."


def _unarmed(frame: Frame) -> str:
    return "Entries are already armed." if frame.snapshot.header.armed else ""


def _entry_order(frame: Frame) -> str:
    done = {"filled", "canceled", "rejected", "expired"}
    for row in frame.snapshot.orders:
        if row.symbol == frame.selected and row.status not in done and _is_entry(row.leg):
            return ""
    return f"No entry order of {frame.selected} is working: nothing to cancel."


def _is_entry(leg: str) -> bool:
    return leg.lower() in {"en", "entry"}


def _exposed(frame: Frame) -> str:
    snapshot = frame.snapshot
    done = {"filled", "canceled", "rejected", "expired"}
    working = any(row.status not in done for row in snapshot.orders)
    return "" if snapshot.positions or working else "Flat already: no positions and no working orders."


_TRADE, _LOOK, _CONTROL, _CONSOLE = "Trade the selection", "Look around", "Control", "Console"

ACTIONS: tuple[Action, ...] = (
    Action(
        "buy",
        "b",
        "Buy ticket",
        "Open a long: size, ladder, costs, the gate's verdict before it is sent.",
        _TRADE,
        "buy",
        (_session, _symbol, _not_killed),
    ),
    Action(
        "sell",
        "s",
        "Sell ticket",
        "Open a short, through the same ticket.",
        _TRADE,
        "sell",
        (_session, _symbol, _not_killed),
    ),
    Action("close", "x", "Close ¼ ½ all", "Close a part or all at market.", _TRADE, "close", (_session, _position)),
    Action(
        "break_even",
        "e",
        "Stop to break-even",
        "Move the stop to the break-even price now.",
        _TRADE,
        "break-even",
        (_session, _position),
    ),
    Action(
        "move_stop",
        "m",
        "Move stop",
        "Type a new stop price, checked before it is sent.",
        _TRADE,
        "stop",
        (_session, _position),
    ),
    Action("trail", "t", "Trail now", "Start trailing the stop from here.", _TRADE, "trail", (_session, _position)),
    Action(
        "add_target",
        "plus,equals_sign",
        "Add or move target",
        "Add or move a take-profit: leg, price, share of the position.",
        _TRADE,
        "target",
        (_session, _position),
    ),
    Action(
        "remove_target",
        "minus",
        "Remove target",
        "Remove a take-profit of the ladder.",
        _TRADE,
        "",
        (_session, _position),
    ),
    Action(
        "cancel_entry",
        "c",
        "Cancel entry",
        "Cancel the entry order that still works in the selected symbol.",
        _TRADE,
        "cancel entry",
        (_session, _symbol, _entry_order),
    ),
    Action(
        "pause",
        "p",
        "Pause or resume",
        "Pause or resume entries of a strategy, the selected symbol, or all.",
        _CONTROL,
        "pause",
        (_session,),
    ),
    Action(
        "flatten",
        "F",
        "Flatten all",
        "Cancel entries and targets, close all at market, pause entries.",
        _CONTROL,
        "flatten",
        (_session, _exposed),
        dangerous=True,
    ),
    Action(
        "kill",
        "K",
        "Kill switch",
        "Flatten all, refuse entries until re-armed, even after a restart.",
        _CONTROL,
        "kill",
        (_session, _not_killed_twice),
        dangerous=True,
    ),
    Action(
        "rearm",
        "R",
        "Re-arm",
        "Clear the kill switch.",
        _CONTROL,
        "",
        (_session, _killed),
        dangerous=True,
    ),
    Action(
        "arm",
        "A",
        "Arm entries",
        "Allow entries in this process by typing the venue's name.",
        _CONTROL,
        "",
        (_session, _unarmed),
        dangerous=True,
    ),
    Action(
        "reload",
        "ctrl+r",
        "Reload settings",
        "Read the settings again; limits only tighten while positions are open.",
        _CONTROL,
        "",
        (_session,),
    ),
    Action("find", "slash", "Find symbol", "Type part of a symbol's name and press Enter.", _LOOK, "find"),
    Action("down", "j,down", "Next row", "Move the cursor down in the active pane.", _LOOK),
    Action("up", "k,up", "Previous row", "Move the cursor up in the active pane.", _LOOK),
    Action("page_down", "pagedown", "Page down", "Move the cursor ten rows down.", _LOOK),
    Action("page_up", "pageup", "Page up", "Move the cursor ten rows up.", _LOOK),
    Action("first", "home,g", "First row", "Move the cursor to the first row.", _LOOK),
    Action("last", "end,G", "Last row", "Move the cursor to the last row.", _LOOK),
    Action("detail", "enter", "Detail (why)", "All about the chosen row: reasons, conditions, parameters.", _LOOK),
    Action(
        "story",
        "h",
        "What happened",
        "What happened to the selected symbol in order, and why; in an alarm, to the symbol of the alarm first.",
        _LOOK,
        "story",
        (_symbol,),
    ),
    Action("next_pane", "tab,right", "Next pane", "Make the next pane the active one.", _LOOK),
    Action("previous_pane", "shift+tab,left", "Previous pane", "Make the previous pane the active one.", _LOOK),
    Action("shorter", "left_square_bracket", "Shorter candles", "Chart: the next shorter timeframe.", _LOOK),
    Action("longer", "right_square_bracket", "Longer candles", "Chart: the next longer timeframe.", _LOOK),
    Action("pane_universe", "1", "Universe", "Show the universe.", _LOOK),
    Action("pane_chart", "2", "Chart", "Show the chart.", _LOOK),
    Action("pane_book", "3", "Book", "Show the order book.", _LOOK),
    Action("pane_positions", "4", "Positions", "Show the positions.", _LOOK),
    Action("pane_ladder", "5", "Ladder", "Show the TP/SL ladder.", _LOOK),
    Action("pane_risk", "6", "Risk", "Show the risk meters.", _LOOK),
    Action("pane_orders", "7", "Orders", "Show the orders.", _LOOK),
    Action("pane_signals", "8", "Signals", "Show signals and refusals.", _LOOK),
    Action("pane_trades", "9", "Trades", "Show closed trades.", _LOOK),
    Action("pane_log", "0", "Log", "Show the log.", _LOOK),
    Action("pane_equity", "E", "Equity", "Show the equity of the last 24 hours.", _LOOK),
    Action("pane_performance", "P", "Performance", "Show strategy and target performance.", _LOOK),
    Action("pane_workers", "W", "Workers", "Show the session's workers.", _LOOK),
    Action("theme", "T", "Next theme", "Dark, light, high contrast, blue and orange, without colour.", _CONSOLE),
    Action("low_bandwidth", "L", "Low bandwidth", "Draw seldom, for a slow line, and often again.", _CONSOLE),
    Action("command", "colon", "Command line", "Run any action by its name.", _CONSOLE),
    Action("palette", "ctrl+p", "Palette", "Search all actions and symbols.", _CONSOLE),
    Action("help", "question_mark", "Help", "Every key in force.", _CONSOLE, "help"),
    Action(
        "quit", "q,ctrl+q,ctrl+c", "Quit", "Quit and leave protected, trade on headless, or stay.", _CONSOLE, "quit"
    ),
)

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}

_FOOTER_ORDER = (
    "buy",
    "sell",
    "close",
    "break_even",
    "move_stop",
    "trail",
    "flatten",
    "kill",
    "pause",
    "find",
    "help",
    "quit",
)
FOOTER: tuple[Action, ...] = tuple(BY_ID[name] for name in _FOOTER_ORDER)


def default_keys() -> dict[str, str]:
    """Keys by action id, before any keymap."""
    return {action.id: action.key for action in ACTIONS}


def known_keymap(keymap: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The part of a person's keymap that names actions, and sentences about the part that does not or that clashes."""
    good = {name: keys.strip() for name, keys in keymap.items() if name in BY_ID and keys.strip()}
    words = [f"Keymap: there is no action called {name!r}; ? lists them." for name in keymap if name not in BY_ID]
    owners: dict[str, str] = {}
    for name, keys in {**default_keys(), **good}.items():
        for key in keys.split(","):
            other = owners.setdefault(key, name)
            if other != name:
                words.append(f"Keymap: {key_text(key)} stands for both {other} and {name}; the keymap's own wins.")
    return good, words
