"""The venue's frames as typed structs: which letter is which field, what may be missing, what no level may be."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest

from tests.fuzz import seeds
from tui_trader.venues.binance import messages as m

KINDS = {
    "depthUpdate": m.DepthUpdate,
    "bookTicker": m.BookTicker,
    "aggTrade": m.AggTrade,
    "trade": m.Trade,
    "kline": m.Kline,
    "markPriceUpdate": m.MarkPriceUpdate,
    "24hrTicker": m.Ticker,
    "ORDER_TRADE_UPDATE": m.OrderTradeUpdate,
    "ACCOUNT_UPDATE": m.AccountUpdate,
    "ALGO_UPDATE": m.AlgoUpdate,
    "TRADE_LITE": m.TradeLite,
    "listenKeyExpired": m.ListenKeyExpired,
}


def said(name: str) -> list[dict[str, object]]:
    """What the simulated exchange says under this name, without the envelope."""
    found = []
    for frame in (*seeds.market_frames(), *seeds.private_frames()):
        body = json.loads(frame)
        body = body.get("data", body) if isinstance(body, dict) else body
        found += [row for row in (body if isinstance(body, list) else [body]) if row.get("e") == name]
    assert found, "the simulated exchange never says it"
    return found


def read(kind: object, text: str) -> object:
    return msgspec.json.decode(text, type=kind, strict=False)


def test_each_event_name_has_one_struct() -> None:
    for name, kind in KINDS.items():
        config = kind.__struct_config__
        assert (config.tag_field, config.tag) == ("e", name)
    assert set(m.Single.__args__) == set(KINDS.values())


@pytest.mark.parametrize("name", KINDS)
def test_what_the_exchange_says_is_read_without_loss_of_its_fields(name: str) -> None:
    """Each letter of a struct stands in the frame."""
    for frame in said(name)[:20]:
        assert isinstance(read(m.Single, json.dumps(frame)), KINDS[name])
        for field in msgspec.structs.fields(KINDS[name]):
            assert field.encode_name in frame


@pytest.mark.parametrize("name", KINDS)
def test_a_frame_that_lacks_what_it_must_have_is_refused(name: str) -> None:
    frame = said(name)[0]
    for field in msgspec.structs.fields(KINDS[name]):
        if field.required:
            short = {key: value for key, value in frame.items() if key != field.encode_name}
            with pytest.raises(msgspec.ValidationError, match="missing required field"):
                read(m.Single, json.dumps(short))


def test_a_recorded_diff_is_read_exactly() -> None:
    frame = '{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":5,"u":6,"pu":4,"b":[["64346.70","589.8041"]],"a":[]}'
    assert read(m.Single, frame) == m.DepthUpdate("BTCUSDT", 5, 6, 4, [(64346.7, 589.8041)], [], 1)
    assert read(m.PartialDepth, frame) == m.PartialDepth("BTCUSDT", 6, [(64346.7, 589.8041)], [])


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity", "-inf", "1e309", "", "x", None, True, [], "0x10"])
def test_no_level_has_an_impossible_price(price: object) -> None:
    frame = {"e": "depthUpdate", "s": "X", "U": 1, "u": 2, "pu": 0, "b": [[price, "1"]], "a": []}
    if price is True:
        price = "true"
    with pytest.raises((msgspec.ValidationError, msgspec.DecodeError)):
        read(m.Single, json.dumps(frame))


@pytest.mark.parametrize("qty", ["-0.1", "NaN", "Infinity", "x", None])
def test_no_level_has_an_impossible_quantity_and_zero_takes_it_away(qty: object) -> None:
    frame = {"e": "depthUpdate", "s": "X", "U": 1, "u": 2, "pu": 0, "b": [], "a": [["5", qty]]}
    with pytest.raises(msgspec.ValidationError):
        read(m.Single, json.dumps(frame))
    frame["a"] = [["5", "0.000"]]
    assert read(m.Single, json.dumps(frame)).asks == [(5.0, 0.0)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("level", [["5"], [], "5", ["5", "1", "2"], {"p": "5"}])
def test_a_level_is_a_pair(level: object) -> None:
    frame = {"e": "depthUpdate", "s": "X", "U": 1, "u": 2, "pu": 0, "b": [level], "a": []}
    with pytest.raises(msgspec.ValidationError):
        read(m.Single, json.dumps(frame))


def test_account_numbers_stay_exact() -> None:
    body = read(m.BalanceBody, '{"a":"USDT","wb":"9974.250997760000001"}')
    assert body == m.BalanceBody("USDT", Decimal("9974.250997760000001"), Decimal(0))
    position = read(m.PositionBody, '{"s":"BTCUSDT","pa":"-0.040","ep":"43500.1"}')
    assert position == m.PositionBody("BTCUSDT", Decimal("-0.040"), Decimal("43500.1"), "BOTH")


def test_what_an_order_event_may_leave_out_has_harmless_values() -> None:
    least = {"s": "B", "c": "x", "S": "BUY", "o": "LIMIT", "x": "NEW", "X": "NEW", "i": 1, "q": "1", "p": "2", "T": 3}
    body = read(m.OrderBody, json.dumps(least))
    assert isinstance(body, m.OrderBody)
    assert (body.last_qty, body.filled_qty, body.trade_id, body.fee, body.fee_asset) == (0, 0, 0, 0, None)
    assert (body.reduce_only, body.close_position, body.original_type, body.expiry_reason) == (False, False, "", "0")


def test_what_a_conditional_order_event_may_leave_out_has_harmless_values() -> None:
    least = {"caid": "x", "aid": 5, "o": "STOP_MARKET", "s": "B", "S": "SELL", "q": "1", "X": "NEW"}
    body = read(m.AlgoBody, json.dumps(least))
    assert isinstance(body, m.AlgoBody)
    assert (body.actual_id, body.filled_qty, body.trigger_price, body.reject_reason) == ("", 0, 0, "")
    assert read(m.AlgoBody, json.dumps(least | {"ai": 77})).actual_id == 77  # type: ignore[attr-defined]


@pytest.mark.parametrize(("rate", "read_as"), [('""', ""), ('"0.0001"', "0.0001"), ("0.0001", 0.0001)])
def test_a_funding_rate_may_be_empty(rate: str, read_as: object) -> None:
    """Contracts without funding say an empty text; what it means is decided where it becomes an event."""
    frame = f'{{"e":"markPriceUpdate","s":"X","p":"1","r":{rate}}}'
    assert read(m.Single, frame).rate == read_as  # type: ignore[attr-defined]


def test_an_answer_has_an_id_or_an_error() -> None:
    assert read(m.Answer, '{"result":null,"id":1}') == m.Answer(id=1)
    refused = read(m.Answer, '{"id":"x","error":{"code":2,"msg":"Invalid request"}}')
    assert refused == m.Answer(id="x", error={"code": 2, "msg": "Invalid request"})


def test_no_struct_takes_part_in_garbage_collection() -> None:
    """Millions are made an hour; none can be part of a cycle."""
    for kind in (*KINDS.values(), m.PartialDepth, m.OrderBody, m.AlgoBody, m.AccountBody, m.Answer, m.Ignored):
        assert not kind.__struct_config__.gc
