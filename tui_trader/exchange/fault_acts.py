"""What happens in the world, done to the exchange's own state; each act answers with a sentence that says what it did.

Choices that an act leaves open are drawn from the given generator, among what matters: positions that are open, orders
that rest. Where there is nothing to act on, nothing happens and the sentence says so.
"""

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from tui_trader.exchange.accounts import Account, Position
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.fault_rules import Act, FaultKind
from tui_trader.exchange.orders import AlgoOrder, Order, OrderRequest
from tui_trader.exchange.reject import VenueError
from tui_trader.exchange.symbol_state import SymbolState

_STATUSES: Final = ("SETTLING", "CLOSE", "BREAK")
_DRIFT_MS: Final = 60_000
_MOST_SKEW_MS: Final = 5_000


def perform(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    """Let something happen at the exchange and return a sentence about it.

    Raises ValueError for a kind that is no act, for an unknown symbol or status, and for an outage or restart of an
    exchange without faults.
    """
    doing = _ACTS.get(act.kind)
    if doing is None:
        names = ", ".join(sorted(_ACTS))
        raise ValueError(f"{act.kind} is no act: it needs a rule. Acts are {names}.")
    if act.symbol and act.symbol not in engine.states:
        raise ValueError(f"there is no symbol {act.symbol} here; there are {', '.join(engine.states)}")
    return doing(engine, act, rng)


def heal(engine: ExchangeEngine) -> None:
    """Put right what acts left behind: symbols trade, one-way mode, the clock is true, nothing is stuck."""
    for state in engine.states.values():
        state.status, state.halted = state.spec.status, False
    for account in engine.venue.accounts.values():
        account.dual_side = False
    engine.venue.skew(0)
    engine.algos.release(all_of_them=True)


def _held(engine: ExchangeEngine, act: Act) -> list[tuple[Account, Position]]:
    """Return the open positions an act may meet, oldest account first."""
    return [
        (account, position)
        for account in engine.venue.accounts.values()
        for symbol, position in sorted(account.positions.items())
        if position.lots and act.symbol in {"", symbol}
    ]


def _open(engine: ExchangeEngine, act: Act) -> list[Order | AlgoOrder]:
    """Return the open orders of both books an act may meet; the wanted kind alone where there is one."""
    accounts = engine.venue.accounts.values()
    symbol = act.symbol or None
    algos = [algo for account in accounts for algo in account.open_algos(symbol) if algo.is_open]
    orders = [order for account in accounts for order in account.open_orders(symbol)]
    if act.text == "stop":
        return list(algos)
    if act.text == "target":
        return [order for order in orders if order.reduce_only]
    return [*algos, *orders]


def _cancel_elsewhere(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    choices = _open(engine, act)
    if not choices:
        return "Nobody cancelled anything: there is no such order."
    order = rng.choice(choices)
    if isinstance(order, AlgoOrder):
        engine.algos.cancel(order)
    else:
        engine.cancel_order(order)
    kind = order.kind.lower().replace("_", " ")
    return f"Somebody cancelled the {kind} order {order.client_id} in {order.symbol}."


def _trade_elsewhere(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    held = _held(engine, act)
    if held:
        account, position = rng.choice(held)
        symbol = position.spec.symbol
        is_buy = act.side == "BUY" if act.side else (position.lots < 0) == (rng.random() < 0.7)
        share = act.share if act.share >= 0 else rng.choice((0.25, 0.5, 1.0))
        quantity = position.spec.step_size * max(round(abs(position.lots) * share), 1)
    elif act.side and act.qty:
        account = next(iter(engine.venue.accounts.values()))
        symbol = act.symbol or rng.choice(list(engine.states))
        is_buy, quantity = act.side == "BUY", Decimal(0)
    else:
        return "Nobody traded: no position is open."
    quantity = Decimal(act.qty) if act.qty else quantity
    name = f"{rng.choice(('web', 'android', 'ios'))}_{rng.getrandbits(60):015x}"
    request = OrderRequest(symbol, is_buy, "MARKET", quantity, client_id=name)
    side = "bought" if is_buy else "sold"
    try:
        order = engine.place_order(account, request)
    except VenueError as refusal:
        return f"Somebody would have {side} {quantity} {symbol} by hand; the venue refused: {refusal.message}"
    return f"Somebody {side} {engine.states[symbol].lots.text(order.filled)} {symbol} by hand."


def _liquidation(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    held = _held(engine, act)
    if not held:
        return "Nothing was liquidated: no position is open."
    account, position = rng.choice(held)
    state = engine.states[position.spec.symbol]
    quantity = state.lots.text(abs(position.lots))
    engine.risk.liquidate(account, state)
    return f"The venue liquidated {quantity} {position.spec.symbol}."


def _adl(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    held = _held(engine, act)
    if not held:
        return "Nothing was deleveraged: no position is open."
    account, position = rng.choice(held)
    state = engine.states[position.spec.symbol]
    share = act.share if act.share >= 0 else rng.choice((0.3, 1.0))
    lots = min(max(round(abs(position.lots) * share), 1), abs(position.lots))
    engine.risk.close_at_mark(account, state, lots, "adl_autoclose")
    return f"The venue deleveraged {state.lots.text(lots)} {position.spec.symbol}."


def _funding(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    state = _state(engine, act, rng)
    share = act.share if act.share >= 0 else rng.choice((-0.0005, 0.0001, 0.0005))
    rate = Decimal(f"{share:.8f}")
    engine.risk.pay_funding(state, rate)
    return f"Funding of {rate:%} was charged in {state.spec.symbol}, outside its time."


def _state(engine: ExchangeEngine, act: Act, rng: random.Random) -> SymbolState:
    """Return the act's symbol, else one with a position, else any."""
    if act.symbol:
        return engine.states[act.symbol]
    held = _held(engine, act)
    symbol = rng.choice(held)[1].spec.symbol if held else rng.choice(list(engine.states))
    return engine.states[symbol]


def _symbol_status(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    state = _state(engine, act, rng)
    status = act.text or rng.choice(_STATUSES)
    if status not in {*_STATUSES, "TRADING"}:
        raise ValueError(f"unknown status {status}; use TRADING, {', '.join(_STATUSES)}")
    symbol = state.spec.symbol
    _set_status(state, status)
    if status == "TRADING":
        return f"{symbol} trades again."

    def end() -> None:
        # A later act may have changed the status meanwhile; only the one that was set here ends here.
        if state.status == status:
            if status == "SETTLING":
                engine.risk.settle_symbol(state)
            _set_status(state, "TRADING")

    engine.at(engine.now_ms + act.span_ms, end)
    return f"{symbol} is {status} for {act.span_ms / 1000:g} s."


def _set_status(state: SymbolState, status: str) -> None:
    state.status = status
    state.halted = status in {"CLOSE", "BREAK"}


def _hedge_mode(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    accounts = list(engine.venue.accounts.values())
    busy = [one for one in accounts if one.orders or one.algos or any(row.lots for row in one.positions.values())]
    if busy and act.text != "force":
        return "Somebody wanted hedge mode; the venue refused: there are open orders or positions."
    for account in accounts:
        account.dual_side = True

    def end() -> None:
        for account in accounts:
            account.dual_side = False

    engine.at(engine.now_ms + act.span_ms, end)
    return f"Somebody switched the account to hedge mode for {act.span_ms / 1000:g} s."


def _clock_skew(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    ms = _new_skew(engine, act, rng)
    engine.venue.skew(ms, over_ms=_DRIFT_MS)
    return f"The venue's clock drifts to {ms:+d} ms within a minute."


def _clock_step(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    ms = _new_skew(engine, act, rng)
    engine.venue.skew(ms)
    return f"The venue's clock jumped to {ms:+d} ms."


def _new_skew(engine: ExchangeEngine, act: Act, rng: random.Random) -> int:
    """Return the skew after an act; without a given distance the sign is drawn, and it never runs away."""
    now = engine.venue.skew_ms
    if act.ms:
        return now + act.ms
    ms = now + act.span_ms * rng.choice((-1, 1))
    return ms if abs(ms) <= _MOST_SKEW_MS else now - (ms - now)


def _begin_outage(engine: ExchangeEngine, ms: int) -> None:
    if engine.faults is None:
        raise ValueError("an outage needs an exchange with faults: set its `faults` first")
    engine.faults.begin_outage(ms)


def _outage(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    _begin_outage(engine, act.span_ms)
    return f"The venue is down for {act.span_ms / 1000:g} s."


def _restart_keep(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    _begin_outage(engine, act.span_ms)
    engine.on_restart()
    return f"The venue restarts, down for {act.span_ms / 1000:g} s; it keeps its orders."


def _restart_lose(engine: ExchangeEngine, act: Act, rng: random.Random) -> str:
    _begin_outage(engine, act.span_ms)
    lost = 0
    for account in engine.venue.accounts.values():
        for order in account.open_orders():
            engine.trading.lose(order)
            lost += 1
        for algo in account.open_algos():
            engine.algos.lose(algo)
            lost += 1
    engine.on_restart()
    return f"The venue restarts, down for {act.span_ms / 1000:g} s, and has forgotten {lost} open orders."


_ACTS: Final[dict[FaultKind, Callable[[ExchangeEngine, Act, random.Random], str]]] = {
    FaultKind.cancel_elsewhere: _cancel_elsewhere,
    FaultKind.trade_elsewhere: _trade_elsewhere,
    FaultKind.liquidation: _liquidation,
    FaultKind.adl: _adl,
    FaultKind.funding: _funding,
    FaultKind.symbol_status: _symbol_status,
    FaultKind.hedge_mode: _hedge_mode,
    FaultKind.clock_skew: _clock_skew,
    FaultKind.clock_step: _clock_step,
    FaultKind.outage: _outage,
    FaultKind.restart_keep: _restart_keep,
    FaultKind.restart_lose: _restart_lose,
}
