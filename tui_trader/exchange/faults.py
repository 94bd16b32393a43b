"""The faults of the simulated exchange: seeded, pure, the same behind sockets and under virtual time.

`Faults` is asked at each opportunity and answers with a verdict; who asks carries it out. It knows no clock: the caller
says how many real ms have passed. Every rule draws from its own generator, seeded with the seed and the rule's number,
so that taking one rule away leaves the draws of the others as they were.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tui_trader.exchange import fault_words as words
from tui_trader.exchange.fault_drafts import ON_FRAME, ON_REQUEST, ArmedRule, FrameDraft, RequestDraft
from tui_trader.exchange.fault_presets import PRESETS
from tui_trader.exchange.fault_rules import (
    ACTS,
    BOOK_KINDS,
    FRAME_KINDS,
    HOOK_KINDS,
    REQUEST_KINDS,
    Act,
    FaultKind,
    FaultRule,
    FrameVerdict,
    Verdict,
)
from tui_trader.exchange.fault_words import mangled
from tui_trader.exchange.rest import Request

__all__ = ["PRESETS", "Act", "FaultKind", "FaultRule", "Faults", "FrameVerdict", "Verdict", "mangled"]

HONEST: Final = Verdict()
_PATIENCE: Final = 3
"""Requests that may arrive during a Retry-After before the address is banned."""
_BAN_S: Final = 120


class Faults:
    """Rules in force and what they have done. Times are real ms of a monotonic clock that the caller reads."""

    def __init__(self, seed: int, rules: Sequence[FaultRule] = ()) -> None:
        self.seed = seed
        self.now_ms = 0
        """The time last heard of."""
        self.counts: dict[FaultKind, int] = {}
        """How often each kind struck."""
        self.on_strike: Callable[[FaultKind, str], None] | None = None
        """Told of each strike and of what it struck."""
        self.bends_requests = self.bends_frames = False
        """Whether asking can have any effect; ask only then where every microsecond counts."""
        self._made = 0
        self._armed: dict[int, ArmedRule] = {}
        self._requests: tuple[ArmedRule, ...] = ()
        self._frames: tuple[ArmedRule, ...] = ()
        self._books: tuple[ArmedRule, ...] = ()
        self._hooks: dict[FaultKind, tuple[ArmedRule, ...]] = {}
        self._acts: tuple[ArmedRule, ...] = ()
        self._outage: tuple[int | None, int] | None = None
        self._outage_rng = random.Random(f"{seed}/outage")
        self._silence: dict[str, tuple[int, int, bool]] = {}
        self._mute: dict[tuple[str, int], int] = {}
        self._held: dict[tuple[str, int], int] = {}
        self._stale: dict[str, int] = {}
        self._lags: dict[tuple[int, str], tuple[int, int]] = {}
        for rule in rules:
            self.add(rule)

    # Rules

    @property
    def rules(self) -> dict[int, FaultRule]:
        """The rules in force, by number."""
        return {number: armed.rule for number, armed in self._armed.items()}

    def add(self, rule: FaultRule) -> int:
        """Put a rule in force from now on and return its number."""
        self._made += 1
        self._armed[self._made] = ArmedRule(self._made, rule, self.seed)
        self._sort()
        return self._made

    def remove(self, number: int) -> None:
        """Lift a rule; raises KeyError when there is none with that number. What it began runs out by itself."""
        del self._armed[number]
        self._sort()

    def clear(self) -> None:
        """Lift every rule and end what they began: from now on the network and the venue are honest.

        What acts did to the exchange's own state stays: see `fault_acts.heal`.
        """
        self._armed.clear()
        self._outage = None
        for table in (self._silence, self._mute, self._held, self._stale, self._lags):
            table.clear()
        self._sort()

    def _sort(self) -> None:
        def of(kinds: Iterable[FaultKind]) -> tuple[ArmedRule, ...]:
            return tuple(armed for armed in self._armed.values() if armed.rule.kind in kinds)

        self._requests, self._frames, self._books = of(REQUEST_KINDS), of(FRAME_KINDS), of(BOOK_KINDS)
        self._acts = of(ACTS)
        self._hooks = {kind: found for kind in HOOK_KINDS if (found := of((kind,)))}
        self._look()

    def _look(self) -> None:
        self.bends_requests = bool(self._requests or self._outage or self._silence)
        self.bends_frames = bool(self._frames or self._books or self._outage or self._mute or self._stale)

    def _note(self, kind: FaultKind, what: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.on_strike is not None:
            self.on_strike(kind, what)

    # Outages

    def begin_outage(self, ms: int) -> None:
        """Let the venue be gone for so many real ms: connections are refused or answered with 5xx."""
        self._outage = (None, ms)
        self._look()

    def is_out(self, now_ms: int) -> bool:
        """Return whether the venue is gone at that time."""
        if self._outage is None:
            return False
        since, ms = self._outage
        if since is None:
            since = now_ms
            self._outage = (since, ms)
        if now_ms - since < ms:
            return True
        self._outage = None
        self._look()
        return False

    # Requests

    def request(self, request: Request, now_ms: int) -> Verdict:
        """Return what happens to one REST request that arrives at `now_ms`."""
        self.now_ms = now_ms
        if not self.bends_requests:
            return HONEST
        name = f"{request.method} {request.path}"
        draft = RequestDraft(request, now_ms)
        if self.is_out(now_ms):
            self._no_venue(draft, name)
        elif not self._still_silenced(draft, name):
            for armed in self._requests:
                if armed.strikes((name,), now_ms) and self._bend(draft, armed.rule.kind, armed):
                    self._note(armed.rule.kind, name)
                    draft.kinds.append(armed.rule.kind)
        return draft.verdict() if draft.kinds else HONEST

    def _no_venue(self, draft: RequestDraft, name: str) -> None:
        self._note(FaultKind.outage, name)
        draft.kinds.append(FaultKind.outage)
        draft.handled = False
        if self._outage_rng.random() < 0.3:
            draft.reset = "before"
        else:
            draft.reply = words.outage(self._outage_rng)

    def _still_silenced(self, draft: RequestDraft, name: str) -> bool:
        """Refuse whoever does not wait; too often leads to a ban, as on the venue."""
        address = draft.request.address
        until, ignored, is_ban = self._silence.get(address, (0, 0, False))
        if draft.now_ms >= until:
            if until:
                del self._silence[address]
                self._look()
            return False
        ignored += 1
        if not is_ban and ignored > _PATIENCE:
            until, is_ban = draft.now_ms + _BAN_S * 1000, True
        self._silence[address] = (until, ignored, is_ban)
        self._refuse(draft, until, is_ban)
        kind = FaultKind.banned if is_ban else FaultKind.rate_limited
        self._note(kind, name)
        draft.kinds.append(kind)
        return True

    def _refuse(self, draft: RequestDraft, until_ms: int, is_ban: bool) -> None:
        wait = -((draft.now_ms - until_ms) // 1000)
        address = draft.request.address
        draft.say(words.banned(address, wait) if is_ban else words.rate_limited(address, wait), handled=False)

    def _bend(self, draft: RequestDraft, kind: FaultKind, armed: ArmedRule) -> bool:
        """Let a kind have its effect; False when it has none: something else is said already, or it is exempt."""
        if kind in ON_REQUEST:
            ON_REQUEST[kind](draft, armed)
            return True
        return draft.reply is None and self._answer_for(draft, kind, armed)

    def _answer_for(self, draft: RequestDraft, kind: FaultKind, armed: ArmedRule) -> bool:
        if kind is FaultKind.http:
            reply, acted = words.http(armed.rng, armed.rule)
            draft.say(reply, armed.rng.random() < armed.share(acted))
        elif kind is FaultKind.unknown_error:
            draft.say(words.unknown_error(armed.rng), armed.rng.random() < armed.share(0.5))
        elif kind is FaultKind.overloaded:
            refusal = words.overloaded(armed.rng, draft.request)
            if refusal is None:
                return False
            draft.say(refusal, handled=False)
        else:
            is_ban = kind is FaultKind.banned
            wait_s = armed.rule.retry_after_s or (_BAN_S if is_ban else 2)
            until = draft.now_ms + wait_s * 1000
            self._silence[draft.request.address] = (until, 0, is_ban)
            self._refuse(draft, until, is_ban)
        return True

    # Frames

    def frame(self, route: str, stream: str, payload: str, now_ms: int, connection: int = 0) -> FrameVerdict:
        """Return what happens to one stream frame; `connection` tells connections of one route apart."""
        self.now_ms = now_ms
        if not self.bends_frames:
            return FrameVerdict(((0, payload),))
        key = (route, connection)
        if self._is_mute(key, now_ms):
            return FrameVerdict(())
        held = self._held.get(key, 0)
        draft = FrameDraft(payload, max(held - now_ms, 0))
        if self.is_out(now_ms):
            return FrameVerdict((), disconnect=True, kinds=(FaultKind.outage,))
        if self._books or self._stale:
            self._bend_book(draft, route, stream, now_ms)
        names = (stream, route, f"{route} {_event_name(payload)}")
        for armed in self._frames:
            if armed.strikes(names, now_ms):
                kind = armed.rule.kind
                self._note(kind, names[2])
                draft.kinds.append(kind)
                ON_FRAME[kind](draft, armed)
                self._remember(armed, key, now_ms, draft)
        return draft.verdict()

    def _remember(self, armed: ArmedRule, key: tuple[str, int], now_ms: int, draft: FrameDraft) -> None:
        """Keep what outlasts the frame: silence, and that a late frame holds up those behind it."""
        kind = armed.rule.kind
        if kind in {FaultKind.mute, FaultKind.half_open}:
            self._mute[key] = now_ms + armed.span_ms
        elif kind is FaultKind.delay:
            self._held[key] = now_ms + draft.delay_ms

    def _is_mute(self, key: tuple[str, int], now_ms: int) -> bool:
        until = self._mute.get(key)
        if until is None:
            return False
        if now_ms < until:
            return True
        del self._mute[key]
        self._look()
        return False

    def opened(self, route: str, connection: int = 0) -> None:
        """Tell that this connection is a new one: silence and hold-ups belonged to the old."""
        self._mute.pop((route, connection), None)
        self._held.pop((route, connection), None)
        self._look()

    def _bend_book(self, draft: FrameDraft, route: str, stream: str, now_ms: int) -> None:
        if not words.tells_of_book(stream):
            return
        kind = self._book(stream, (stream, route), now_ms)
        if kind is None:
            return
        draft.kinds.append(kind)
        if kind is FaultKind.crossed_book and isinstance(draft.payload, str):
            draft.payload = words.crossed(draft.payload)
        else:
            draft.lost = True

    def book(self, symbol: str, now_ms: int) -> FaultKind | None:
        """Return what befalls an update of a symbol's book, for callers without frames: gap, stale, crossed or None."""
        self.now_ms = now_ms
        stream = f"{symbol.lower()}@depth"
        return self._book(stream, (stream, "public"), now_ms) if self._books or self._stale else None

    def _book(self, stream: str, names: tuple[str, ...], now_ms: int) -> FaultKind | None:
        symbol = stream.partition("@")[0]
        if now_ms < self._stale.get(symbol, 0):
            return FaultKind.stale_book
        seen = words.book_kinds(stream)
        for armed in self._books:
            kind = armed.rule.kind
            if kind in seen and armed.strikes(names, now_ms):
                self._note(kind, stream)
                if kind is FaultKind.stale_book:
                    self._stale[symbol] = now_ms + armed.span_ms
                return kind
        return None

    # Inside the exchange

    def lag_ms(self, name: str) -> int:
        """Return by how many venue ms the answer to a read ("GET /fapi/v1/order") is out of date."""
        for armed in self._hooks.get(FaultKind.replica_lag, ()):
            if armed.strikes((name,), self.now_ms):
                self._note(FaultKind.replica_lag, name)
                return armed.span_ms
        return 0

    def misses_position(self, symbol: str, close_position: bool, opened_ms: int, venue_ms: int) -> bool:
        """Return whether the conditional desk does not see yet a position opened at `opened_ms` (-4509)."""
        name = f"{'closePosition' if close_position else 'quantity'} {symbol}"
        for armed in self._hooks.get(FaultKind.algo_lag, ()):
            key = (armed.number, symbol)
            drawn = self._lags.get(key)
            if drawn is None or drawn[0] != opened_ms:
                lag = armed.drawn_ms() if armed.matches((name,)) and armed.strikes((name,), self.now_ms) else 0
                self._lags[key] = drawn = (opened_ms, lag)
            if venue_ms - opened_ms < drawn[1] and armed.matches((name,)):
                self._note(FaultKind.algo_lag, name)
                return True
        return False

    def at_trigger(self, symbol: str, close_position: bool) -> tuple[str, int]:
        """Return what befalls a conditional order whose trigger is reached: "", "reject", "expire" or "stuck", and for
        how many venue ms it is stuck."""
        name = f"{'closePosition' if close_position else 'quantity'} {symbol}"
        for kind in (FaultKind.stop_rejected_at_trigger, FaultKind.stuck_triggering):
            for armed in self._hooks.get(kind, ()):
                if armed.strikes((name,), self.now_ms):
                    self._note(kind, name)
                    if kind is FaultKind.stuck_triggering:
                        return "stuck", armed.span_ms
                    return armed.rule.text or armed.rng.choice(("reject", "expire")), 0
        return "", 0

    # Acts

    def acts(self, now_ms: int, venue_hours: float) -> list[Act]:
        """Return what is due in the world since the last call; `venue_hours` is venue time, from any origin."""
        self.now_ms = now_ms
        due: list[Act] = []
        for armed in self._acts:
            if armed.awake(now_ms):
                due += self._due(armed, now_ms, venue_hours)
        return due

    def _due(self, armed: ArmedRule, now_ms: int, venue_hours: float) -> list[Act]:
        rule = armed.rule
        if not rule.rate:
            return [self._happen(armed)] if rule.count else []
        if armed.due_h is None:
            armed.due_h = venue_hours + armed.rng.expovariate(rule.rate)
        acts: list[Act] = []
        while armed.due_h <= venue_hours and armed.awake(now_ms):
            armed.due_h += armed.rng.expovariate(rule.rate)
            acts.append(self._happen(armed))
        return acts

    def _happen(self, armed: ArmedRule) -> Act:
        rule = armed.rule
        armed.struck += 1
        self._note(rule.kind, rule.symbol)
        return Act(rule.kind, rule.symbol, rule.side, rule.qty, rule.share, rule.ms, rule.text)


def _event_name(payload: str) -> str:
    """Return the name of a frame's event, which stands first in the objects that the venue sends, enveloped or not."""
    at = payload.find('"e":"', 0, 200) + 5
    return payload[at : payload.find('"', at, at + 60)] if at > 4 else ""
