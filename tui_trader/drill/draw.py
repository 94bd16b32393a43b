"""What a seed means: which faults are on at which rates, the market, the machine, the person."""

from __future__ import annotations

from random import Random

import msgspec

from tui_trader.drill.world import Setup
from tui_trader.exchange.fault_rules import ACTS, BOOK_KINDS, FRAME_KINDS, REQUEST_KINDS, FaultKind, FaultRule

ALL_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT")
STRONGEST = 0.15
_PRIVATE_RATE = 0.02
_PUBLIC_RATE = 0.0005
_BOOK_RATE = 0.01
_ACTS_PER_HOUR = 6.0
_RARE_ACTS = {
    FaultKind.outage: 0.2,
    FaultKind.restart_keep: 0.5,
    FaultKind.restart_lose: 0.5,
    FaultKind.liquidation: 0.5,
}
_BANNED_SHARE = 0.03
_STATUSES = (400, 408, 500, 502, 503, 504)
_CONNECTION = frozenset({FaultKind.half_open, FaultKind.mute, FaultKind.disconnect, FaultKind.huge_frame})
_SMALL_FRAME = 4_096
"""The simulation only needs to know that a frame is too large."""


class Regime(msgspec.Struct, frozen=True):
    """How the market moves: ``sigma`` per square root of a minute and ``drift`` per minute as fractions of price,
    ``reversion`` per minute back to where it began, ``gap`` the probability that a move is a jump.
    """

    sigma: float
    drift: float
    reversion: float
    gap: float


class Draw(msgspec.Struct, frozen=True):
    """A seed, spelt out. Rates without a unit are per virtual hour."""

    seed: int
    setup: Setup
    regime: Regime
    actions_per_hour: float
    crashes_per_hour: float
    full_disks_per_hour: float
    restarts_per_hour: float
    busy_s: float
    quiet_s: float
    off: frozenset[str] = frozenset()
    """Kinds of fault or of action that are left out, for finding what a failure needs."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of fault that are on."""
        return tuple(sorted({rule.kind.value for rule in self.setup.rules if rule.rate or rule.count}))


def draw(seed: int, preset: tuple[FaultRule, ...] | None = None) -> Draw:
    """The meaning of ``seed``; with a ``preset`` its rules take the place of the drawn ones."""
    rng = Random(f"{seed}/draw")
    symbols = ALL_SYMBOLS[: rng.randint(2, 4)]
    strength = rng.choice((0.01, 0.03, 0.05, 0.1, STRONGEST))
    rules = _rules(rng, strength) if preset is None else _fitting(preset)
    setup = Setup(
        seed=seed,
        symbols=symbols,
        wallet="1000000",
        latency_ms=rng.choice((2.0, 15.0, 40.0, 120.0)),
        fine_s=rng.choice((0.1, 0.2, 0.2, 0.25)),
        coarse_s=4.0,
        rules=rules,
        settings={
            "execution.entry_timeout_s": rng.choice((5.0, 20.0, 60.0)),
            "execution.reconcile_s": rng.choice((5.0, 10.0, 10.0)),
            "limits.max_orders_per_minute": rng.choice((60, 120, 1000)),
        },
    )
    return Draw(
        seed=seed,
        setup=setup,
        regime=Regime(
            sigma=rng.choice((0.0003, 0.001, 0.003)),
            drift=rng.choice((0.0, 0.0, 0.0003, -0.0003)),
            reversion=rng.choice((0.0, 0.02)),
            gap=rng.choice((0.0, 0.02, 0.1)),
        ),
        actions_per_hour=rng.choice((200.0, 600.0, 1_500.0)),
        crashes_per_hour=rng.choice((0.0, 0.0, 3.0, 20.0)),
        full_disks_per_hour=rng.choice((0.0, 0.0, 2.0)),
        restarts_per_hour=rng.choice((0.0, 0.0, 2.0)),
        busy_s=rng.choice((120.0, 600.0)),
        quiet_s=rng.choice((300.0, 1_800.0, 3_600.0)),
    )


def _rules(rng: Random, strength: float) -> tuple[FaultRule, ...]:
    """A random subset of all kinds. Together the kinds that strike requests strike about ``strength`` of them."""
    share = rng.choice((0.1, 0.3, 0.6))
    on = {kind: rng.random() for kind in FaultKind if rng.random() < share}
    total = sum(level for kind, level in on.items() if kind in REQUEST_KINDS) or 1.0
    rules: list[FaultRule] = []
    for kind, level in on.items():
        rules += _rule(kind, level, strength * level / total if kind in REQUEST_KINDS else strength * level, rng)
    return tuple(rules)


def _rule(kind: FaultKind, level: float, rate: float, rng: Random) -> list[FaultRule]:
    """The rules of one kind; ``level`` is 0 to 1."""
    if kind in ACTS:
        return [FaultRule(kind, rate=level * _ACTS_PER_HOUR * _RARE_ACTS.get(kind, 1.0))]
    if kind in BOOK_KINDS:
        return [FaultRule(kind, rate=level * _BOOK_RATE)]
    if kind is FaultKind.banned:
        return [FaultRule(kind, rate=rate * _BANNED_SHARE, retry_after_s=rng.choice((5, 30, 120)))]
    if kind is FaultKind.rate_limited:
        return [FaultRule(kind, rate=rate, retry_after_s=rng.choice((1, 2, 10)))]
    if kind is FaultKind.http:
        return [FaultRule(kind, rate=rate, status=rng.choice(_STATUSES))]
    if kind in _CONNECTION:
        size = _SMALL_FRAME if kind is FaultKind.huge_frame else 0
        private = FaultRule(kind, rate=level * _PRIVATE_RATE, path="private", size=size)
        return [private, FaultRule(kind, rate=level * _PUBLIC_RATE, path="market", size=size)]
    if kind in FRAME_KINDS:
        requests = FaultRule(kind, rate=rate, path="* /*", ms=rng.choice((0, 0, 3_000)))
        return [requests, FaultRule(kind, rate=level * STRONGEST / 2, path="private", ms=rng.choice((0, 0, 3_000)))]
    return [FaultRule(kind, rate=rate)]


def _fitting(rules: tuple[FaultRule, ...]) -> tuple[FaultRule, ...]:
    """A preset as it is, but that a huge frame need not be made."""
    return tuple(
        msgspec.structs.replace(rule, size=_SMALL_FRAME) if rule.kind is FaultKind.huge_frame else rule
        for rule in rules
    )
