"""State machines of Hypothesis: one order under every sequence of the venue's words, and the money under every
interleaving of fills.

The venue's truth goes on by itself (fills, an end); what it ever said may be heard late, twice, in any order, next to
bare acknowledgements. Whatever is heard, nothing goes back and each trade counts once; once all is heard, the order is
what the venue says.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, precondition, rule

from tui_trader.core.events import Fill, FundingPayment, OrderUpdate
from tui_trader.core.limits import LossLimits, OrderRate
from tui_trader.core.orders import LEGAL, OrderLedger, OwnOrder, apply_update
from tui_trader.core.portfolio import Portfolio
from tui_trader.core.types import DAY_MS, ZERO, Leg, OrderSide, OrderStatus, OrderType, VenueBook

QTY = Decimal("0.010")
STEP = Decimal("0.001")
CID = "tt-abc1234-1-t1-1"
SYMBOL = "BTCUSDT"
_S = OrderStatus


def said(status: OrderStatus, filled: Decimal, venue_ts: int, *, evidence: bool = True) -> OrderUpdate:
    """The venue's word about the one order."""
    return OrderUpdate(
        ts=1_000 + venue_ts,
        symbol=SYMBOL,
        client_id=CID,
        venue_id="77",
        book=VenueBook.REGULAR,
        status=status,
        side=OrderSide.SELL,
        type=OrderType.LIMIT,
        qty=QTY,
        filled_qty=filled,
        avg_price=Decimal(100) if filled else ZERO,
        from_venue_evidence=evidence,
        venue_ts=venue_ts,
    )


def traded(number: int, qty: Decimal, venue_ts: int) -> Fill:
    """One execution of the one order."""
    return Fill(
        ts=1_000 + venue_ts,
        symbol=SYMBOL,
        client_id=CID,
        venue_id="77",
        trade_id=str(number),
        side=OrderSide.SELL,
        qty=qty,
        price=Decimal(100),
        fee=ZERO,
        fee_asset="USDT",
        maker=True,
        realized_pnl=ZERO,
        venue_ts=venue_ts,
    )


