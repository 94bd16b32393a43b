"""What each action does: asks what must be asked, then hands a command to the session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tui_trader.core.events import (
    ArmEntries,
    CancelEntry,
    ClosePosition,
    FlattenAll,
    KillSwitch,
    MoveStop,
    Override,
    PauseEntries,
    Rearm,
    RemoveTarget,
    SetTarget,
    StartTrailing,
    StopToBreakEven,
)
from tui_trader.core.types import Side
from tui_trader.core.views import LadderRow, PositionRow
from tui_trader.runtime.face import SessionFace
from tui_trader.ui import format as f
from tui_trader.ui.actions import ACTIONS, all_keys_text
from tui_trader.ui.numbers import TARGETS, stop_consequence, stop_problem, target_problem
from tui_trader.ui.screens.dialogs import Choice, ChoiceDialog, Field, Item, PickDialog, PromptDialog, ReadDialog
from tui_trader.ui.screens.explain import strategy_text
from tui_trader.ui.screens.texts import alarm_symbol, detail_text, help_text, story_text
from tui_trader.ui.screens.ticket import TicketScreen
from tui_trader.ui.widgets.signals import key_of

if TYPE_CHECKING:
    from tui_trader.ui.app import ConsoleApp

GONE = "the position has been closed meanwhile."
Handler = Callable[["ConsoleApp"], Awaitable[None]]


def _held(app: ConsoleApp) -> tuple[SessionFace, PositionRow]:
    """The session and the selected position; the registry's conditions hold that both exist."""
    position = app.picture.position
    if app.session is None or position is None:
        raise LookupError("no session or no position")
    return app.session, position


def _still(app: ConsoleApp, row: PositionRow) -> PositionRow | None:
    """The position that a question is about, as it is now; None once it is closed, whatever the symbol holds since."""
    now = app.position_of(row.symbol)
    return now if now is not None and now.plan_id == row.plan_id else None


def _send(app: ConsoleApp, row: PositionRow, command: Override, said: str) -> None:
    """Send what was asked about one position, unless it is gone; the engine holds it to that very position, too."""
    if _still(app, row) is None:
        app.say(f"{row.symbol}: {GONE} Nothing was sent.", "warn")
    else:
        app.send(replace(command, plan_id=row.plan_id), said)


def _face(app: ConsoleApp) -> SessionFace:
    if app.session is None:
        raise LookupError("no session")
    return app.session


# --- trading ---


async def _ticket(app: ConsoleApp, side: Side) -> None:
    session = _face(app)
    symbol = app.selected
    decimals = app.picture.decimals(symbol)
    snapshot = app.picture.snapshot
    rows = (*snapshot.universe.members, *snapshot.universe.refused)
    last = next((row.last for row in rows if row.symbol == symbol), 0.0)
    if snapshot.chart.symbol == symbol and snapshot.chart.last:
        last = snapshot.chart.last
    command = await app.push_screen_wait(TicketScreen(session, symbol, side, last, decimals))
    if command is not None:
        app.send(command, f"{command.side.capitalize()} {symbol} sent to the gate.")


async def buy(app: ConsoleApp) -> None:
    """The ticket for a long."""
    await _ticket(app, Side.LONG)


async def sell(app: ConsoleApp) -> None:
    """The ticket for a short."""
    await _ticket(app, Side.SHORT)


async def close(app: ConsoleApp) -> None:
    """Close a quarter, a half or all."""
    session, row = _held(app)

    def text() -> str:
        now = _still(app, row)
        if now is None:
            return GONE
        held = f"{now.side} {f.number(now.qty, now.qty_decimals)} at {f.price(now.mark, now.price_decimals)}, "
        return f"{held}now {f.signed_money(now.pnl)} USDT ({f.r_multiple(now.r)}). A market order, reduce-only."

    choices = (
        Choice("1", "close a quarter", "0.25"),
        Choice("2", "close half", "0.5"),
        Choice("a", "close all", "1", dangerous=True),
    )
    answer = await app.push_screen_wait(ChoiceDialog(f"Close {row.symbol}", text, choices, mode=session.mode))
    if answer:
        command = ClosePosition(ts=session.now_ms(), symbol=row.symbol, fraction=Decimal(answer))
        _send(app, row, command, f"Closing {f.share(float(answer), 0)} of {row.symbol}.")


async def break_even(app: ConsoleApp) -> None:
    """Stop to break-even."""
    session, row = _held(app)
    _send(app, row, StopToBreakEven(ts=session.now_ms(), symbol=row.symbol), f"Stop of {row.symbol}: to break-even.")


