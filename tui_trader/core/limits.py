"""Limits that no person can override in passing: losses, positions, margin, notional, order rate, collar."""

from __future__ import annotations

from collections import deque
from decimal import Decimal

import msgspec

from tui_trader.core.settings import LimitSettings
from tui_trader.core.types import DAY_MS, MINUTE_MS, ZERO, Refusal, Transfer, dec

SAME_TRANSFER_MS = 10 * MINUTE_MS
"""Stream and ledger tell a transfer of one amount within so long of each other, or they tell of two."""
LATE_WORD_MS = MINUTE_MS
"""The stream does not tell later of a transfer: what it tells then is another one of the same amount."""
TRANSFERS_KEPT = 200


class Moved(msgspec.Struct, kw_only=True):
    """A transfer that the starts contain: whether the stream told it, and its number in the ledger, "" until then."""

    ms: int
    amount: Decimal
    streamed: bool = False
    tran_id: str = ""

    def is_same(self, ms: int, amount: Decimal, within_ms: int = SAME_TRANSFER_MS) -> bool:
        """Whether another word of ``ms`` and ``amount`` may be about this transfer."""
        return self.amount == amount and abs(self.ms - ms) <= within_ms


DISABLED = Refusal(code="disabled", text="trading is disabled (TP_ENABLED)", hard=True)


