"""Price-time priority, conservation of quantity, and a book that never crosses."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tui_trader.exchange.accounts import Account
from tui_trader.exchange.matching import OrderBook
from tui_trader.exchange.orders import ZERO, Order

ONE, TWO = Account(1, "a", "a", ZERO), Account(2, "b", "b", ZERO)


class Tape:
    """Records matches; every resting order may trade in full."""

    def __init__(self) -> None:
        self.matches: list[tuple[int | None, int, int]] = []
        self.expired: list[int] = []

    def fillable(self, order: Order) -> int:
        return order.remaining

    def on_match(self, maker: Order | None, price: int, lots: int) -> None:
        self.matches.append((maker.id if maker else None, price, lots))

    def on_expired(self, maker: Order) -> None:
        self.expired.append(maker.id)


def make(number: int, is_buy: bool, price: int, lots: int, account: Account = ONE) -> Order:
    return Order(number, account, "X", str(number), is_buy, "LIMIT", "GTC", price, lots, 0)


def test_anonymous_quantity_that_was_there_first_trades_first() -> None:
    book, tape = OrderBook(), Tape()
    book.set_anonymous(True, 100, 5)
    book.rest(make(1, True, 100, 3))
    book.set_anonymous(True, 100, 9)
    book.rest(make(2, True, 100, 2))
    assert book.execute(False, 11, None, None, tape) == 0
    assert tape.matches == [(None, 100, 5), (1, 100, 3), (None, 100, 3)]
    tape.matches.clear()
    assert book.execute(False, 10, 100, None, tape) == 7
    assert tape.matches == [(None, 100, 1), (2, 100, 2)]
    assert book.bids.best() is None


def test_anonymous_cancellations_come_from_the_back() -> None:
    book, tape = OrderBook(), Tape()
    book.set_anonymous(False, 200, 6)
    book.rest(make(1, False, 200, 4))
    book.set_anonymous(False, 200, 10)
    book.set_anonymous(False, 200, 7)
    book.execute(True, 7, None, None, tape)
    assert tape.matches == [(None, 200, 6), (1, 200, 1)]
    book.set_anonymous(False, 200, 0)
    assert book.asks.quantity(200) == 3


def test_a_quote_through_an_order_trades_with_it_at_the_orders_price() -> None:
    book, tape = OrderBook(), Tape()
    book.set_anonymous(True, 99, 5)
    book.rest(make(1, True, 100, 4))
    book.apply_levels([(False, 98, 10), (True, 99, 0)], tape)
    assert tape.matches == [(1, 100, 4)]
    assert (book.bids.best(), book.asks.best(), book.asks.quantity(98)) == (None, 98, 6)


def test_own_resting_orders_expire_instead_of_trading() -> None:
    book, tape = OrderBook(), Tape()
    book.rest(make(1, False, 100, 4, ONE))
    book.rest(make(2, False, 100, 4, TWO))
    taker = make(3, True, 100, 6, ONE)
    assert book.execute(True, 6, 100, taker, tape) == 2
    assert (tape.expired, tape.matches) == ([1], [(2, 100, 4)])


LEVEL = st.tuples(st.booleans(), st.integers(90, 110), st.integers(0, 8))
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("quote"), LEVEL),
        st.tuples(st.just("limit"), LEVEL),
        st.tuples(st.just("market"), LEVEL),
        st.tuples(st.just("cancel"), LEVEL),
    ),
    max_size=60,
)


@given(ACTIONS)
def test_quantity_is_conserved_and_the_book_never_crosses(actions: list[tuple[str, Any]]) -> None:
    book, tape = OrderBook(), Tape()
    orders: dict[int, Order] = {}
    for number, (kind, (is_buy, price, lots)) in enumerate(actions):
        tape.matches.clear()
        before = _totals(book)
        best = book.side(not is_buy).best()
        if kind == "quote":
            book.apply_levels([(is_buy, price, lots)], tape)
        elif kind == "market":
            left = book.execute(is_buy, lots, None, None, tape)
            traded = sum(row[2] for row in tape.matches)
            assert traded + left == lots
            assert left == 0 or not book.side(not is_buy).keys
            assert _totals(book)[not is_buy] == before[not is_buy] - traded
        elif kind == "limit" and lots:
            order = make(number, is_buy, price, lots, ONE if is_buy else TWO)
            order.filled = lots - book.execute(is_buy, lots, price, order, _Accepting(tape))
            if order.remaining:
                book.rest(order)
                orders[number] = order
        elif kind == "cancel" and orders:
            order = orders.pop(next(iter(orders)))
            if order.resting:
                book.remove(order)
        _check_prices(tape, is_buy, best)
        bid, ask = book.bids.best(), book.asks.best()
        assert bid is None or ask is None or bid < ask
        for side in (book.bids, book.asks):
            assert side.keys == sorted(side.keys)
            assert all(quantity > 0 for _, quantity in side.levels())
            assert Counter(side.keys) == Counter({side.sign * price: 1 for price in {*side.anonymous, *side.own}})


class _Accepting(Tape):
    """Writes into another tape."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.matches = tape.matches


def _totals(book: OrderBook) -> dict[bool, int]:
    return {is_bid: sum(lots for _, lots in book.side(is_bid).levels()) for is_bid in (True, False)}


def _check_prices(tape: Tape, is_buy: bool, best: int | None) -> None:
    """Trades start at the best price and never improve for the taker as it walks the book."""
    prices = [row[1] for row in tape.matches]
    assert prices == sorted(prices, reverse=not is_buy)
    assert not prices or best is None or prices[0] == best
