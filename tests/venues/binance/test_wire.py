"""Frames of 2023–2026 decode to typed messages; everything else is counted and never raises."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.core.events import Fill, OrderUpdate
from tui_trader.core.types import OrderStatus
from tui_trader.venues.binance import messages as m
from tui_trader.venues.binance import orders
from tui_trader.venues.binance.wire import Decoder

DIFF = (
    b'{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","ps":"BTCUSDT","U":5,"u":6,"pu":4,'
    b'"b":[],"a":[["64346.70","589.8041"]],"st":1}'
)
ORDER = (
    b'{"e":"ORDER_TRADE_UPDATE","T":7,"E":8,"o":{"s":"ETHUSDT","c":"a-1-en-0","S":"SELL","o":"LIMIT","f":"GTX","q":"0.473",'
    b'"p":"2463.26","ap":"2463.26","sp":"0","x":"TRADE","X":"FILLED","i":81,"l":"0.473","z":"0.473","L":"2463.26","n":"0.23",'
    b'"N":"USDT","T":6,"t":99,"b":"0","a":"1","m":true,"R":false,"wt":"CONTRACT_PRICE","ot":"LIMIT","ps":"BOTH","cp":false,'
    b'"rp":"0","pP":false,"si":0,"ss":0,"V":"EXPIRE_MAKER","pm":"NONE","gtd":0,"er":"0"}}'
)


def combined(stream: bytes, data: bytes) -> bytes:
    return b'{"stream":"' + stream + b'","data":' + data + b"}"


def test_a_diff_raw_and_combined_is_the_same() -> None:
    decoder = Decoder()
    raw, wrapped = decoder.decode(DIFF), decoder.decode(combined(b"btcusdt@depth@100ms", DIFF))
    assert raw == wrapped == m.DepthUpdate("BTCUSDT", 5, 6, 4, [], [(64346.7, 589.8041)], 1)
    swapped = b'{"data":' + DIFF + b',"stream":"btcusdt@depth@100ms"}'
    assert decoder.decode(swapped) == raw
    assert decoder.garbage == 0


def test_partial_depth_is_told_by_the_stream_name() -> None:
    assert isinstance(Decoder().decode(combined(b"btcusdt@depth20@100ms", DIFF)), m.PartialDepth)


def test_a_listen_key_that_expired_says_when_as_text() -> None:
    assert Decoder().decode(b'{"e":"listenKeyExpired","E":"1693427319838","listenKey":"K"}') == m.ListenKeyExpired(
        1693427319838
    )


def test_an_unknown_event_is_ignored_and_counted() -> None:
    decoder = Decoder()
    assert decoder.decode(combined(b"x@forceOrder", b'{"e":"forceOrder","o":{}}')) == m.Ignored("forceOrder")
    assert decoder.decode(b'{"e":"STRATEGY_UPDATE"}') == m.Ignored("STRATEGY_UPDATE")
    assert (decoder.garbage, sum(decoder.ignored.values())) == (0, 2)


def test_one_odd_row_does_not_hide_the_others() -> None:
    good = b'{"e":"markPriceUpdate","s":"BTCUSDT","p":"10","i":"10","r":"0.0001","T":5}'
    odd = b'{"e":"markPriceUpdate","s":"X","p":"","i":"","r":"","T":0}'
    decoder = Decoder()
    message = decoder.decode(combined(b"!markPrice@arr@1s", b"[" + good + b"," + odd + b"]"))
    assert isinstance(message, list)
    assert [row.symbol for row in message] == ["BTCUSDT"]
    assert decoder.garbage == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[",
        b"{}",
        b"null",
        b"\xff\xfe\x00",
        b'{"stream":"',
        b'{"stream":"b\xff@depth","data":{}}',
        DIFF[:-20],
        DIFF.replace(b'"589.8041"', b'"many"'),
        b'{"e":"depthUpdate"}',
        b'{"id":' + b"[" * 100_000,
        b'{"e":"depthUpdate","b":' + b"[" * 100_000,
        b" " * (64 * 1024 * 1024),
    ],
)
def test_garbage_is_counted_and_never_raises(raw: bytes) -> None:
    decoder = Decoder()
    assert isinstance(decoder.decode(raw), m.Unparsed)
    assert decoder.garbage == 1


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(raw: bytes) -> None:
    Decoder().decode(raw)


@given(st.integers(0, len(ORDER) - 1), st.integers(0, 255))
def test_any_flipped_byte_of_an_order_event_is_survived(at: int, value: int) -> None:
    message = Decoder().decode(ORDER[:at] + bytes([value]) + ORDER[at + 1 :])
    if isinstance(message, m.OrderTradeUpdate):
        try:
            facts = orders.stream_order(message, 1)
        except orders.WireError:
            return
        assert all(isinstance(fact, Fill | OrderUpdate) for fact in facts)


def test_a_fill_comes_before_the_state_it_led_to() -> None:
    message = Decoder().decode(ORDER)
    assert isinstance(message, m.OrderTradeUpdate)
    fill, update = orders.stream_order(message, 5)
    assert isinstance(fill, Fill)
    assert (fill.trade_id, fill.qty, fill.price, fill.fee, fill.maker) == (
        "99", Decimal("0.473"), Decimal("2463.26"), Decimal("0.23"), True,
    )  # fmt: skip
    assert isinstance(update, OrderUpdate)
    assert (update.status, update.filled_qty, update.client_id) == (OrderStatus.FILLED, Decimal("0.473"), "a-1-en-0")


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"1e999999999"])
def test_impossible_account_numbers_never_become_facts(value: bytes) -> None:
    message = Decoder().decode(ORDER.replace(b'"n":"0.23"', b'"n":"' + value + b'"'))
    assert isinstance(message, m.OrderTradeUpdate)
    with pytest.raises(orders.WireError):
        orders.stream_order(message, 5)


@pytest.mark.parametrize(
    ("status", "filled", "expected"),
    [
        ("NEW", "0", OrderStatus.WORKING),
        ("TRIGGERING", "0", OrderStatus.TRIGGERED),
        ("TRIGGERED", "0", OrderStatus.TRIGGERED),
        ("FINISHED", "0.1", OrderStatus.FILLED),
        ("FINISHED", "0", OrderStatus.CANCELED),
        ("EXPIRED", "0", OrderStatus.EXPIRED),
    ],
)
def test_finished_looks_at_the_quantity_executed(status: str, filled: str, expected: OrderStatus) -> None:
    answer = msgspec.convert(
        {
            "symbol": "BTCUSDT", "algoId": 4, "clientAlgoId": "c", "algoStatus": status, "side": "SELL",
            "orderType": "STOP_MARKET", "quantity": "0.1", "actualQty": filled, "actualOrderId": "",
        },
        orders.AlgoAnswer,
        strict=False,
    )  # fmt: skip
    assert orders.algo_order_update(answer, 1).status is expected