class OneOrder(RuleBasedStateMachine):
    """The ledger's order and the portfolio against the venue's own order."""

    words = Bundle("words")
    trades = Bundle("trades")

    def __init__(self) -> None:
        super().__init__()
        self.order = OwnOrder(
            client_id=CID,
            plan_id=1,
            leg=Leg.TP1,
            symbol=SYMBOL,
            side=OrderSide.SELL,
            type=OrderType.LIMIT,
            qty=QTY,
            price=Decimal(100),
            sent_ms=1_000,
        )
        self.ledger = OrderLedger()
        self.ledger.add(self.order)
        self.portfolio = Portfolio()
        self.clock = 1
        self.filled = ZERO
        self.ended: OrderStatus | None = None
        self.all_words = [said(_S.WORKING, ZERO, 1)]
        self.all_trades: list[Fill] = []
        self.counted: set[str] = set()
        self.evidence = False
        self.before = (self.order.status, ZERO, ZERO)

    @rule(target=words)
    def venue_takes_it(self) -> OrderUpdate:
        """The order rests."""
        return self.all_words[0]

    @precondition(lambda self: self.ended is None)
    @rule(target=words, steps=st.integers(1, 10))
    def venue_fills(self, steps: int) -> object:
        """A part trades, or all of the rest."""
        self.clock += 1
        part = min(steps * STEP, QTY - self.filled)
        self.filled += part
        status = _S.FILLED if self.filled == QTY else _S.PARTIALLY_FILLED
        self.ended = status if status is _S.FILLED else None
        self.all_trades.append(traded(len(self.all_trades) + 1, part, self.clock))
        self.all_words.append(said(status, self.filled, self.clock))
        return self.all_words[-1]

    @precondition(lambda self: self.ended is None)
    @rule(target=words, status=st.sampled_from((_S.CANCELED, _S.EXPIRED)))
    def venue_ends(self, status: OrderStatus) -> OrderUpdate:
        """It ends unfilled, or with what was filled."""
        self.clock += 1
        self.ended = status
        self.all_words.append(said(status, self.filled, self.clock))
        return self.all_words[-1]

    @precondition(lambda self: bool(self.all_trades))
    @rule(target=trades, index=st.integers(0, 9))
    def venue_reports(self, index: int) -> object:
        """An execution can be heard."""
        return multiple(self.all_trades[index % len(self.all_trades)])

    @rule(word=words, evidence=st.booleans(), dated=st.booleans())
    def hear(self, word: OrderUpdate, evidence: bool, dated: bool) -> None:
        """A word is heard: late, again, as a bare acknowledgement, or from an answer without a date."""
        self._remember()
        stamp = word.venue_ts if dated else 0
        self._apply(said(word.status, word.filled_qty, stamp, evidence=evidence))
        self.evidence |= evidence

    @rule(status=st.sampled_from((_S.SENT, _S.UNKNOWN, _S.INTENT)))
    def hear_nonsense(self, status: OrderStatus) -> None:
        """A status that no venue says changes nothing."""
        if self.order.status in (_S.SENT, _S.UNKNOWN):
            return
        self._remember()
        was = self.order.status
        assert not apply_update(self.order, said(status, ZERO, self.clock, evidence=False))
        assert self.order.status is was

    @precondition(lambda self: self.order.status is _S.SENT)
    @rule()
    def answer_is_lost(self) -> None:
        """The outcome is unknown."""
        self._remember()
        self.order.status = _S.UNKNOWN

    @rule(fill=trades)
    def hear_trade(self, fill: Fill) -> None:
        """An execution is heard, maybe again."""
        self._remember()
        if self.portfolio.is_new(fill):
            assert fill.trade_id not in self.counted, "a trade counts once"
            self.portfolio.book_fill(fill)
            self.order.booked += fill.qty
            self.order.filled_qty = max(self.order.filled_qty, self.order.booked)
            self.counted.add(fill.trade_id)
        else:
            assert fill.trade_id in self.counted

    def _remember(self) -> None:
        self.before = (self.order.status, self.order.filled_qty, self.order.booked)

    def _apply(self, word: OrderUpdate) -> None:
        order = self.ledger.find(word.client_id, word.venue_id)
        assert order is self.order
        status, filled = order.status, order.filled_qty
        changed = apply_update(order, word)
        assert changed == ((status, filled) != (order.status, order.filled_qty))

    @invariant()
    def nothing_goes_back(self) -> None:
        """I6."""
        status, filled, booked = self.before
        assert self.order.status is status or self.order.status in LEGAL[status]
        assert self.order.filled_qty >= filled
        assert self.order.booked >= booked
        assert self.order.filled_qty <= self.filled, "no more than the venue ever said"
        assert self.order.booked <= self.filled

    @invariant()
    def only_evidence_proves(self) -> None:
        """An acknowledgement alone proves nothing."""
        assert not self.order.proven or self.evidence

    @invariant()
    def position_is_the_sum_of_the_trades(self) -> None:
        """I7."""
        total = sum((t.qty for t in self.all_trades if t.trade_id in self.counted), ZERO)
        assert self.portfolio.position(SYMBOL).qty == -total
        assert self.order.booked == total

    def teardown(self) -> None:
        """When all was heard, in whatever order, the order is the venue's."""
        for word in self.all_words:
            self._apply(word)
        for fill in self.all_trades:
            self._remember()
            self.hear_trade(fill)
        assert self.order.filled_qty == self.filled == self.order.booked
        assert self.order.unbooked == 0
        if self.ended is not None:
            assert self.order.status is self.ended
            assert not self.order.live
        else:
            assert self.order.status is (_S.PARTIALLY_FILLED if self.filled else _S.WORKING)


TestOneOrder = OneOrder.TestCase
TestOneOrder.settings = settings(max_examples=150, stateful_step_count=40)


FILLS = st.lists(
    st.tuples(st.sampled_from(("A", "B")), st.sampled_from(list(OrderSide)), st.integers(1, 9), st.integers(1, 60)),
    min_size=1,
    max_size=14,
)


