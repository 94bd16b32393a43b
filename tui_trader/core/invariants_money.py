"""Watches money while trading: each trade once (I6), fills = position = venue (I7), one plan (I9), exact money (I17).

Trades, payments and the venue's words about positions and the wallet are counted here a second time, from the events.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

import msgspec

from tui_trader.core import events as ev
from tui_trader.core.commands import Command, Record
from tui_trader.core.orders import parse_client_id
from tui_trader.core.state import EngineState
from tui_trader.core.trace import Breach
from tui_trader.core.types import ZERO, Channel

TRADES_KEPT = 20_000
DIFFERS_S = 5.0
"""A difference from the venue that nobody reconciles for so long is one that nobody has noticed."""
CLOCK_SLACK_S = 1.0
"""How much earlier than its plan's first row a fill may be stamped: the venue's clock is estimated, not read."""
WALLET_S = 150.0
WALLET_WORDS = 5
"""How long, and over how many snapshots, a wallet must disagree: funding is asked once a minute, so it comes late."""
WALLET_AGREED = 3
"""Snapshots that must agree with the first one before a difference is held against anybody."""
ROUNDING = Decimal("0.00000001")
"""The venue's amounts have eight decimals, so each booking may be off by half of the last, and the wallet, too."""
CASH = frozenset({"USDT", ""})
BOOKED_REASONS = frozenset({"ORDER", "FUNDING_FEE", ""})
"""Reasons of a wallet change that fills and funding explain; any other (a transfer, insurance) starts the sum anew."""
MONEY: dict[str, tuple[str, ...]] = {
    "fills": ("qty", "price", "fee", "realized_pnl"),
    "trades": ("qty", "entry", "exit", "pnl", "fees", "funding", "stop"),
    "funding": ("amount",),
    "orders": ("filled_qty", "avg_price"),
    "equity": ("equity", "wallet", "day_pnl"),
    "positions": ("qty", "entry_price"),
}
"""Columns that hold exact amounts, by table."""


MONEY_EVENTS: frozenset[type] = frozenset(
    (ev.Fill, ev.AccountSnapshot, ev.PositionUpdate, ev.FundingPayment, ev.BalanceUpdate, ev.LinkDown)
)
"""Events that ``MoneyWatch.event`` takes."""


class Word(msgspec.Struct, frozen=True):
    """The venue's word about a position, and the venue time it is true for."""

    qty: Decimal
    at: int


class Wallet(msgspec.Struct, kw_only=True):
    """The wallet when the sum of bookings began, and for how long it has disagreed with them since."""

    base: Decimal  # USDT, by the snapshot that the sum began with
    asked_ms: int  # when that was asked for, and when it came
    told_ms: int
    booked: Decimal = ZERO  # USDT since then: results, fees, funding
    bookings: int = 0  # how many; each may be rounded
    agreed: int = 0  # snapshots that agreed; a beginning counts only with some
    wrong_ms: int = 0  # when the present disagreement began, 0 for none
    wrong_words: int = 0  # snapshots that disagreed since