async def trail(app: ConsoleApp) -> None:
    """Start trailing."""
    session, row = _held(app)
    _send(app, row, StartTrailing(ts=session.now_ms(), symbol=row.symbol), f"Stop of {row.symbol}: trailing from here.")


async def move_stop(app: ConsoleApp) -> None:
    """Type a new stop price."""
    session, row = _held(app)

    def judge(values: Mapping[str, str]) -> str:
        now = _still(app, row)
        return stop_problem(values["price"], now) if now else GONE

    def tell(values: Mapping[str, str]) -> str:
        return stop_consequence(values["price"], app.position_of(row.symbol) or row)

    def text() -> str:
        now = _still(app, row)
        if now is None:
            return GONE
        entry, mark, stop = (f.price(price, now.price_decimals) for price in (now.entry, now.mark, now.stop))
        return f"{now.side} from {entry}, mark {mark}, stop now {stop}."

    start = f"{row.stop:.{row.price_decimals}f}" if row.stop else ""
    dialog = PromptDialog(
        f"Move stop of {row.symbol}",
        text,
        (Field("price", "new stop price", start),),
        judge,
        mode=session.mode,
        tell=tell,
    )
    values = await app.push_screen_wait(dialog)
    if values:
        command = MoveStop(ts=session.now_ms(), symbol=row.symbol, price=Decimal(values["price"]))
        _send(app, row, command, f"Stop of {row.symbol}: to {values['price']}.")


def live_targets(rows: tuple[LadderRow, ...]) -> list[LadderRow]:
    """Targets of a ladder that are still ahead."""
    return [row for row in rows if row.leg.upper() in TARGETS and row.state != "filled"]


async def add_target(app: ConsoleApp) -> None:
    """Add a target or move one."""
    session, row = _held(app)
    ladder = app.picture.snapshot.ladder
    used = {rung.leg.upper() for rung in ladder.rows} if ladder.symbol == row.symbol else set()
    free = next((leg for leg in TARGETS if leg not in used), "TP1")

    def judge(values: Mapping[str, str]) -> str:
        now = _still(app, row)
        return target_problem(values, now.side, now.mark) if now else GONE

    fields = (
        Field("leg", "leg (TP1, TP2 or TP3)", free),
        Field("price", "price", "", f"{row.mark:.{row.price_decimals}f}"),
        Field("share", "share of the initial quantity, %", "20"),
    )
    text = "A leg that exists is moved; what the targets leave belongs to the runner."
    answer = await app.push_screen_wait(PromptDialog(f"Target of {row.symbol}", text, fields, judge, mode=session.mode))
    if answer:
        name, price = answer["leg"].upper(), Decimal(answer["price"])
        fraction = Decimal(answer["share"]) / 100
        command = SetTarget(ts=session.now_ms(), symbol=row.symbol, leg=TARGETS[name], price=price, fraction=fraction)
        _send(app, row, command, f"{name} of {row.symbol}: {answer['share']} % at {answer['price']}.")


async def remove_target(app: ConsoleApp) -> None:
    """Choose a target to remove."""
    session, row = _held(app)
    ladder = app.picture.snapshot.ladder
    targets = live_targets(ladder.rows) if ladder.symbol == row.symbol else []
    if not targets:
        app.say(f"{row.symbol} has no target that could be removed.", "warn")
        return
    choices = [
        Choice(rung.leg[-1], f"{rung.leg} at {f.price(rung.price, ladder.price_decimals)}", rung.leg.upper())
        for rung in targets
    ]
    answer = await app.push_screen_wait(
        ChoiceDialog(f"Remove a target of {row.symbol}", "", choices, mode=session.mode)
    )
    if answer:
        command = RemoveTarget(ts=session.now_ms(), symbol=row.symbol, leg=TARGETS[answer])
        _send(app, row, command, f"{answer} of {row.symbol}: removed.")


async def cancel_entry(app: ConsoleApp) -> None:
    """Cancel the working entry."""
    session = _face(app)
    app.send(CancelEntry(ts=session.now_ms(), symbol=app.selected), f"Cancelling the entry of {app.selected}.")


# --- control ---


