"""Invariants watched while trading (I1–I9, I11, I12, I17): found, said, stored, and entries halted.

The watch runs inside ``Engine.process`` after each account fact, each command and every two seconds. It changes nothing
but the halt: protection goes on, a person resumes entries. What it finds is told in words, kept as a durable row of
``violations``, and the story before it goes to a private file.
"""

from __future__ import annotations

from collections.abc import Iterable

from tui_trader.core import events as ev
from tui_trader.core.commands import Command, PlaceOrder, WriteTrace
from tui_trader.core.invariants_cover import CoverWatch
from tui_trader.core.invariants_money import MONEY_EVENTS, MoneyWatch
from tui_trader.core.invariants_orders import OrderWatch
from tui_trader.core.state import EngineState
from tui_trader.core.trace import QUIET, Breach, Trace, line
from tui_trader.core.types import Severity

AGAIN_S = 60.0
"""The same breach is told, and a trace of the same invariant is written, at most once in so long."""
CHECK_S = 2.0
"""Stops and orphans are looked at so often (their limits are ten seconds), the sums every second time."""
SAID_KEPT = 500

UNHEARD = QUIET - {ev.Timer}
"""Events that the watch need not see: market data and settings."""


class Watch:
    """Looks at what the engine heard and decided; ``after`` returns what may leave, and what is to be said of it."""

    def __init__(self, state: EngineState, trade_ids: Iterable[str] = ()) -> None:
        self._state = state
        self.trace = Trace()
        self.orders = OrderWatch(state)
        self.cover = CoverWatch(state)
        self.money = MoneyWatch(state, trade_ids)
        self._told_ms: dict[tuple[str, str], int] = {}
        self._traced_ms: dict[str, int] = {}
        self._due_ms = 0
        self._looks = 0

    def after(self, event: ev.Event, commands: list[Command]) -> list[Command]:
        """Check one call of the engine. Never raises: a defect in here halts entries like any other violation."""
        state = self._state
        due = state.now >= self._due_ms
        if not due and not commands and type(event) is ev.Timer:
            return commands
        self.trace.heard(state.now, event)
        for command in commands:
            self.trace.emitted(state.now, command)
        try:
            found = self._find(event, commands, due)
        except Exception as error:  # noqa: BLE001 - a watch that failed must not take the executor's commands with it
            words = f"the watch itself failed ({type(error).__name__}: {error}); nothing is watched in this call"
            found = [Breach(invariant="watch", symbol="", subject=type(error).__name__, words=words)]
        if not found:
            return commands
        try:
            return self._tell(found, commands)
        except Exception as error:  # noqa: BLE001 - as above: the halt stands, only its story is lost
            state.halted = state.halted or f"an invariant is broken and could not be told ({error})"
            return commands

    def _find(self, event: ev.Event, commands: list[Command], due: bool) -> list[Breach]:
        found: list[Breach] = []
        if commands:
            self.orders.repeats(commands)
        if type(event) is ev.Timer:
            if due:
                self._due_ms = self._state.now + self._state.ms(CHECK_S)
                found += self.cover.check()
                self._looks += 1
            if due and self._looks % 2:
                found += self.orders.event(event)
                found += self.money.check()
        elif type(event) not in UNHEARD:
            found += self.orders.event(event)
            if type(event) in MONEY_EVENTS:
                found += self.money.event(event)
            self.cover.event(event)
        if commands:
            found += self.orders.commands(commands)
            found += self.money.records(commands, self.orders.journalled_ms)
            self.cover.commands(commands)
        self.orders.done()
        return found

    # --- telling ---

    def _tell(self, found: list[Breach], commands: list[Command]) -> list[Command]:
        state = self._state
        state.out = []
        for breach in found:
            self._halt(breach)
            if self._is_due(self._told_ms, (breach.invariant, breach.subject)):
                self._report(breach)
        told, state.out = state.out, []
        withheld = {breach.withhold for breach in found if breach.withhold}
        kept = [c for c in commands if not (isinstance(c, PlaceOrder) and c.client_id in withheld)]
        return kept + told

    def _halt(self, breach: Breach) -> None:
        if not self._state.halted:
            self._state.halted = f"{breach.invariant} is broken: {breach.words}"

    def _is_due(self, last: dict[tuple[str, str], int], key: tuple[str, str]) -> bool:
        now = self._state.now
        if key in last and now - last[key] < self._state.ms(AGAIN_S):
            return False
        while len(last) >= SAID_KEPT:
            del last[next(iter(last))]
        last.pop(key, None)
        last[key] = now
        return True

    def _report(self, breach: Breach) -> None:
        state = self._state
        state.violations += 1
        not_sent = "; the entry is not sent" if breach.withhold else ""
        state.say(
            Severity.ALARM,
            f"INVARIANT {breach.invariant} broken: {breach.words}{not_sent}. Entries halt, protection goes on; look at "
            "the account, then resume with p",
            breach.symbol,
        )
        traced = self._traced_ms.get(breach.invariant)
        with_trace = traced is None or state.now - traced >= state.ms(AGAIN_S)
        row: dict[str, object] = {
            "ts": state.now,
            "invariant": breach.invariant,
            "symbol": breach.symbol,
            "subject": breach.subject,
            "words": breach.words,
            "traced": with_trace,
        }
        state.store("violations", row, durable=True)
        detail = {"invariant": breach.invariant, "symbol": breach.symbol, "words": breach.words}
        state.store("audit", {"ts": state.now, "actor": "watch", "action": "halt", "detail": detail}, durable=True)
        if with_trace:
            self._traced_ms[breach.invariant] = state.now
            state.out.append(self._written(breach))

    def _written(self, breach: Breach) -> WriteTrace:
        state = self._state
        rests = {name: rest.symbol for name, rest in self.cover.resting.items()}
        facts: dict[str, object] = {
            "plans": list(state.plans.values()),
            "orders": [o for o in state.ledger if o.live],
            "positions": state.portfolio.open_positions(),
            "channels": {name.value: channel for name, channel in state.channels.items()},
            "rests_at_the_venue": rests,
            "naked_since": self.cover.naked,
            "reconciling": state.reconciling,
            "wallet": state.portfolio.wallet,
        }
        last = line(state.now, f"{breach.invariant} broken: {breach.words}", facts)
        return WriteTrace(
            ts=state.now,
            invariant=breach.invariant,
            symbol=breach.symbol,
            words=breach.words,
            lines=(*self.trace.lines(), last),
        )
