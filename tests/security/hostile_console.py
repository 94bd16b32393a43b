"""The real console on the terminal it is started on, shown hostile pictures on command.

``python -m tests.security.hostile_console IN OUT``: file descriptors of a pipe of JSON lines each way. A line
``{"scene", "texts", "keys"}`` shows that scene with ``texts`` in the place of every text, presses ``keys``, and is
answered with what the console believes to have drawn, row by row. Without a scene nothing is changed.
"""

from __future__ import annotations

import asyncio
import enum
import json
import os
import sys
from decimal import Decimal
from itertools import cycle
from typing import Any

import msgspec

from tests.desk import Desk
from tests.ui.sample import FakeSession, alarm_snapshot, preview, snapshot
from tui_trader.core import events as ev
from tui_trader.core.types import Channel, OrderSide, OrderStatus, OrderType, Severity, Side, VenueBook
from tui_trader.core.views import Snapshot, TicketPreview
from tui_trader.ui.app import ConsoleApp, run_console


def attacked(value: Any, texts: Any) -> Any:
    """``value`` with the next of ``texts`` in the place of every text; choices of the product's own stay."""
    if isinstance(value, enum.Enum) or value is None:
        return value
    if isinstance(value, str):
        return next(texts)
    if isinstance(value, msgspec.Struct):
        fields = {name: attacked(getattr(value, name), texts) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **fields)
    if isinstance(value, (list, tuple)):
        return type(value)([attacked(inner, texts) for inner in value])
    return value


def through_the_engine(texts: list[str]) -> Snapshot:
    """The engine's own picture after a venue (and a person's files) said ``texts`` in every event that holds one."""
    desk = Desk().start()
    desk.process(ev.OpenPosition(ts=desk.now, symbol="BTCUSDT", side=Side.LONG, qty=Decimal("0.01")))
    desk.run(3_000)
    words = cycle(texts or [""])
    zero = Decimal(0)
    common: dict[str, Any] = {"book": VenueBook.REGULAR, "side": OrderSide.BUY, "type": OrderType.LIMIT}
    for status in (OrderStatus.WORKING, OrderStatus.REJECTED, OrderStatus.EXPIRED):
        desk.process(
            ev.OrderUpdate(
                ts=desk.now, symbol="BTCUSDT", client_id=next(words), venue_id=next(words), status=status,
                qty=Decimal(1), price=Decimal(5), reason=next(words), actual_id=next(words), **common,
            )
        )  # fmt: skip
        order = ev.OpenOrder(
            symbol=next(words), client_id=next(words), venue_id="1", status=status, qty=Decimal(1), **common
        )
        position = ev.VenuePosition(symbol=next(words) or "X", qty=Decimal(1), entry_price=Decimal(5))
        desk.process(
            ev.AccountSnapshot(
                ts=desk.now, asked_at=desk.now, positions=(position,), orders=(order,), wallet=Decimal(10_000)
            )
        )
    fill: dict[str, Any] = {"venue_id": "1", "trade_id": next(words), "side": OrderSide.BUY, "qty": Decimal(1)}
    desk.process(
        ev.Fill(
            ts=desk.now, symbol=next(words), client_id=next(words), price=Decimal(5), fee=zero, fee_asset=next(words),
            maker=False, realized_pnl=zero, venue_ts=desk.now, **fill,
        )
    )  # fmt: skip
    for event in (
        ev.BalanceUpdate(ts=desk.now, wallet=Decimal(9_999), reason=next(words)),
        ev.FundingPayment(ts=desk.now, symbol=next(words), amount=zero, venue_ts=desk.now, tran_id=next(words)),
        ev.FeedStale(ts=desk.now, symbol="BTCUSDT", reason=next(words)),
        ev.LinkDown(ts=desk.now, channel=Channel.PRIVATE, reason=next(words)),
        ev.LinkDown(ts=desk.now, channel=Channel.STORE, reason=next(words)),
        ev.WorkerFailed(ts=desk.now, worker=next(words), reason=next(words)),
        ev.Notice(ts=desk.now, severity=Severity.ALARM, text=next(words)),
        ev.Notice(ts=desk.now, severity=Severity.INFO, text=next(words)),
        ev.ArmEntries(ts=desk.now, venue=next(words)),
        ev.OpenPosition(ts=desk.now, symbol=next(words), side=Side.LONG),
        ev.PauseEntries(ts=desk.now, paused=True, strategy=next(words), symbol=next(words)),
        ev.KillSwitch(ts=desk.now, reason=next(words)),
        ev.ShutdownRequested(ts=desk.now, reason=next(words)),
    ):
        desk.process(event)
    return desk.engine.view(desk.now, "BTCUSDT", "15m")


class Session(FakeSession):
    """Shows the picture of the last command."""

    texts: tuple[str, ...] = ()

    def preview(self, ticket: ev.OpenPosition) -> TicketPreview:
        """A hostile answer to a ticket."""
        made: TicketPreview = attacked(preview(ticket), cycle(self.texts or [""]))
        return made

    def reload_settings(self) -> str:
        """A hostile sentence."""
        return self.texts[0] if self.texts else ""


class Console:
    """Obeys the commands that come through the pipe."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = os.fdopen(commands, "r", encoding="utf-8")
        self._answers = os.fdopen(answers, "w", encoding="utf-8")
        self.session = Session()
        self.app: ConsoleApp | None = None

    def began(self, app: ConsoleApp) -> None:
        self.app = app
        self._task = asyncio.ensure_future(self._obey())

    async def _obey(self) -> None:
        while not self._ready():
            await asyncio.sleep(0.05)
        while line := await asyncio.to_thread(self._commands.readline):
            answer = await self._show(**json.loads(line))
            await asyncio.to_thread(self._answer, answer)
        if self.app is not None:
            self.app.leave("quit", "the test is over")

    def _ready(self) -> bool:
        app = self.app
        if app is None or not app.is_running or not app.screen_stack:
            return False
        return bool(getattr(app.screen, "ready", False)) and tuple(app.size) == tuple(os.get_terminal_size(0))

    def _answer(self, answer: dict[str, object]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    async def _show(self, scene: str, texts: list[str], keys: list[str]) -> dict[str, object]:
        app = self.app
        if app is None:
            return {"rows": []}
        if scene:
            await self._change(app, scene, texts, keys)
        width, height = app.size
        strips = app.screen._compositor.render_strips()
        return {"rows": [strip.text for strip in strips[:height]], "size": [width, height], "screen": str(app.screen)}

    async def _change(self, app: ConsoleApp, scene: str, texts: list[str], keys: list[str]) -> None:
        while len(app.screen_stack) > 1:
            app.pop_screen()
            await asyncio.sleep(0)
        self.session.texts = tuple(texts)
        self.session.shown = self._scene(scene, texts)
        app.tick()
        await app._press_keys(keys)
        app.tick()
        await asyncio.sleep(0.08)

    def _scene(self, scene: str, texts: list[str]) -> Snapshot:
        if scene == "engine":
            return through_the_engine(texts)
        base = alarm_snapshot() if scene == "alarm" else snapshot()
        if not texts:
            return base
        shown: Snapshot = attacked(base, cycle(texts))
        if scene == "orders":
            return msgspec.structs.replace(shown, positions=(), alarm="")
        return shown


async def main(commands: int, answers: int) -> None:
    """Run until the pipe of commands is closed."""
    console = Console(commands, answers)

    async def start() -> Session:
        return console.session

    await run_console(start, on_app=console.began)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