def _fills(rows: list[tuple[str, OrderSide, int, int]]) -> list[Fill]:
    return [
        Fill(
            ts=index,
            symbol=symbol,
            client_id="",
            venue_id="1",
            trade_id=str(index),
            side=side,
            qty=qty * STEP,
            price=Decimal(price) * 100,
            fee=Decimal(qty) / 100,
            fee_asset="USDT",
            maker=False,
            realized_pnl=ZERO,
            venue_ts=index,
        )
        for index, (symbol, side, qty, price) in enumerate(rows, 1)
    ]


def _near(one: Decimal, other: Fraction) -> bool:
    """Equal but for the 28 digits of a decimal quotient."""
    return abs(Fraction(one) - other) < Fraction(1, 10**18)


@given(FILLS, st.randoms(use_true_random=False), st.integers(0, 3))
@settings(max_examples=200)
def test_quantity_and_money_are_conserved_under_any_interleaving(
    rows: list[tuple[str, OrderSide, int, int]], rng: object, copies: int
) -> None:
    """Cash spent and got, plus what is open at its entry, is what was realised: in every order, with every copy."""
    fills = _fills(rows)
    heard = fills * (copies + 1)
    rng.shuffle(heard)  # type: ignore[attr-defined]
    portfolio, realized = Portfolio(), dict.fromkeys("AB", ZERO)
    for fill in heard:
        if portfolio.is_new(fill):
            realized[fill.symbol] += portfolio.book_fill(fill)
    for symbol in "AB":
        mine = [fill for fill in fills if fill.symbol == symbol]
        position = portfolio.position(symbol)
        assert position.qty == sum((f.qty * f.side.sign for f in mine), ZERO)
        cash = sum((-Fraction(f.qty) * f.side.sign * Fraction(f.price) for f in mine), Fraction(0))
        assert _near(realized[symbol], cash + Fraction(position.qty) * Fraction(position.entry))
        assert (position.entry == 0) == (position.qty == 0)
    assert portfolio.fills_cursor_ms == len(fills)
    assert {p.symbol for p in portfolio.open_positions()} == {s for s in "AB" if portfolio.position(s).qty}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(-50, 50)), max_size=20))
def test_a_funding_payment_counts_once(rows: list[tuple[str, int]]) -> None:
    portfolio, booked = Portfolio(), ZERO
    for tran, amount in rows:
        payment = FundingPayment(ts=1, symbol=SYMBOL, amount=Decimal(amount), venue_ts=1, tran_id=tran)
        if portfolio.is_new_funding(payment):
            booked += payment.amount
    first = dict(reversed(rows))
    assert booked == sum(first.values())


@given(
    st.lists(
        st.tuples(st.sampled_from(("equity", "transfer", "store", "day")), st.integers(-400, 400)),
        max_size=25,
    )
)
def test_a_loss_limit_once_reached_stays_reached_that_day(steps: list[tuple[str, int]]) -> None:
    """Transfers are no profit, a store in between changes nothing, a latch falls only with the day (daily) or a person
    (total)."""
    from tests.core.build import settings as packaged

    rules = packaged(limits={"daily_loss_frac": 0.05, "total_loss_frac": 0.10}).limits
    limits, equity, now = LossLimits(rules), Decimal(1_000), DAY_MS * 20_000
    limits.update(now, equity)
    latched_daily = latched_total = False
    for what, amount in steps:
        if what == "transfer":
            before = (limits.day_pnl(equity), limits.total_pnl(equity))
            equity += amount
            limits.transfer(Decimal(amount))
            assert before == (limits.day_pnl(equity), limits.total_pnl(equity))
        elif what == "store":
            limits = LossLimits.from_state(rules, limits.to_state())
        elif what == "day":
            now += DAY_MS
            latched_daily = False
        else:
            equity += amount
        limits.update(now, equity)
        latched_daily |= limits.daily_reached
        latched_total |= limits.total_reached
        assert (limits.daily_reached, limits.total_reached) == (latched_daily, latched_total)
        assert bool(limits.refusals()) == (latched_daily or latched_total)


@given(st.lists(st.integers(0, 90_000), min_size=1, max_size=60))
def test_orders_of_the_last_minute_are_counted_exactly(gaps: list[int]) -> None:
    rate, times = OrderRate(), []
    now = 0
    for gap in gaps:
        now += gap
        rate.record(now)
        times.append(now)
        assert rate.count(now) == sum(now - t <= 60_000 for t in times)
