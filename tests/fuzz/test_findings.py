"""What damaged bytes once broke, each as the smallest case that shows it. New findings of a campaign are added here."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from decimal import Decimal
from math import nan
from pathlib import Path

import pytest

from tests.fuzz import rules
from tests.fuzz import seeds as good
from tests.fuzz.file_targets import Store
from tests.fuzz.targets import BTC, NOW_MS, AccountReads, Control, FrozenClock, Market, Private, RestAnswers
from tui_trader.core.book import MOST_OLDER, LocalBook
from tui_trader.core.events import BookTop, Event, Fill, KlineUpdate, MarkPrice, OrderUpdate, PositionUpdate
from tui_trader.errors import VenueError, VenueUnreachable
from tui_trader.venues.binance import instruments as contracts
from tui_trader.venues.binance import orders as wire
from tui_trader.venues.binance.account import _PAGE, Account
from tui_trader.venues.binance.answers import candle
from tui_trader.venues.binance.failures import failure
from tui_trader.venues.binance.feeds import Feeds
from tui_trader.venues.text import clean


def public(events: list[Event]) -> Feeds:
    """Feeds that watch BTCUSDT and flush at once."""
    feeds = Feeds(
        events.append,
        FrozenClock(),
        stale_after_s=1e9,
        soon=lambda flush: flush(),
        ask_snapshot=lambda symbol: None,
    )
    feeds.know((BTC,))
    feeds.watch((BTC,))
    events.clear()
    return feeds


def private(events: list[Event]) -> Account:
    """The reader of private frames."""
    return Account(events.append, FrozenClock(), None, lambda: None)  # type: ignore[arg-type]


def trade_frame(**changes: object) -> bytes:
    """An ORDER_TRADE_UPDATE with a fill."""
    order = {
        "s": BTC, "c": "tt-a-1-en-1", "S": "BUY", "o": "LIMIT", "x": "TRADE", "X": "FILLED", "i": 81, "q": "0.4",
        "p": "100", "ap": "100", "sp": "0", "l": "0.4", "z": "0.4", "L": "100", "n": "0.1", "N": "USDT", "T": NOW_MS,
        "t": 99, "m": True, "ot": "LIMIT", "rp": "0", "er": "0",
    }  # fmt: skip
    stamp = changes.pop("stamp", NOW_MS)
    return json.dumps({"e": "ORDER_TRADE_UPDATE", "E": NOW_MS, "T": stamp, "o": order | changes}).encode()


TOP = '{"e":"bookTicker","u":%d,"s":"BTCUSDT","b":"100","B":"1","a":"101","A":"1","T":1,"E":1}'
DIFF = '{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"pu":0,"b":[],"a":[]}'
MARK = '{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"100","i":"100","r":"0.0001","T":%s}'


@pytest.mark.parametrize("stream", ["btcusdt@unheardOf", "", " 5 ", "!markPrice@arr@1s", "!ticker@arr", "!bookTicker"])
def test_a_stream_that_says_another_kind_of_thing_is_read_as_what_it_says(stream: str) -> None:
    """The handler of a stream's first frame was kept and given every later frame: AttributeError in the reader."""
    events: list[Event] = []
    feeds = public(events)
    frames = [DIFF, TOP % 5, MARK % 5, f"[{MARK % 6}]", TOP % 7, DIFF]
    for frame in frames:
        feeds.on_frame(f'{{"stream":"{stream}","data":{frame}}}'.encode())
    feeds.flush()
    assert {type(event) for event in events} <= {BookTop, MarkPrice}
    if stream in ("btcusdt@unheardOf", ""):
        assert [type(event) for event in events].count(MarkPrice) == 2


def test_endless_names_of_streams_do_not_fill_the_memory() -> None:
    feeds = public([])
    for number in range(10_000):
        feeds.on_frame(f'{{"stream":"x{number}@bookTicker","data":{TOP % number}}}'.encode())
    assert len(feeds._routes) <= 4_096