async def pause(app: ConsoleApp) -> None:
    """Pause or resume one strategy, the symbol or all."""
    session = _face(app)
    snapshot = app.picture.snapshot
    paused_all = snapshot.header.entries_paused
    halted = f.clean(snapshot.header.halted)
    choices = [Choice("r", "resume after the halt", "resume")] if halted else []
    choices.append(Choice("a", "resume all entries" if paused_all else "pause all entries", "all"))
    rests = {row.symbol: row.paused for row in (*snapshot.universe.members, *snapshot.universe.refused)}
    if app.selected:
        verb = "resume" if rests.get(app.selected, False) else "pause"
        choices.append(Choice("s", f"{verb} {app.selected}", "symbol"))
    strategies = [strategy for strategy in snapshot.strategies if strategy.name != "manual"]
    for number, strategy in enumerate(strategies[:9], 1):
        verb = "pause" if strategy.running else "resume"
        choices.append(Choice(str(number), f"{verb} strategy {strategy.name}", f"strategy {strategy.name}"))
    text = "Pausing stops new entries only; open positions stay managed and protected."
    if halted:
        text = f"Entries halted by themselves: {halted}. Look at the account before you resume. {text}"
    answer = await app.push_screen_wait(ChoiceDialog("Pause or resume", text, choices, mode=session.mode))
    if not answer:
        return
    now = session.now_ms()
    kind, _, name = answer.partition(" ")
    if kind == "resume":
        command = PauseEntries(ts=now, paused=False)
    elif kind == "all":
        command = PauseEntries(ts=now, paused=not paused_all)
    elif kind == "symbol":
        command = PauseEntries(ts=now, paused=not rests.get(app.selected, False), symbol=app.selected)
    else:
        running = any(strategy.running for strategy in snapshot.strategies if strategy.name == name)
        command = PauseEntries(ts=now, paused=running, strategy=name)
    what = command.strategy or command.symbol or "all entries"
    app.send(command, f"{'Paused' if command.paused else 'Resumed'}: {what}.")


async def flatten(app: ConsoleApp) -> None:
    """Close everything, after a second key."""
    session = _face(app)

    def text() -> str:
        count = len(app.picture.snapshot.positions)
        does = f"Cancels entries and targets, then closes {count} position{'s' * (count != 1)} at market. "
        return f"{does}New entries stay paused until you resume them with p."

    choices = (Choice("F", "flatten all now", "yes", dangerous=True),)
    dialog = ChoiceDialog("Flatten all", text, choices, mode=session.mode, dangerous=True)
    if await app.push_screen_wait(dialog):
        app.send(FlattenAll(ts=session.now_ms()), "Flattening all positions.", "warn")


async def kill(app: ConsoleApp) -> None:
    """Latch the kill switch, after a second key."""
    session = _face(app)
    text = "Cancels all own orders, closes every position at market and refuses entries until you re-arm, "
    text += "also after a restart."
    choices = (Choice("K", "KILL: flatten and lock now", "yes", dangerous=True),)
    dialog = ChoiceDialog("Kill switch", text, choices, mode=session.mode, dangerous=True)
    if await app.push_screen_wait(dialog):
        app.send(KillSwitch(ts=session.now_ms(), reason="key in the console"), "Kill switch set.", "alarm")


async def rearm(app: ConsoleApp) -> None:
    """Clear the kill switch, after a second key."""
    session = _face(app)

    def text() -> str:
        snapshot = app.picture.snapshot
        others = "; ".join(snapshot.header.blocks[1:])  # the first is the kill switch itself
        then = f"Entries stay refused: {others}." if others else "Entries are allowed again, within the limits."
        again = f"The kill switch was set: {snapshot.header.kill_reason}. {then}"
        count = len(snapshot.positions)
        still = f"{count} position{'s are' if count != 1 else ' is'} still open; closing goes on."
        return f"{again} {still}" if count else again

    choices = (Choice("R", "re-arm now", "yes", dangerous=True),)
    dialog = ChoiceDialog("Re-arm", text, choices, mode=session.mode, dangerous=True)
    if await app.push_screen_wait(dialog):
        app.send(Rearm(ts=session.now_ms()), "Re-armed.")


async def arm(app: ConsoleApp) -> None:
    """Allow entries by typing the venue's name."""
    session = _face(app)

    def judge(values: Mapping[str, str]) -> str:
        return "" if values["venue"] == session.venue else f"type the venue's name, {session.venue}, exactly."

    text = f"This process may open positions on {session.venue} in {session.mode.upper()} mode until it ends."
    fields = (Field("venue", f"type {session.venue}"),)
    if await app.push_screen_wait(PromptDialog("Arm entries", text, fields, judge, mode=session.mode, dangerous=True)):
        app.send(ArmEntries(ts=session.now_ms(), venue=session.venue), f"Entries armed on {session.venue}.", "warn")


async def reload(app: ConsoleApp) -> None:
    """Read the settings again."""
    app.say(f.clean(_face(app).reload_settings()))


# --- looking ---


