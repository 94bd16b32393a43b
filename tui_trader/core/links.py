"""Links that come and go: what a loss and a return mean, and how often they are told.

A link that flaps would bury everything else in the log: its first loss is told at once, later ones are counted and told
in one sentence a minute. The banner, the header and the gate know every loss at once.
"""

from __future__ import annotations

from tui_trader.core import executor
from tui_trader.core.commands import RequestSnapshot
from tui_trader.core.events import LinkDown, LinkUp
from tui_trader.core.state import BLIP_S, ChannelState, EngineState
from tui_trader.core.types import Channel, Severity

TOLD_EVERY_S = 60.0


def on_up(state: EngineState, event: LinkUp) -> None:
    """A link stands, or is heard to stand still."""
    before = state.channels[event.channel]
    blip = before.since_ms > 0 and not before.until_ms and state.now - before.down_ms < state.ms(BLIP_S)
    state.channels[event.channel] = ChannelState(
        up=True,
        since_ms=before.since_ms if before.up or blip else event.ts,
        heard_ms=event.ts,
        latency_ms=event.latency_ms or before.latency_ms,
        told_ms=before.told_ms,
        untold=before.untold,
    )
    if before.up:
        return
    if not before.untold:
        state.say(Severity.INFO, f"the {event.channel.shown} link is up")
    if state.alarm.startswith(_down(event.channel)):
        state.alarm = ""
    if event.channel is Channel.REST:
        executor.on_reached(state, away=not blip)
    if event.channel is Channel.PRIVATE:
        # What happened meanwhile was not heard: no entries until a snapshot from after this moment.
        state.resync_ms = state.now
        state.out.append(RequestSnapshot(ts=state.now, reason="the private stream is back"))


def on_down(state: EngineState, event: LinkDown) -> None:
    """A link is lost, or is heard to be lost still."""
    channel = state.channels[event.channel]
    lost = channel.up
    channel.up, channel.reason, channel.until_ms = False, event.reason, event.until_ms
    if not lost:
        return
    channel.down_ms = state.now
    if channel.told_ms and state.now - channel.told_ms < state.ms(TOLD_EVERY_S):
        channel.untold += 1
        state.alarm, state.alarm_ms = _lost(state, event.channel, channel), state.now
        return
    channel.told_ms = state.now
    state.say(Severity.ALARM, _lost(state, event.channel, channel))


def on_timer(state: EngineState) -> None:
    """Tell of the losses that were only counted, once their minute is over."""
    for name, channel in state.channels.items():
        if not channel.untold or state.now - channel.told_ms < state.ms(TOLD_EVERY_S):
            continue
        times = f"{channel.untold} more time{'s' if channel.untold > 1 else ''} within a minute"
        channel.told_ms, channel.untold = state.now, 0
        if channel.up:
            state.say(Severity.WARNING, f"the {name.shown} link was lost {times} and is up")
        else:
            state.say(Severity.ALARM, f"{_lost(state, name, channel)}, lost {times}")


def _down(channel: Channel) -> str:
    return f"the {channel.shown} link is down: no entries"


def _lost(state: EngineState, name: Channel, channel: ChannelState) -> str:
    return f"{_down(name)}{_relying(state)} ({channel.reason.rstrip('.')})"


def _relying(state: EngineState) -> str:
    """What protects the open positions when a link is down, in words; "" when there is none."""
    held = [plan for plan in state.plans.values() if state.open_qty(plan) > 0]
    bare = sum(1 for plan in held if plan.naked_since_ms)
    if bare:
        return f", {bare} of {len(held)} open without a proven stop"
    return f", {len(held)} open, each behind its stop at the venue" if held else ""
