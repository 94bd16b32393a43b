"""Own orders: ids, legal transitions, monotone merging."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.core.events import OrderUpdate
from tui_trader.core.orders import LEGAL, ClientId, OrderLedger, OwnOrder, apply_update, base36, parse_client_id
from tui_trader.core.types import Leg, OrderSide, OrderStatus, OrderType, VenueBook


def order(client_id: str = "tt-abc1234-1-sl-1", **changes: object) -> OwnOrder:
    base = {
        "client_id": client_id,
        "plan_id": 1,
        "leg": Leg.STOP,
        "symbol": "BTCUSDT",
        "side": OrderSide.SELL,
        "type": OrderType.STOP_MARKET,
        "qty": Decimal("0.05"),
        "trigger_price": Decimal(42_850),
        "sent_ms": 1_000,
    }
    return OwnOrder(**(base | changes))


def update(status: OrderStatus, filled: str = "0", ts: int = 2_000, **changes: object) -> OrderUpdate:
    base = {
        "ts": ts,
        "symbol": "BTCUSDT",
        "client_id": "tt-abc1234-1-sl-1",
        "venue_id": "77",
        "book": VenueBook.ALGO,
        "status": status,
        "side": OrderSide.SELL,
        "type": OrderType.STOP_MARKET,
        "qty": Decimal("0.05"),
        "filled_qty": Decimal(filled),
    }
    return OrderUpdate(**(base | changes))


def test_i6_an_older_word_changes_nothing_and_proves_nothing() -> None:
    stop = order(leg=Leg.STOP, type=OrderType.STOP_MARKET, status=OrderStatus.SENT)
    assert apply_update(stop, update(OrderStatus.WORKING, ts=500, venue_ts=100))
    before = msgspec.structs.asdict(stop)
    assert not apply_update(stop, update(OrderStatus.WORKING, ts=900, venue_ts=99))
    assert msgspec.structs.asdict(stop) == before
    apply_update(stop, update(OrderStatus.TRIGGERED, ts=910, venue_ts=200))
    assert not apply_update(stop, update(OrderStatus.WORKING, ts=920, venue_ts=300)), "a status never goes back"
    assert apply_update(stop, update(OrderStatus.CANCELED, ts=930, venue_ts=150)), "an end is an end, however late"


def test_a_fill_that_is_only_told_counts_up_to_what_was_ordered() -> None:
    entry = order(status=OrderStatus.WORKING)
    apply_update(entry, update(OrderStatus.PARTIALLY_FILLED, filled="1E+24"))
    assert entry.filled_qty == entry.unbooked == entry.qty
    entry.booked = Decimal("0.06")
    apply_update(entry, update(OrderStatus.FILLED, filled="0.06"))
    assert entry.filled_qty == Decimal("0.06"), "what was traded beyond it counts"


def test_i6_a_cumulative_fill_never_goes_back() -> None:
    entry = order(status=OrderStatus.WORKING)
    apply_update(entry, update(OrderStatus.PARTIALLY_FILLED, filled="0.03", avg_price=Decimal(100)))
    assert not apply_update(entry, update(OrderStatus.PARTIALLY_FILLED, filled="0.01", avg_price=Decimal(90)))
    assert (entry.filled_qty, entry.avg_price) == (Decimal("0.03"), Decimal(100))


@given(
    st.from_regex(r"[a-z0-9]{7}", fullmatch=True),
    st.integers(0, 36**7 - 1),
    st.sampled_from(list(Leg)),
    st.integers(0, 36**5 - 1),
)
def test_i4_client_id_round_trips_and_fits_the_wire(epoch: str, plan: int, leg: Leg, revision: int) -> None:
    text = str(ClientId(epoch, plan, leg, revision))
    assert parse_client_id(text) == ClientId(epoch, plan, leg, revision)
    assert len(text) <= 36
    assert all(c.isalnum() or c in ".:/_-" for c in text)


@pytest.mark.parametrize("text", ["", "web_abc", "autoclose-1", "tt-ABC-1-sl-1", "tt-abc-1-xx-1", "tt-abc-1-sl-1 "])
def test_foreign_ids_are_not_ours(text: str) -> None:
    assert parse_client_id(text) is None


def test_base36_refuses_negative_numbers() -> None:
    assert base36(35) == "z"
    assert base36(36) == "10"
    with pytest.raises(ValueError, match="negative"):
        base36(-1)


def test_acknowledgement_does_not_prove_a_stop() -> None:
    stop = order()
    apply_update(stop, update(OrderStatus.WORKING, from_venue_evidence=False))
    assert stop.status is OrderStatus.WORKING
    assert not stop.proven
    apply_update(stop, update(OrderStatus.WORKING, ts=2_500))
    assert stop.proven
    assert stop.proven_ms == 2_500


def test_triggered_stop_is_not_proven_any_more() -> None:
    stop = order()
    apply_update(stop, update(OrderStatus.WORKING))
    apply_update(stop, update(OrderStatus.TRIGGERED, ts=3_000, actual_id="99"))
    assert not stop.proven
    assert (stop.triggered_ms, stop.actual_id) == (3_000, "99")


def test_cancelled_then_filled_is_believed() -> None:
    stop = order()
    apply_update(stop, update(OrderStatus.CANCELED))
    assert apply_update(stop, update(OrderStatus.FILLED, "0.05"))
    assert (stop.status, stop.filled_qty) == (OrderStatus.FILLED, Decimal("0.05"))


def test_i6_every_order_of_words_ends_alike() -> None:
    words = [
        update(OrderStatus.WORKING, ts=2_000),
        update(OrderStatus.PARTIALLY_FILLED, "0.02", ts=2_001),
        update(OrderStatus.PARTIALLY_FILLED, "0.04", ts=2_002),
        update(OrderStatus.FILLED, "0.05", ts=2_003),
    ]
    ends = set()
    for arrangement in permutations(words):
        target = order()
        for word in (*arrangement, arrangement[0]):
            apply_update(target, word)
        ends.add((target.status, target.filled_qty))
    assert ends == {(OrderStatus.FILLED, Decimal("0.05"))}


@given(
    st.lists(
        st.tuples(st.sampled_from([s for s in OrderStatus if s is not OrderStatus.INTENT]), st.integers(0, 5)),
        max_size=12,
    )
)
def test_i6_fill_never_falls_and_filled_is_final(words: list[tuple[OrderStatus, int]]) -> None:
    target = order()
    before = target.filled_qty
    for status, hundredths in words:
        was = target.status
        apply_update(target, update(status, str(Decimal(hundredths) / 100)))
        assert target.filled_qty >= before
        assert target.status is was or target.status in LEGAL[was]
        if was is OrderStatus.FILLED:
            assert target.status is OrderStatus.FILLED
        before = target.filled_qty


def test_ledger_finds_by_any_id_and_refuses_reuse() -> None:
    ledger = OrderLedger(keep_ended=1)
    first = order()
    ledger.add(first)
    with pytest.raises(ValueError, match="used before"):
        ledger.add(order())
    apply_update(first, update(OrderStatus.TRIGGERED, actual_id="99"))
    ledger.index(first)
    assert ledger.find("", "77", VenueBook.ALGO) is first
    assert ledger.find("", "77", VenueBook.REGULAR) is None, "the books number independently"
    assert ledger.find("unheard-of", "99") is first
    assert ledger.live() == [first]
    second = order("tt-abc1234-2-sl-1", plan_id=2)
    ledger.add(second)
    ledger.release_plan(1)
    ledger.release_plan(2)
    assert [o.client_id for o in ledger] == [second.client_id]
    assert ledger.find("", "99") is None


def test_a_stop_that_is_replaced_for_days_leaves_a_bounded_ledger_and_no_live_order_is_forgotten() -> None:
    ledger = OrderLedger(keep_ended=20, keep_settled=10)
    resting = order("tt-abc1234-1-sl-0")
    ledger.add(resting)
    unheard = order("tt-abc1234-1-en-1")
    unheard.status, unheard.filled_qty = OrderStatus.FILLED, unheard.qty
    ledger.add(unheard)
    for number in range(1, 500):
        old = order(f"tt-abc1234-1-sl-{base36(number)}")
        old.status = OrderStatus.REJECTED
        ledger.add(old)
        assert len(ledger.of_plan(1)) <= 22
    assert len(list(ledger)) <= 42
    assert ledger.of_plan(1)[:2] == [resting, unheard]
    gone = next(o for o in ledger if o not in ledger.of_plan(1))
    apply_update(gone, update(OrderStatus.WORKING))
    ledger.index(gone)
    assert ledger.of_plan(1)[-1] is gone, "what the venue says is alive belongs to its plan again"
