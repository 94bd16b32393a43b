"""Frames and answers that were once right: recorded ones, and those the simulated exchange says in a trade's life."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from pathlib import Path

from tests.desk import START_MS, Desk
from tests.fuzz.mutate import Seed
from tui_trader.core import events as ev
from tui_trader.core.types import Leg, Side
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.listen_keys import ListenKeys
from tui_trader.exchange.orders import OrderRequest
from tui_trader.exchange.scripted import ScriptedMarket, scripted_spec
from tui_trader.exchange.streams import StreamHub
from tui_trader.exchange.wire import dumps

RECORDED = Path(__file__).resolve().parents[1] / "data" / "binance_usdm"
PUBLIC_STREAMS = (
    "btcusdt@depth@100ms", "btcusdt@depth20@100ms", "btcusdt@bookTicker", "!bookTicker", "ethusdt@depth@100ms",
    "btcusdt@trade",
)  # fmt: skip
MARKET_STREAMS = (
    "btcusdt@aggTrade", "btcusdt@kline_1m", "btcusdt@kline_5m", "btcusdt@markPrice@1s", "!markPrice@arr@1s",
    "!markPrice@arr", "!ticker@arr", "btcusdt@ticker", "!miniTicker@arr",
)  # fmt: skip
READS = (
    ("/fapi/v1/exchangeInfo", {}, False),
    ("/fapi/v1/time", {}, False),
    ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "20"}, False),
    ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "5"}, False),
    ("/fapi/v1/fundingInfo", {}, False),
    ("/fapi/v1/openInterest", {"symbol": "BTCUSDT"}, False),
    ("/fapi/v1/leverageBracket", {"symbol": "BTCUSDT"}, True),
    ("/fapi/v1/openOrders", {}, True),
    ("/fapi/v1/openAlgoOrders", {}, True),
    ("/fapi/v1/allOrders", {"symbol": "BTCUSDT"}, True),
    ("/fapi/v1/allAlgoOrders", {"symbol": "BTCUSDT"}, True),
    ("/fapi/v1/userTrades", {"symbol": "BTCUSDT"}, True),
    ("/fapi/v1/income", {}, True),
    ("/fapi/v1/positionSide/dual", {}, True),
    ("/fapi/v3/positionRisk", {}, True),
    ("/fapi/v3/balance", {}, True),
    ("/sapi/v1/account/apiRestrictions", {}, True),
)


def seeds(frames: Iterable[bytes | str], most: int = 400) -> list[Seed]:
    """Different frames as seeds, evenly picked when there are more than ``most``."""
    unique = list(dict.fromkeys(f.encode() if isinstance(f, str) else f for f in frames))
    stride = max(1, len(unique) // most)
    return [Seed.of(frame) for frame in unique[::stride]][:most]


@cache
def recorded() -> tuple[bytes, ...]:
    """The JSON of the recorded lines."""
    lines: list[bytes] = []
    for name in ("btcusdt.gz", "ethusdt.gz"):
        with gzip.open(RECORDED / name, "rb") as stream:
            lines += [line.partition(b" ")[2].strip() for line in stream.read().splitlines()]
    return tuple(line for line in lines if len(line) < 6_000)


def _markets() -> ExchangeEngine:
    other = ScriptedMarket(scripted_spec("ETHUSDT", "0.01", "0.001", "20"), mid=2_500)
    return ExchangeEngine({"BTCUSDT": ScriptedMarket(), "ETHUSDT": other}, START_MS)


@cache
def market_frames() -> tuple[str, ...]:
    """Public and market frames of the simulated exchange, combined and raw, over five minutes."""
    engine, now = _markets(), 0.0
    account = engine.add_account("key", "secret", Decimal(10_000))
    hub = StreamHub(engine, ListenKeys(lambda: now, ""))
    said: list[str] = []
    for route, names in (("public", PUBLIC_STREAMS), ("market", MARKET_STREAMS)):
        hub.open(f"/{route}/stream", "streams=" + "/".join(names), said.append)
        for name in names[:3]:
            hub.open(f"/{route}/ws/{name}", "", said.append)
    for step in range(300):
        engine.venue.states["BTCUSDT"].market.move_to(50_000 + step % 7 * 10)
        engine.place_order(account, OrderRequest("BTCUSDT", step % 2 == 0, "MARKET", Decimal("0.01")))
        engine.advance_step()
        now += 1.1
        hub.pump(now)
    answers = ['{"result":null,"id":1}', '{"id":2,"error":{"code":2,"msg":"Invalid request"}}']
    return (*said, *answers)


class _Listening(Desk):
    """A desk that keeps what the exchange says on the private stream."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        super().__init__(latency_ms=20)

    def _on_user_event(self, account: Account, event: dict[str, object]) -> None:
        self.heard.append(dumps(event))
        super()._on_user_event(account, event)