def test_a_candle_that_is_no_number_is_dropped() -> None:
    """min() and max() let a NaN through, depending on its place."""
    events: list[Event] = []
    feeds = public(events)
    row = {"t": NOW_MS - 60_000, "i": "1m", "o": "10", "h": "12", "l": "9", "c": "11", "v": "1", "x": True}
    for key in "ohlcv":
        frame = json.dumps({"e": "kline", "s": BTC, "k": row | {key: "NaN"}})
        feeds.on_frame(f'{{"stream":"btcusdt@kline_1m","data":{frame}}}'.encode())
    assert (events, feeds.impossible) == ([], 5)
    frame = json.dumps({"e": "kline", "s": BTC, "k": row})
    feeds.on_frame(f'{{"stream":"btcusdt@kline_1m","data":{frame}}}'.encode())
    assert [type(event) for event in events] == [KlineUpdate]


@pytest.mark.parametrize("opened", [NOW_MS + 120_000, 10**30, -60_000, NOW_MS - 59_999])
def test_a_candle_of_no_possible_minute_is_dropped(opened: int) -> None:
    """From the future it made every later candle look old: no strategy would have seen one again."""
    events: list[Event] = []
    feeds = public(events)
    row = {"t": opened, "i": "1m", "o": "10", "h": "12", "l": "9", "c": "11", "v": "1", "x": True}
    frame = json.dumps({"e": "kline", "s": BTC, "k": row})
    feeds.on_frame(f'{{"stream":"btcusdt@kline_1m","data":{frame}}}'.encode())
    assert events == []


@pytest.mark.parametrize("when", ["-1", "1" + "0" * 40, "9223372036854775807", "4102444800000"])
def test_a_funding_time_of_no_calendar_is_dropped(when: str) -> None:
    """It fits no column of the store and no date of the console."""
    events: list[Event] = []
    feeds = public(events)
    feeds.on_frame((MARK % when).encode())
    assert (events, feeds.impossible) == ([], 1)


def test_a_damaged_id_of_a_top_does_not_silence_the_tops_for_ever() -> None:
    events: list[Event] = []
    feeds = public(events)
    feeds.on_frame((TOP % 10**15).encode())
    for number in range(100, 140):
        feeds.on_frame((TOP % number).encode())
    assert len(events) > 10


def test_a_damaged_id_of_an_update_does_not_freeze_the_book() -> None:
    """The book took every later update for an old one, and stayed "synced" with prices of then."""
    for damaged in (lambda b: b.apply(101, 10**12, 100, [(100.0, 2.0)], []), lambda b: b.lose("") or _again(b, 10**12)):
        book = LocalBook()
        _again(book, 100)
        damaged(book)
        states = [book.apply(n + 1, n + 1, n, [(100.0, 1.0)], []) for n in range(101, 101 + MOST_OLDER + 2)]
        assert not states[-1]
        assert states[: MOST_OLDER - 1] == [True] * (MOST_OLDER - 1)


def _again(book: LocalBook, last_id: int) -> bool:
    return book.snapshot(last_id, [(100.0, 1.0)], [(101.0, 1.0)])


def test_some_older_updates_do_not_lose_a_book() -> None:
    book = LocalBook()
    _again(book, 100)
    for number in range(100, 400):
        assert book.apply(number + 1, number + 1, number, [(100.0, 1.0)], [])
        assert book.apply(50, 51, 49, [(100.0, 9.0)], [])
    assert (book.synced, book.bid_qty) == (True, 1.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"L": "-100"}, {"L": "0"}, {"q": "-0.4"}, {"z": "-0.4"}, {"p": "-1"}, {"ap": "-1"}, {"sp": "-1"}, {"T": -1},
        {"T": 10**30}, {"stamp": 10**30}, {"stamp": -5}, {"L": "1E+24000"},
    ],
)  # fmt: skip
def test_an_execution_that_cannot_be_is_not_booked(changes: dict[str, object]) -> None:
    """A negative price gave a negative average and no ladder; a time beyond 64 bits no row in the store."""
    events: list[Event] = []
    account = private(events)
    account.on_frame(trade_frame(**changes))
    assert not any(isinstance(event, Fill | OrderUpdate) for event in events)
    assert account.impossible == 1


