"""Conditional ("algo") orders: the venue's second book. A trigger turns one into a regular order with a new id."""

from decimal import Decimal

from tui_trader.exchange import filters, user_events
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.orders import (
    CANCELED,
    CONDITIONAL_TYPES,
    EXPIRED,
    FINISHED,
    REJECTED,
    TIMES_IN_FORCE,
    TRIGGERED,
    TRIGGERING,
    AlgoOrder,
    Order,
    OrderRequest,
)
from tui_trader.exchange.reject import VenueError, invalid, missing, not_required
from tui_trader.exchange.symbol_state import SymbolState
from tui_trader.exchange.trading import Trading, check_common
from tui_trader.exchange.venue import Venue

_CLOSABLE = frozenset({"STOP_MARKET", "TAKE_PROFIT_MARKET"})
_PRICED = frozenset({"STOP", "TAKE_PROFIT"})
_TRAILING = "TRAILING_STOP_MARKET"
_NO_POSITION = (
    "Time in Force (TIF) GTE can only be used with open positions. Please ensure that positions are available."
)


class AlgoDesk:
    """Places, watches and triggers conditional orders."""

    def __init__(self, venue: Venue, trading: Trading) -> None:
        self.venue = venue
        self.trading = trading
        self.stuck: list[tuple[int, AlgoOrder]] = []
        """Triggered, and not yet through to the matching engine: (venue time at which it gets there, order)."""

    def place(self, account: Account, request: OrderRequest) -> AlgoOrder:
        """Validate and accept a conditional order. No margin is checked before the trigger."""
        state = self.venue.state(request.symbol)
        if request.kind not in CONDITIONAL_TYPES:
            raise VenueError(-1116, "Invalid orderType.")
        check_common(account, request)
        if request.working_type not in {"CONTRACT_PRICE", "MARK_PRICE"}:
            raise invalid("workingType")
        algo = self._build(account, state, request)
        self._check(state, algo, request)
        algo.id = self.venue.new_algo_id()
        account.has_dated = account.has_dated or bool(algo.good_till_ms)
        algo.client_id = algo.client_id or f"algo_{algo.id}"
        account.algos[algo.id] = algo
        account.remember_algo(algo)
        state.algos[algo.id] = algo
        state.looked_at = None
        self._report(state, algo)
        return algo

    def _build(self, account: Account, state: SymbolState, request: OrderRequest) -> AlgoOrder:
        trailing = request.kind == _TRAILING
        algo = AlgoOrder(
            id=0,
            account=account,
            symbol=request.symbol,
            client_id=request.client_id or "",
            is_buy=request.is_buy,
            kind=request.kind,
            time_in_force=self._time_in_force(request),
            lots=self._lots(state, request),
            price=filters.price_ticks(state, request.price) if request.kind in _PRICED else 0,
            trigger=0 if trailing else filters.price_ticks(state, request.trigger_price, "triggerPrice"),
            created_ms=self.venue.told_ms(),
            updated_ms=self.venue.told_ms(),
            reduce_only=request.reduce_only or request.close_position,
            close_position=request.close_position,
            working_type=request.working_type,
            price_protect=request.price_protect,
            stp_mode=request.stp_mode,
            good_till_ms=request.good_till_ms,
        )
        if request.kind not in _PRICED and request.price is not None:
            raise not_required("price")
        if trailing:
            self._arm_trailing(state, algo, request)
        return algo

    def _time_in_force(self, request: OrderRequest) -> str:
        force = request.time_in_force or "GTC"
        if force not in TIMES_IN_FORCE and force != "GTE_GTC":
            raise VenueError(-1115, "Invalid timeInForce.")
        return "GTE_GTC" if request.close_position else force

    def _lots(self, state: SymbolState, request: OrderRequest) -> int:
        if not request.close_position:
            return filters.quantity_lots(state, request.quantity, request.kind not in _PRICED)
        if request.kind not in _CLOSABLE:
            text = f"Target strategy invalid for orderType '{request.kind}',closePosition 'true'"
            raise VenueError(-4136, text)
        if request.quantity is not None:
            raise VenueError(-4137, "Quantity must be zero with closePosition equals true")
        if request.reduce_only:
            raise not_required("reduceonly")
        return 0

    def _arm_trailing(self, state: SymbolState, algo: AlgoOrder, request: OrderRequest) -> None:
        rate = request.callback_rate
        if rate is None:
            raise missing("callbackRate")
        if not Decimal("0.1") <= rate <= 10:
            raise VenueError(-2007, "Invalid callBack rate.")
        if request.trigger_price is not None:
            raise not_required("triggerPrice")
        algo.callback_rate = rate
        price = self._watched(state, algo)
        if request.activate_price is None:
            algo.activated, algo.extreme = True, price
            return
        algo.activate = filters.price_ticks(state, request.activate_price, "activatePrice")
        if (algo.activate >= price) if algo.is_buy else (algo.activate <= price):
            raise VenueError(-4135, "Invalid activation price")

    def _check(self, state: SymbolState, algo: AlgoOrder, request: OrderRequest) -> None:
        account = algo.account
        filters.check_symbol_open(state, algo.reduce_only)
        if algo.client_id and any(algo.client_id == other.client_id for other in account.algos.values()):
            raise VenueError(-4116, "ClientOrderId is duplicated.")
        if len(account.algos) >= filters.MAX_ALGO_ORDERS:
            raise VenueError(-4045, "Reach max stop order limit.")
        if algo.time_in_force == "GTE_GTC" and not self._reducible(algo):
            raise VenueError(-4509, _NO_POSITION)
        if algo.reduce_only and self._is_unseen(algo):
            raise VenueError(-4509, _NO_POSITION)
        if algo.close_position and any(self._same_direction(algo, other) for other in account.algos.values()):
            text = "An open stop or take profit order with GTE and closePosition in the direction is existing."
            raise VenueError(-4130, text)
        if not algo.close_position:
            filters.check_notional(state, request, algo.price or algo.trigger, algo.lots)
        if algo.trigger and self._is_reached(algo, self._watched(state, algo)):
            raise VenueError(-2021, "Order would immediately trigger.")

    def _is_unseen(self, algo: AlgoOrder) -> bool:
        """Return whether, by a fault, this desk does not know yet of the position that the order would reduce."""
        faults, position = self.venue.faults, algo.account.positions.get(algo.symbol)
        if faults is None or position is None or not position.lots:
            return False
        return faults.misses_position(algo.symbol, algo.close_position, position.opened_ms, self.venue.now_ms)

    def _same_direction(self, algo: AlgoOrder, other: AlgoOrder) -> bool:
        return (
            other.close_position
            and other.symbol == algo.symbol
            and other.is_buy == algo.is_buy
            and other.is_take_profit == algo.is_take_profit
        )

    def _reducible(self, algo: AlgoOrder) -> int:
        return self.trading.reducible(algo.account, algo.symbol, algo.is_buy)

    def _watched(self, state: SymbolState, algo: AlgoOrder) -> float:
        """Return the price that the order watches, in ticks."""
        if algo.working_type == "MARK_PRICE":
            return state.mark / state.prices.unit_float
        return float(state.last_price)

    def _is_reached(self, algo: AlgoOrder, price: float) -> bool:
        return price >= algo.trigger if algo.triggers_above else price <= algo.trigger

    def _report(self, state: SymbolState, algo: AlgoOrder) -> None:
        replica = self.venue.replicas.get(algo.account)
        if replica is not None:
            replica.note_algo(algo, self.venue.now_ms)
        self.venue.emit(algo.account, user_events.algo_update(state, algo, self.venue.told_ms()))

    def cancel(self, algo: AlgoOrder, status: str = CANCELED) -> None:
        """End a waiting conditional order; raise -2011 when it no longer waits."""
        if not algo.is_open:
            raise VenueError(-2011, "Unknown order sent.")
        state = self.venue.states[algo.symbol]
        self._leave(state, algo)
        algo.status = status
        self._report(state, algo)

    def _leave(self, state: SymbolState, algo: AlgoOrder) -> None:
        algo.account.algos.pop(algo.id, None)
        state.algos.pop(algo.id, None)
        algo.updated_ms = self.venue.told_ms()

    def check(self, state: SymbolState) -> None:
        """Trigger everything the current prices reach, including what the triggered orders cause."""
        while not state.halted and state.looked_at != (state.last_price, state.mark):
            state.looked_at = (state.last_price, state.mark)
            for algo in list(state.algos.values()):
                if algo.is_open and self._should_fire(state, algo):
                    self._fire(state, algo)
                    state.looked_at = None
        self.sweep(state)

    def sweep(self, state: SymbolState) -> None:
        """Finish conditionals whose order ended, and expire close-position ones whose position is gone."""
        done = self.trading.on_order_done
        if done:
            self.trading.on_order_done = []
        for order in done:
            if order.algo is not None and order.algo.status == TRIGGERED:
                order.algo.status = FINISHED
                order.algo.updated_ms = self.venue.told_ms()
                self._report(self.venue.states[order.symbol], order.algo)
        bound = [algo for algo in state.algos.values() if algo.time_in_force == "GTE_GTC"]
        for algo in bound:
            if not self._reducible(algo):
                self.cancel(algo, EXPIRED)

    def _should_fire(self, state: SymbolState, algo: AlgoOrder) -> bool:
        price = self._watched(state, algo)
        if algo.kind != _TRAILING:
            return self._is_reached(algo, price)
        if not algo.activated:
            reached = price <= algo.activate if algo.is_buy else price >= algo.activate
            if reached:
                algo.activated, algo.extreme = True, price
                self._report(state, algo)
            return False
        share = float(algo.callback_rate) / 100
        if algo.is_buy:
            algo.extreme = min(algo.extreme, price)
            return price >= algo.extreme * (1 + share)
        algo.extreme = max(algo.extreme, price)
        return price <= algo.extreme * (1 - share)

    def _fire(self, state: SymbolState, algo: AlgoOrder) -> None:
        self._leave(state, algo)
        algo.status = TRIGGERING
        algo.triggered_ms = self.venue.told_ms()
        self._report(state, algo)
        faults = self.venue.faults
        fate, ms = faults.at_trigger(algo.symbol, algo.close_position) if faults is not None else ("", 0)
        if fate == "stuck":
            algo.account.algos[algo.id] = algo
            self.stuck.append((self.venue.now_ms + ms, algo))
        elif fate:
            reason = "The matching engine refused the order." if fate == "reject" else ""
            self._fail(state, algo, REJECTED if fate == "reject" else EXPIRED, reason)
        else:
            self._send(state, algo)

    def _fail(self, state: SymbolState, algo: AlgoOrder, status: str, reason: str) -> None:
        algo.status = status
        algo.reject_reason = reason
        self._report(state, algo)

    def release(self, all_of_them: bool = False) -> None:
        """Let through the orders that were stuck after their trigger and whose time has come."""
        waiting, self.stuck = self.stuck, []
        for due_ms, algo in waiting:
            if due_ms > self.venue.now_ms and not all_of_them:
                self.stuck.append((due_ms, algo))
                continue
            state = self.venue.states[algo.symbol]
            self._leave(state, algo)
            self._send(state, algo)
            self.check(state)

    def lose(self, algo: AlgoOrder) -> None:
        """Forget a waiting order without a word, as an exchange does that restarts from an old image."""
        account = algo.account
        account.algos.pop(algo.id, None)
        account.algo_history.pop(algo.id, None)
        self.venue.states[algo.symbol].algos.pop(algo.id, None)
        self.stuck = [row for row in self.stuck if row[1] is not algo]
        replica = self.venue.replicas.get(account)
        if replica is not None:
            replica.note_loss(algo.id, True, self.venue.now_ms)

    def _send(self, state: SymbolState, algo: AlgoOrder) -> None:
        """Hand a triggered order to the matching engine."""
        if algo.close_position:
            algo.lots = self._reducible(algo)
            if not algo.lots:
                self._fail(state, algo, EXPIRED, "")
                return
        order = self._regular_order(state, algo)
        try:
            filters.check_symbol_open(state, algo.reduce_only)
            if order.kind == "MARKET":
                filters.check_market_price(state, order.is_buy)
            else:
                filters.check_percent_price(state, order.is_buy, order.price)
            self.trading.admit(state, order)
        except VenueError as refusal:
            self._fail(state, algo, REJECTED, refusal.message)
            return
        algo.status = TRIGGERED
        algo.order = order
        order.algo = algo
        order.id = self.venue.new_order_id()
        self._report(state, algo)
        self.trading.accept_as(state, order)

    def _regular_order(self, state: SymbolState, algo: AlgoOrder) -> Order:
        """Return the order a trigger sends; it keeps the conditional's client id unless that one is in use."""
        in_use = any(algo.client_id == other.client_id for other in algo.account.orders.values())
        force = algo.time_in_force if algo.kind in _PRICED and algo.time_in_force != "GTE_GTC" else "GTC"
        return Order(
            id=0,
            account=algo.account,
            symbol=algo.symbol,
            client_id=f"algo_{algo.id}" if in_use else algo.client_id,
            is_buy=algo.is_buy,
            kind="LIMIT" if algo.kind in _PRICED else "MARKET",
            time_in_force=force,
            price=algo.price,
            lots=algo.lots,
            created_ms=self.venue.told_ms(),
            updated_ms=self.venue.told_ms(),
            reduce_only=algo.reduce_only,
            close_position=algo.close_position,
            original_kind=algo.kind,
            stop_price=algo.trigger or round(algo.extreme),
            working_type=algo.working_type,
            price_protect=algo.price_protect,
            stp_mode=algo.stp_mode,
            good_till_ms=algo.good_till_ms,
        )
