"""Ready-made sets of fault rules: calm, mild, rough, hostile, and one named after each kind."""

from typing import Final

from tui_trader.exchange.fault_rules import ACTS, BOOK_KINDS, HOOK_KINDS, REQUEST_KINDS, FaultKind, FaultRule

_REQUEST_SHARES: Final[dict[FaultKind, float]] = {
    FaultKind.drop_request: 0.10,
    FaultKind.drop_response: 0.12,
    FaultKind.delay: 0.15,
    FaultKind.duplicate: 0.08,
    FaultKind.reorder: 0.08,
    FaultKind.http: 0.08,
    FaultKind.reset_before: 0.08,
    FaultKind.reset_mid: 0.06,
    FaultKind.reset_after: 0.04,
    FaultKind.mangle: 0.02,
    FaultKind.unknown_error: 0.10,
    FaultKind.overloaded: 0.07,
    FaultKind.rate_limited: 0.02,
}
"""How the struck requests of a preset divide among the kinds."""
_FRAME_SHARES: Final[dict[FaultKind, float]] = {
    FaultKind.half_open: 0.001,
    FaultKind.mute: 0.001,
    FaultKind.disconnect: 0.004,
    FaultKind.huge_frame: 0.0005,
    FaultKind.book_gap: 0.02,
    FaultKind.stale_book: 0.005,
    FaultKind.crossed_book: 0.02,
}
"""Strikes per frame, as a share of the preset's level: a connection carries many frames a second."""
_HOOK_SHARES: Final[dict[FaultKind, float]] = dict.fromkeys(sorted(HOOK_KINDS), 1.0)
_PER_HOUR: Final[dict[FaultKind, float]] = {
    FaultKind.cancel_elsewhere: 40.0,
    FaultKind.trade_elsewhere: 20.0,
    FaultKind.liquidation: 2.0,
    FaultKind.adl: 4.0,
    FaultKind.funding: 20.0,
    FaultKind.symbol_status: 4.0,
    FaultKind.hedge_mode: 4.0,
    FaultKind.clock_skew: 20.0,
    FaultKind.clock_step: 10.0,
    FaultKind.outage: 2.0,
    FaultKind.restart_keep: 2.0,
    FaultKind.restart_lose: 2.0,
}
"""Acts per venue hour at a level of 1."""


def at_level(level: float) -> tuple[FaultRule, ...]:
    """Return rules of all kinds such that about the fraction `level` of all requests is struck by something.

    Account and market frames, reads, triggers and the world misbehave in proportion.
    """
    shares = _REQUEST_SHARES | _FRAME_SHARES | _HOOK_SHARES | _PER_HOUR
    return tuple(FaultRule(kind, rate=round(share * level, 9)) for kind, share in shares.items())


def _alone(kind: FaultKind) -> FaultRule:
    """Return the preset of one kind: often enough to be met within minutes."""
    if kind in ACTS:
        return FaultRule(kind, rate=12.0)
    if kind in BOOK_KINDS:
        return FaultRule(kind, rate=0.01)
    if kind in HOOK_KINDS or kind in REQUEST_KINDS - {FaultKind.half_open, FaultKind.banned}:
        return FaultRule(kind, rate=0.2)
    return FaultRule(kind, rate=0.002)


PRESETS: Final[dict[str, tuple[FaultRule, ...]]] = {
    "calm": (),
    "mild": at_level(0.01),
    "rough": at_level(0.05),
    "hostile": at_level(0.15),
    **{kind.value: (_alone(kind),) for kind in FaultKind},
}
"""Rules by the name of their preset."""
