"""The engine's memory: one object, written only inside ``Engine.process``."""

from __future__ import annotations

from collections import deque
from decimal import Decimal

import msgspec

from tui_trader.core.candles import CandleBook
from tui_trader.core.commands import Announce, Command, Record, RequestSnapshot
from tui_trader.core.events import BookDepth
from tui_trader.core.gate import Exposure
from tui_trader.core.instruments import Instrument
from tui_trader.core.limits import DISABLED, LossLimits, OrderRate
from tui_trader.core.oco import Plan
from tui_trader.core.orders import OrderLedger
from tui_trader.core.portfolio import Portfolio
from tui_trader.core.refusals import LeverageRefusal
from tui_trader.core.regime import Regime
from tui_trader.core.settings import Settings
from tui_trader.core.signals import Strategy
from tui_trader.core.sizing import effective_leverage
from tui_trader.core.strategy_rows import SignalRow
from tui_trader.core.tiers import Classifier, DynamicTiers
from tui_trader.core.trained import Resolved, TrainedBook, TrainedSet
from tui_trader.core.types import ZERO, Channel, Leg, Refusal, Severity, Side, Tier, VenueBook, dec
from tui_trader.core.universe import SymbolMetrics, Universe
from tui_trader.core.views import EquityPoint, LogRow, TradeRow

CONDITIONALS_MAX = 200
"""Conditional orders that Binance lets an account have at a time."""

CONDITIONALS_PER_POSITION = 2
"""A stop and, while it is replaced, the next one."""

STORY_KEPT = 300
"""Sentences kept of each symbol, so that a position's story outlives the log of a busy night."""

TRADES_KEPT = 200

SNAPSHOT_EVERY_S = 6.0
SNAPSHOT_BURST = 4.0
"""The pace of snapshots asked for: at weight 90 each, under half of Binance's 2,400 a minute."""


class ClosedTrade(msgspec.Struct, kw_only=True):
    """A closed position's exact result in USDT, by its plan's id; ``risk`` is the initial risk that ``r`` counts in."""

    symbol: str
    opened_ms: int
    closed_ms: int
    pnl: Decimal
    funding: Decimal
    risk: Decimal


class LooseFunding(msgspec.Struct, kw_only=True):
    """Funding of the account, USDT, that belongs to no trade of this store."""

    amount: Decimal = ZERO
    payments: int = 0


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows at start. ``plans`` are bodies of open plans, ``orders`` rows of their orders,
    ``trade_ids`` "symbol:id" of fills of the last 48 h, ``equity`` (ts, equity) of the last 24 h.
    """

    next_plan_id: int = 1
    plans: tuple[dict[str, object], ...] = ()
    orders: tuple[dict[str, object], ...] = ()
    trade_ids: tuple[str, ...] = ()
    state: dict[str, object] = {}
    equity: tuple[tuple[int, float], ...] = ()
    trades: tuple[dict[str, object], ...] = ()
    fills_cursor_ms: int = 0
    funding_ids: tuple[str, ...] = ()
    """Funding payments that are booked already, of the last 48 h."""
    loose_funding: tuple[str, ...] = ()
    """The amounts of those that belong to no trade, USDT."""
    trained: tuple[TrainedSet, ...] = ()
    trained_results: tuple[tuple[str, float], ...] = ()
    """Trades of trained sets, oldest first: the set's identity and the result in R."""
    signals: tuple[dict[str, object], ...] = ()
    """The last rows of signals, newest first."""


BLIP_S = 3.0
"""A link that is back so soon was never really away: one request that fails at each try must not look like outages."""


class ChannelState(msgspec.Struct, kw_only=True):
    """Health of one channel, kept by ``core.links``. Times in venue ms, 0 for never."""

    up: bool = False
    since_ms: int = 0  # up since; a loss of a moment does not interrupt it
    down_ms: int = 0  # lost at
    heard_ms: int = 0  # last heard to stand
    latency_ms: float = 0.0  # real ms
    reason: str = "not connected yet"  # why it is down
    until_ms: int = 0  # until then the venue asked for silence
    told_ms: int = 0  # when a loss was last said
    untold: int = 0  # losses since then that were only counted


