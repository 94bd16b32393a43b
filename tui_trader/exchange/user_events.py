"""Payloads of the user data stream and of order bodies."""

from decimal import Decimal

from tui_trader.exchange.accounts import Account, Position
from tui_trader.exchange.orders import AlgoOrder, Order
from tui_trader.exchange.symbol_state import SymbolState
from tui_trader.exchange.wire import plain, trimmed

Json = dict[str, object]


class Fill:
    """What an ORDER_TRADE_UPDATE says about one fill."""

    __slots__ = ("commission", "is_maker", "lots", "price", "realized", "trade_id")

    def __init__(
        self, trade_id: int, price: int, lots: int, is_maker: bool, commission: Decimal, realized: Decimal
    ) -> None:
        self.trade_id = trade_id
        self.price = price
        self.lots = lots
        self.is_maker = is_maker
        self.commission = commission
        self.realized = realized


def side_text(is_buy: bool) -> str:
    """Return BUY or SELL."""
    return "BUY" if is_buy else "SELL"


def ticks_text(state: SymbolState, ticks: int) -> str:
    """Return a price, "0" for none."""
    return state.prices.text(ticks) if ticks else "0"


def lots_text(state: SymbolState, lots: int) -> str:
    """Return a quantity, "0" for none."""
    return state.lots.text(lots) if lots else "0"


def order_update(
    state: SymbolState, order: Order, execution: str, now_ms: int, notionals: tuple[str, str], fill: Fill | None
) -> Json:
    """Return an ORDER_TRADE_UPDATE; `execution` is NEW, TRADE, CANCELED, EXPIRED, AMENDMENT or CALCULATED.

    `notionals` are the notionals of the account's open buy and sell orders in the symbol.
    """
    body: Json = {
        "s": order.symbol,
        "c": order.client_id,
        "S": side_text(order.is_buy),
        "o": order.kind,
        "f": order.time_in_force,
        "q": lots_text(state, order.lots),
        "p": ticks_text(state, order.price),
        "ap": state.average_price(order.notional, order.filled),
        "sp": ticks_text(state, order.stop_price),
        "x": execution,
        "X": order.status,
        "i": order.id,
        "l": lots_text(state, fill.lots) if fill else "0",
        "z": lots_text(state, order.filled),
        "L": ticks_text(state, fill.price) if fill else "0",
        "n": plain(fill.commission) if fill else "0",
        "N": "USDT",
        "T": now_ms,
        "t": fill.trade_id if fill else 0,
        "b": notionals[0],
        "a": notionals[1],
        "m": fill.is_maker if fill else False,
        "R": order.reduce_only,
        "wt": order.working_type,
        "ot": order.original_kind or order.kind,
        "ps": "BOTH",
        "cp": order.close_position,
        "rp": plain(fill.realized) if fill else "0",
        "pP": order.price_protect,
        "si": 0,
        "ss": 0,
        "V": order.stp_mode,
        "pm": "NONE",
        "gtd": order.good_till_ms,
        "er": "0",
    }
    if order.algo is not None:
        body["aid"] = order.algo.id
        body["st"] = "ALGO_CONDITION"
    return {"e": "ORDER_TRADE_UPDATE", "T": now_ms, "E": now_ms, "o": body}


def trade_lite(state: SymbolState, order: Order, fill: Fill, now_ms: int) -> Json:
    """Return the TRADE_LITE that precedes the ORDER_TRADE_UPDATE of a fill."""
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": now_ms,
        "s": order.symbol,
        "q": lots_text(state, order.lots),
        "p": ticks_text(state, order.price),
        "m": fill.is_maker,
        "c": order.client_id,
        "S": side_text(order.is_buy),
        "L": ticks_text(state, fill.price),
        "l": lots_text(state, fill.lots),
        "t": fill.trade_id,
        "i": order.id,
    }


def account_update(
    account: Account, reason: str, now_ms: int, positions: list[tuple[Position, Decimal]], change: Decimal
) -> Json:
    """Return an ACCOUNT_UPDATE with the wallet and the given positions at their mark prices.

    `change` is the balance change other than profit and commission, as the venue reports it.
    """
    wallet = plain(account.wallet)
    rows = [
        {
            "s": position.spec.symbol,
            "pa": trimmed(position.quantity),
            "ep": trimmed(position.entry_price),
            "bep": trimmed(position.break_even_price),
            "cr": plain(position.realized),
            "up": plain(position.unrealized(mark)),
            "mt": "cross",
            "iw": "0",
            "ps": "BOTH",
            "ma": "USDT",
        }
        for position, mark in positions
    ]
    balance = {"a": "USDT", "wb": wallet, "cw": wallet, "bc": plain(change)}
    body: Json = {"B": [balance], "P": rows, "m": reason}
    return {"e": "ACCOUNT_UPDATE", "T": now_ms, "E": now_ms, "a": body}