class LossLimits:
    """Today's and total loss against their limits, in equity (realised and unrealised). Days are UTC.

    ``day_start`` and ``baseline`` are equities in USDT; both survive a restart through ``to_state``.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self.settings = settings
        self.day = -1  # the present one, in days since 1970
        self.day_start: Decimal | None = None  # the first equity of the day; transfers move both starts
        self.baseline: Decimal | None = None  # the first equity ever, or that of the re-arming after a total loss
        self.day_ms = self.baseline_ms = 0  # when those equities were taken: transfers from before are in them
        self.moved: list[Moved] = []
        self.daily_reached = False  # until the next day
        self.total_reached = False  # until a person re-arms

    def update(self, now_ms: int, equity: Decimal) -> tuple[str, ...]:
        """Take note of the equity; returns which of "daily" and "total" were newly reached."""
        day = now_ms // DAY_MS
        if self.baseline is None:
            self.baseline, self.baseline_ms = equity, now_ms
        if day != self.day or self.day_start is None:
            self.day, self.day_start, self.day_ms, self.daily_reached = day, equity, now_ms, False
        daily, total = self.amounts(equity)
        found = []
        if not self.daily_reached and daily > 0 and self.day_pnl(equity) <= -daily:
            self.daily_reached = True
            found.append("daily")
        if not self.total_reached and total > 0 and self.total_pnl(equity) <= -total:
            self.total_reached = True
            found.append("total")
        return tuple(found)

    def amounts(self, equity: Decimal | None) -> tuple[Decimal, Decimal]:
        """The daily and total loss limits in USDT: the fixed amount when set, else the fraction of its start."""
        day_start = self.day_start if self.day_start is not None else equity or ZERO
        baseline = self.baseline if self.baseline is not None else equity or ZERO
        daily = self.settings.daily_loss or day_start * dec(self.settings.daily_loss_frac)
        total = self.settings.total_loss or baseline * dec(self.settings.total_loss_frac)
        return daily, total

    def day_pnl(self, equity: Decimal | None) -> Decimal:
        """P&L since 00:00 UTC (or since the first equity of the day), USDT."""
        return ZERO if equity is None or self.day_start is None else equity - self.day_start

    def total_pnl(self, equity: Decimal | None) -> Decimal:
        """P&L since the baseline, USDT."""
        return ZERO if equity is None or self.baseline is None else equity - self.baseline

    def transfer(self, amount: Decimal, ms: int | None = None) -> None:
        """A deposit or withdrawal is not profit or loss: move both starts by it, or those taken before ``ms``."""
        if self.day_start is not None and (ms is None or ms > self.day_ms):
            self.day_start += amount
        if self.baseline is not None and (ms is None or ms > self.baseline_ms):
            self.baseline += amount

    def streamed(self, ms: int, amount: Decimal, *, again: bool = False) -> None:
        """The stream told a transfer at ``ms``; the ledger may have told it already, or, ``again``, the stream."""
        if again and any(m.streamed and m.is_same(ms, amount) for m in self.moved):
            return
        known = next((m for m in self.moved if not m.streamed and m.is_same(ms, amount, LATE_WORD_MS)), None)
        if known is not None:
            known.streamed = True
            return
        self._keep(Moved(ms=ms, amount=amount, streamed=True))
        self.transfer(amount)

    def knows(self, row: Transfer) -> bool:
        """Whether the ledger told this transfer before."""
        return any(m.tran_id == row.tran_id for m in self.moved)

    def ledgered(self, row: Transfer) -> bool:
        """The ledger tells a transfer for the first time; whether the starts had to follow."""
        known = next((m for m in self.moved if not m.tran_id and m.is_same(row.venue_ts, row.amount)), None)
        if known is not None:
            known.tran_id = row.tran_id
            return False
        self._keep(Moved(ms=row.venue_ts, amount=row.amount, tran_id=row.tran_id))
        before = (self.day_start, self.baseline)
        self.transfer(row.amount, row.venue_ts)
        return before != (self.day_start, self.baseline)

    def _keep(self, moved: Moved) -> None:
        self.moved = [*self.moved[1 - TRANSFERS_KEPT :], moved]

    def rearm(self, equity: Decimal | None, now_ms: int) -> None:
        """A person starts over: a total loss that was reached counts from now.

        A smaller one goes on counting: a kill for another reason forgives nothing. A reached daily loss stays until
        00:00 UTC.
        """
        if self.total_reached:
            self.baseline, self.baseline_ms = equity, now_ms
        self.total_reached = False

    def refusals(self) -> tuple[Refusal, ...]:
        """Hard reasons while a loss limit is reached."""
        found = []
        if self.daily_reached:
            text = "the daily loss limit is reached: no new entries until 00:00 UTC"
            found.append(Refusal(code="daily_loss", text=text, hard=True))
        if self.total_reached:
            text = "the total loss limit is reached: a person must re-arm"
            found.append(Refusal(code="total_loss", text=text, hard=True))
        return tuple(found)

    def to_state(self) -> dict[str, object]:
        """Plain values for the store."""
        return {
            "day": self.day,
            "day_start": None if self.day_start is None else str(self.day_start),
            "baseline": None if self.baseline is None else str(self.baseline),
            "day_ms": self.day_ms,
            "baseline_ms": self.baseline_ms,
            "moved": [{**msgspec.structs.asdict(m), "amount": str(m.amount)} for m in self.moved],
            "daily_reached": self.daily_reached,
            "total_reached": self.total_reached,
        }

    @classmethod
    def from_state(cls, settings: LimitSettings, state: dict[str, object], looked_ms: int = 0) -> LossLimits:
        """Take up where ``to_state`` left off; unreadable parts start anew.

        Starts without a date, as an older version kept them, contain what was moved until the account was last looked
        at, ``looked_ms``.
        """
        limits = cls(settings)
        day = state.get("day")
        limits.day = day if isinstance(day, int) else -1
        limits.day_start = _decimal(state.get("day_start"))
        limits.baseline = _decimal(state.get("baseline"))
        limits.day_ms = _moment(state.get("day_ms")) or looked_ms
        limits.baseline_ms = _moment(state.get("baseline_ms")) or looked_ms
        limits.moved = _moved(state.get("moved"))
        limits.daily_reached = bool(state.get("daily_reached"))
        limits.total_reached = bool(state.get("total_reached"))
        return limits


def _decimal(value: object) -> Decimal | None:
    try:
        found = Decimal(str(value)) if value is not None else None
    except ArithmeticError:
        return None
    return found if found is None or found.is_finite() else None


def _moment(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _moved(rows: object) -> list[Moved]:
    found: list[Moved] = []
    for row in rows if isinstance(rows, list) else ():
        try:
            one = msgspec.convert(row, Moved, strict=False)
        except (msgspec.ValidationError, ArithmeticError):
            continue
        if one.amount.is_finite():
            found.append(one)
    return found[-TRANSFERS_KEPT:]


class OrderRate:
    """Orders sent in the last minute of venue time."""

    def __init__(self) -> None:
        self._sent: deque[int] = deque(maxlen=5_000)

    def record(self, now_ms: int) -> None:
        """An order goes out."""
        self._sent.append(now_ms)

    def count(self, now_ms: int) -> int:
        """How many went out in the last 60 s."""
        while self._sent and now_ms - self._sent[0] > MINUTE_MS:
            self._sent.popleft()
        return len(self._sent)


def limit_refusals(
    *,
    settings: LimitSettings,
    positions: int,
    symbol_notional: Decimal,
    added_notional: Decimal,
    entry: Decimal,
    mark: Decimal,
    orders_last_minute: int,
) -> tuple[Refusal, ...]:
    """Hard limits on one more entry: number of positions, notional per symbol, orders per minute, price collar."""
    found = []
    if positions >= settings.max_positions:
        found.append(("max_positions", f"{positions} of {settings.max_positions} positions are open"))
    after = symbol_notional + added_notional
    if after > settings.max_notional_per_symbol:
        found.append(("notional", f"notional {after:,.2f} > {settings.max_notional_per_symbol:,.2f} per symbol"))
    if orders_last_minute >= settings.max_orders_per_minute:
        text = f"{orders_last_minute} orders in the last minute ≥ {settings.max_orders_per_minute}"
        found.append(("order_rate", text))
    if mark <= 0:
        found.append(("mark", "no mark price: the collar cannot be checked"))
    elif abs(entry - mark) / mark > dec(settings.price_collar):
        away = abs(entry - mark) / mark
        found.append(("collar", f"entry {entry} is {away:.2%} from mark {mark} > {settings.price_collar:.2%}"))
    return tuple(Refusal(code=code, text=text, hard=True) for code, text in found)
