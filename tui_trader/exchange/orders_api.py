"""Signed REST answers about orders: the regular book and the conditional one."""

from typing import Any

import msgspec

from tui_trader.exchange import user_events
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.orders import Order
from tui_trader.exchange.params import Params, order_request
from tui_trader.exchange.reject import VenueError, invalid, missing
from tui_trader.exchange.wire import plain

_MAX_BATCH = 5
_CANCELLED_ALL = {"code": 200, "msg": "The operation of cancel all open order is done."}


class OrdersApi:
    """Order endpoints. Every method takes the account and the parameters and returns a JSON value."""

    def __init__(self, engine: ExchangeEngine) -> None:
        self.engine = engine

    def _body(self, order: Order, acknowledged: bool = False) -> dict[str, object]:
        return user_events.order_body(self.engine.states[order.symbol], order, acknowledged)

    def new_order(self, account: Account, params: Params) -> object:
        """POST /order: an ACK unless newOrderRespType=RESULT."""
        answer = params.choice("newOrderRespType", {"ACK", "RESULT", "FULL"}, "ACK")
        if params.boolean("closePosition"):
            raise VenueError(-4136, "Target strategy invalid for orderType 'MARKET',closePosition 'true'")
        order = self.engine.place_order(account, order_request(params))
        return self._body(order, acknowledged=answer == "ACK")

    def test_order(self, account: Account, params: Params) -> object:
        """POST /order/test."""
        order = self.engine.test_order(account, order_request(params))
        return self._body(order, acknowledged=True)

    def _find(self, account: Account, params: Params, open_only: bool = False) -> Order | None:
        symbol = params.required("symbol")
        self.engine.venue.state(symbol)
        order_id, client_id = params.integer("orderId"), params.text("origClientOrderId")
        return self.engine.find_order(account, symbol, order_id, client_id, open_only)

    def query_order(self, account: Account, params: Params) -> object:
        """GET /order."""
        order = self._find(account, params)
        if order is None:
            raise VenueError(-2013, "Order does not exist.")
        return self._body(order)

    def query_open_order(self, account: Account, params: Params) -> object:
        """GET /openOrder."""
        order = self._find(account, params, open_only=True)
        if order is None:
            raise VenueError(-2013, "Order does not exist.")
        return self._body(order)

    def cancel_order(self, account: Account, params: Params) -> object:
        """DELETE /order."""
        order = self._find(account, params, open_only=True)
        if order is None:
            raise VenueError(-2011, "Unknown order sent.")
        self.engine.cancel_order(order)
        return self._body(order)

    def amend_order(self, account: Account, params: Params) -> object:
        """PUT /order: price and quantity of an open limit order."""
        quantity, price = params.decimal("quantity"), params.decimal("price")
        side = params.required("side").upper()
        if quantity is None or price is None:
            raise missing("quantity" if quantity is None else "price")
        order = self._find(account, params, open_only=True)
        if order is None or order.is_buy != (side == "BUY"):
            raise VenueError(-2013, "Order does not exist.")
        self.engine.amend_order(order, quantity, price)
        return self._body(order)

    def open_orders(self, account: Account, params: Params) -> object:
        """GET /openOrders: the regular book only."""
        symbol = params.text("symbol")
        if symbol:
            self.engine.venue.state(symbol)
        return [self._body(order) for order in account.open_orders(symbol)]

    def all_orders(self, account: Account, params: Params) -> object:
        """GET /allOrders."""
        symbol = params.required("symbol")
        self.engine.venue.state(symbol)
        limit = params.limit(500, 1000)
        start, end = params.span()
        first = params.integer("orderId") or 0
        rows = [
            order
            for order in account.history.values()
            if order.symbol == symbol and start <= order.created_ms <= end and order.id >= first
        ]
        return [self._body(order) for order in (rows[:limit] if first else rows[-limit:])]

    def cancel_all(self, account: Account, params: Params) -> object:
        """DELETE /allOpenOrders: the regular book only."""
        self.engine.cancel_all(account, params.required("symbol"))
        return _CANCELLED_ALL

    def countdown(self, account: Account, params: Params) -> object:
        """POST /countdownCancelAll."""
        symbol = params.required("symbol")
        self.engine.venue.state(symbol)
        wait = params.integer("countdownTime")
        if wait is None:
            raise missing("countdownTime")
        if wait:
            account.countdowns[symbol] = self.engine.told_ms + wait
        else:
            account.countdowns.pop(symbol, None)
        return {"symbol": symbol, "countdownTime": str(wait)}

    def new_batch(self, account: Account, params: Params) -> object:
        """POST /batchOrders: up to five orders, each answered by itself."""
        results: list[object] = []
        for row in _json_list(params, "batchOrders", dict[str, str | int | float | bool]):
            values = {name: _text(value) for name, value in row.items()}
            try:
                results.append(self.new_order(account, Params(values)))
            except VenueError as refusal:
                results.append({"code": refusal.code, "msg": refusal.message})
        return results

    def cancel_batch(self, account: Account, params: Params) -> object:
        """DELETE /batchOrders."""
        symbol = params.required("symbol")
        name = "orderIdList" if params.has("orderIdList") else "origClientOrderIdList"
        single = "orderId" if name == "orderIdList" else "origClientOrderId"
        results: list[object] = []
        for value in _json_list(params, name, int | str):
            try:
                results.append(self.cancel_order(account, Params({"symbol": symbol, single: str(value)})))
            except VenueError as refusal:
                results.append({"code": refusal.code, "msg": refusal.message})
        return results

    def new_algo(self, account: Account, params: Params) -> object:
        """POST /algoOrder."""
        if params.required("algoType") != "CONDITIONAL":
            raise invalid("algoType")
        algo = self.engine.place_algo(account, order_request(params, "clientAlgoId"))
        return user_events.algo_body(self.engine.states[algo.symbol], algo)

    def query_algo(self, account: Account, params: Params) -> object:
        """GET /algoOrder."""
        algo = self.engine.find_algo(account, params.integer("algoId"), params.text("clientAlgoId"))
        if algo is None:
            raise VenueError(-2013, "Order does not exist.")
        return user_events.algo_body(self.engine.states[algo.symbol], algo)

    def cancel_algo(self, account: Account, params: Params) -> object:
        """DELETE /algoOrder."""
        algo = self.engine.find_algo(account, params.integer("algoId"), params.text("clientAlgoId"))
        if algo is None:
            raise VenueError(-2011, "Unknown order sent.")
        self.engine.algos.cancel(algo)
        return {"algoId": algo.id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"}

    def open_algos(self, account: Account, params: Params) -> object:
        """GET /openAlgoOrders."""
        symbol = params.text("symbol")
        if symbol:
            self.engine.venue.state(symbol)
        states = self.engine.states
        return [user_events.algo_body(states[algo.symbol], algo) for algo in account.open_algos(symbol)]

    def all_algos(self, account: Account, params: Params) -> object:
        """GET /allAlgoOrders."""
        symbol = params.required("symbol")
        state = self.engine.venue.state(symbol)
        limit = params.limit(500, 1000)
        start, end = params.span()
        first = params.integer("algoId") or 0
        rows = [
            algo
            for algo in account.algo_history.values()
            if algo.symbol == symbol and start <= algo.created_ms <= end and algo.id >= first
        ]
        return [user_events.algo_body(state, algo) for algo in (rows[:limit] if first else rows[-limit:])]

    def cancel_all_algos(self, account: Account, params: Params) -> object:
        """DELETE /algoOpenOrders."""
        symbol = params.required("symbol")
        self.engine.venue.state(symbol)
        self.engine.cancel_all_algos(account, symbol)
        return _CANCELLED_ALL

    def user_trades(self, account: Account, params: Params) -> object:
        """GET /userTrades."""
        symbol = params.required("symbol")
        self.engine.venue.state(symbol)
        limit = params.limit(500, 1000)
        start, end = params.span()
        order_id, first = params.integer("orderId"), params.integer("fromId")
        rows = [
            trade
            for trade in account.trades
            if trade.symbol == symbol
            and start <= trade.time_ms <= end
            and (order_id is None or trade.order_id == order_id)
            and trade.id >= (first or 0)
        ]
        anchored = first is not None or params.has("startTime")
        return [
            {
                "symbol": trade.symbol,
                "id": trade.id,
                "orderId": trade.order_id,
                "side": user_events.side_text(trade.is_buy),
                "price": plain(trade.price),
                "qty": plain(trade.quantity),
                "quoteQty": plain(trade.price * trade.quantity),
                "realizedPnl": plain(trade.realized),
                "commission": plain(trade.commission),
                "commissionAsset": "USDT",
                "time": trade.time_ms,
                "positionSide": "BOTH",
                "buyer": trade.is_buy,
                "maker": trade.is_maker,
            }
            for trade in (rows[:limit] if anchored else rows[-limit:])
        ]

    def force_orders(self, account: Account, params: Params) -> object:
        """GET /forceOrders: the account's liquidations."""
        symbol = params.text("symbol")
        return [self._body(order) for order in account.forced if symbol is None or order.symbol == symbol]


def _text(value: str | int | float | bool) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _json_list(params: Params, name: str, kind: Any) -> list[Any]:
    try:
        rows = msgspec.json.decode(params.required(name), type=list[kind])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise invalid(name) from error
    if not 1 <= len(rows) <= _MAX_BATCH:
        raise invalid(name)
    return rows
