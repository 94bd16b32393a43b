"""Keys, signatures, times, limits and bad requests, without sockets."""

import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.exchange.exchange_kit import START_MS
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.listen_keys import ListenKeys
from tui_trader.exchange.ratelimits import RateLimits
from tui_trader.exchange.rest import Reply, Request, RestApi
from tui_trader.exchange.scripted import ScriptedMarket
from tui_trader.exchange.venue_clock import ExchangeClock, ManualClock, align_start


class Door:
    """A REST face whose real time and venue time tests move by hand."""

    def __init__(self, wall_offset_ms: int = 0) -> None:
        self.seconds = 0.0
        self.engine = ExchangeEngine({"BTCUSDT": ScriptedMarket()}, START_MS)
        self.engine.add_account("key", "secret", Decimal(10_000))
        self.clock = ManualClock(START_MS)
        self.keys = ListenKeys(lambda: self.seconds, "")
        self.api = RestApi(
            self.engine,
            self.clock,
            self.keys,
            RateLimits(lambda: self.seconds),
            lambda: START_MS + wall_offset_ms,
        )

    def call(self, method: str, path: str, key: str = "key", secret: str = "secret", **params: Any) -> Reply:
        params.setdefault("timestamp", self.clock.now_ms())
        query = urlencode(params)
        signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        signed = f"{query}&signature={signature}"
        return self.api.handle(Request(method, path, signed, headers={"x-mbx-apikey": key}))

    def plain(self, path: str, **params: Any) -> Reply:
        return self.api.handle(Request("GET", path, urlencode(params)))


def code(reply: Reply) -> int:
    return int(json.loads(reply.body)["code"])


ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": "49000"}


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/fapi/v1/depth", {}, -1102),
        ("/fapi/v1/depth", {"symbol": "NOPE"}, -1121),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 3}, -4021),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1s"}, -1120),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 2000}, -1130),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "abc"}, -1100),
        ("/fapi/v1/aggTrades", {"symbol": "BTCUSDT", "startTime": 5, "endTime": 4}, -1023),
        ("/fapi/v1/historicalTrades", {"symbol": "BTCUSDT"}, -2014),
        ("/fapi/v9/ping", {}, -5000),
    ],
)
def test_wrong_public_requests(path: str, params: dict[str, Any], expected: int) -> None:
    reply = Door().plain(path, **params)
    assert (reply.status >= 400, code(reply)) == (True, expected)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"side": "HOLD"}, -1117),
        ({"type": "BAND"}, -1116),
        ({"quantity": "lots"}, -1100),
        ({"quantity": "NaN"}, -1100),
        ({"quantity": "1e400"}, -1100),
        ({"quantity": "-1"}, -1100),
        ({"price": ""}, -1102),
        ({"reduceOnly": "maybe"}, -1130),
        ({"timeInForce": ""}, -1102),
        ({"type": "MARKET"}, -1106),
        ({"symbol": "btcusdt"}, -1121),
        ({"recvWindow": 70_000}, -1131),
        ({"recvWindow": "x"}, -1100),
        ({"type": "STOP_MARKET", "stopPrice": "48000"}, -4120),
    ],
)
def test_wrong_orders(change: dict[str, Any], expected: int) -> None:
    door = Door()
    reply = door.call("POST", "/fapi/v1/order", **({**ORDER, "timeInForce": "GTC"} | change))
    assert (reply.status, code(reply)) == (400, expected)
    assert door.call("GET", "/fapi/v1/openOrders").body == "[]"


def test_keys_and_signatures() -> None:
    door = Door()
    assert (door.call("GET", "/fapi/v2/balance", key="").status, door.call("GET", "/fapi/v2/balance").status) == (
        401,
        200,
    )
    assert code(door.call("GET", "/fapi/v2/balance", key="other")) == -2015
    assert code(door.call("GET", "/fapi/v2/balance", secret="wrong")) == -1022
    assert code(door.plain("/fapi/v2/balance")) == -2014


def test_query_and_body_are_signed_together() -> None:
    door = Door()
    query, body = "symbol=BTCUSDT&leverage=7", f"timestamp={START_MS}"
    signature = hmac.new(b"secret", (query + body).encode(), hashlib.sha256).hexdigest()
    request = Request("POST", "/fapi/v1/leverage", query, f"{body}&signature={signature}", {"x-mbx-apikey": "key"})
    assert json.loads(door.api.handle(request).body)["leverage"] == 7


@pytest.mark.parametrize(("age", "status"), [(0, 200), (5000, 200), (5001, 400), (-1000, 200), (-1001, 400)])
def test_receive_window(age: int, status: int) -> None:
    reply = Door().call("GET", "/fapi/v2/balance", timestamp=START_MS - age)
    assert reply.status == status
    assert status == 200 or code(reply) == -1021


