"""Every command survives a round trip through JSON as the tagged union."""

from __future__ import annotations

import typing
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.core.test_events import whole
from tui_trader.core import commands as cmd
from tui_trader.core.types import Leg, OrderSide, OrderType, VenueBook

COMMANDS = typing.get_args(cmd.Command)
DECODER = msgspec.json.Decoder(cmd.Command)


@pytest.mark.parametrize("kind", [k for k in COMMANDS if k is not cmd.Record], ids=lambda k: k.__name__)
def test_round_trip_through_json(kind: type[msgspec.Struct]) -> None:
    @hypothesis_settings(max_examples=15)
    @given(command=whole(kind))
    def check(command: msgspec.Struct) -> None:
        again = DECODER.decode(msgspec.json.encode(command))
        assert type(again) is kind
        assert again == command

    check()


plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)


@given(
    data=st.dictionaries(st.text(max_size=5), plain | st.lists(plain, max_size=3), max_size=4), durable=st.booleans()
)
def test_a_record_of_plain_values_round_trips(data: dict[str, object], durable: bool) -> None:
    record = cmd.Record(ts=1, kind="state", data=data, durable=durable)
    assert DECODER.decode(msgspec.json.encode(record)) == record


@pytest.mark.parametrize("kind", list(OrderType))
def test_the_type_decides_the_book(kind: OrderType) -> None:
    order = cmd.PlaceOrder(
        ts=1,
        client_id="tt-e-1-sl-1",
        plan_id=1,
        leg=Leg.STOP,
        symbol="BTCUSDT",
        side=OrderSide.SELL,
        type=kind,
        qty=Decimal(1),
        reduce_only=True,
        approval=cmd.Approval(sequence=1, max_qty=Decimal(1), exit=True),
    )
    assert order.book is (VenueBook.REGULAR if kind in (OrderType.MARKET, OrderType.LIMIT) else VenueBook.ALGO)


def test_an_order_cannot_be_made_without_an_approval() -> None:
    with pytest.raises(TypeError):
        cmd.PlaceOrder(  # type: ignore[call-arg]
            ts=1,
            client_id="x",
            plan_id=1,
            leg=Leg.ENTRY,
            symbol="BTCUSDT",
            side=OrderSide.BUY,
            type=OrderType.MARKET,
            qty=Decimal(1),
            reduce_only=False,
        )


def test_tags_are_the_class_names() -> None:
    assert [k.__struct_config__.tag for k in COMMANDS] == [k.__name__ for k in COMMANDS]