class MoneyWatch:
    """Counts what is traded and paid, and compares it with what the engine and the venue say."""

    def __init__(self, state: EngineState, trade_ids: Iterable[str] = ()) -> None:
        self._state = state
        self._seen: OrderedDict[str, None] = OrderedDict.fromkeys(trade_ids)
        self._paid: OrderedDict[str, None] = OrderedDict()
        self._local = {p.symbol: p.qty for p in state.portfolio.positions.values()}
        self._stream: dict[str, Word] = {}
        self._listed: dict[str, Word] = {}
        self._last_fill: dict[str, int] = {}
        self._differs: dict[str, int] = {}
        self._booked_ms = 0
        self.wallet: Wallet | None = None

    # --- what comes in ---

    def event(self, event: ev.Event) -> Iterator[Breach]:
        """Take a fact of the account after the engine has taken it."""
        if isinstance(event, ev.Fill):
            yield from self._fill(event)
        elif isinstance(event, ev.AccountSnapshot):
            yield from self._snapshot(event)
        elif isinstance(event, ev.PositionUpdate):
            known = self._stream.get(event.symbol)
            at = event.venue_ts or event.ts
            if known is None or at >= known.at:
                self._stream[event.symbol] = Word(event.qty, at)
        elif isinstance(event, ev.FundingPayment):
            self._pay(event)
        elif isinstance(event, ev.BalanceUpdate):
            if event.reason not in BOOKED_REASONS:
                self.wallet = None
            yield from self._finite("wallet", "", {"wallet": event.wallet})
        elif isinstance(event, ev.LinkDown) and event.channel is Channel.PRIVATE:
            # What is transferred meanwhile is never told.
            self.wallet = None

    def _fill(self, fill: ev.Fill) -> Iterator[Breach]:
        new = self._book(fill)
        signed = fill.qty * fill.side.sign
        before, after = self._moved(fill.symbol)
        change = after - before
        if not new and change != 0:
            words = (
                f"trade {fill.trade_id} of {fill.symbol} was counted twice: the position went from {before} to {after}"
            )
            yield Breach(invariant="I6", symbol=fill.symbol, subject=fill.trade_id, words=words)
        elif change not in (ZERO, signed):
            words = f"trade {fill.trade_id} of {signed} moved the position of {fill.symbol} by {change}"
            yield Breach(invariant="I7", symbol=fill.symbol, subject=fill.trade_id, words=words)

    def _moved(self, symbol: str) -> tuple[Decimal, Decimal]:
        """The position before and after; from now on the new one is what was before."""
        before, after = self._local.get(symbol, ZERO), self._state.portfolio.position(symbol).qty
        self._local[symbol] = after
        return before, after

    def _book(self, fill: ev.Fill) -> bool:
        """Count a trade id; whether it is new."""
        key = f"{fill.symbol}:{fill.trade_id}"
        if key in self._seen:
            return False
        _keep(self._seen, key)
        self._last_fill[fill.symbol] = max(self._last_fill.get(fill.symbol, 0), fill.venue_ts)
        if fill.client_id.startswith("autoclose-"):
            # The insurance fund takes or gives, which no fill tells.
            self.wallet = None
        self._add(fill.realized_pnl - (fill.fee if fill.fee_asset in CASH else ZERO), fill.venue_ts)
        return True

    def _pay(self, payment: ev.FundingPayment) -> None:
        if payment.tran_id not in self._paid:
            _keep(self._paid, payment.tran_id)
            self._add(payment.amount, payment.venue_ts)

    def _ledger(self, snapshot: ev.AccountSnapshot) -> None:
        for payment in snapshot.funding:
            self._pay(payment)
        for row in snapshot.transfers:
            if row.tran_id not in self._paid:
                _keep(self._paid, row.tran_id)
                self.wallet = None

    def _add(self, amount: Decimal, at: int) -> None:
        self._booked_ms = max(self._booked_ms, at)
        wallet = self.wallet
        if wallet is None or at < wallet.asked_ms:
            return
        if at <= wallet.told_ms:
            # Whether the first word about the wallet contained it cannot be known.
            self.wallet = None
            return
        wallet.booked += amount
        wallet.bookings += 1

    def _snapshot(self, snapshot: ev.AccountSnapshot) -> Iterator[Breach]:
        sums: dict[str, list[ev.Fill]] = {}
        for fill in snapshot.fills:
            if self._book(fill):
                sums.setdefault(fill.symbol, []).append(fill)
        self._ledger(snapshot)
        told = {p.symbol: p.qty for p in snapshot.positions}
        for symbol, position in self._state.portfolio.positions.items():
            before, after = self._local.get(symbol, ZERO), position.qty
            if before == after:
                continue
            self._local[symbol] = after
            if after != told.get(symbol, ZERO) and not self._explained(symbol, after - before, sums.get(symbol, [])):
                words = f"the position of {symbol} went from {before} to {after} without a fill or the venue's word"
                yield Breach(invariant="I7", symbol=symbol, subject=symbol, words=words)
        if not snapshot.complete or snapshot.hedge_mode:
            return
        # A symbol that was never traded here needs no word that it is flat.
        for symbol in told.keys() | self._last_fill.keys() | self._stream.keys() | self._listed.keys():
            self._listed[symbol] = Word(told.get(symbol, ZERO), snapshot.asked_at)
        yield from self._finite("wallet", "", {"wallet": snapshot.wallet})
        yield from self._balance(snapshot)

    def _explained(self, symbol: str, change: Decimal, fills: list[ev.Fill]) -> bool:
        taken = self._state.portfolio.position(symbol).taken_ms
        everything = sum((f.qty * f.side.sign for f in fills), ZERO)
        later = sum((f.qty * f.side.sign for f in fills if f.venue_ts >= taken), ZERO)
        return change in (everything, later)

    # --- the wallet ---

    def _balance(self, snapshot: ev.AccountSnapshot) -> Iterator[Breach]:
        wallet = self.wallet
        if wallet is None and self._booked_ms >= snapshot.asked_at:
            # Whether this wallet contains the newest booking cannot be known; the next snapshot's does.
            return
        if wallet is None:
            self.wallet = Wallet(base=snapshot.wallet, asked_ms=snapshot.asked_at, told_ms=snapshot.ts)
            return
        off = snapshot.wallet - wallet.base - wallet.booked
        if abs(off) <= ROUNDING * (2 + wallet.bookings) / 2:
            wallet.wrong_ms = wallet.wrong_words = 0
            wallet.agreed += 1
            return
        if wallet.agreed < WALLET_AGREED:
            # The first word may have come from a replica that lags behind: it is no beginning until others agree.
            self.wallet = Wallet(base=snapshot.wallet, asked_ms=snapshot.asked_at, told_ms=snapshot.ts)
            return
        wallet.wrong_ms = wallet.wrong_ms or self._state.now
        wallet.wrong_words += 1
        lasted = self._state.now - wallet.wrong_ms
        if wallet.wrong_words >= WALLET_WORDS and lasted >= self._state.ms(WALLET_S):
            self.wallet = None
            words = (
                f"the wallet is {off:+f} USDT away from what fills, fees and funding explain "
                f"({wallet.bookings} bookings of {wallet.booked:+f}); compare with the venue's ledger"
            )
            yield Breach(invariant="I17", symbol="", subject="wallet", words=words)

    # --- what time brings ---

    def check(self) -> Iterator[Breach]:
        """What time has made a breach; call it every second or two."""
        for symbol, position in self._state.portfolio.positions.items():
            after, before = position.qty, self._local.get(symbol, ZERO)
            if after is not before and before != after:
                self._local[symbol] = after
                words = f"the position of {symbol} went from {before} to {after} without a fill"
                yield Breach(invariant="I7", symbol=symbol, subject=symbol, words=words)
            if symbol in self._stream or symbol in self._listed:
                yield from self._agrees(symbol, after)

    def _agrees(self, symbol: str, local: Decimal) -> Iterator[Breach]:
        state = self._state
        words = self._words(symbol)
        undecided = not words or symbol in state.reconciling or not state.reconciled_ms or state.resync_ms
        if undecided or any(w.qty == local for w in words):
            self._differs.pop(symbol, None)
            return
        since = self._differs.setdefault(symbol, state.now)
        if state.now - since > state.ms(DIFFERS_S):
            told = max(words, key=lambda w: w.at).qty
            text = f"{symbol}: {local} is counted here, the venue holds {told}, and nobody reconciles it"
            yield Breach(invariant="I7", symbol=symbol, subject=symbol, words=text)

    def _words(self, symbol: str) -> list[Word]:
        """What the venue said after the newest fill; a snapshot asked in the same ms may be from before it."""
        filled = self._last_fill.get(symbol, 0)
        stream, listed = self._stream.get(symbol), self._listed.get(symbol)
        words = [stream] if stream is not None and stream.at >= filled else []
        return [*words, listed] if listed is not None and listed.at > filled else words

    # --- what is written down ---

    def records(self, commands: list[Command], journalled_ms: Callable[[int], int | None]) -> Iterator[Breach]:
        """Check rows with money and the attribution of fills."""
        for command in commands:
            if type(command) is not Record or command.kind not in MONEY:
                continue
            data = command.data
            yield from self._finite(command.kind, str(data.get("symbol", "")), data)
            if command.kind == "fills":
                yield from self._attributed(data, journalled_ms)

    def _finite(self, kind: str, symbol: str, data: dict[str, object]) -> Iterator[Breach]:
        for name, value in data.items():
            wrong = isinstance(value, float) and (name in MONEY.get(kind, ()) or not math.isfinite(value))
            if wrong or (isinstance(value, Decimal) and not value.is_finite()):
                words = f"{name} of {kind}{f' of {symbol}' if symbol else ''} is {value!r}, which is no exact amount"
                yield Breach(invariant="I17", symbol=symbol, subject=f"{kind}.{name}", words=words)

    def _attributed(self, data: dict[str, object], journalled_ms: Callable[[int], int | None]) -> Iterator[Breach]:
        plan_id, at = data.get("plan_id"), data.get("venue_ts")
        if not isinstance(plan_id, int) or not isinstance(at, int):
            return
        client_id, venue_id = str(data.get("client_id", "")), str(data.get("venue_id", ""))
        parts = parse_client_id(client_id)
        order = self._state.ledger.find(client_id, venue_id)
        if (parts is not None and parts.plan_id == plan_id) or (order is not None and order.plan_id == plan_id):
            return
        began = journalled_ms(plan_id)
        if began is None or at < began - self._state.ms(CLOCK_SLACK_S):
            symbol, trade = str(data.get("symbol", "")), str(data.get("trade_id", ""))
            words = f"trade {trade} of {symbol} was booked to plan {plan_id}, which began after it"
            yield Breach(invariant="I9", symbol=symbol, subject=trade, words=words)


def _keep(found: OrderedDict[str, None], key: str) -> None:
    found[key] = None
    if len(found) > TRADES_KEPT:
        found.popitem(last=False)
