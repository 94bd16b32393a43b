"""Every event survives a round trip through JSON as the tagged union, so that a recording replays exactly."""

from __future__ import annotations

import types
import typing
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tui_trader.core import events as ev
from tui_trader.core.instruments import Instrument

EVENTS = typing.get_args(ev.Event)
DECODER = msgspec.json.Decoder(ev.Event)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
exact = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=8)


SIMPLE = {Decimal: exact, float: numbers}


def values(kind: object) -> st.SearchStrategy[object]:
    """A strategy for one field's type; structs are built field by field, because JSON is what is compared."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    origin = typing.get_origin(kind)
    if origin is types.UnionType:
        return st.one_of(*(values(i) for i in typing.get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return whole(kind)
    if origin is tuple:
        inner = typing.get_args(kind)
        if inner[-1] is Ellipsis:
            return st.lists(values(inner[0]), max_size=3).map(tuple)
        return st.tuples(*(values(i) for i in inner))
    return st.from_type(kind)


def whole(kind: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    """Any value of a struct type."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: values(hints[name]) for name in kind.__struct_fields__})


@pytest.mark.parametrize("kind", EVENTS, ids=lambda k: k.__name__)
def test_round_trip_through_json(kind: type[msgspec.Struct]) -> None:
    @hypothesis_settings(max_examples=15)
    @given(event=whole(kind))
    def check(event: msgspec.Struct) -> None:
        again = DECODER.decode(msgspec.json.encode(event))
        assert type(again) is kind
        assert again == event

    check()


def test_tags_are_the_class_names_and_unique() -> None:
    tags = [kind.__struct_config__.tag for kind in EVENTS]
    assert tags == [kind.__name__ for kind in EVENTS]
    assert len(set(tags)) == len(tags)


def test_events_are_frozen() -> None:
    with pytest.raises(AttributeError):
        ev.Timer(ts=1).ts = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    "text", [b"{}", b'{"event":"Nope","ts":1}', b'{"event":"Timer"}', b'{"event":"Timer","ts":"x"}', b"[", b"\xff"]
)
def test_what_is_no_event_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        DECODER.decode(text)


def test_decimals_travel_as_text_without_loss() -> None:
    event = ev.PositionUpdate(
        ts=1, symbol="BTCUSDT", qty=Decimal("-0.10"), entry_price=Decimal("43500.123456789012345")
    )
    assert b'"-0.10"' in msgspec.json.encode(event)
    assert DECODER.decode(msgspec.json.encode(event)) == event
    it = Instrument(symbol="BTCUSDT", base_asset="BTC")
    assert msgspec.json.decode(msgspec.json.encode(it), type=Instrument) == it
