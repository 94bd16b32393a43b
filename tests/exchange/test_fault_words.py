"""What a faulty venue says is unreadable where it should be, and in the venue's words where it should be."""

import json
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.exchange import fault_words as words
from tui_trader.exchange.fault_rules import FaultKind, FaultRule

_JSON = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4))


def unreadable(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return True
    return False


@given(_JSON, st.integers(0, 2**31))
def test_mangled_text_cannot_be_taken_for_a_message(value: object, seed: int) -> None:
    text = json.dumps({"e": "ORDER_TRADE_UPDATE", "q": value})
    result = words.mangled(text, seed)
    assert unreadable(result)
    assert result == words.mangled(text, seed)


def test_mangling_takes_many_forms() -> None:
    forms = [words.mangled('{"e":"x","o":{"q":"0.010"}}', seed) for seed in range(200)]
    assert any(form.startswith(b"[[[[") for form in forms), "deep nesting"
    assert any(b"\x00" in form or b"\xff" in form for form in forms), "bytes that are no text"
    assert any(form and b'{"e":"x","o":{"q":"0.010"}}'.startswith(form) for form in forms), "cut short"
    assert unreadable(words.mangled("", 1))


def test_a_garbled_frame_may_be_valid_and_still_mean_nothing() -> None:
    rng = random.Random(1)
    forms = [words.garbled('{"e":"TRADE_LITE","s":"BTCUSDT","q":"1"}', rng) for _ in range(200)]
    valid = [json.loads(form) for form in forms if isinstance(form, str)]
    assert {form["e"] for form in valid} == {"SURPRISE_UPDATE", "TRADE_LITE"}
    foreign = [form["s"] for form in valid if form["e"] == "TRADE_LITE"]
    assert not any(symbol.isascii() for symbol in foreign)
    assert all(unreadable(form) for form in forms if isinstance(form, bytes))


@pytest.mark.parametrize(
    "payload",
    [
        '{"e":"bookTicker","b":"10.0","B":"1","a":"10.1","A":"2"}',
        '{"e":"depthUpdate","b":[["10.0","1"],["9.0","1"]],"a":[["11.0","1"],["12.0","1"]]}',
        '{"e":"depthUpdate","b":[],"a":[["11.0","1"]]}',
        '{"e":"depthUpdate","b":[["10.0","1"],["9.0","1"]],"a":[]}',
    ],
)
def test_crossed_books_are_crossed(payload: str) -> None:
    body = json.loads(words.crossed(payload))
    if isinstance(body["b"], str):
        assert float(body["b"]) > float(body["a"])
        return
    before = json.loads(payload)
    bids, asks = (max((float(p) for p, _ in body["b"]), default=0), min((float(p) for p, _ in body["a"]), default=99))
    known = [float(price) for price, _ in before["a"]] or [min(float(price) for price, _ in before["b"])]
    assert bids >= asks or bids >= max(known)


@pytest.mark.parametrize("payload", ['{"e":"depthUpdate","b":[],"a":[]}', "[1]", '{"e":"x"}'])
def test_what_is_no_book_stays(payload: str) -> None:
    assert json.loads(words.crossed(payload)) == json.loads(payload)


def test_a_huge_frame_is_valid_json_of_its_size() -> None:
    frame = words.huge(FaultRule(FaultKind.huge_frame, size=5_000))
    assert len(frame) == 5_000
    assert json.loads(frame)["e"] == "noise"
    assert len(words.huge(FaultRule(FaultKind.huge_frame))) == 64 * 1024 * 1024


def test_an_outage_speaks_like_a_front_end() -> None:
    replies = [words.outage(random.Random(seed)) for seed in range(30)]
    assert {reply.status for reply in replies} == {500, 502, 503, 504}
    assert all(reply.body.startswith("<html>") for reply in replies)