async def find(app: ConsoleApp) -> None:
    """Pick a symbol by name."""
    snapshot = app.picture.snapshot
    rows = (*snapshot.universe.members, *snapshot.universe.refused)
    items = [
        Item(row.symbol, " · ".join(row.reasons) or f"{row.tier}  {f.price(row.last, row.price_decimals)}", row.symbol)
        for row in rows
    ]
    known = {row.symbol for row in rows}
    items += [Item(row.symbol, "position", row.symbol) for row in snapshot.positions if row.symbol not in known]
    if not items:
        app.say("No symbols are known yet.", "warn")
        return
    symbol = await app.push_screen_wait(
        PickDialog("Find symbol", items, mode=snapshot.header.mode, hint="part of a symbol's name")
    )
    if symbol:
        app.select(symbol)


async def command(app: ConsoleApp) -> None:
    """Run any action by name."""
    items = [
        Item(action.id, f"{all_keys_text(app.keys.get(action.id, action.key))}  {action.label}", action.id)
        for action in ACTIONS
        if action.id != "command"
    ]
    mode = app.picture.snapshot.header.mode
    name = await app.push_screen_wait(PickDialog("Command", items, mode=mode, hint="an action's name"))
    if name:
        app.run_action_by_id(name)


async def detail(app: ConsoleApp) -> None:
    """Everything known about the chosen row: a signal, a strategy, or its symbol."""
    row = app.chosen_row()
    if row is not None and app.picture.active == "performance":
        body = strategy_text(app.picture, row.key, app.reading_width)
        app.push_screen(ReadDialog(f"{row.key}: why", body, mode=app.picture.snapshot.header.mode))
        return
    symbol = app.chosen_symbol() or app.selected
    if not symbol:
        app.say("No row is chosen: j and k move the cursor.", "warn")
        return
    signals = app.picture.snapshot.signals if row is not None and app.picture.active == "signals" else ()
    signal = next((each for each in signals if row is not None and key_of(each) == row.key), None)
    body = detail_text(app.picture, symbol, app.reading_width, signal)
    app.push_screen(ReadDialog(f"{symbol}: why", body, mode=app.picture.snapshot.header.mode))


async def story(app: ConsoleApp) -> None:
    """What happened to the chosen row's symbol, in order; while an alarm is on show, first to the alarm's symbol."""
    symbol = app.chosen_symbol() or app.selected
    alarmed = alarm_symbol(app.picture.snapshot)
    if alarmed and alarmed != symbol:
        text = f"The alarm on show: {app.picture.snapshot.alarm}"
        choices = [Choice("h", f"what happened to {alarmed}, the alarm's symbol", alarmed)]
        choices += [Choice("s", f"what happened to {symbol}, the selected one", symbol)] if symbol else []
        dialog = ChoiceDialog("What happened", text, choices, mode=app.picture.snapshot.header.mode)
        answer = await app.push_screen_wait(dialog)
        if not answer:
            return
        symbol = answer
    if symbol and symbol != app.selected:
        app.select(symbol)
    body = story_text(app.picture, symbol)
    app.push_screen(ReadDialog(f"{symbol}: what happened", body, mode=app.picture.snapshot.header.mode))


async def help_page(app: ConsoleApp) -> None:
    """Every key in force."""
    snapshot = app.picture.snapshot
    body = help_text(app.picture.palette, app.keys, snapshot.protection.limit_s, app.reading_width)
    app.push_screen(ReadDialog("Keys", body, mode=snapshot.header.mode))


async def palette(app: ConsoleApp) -> None:
    """Textual's command palette with the console's actions and symbols."""
    app.action_command_palette()


async def leave(app: ConsoleApp) -> None:
    """Quit, detach or stay."""
    session = app.session
    if session is None:
        app.leave("quit", "left before the session had started")
        return
    positions = len(app.picture.snapshot.positions)
    text = f"{positions} open position{'s' * (positions != 1)}. " if positions else "No open positions. "
    text += "Stops and targets rest at the venue in either case."
    choices = (
        Choice("q", "quit: no new entries, positions left protected", "quit"),
        Choice("d", "detach: the session trades on without a screen", "detach"),
    )
    answer = await app.push_screen_wait(ChoiceDialog("Leave the console", text, choices, mode=session.mode))
    if answer == "quit":
        await app.stop_session()
    elif answer == "detach":
        app.detach("detached by the person")


HANDLERS: dict[str, Handler] = {
    "buy": buy,
    "sell": sell,
    "close": close,
    "break_even": break_even,
    "move_stop": move_stop,
    "trail": trail,
    "add_target": add_target,
    "remove_target": remove_target,
    "cancel_entry": cancel_entry,
    "pause": pause,
    "flatten": flatten,
    "kill": kill,
    "rearm": rearm,
    "arm": arm,
    "reload": reload,
    "find": find,
    "command": command,
    "detail": detail,
    "story": story,
    "help": help_page,
    "palette": palette,
    "quit": leave,
}