@cache
def _life() -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Private frames and REST answers of several trades: stopped out, both targets, by hand, funding, a liquidation."""
    desk = _Listening()
    desk.start()
    answers: dict[str, list[str]] = {path: [] for path, _, _ in READS}

    def read() -> None:
        for path, fields, signed in READS:
            reply = desk.request("GET", path, dict(fields), signed)
            if reply is not None:
                answers[path].append(reply.body)

    def enter(side: Side, limit: str | None = None) -> None:
        desk.run(70_000)
        price = None if limit is None else Decimal(limit)
        desk.process(
            ev.OpenPosition(
                ts=desk.now, symbol="BTCUSDT", side=side, qty=Decimal("0.040"), limit_price=price, override_soft=True
            )
        )
        desk.run(3_000)
        read()

    enter(Side.LONG)
    desk.move(44_480.0)
    read()
    desk.move(45_130.0)
    desk.move(44_300.0)
    enter(Side.SHORT)
    desk.move(46_000.0)
    enter(Side.LONG, "45000")
    desk.process(ev.CancelEntry(ts=desk.now, symbol="BTCUSDT"))
    enter(Side.LONG)
    desk.process(ev.ClosePosition(ts=desk.now, symbol="BTCUSDT", fraction=Decimal("0.5")))
    desk.process(
        ev.SetTarget(ts=desk.now, symbol="BTCUSDT", leg=Leg.TP3, price=Decimal(49_000), fraction=Decimal("0.1"))
    )
    desk.run(3_000)
    read()
    desk.process(ev.FlattenAll(ts=desk.now))
    desk.run(3_000)
    read()
    return tuple(desk.heard), {path: tuple(dict.fromkeys(bodies)) for path, bodies in answers.items()}


@cache
def private_frames() -> tuple[str, ...]:
    """Private frames of several trades' lives, and the venue's word that a listen key is over."""
    return (*_life()[0], '{"e":"listenKeyExpired","E":"1693427319838","listenKey":"K"}')


def answers(path: str) -> tuple[str, ...]:
    """The simulated exchange's answers to one read, at several moments of those lives."""
    return _life()[1][path]


def one_order(conditional: bool) -> tuple[str, ...]:
    """Single order answers, cut from the lists."""
    import json

    path = "/fapi/v1/allAlgoOrders" if conditional else "/fapi/v1/allOrders"
    return tuple(json.dumps(row, separators=(",", ":")) for row in json.loads(answers(path)[-1]))


ERRORS = (
    '{"code":-2011,"msg":"Unknown order sent."}', '{"code":-2013,"msg":"Order does not exist."}',
    '{"code":-1007,"msg":"Timeout waiting for response from backend server."}',
    '{"code":-1003,"msg":"Too many requests; banned until 1748000000000."}',
    '{"code":-4116,"msg":"ClientOrderId is duplicated."}',
    '{"code":-2021,"msg":"Order would immediately trigger."}', '{"code":-1015,"msg":"Too many new orders."}',
    '{"code":200,"msg":"The operation of cancel all open order is done."}', '<html>502 Bad Gateway</html>', "",
    "Unknown error, please check your request or try again later.",
    '{"code":"-2022","msg":"ReduceOnly Order is rejected."}',
)  # fmt: skip
