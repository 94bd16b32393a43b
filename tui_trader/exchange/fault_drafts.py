"""Rules in force, and verdicts in the making: what each kind of fault does to a request or a frame."""

import random
import re
from collections.abc import Callable
from fnmatch import translate
from typing import Final

from tui_trader.exchange import fault_words as words
from tui_trader.exchange.fault_rules import DEFAULT_MS, FaultKind, FaultRule, FrameVerdict, Verdict
from tui_trader.exchange.rest import Reply, Request

_NAMES_KEPT: Final = 5_000


class ArmedRule:
    """A rule that is in force, with its own generator and its history."""

    __slots__ = ("_matches", "_pattern", "due_h", "number", "origin_ms", "rng", "rule", "struck")

    def __init__(self, number: int, rule: FaultRule, seed: int) -> None:
        self.number = number
        self.rule = rule
        self.rng = random.Random(f"{seed}/{number}/{rule.kind}")
        self.origin_ms: int | None = None
        self.struck = 0
        self.due_h: float | None = None
        self._pattern = re.compile(translate(rule.path)) if rule.path else None
        self._matches: dict[tuple[str, ...], bool] = {}

    @property
    def span_ms(self) -> int:
        """The rule's `ms`, or its kind's default."""
        return self.rule.ms or DEFAULT_MS.get(self.rule.kind, 0)

    def awake(self, now_ms: int) -> bool:
        """Return whether the rule may strike now."""
        rule = self.rule
        if self.origin_ms is None:
            self.origin_ms = now_ms
        age = now_ms - self.origin_ms - rule.after_ms
        return age >= 0 and (not rule.for_ms or age < rule.for_ms) and (not rule.count or self.struck < rule.count)

    def matches(self, names: tuple[str, ...]) -> bool:
        """Return whether the rule's glob names one of these."""
        if self._pattern is None:
            return True
        known = self._matches.get(names)
        if known is None:
            if len(self._matches) > _NAMES_KEPT:
                self._matches.clear()
            known = self._matches[names] = any(self._pattern.match(name) for name in names)
        return known

    def strikes(self, names: tuple[str, ...], now_ms: int) -> bool:
        """Draw, when there is an opportunity, and return whether the rule strikes."""
        rule = self.rule
        if not self.awake(now_ms) or not self.matches(names):
            return False
        if (self.rng.random() < rule.rate) if rule.rate else rule.count > 0:
            self.struck += 1
            return True
        return False

    def drawn_ms(self) -> int:
        """Draw from 1 to the rule's `ms`; with a `share` of 1 it is all of it."""
        return self.span_ms if self.rule.share >= 1 else 1 + self.rng.randrange(max(self.span_ms, 1))

    def share(self, default: float) -> float:
        """Return the rule's share, or `default`."""
        return self.rule.share if self.rule.share >= 0 else default


class RequestDraft:
    """A verdict on a request in the making."""

    def __init__(self, request: Request, now_ms: int) -> None:
        self.request = request
        self.now_ms = now_ms
        self.lose_request = self.lose_answer = False
        self.delay_ms = self.answer_delay_ms = 0
        self.copies = 1
        self.reset = ""
        self.reply: Reply | None = None
        self.handled = True
        self.mangle = 0
        self.kinds: list[FaultKind] = []

    def say(self, reply: Reply, handled: bool) -> None:
        """Answer so; `handled` says whether the venue acted all the same."""
        self.reply = reply
        self.handled = self.handled and handled

    def verdict(self) -> Verdict:
        """Return the finished verdict."""
        handled = self.handled and not self.lose_request
        return Verdict(
            self.lose_request,
            self.lose_answer,
            self.delay_ms,
            self.answer_delay_ms,
            self.copies,
            self.reset,
            self.reply,
            handled,
            self.mangle,
            tuple(self.kinds),
        )


