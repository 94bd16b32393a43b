"""I23 at the venue's boundary: whatever text the venue sends in whatever place, every text of every fact is plain.

Each text of each kind of frame and answer is replaced in turn by every attack; all events, and all words of all
failures, are walked. A last test looks at the event types themselves: every text field that a venue can fill was seen.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.security.hostile import ATTACKS, MARK, MARKET, ORDER_ID, REST, STREAM, SYMBOL, TEXTS, leaves, with_text
from tui_trader.clock import VenueClock, monotonic
from tui_trader.core import events as ev
from tui_trader.core.commands import QueryOrder
from tui_trader.core.instruments import Instrument
from tui_trader.core.plain import plain
from tui_trader.core.settings import DataSettings, VenueSettings
from tui_trader.core.types import VenueBook
from tui_trader.errors import VenueError
from tui_trader.venues.binance.account import Account
from tui_trader.venues.binance.client import BinanceVenue
from tui_trader.venues.binance.failures import failure
from tui_trader.venues.binance.feeds import Feeds
from tui_trader.venues.binance.rest import Rest
from tui_trader.venues.ratelimit import Budget

LONGEST = 700
Seen = set[tuple[str, str]]
"""(type, field) of the texts through which a hostile mark came."""
SEEN: Seen = set()


def texts(value: Any, where: tuple[str, str] = ("", "")) -> Iterator[tuple[tuple[str, str], str]]:
    """Every text in a fact, with the type and field that hold it."""
    if isinstance(value, str):
        yield where, str(value)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from texts(getattr(value, name), (type(value).__name__, name))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from texts(inner, where)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key, where)
            yield from texts(inner, where)


def check(facts: object) -> None:
    for where, text in texts(facts):
        assert plain(text) == text, f"{where} lets {text[:80]!r} through"
        assert len(text) <= LONGEST, f"{where} lets {len(text)} characters through"
        if MARK in text:
            SEEN.add(where)


class Fake:
    """A transport that answers from ``REST``, with one answer replaced."""

    def __init__(self) -> None:
        self.path, self.answer, self.error = "", None, None  # type: ignore[var-annotated]

    async def request(self, path: str, api: list[str], method: str, params: dict[str, object]) -> Any:
        del api, method, params
        if path == self.path:
            if self.error is not None:
                raise self.error
            return self.answer
        return REST[path]

    async def close(self) -> None:
        """Nothing to close."""


def venue(fake: Fake, sink: list[ev.Event]) -> BinanceVenue:
    made = BinanceVenue(
        rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9", key="k", secret="s", settings=VenueSettings(),
        data=DataSettings(), rng=random.Random(1), transport=fake,
    )  # fmt: skip
    made._sink = sink.append
    return made


async def ask_everything(fake: Fake) -> None:
    """Every question that a session asks; what fails is walked, too."""
    facts: list[Any] = []
    found = venue(fake, facts)
    await found._rest.open()
    query = QueryOrder(ts=1, client_id="tt-x-1-en-0", symbol=SYMBOL, book=VenueBook.REGULAR)
    calls = (
        found._reach.sync,
        found._load_instruments,
        lambda: found.snapshot(1_789_999_000_000),
        lambda: found.query(query),
        lambda: found.query(msgspec.structs.replace(query, book=VenueBook.ALGO)),
        lambda: found.candles(SYMBOL, 1),
        found.permissions,
        lambda: found.set_leverage(SYMBOL, 10),
        found._private_url,
    )
    for call in calls:
        try:
            facts.append(await call())
        except VenueError as error:
            facts.append(str(error))
            found._reach.lost(error)
    await found.aclose()
    check(facts)


def places(kind: dict[str, Any]) -> list[tuple[str, tuple[Any, ...]]]:
    return [(name, path) for name, value in kind.items() for path in leaves(value)]


@pytest.mark.parametrize("text", ATTACKS, ids=range(len(ATTACKS)))
async def test_answers(text: str) -> None:
    for name, path in places(REST):
        fake = Fake()
        fake.path, fake.answer = name, with_text(REST[name], path, text)
        await ask_everything(fake)


@pytest.mark.parametrize("text", ATTACKS, ids=range(len(ATTACKS)))
async def test_refusals(text: str) -> None:
    """Error texts of every meaning, with the venue's body, as a proxy's page, and as garbage."""
    for status in (400, 401, 403, 404, 408, 418, 429, 500, 502, 503, 200):
        for code in (-1003, -1006, -1008, -1015, -1021, -2011, -2013, -2021, -4116, -9999):
            bodies = (json.dumps({"code": code, "msg": text}), f"<html>{text}", f'{{"code": {code}, "msg": "{text}')
            for body in bodies:
                error = failure(status, body, {"Retry-After": text})
                if error is not None:
                    check([str(error)])
    fake = Fake()
    for path in REST:
        fake.path, fake.error = path, failure(400, json.dumps({"code": -2019, "msg": text}), {})
        await ask_everything(fake)


def private() -> tuple[Account, list[ev.Event]]:
    facts: list[ev.Event] = []
    clock = VenueClock()
    budget = Budget(monotonic)
    rest = Rest("http://127.0.0.1:9", "k", "s", recv_window_ms=5000, clock=clock, budget=budget)
    return Account(facts.append, clock, rest, lambda: None), facts


def market() -> tuple[Feeds, list[ev.Event]]:
    facts: list[ev.Event] = []
    feeds = Feeds(
        facts.append, VenueClock(), stale_after_s=5, soon=lambda call: call(), ask_snapshot=lambda symbol: None
    )
    feeds.know([SYMBOL])
    feeds.watch([SYMBOL])
    return feeds, facts


def frames(value: Any, stream: str) -> tuple[bytes, ...]:
    """A frame alone and in the combined form, ill-formed Unicode included."""
    body = json.dumps(value).encode()
    raw = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return body, raw, b'{"stream":"%s","data":%s}' % (stream.encode("utf-8", "surrogatepass"), raw)


def break_link(words: str) -> None:
    """The public link of a symbol whose book stands breaks with the venue's words."""
    feeds, facts = market()
    for last in (1, 2):
        feeds.on_frame(json.dumps({**MARKET["depth"], "E": 0, "U": last, "u": last, "pu": last - 1}).encode())
        feeds.book_snapshot(SYMBOL, 1, [(100.0, 1.0)], [(100.1, 1.0)], 1000)
    feeds.tick()
    assert any(isinstance(fact, ev.FeedLive) for fact in facts)
    feeds.link_down(words)
    assert isinstance(facts[-1], ev.FeedStale)
    check(facts)


