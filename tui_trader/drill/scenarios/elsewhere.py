"""What somebody else does on the same account, straight at the exchange: trades, orders and cancels by hand."""

from __future__ import annotations

from decimal import Decimal

from tui_trader.drill.scenario import Stage
from tui_trader.drill.scenarios.look import BTC, own
from tui_trader.drill.scenarios.look import stops as own_stops
from tui_trader.exchange.orders import OrderRequest
from tui_trader.exchange.scripted import ScriptedMarket


def trade(stage: Stage, is_buy: bool, qty: str, *, reduce_only: bool = False, symbol: str = BTC) -> None:
    """A market order of ``qty`` base units that is not ours."""
    stage.exchange.place_order(
        stage.account,
        OrderRequest(symbol=symbol, is_buy=is_buy, kind="MARKET", quantity=Decimal(qty), reduce_only=reduce_only),
    )


def rest(
    stage: Stage,
    is_buy: bool,
    qty: str,
    price: float,
    client_id: str,
    symbol: str = BTC,
    *,
    reduce_only: bool = False,
) -> None:
    """A limit order that is not ours."""
    stage.exchange.place_order(
        stage.account,
        OrderRequest(
            symbol=symbol,
            is_buy=is_buy,
            kind="LIMIT",
            quantity=Decimal(qty),
            price=Decimal(f"{price:.1f}"),
            time_in_force="GTC",
            reduce_only=reduce_only,
            client_id=client_id,
        ),
    )


def rest_stop(stage: Stage, is_buy: bool, trigger: float, client_id: str, qty: str = "", symbol: str = BTC) -> None:
    """A stop that is not ours: of ``qty`` base units, or (empty) a close-position one."""
    stage.exchange.place_algo(
        stage.account,
        OrderRequest(
            symbol=symbol,
            is_buy=is_buy,
            kind="STOP_MARKET",
            quantity=Decimal(qty) if qty else None,
            trigger_price=Decimal(f"{trigger:.1f}"),
            reduce_only=bool(qty),
            close_position=not qty,
            working_type="MARK_PRICE",
            client_id=client_id,
        ),
    )


def anonymous(stage: Stage, is_buy: bool, qty: str, symbol: str = BTC) -> None:
    """A market order of nobody known, of ``qty`` base units, against the best prices there are."""
    state = stage.exchange.states[symbol]
    stage.exchange.trading.anonymous(state, is_buy, int(Decimal(qty) / state.spec.step_size))
    stage.exchange.algos.check(state)


def lift(stage: Stage, price: float, qty: str, symbol: str = BTC) -> None:
    """Somebody buys ``qty`` of what rests at ``price`` and leaves all that is cheaper: offers below it are gone."""
    state = stage.exchange.states[symbol]
    limit = round(price / float(state.spec.tick_size))
    cheaper = [ticks for ticks, _ in state.book.asks.levels() if ticks <= limit]
    stage.exchange.trading.apply_levels(state, [(False, ticks, 0) for ticks in cheaper])
    anonymous(stage, True, qty, symbol)


def thin(stage: Stage, lots: int, symbol: str = BTC) -> None:
    """From now on the market quotes one level of ``lots`` on each side."""
    market = _market(stage, symbol)
    market.depth, market.lots = 1, lots


def quiet(stage: Stage, symbol: str = BTC) -> None:
    """From now on nobody trades in the market of their own accord."""
    _market(stage, symbol).prints = False


def _market(stage: Stage, symbol: str) -> ScriptedMarket:
    market = stage.exchange.states[symbol].market
    if not isinstance(market, ScriptedMarket):
        raise TypeError(f"{symbol} is quoted by a {type(market).__name__}, which takes no orders from a script")
    return market


def cancel_stops(stage: Stage, symbol: str = BTC) -> int:
    """Cancel every stop of ours; returns how many there were."""
    ids = {row.client_id for row in own(own_stops(stage, symbol))}
    found = [algo for algo in stage.account.open_algos(symbol) if algo.client_id in ids]
    for algo in found:
        stage.exchange.algos.cancel(algo)
    return len(found)


def foreign(stage: Stage, client_id: str) -> bool:
    """Whether that order still rests, in either book."""
    regular = any(order.client_id == client_id for order in stage.account.open_orders())
    return regular or any(algo.client_id == client_id for algo in stage.account.open_algos())
