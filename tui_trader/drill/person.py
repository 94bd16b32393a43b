"""A person at the keys, by seed: opens, closes, moves stops, trails, flattens, kills, re-arms, reloads, pauses."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import msgspec

from tui_trader.core import events as ev
from tui_trader.core.types import Leg, Side
from tui_trader.drill.world import SimWorld

_NOTIONAL = (200.0, 8_000.0)
_PATIENCE_S = 40.0
_AWAY = (0.0002, 0.02)


ACTIONS = {
    "open": 40,
    "close": 10,
    "move_stop": 10,
    "break_even": 4,
    "trail": 4,
    "set_target": 5,
    "remove_target": 3,
    "cancel_entry": 4,
    "flatten": 1,
    "kill": 1,
    "pause": 1,
    "reload": 2,
}
"""What a person does, by the method's name, and how often against the others."""


class Person:
    """``act`` does one thing, drawn by weight; what is in ``off`` is never done."""

    def __init__(self, world: SimWorld, rng: Random, off: frozenset[str]) -> None:
        self._world = world
        self._rng = rng
        self._wish: tuple[ev.OpenPosition, float] | None = None
        self._weights = {name: weight for name, weight in ACTIONS.items() if name not in off}

    def insist(self) -> None:
        """Who sees that entries are blocked for the moment, tries again as soon as they are not."""
        if self._wish is None:
            return
        ticket, until = self._wish
        if self._world.loop.monotonic() > until:
            self._wish = None
        elif self._world.may_enter():
            self._wish = None
            self._world.user(msgspec.structs.replace(ticket, ts=self._ts))

    def act(self) -> None:
        """Do something; sometimes look why nothing is traded, and let it go on."""
        if self._rng.random() < 0.3:
            self._resume()
            return
        if self._weights:
            (name,) = self._rng.choices(list(self._weights), list(self._weights.values()))
            getattr(self, f"_{name}")()

    @property
    def _ts(self) -> int:
        return self._world.clock.now_ms()

    def _symbol(self) -> str:
        return self._rng.choice(list(self._world.markets))

    def _held(self) -> str:
        held = [symbol for symbol, position in self._world.account.positions.items() if position.lots]
        return self._rng.choice(held) if held else self._symbol()

    def _price(self, symbol: str, away: float) -> Decimal:
        """A price by a fraction away from the mark, on the tick."""
        state = self._world.exchange.states[symbol]
        return state.prices.decimal(state.prices.nearest(state.mark * (1 + away)))

    def _resume(self) -> None:
        """A person who sees that nothing is traded looks why, and lets it go on."""
        self._world.user(ev.Rearm(ts=self._ts))
        self._world.user(ev.PauseEntries(ts=self._ts, paused=False))
        for symbol in self._world.markets:
            self._world.user(ev.PauseEntries(ts=self._ts, paused=False, symbol=symbol))

    def _open(self) -> None:
        symbol, side = self._symbol(), self._rng.choice((Side.LONG, Side.SHORT))
        state = self._world.exchange.states[symbol]
        qty = state.lots.decimal(max(1, state.lots.nearest(self._rng.uniform(*_NOTIONAL) / state.mark)))
        limit = None
        if self._rng.random() < 0.3:
            limit = self._price(symbol, -side.sign * self._rng.uniform(-0.001, 0.003))
        ticket = ev.OpenPosition(ts=self._ts, symbol=symbol, side=side, qty=qty, limit_price=limit, override_soft=True)
        self._wish = ticket, self._world.loop.monotonic() + _PATIENCE_S
        self.insist()

    def _close(self) -> None:
        fraction = self._rng.choice((Decimal(1), Decimal("0.5"), Decimal("0.1"), Decimal("0.37")))
        self._world.user(ev.ClosePosition(ts=self._ts, symbol=self._held(), fraction=fraction))

    def _move_stop(self) -> None:
        symbol = self._held()
        away = self._rng.uniform(*_AWAY) * self._rng.choice((-1, 1))
        self._world.user(ev.MoveStop(ts=self._ts, symbol=symbol, price=self._price(symbol, away)))

    def _break_even(self) -> None:
        self._world.user(ev.StopToBreakEven(ts=self._ts, symbol=self._held()))

    def _trail(self) -> None:
        self._world.user(ev.StartTrailing(ts=self._ts, symbol=self._held()))

    def _set_target(self) -> None:
        symbol = self._held()
        away = self._rng.uniform(*_AWAY) * self._rng.choice((-1, 1))
        leg, share = self._rng.choice((Leg.TP1, Leg.TP2, Leg.TP3)), self._rng.choice((Decimal("0.2"), Decimal("0.5")))
        self._world.user(
            ev.SetTarget(ts=self._ts, symbol=symbol, leg=leg, price=self._price(symbol, away), fraction=share)
        )

    def _remove_target(self) -> None:
        leg = self._rng.choice((Leg.TP1, Leg.TP2, Leg.TP3))
        self._world.user(ev.RemoveTarget(ts=self._ts, symbol=self._held(), leg=leg))

    def _cancel_entry(self) -> None:
        self._world.user(ev.CancelEntry(ts=self._ts, symbol=self._symbol()))

    def _flatten(self) -> None:
        self._world.user(ev.FlattenAll(ts=self._ts))

    def _kill(self) -> None:
        self._world.user(ev.KillSwitch(ts=self._ts, reason="drill"))

    def _pause(self) -> None:
        self._world.user(ev.PauseEntries(ts=self._ts, paused=True))

    def _reload(self) -> None:
        settings = self._world.settings
        changed = settings.model_copy(
            update={
                "ladder": settings.ladder.model_copy(
                    update={"atr_mult_sl": self._rng.choice((0.8, 1.0, 1.5)), "trail_dist_mult": 0.8}
                )
            }
        )
        self._world.user(ev.SettingsChanged(ts=self._ts, settings_json=changed.model_dump_json().encode()))
