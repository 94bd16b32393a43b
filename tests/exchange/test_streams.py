"""Websocket routing, the depth chain, candles, the user stream, and what bad clients get."""

import json
from typing import Any

import pytest

from tests.exchange.exchange_kit import START_MS, D
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.feeds import merge_trades
from tui_trader.exchange.listen_keys import ListenKeys
from tui_trader.exchange.market_api import MarketApi
from tui_trader.exchange.orders import OrderRequest
from tui_trader.exchange.params import Params
from tui_trader.exchange.scripted import ScriptedMarket, scripted_spec
from tui_trader.exchange.streams import Connection, StreamHub
from tui_trader.exchange.symbol_state import AggTrade


class Wire:
    """A hub on two scripted symbols; connections write into lists."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.market = ScriptedMarket()
        other = ScriptedMarket(scripted_spec("ETHUSDT", "0.01", "0.001", "20"), mid=2500)
        self.engine = ExchangeEngine({"BTCUSDT": self.market, "ETHUSDT": other}, START_MS)
        self.account = self.engine.add_account("key", "secret", D(10_000))
        self.keys = ListenKeys(lambda: self.seconds, "")
        self.hub = StreamHub(self.engine, self.keys)

    def open(self, path: str, query: str = "") -> tuple[Connection, list[dict[str, Any]]]:
        frames: list[dict[str, Any]] = []
        connection = self.hub.open(path, query, lambda text: frames.append(json.loads(text)))
        assert connection is not None
        return connection, frames

    def run(self, steps: int = 1) -> None:
        for _ in range(steps):
            self.engine.advance_step()
            self.seconds += 1.1
            self.hub.pump(self.seconds)

    def buy(self) -> None:
        self.engine.place_order(self.account, OrderRequest("BTCUSDT", True, "MARKET", D("0.01")))


def events(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["e"] for frame in frames]


@pytest.mark.parametrize(
    ("path", "heard"),
    [
        ("/public/ws/", {"bookTicker"}),
        ("/market/ws/", {"markPriceUpdate"}),
        ("/private/ws/", set()),
        ("/ws/", {"bookTicker"}),
    ],
)
def test_each_route_hears_its_own_streams(path: str, heard: set[str]) -> None:
    wire = Wire()
    _, frames = wire.open(path + "btcusdt@bookTicker/btcusdt@markPrice")
    wire.run()
    assert set(events(frames)) == heard


def test_combined_frames_name_their_stream() -> None:
    wire = Wire()
    _, frames = wire.open("/public/stream", "streams=btcusdt@bookTicker/ethusdt@depth5@100ms")
    wire.run()
    by_name = {frame["stream"]: frame["data"] for frame in frames}
    assert set(by_name) == {"btcusdt@bookTicker", "ethusdt@depth5@100ms"}
    assert len(by_name["ethusdt@depth5@100ms"]["b"]) == 5


def test_the_depth_chain_rebuilds_the_book() -> None:
    wire = Wire()
    _, frames = wire.open("/public/ws/btcusdt@depth@100ms")
    api = MarketApi(wire.engine, 1.0)
    state = wire.engine.states["BTCUSDT"]
    snapshot: Any = None
    for step in range(30):
        wire.market.move_to(50_000 + (step * 37) % 11)
        wire.market.trade(step % 2 == 0, "3.5")
        wire.run()
        if step == 7:
            snapshot = api.depth(Params({"symbol": "BTCUSDT", "limit": "1000"}))
    books = [dict(snapshot["bids"]), dict(snapshot["asks"])]
    diffs = [frame for frame in frames if frame["u"] >= snapshot["lastUpdateId"]]
    assert diffs[0]["U"] <= snapshot["lastUpdateId"] <= diffs[0]["u"]
    previous = None
    for diff in diffs:
        assert previous is None or diff["pu"] == previous
        previous = diff["u"]
        for book, rows in zip(books, (diff["b"], diff["a"]), strict=True):
            for price, quantity in rows:
                book[price] = quantity
                if float(quantity) == 0:
                    del book[price]
    text, lots = state.prices.text, state.lots.text
    for book, side in zip(books, (state.book.bids, state.book.asks), strict=True):
        assert book == {text(price): lots(quantity) for price, quantity in side.levels()}


def test_a_snapshot_in_a_quiet_moment_still_joins_the_next_diff() -> None:
    wire = Wire()
    _, frames = wire.open("/public/ws/btcusdt@depth@100ms")
    wire.run()
    frames.clear()
    snapshot: Any = MarketApi(wire.engine, 1.0).depth(Params({"symbol": "BTCUSDT"}))
    wire.run()
    assert frames[0]["U"] <= snapshot["lastUpdateId"] <= frames[0]["u"]


def test_each_candle_closes_exactly_once() -> None:
    wire = Wire()
    _, frames = wire.open("/market/stream", "streams=btcusdt@kline_1m/btcusdt@kline_5m")
    for _ in range(25):
        wire.engine.advance_to(wire.engine.now_ms + 60_000)
        wire.seconds += 0.3
        wire.hub.pump(wire.seconds)
    closed = [(frame["stream"][-2:], frame["data"]["k"]["t"]) for frame in frames if frame["data"]["k"]["x"]]
    first = START_MS // 60_000 * 60_000
    assert [row[1] for row in closed if row[0] == "1m"] == [first + 60_000 * k for k in range(25)]
    assert [row[1] for row in closed if row[0] == "5m"] == [first + 300_000 * k for k in range(5)]


def test_arrays_and_tickers() -> None:
    wire = Wire()
    _, frames = wire.open("/market/stream", "streams=!markPrice@arr/!ticker@arr/btcusdt@ticker/btcusdt@aggTrade")
    wire.run()
    by_name = {frame["stream"]: frame["data"] for frame in frames}
    assert [row["s"] for row in by_name["!markPrice@arr"]] == ["BTCUSDT", "ETHUSDT"]
    assert by_name["btcusdt@ticker"]["c"] == "50000.10"
    assert (by_name["btcusdt@aggTrade"]["nq"], by_name["btcusdt@aggTrade"]["st"]) == ("0.001", 1)


def test_merging_trades_keeps_volume_and_ids() -> None:
    rows = [AggTrade(n, 100 + n, 2, 10 * n, n, n % 10 < 7) for n in range(50)]
    merged = merge_trades(rows, 20)
    assert len(merged) == 10
    assert sum(row.lots for row in merged) == 100
    assert (merged[0].first, merged[-1].last) == (0, 490)


PRIVATE = [
    "/private/ws/{0}",
    "/private/ws?listenKey={0}",
    "/private/stream?streams={0}",
    "/ws/{0}",
    "/stream?streams={0}",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_user_stream_by_every_address(address: str) -> None:
    wire = Wire()
    path, _, query = address.format(wire.keys.create(wire.account)).partition("?")
    _, frames = wire.open(path, query)
    wire.buy()
    inner = [frame.get("data", frame) for frame in frames]
    assert events(inner) == ["ORDER_TRADE_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"]
    assert inner[2]["o"]["X"] == "FILLED"
    assert inner[3]["a"]["P"][0]["pa"] == "0.01"


def test_user_stream_filters_events_and_ends_with_its_key() -> None:
    wire = Wire()
    key = wire.keys.create(wire.account)
    _, frames = wire.open("/private/ws", f"listenKey={key}&events=ACCOUNT_UPDATE/ALGO_UPDATE")
    wire.buy()
    assert events(frames) == ["ACCOUNT_UPDATE"]
    wire.seconds += 3601
    wire.hub.pump(wire.seconds)
    assert frames[-1] == {"e": "listenKeyExpired", "E": str(wire.engine.now_ms), "listenKey": key}
    wire.buy()
    assert len(frames) == 2


def test_control_messages() -> None:
    wire = Wire()
    connection, frames = wire.open("/public/ws")
    wire.hub.receive(connection, '{"method":"SUBSCRIBE","params":["btcusdt@depth","nope@depth"],"id":1}')
    wire.hub.receive(connection, '{"method":"LIST_SUBSCRIPTIONS","id":2}')
    wire.hub.receive(connection, '{"method":"UNSUBSCRIBE","params":["btcusdt@depth"],"id":"x"}')
    wire.hub.receive(connection, '{"method":"SET_PROPERTY","params":["combined",true],"id":4}')
    wire.hub.receive(connection, '{"method":"GET_PROPERTY","params":["combined"],"id":5}')
    assert frames == [
        {"result": None, "id": 1},
        {"result": ["btcusdt@depth", "nope@depth"], "id": 2},
        {"result": None, "id": "x"},
        {"result": None, "id": 4},
        {"result": True, "id": 5},
    ]
    wire.run()
    assert len(frames) == 5
    wire.hub.close(connection)
    assert connection.streams == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"method":5}',
        '{"method":"SUBSCRIBE","params":"a"}',
        '{"method":"SUBSCRIBE","params":[1]}',
        '{"id":{}}',
        "[" * 100_000,
        '{"method":"SET_PROPERTY","params":[1]}',
        '"\\ud800"',
        '{"id":true}',
    ],
)
def test_garbage_is_answered_with_an_error(text: str) -> None:
    wire = Wire()
    connection, frames = wire.open("/public/ws")
    wire.hub.receive(connection, text)
    assert "code" in frames[0]["error"]


def test_streams_are_limited_and_floods_noticed() -> None:
    wire = Wire()
    connection, frames = wire.open("/public/ws")
    names = [f"s{number}@depth" for number in range(1025)]
    wire.hub.receive(connection, json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
    assert frames[0]["error"]["code"] == 2
    assert [connection.is_flooding(0.01 * n) for n in range(11)] == [False] * 10 + [True]
    assert wire.hub.open("/other", "", lambda text: None) is None