def algo_update(state: SymbolState, algo: AlgoOrder, now_ms: int) -> Json:
    """Return an ALGO_UPDATE."""
    order = algo.order
    body: Json = {
        "caid": algo.client_id,
        "aid": algo.id,
        "at": "CONDITIONAL",
        "o": algo.kind,
        "s": algo.symbol,
        "S": side_text(algo.is_buy),
        "ps": "BOTH",
        "f": algo.time_in_force,
        "q": lots_text(state, algo.lots),
        "X": algo.status,
        "ai": str(order.id) if order else "",
        "tp": ticks_text(state, algo.trigger),
        "p": ticks_text(state, algo.price),
        "V": algo.stp_mode,
        "wt": algo.working_type,
        "pm": "NONE",
        "cp": algo.close_position,
        "pP": algo.price_protect,
        "R": algo.reduce_only,
        "tt": algo.triggered_ms,
        "gtd": algo.good_till_ms,
        "ia": algo.activated,
    }
    if algo.kind == "TRAILING_STOP_MARKET":
        body["AP"] = ticks_text(state, algo.activate)
        body["cr"] = trimmed(algo.callback_rate)
    if order is not None and algo.status == "FINISHED":
        body["ap"] = state.average_price(order.notional, order.filled)
        body["aq"] = lots_text(state, order.filled)
    if algo.reject_reason:
        body["rm"] = algo.reject_reason
    return {"e": "ALGO_UPDATE", "T": now_ms, "E": now_ms, "o": body}


def order_body(state: SymbolState, order: Order, acknowledged: bool = False) -> Json:
    """Return an order as REST shows it; `acknowledged` hides the fills, as an ACK does."""
    filled = 0 if acknowledged else order.filled
    average = "0.00" if acknowledged or not filled else state.average_price(order.notional, filled)
    return {
        "orderId": order.id,
        "symbol": order.symbol,
        "status": "NEW" if acknowledged else order.status,
        "clientOrderId": order.client_id,
        "price": ticks_text(state, order.price),
        "avgPrice": average,
        "origQty": lots_text(state, order.lots),
        "executedQty": lots_text(state, filled),
        "cumQty": lots_text(state, filled),
        "cumQuote": "0" if not filled else trimmed(state.money(order.notional)),
        "timeInForce": order.time_in_force,
        "type": order.kind,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": side_text(order.is_buy),
        "positionSide": "BOTH",
        "stopPrice": ticks_text(state, order.stop_price),
        "workingType": order.working_type,
        "priceProtect": order.price_protect,
        "origType": order.original_kind or order.kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": order.stp_mode,
        "goodTillDate": order.good_till_ms,
        "time": order.created_ms,
        "updateTime": order.updated_ms,
    }


def algo_body(state: SymbolState, algo: AlgoOrder) -> Json:
    """Return a conditional order as REST shows it."""
    order = algo.order
    average = state.average_price(order.notional, order.filled) if order else "0"
    body: Json = {
        "algoId": algo.id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.kind,
        "symbol": algo.symbol,
        "side": side_text(algo.is_buy),
        "positionSide": "BOTH",
        "timeInForce": algo.time_in_force,
        "quantity": lots_text(state, algo.lots),
        "algoStatus": algo.status,
        "actualOrderId": str(order.id) if order else "",
        "actualPrice": average,
        "triggerPrice": ticks_text(state, algo.trigger),
        "price": ticks_text(state, algo.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": algo.stp_mode,
        "workingType": algo.working_type,
        "priceMatch": "NONE",
        "closePosition": algo.close_position,
        "priceProtect": algo.price_protect,
        "reduceOnly": algo.reduce_only,
        "activatePrice": ticks_text(state, algo.activate) if algo.activate else "",
        "callbackRate": trimmed(algo.callback_rate) if algo.callback_rate else "",
        "createTime": algo.created_ms,
        "updateTime": algo.updated_ms,
        "triggerTime": algo.triggered_ms,
        "goodTillDate": algo.good_till_ms,
    }
    if order is not None:
        body["actualQty"] = lots_text(state, order.filled)
    return body