def decimals(step: Decimal) -> int:
    """Number of decimal places of a tick or step size."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


class EngineState:
    """Everything the engine knows. Times in venue ms, 0 for never; a text that is "" says that there is no such reason.

    Durations given in real seconds are turned into venue ms by ``ms``.
    """

    def __init__(
        self, settings: Settings, strategies: dict[str, Strategy], *, mode: str, venue: str, epoch: str, rate: float
    ) -> None:
        self.settings = settings  # replaced by ``adopt_settings`` only
        self.strategies = strategies
        self.trained = TrainedBook()
        self.mode = mode
        self.venue = venue
        self.epoch = epoch  # which start of which store; part of every client id
        self.rate = rate  # venue ms per real ms
        self.oco_note = ""  # where one exit cancels the other, for the console
        self.now = 0  # the newest event's time; it never goes back
        # The market, by symbol.
        self.instruments: dict[str, Instrument] = {}
        self.metrics: dict[str, SymbolMetrics] = {}
        self.candles: dict[str, CandleBook] = {}
        self.depth: dict[str, BookDepth] = {}
        self.classifier = Classifier(settings.tiers)
        self.dynamic_tiers = DynamicTiers()
        self.universe = Universe(settings.universe)
        self.universe_since_ms = 0  # the first choice of the universe
        self.always: tuple[str, ...] = ()  # symbols traded whatever the universe chooses
        self.watching: tuple[str, ...] = ()  # symbols whose market data is subscribed
        self.history_asked: dict[str, int] = {}  # by symbol, when its minutes were last asked for
        self.warmup_looked: dict[str, int] = {}  # by symbol, when its higher timeframes were last looked at
        self.regimes: dict[tuple[str, str], Regime | None] = {}  # of symbol and timeframe at its last close
        # The account.
        self.portfolio = Portfolio()
        self.ledger = OrderLedger()
        self.plans: dict[str, Plan] = {}  # by symbol, from the intent until CLOSED
        self.next_plan_id = 1
        self.losses = LossLimits(settings.limits)
        self.order_rate = OrderRate()
        self.channels: dict[Channel, ChannelState] = {c: ChannelState() for c in Channel}
        self.channels[Channel.STORE] = ChannelState(up=True, reason="")
        self.skew_ms = 0.0  # of the venue's clock against ours, as it was measured last
        # Why no entry is made. Only ``killed``, the pauses and ``halted`` are stored.
        self.armed = False  # a person allowed entries for this account
        self.killed = ""  # why the kill switch is latched, until a person re-arms
        self.stopping = ""  # why the session ends; never taken back
        self.halted = ""  # what the engine or a worker cannot answer for, until a person resumes all entries
        self.halted_stored = ""  # what of it is in the store
        self.flatten_ms = 0  # since "flatten all", until a later snapshot agrees or a resume: what is found is closed
        self.hedge_mode = False
        self.hedge_ms = 0  # the newest word that it is hedge mode: only a later one ends it
        self.paused_all = False
        self.paused_symbols: set[str] = set()  # by hand, or after the venue closed a position there
        self.paused_strategies: set[str] = set()  # by hand, or in ``failed_strategies``
        self.failed_strategies: dict[str, str] = {}  # name: what went wrong, until it is resumed
        # Comparing with the venue (``core.reconcile``).
        self.read_in_part = False  # the last snapshot was incomplete, which has been said
        self.reconciled_ms = 0  # the last whole comparison; no order is sent before the first
        self.reconciling: dict[str, int] = {}  # symbols that differ from the venue, and since when
        self.uncompared: set[str] = set()  # symbols that the first comparison could not decide: the next is their first
        self.snapshot_asked_ms = 0  # when the last snapshot was asked for here
        self.snapshot_asked_at = 0  # when the one compared last was asked for
        self.looked_ms = 0  # the same, or the stored one before the first: fills from before are known
        self.foreign_conditionals = 0  # conditional orders of others, by the last snapshot or a refusal for no room
        self.snapshot_credit = SNAPSHOT_BURST  # snapshots that may be asked for at once, as of ``snapshot_credit_ms``
        self.snapshot_credit_ms = 0
        self.snapshot_due = ""  # why one will be asked for as soon as the pace allows
        self.resync_ms = 0  # when the private stream came back, until a snapshot asked for later was compared
        # Requests that are tried again.
        self.leverage_set: dict[str, int] = {}  # by symbol, as accepted in this session
        self.leverage_retry: dict[str, int] = {}  # by symbol, not asked again before
        self.leverage_refused: dict[str, LeverageRefusal] = {}
        self.leg_retry: dict[tuple[int, Leg], int] = {}  # by plan and leg, not sent again before
        self.leg_failures: dict[tuple[int, Leg], int] = {}  # refusals in a row; both go when the venue is reached again
        self.cooldown_until: dict[str, int] = {}  # by symbol, no entry by a strategy before
        self.approvals = 0  # orders approved by this process
        # What is told.
        self.alarm = ""  # the banner's sentence
        self.alarm_ms = 0  # when it was said; the banner shows it for a minute
        self.unprotected_s: deque[float] = deque(maxlen=1_000)  # ended stretches without a proven stop, real seconds
        self.violations = 0  # invariants found broken
        self.equity_points: deque[EquityPoint] = deque(maxlen=1_440)
        self.equity_minute = 0  # the last one recorded, in minutes since 1970
        self.second_ms = 0  # when the work of each second was done last
        self.signals: deque[SignalRow] = deque(maxlen=200)  # newest first
        self.trades: deque[TradeRow] = deque(maxlen=TRADES_KEPT)  # newest first
        self.closed: dict[int, ClosedTrade] = {}  # by plan id, oldest first: funding may be told late
        self.loose_funding = LooseFunding()
        self.log: deque[LogRow] = deque(maxlen=500)  # newest last
        self.stories: dict[str, deque[LogRow]] = {}  # by symbol, newest last
        self.out: list[Command] = []  # what the event in work leads to; ``Engine.process`` empties it

    def ms(self, seconds: float) -> int:
        """Real seconds as venue ms."""
        return int(seconds * 1000 * self.rate)

    def say(self, severity: Severity, text: str, symbol: str = "") -> None:
        """A sentence for the log; an alarm also raises the banner."""
        row = LogRow(ts=self.now, severity=severity, text=text, symbol=symbol)
        self.log.append(row)
        if symbol:
            self.stories.setdefault(symbol, deque(maxlen=STORY_KEPT)).append(row)
        self.out.append(Announce(ts=self.now, severity=severity, text=text, symbol=symbol))
        if severity is Severity.ALARM:
            self.alarm, self.alarm_ms = text, self.now

    def store(self, kind: str, data: dict[str, object], *, durable: bool = False) -> None:
        """A row for the store."""
        self.out.append(Record(ts=self.now, kind=kind, data=data, durable=durable))

    def save_plan(self, plan: Plan, *, durable: bool = False) -> None:
        """The plan's whole body, so that a restart can go on from here."""
        self.store(
            "plans",
            {
                "plan_id": plan.plan_id,
                "symbol": plan.symbol,
                "side": plan.side.value,
                "origin": plan.origin.value,
                "strategy": plan.strategy,
                "opened_ms": plan.opened_ms,
                "closed_ms": plan.closed_ms or None,
                "body": msgspec.to_builtins(plan),
            },
            durable=durable,
        )

    def save_pauses(self) -> None:
        """What a person paused, or the venue's liquidation did, stays paused after a restart."""
        self.halted_stored = self.halted
        value = {
            "all": self.paused_all,
            "halted": self.halted,
            "symbols": sorted(self.paused_symbols),
            "strategies": sorted(self.paused_strategies),
        }
        self.store("state", {"key": "pauses", "value": value}, durable=True)

    def ask_snapshot(self, reason: str, *, repeated: bool = False) -> None:
        """Ask for a snapshot now, or as soon as the pace allows.

        A whole snapshot costs the venue's request budget dearly (I13): a few may be asked within seconds, in the long
        run no more than one in ``SNAPSHOT_EVERY_S``. What is ``repeated`` by the caller is not kept for later.
        """
        earned = (self.now - self.snapshot_credit_ms) / self.ms(SNAPSHOT_EVERY_S)
        credit = min(SNAPSHOT_BURST, self.snapshot_credit + earned)
        if credit < 1.0 or self.now - self.snapshot_asked_ms < self.ms(1.0):
            self.snapshot_due = self.snapshot_due or ("" if repeated else reason)
            return
        self.snapshot_credit, self.snapshot_credit_ms = credit - 1.0, self.now
        self.snapshot_asked_ms, self.snapshot_due = self.now, ""
        self.out.append(RequestSnapshot(ts=self.now, reason=reason))

    def fills_cursor_ms(self) -> int:
        """From when on the venue's fills may be unknown here, venue ms: the last complete look, or earlier when an
        order is in doubt or its fills were not heard. A fill heard meanwhile says nothing about those before it.
        """
        cursor = self.looked_ms or self.portfolio.fills_cursor_ms
        doubtful = (o.sent_ms for o in self.ledger if o.sent_ms and (o.unbooked > 0 or o.unresolved))
        return min(cursor, min(doubtful, default=cursor))

    def count_conditionals_full(self) -> None:
        """The venue says that there is no room for another conditional order: entries wait for the next snapshot."""
        self.foreign_conditionals = max(self.foreign_conditionals, CONDITIONALS_MAX)

    def conditionals(self) -> int:
        """Conditional orders at the venue, foreign ones included, as far as is known."""
        own = sum(1 for order in self.ledger.live() if order.book is VenueBook.ALGO)
        return own + self.foreign_conditionals

    def note_mode(self, hedge: bool, asked_at: int) -> None:
        """The account's position mode, as the venue said it to a question of ``asked_at``; an older word than the one
        that it is in hedge mode ends nothing. Entries wait in hedge mode; nothing can be compared or protected then.
        """
        if hedge and not self.hedge_mode:
            text = (
                "the account is in hedge mode, in which exits are refused: no stop can be placed and nothing closed "
                "from here; switch the position mode to one-way at the venue, entries wait for it"
            )
            self.say(Severity.ALARM, text)
        elif self.hedge_mode and not hedge:
            if asked_at < self.hedge_ms:
                return
            self.say(Severity.INFO, "the account is in one-way mode again")
        self.hedge_mode = hedge
        if hedge:
            self.hedge_ms = max(self.hedge_ms, asked_at)

    def require_snapshot(self, reason: str) -> None:
        """Ask for a snapshot now, whatever the pace: several asked for in one moment are served by one."""
        earned = (self.now - self.snapshot_credit_ms) / self.ms(SNAPSHOT_EVERY_S)
        self.snapshot_credit = max(-SNAPSHOT_BURST, min(SNAPSHOT_BURST, self.snapshot_credit + earned) - 1.0)
        self.snapshot_credit_ms = self.snapshot_asked_ms = self.now
        self.snapshot_due = ""
        self.out.append(RequestSnapshot(ts=self.now, reason=reason, hurry=True))

    def plan_of(self, plan_id: int) -> Plan | None:
        """The open plan with this id."""
        return next((p for p in self.plans.values() if p.plan_id == plan_id), None)

    def ladder_event(self, plan: Plan, event: str, leg: Leg, price: Decimal, qty: Decimal, why: str) -> None:
        """One step of a ladder, for the store."""
        self.store(
            "ladder_events",
            {
                "ts": self.now,
                "plan_id": plan.plan_id,
                "symbol": plan.symbol,
                "event": event,
                "leg": leg.value,
                "price": price,
                "qty": qty,
                "why": why,
            },
        )

    def timeframe_of(self, strategy: Strategy) -> str:
        """The timeframe on which ``strategy`` runs."""
        return self.settings.strategies.timeframes.get(strategy.name, strategy.timeframe)

    def optimized_parameters(self, symbol: str, strategy: Strategy, regime: Regime | None, timeframe: str) -> Resolved:
        """The parameters that ``strategy`` runs with, and where they come from."""
        book = self.trained if self.settings.training.use_trained else TrainedBook()
        configured = self.settings.strategies.parameters_of(strategy.name)
        return book.optimized_parameters(symbol, self.venue, strategy, regime, timeframe, configured)

    def trigger_price(self, symbol: str) -> Decimal:
        """The price that decides break-even and trailing: mark, else mid, else 0 when neither is fresh."""
        metrics = self.metrics.get(symbol)
        if metrics is None:
            return ZERO
        if metrics.mark > 0 and self.now - metrics.mark_ms <= self.ms(self.settings.data.mark_stale_after_s):
            return dec(metrics.mark)
        fresh = self.now - metrics.book_ms <= self.ms(self.settings.data.stale_after_s)
        return dec(metrics.mid) if fresh and metrics.bid > 0 and metrics.ask > 0 else ZERO

    def valued_at(self, symbol: str) -> Decimal:
        """The price that positions are valued at: the trigger price; when nothing is fresh, the newest of what was
        heard and the mark of the last snapshot. 0 when unknown, and for a contract without rules that is not settled
        in USDT: its result is not in the wallet that is watched.
        """
        position, metrics = self.portfolio.position(symbol), self.metrics.get(symbol)
        if metrics is None:
            return position.mark if symbol.partition("_")[0].endswith("USDT") else ZERO
        heard, heard_ms = (metrics.mark, metrics.mark_ms) if metrics.mark else (metrics.mid, metrics.book_ms)
        newer = position.mark > 0 and (heard <= 0 or position.mark_ms > heard_ms)
        return self.trigger_price(symbol) or (position.mark if newer else dec(heard))

    def open_qty(self, plan: Plan) -> Decimal:
        """What is open in the plan's direction, base units ≥ 0."""
        return max(ZERO, self.portfolio.position(plan.symbol).qty * plan.side.sign)

    def equity(self) -> Decimal | None:
        """Wallet plus unrealised P&L, USDT; None before the wallet is known, and while the first price of an open
        position is awaited: an equity without an old loss would show it as a new one when the price comes.
        """
        wallet = self.portfolio.wallet
        if wallet is None:
            return None
        total = wallet
        for position in self.portfolio.open_positions():
            price = self.valued_at(position.symbol)
            if position.entry > 0 and price > 0:
                total += position.unrealized(price)
            elif position.entry > 0 and position.symbol in self.metrics and self._awaits_prices():
                return None
        return total

    def _awaits_prices(self) -> bool:
        """Whether the stream of mark prices is still to tell what it tells at all: all symbols, each second."""
        market = self.channels[Channel.MARKET]
        return not market.up or self.now - market.since_ms <= self.ms(self.settings.data.mark_stale_after_s)

    def exposures(self) -> tuple[Exposure, ...]:
        """Positions and working entries with their notional and margin at effective leverage."""
        found: list[Exposure] = []
        for symbol in {*self.plans, *(p.symbol for p in self.portfolio.open_positions())}:
            found += self._exposures_of(symbol)
        return tuple(found)

    def _exposures_of(self, symbol: str) -> list[Exposure]:
        metrics = self.metrics.get(symbol)
        tier = metrics.tier if metrics is not None else Tier.EXCLUDED
        leverage = effective_leverage(self.settings.sizing, tier)
        if symbol in self.instruments:
            leverage = min(leverage, self.instruments[symbol].max_leverage)
        position, plan = self.portfolio.position(symbol), self.plans.get(symbol)
        mark = self.valued_at(symbol)
        rows: list[tuple[Side, Decimal, Decimal, bool]] = []
        if position.side is not None:
            rows.append((position.side, abs(position.qty), mark or position.entry, False))
        if plan is not None:
            rows += [
                (plan.side, o.remaining, o.price or mark, True)
                for o in self.ledger.of_plan(plan.plan_id)
                if o.leg is Leg.ENTRY and o.remaining > 0
            ]
        return [
            Exposure(
                symbol=symbol, side=side, qty=qty, notional=qty * price, margin=qty * price / leverage, working=working
            )
            for side, qty, price, working in rows
        ]

    def adopt_settings(self, settings: Settings) -> None:
        """Use new settings from now on."""
        self.settings = settings
        self.classifier = Classifier(settings.tiers)
        self.universe.settings = settings.universe
        self.losses.settings = settings.limits
        for metrics in self.metrics.values():
            metrics.tier, metrics.tier_reason = self.classifier.tier(metrics.base_asset)

    def reachable(self) -> bool:
        """Whether signed requests can be expected to work."""
        rest = self.channels[Channel.REST]
        return rest.up and self.now >= rest.until_ms

    def away(self) -> bool:
        """Whether the venue asked for silence, or cannot be reached for longer than a blip."""
        rest = self.channels[Channel.REST]
        return self.now < rest.until_ms or not (rest.up or self.now - rest.down_ms < self.ms(BLIP_S))

    def reachable_since(self) -> int:
        """From when on the venue could be asked, venue ms: the time before does not count against a missing stop."""
        rest = self.channels[Channel.REST]
        return max(rest.since_ms, rest.until_ms)

    def blocks(self, symbol: str = "") -> tuple[Refusal, ...]:
        """Why no entry may be made now, apart from the trade's own merits (I11, I15, I24); all hard."""
        found = [Refusal(code=code, text=text, hard=True) for code, text in self._global_blocks()]
        if symbol:
            found += [Refusal(code=code, text=text, hard=True) for code, text in self._symbol_blocks(symbol)]
        return tuple(found)

    def no_entries(self) -> tuple[Refusal, ...]:
        """All that refuses every entry now, whatever its symbol: the blocks, and the limits that the gate adds."""
        disabled = () if self.settings.limits.enabled else (DISABLED,)
        return (*self.blocks(), *disabled, *self.losses.refusals())

    def _global_blocks(self) -> list[tuple[str, str]]:
        latched = (
            ("killed", self.killed and f"kill switch latched: {self.killed}; re-arm to trade again"),
            ("not_armed", "" if self.armed else "entries are not armed for this account"),
            ("stopping", self.stopping and f"the session is stopping: {self.stopping}"),
            ("hedge_mode", "the account is in hedge mode, in which exits are refused" if self.hedge_mode else ""),
            ("halted", self.halted and f"entries halted: {self.halted}"),
            ("paused", "entries are paused by hand" if self.paused_all else ""),
            ("reconciling", "" if self.reconciled_ms else "the account has not been compared with the venue yet"),
            ("reconciling", "the account is compared anew after the private stream was lost" if self.resync_ms else ""),
            ("stop_room", self._stop_room()),
        )
        return [(code, text) for code, text in latched if text] + self._blind()

    def _stop_room(self) -> str:
        """Why no further position could be given its stop at the venue, or ""."""
        planned = CONDITIONALS_PER_POSITION * (len(self.plans) + 1)
        waiting = self.conditionals()
        if max(waiting, self.foreign_conditionals + planned) + CONDITIONALS_PER_POSITION <= CONDITIONALS_MAX:
            return ""
        return f"{waiting} conditional orders wait at the venue, which takes {CONDITIONALS_MAX}: no room for its stops"

    def _blind(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        if abs(self.skew_ms) > self.settings.data.max_skew_ms:
            found.append(("skew", f"clock skew {self.skew_ms:.0f} ms > {self.settings.data.max_skew_ms:.0f} ms"))
        for channel, state in self.channels.items():
            wait = (state.until_ms - self.now) / 1000 / self.rate
            silence = f"the venue asked for silence for {wait:.0f} s more" if wait > 0 else ""
            if not state.up:
                why = silence or state.reason.rstrip(".")
                found.append(("blind", f"the {channel.shown} link is down ({why})"))
            elif silence:
                found.append(("silence", silence))
        return found

    def _symbol_blocks(self, symbol: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        if symbol in self.paused_symbols:
            found.append(("paused", f"{symbol} is paused until resumed by hand (p)"))
        if symbol in self.reconciling:
            found.append(("reconciling", f"{symbol} differs from the venue and is being reconciled"))
        if symbol in self.plans:
            found.append(("open", f"{symbol} already has a position or a working entry"))
        elif self.portfolio.position(symbol).qty != 0:
            found.append(("open", f"{symbol} has a position that no plan owns yet"))
        return found
