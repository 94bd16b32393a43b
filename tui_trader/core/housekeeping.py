"""What time brings besides orders: universe, limits, equity, leverage, cross-checks; and taking over stored state."""

from __future__ import annotations

from tui_trader.core import executor, leverage, manual, reconcile, restored, trades, warmup
from tui_trader.core.candles import KEPT_MINUTES
from tui_trader.core.commands import LoadCandles, WatchSymbols
from tui_trader.core.events import Candle
from tui_trader.core.plain import plain
from tui_trader.core.portfolio import Position
from tui_trader.core.state import EngineState, Recovered
from tui_trader.core.tiers import DynamicTiers
from tui_trader.core.types import MINUTE_MS, Leg, Severity
from tui_trader.core.views import EquityPoint

HISTORY_CANDLES = KEPT_MINUTES
CANDIDATES_BEYOND = 10
EARLY_S, EARLY_REFRESH_S = 60.0, 5.0
"""After a start or an outage symbols become known one by one: none waits for a whole turn for data that came late."""
WALLET_LAG_S = 2.0
SECOND_WORD_S = 0.5
"""The stream tells a fill and the position that it made within milliseconds of each other."""


def on_timer(state: EngineState) -> None:
    """Everything periodic; each part paces itself."""
    _check_positions(state)
    if state.snapshot_due:
        state.ask_snapshot(state.snapshot_due)
    if state.now - state.second_ms < state.ms(1.0):
        return
    state.second_ms = state.now
    if state.halted != state.halted_stored:
        state.save_pauses()
    _refresh_universe(state)
    _ensure_history(state)
    leverage.ensure(state)
    _check_losses(state)
    _record_minute(state)


def _check_positions(state: EngineState) -> None:
    for position in state.portfolio.positions.values():
        if _unowned(state, position):
            state.require_snapshot(f"{position.symbol}: a position that no plan owns")
        if position.checked or state.now - position.venue_ts < state.ms(1.0):
            continue
        if position.venue_qty == position.qty:
            position.checked = True
            state.reconciling.pop(position.symbol, None)
        else:
            state.reconciling.setdefault(position.symbol, state.now)
            state.ask_snapshot(f"{position.symbol} differs from the stream's word", repeated=True)


def _unowned(state: EngineState, position: Position) -> bool:
    """Whether only one of the stream's two words on a position of somebody else's came, and nobody was asked since."""
    if position.symbol in state.plans or position.symbol not in state.instruments or state.hedge_mode:
        return False
    heard_ms = max(position.last_fill_ms if position.qty else 0, 0 if position.checked else position.venue_ts)
    is_open = position.qty != 0 or position.venue_qty != 0
    return is_open and state.snapshot_asked_ms <= heard_ms <= state.now - state.ms(SECOND_WORD_S)


def pinned(state: EngineState) -> tuple[str, ...]:
    """Symbols that must stay subscribed: open positions and working orders."""
    held = {p.symbol for p in state.portfolio.open_positions()}
    return tuple(sorted(held | set(state.plans)))


def _refresh_universe(state: EngineState) -> None:
    if not state.metrics:
        return
    universe, keep = state.universe, pinned(state)
    stale = float(state.ms(state.settings.data.stale_after_s))
    due = state.now >= universe.next_refresh_ms or not universe.members
    grace = float(state.ms(state.settings.universe.grace_s))
    if not due and not universe.check(state.now, state.metrics, grace, stale):
        if not set(keep) <= set(state.watching):
            _watch(state, (*state.watching, *keep))
        return
    dynamic = state.settings.tiers.dynamic
    if dynamic:
        state.dynamic_tiers.update(state.now, state.metrics)
        state.store("state", {"key": "tiers", "value": state.dynamic_tiers.to_state()})
    change = universe.refresh(state.now, state.metrics, keep, stale, grace)
    state.universe_since_ms = state.universe_since_ms or state.now
    if universe.gone_stale or state.now - state.universe_since_ms < state.ms(EARLY_S):
        universe.next_refresh_ms = min(universe.next_refresh_ms, state.now + state.ms(EARLY_REFRESH_S))
    most = state.settings.universe.max_size + CANDIDATES_BEYOND
    candidates = universe.candidates(state.metrics, most, unclassified=dynamic)
    _watch(state, (*candidates, *change.members, *keep))
    if change.joined:
        state.say(Severity.INFO, "joined the universe: " + ", ".join(change.joined))
    if change.left:
        state.say(Severity.INFO, "left the universe: " + ", ".join(change.left))


def _watch(state: EngineState, symbols: tuple[str, ...]) -> None:
    wanted = tuple(sorted(set(symbols)))
    if wanted != state.watching:
        state.watching = wanted
        state.out.append(WatchSymbols(ts=state.now, symbols=wanted))


