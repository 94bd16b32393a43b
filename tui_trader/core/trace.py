"""The last events and commands as sentences, kept for the moment in which an invariant is found broken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.types import ZERO

KEPT = 400
"""Facts in a trace: an entry with its ladder makes about forty, so several positions' lives fit."""

TOLD_ROWS = frozenset({"plans", "trades", "ladder_events", "violations"})
"""Rows that tell what was decided; the others repeat facts that stand in the trace anyway."""

_QUIET = (
    ev.BookTop, ev.BookDepth, ev.TradePrint, ev.MarkPrice, ev.Ticker24h, ev.OpenInterest, ev.KlineUpdate,
    ev.CandleHistory, ev.Timer, ev.InstrumentsLoaded, ev.SettingsChanged, ev.ClockSkew,
    ev.TrainedLoaded,
)  # fmt: skip
QUIET: frozenset[type] = frozenset(_QUIET)
"""Events that arrive all the time and would push everything else out of the trace."""


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """An invariant found broken. ``subject`` is the order, trade or symbol that it is about; ``withhold`` names the
    client id of an entry that must not be sent because of it ("" for none).
    """

    invariant: str
    symbol: str
    subject: str
    words: str
    withhold: str = ""


class Trace:
    """A bounded memory of what came in and what went out, oldest first."""

    def __init__(self, kept: int = KEPT) -> None:
        self._facts: deque[tuple[int, ev.Event | cmd.Command]] = deque(maxlen=kept)

    def __len__(self) -> int:
        return len(self._facts)

    def heard(self, now: int, event: ev.Event) -> None:
        """Keep an event, unless it is one of the many that say nothing about orders."""
        if type(event) not in QUIET:
            self._facts.append((now, event))

    def emitted(self, now: int, command: cmd.Command) -> None:
        """Keep a command that says what was decided."""
        if isinstance(command, cmd.Record) and command.kind not in TOLD_ROWS:
            return
        if not isinstance(command, cmd.LoadCandles | cmd.WatchSymbols | cmd.SettingsApplied | cmd.WriteTrace):
            self._facts.append((now, command))

    def lines(self) -> tuple[str, ...]:
        """One JSON object a line: time, a sentence, and the fact itself."""
        return tuple(line(now, sentence(fact), msgspec.to_builtins(fact, enc_hook=str)) for now, fact in self._facts)


def line(now: int, words: str, fact: object) -> str:
    """One line of a trace."""
    return msgspec.json.encode({"at": now, "what": words, "fact": fact}, enc_hook=str).decode("utf-8")


def sentence(fact: ev.Event | cmd.Command) -> str:
    """What happened, in words."""
    tell = _TELLERS.get(type(fact))
    return tell(fact) if tell is not None else f"{type(fact).__name__}: {_plain(fact)}"


def _plain(fact: ev.Event | cmd.Command) -> str:
    fields = {name: getattr(fact, name) for name in fact.__struct_fields__ if name != "ts"}
    return ", ".join(f"{name} {value}" for name, value in fields.items() if value not in ("", None, ZERO, ()))


def _update(e: ev.OrderUpdate) -> str:
    level = f" at {e.trigger_price or e.price}" if e.trigger_price or e.price else ""
    why = f", because {e.reason}" if e.reason else ""
    source = "the venue says" if e.from_venue_evidence else "acknowledged"
    return (
        f"{source}: {e.symbol} {e.client_id or e.venue_id} {e.type.value} {e.side.value} {e.qty}{level} is "
        f"{e.status.value}, filled {e.filled_qty}{why}"
    )


def _fill(e: ev.Fill) -> str:
    return (
        f"filled: {e.symbol} {e.side.value} {e.qty} at {e.price}, trade {e.trade_id} of {e.client_id or e.venue_id}, "
        f"fee {e.fee} {e.fee_asset}, venue time {e.venue_ts}"
    )


def _snapshot(e: ev.AccountSnapshot) -> str:
    held = ", ".join(f"{p.symbol} {p.qty}" for p in e.positions if p.qty != 0) or "no position"
    part = "" if e.complete else " (incomplete: proves nothing by what it lacks)"
    return (
        f"account asked at {e.asked_at}: {held}; {len(e.orders)} orders rest; wallet {e.wallet}; {len(e.fills)} fills "
        f"told{part}"
    )


def _outcome(e: ev.SendOutcome) -> str:
    code = f" ({e.code})" if e.code else ""
    why = f": {e.reason}" if e.reason else ""
    return f"{e.action.value} of {e.client_id or e.symbol} ended {e.result.value}{code}{why}"


def _place(c: cmd.PlaceOrder) -> str:
    level = c.trigger_price or c.price
    at = f" at {level}" if level else ""
    only = ", reduce-only" if c.reduce_only else ""
    again = " again" if c.resend else ""
    return f"send{again} {c.leg.name} {c.symbol} {c.side.value} {c.qty} {c.type.value}{at}{only} as {c.client_id}"


_TELLERS: dict[type, Callable[[Any], str]] = {
    ev.OrderUpdate: _update,
    ev.Fill: _fill,
    ev.AccountSnapshot: _snapshot,
    ev.SendOutcome: _outcome,
    ev.PositionUpdate: lambda e: f"the venue holds {e.qty} {e.symbol} from {e.entry_price} (venue time {e.venue_ts})",
    ev.BalanceUpdate: lambda e: f"wallet {e.wallet} ({e.reason or 'no reason told'})",
    ev.FundingPayment: lambda e: f"funding {e.symbol} {e.amount}, payment {e.tran_id}",
    ev.LinkUp: lambda e: f"the {e.channel.shown} link is up",
    ev.LinkDown: lambda e: f"the {e.channel.shown} link is down: {e.reason}",
    cmd.PlaceOrder: _place,
    cmd.CancelOrder: lambda c: f"cancel {c.symbol} {c.client_id or c.venue_id}",
    cmd.QueryOrder: lambda c: f"ask about {c.symbol} {c.client_id}",
    cmd.SetLeverage: lambda c: f"set the leverage of {c.symbol} to {c.leverage}",
    cmd.RequestSnapshot: lambda c: f"ask for the account: {c.reason}",
    cmd.Record: lambda c: f"store a row of {c.kind}",
    cmd.Announce: lambda c: f"said ({c.severity.value}): {c.text}",
}
