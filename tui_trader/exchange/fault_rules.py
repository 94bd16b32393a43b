"""What can go wrong, as data: the kinds of fault, the rules that order them, and the verdicts that come of them.

A rule strikes at *opportunities*: each REST request, each stream frame, each conditional order that is placed or
triggers, or, for what happens in the world (`ACTS`), so and so often per venue hour.
"""

from enum import StrEnum
from typing import Final

import msgspec

from tui_trader.exchange.rest import Reply

MIB: Final = 1024 * 1024


class FaultKind(StrEnum):
    """Every fault the exchange can commit."""

    drop_request = "drop_request"
    drop_response = "drop_response"
    delay = "delay"
    duplicate = "duplicate"
    reorder = "reorder"
    http = "http"
    reset_before = "reset_before"
    reset_mid = "reset_mid"
    reset_after = "reset_after"
    half_open = "half_open"
    mute = "mute"
    disconnect = "disconnect"
    mangle = "mangle"
    huge_frame = "huge_frame"
    unknown_error = "unknown_error"
    overloaded = "overloaded"
    rate_limited = "rate_limited"
    banned = "banned"
    book_gap = "book_gap"
    stale_book = "stale_book"
    crossed_book = "crossed_book"
    replica_lag = "replica_lag"
    algo_lag = "algo_lag"
    stop_rejected_at_trigger = "stop_rejected_at_trigger"
    stuck_triggering = "stuck_triggering"
    cancel_elsewhere = "cancel_elsewhere"
    trade_elsewhere = "trade_elsewhere"
    liquidation = "liquidation"
    adl = "adl"
    funding = "funding"
    symbol_status = "symbol_status"
    hedge_mode = "hedge_mode"
    clock_skew = "clock_skew"
    clock_step = "clock_step"
    outage = "outage"
    restart_keep = "restart_keep"
    restart_lose = "restart_lose"


REQUEST_KINDS: Final = frozenset(
    {
        FaultKind.drop_request,
        FaultKind.drop_response,
        FaultKind.delay,
        FaultKind.duplicate,
        FaultKind.reorder,
        FaultKind.http,
        FaultKind.reset_before,
        FaultKind.reset_mid,
        FaultKind.reset_after,
        FaultKind.half_open,
        FaultKind.mangle,
        FaultKind.unknown_error,
        FaultKind.overloaded,
        FaultKind.rate_limited,
        FaultKind.banned,
    }
)
"""Kinds that strike REST requests."""
FRAME_KINDS: Final = frozenset(
    {
        FaultKind.delay,
        FaultKind.duplicate,
        FaultKind.reorder,
        FaultKind.half_open,
        FaultKind.mute,
        FaultKind.disconnect,
        FaultKind.mangle,
        FaultKind.huge_frame,
    }
)
"""Kinds that strike stream frames."""
BOOK_KINDS: Final = frozenset({FaultKind.book_gap, FaultKind.stale_book, FaultKind.crossed_book})
"""Kinds that strike what the streams tell of a book, never the matching."""
HOOK_KINDS: Final = frozenset(
    {
        FaultKind.replica_lag,
        FaultKind.algo_lag,
        FaultKind.stop_rejected_at_trigger,
        FaultKind.stuck_triggering,
    }
)
"""Kinds that strike inside the exchange: reads, and conditional orders."""
ACTS: Final = frozenset(
    {
        FaultKind.cancel_elsewhere,
        FaultKind.trade_elsewhere,
        FaultKind.liquidation,
        FaultKind.adl,
        FaultKind.funding,
        FaultKind.symbol_status,
        FaultKind.hedge_mode,
        FaultKind.clock_skew,
        FaultKind.clock_step,
        FaultKind.outage,
        FaultKind.restart_keep,
        FaultKind.restart_lose,
    }
)
"""What happens in the world, so many times per venue hour."""

DEFAULT_MS: Final[dict[FaultKind, int]] = {
    FaultKind.delay: 800,
    FaultKind.reorder: 400,
    FaultKind.half_open: 30_000,
    FaultKind.mute: 30_000,
    FaultKind.stale_book: 5_000,
    FaultKind.replica_lag: 1_500,
    FaultKind.algo_lag: 800,
    FaultKind.stuck_triggering: 5_000,
    FaultKind.symbol_status: 120_000,
    FaultKind.hedge_mode: 60_000,
    FaultKind.clock_skew: 400,
    FaultKind.clock_step: 1_500,
    FaultKind.outage: 120_000,
    FaultKind.restart_keep: 5_000,
    FaultKind.restart_lose: 5_000,
}
"""How long a fault lasts, or how far it goes, in ms, when its rule says nothing."""


class FaultRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One order to the fates. A field that a kind does not use is ignored by it."""

    kind: FaultKind
    rate: float = 0.0
    """Probability per opportunity; acts: expected times per venue hour. 0 with a `count` strikes the first ones."""
    path: str = ""
    """Glob. Requests: "POST /fapi/v1/order"; frames: stream name, route, or "private ORDER_TRADE_UPDATE"; conditional
    orders: "closePosition BTCUSDT" or "quantity BTCUSDT". Empty matches all."""
    count: int = 0
    """Strikes at most so often; 0 is without limit."""
    after_ms: int = 0
    """Sleeps so many real ms first."""
    for_ms: int = 0
    """Awake for so many real ms, then over; 0 is for ever."""
    ms: int = 0
    """How long or how far, by kind; 0 takes `DEFAULT_MS`. Real ms on the network and for outages, venue ms else.
    Delays are drawn up to it, see `share`."""
    status: int = 0
    """HTTP status of `http`; 0 draws one."""
    code: int = 0
    """Venue error code of `http`."""
    text: str = ""
    """Body or message of `http`; the status of `symbol_status`; "stop" or "target" for `cancel_elsewhere`; "reject" or
    "expire" for `stop_rejected_at_trigger`; "request" or "answer" for which of the two a `delay` holds up; "force" for
    a `hedge_mode` that the venue would refuse because something is open."""
    retry_after_s: int = 0
    """Retry-After of `rate_limited`, `banned` and an `http` 429, 418 or 403; 0 takes 2, 120 and none."""
    symbol: str = ""
    """Where an act happens; empty draws one that matters."""
    side: str = ""
    """BUY or SELL of `trade_elsewhere`; empty draws one."""
    qty: str = ""
    """Base quantity of `trade_elsewhere`; empty takes a share of the position."""
    share: float = -1.0
    """Fraction, by kind: how often the venue acted although it told of a failure (`http`, `unknown_error`,
    `reset_before`; default 0.5 where the venue's words leave it open); of the position (`trade_elsewhere`, `adl`); the
    rate of `funding`; 1 makes a `delay`, `reorder` or `algo_lag` exactly as long as `ms`. Negative takes the default.
    """
    size: int = 0
    """Bytes of `huge_frame`; 0 is 64 MiB."""


class Verdict(msgspec.Struct, frozen=True):
    """What happens to one REST request."""

    lose_request: bool = False
    """It never arrives, and no answer comes."""
    lose_answer: bool = False
    """The venue acts, and no answer comes."""
    delay_ms: int = 0
    """Real ms before the venue sees it."""
    answer_delay_ms: int = 0
    """Real ms before the answer leaves."""
    copies: int = 1
    """How often the venue sees it; the client hears the first answer."""
    reset: str = ""
    """The connection is reset: "before" the answer (`handled` says whether the venue acted), in the "mid" of it, or
    "after" it arrived whole (the next request on that connection dies)."""
    reply: Reply | None = None
    """Said instead of the honest answer."""
    handled: bool = True
    """False: the venue never acted on it."""
    mangle: int = 0
    """Not 0: the body of the answer goes through `mangled(body, mangle)`."""
    kinds: tuple[FaultKind, ...] = ()
    """What struck."""


class FrameVerdict(msgspec.Struct, frozen=True):
    """What happens to one stream frame."""

    frames: tuple[tuple[int, str | bytes], ...]
    """(real ms to wait, payload): text is a payload like any other, bytes are the raw frame. Empty: lost."""
    disconnect: bool = False
    """The connection is cut after these frames."""
    deaf: bool = False
    """From here on the connection hears and says nothing at all, pings included, and stays open."""
    kinds: tuple[FaultKind, ...] = ()
    """What struck."""


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something that happens in the world; the fields mean what they mean in `FaultRule`."""

    kind: FaultKind
    symbol: str = ""
    side: str = ""
    qty: str = ""
    share: float = -1.0
    ms: int = 0
    text: str = ""

    @property
    def span_ms(self) -> int:
        """How long or how far, ms."""
        return self.ms or DEFAULT_MS.get(self.kind, 0)