def _ensure_history(state: EngineState) -> None:
    for symbol in state.watching:
        series = state.candles.get(symbol)
        missing = series is None or not series.closed("1m", 1)
        if missing and state.now - state.history_asked.get(symbol, -state.ms(60)) >= state.ms(10):
            state.history_asked[symbol] = state.now
            state.out.append(LoadCandles(ts=state.now, symbol=symbol, count=HISTORY_CANDLES))
    warmup.ask(state)


def _check_losses(state: EngineState) -> None:
    equity = state.equity()
    if equity is None or not state.reconciled_ms or _settling(state):
        return
    for reached in state.losses.update(state.now, equity):
        if reached == "total":
            manual.kill(state, "the total loss limit is reached")
        else:
            state.say(Severity.ALARM, "the daily loss limit is reached: no new entries until 00:00 UTC")
    if state.losses.refusals():
        _take_entries_back(state)


def _take_entries_back(state: EngineState) -> None:
    """What still rests of an entry would open a position after a loss limit is reached, or was before a restart."""
    for plan in list(state.plans.values()):
        working = any(o.live and o.leg is Leg.ENTRY for o in state.ledger.of_plan(plan.plan_id))
        if working and not plan.cancel_entry:
            plan.cancel_entry = True
            state.say(Severity.WARNING, f"{plan.symbol}: its entry is taken back: a loss limit is reached", plan.symbol)
            executor.drive(state, plan)


def _settling(state: EngineState) -> bool:
    """A fill was booked and the wallet may not contain its result yet: for a moment the equity lacks what it closed."""
    newest = max((p.last_fill_ms for p in state.portfolio.positions.values()), default=0)
    return state.now - newest < state.ms(WALLET_LAG_S)


def _record_minute(state: EngineState) -> None:
    minute = state.now // MINUTE_MS
    equity = state.equity()
    if minute == state.equity_minute or equity is None:
        return
    state.equity_minute = minute
    state.equity_points.append(EquityPoint(ts=state.now, equity=float(equity)))
    day = state.losses.day_pnl(equity)
    state.store("equity", {"ts": state.now, "equity": equity, "wallet": state.portfolio.wallet, "day_pnl": day})
    state.store("state", {"key": "losses", "value": state.losses.to_state()})
    for position in state.portfolio.open_positions():
        mark = state.valued_at(position.symbol) or position.entry
        state.store(
            "positions",
            {
                "ts": state.now,
                "symbol": position.symbol,
                "qty": position.qty,
                "entry_price": position.entry,
                "mark": mark,
                "pnl": position.unrealized(mark),
            },
        )


def store_candle(state: EngineState, symbol: str, candle: Candle) -> None:
    """A closed 1 m candle, for the store."""
    values = {name: getattr(candle, name) for name in Candle.__struct_fields__}
    state.store("candles", {"symbol": symbol, "timeframe": "1m", **values})


def recover(state: EngineState, recovered: Recovered) -> None:
    """Limits, kill switch, equity curve, trades, open plans and their orders survive a restart."""
    reconcile.restore(state, recovered)
    kill = recovered.state.get("kill")
    if isinstance(kill, dict):
        state.killed = str(kill.get("reason", "latched before the restart"))
    _recover_pauses(state, recovered.state.get("pauses"))
    cursor = recovered.state.get("fills_cursor")
    if isinstance(cursor, int) and cursor > 0:
        state.looked_ms = cursor
    tiers = recovered.state.get("tiers")
    if isinstance(tiers, dict):
        state.dynamic_tiers = DynamicTiers({str(k): int(v) for k, v in tiers.items() if isinstance(v, int)})
    losses = recovered.state.get("losses")
    if isinstance(losses, dict):
        state.losses = type(state.losses).from_state(state.settings.limits, losses, state.looked_ms)
    state.trained.recover(recovered.trained, recovered.trained_results)
    state.equity_points.extend(EquityPoint(ts=ts, equity=value) for ts, value in recovered.equity)
    signals = (restored.signal(row) for row in recovered.signals)
    state.signals.extend(signal for signal in signals if signal is not None)
    trades.recover(state, recovered)


def _recover_pauses(state: EngineState, stored: object) -> None:
    pauses: dict[str, object] = stored if isinstance(stored, dict) else {}
    state.paused_all = pauses.get("all") is True
    halted = pauses.get("halted")
    state.halted = state.halted_stored = plain(halted) if isinstance(halted, str) else ""
    for key, names in (("symbols", state.paused_symbols), ("strategies", state.paused_strategies)):
        found = pauses.get(key)
        names.update(name for name in (found if isinstance(found, list) else []) if isinstance(name, str))