def test_a_time_from_the_future_is_taken_for_now() -> None:
    """Believed, it kept the account from being compared with the venue ("traded while the snapshot was taken"), moved
    the cursor of fills beyond all later ones, and made every later position look old."""
    events: list[Event] = []
    account = private(events)
    later = NOW_MS + 10**10
    account.on_frame(trade_frame(T=later, stamp=later))
    position = {"B": [], "P": [{"s": BTC, "pa": "1", "ep": "2"}], "m": "ORDER"}
    account.on_frame(json.dumps({"e": "ACCOUNT_UPDATE", "E": 1, "T": later, "a": position}).encode())
    stamps = [e.venue_ts for e in events if isinstance(e, Fill | OrderUpdate | PositionUpdate)]
    assert stamps == [NOW_MS] * 3


@pytest.mark.parametrize("qty", ["0", "-0.1"])
def test_a_rest_execution_of_nothing_is_refused(qty: str) -> None:
    """A quantity of 0 on a flat position divided by zero in the portfolio and killed the engine."""
    row = wire.TradeAnswer(BTC, 5, 7, "BUY", Decimal(qty), Decimal(100), Decimal(0), "USDT", True, Decimal(0), NOW_MS)
    with pytest.raises(wire.WireError, match="not positive"):
        wire.fill(row, "", NOW_MS)


@pytest.mark.parametrize(
    "row",
    [
        [60_000, "10", "9", "8", "9.5", "1"], [60_000, "10", "12", "9", "1E-99", "1"], [60_000, "10", nan, "9", 11, 1],
        [61_000, "10", "12", "9", "11", "1"], [-60_000, "10", "12", "9", "11", "1"], [10**25, 10, 12, 9, 11, 1],
        [60_000, "10", "12", "9", "11"], [], None, ["9" * 5_000, 1, 1, 1, 1, 1],
    ],
)  # fmt: skip
def test_a_rest_candle_that_cannot_be_is_asked_again(row: object) -> None:
    with pytest.raises(VenueUnreachable):
        candle(row)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info.update(maintMarginPercent="1_000"),
        lambda info: info.update(maintMarginPercent="-2.5"),
        lambda info: _filter(info, "LOT_SIZE", minQty="5", maxQty="1"),
        lambda info: _filter(info, "MARKET_LOT_SIZE", maxQty="0.0001"),
        lambda info: _filter(info, "PERCENT_PRICE", multiplierUp="0.5"),
        lambda info: _filter(info, "PERCENT_PRICE", multiplierDown="2"),
        lambda info: _filter(info, "PRICE_FILTER", tickSize="NaN"),
    ],
)
def test_rules_of_a_contract_that_contradict_themselves_leave_it_out(
    change: Callable[[dict[str, object]], None],
) -> None:
    info = json.loads(good.answers("/fapi/v1/exchangeInfo")[0])
    change(info["symbols"][0])
    found, odd = contracts.instruments(contracts.ExchangeInfo(symbols=info["symbols"]), [])
    assert (len(found), len(odd)) == (0, 1)
    assert clean(odd[0]) == odd[0]


def _filter(info: dict[str, object], kind: str, **values: str) -> None:
    next(row for row in info["filters"] if row["filterType"] == kind).update(values)  # type: ignore[attr-defined]


def test_an_error_code_of_hundreds_of_digits_is_no_code() -> None:
    """It filled the sentence, and fits no column of the store."""
    error = failure(400, '{"code":' + "9" * 400 + ',"msg":"' + "A" * 900 + '"}', {})
    assert error is not None
    assert error.code == -400
    rules.check_text(str(error), 400)


class _Repeating:
    """Answers every page of fills with the same thousand rows."""

    async def read(self, *args: object, **options: object) -> list[wire.TradeAnswer]:
        """The page."""
        row = wire.TradeAnswer(BTC, 5, 7, "BUY", Decimal(1), Decimal(9), Decimal(0), "USDT", True, Decimal(0), 5)
        return [row] * _PAGE


async def test_a_page_of_fills_that_is_said_again_and_again_ends() -> None:
    account = Account(lambda event: None, FrozenClock(), _Repeating(), lambda: None)  # type: ignore[arg-type]
    with pytest.raises(VenueError, match="repeats a page"):
        await account._fills(BTC, 0, NOW_MS)