def hear(value: Any, stream: str) -> None:
    account, facts = private()
    feeds, others = market()
    for raw in frames(value, stream):
        account.on_frame(raw)
        feeds.on_frame(raw)
        feeds.flush()
        feeds.tick()
    feeds.link_down(stream)
    check([facts, others, account.decoder.last_garbage, list(account.decoder.ignored), feeds.decoder.last_garbage,
           list(feeds.decoder.ignored), feeds.oddities.news(feeds.decoder, 1)])  # fmt: skip


@pytest.mark.parametrize("text", ATTACKS, ids=range(len(ATTACKS)))
def test_frames(text: str) -> None:
    break_link(text)
    for kind in (STREAM, MARKET):
        for name, path in places(kind):
            hear(with_text(kind[name], path, text), "btcusdt@aggTrade")
    for value in (*STREAM.values(), *MARKET.values()):
        hear(value, text[:100])
        hear({text[:500]: value}, "abc")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([*((STREAM, place) for place in places(STREAM)), *((MARKET, place) for place in places(MARKET))]),
    TEXTS,
)
def test_any_text_in_any_place_of_a_frame(place: tuple[dict[str, Any], tuple[str, tuple[Any, ...]]], text: str) -> None:
    kind, (name, path) = place
    hear(with_text(kind[name], path, text), "btcusdt@depth@100ms")


@settings(max_examples=200, deadline=None)
@given(st.integers(200, 599), st.integers(-9999, 9999), TEXTS, st.binary(max_size=80))
def test_any_text_in_any_refusal(status: int, code: int, text: str, tail: bytes) -> None:
    for body in (json.dumps({"code": code, "msg": text}), text, text + tail.decode("latin-1")):
        error = failure(status, body, {"Retry-After": text})
        if error is not None:
            check([str(error)])


# --- nothing forgotten ---

OURS: dict[tuple[str, str], str] = {
    ("FeedLive", "symbol"): "only of symbols that the product watches",
    ("FeedStale", "symbol"): "only of symbols that the product watches",
    ("CandleHistory", "symbol"): "named by the asker",
    ("CandleHistory", "timeframe"): "named by the asker",
    ("SendOutcome", "symbol"): "of the command",
    ("SendOutcome", "client_id"): "of the command",
    ("SendOutcome", "venue_id"): "a number as text",
    ("WorkerFailed", "worker"): "named in the code",
    ("WorkerFailed", "reason"): "an exception's words, cleaned by the supervisor",
    ("SendOutcome", "reason"): "a refusal's words, walked in test_refusals",
    ("AccountDoubt", "reason"): "written in the code",
    ("Instrument", "quote_asset"): "only contracts in USDT are taken",
}
NUMBERS = {("OrderUpdate", "venue_id"), ("Fill", "venue_id"), ("Fill", "trade_id"), ("OpenOrder", "venue_id")}
"""Texts made from what the decoder accepts as a whole number only."""


def venue_fields() -> set[tuple[str, str]]:
    """Every text field of every event that is not a person's, and of what such events hold."""
    kinds = [*ev.MarketEvent.__args__, *ev.AccountEvent.__args__, *ev.SystemEvent.__args__]
    kinds += [Instrument, ev.OpenOrder, ev.VenuePosition]
    return {
        (kind.__name__, field.name) for kind in kinds for field in msgspec.structs.fields(kind) if field.type is str
    }


async def test_every_text_field_of_every_fact_was_reached() -> None:
    """A new field fails here until somebody says where its text comes from."""
    SEEN.clear()
    for text in ATTACKS[:3]:
        test_frames(text)
        await test_answers(text)
        await test_refusals(text)
    symbols = {field for field in venue_fields() if field[1] == "symbol"}
    free = venue_fields() - symbols - set(OURS) - NUMBERS
    assert free - SEEN == set()
    assert set(OURS) <= venue_fields(), "a reason without its field"


@pytest.mark.parametrize("text", ["HOSTILE", "BTC USDT", "btcusdt", "BTC\u202eUSDT", "币安", "A" * 33, "BTC\n", ""])
async def test_no_symbol_but_a_plain_one_becomes_an_event(text: str) -> None:
    """``HOSTILE`` itself is a possible name; it is not one of the venue's contracts, so no market event bears it."""
    facts: list[Any] = []
    for kind in (STREAM, MARKET):
        for name, path in places(kind):
            if path and path[-1] == "s":
                account, private_facts = private()
                feeds, market_facts = market()
                for raw in frames(with_text(kind[name], path, text), "x@depth"):
                    account.on_frame(raw)
                    feeds.on_frame(raw)
                feeds.flush()
                facts += [*(private_facts if text != MARK else []), *market_facts]
    assert {value for (_, field), value in texts(facts) if field == "symbol"} <= {SYMBOL}
    assert ORDER_ID