class FrameDraft:
    """A verdict on a frame in the making."""

    def __init__(self, payload: str, delay_ms: int) -> None:
        self.payload: str | bytes = payload
        self.delay_ms = delay_ms
        self.lost = False
        self.before: list[tuple[int, str | bytes]] = []
        self.after: list[tuple[int, str | bytes]] = []
        self.disconnect = self.deaf = False
        self.kinds: list[FaultKind] = []

    def verdict(self) -> FrameVerdict:
        """Return the finished verdict."""
        own = [] if self.lost else [(self.delay_ms, self.payload)]
        return FrameVerdict((*self.before, *own, *self.after), self.disconnect, self.deaf, tuple(self.kinds))


# What each kind does to a request


def _drop_request(draft: RequestDraft, armed: ArmedRule) -> None:
    draft.lose_request = True


def _drop_response(draft: RequestDraft, armed: ArmedRule) -> None:
    draft.lose_answer = True


def _delay(draft: RequestDraft, armed: ArmedRule) -> None:
    when = armed.rule.text or armed.rng.choice(("request", "answer"))
    if when == "request":
        draft.delay_ms += armed.drawn_ms()
    else:
        draft.answer_delay_ms += armed.drawn_ms()


def _duplicate(draft: RequestDraft, armed: ArmedRule) -> None:
    draft.copies += 1


def _reorder(draft: RequestDraft, armed: ArmedRule) -> None:
    draft.delay_ms += armed.drawn_ms()


def _reset_before(draft: RequestDraft, armed: ArmedRule) -> None:
    arrived = draft.handled and armed.rng.random() < armed.share(0.5)
    if not draft.reset:
        draft.reset, draft.handled = "before", arrived


def _reset_mid(draft: RequestDraft, armed: ArmedRule) -> None:
    draft.reset = draft.reset or "mid"


def _reset_after(draft: RequestDraft, armed: ArmedRule) -> None:
    draft.reset = draft.reset or "after"


def _mangle(draft: RequestDraft, armed: ArmedRule) -> None:
    draft.mangle = armed.rng.randrange(1, 2**31)


ON_REQUEST: Final[dict[FaultKind, Callable[[RequestDraft, ArmedRule], None]]] = {
    FaultKind.drop_request: _drop_request,
    FaultKind.half_open: _drop_request,
    FaultKind.drop_response: _drop_response,
    FaultKind.delay: _delay,
    FaultKind.duplicate: _duplicate,
    FaultKind.reorder: _reorder,
    FaultKind.reset_before: _reset_before,
    FaultKind.reset_mid: _reset_mid,
    FaultKind.reset_after: _reset_after,
    FaultKind.mangle: _mangle,
}


# What each kind does to a frame


def _late(draft: FrameDraft, armed: ArmedRule) -> None:
    draft.delay_ms += armed.drawn_ms()


def _twice(draft: FrameDraft, armed: ArmedRule) -> None:
    draft.after.append((draft.delay_ms + armed.rng.randrange(max(armed.rule.ms, 1)), draft.payload))


def _silent(draft: FrameDraft, armed: ArmedRule) -> None:
    draft.lost = True
    draft.deaf = draft.deaf or armed.rule.kind is FaultKind.half_open


def _cut(draft: FrameDraft, armed: ArmedRule) -> None:
    draft.disconnect = True
    draft.lost = draft.lost or armed.rng.random() < 0.5


def _garbled(draft: FrameDraft, armed: ArmedRule) -> None:
    if isinstance(draft.payload, str):
        draft.payload = words.garbled(draft.payload, armed.rng)


def _swollen(draft: FrameDraft, armed: ArmedRule) -> None:
    draft.before.append((draft.delay_ms, words.huge(armed.rule)))


ON_FRAME: Final[dict[FaultKind, Callable[[FrameDraft, ArmedRule], None]]] = {
    FaultKind.delay: _late,
    FaultKind.reorder: _late,
    FaultKind.duplicate: _twice,
    FaultKind.half_open: _silent,
    FaultKind.mute: _silent,
    FaultKind.disconnect: _cut,
    FaultKind.mangle: _garbled,
    FaultKind.huge_frame: _swollen,
}