@pytest.mark.parametrize(
    "line", [b'{"do":"\xff\xfe"}', b'{"do":"kill","reason":"\\u202e\\u001b[2J by hand"}', b"\xed\xa0\x80"]
)
def test_a_control_line_of_bad_bytes_is_answered_and_its_reason_is_clean(line: bytes) -> None:
    """Invalid UTF-8 closed the connection without a word; a reason with ESC reached the log."""
    Control().feed(line)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with an open position, whose cells are damaged one at a time."""
    target = Store(tmp_path_factory.mktemp("store"))
    yield target
    target.close()


def _places(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*path, index))
    else:
        yield path


@pytest.mark.parametrize("odd", ["NaN", "Infinity", "-1", 10**30, None, [], "1E+99"])
def test_any_field_of_a_stored_plan_may_be_damaged_and_the_start_still_protects(store: Store, odd: object) -> None:
    """NaN in one field of the open plan raised InvalidOperation at each start, with the position left as it was."""
    index, (_, _, _, body) = [c for c in enumerate(store._cells) if c[1][:2] == ("plans", "body")][-1]
    for path in list(_places(json.loads(body))):
        damaged = json.loads(body)
        inner = damaged
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = odd
        store.feed(f"{index}|{json.dumps(damaged)}".encode())


@pytest.mark.parametrize("odd", ["", "NaN", "x", "-5", "9" * 30, "Infinity", "1747994405000000000"])
def test_any_cell_of_the_store_may_be_damaged_and_the_start_still_protects(store: Store, odd: str) -> None:
    """Text in an integer column, an equity that is no number: int() and float() raised at each start."""
    seen: set[tuple[str, str]] = set()
    for index, (table, column, _, _) in reversed(list(enumerate(store._cells))):
        if (table, column) not in seen:
            seen.add((table, column))
            store.feed(f"{index}|{odd}".encode())


def test_the_store_is_whole_after_the_damage(store: Store) -> None:
    with sqlite3.connect(store._path) as db:
        assert db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    db.close()


DEEP = ("[" * 100_000, '{"a":' * 100_000, "9" * 20_000, '"' + "a" * 9_000_000 + '"', "[" + "0," * 500_000 + "0]")


@pytest.mark.parametrize("target", [Market, Private, RestAnswers, AccountReads, Control], ids=lambda t: t.name)
@pytest.mark.parametrize("text", DEEP, ids=range(len(DEEP)))
def test_monsters_are_dropped(target: type[Market], text: str) -> None:
    reader = target()
    reader.feed(text.encode())
    reader.feed(b'{"stream":"btcusdt@depth@100ms","data":' + text.encode() + b"}")
    reader.feed(b'[{"symbol":' + text.encode() + b"}]")
    reader.close()


def test_the_rules_refuse_what_they_must() -> None:
    wrong: list[Event] = [
        BookTop(ts=1, symbol=BTC, bid=2.0, bid_qty=1.0, ask=1.0, ask_qty=1.0),
        BookTop(ts=1, symbol="btc", bid=1.0, bid_qty=1.0, ask=2.0, ask_qty=1.0),
        BookTop(ts=1, symbol=BTC, bid=1.0, bid_qty=nan, ask=2.0, ask_qty=1.0),
        MarkPrice(ts=1, symbol=BTC, mark=-1.0, index=0.0, funding_rate=0.0, next_funding_ms=0),
        PositionUpdate(ts=1, symbol=BTC, qty=Decimal("NaN"), entry_price=Decimal(1)),
        PositionUpdate(ts=1, symbol=BTC, qty=Decimal(1), entry_price=Decimal(1), venue_ts=NOW_MS + 10**9),
    ]
    for event in wrong:
        with pytest.raises(rules.BrokenRuleError):
            rules.check(event, NOW_MS)


def test_a_store_file_of_garbage_is_refused_in_words(tmp_path: Path) -> None:
    from tui_trader.errors import StoreError
    from tui_trader.store.recover import recovered

    path = tmp_path / "store.db"
    path.write_bytes(b"\x00\xffgarbage" * 5_000)
    with pytest.raises(StoreError):
        recovered(path)