def test_a_client_on_the_wall_clock_is_understood_when_the_venue_is_elsewhere() -> None:
    door = Door(wall_offset_ms=86_400_000)
    assert door.call("GET", "/fapi/v2/balance", timestamp=START_MS + 86_400_000).status == 200
    assert door.call("GET", "/fapi/v2/balance", timestamp=START_MS + 43_200_000).status == 400


def test_weights_429_then_418_then_forgiven() -> None:
    door = Door()
    reply = door.plain("/fapi/v1/ticker/24hr")
    assert reply.headers["X-MBX-USED-WEIGHT-1M"] == "40"
    for _ in range(59):
        reply = door.plain("/fapi/v1/ticker/24hr")
    assert (reply.status, reply.headers["X-MBX-USED-WEIGHT-1M"]) == (200, "2400")
    refused = door.plain("/fapi/v1/ping")
    assert (refused.status, code(refused), refused.headers["Retry-After"]) == (429, -1003, "60")
    for _ in range(20):
        refused = door.plain("/fapi/v1/ping")
    assert (refused.status, refused.headers["Retry-After"]) == (418, "120")
    door.seconds = 121
    assert door.plain("/fapi/v1/ping").status == 200


def test_order_counts() -> None:
    door = Door()
    body = {**ORDER, "timeInForce": "GTX", "price": "60000"}
    for count in range(300):
        reply = door.call("POST", "/fapi/v1/order", **body)
        assert reply.headers["X-MBX-ORDER-COUNT-10S"] == str(count + 1)
    assert (door.call("POST", "/fapi/v1/order", **body).status, door.call("GET", "/fapi/v1/openOrders").status) == (
        429,
        200,
    )
    door.seconds = 10
    assert code(door.call("POST", "/fapi/v1/order", **body)) == -4016


def test_acknowledgements_hide_fills_and_results_show_them() -> None:
    door = Door()
    body = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    ack = json.loads(door.call("POST", "/fapi/v1/order", **body).body)
    assert (ack["status"], ack["executedQty"], ack["avgPrice"]) == ("NEW", "0", "0.00")
    result = json.loads(door.call("POST", "/fapi/v1/order", **body, newOrderRespType="RESULT").body)
    assert (result["status"], result["executedQty"], result["avgPrice"]) == ("FILLED", "0.010", "50000.1000")


def test_every_version_of_the_account_answers() -> None:
    door = Door()
    door.call("POST", "/fapi/v1/order", symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.1")
    for version in "123":
        for name in ("account", "balance", "positionRisk"):
            reply = door.call("GET", f"/fapi/v{version}/{name}")
            assert reply.status == 200, reply.body
    (risk,) = json.loads(door.call("GET", "/fapi/v3/positionRisk").body)
    assert (risk["positionAmt"], risk["entryPrice"], risk["notional"]) == ("-0.1", "49999.9", "-5000.00000000")
    assert Decimal(risk["liquidationPrice"]) > 140_000


def test_listen_keys() -> None:
    door = Door()
    assert code(door.call("PUT", "/fapi/v1/listenKey")) == -1125
    key = json.loads(door.call("POST", "/fapi/v1/listenKey").body)["listenKey"]
    door.seconds = 3000
    assert json.loads(door.call("POST", "/fapi/v1/listenKey").body)["listenKey"] == key
    door.seconds = 6000
    assert door.keys.pop_expired() == []
    door.seconds = 6600
    assert [row[0] for row in door.keys.pop_expired()] == [key]
    assert json.loads(door.call("POST", "/fapi/v1/listenKey").body)["listenKey"] != key


def test_batches_answer_each_order() -> None:
    door = Door()
    rows = [{**ORDER, "timeInForce": "GTC"}, {**ORDER, "timeInForce": "GTC", "price": "60000"}]
    answers = json.loads(door.call("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps(rows)).body)
    assert (answers[0]["status"], answers[1]["code"]) == ("NEW", -4016)
    listed = json.dumps([answers[0]["orderId"], 5])
    gone = json.loads(door.call("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", orderIdList=listed).body)
    assert (gone[0]["status"], gone[1]["code"]) == ("CANCELED", -2011)
    assert code(door.call("POST", "/fapi/v1/batchOrders", batchOrders="[[[")) == -1130


def test_clock_and_aligned_start() -> None:
    seconds = [100.0]
    clock = ExchangeClock(1000, 20.0, lambda: seconds[0])
    seconds[0] += 1.5
    assert clock.now_ms() == 31_000
    wall = 1_795_234_000_000
    start = align_start(wall)
    assert start % (8 * 3_600_000) == 25 * 60_000
    assert 0 <= wall - start < 8 * 3_600_000
