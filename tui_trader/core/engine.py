"""The engine: ``process(event) -> commands``, the only writer of state.

Books, candles, strategies, the gate and the executor are steps of one synchronous call, so nothing can change between a
check and the order it approved. Time comes with the events; a mode is a choice of venue and clock, never a branch here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tui_trader.core import (
    adoption,
    entries,
    executor,
    feedback,
    housekeeping,
    links,
    manual,
    reconcile,
    snapshot,
    trades,
    transfers,
    warmup,
)
from tui_trader.core import events as ev
from tui_trader.core.candles import TIMEFRAMES, CandleBook
from tui_trader.core.commands import Command, LoadCandles
from tui_trader.core.invariants import UNHEARD, Watch
from tui_trader.core.settings import Settings
from tui_trader.core.signals import Strategy
from tui_trader.core.state import EngineState, Recovered
from tui_trader.core.tiers import PROMOTED
from tui_trader.core.trained import TrainedSet
from tui_trader.core.types import NOT_CLASSIFIED, Severity
from tui_trader.core.universe import SymbolMetrics
from tui_trader.core.views import Snapshot, TicketPreview

SET_BACK_S = 2.0
"""Events that are older than the newest by less were only overtaken on their way, or by a correction of the clock."""

SETTLED_S = 1.5


class Engine:
    """Owns all trading state. ``clock_rate`` is how many venue ms pass in a real ms (1 for real venues).

    Strategies look at the symbols of ``always`` whether they are in the universe or not; the gate judges every entry.
    """

    def __init__(
        self,
        settings: Settings,
        strategies: dict[str, Strategy],
        *,
        mode: str,
        venue: str,
        epoch: str,
        capabilities_note: str = "",
        clock_rate: float = 1.0,
        armed: bool = True,
        recovered: Recovered | None = None,
        always: tuple[str, ...] = (),
    ) -> None:
        self._state = EngineState(settings, strategies, mode=mode, venue=venue, epoch=epoch, rate=clock_rate)
        self._state.oco_note = capabilities_note
        self._state.armed = armed
        self._state.always = always
        self._sequence = 0
        self._timer_ms = 0  # of the last Timer, by the venue's clock
        recovered = recovered or Recovered()
        housekeeping.recover(self._state, recovered)
        self._watch = Watch(self._state, recovered.trade_ids)
        self._handlers: dict[type, Callable[[Any], None]] = {
            ev.InstrumentsLoaded: self._on_instruments,
            ev.BookTop: self._on_top,
            ev.BookDepth: self._on_depth,
            ev.TradePrint: self._on_trade,
            ev.MarkPrice: self._on_mark,
            ev.Ticker24h: self._on_ticker,
            ev.OpenInterest: self._on_open_interest,
            ev.KlineUpdate: self._on_kline,
            ev.CandleHistory: self._on_history,
            ev.FeedStale: self._on_stale,
            ev.FeedLive: self._on_live,
            ev.LinkUp: lambda e: links.on_up(self._state, e),
            ev.LinkDown: lambda e: links.on_down(self._state, e),
            ev.ClockSkew: self._on_skew,
            ev.WorkerFailed: self._on_worker_failed,
            ev.Timer: self._on_timer,
            ev.Notice: self._on_notice,
            ev.TrainedLoaded: self._on_trained,
            ev.AccountDoubt: self._on_doubt,
            ev.OrderUpdate: lambda e: feedback.on_order_update(self._state, e),
            ev.Fill: self._on_fill,
            ev.PositionUpdate: self._on_position,
            ev.BalanceUpdate: self._on_balance,
            ev.FundingPayment: lambda e: trades.on_funding(self._state, e),
            ev.AccountSnapshot: lambda e: reconcile.on_snapshot(self._state, e),
            ev.SendOutcome: lambda e: feedback.on_send_outcome(self._state, e),
            ev.OpenPosition: lambda e: entries.enter_by_hand(self._state, e),
        }

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._state.settings

    @property
    def fills_cursor_ms(self) -> int:
        """Venue time from which on fills may be unknown here."""
        return self._state.fills_cursor_ms()

    @property
    def state(self) -> EngineState:
        """The state, for tests and runtime checks; write to it only through ``process``."""
        return self._state

    @property
    def watch(self) -> Watch:
        """What watches the invariants, for tests and reports; it only reads the state."""
        return self._watch

    def process(self, event: ev.Event) -> list[Command]:
        """Apply one event, check the invariants, and return what is to be done about it, in order."""
        state = self._state
        if event.ts >= state.now:
            state.now = event.ts
        elif type(event) is ev.Timer:
            self._go_on_although_set_back(event.ts)
        state.out = []
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)
        else:
            manual.handle(state, event)  # type: ignore[arg-type]  # every other event is a UserCommand
        commands, state.out = state.out, []
        if commands or type(event) not in UNHEARD:
            return self._watch.after(event, commands)
        return commands

    def _go_on_although_set_back(self, ts: int) -> None:
        """The venue's clock was set back, or told wrong before. The engine's time never goes back, nor may it stand
        still: a refused stop waits for it. It goes on at half its pace until the venue's clock has caught up.
        """
        if self._timer_ms and self._state.now - ts > self._state.ms(SET_BACK_S):
            self._state.now += max(0, ts - self._timer_ms) // 2

    def view(self, now_ms: int, selected: str, timeframe: str) -> Snapshot:
        """One frozen frame for the console."""
        self._sequence += 1
        return snapshot.build(self._state, now_ms, self._sequence, selected, timeframe)

    def preview(self, ticket: ev.OpenPosition) -> TicketPreview:
        """The consequences of an entry by hand, by the very path that would execute it."""
        return entries.preview(self._state, ticket)

    # --- market ---

    def _metrics(self, symbol: str) -> SymbolMetrics | None:
        return self._state.metrics.get(symbol)

    def _on_instruments(self, event: ev.InstrumentsLoaded) -> None:
        state = self._state
        for instrument in event.instruments:
            state.instruments[instrument.symbol] = instrument
            tier, reason = state.classifier.tier(instrument.base_asset)
            found = state.metrics.get(instrument.symbol)
            if found is None:
                found = SymbolMetrics(symbol=instrument.symbol, base_asset=instrument.base_asset)
                state.metrics[instrument.symbol] = found
            found.status = instrument.status
            if (found.tier_reason, reason) != (PROMOTED, NOT_CLASSIFIED):
                # What is promoted is judged anew at each refresh of the universe, not here.
                found.tier, found.tier_reason = tier, reason
            found.funding_interval_hours = instrument.funding_interval_hours
            executor.on_instrument(state, instrument)
            if instrument.symbol not in state.plans and state.portfolio.position(instrument.symbol).qty != 0:
                state.ask_snapshot(f"{instrument.symbol}: a position waited for the venue's filters to be adopted")

    def _on_top(self, event: ev.BookTop) -> None:
        m = self._metrics(event.symbol)
        if m is None:
            return
        m.bid, m.bid_qty, m.ask, m.ask_qty = event.bid, event.bid_qty, event.ask, event.ask_qty
        m.book_ms = event.ts

    def _on_depth(self, event: ev.BookDepth) -> None:
        m = self._metrics(event.symbol)
        if m is None:
            return
        self._state.depth[event.symbol] = event
        m.bid_depth, m.ask_depth = event.bid_depth, event.ask_depth
        m.bid_reach, m.ask_reach = event.bid_reach, event.ask_reach
        m.synced, m.depth_known, m.depth_ms = event.synced, True, event.ts
        if event.bids and event.asks:
            m.bid, m.bid_qty = event.bids[0]
            m.ask, m.ask_qty = event.asks[0]
            m.book_ms = event.ts

    def _on_trade(self, event: ev.TradePrint) -> None:
        m = self._metrics(event.symbol)
        if m is not None:
            m.last = event.price

    def _on_mark(self, event: ev.MarkPrice) -> None:
        m = self._metrics(event.symbol)
        if m is None:
            return
        m.mark, m.index, m.funding_rate = event.mark, event.index, event.funding_rate
        m.next_funding_ms, m.mark_ms = event.next_funding_ms, event.ts
        executor.on_market(self._state, event.symbol)

    def _on_ticker(self, event: ev.Ticker24h) -> None:
        m = self._metrics(event.symbol)
        if m is None:
            return
        m.quote_volume, m.change_pct, m.ticker_ms = event.quote_volume, event.change_pct, event.ts
        m.last = event.last

    def _on_open_interest(self, event: ev.OpenInterest) -> None:
        m = self._metrics(event.symbol)
        if m is not None:
            m.open_interest, m.oi_ms = event.open_interest, event.ts

    def _series(self, symbol: str) -> CandleBook:
        found = self._state.candles.get(symbol)
        if found is None:
            found = self._state.candles[symbol] = CandleBook(symbol)
        return found

    def _on_kline(self, event: ev.KlineUpdate) -> None:
        state = self._state
        series = self._series(event.symbol)
        bars = series.update(event.candle, event.closed)
        # Right after its end a minute is not told for closed yet: to ask then would cost a turn.
        settled = event.closed or state.now - event.candle.open_ms > state.ms(SETTLED_S)
        if series.needs_backfill and settled and state.now - state.history_asked.get(event.symbol, 0) > state.ms(5):
            state.history_asked[event.symbol] = state.now
            state.out.append(LoadCandles(ts=state.now, symbol=event.symbol, count=housekeeping.HISTORY_CANDLES))
        if bars:
            housekeeping.store_candle(state, event.symbol, event.candle)
            plan = state.plans.get(event.symbol)
            if plan is not None:
                adoption.complete_adopted(state, plan)
            entries.on_bars(state, event.symbol, bars)

    def _on_history(self, event: ev.CandleHistory) -> None:
        series = self._series(event.symbol)
        warmup.take(self._state, series, event)
        entries.note_regimes(self._state, series, TIMEFRAMES)
        plan = self._state.plans.get(event.symbol)
        if plan is not None:
            adoption.complete_adopted(self._state, plan)

    def _on_stale(self, event: ev.FeedStale) -> None:
        m = self._metrics(event.symbol)
        if m is not None:
            m.stale_reason = event.reason or "stale"
            m.synced = False

    def _on_live(self, event: ev.FeedLive) -> None:
        m = self._metrics(event.symbol)
        if m is not None:
            m.stale_reason = ""
            m.synced = True

    # --- links and account ---

    def _on_skew(self, event: ev.ClockSkew) -> None:
        state = self._state
        limit = state.settings.data.max_skew_ms
        if abs(event.skew_ms) > limit >= abs(state.skew_ms):
            state.say(Severity.ALARM, f"clock skew {event.skew_ms:.0f} ms > {limit:.0f} ms; no entries")
        state.skew_ms = event.skew_ms

    def _on_worker_failed(self, event: ev.WorkerFailed) -> None:
        state = self._state
        state.halted = f"worker {event.worker} failed: {event.reason}"
        state.say(Severity.ALARM, f"{state.halted}; entries halt, protection stays; resume with p when understood")

    def _on_doubt(self, event: ev.AccountDoubt) -> None:
        self._state.ask_snapshot(event.reason)

    def _on_notice(self, event: ev.Notice) -> None:
        self._state.say(event.severity, event.text)

    def _on_trained(self, event: ev.TrainedLoaded) -> None:
        try:
            sets = msgspec.json.decode(event.sets_json, type=tuple[TrainedSet, ...])
        except msgspec.MsgspecError as error:
            self._state.say(Severity.WARNING, f"trained sets not read again, the old ones stay: {error}")
            return
        changed = self._state.trained.reload(sets)
        if changed:
            used = sum(one.in_use for one in self._state.trained.all())
            text = f"trained sets read again: {len(changed)} new or changed, {used} in use"
            self._state.say(Severity.INFO, text)

    def _on_fill(self, event: ev.Fill) -> None:
        if feedback.runs_ahead(self._state, event):
            self._state.ask_snapshot(f"{event.symbol}: an exit filled before its entry's fills were heard")
            return
        feedback.on_fill(self._state, event)
        reconcile.adopt_heard(self._state, event.symbol)

    def _on_position(self, event: ev.PositionUpdate) -> None:
        position = self._state.portfolio.position(event.symbol)
        if event.venue_ts >= position.venue_ts:
            position.venue_qty, position.venue_ts = event.qty, event.venue_ts or event.ts
            position.checked = False
            reconcile.adopt_heard(self._state, event.symbol)

    def _on_balance(self, event: ev.BalanceUpdate) -> None:
        portfolio = self._state.portfolio
        # A newest word from the future is one of before the venue's clock was set back: nothing is older than it.
        stale = 0 < event.venue_ts < portfolio.wallet_ts <= event.ts + self._state.ms(SET_BACK_S)
        transfers.on_stream(self._state, event, stale=stale)
        if not stale:
            portfolio.wallet, portfolio.wallet_ms = event.wallet, self._state.now
            portfolio.wallet_ts = event.venue_ts
        if event.reason == "INSURANCE_CLEAR" and event.change:
            flow = "took" if event.change < 0 else "gave"
            words = f"the venue's insurance fund {flow} {abs(event.change):.2f} USDT after a liquidation"
            self._state.say(Severity.ALARM, f"{words}: it stands in the wallet and the day's result, in no trade")
        if event.reason == "FUNDING_FEE":
            self._state.ask_snapshot("funding was charged: which position it belongs to stands in the account")

    def _on_timer(self, event: ev.Timer) -> None:
        self._timer_ms = event.ts
        executor.tick(self._state)
        links.on_timer(self._state)
        housekeeping.on_timer(self._state)
