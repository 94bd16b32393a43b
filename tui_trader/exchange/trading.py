"""Regular orders: placing, amending, cancelling, and booking what the book matches."""

from decimal import Decimal

from tui_trader.exchange import filters, margin, user_events
from tui_trader.exchange.accounts import MAKER_FEE, TAKER_FEE, Account, money
from tui_trader.exchange.orders import (
    CANCELED,
    CONDITIONAL_TYPES,
    EXPIRED,
    EXPIRED_IN_MATCH,
    FILLED,
    PARTIALLY_FILLED,
    TIMES_IN_FORCE,
    ZERO,
    AccountTrade,
    Order,
    OrderRequest,
)
from tui_trader.exchange.reject import VenueError, invalid, missing, not_required
from tui_trader.exchange.symbol_state import SymbolState
from tui_trader.exchange.user_events import Fill
from tui_trader.exchange.venue import Venue
from tui_trader.exchange.wire import trimmed

_MARKET_SLACK = Decimal("1.0005")
"""Market orders are margined slightly above the touch, as the venue does."""


class Trading:
    """Executes orders in the books and keeps accounts in step. The listener of every match."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.on_order_done: list[Order] = []
        """Orders of conditional origin that reached an end since the last look."""
        self._state: SymbolState | None = None
        self._taker: Order | None = None
        self._taker_buys = False
        self._touched: set[tuple[Account, str]] = set()

    def apply_levels(self, state: SymbolState, levels: list[tuple[bool, int, int]]) -> None:
        """Apply the maker's quotes; what crosses participants' orders trades with them."""
        self._state, self._taker = state, None
        book = state.book
        book.eaten.clear()
        own = book.bids.own or book.asks.own
        if own:
            self._apply_against_orders(state, levels)
        else:
            book.apply_levels(levels, self)

    def _apply_against_orders(self, state: SymbolState, levels: list[tuple[bool, int, int]]) -> None:
        """Bids and asks separately, reductions of both first, so that the taker's side of each trade is known."""
        book = state.book
        reductions = [row for row in levels if row[2] <= book.side(row[0]).anonymous.get(row[1], 0)]
        book.apply_levels(reductions, self)
        for is_buy in (True, False):
            self._taker_buys = is_buy
            state.begin_taker()
            rows = [row for row in levels if row[0] is is_buy]
            book.apply_levels(rows, self)

    def anonymous(self, state: SymbolState, is_buy: bool, lots: int) -> None:
        """Execute one anonymous market order."""
        self._run(state, is_buy, lots, None, None)

    def _run(self, state: SymbolState, is_buy: bool, lots: int, limit: int | None, taker: Order | None) -> int:
        self._state, self._taker, self._taker_buys = state, taker, is_buy
        state.begin_taker()
        if taker is None:
            return state.book.execute(is_buy, lots, limit, None, self)
        side = state.book.side(not is_buy)
        before = side.best()
        left = state.book.execute(is_buy, lots, limit, taker, self)
        after = side.best()
        if before is not None and after is not None:
            state.impact += after - before
        return left

    def fillable(self, order: Order) -> int:
        """Return how much of a resting order may trade: all, or what is left to reduce."""
        if not order.reduce_only:
            return order.remaining
        return min(order.remaining, self.reducible(order.account, order.symbol, order.is_buy))

    def on_match(self, maker: Order | None, price: int, lots: int) -> None:
        """Book a trade for whoever took part in it."""
        state, taker = self._state, self._taker
        if state is None:
            return
        trade_id = state.record(price, lots, self._taker_buys, self.venue.told_ms())
        if maker is not None:
            self._book(state, maker, price, lots, trade_id, is_maker=True)
        if taker is not None:
            taker.filled += lots
            taker.notional += price * lots
            self._book(state, taker, price, lots, trade_id, is_maker=False)

    def on_expired(self, maker: Order) -> None:
        """A resting order ended without trading."""
        same_owner = self._taker is not None and self._taker.account is maker.account
        self._end(self.venue.states[maker.symbol], maker, EXPIRED_IN_MATCH if same_owner else EXPIRED)

    def _book(self, state: SymbolState, order: Order, ticks: int, lots: int, trade_id: int, is_maker: bool) -> None:
        venue, account, spec = self.venue, order.account, state.spec
        now = venue.told_ms()
        price, quantity = state.prices.decimal(ticks), state.lots.decimal(lots)
        position = account.position(spec)
        before = position.lots
        realized = position.apply(order.is_buy, lots, price)
        if position.lots and (not before or (before > 0) != (position.lots > 0)):
            position.opened_ms = venue.now_ms
        commission = money(price * quantity * (MAKER_FEE if is_maker else TAKER_FEE))
        position.fees += commission if position.lots else ZERO
        position.updated_ms = order.updated_ms = now
        order.realized += realized
        if realized:
            venue.income(account, spec.symbol, "REALIZED_PNL", realized, str(trade_id))
        venue.income(account, spec.symbol, "COMMISSION", -commission, str(trade_id))
        trade = AccountTrade(
            trade_id,
            order.id,
            order.client_id,
            spec.symbol,
            order.is_buy,
            is_maker,
            price,
            quantity,
            commission,
            realized,
            now,
        )
        account.trades.append(trade)
        order.status = PARTIALLY_FILLED if order.remaining else FILLED
        if not order.remaining:
            self._forget(order)
        fill = Fill(trade_id, ticks, lots, is_maker, commission, realized)
        venue.emit(account, user_events.trade_lite(state, order, fill, now))
        self.report(state, order, "CALCULATED" if order.liquidation else "TRADE", fill)
        rows = [(position, state.mark_decimal())]
        venue.emit(account, user_events.account_update(account, "ORDER", now, rows, ZERO))
        self._touched.add((account, spec.symbol))

    def report(self, state: SymbolState, order: Order, execution: str, fill: Fill | None = None) -> None:
        """Emit an ORDER_TRADE_UPDATE."""
        bids, asks = margin.open_notionals(order.account, state)
        notionals = (trimmed(bids), trimmed(asks))
        now = self.venue.told_ms()
        replica = self.venue.replicas.get(order.account)
        if replica is not None:
            replica.note_order(order, self.venue.now_ms)
        self.venue.emit(order.account, user_events.order_update(state, order, execution, now, notionals, fill))

    def _forget(self, order: Order) -> None:
        order.account.orders.pop(order.id, None)
        if order.algo is not None:
            self.on_order_done.append(order)

    def _end(self, state: SymbolState, order: Order, status: str) -> None:
        """Close an order that is no longer in the book."""
        order.status = status
        order.updated_ms = self.venue.told_ms()
        self._forget(order)
        self.report(state, order, "CANCELED" if status == CANCELED else "EXPIRED")

    def settle(self) -> None:
        """After an execution: expire reduce-only orders that have nothing left to reduce."""
        if not self._touched:
            return
        touched, self._touched = self._touched, set()
        for account, symbol in touched:
            for order in account.open_orders(symbol):
                if order.reduce_only and not self.reducible(account, symbol, order.is_buy):
                    self.expire(order)

    def expire(self, order: Order, status: str = EXPIRED) -> None:
        """Take an open order out of the book and close it."""
        state = self.venue.states[order.symbol]
        if order.resting:
            state.book.remove(order)
        self._end(state, order, status)

    def reducible(self, account: Account, symbol: str, is_buy: bool) -> int:
        """Return the lots an order of that side could close."""
        position = account.positions.get(symbol)
        return position.reducible(is_buy) if position else 0

    def build(self, account: Account, request: OrderRequest) -> tuple[SymbolState, Order]:
        """Validate a request and return the order it would make, without an id. Raises `VenueError`."""
        state = self.venue.state(request.symbol)
        if request.kind in CONDITIONAL_TYPES:
            text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
            raise VenueError(-4120, text)
        if request.kind not in {"LIMIT", "MARKET"}:
            raise VenueError(-1116, "Invalid orderType.")
        check_common(account, request)
        is_market = request.kind == "MARKET"
        force = _time_in_force(request, is_market)
        lots = filters.quantity_lots(state, request.quantity, is_market)
        if is_market and request.price is not None:
            raise not_required("price")
        ticks = 0 if is_market else filters.price_ticks(state, request.price)
        order = Order(
            id=0,
            account=account,
            symbol=request.symbol,
            client_id=request.client_id or "",
            is_buy=request.is_buy,
            kind=request.kind,
            time_in_force=force,
            price=ticks,
            lots=lots,
            created_ms=self.venue.told_ms(),
            updated_ms=self.venue.told_ms(),
            reduce_only=request.reduce_only,
            stp_mode=request.stp_mode,
            good_till_ms=request.good_till_ms,
        )
        self._check(state, order, request)
        return state, order

    def _check(self, state: SymbolState, order: Order, request: OrderRequest) -> None:
        account = order.account
        filters.check_symbol_open(state, order.reduce_only)
        if order.kind == "LIMIT":
            filters.check_percent_price(state, order.is_buy, order.price)
        else:
            filters.check_market_price(state, order.is_buy)
        filters.check_notional(state, request, order.price, order.lots)
        if any(order.client_id and order.client_id == other.client_id for other in account.orders.values()):
            raise VenueError(-4116, "ClientOrderId is duplicated.")
        if len(account.open_orders(order.symbol)) >= filters.MAX_OPEN_ORDERS:
            raise VenueError(-2025, "Reach max open order limit.")
        self.admit(state, order)

    def admit(self, state: SymbolState, order: Order) -> None:
        """Check position and margin: -2022, -4118, -2019, -2027, -5021, -5022."""
        if order.reduce_only:
            self._check_reduce_only(order)
        else:
            self._check_margin(state, order)
        opposite = state.book.side(not order.is_buy).best()
        crosses = opposite is not None and (order.price >= opposite if order.is_buy else order.price <= opposite)
        if order.time_in_force == "GTX" and crosses:
            text = (
                "Due to the order could not be executed as maker, the Post Only order will be rejected. "
                "The order will not be recorded in the order history"
            )
            raise VenueError(-5022, text)
        if order.time_in_force == "FOK" and order.kind == "LIMIT":
            depth = state.book.available(order.is_buy, order.price, order.lots, order, self)
            if depth < order.lots:
                text = (
                    "Due to the order could not be filled immediately, the FOK order has been rejected. "
                    "The order will not be recorded in the order history"
                )
                raise VenueError(-5021, text)

    def _check_reduce_only(self, order: Order) -> None:
        closable = self.reducible(order.account, order.symbol, order.is_buy)
        if not closable:
            raise VenueError(-2022, "ReduceOnly Order is rejected.")
        if order.kind == "MARKET":
            return
        resting = sum(
            other.remaining
            for other in order.account.open_orders(order.symbol)
            if other.reduce_only and other.is_buy == order.is_buy and other is not order
        )
        if resting and resting + order.remaining > closable:
            text = "ReduceOnly Order Failed. Please check your existing position and open orders"
            raise VenueError(-4118, text)

    def _check_margin(self, state: SymbolState, order: Order) -> None:
        account, spec = order.account, state.spec
        price = self._margin_price(state, order)
        notional = price * state.lots.decimal(order.remaining)
        extra = (notional, ZERO) if order.is_buy else (ZERO, notional)
        before = margin.exposure(account, state)
        after = margin.exposure(account, state, *extra)
        if after <= before:
            return
        if after > margin.MAX_NOTIONAL:
            raise VenueError(-2027, "Exceeded the maximum allowable position at current leverage.")
        leverage = account.leverage_of(spec)
        needed = (after - before) / leverage + notional * TAKER_FEE
        if needed > margin.summary(self.venue, account).available:
            raise VenueError(-2019, "Margin is insufficient.")

    def _margin_price(self, state: SymbolState, order: Order) -> Decimal:
        if order.price:
            return state.prices.decimal(order.price)
        best = state.book.side(not order.is_buy).best()
        touch = state.prices.decimal(best) if best is not None else state.mark_decimal()
        return touch * _MARKET_SLACK if order.is_buy else max(touch, state.mark_decimal())

    def place(self, account: Account, request: OrderRequest) -> Order:
        """Validate, accept and execute an order. Raises `VenueError` when it is refused."""
        state, order = self.build(account, request)
        self.accept(state, order)
        return order

    def accept(self, state: SymbolState, order: Order) -> None:
        """Give an admitted order its id, execute it, and rest or expire what remains."""
        order.id = self.venue.new_order_id()
        self.accept_as(state, order)

    def accept_as(self, state: SymbolState, order: Order) -> None:
        """Accept an order that has its id already."""
        order.client_id = order.client_id or f"web_{order.id}"
        order.account.has_dated = order.account.has_dated or bool(order.good_till_ms)
        order.account.orders[order.id] = order
        order.account.remember(order)
        self.report(state, order, "NEW")
        self.execute(state, order)

    def fill_outright(self, state: SymbolState, order: Order) -> None:
        """Fill an order of the venue's own at its price, against nobody in the book, as deleveraging does."""
        order.id = self.venue.new_order_id()
        order.account.orders[order.id] = order
        order.account.remember(order)
        self.report(state, order, "NEW")
        state.trade_id += 1
        order.filled, order.notional = order.lots, order.lots * order.price
        self._book(state, order, order.price, order.lots, state.trade_id, is_maker=False)
        self.settle()

    def lose(self, order: Order) -> None:
        """Forget an open order without a word, as an exchange does that restarts from an old image."""
        account = order.account
        if order.resting:
            self.venue.states[order.symbol].book.remove(order)
        del account.orders[order.id]
        replica = self.venue.replicas.get(account)
        if order.filled:
            order.status = EXPIRED
        else:
            account.history.pop(order.id, None)
        if replica is not None and not order.filled:
            replica.note_loss(order.id, False, self.venue.now_ms)

    def execute(self, state: SymbolState, order: Order) -> None:
        """Match an accepted order now and finish its remainder by its time in force."""
        lots = order.remaining
        if order.reduce_only:
            lots = min(lots, self.reducible(order.account, order.symbol, order.is_buy))
        limit = order.price or self._protective_limit(state, order)
        self._run(state, order.is_buy, lots, limit, order)
        if order.is_open:
            if order.kind == "LIMIT" and order.time_in_force in {"GTC", "GTX", "GTD"}:
                state.book.rest(order)
            else:
                self._end(state, order, EXPIRED)
        self.settle()

    def _protective_limit(self, state: SymbolState, order: Order) -> int | None:
        """Return the worst price a market order may reach; liquidations take any."""
        if order.liquidation:
            return None
        low, high = filters.percent_bounds(state)
        return int((high if order.is_buy else low) / state.spec.tick_size)

    def cancel(self, order: Order) -> None:
        """Cancel an open order; raise -2011 when it is closed."""
        if not order.is_open:
            raise VenueError(-2011, "Unknown order sent.")
        self.expire(order, CANCELED)

    def amend(self, order: Order, quantity: Decimal, price: Decimal) -> None:
        """Change price and quantity of an open limit order; it keeps its place only when it just shrinks."""
        if not order.is_open or order.kind != "LIMIT":
            raise VenueError(-2013, "Order does not exist.")
        state = self.venue.states[order.symbol]
        ticks = filters.price_ticks(state, price)
        lots = filters.quantity_lots(state, quantity, market=False)
        if ticks == order.price and lots == order.lots:
            raise VenueError(-5027, "No need to modify the order.")
        filters.check_percent_price(state, order.is_buy, ticks)
        if lots <= order.filled:
            self.cancel(order)
            return
        if ticks == order.price and lots < order.lots:
            state.book.reduce(order, lots)
            order.updated_ms = self.venue.told_ms()
            self.report(state, order, "AMENDMENT")
            return
        self._move(state, order, lots, ticks)

    def _move(self, state: SymbolState, order: Order, lots: int, ticks: int) -> None:
        """Re-admit an order at its new terms; a refusal leaves the old order where it was."""
        former = (order.lots, order.price)
        del order.account.orders[order.id]
        state.book.remove(order)
        order.lots, order.price = lots, ticks
        try:
            self.admit(state, order)
        except VenueError:
            order.lots, order.price = former
            order.account.orders[order.id] = order
            state.book.rest(order)
            raise
        order.account.orders[order.id] = order
        order.updated_ms = self.venue.told_ms()
        self.report(state, order, "AMENDMENT")
        self.execute(state, order)


def check_common(account: Account, request: OrderRequest) -> None:
    """Checks that regular and conditional orders share: client id, position side, self-trade prevention."""
    filters.check_client_id(request.client_id)
    if account.dual_side or request.position_side != "BOTH":
        raise VenueError(-4061, "Order's position side does not match user's setting.")
    if request.stp_mode not in {"EXPIRE_MAKER", "NONE"}:
        raise invalid("selfTradePreventionMode")


def _time_in_force(request: OrderRequest, is_market: bool) -> str:
    force = request.time_in_force
    if is_market:
        if force is not None:
            raise not_required("timeInForce")
        return "GTC"
    if force is None:
        raise missing("timeInForce")
    if force not in TIMES_IN_FORCE:
        raise VenueError(-1115, "Invalid timeInForce.")
    if force == "GTD" and not request.good_till_ms:
        raise missing("goodTillDate")
    return force
