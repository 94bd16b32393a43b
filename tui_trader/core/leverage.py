"""The leverage set at the venue before a symbol takes entries, and what becomes of it when the venue refuses it."""

from __future__ import annotations

import msgspec

from tui_trader.core.commands import SetLeverage
from tui_trader.core.events import SendOutcome, SendResult
from tui_trader.core.refusals import HTTP_REFUSALS, VENUE_TROUBLE, LeverageRefusal
from tui_trader.core.state import EngineState
from tui_trader.core.types import Refusal, Severity

ASK_AGAIN_S = 10.0
"""A request without any answer is made again after so long."""

TROUBLE_S, TROUBLE_MAX_S = 5.0, 60.0
REFUSED_S, REFUSED_MAX_S = 10.0, 600.0
"""The first and the longest pause, which doubles: after trouble on the way, and after the venue's own no."""


def ensure(state: EngineState) -> None:
    """Ask for the leverage of each symbol that may be entered and has none, as often as its pauses allow."""
    if not state.armed or not state.reachable():
        return
    for symbol in (*state.universe.members, *state.always):
        if symbol not in state.leverage_set and state.now >= state.leverage_retry.get(symbol, 0):
            ask(state, symbol)


def ask(state: EngineState, symbol: str) -> None:
    """Ask for the leverage of ``symbol`` now, unless it is set; nothing is sent before a person armed entries."""
    instrument = state.instruments.get(symbol)
    if instrument is None or not state.armed or symbol in state.leverage_set:
        return
    state.leverage_retry[symbol] = state.now + state.ms(ASK_AGAIN_S)
    leverage = min(state.settings.sizing.default_leverage, instrument.max_leverage)
    state.out.append(SetLeverage(ts=state.now, symbol=symbol, leverage=leverage))


def reconsider(state: EngineState, *symbols: str) -> None:
    """What a refusal rested on has changed: ask again at once for ``symbols``, without any for all of them."""
    for symbol in symbols or tuple(state.leverage_refused):
        refused = state.leverage_refused.get(symbol)
        if refused is not None:
            state.leverage_refused[symbol] = msgspec.structs.replace(refused, failures=0)
            state.leverage_retry.pop(symbol, None)


def on_outcome(state: EngineState, outcome: SendOutcome) -> None:
    """How a request ended. A refusal is said once, and asked about again after pauses that double."""
    symbol, before = outcome.symbol, state.leverage_refused.pop(outcome.symbol, None)
    if outcome.result is SendResult.ACCEPTED:
        instrument = state.instruments.get(symbol)
        wanted = state.settings.sizing.default_leverage
        state.leverage_set[symbol] = min(wanted, instrument.max_leverage) if instrument else wanted
        if before is not None:
            state.say(Severity.INFO, f"{symbol}: the leverage is set now; entries are possible", symbol)
        return
    final = outcome.result is SendResult.REJECTED and not outcome.retry_at and _is_verdict(outcome.code)
    known = before.failures if before is not None and before.final is final else 0
    failures = known + 1
    reason = outcome.reason.rstrip(".")
    state.leverage_refused[symbol] = LeverageRefusal(reason, failures, final)
    first_s, longest_s = (REFUSED_S, REFUSED_MAX_S) if final else (TROUBLE_S, TROUBLE_MAX_S)
    pause_s = min(longest_s, first_s * 2.0 ** min(failures - 1, 10))
    state.leverage_retry[symbol] = max(state.now + state.ms(pause_s), outcome.retry_at)
    if known:
        return
    then = "asked again in growing pauses, and at once when the settings change" if final else "asked again"
    state.say(Severity.WARNING, f"{symbol}: leverage not set, so no entries in it; {then} ({reason})", symbol)


def _is_verdict(code: int) -> bool:
    return code != 0 and code not in VENUE_TROUBLE and code not in HTTP_REFUSALS


def refusals(state: EngineState, symbol: str) -> tuple[Refusal, ...]:
    """Why the gate lets nothing into ``symbol`` until its leverage is set; () when it is."""
    if symbol in state.leverage_set or symbol not in state.instruments:
        return ()
    text = "the leverage is not set at the venue yet"
    refused = state.leverage_refused.get(symbol)
    if refused is not None:
        wait_s = max(0, state.leverage_retry.get(symbol, 0) - state.now) / 1000 / state.rate
        text = f"the leverage is not set at the venue: {refused.reason}; asked again in {wait_s:.0f} s"
    return (Refusal(code="leverage", text=text, hard=True),)
