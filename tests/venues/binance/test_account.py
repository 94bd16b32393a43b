"""The private side: listen keys, rotation, odd private frames, the snapshot when the account cannot be read."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import msgspec
import pytest

from tests.venues.faults import BTC, World, error, order, query, resting, world
from tui_trader.core.events import (
    AccountDoubt,
    BalanceUpdate,
    Fill,
    LinkDown,
    LinkUp,
    Notice,
    OrderUpdate,
    WorkerFailed,
)
from tui_trader.core.types import DAY_MS, Channel, OrderStatus, VenueBook
from tui_trader.errors import VenueUnreachable
from tui_trader.exchange.rest import Reply, Request
from tui_trader.venues.binance import client as client_module


def key_of(here: World) -> str:
    return next(iter(here.sockets("private")[0].streams))


async def private_back(here: World, ups: int) -> None:
    await here.until(lambda: sum(isinstance(e, LinkUp) for e in here.links(Channel.PRIVATE)) >= ups)
    await here.until(lambda: len(here.sockets("private")) == 1)


async def fill_arrives(here: World, client_id: str) -> None:
    await here.venue.place(order(client_id))
    await here.until(lambda: client_id in [row.client_id for row in here.of(Fill)])


async def test_an_expired_listen_key_is_replaced_and_events_go_on() -> None:
    async with world() as here:
        old = key_of(here)
        here.exchange.server.hub.expire_key(old)
        await private_back(here, 2)
        kinds = [type(event) for event in here.links(Channel.PRIVATE)]
        assert kinds == [LinkUp, LinkDown, LinkUp]
        assert "listen key expired" in here.of(LinkDown)[-1].reason
        assert key_of(here) != old
        await fill_arrives(here, "k-1-en-0")
        assert not here.of(WorkerFailed)


async def test_a_key_that_the_venue_forgot_is_replaced_at_the_keep_alive() -> None:
    async with world(keep_alive_s=0.3) as here:
        old = key_of(here)
        here.exchange.server.keys.expire(old)
        await private_back(here, 2)
        assert here.asked("PUT", "listenKey")
        assert "does not know the listen key" in here.of(LinkDown)[-1].reason
        assert key_of(here) != old
        await fill_arrives(here, "k-2-en-0")


async def test_a_keep_alive_that_fails_is_repeated_and_the_stream_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_KEEP_ALIVE_AGAIN_S", 0.1)
    async with world(keep_alive_s=0.5) as here:
        old = key_of(here)
        here.once("PUT", "listenKey", error(500, -1000), error(503, -1000, "Service Unavailable."))
        await here.until(lambda: len(here.asked("PUT", "listenKey")) >= 3)
        assert [type(event) for event in here.links(Channel.PRIVATE)] == [LinkUp]
        assert key_of(here) == old


@pytest.mark.parametrize("body", ['{"listenKey":"a b/../c"}', "{}", "nonsense"])
async def test_a_listen_key_that_is_none_is_asked_for_again(body: str) -> None:
    async with world(started=False) as here:
        here.once("POST", "listenKey", Reply(200, body))
        await here.venue.open(here.events.append)
        await here.all_up()
        assert len(here.asked("POST", "listenKey")) == 2
        assert [type(event) for event in here.links(Channel.PRIVATE)] == [LinkDown, LinkUp]


async def test_rotation_loses_no_fact() -> None:
    async with world(rotate_s=0.7) as here:
        count = 0
        while sum(isinstance(e, LinkUp) for e in here.links(Channel.PRIVATE)) < 3:
            count += 1
            await here.venue.place(order(f"r-{count}-en-0", qty=Decimal("0.001")))
            await asyncio.sleep(0.02)
        await private_back(here, 3)
        assert "24 h" in here.of(LinkDown)[0].reason
        heard = {row.trade_id: row.qty for row in here.of(Fill)}
        told = {row.trade_id: row.qty for row in (await here.venue.snapshot(0)).fills}
        assert sum(told.values()) == Decimal("0.001") * count
        assert set(heard.items()) <= set(told.items())
        assert {f"r-{number}-en-0" for number in range(1, count + 1)} == {
            row.client_id for row in (await here.venue.snapshot(0)).fills
        }


ORDER = (
    '{"e":"ORDER_TRADE_UPDATE","T":7,"E":8,"o":{"s":"BTCUSDT","c":"a-1-en-0","S":"SELL","o":"LIMIT","f":"GTX",'
    '"q":"0.473","p":"2463.26","ap":"2463.26","sp":"0","x":"TRADE","X":"FILLED","i":81,"l":"0.473","z":"0.473",'
    '"L":"2463.26","n":"0.23","N":"USDT","T":6,"t":99,"m":true,"R":false,"ot":"LIMIT","cp":false,"rp":"0","er":"0"}}'
)
ACCOUNT = (
    '{"e":"ACCOUNT_UPDATE","E":1,"T":1,"a":{"B":[{"a":"USDT","wb":"5"}],"P":[{"s":"BTCUSDT","pa":"1","ep":"2"}],'
    '"m":"ORDER"}}'
)
ALGO = (
    '{"e":"ALGO_UPDATE","E":1,"T":1,"o":{"caid":"a-1-sl-0","aid":5,"o":"STOP_MARKET","s":"BTCUSDT","S":"SELL",'
    '"q":"1","X":"NEW","tp":"2"}}'
)


async def test_what_the_insurance_fund_took_is_in_the_word_about_the_wallet() -> None:
    account, events = await bare_account()
    text = ACCOUNT.replace('"wb":"5"', '"wb":"5","bc":"-1.25"').replace(
        '"P":[{"s":"BTCUSDT","pa":"1","ep":"2"}]', '"P":[]'
    )
    account.on_frame(text.replace("ORDER", "INSURANCE_CLEAR").encode())
    change = Decimal("-1.25")
    told = BalanceUpdate(ts=events[0].ts, wallet=Decimal(5), reason="INSURANCE_CLEAR", change=change, venue_ts=1)
    assert events == [told]


ODD = [
    "", "nonsense", ORDER[:200], ORDER.encode().hex(), "[" * 50_000, '{"e":' * 20_000, "\x00\x1b[2J", "null", "0",
    *(ORDER.replace('"0.473"', f'"{value}"') for value in ("NaN", "sNaN", "Infinity", "-Infinity", "x", "")),
    *(ORDER.replace('"0.23"', f'"{value}"') for value in ("NaN", "sNaN", "1E+99")),
    ORDER.replace("BTCUSDT", "币安人生USDT"), ORDER.replace('"SELL"', '"HOLD"'), ORDER.replace('"FILLED"', '"MELTED"'),
    ORDER.replace('"i":81', '"i":"x"'), ORDER.replace('"i":81', f'"i":{"9" * 5_000}'),
    ORDER.replace('"t":99', '"t":1e400'),
    *(ACCOUNT.replace('"wb":"5"', f'"wb":"{value}"') for value in ("NaN", "sNaN", "Infinity")),
    ACCOUNT.replace('"wb":"5"', '"wb":"5","bc":"NaN"'),
    *(ACCOUNT.replace('"pa":"1"', f'"pa":"{value}"') for value in ("NaN", "sNaN", "1E-99")),
    *(ALGO.replace('"q":"1"', f'"q":"{value}"') for value in ("NaN", "sNaN")), ALGO.replace('"NEW"', '"ODD"'),
    ALGO.replace('"tp":"2"', '"tp":"Infinity"'), ALGO.replace('"BTCUSDT"', '"btc usdt"'),
]  # fmt: skip


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
async def test_odd_private_frames_are_counted_and_said_never_raised(text: str) -> None:
    account, events = await bare_account()
    account.on_frame(text.encode())
    assert account.impossible == 1
    assert [type(event) for event in events] == [AccountDoubt, Notice]
    account.on_frame(ORDER.encode())
    assert [type(event) for event in events[2:]] == [Fill, OrderUpdate]


async def test_events_without_use_are_neither_odd_nor_facts() -> None:
    account, events = await bare_account()
    for name in ("TRADE_LITE", "MARGIN_CALL", "ACCOUNT_CONFIG_UPDATE", "STRATEGY_UPDATE", "GRID_UPDATE"):
        account.on_frame(f'{{"e":"{name}","E":1,"T":1,"s":"BTCUSDT"}}'.encode())
    assert (events, account.impossible) == ([], 0)


async def bare_account():  # type: ignore[no-untyped-def]
    from tui_trader.clock import VenueClock
    from tui_trader.core.events import Event
    from tui_trader.venues.binance.account import Account

    events: list[Event] = []
    return Account(events.append, VenueClock(), None, lambda: None), events  # type: ignore[arg-type]


async def test_garbage_on_the_private_socket_leaves_it_standing() -> None:
    async with world() as here:
        socket = here.sockets("private")[0]
        for text in ODD:
            socket.send(text)
        await here.until(lambda: here.venue.account.impossible == len(ODD))
        await fill_arrives(here, "g-1-en-0")
        assert [type(event) for event in here.links(Channel.PRIVATE)] == [LinkUp]
        assert len(here.of(Notice)) <= 7


BAD_ROWS = [
    ("v3/positionRisk", '[{"symbol":"BTCUSDT","positionAmt":"sNaN","entryPrice":"1"}]'),
    ("v3/positionRisk", '[{"symbol":"BTCUSDT","positionAmt":"NaN","entryPrice":"1"}]'),
    ("v3/balance", '[{"asset":"USDT","balance":"Infinity"}]'),
    ("v3/balance", '{"asset":"USDT"}'),
    ("v1/openOrders", '[{"symbol":"BTCUSDT","orderId":1}]'),
    ("v1/openAlgoOrders", "[" * 100_000),
    ("v1/openOrders", "<html>"),
]  # fmt: skip


async def test_an_account_that_cannot_be_read_is_unreachable_not_guessed() -> None:
    async with world() as here:
        for path, body in BAD_ROWS:
            here.bend = lambda request, path=path, body=body: (
                Reply(200, body) if request.path == f"/fapi/{path}" else None
            )
            with pytest.raises(VenueUnreachable):
                await here.venue.snapshot(0)
        here.bend = lambda request: None
        assert (await here.venue.snapshot(0)).complete


async def test_a_snapshot_without_fills_or_income_says_that_it_is_incomplete() -> None:
    async with world() as here:
        await here.venue.place(resting("s-1-en-0"))
        here.bend = lambda request: error(500, -1000) if request.path.endswith(("income", "userTrades")) else None
        found = await here.venue.snapshot(0)
        assert not found.complete
        assert [row.client_id for row in found.orders] == ["s-1-en-0"]
        update = await here.venue.query(query("s-1-en-0"))
        assert (update.status, update.book, update.symbol) == (OrderStatus.WORKING, VenueBook.REGULAR, BTC)


async def test_the_ledger_tells_a_transfer_as_soon_as_the_wallet_shows_what_the_stream_did_not_tell() -> None:
    async with world() as here:
        before = await here.venue.snapshot(0)
        assert (await here.venue.snapshot(0)).transfers == (), "the ledger is not read again for nothing"
        server, account = here.exchange.server, here.exchange.account
        server.engine.venue.income(account, "", "TRANSFER", Decimal(-2_500))
        found = await here.venue.snapshot(0)
        assert found.wallet == before.wallet - 2_500
        assert [row.amount for row in found.transfers] == [before.wallet, -2_500]
        assert len({row.tran_id for row in found.transfers}) == 2


UNNAMED = {
    "v3/positionRisk": '{"symbol":"币安人生USDT","positionAmt":"1","entryPrice":"1"}',
    "v1/openOrders": (
        '{"symbol":"币安人生USDT","orderId":1,"clientOrderId":"a","status":"NEW","side":"BUY","origQty":"1"}'
    ),
    "v1/openAlgoOrders": (
        '{"symbol":"币安人生USDT","algoId":1,"clientAlgoId":"web","algoStatus":"NEW","side":"SELL","orderType":"STOP_MARKET"}'
    ),
    "v1/income": (
        '{"symbol":"币安人生USDT","incomeType":"FUNDING_FEE","income":"-1","asset":"USDT","time":1,"tranId":7}'
    ),
}


@pytest.mark.parametrize("path", UNNAMED)
async def test_a_contract_with_a_foreign_name_does_not_make_the_rest_of_the_account_unreadable(path: str) -> None:
    async with world() as here:
        await here.venue.place(order("k-1-en-0"))
        asked: list[str] = []

        def bend(request: Request) -> Reply | None:
            if request.path != f"/fapi/{path}":
                return None
            asked.append(path)
            honest = here.exchange.server.rest.handle(request)
            rows = json.loads(honest.body)
            return Reply(200, json.dumps([json.loads(UNNAMED[path]), *rows]))

        here.bend = bend
        for _ in range(2):
            found = await here.venue.snapshot(0)
            assert found.complete
            assert [row.symbol for row in found.positions] == [BTC]
        assert asked
        told = [row.text for row in here.of(Notice) if "币安人生USDT" in row.text]
        assert len(told) == (path != "v1/income")


class OldAnswers:
    """The reads of an account whose only fill and withdrawal are ``days`` old; userTrades shows a week, as Binance."""

    def __init__(self, now: int, days: int) -> None:
        self.at = now - days * DAY_MS
        self.now = now
        self.asked = 0

    async def read(self, kind: object, path: str, params: dict[str, int] | None = None, **_: object) -> object:
        params = params or {}
        start = params.get("startTime", self.now - 7 * DAY_MS)
        end = params.get("endTime", start + 7 * DAY_MS if path == "userTrades" else self.now)
        assert path != "userTrades" or end - start <= 7 * DAY_MS
        self.asked += path == "userTrades"
        rows: object = []
        if path == "balance":
            rows = [{"asset": "USDT", "balance": "10"}]
        elif path == "positionSide/dual":
            rows = {"dualSidePosition": False}
        elif path == "income" and start <= self.at <= end:
            facts = {"asset": "USDT", "time": self.at, "tranId": 5}
            rows = [
                {"symbol": BTC, "incomeType": "COMMISSION", "income": "-1", **facts},
                {"symbol": "", "incomeType": "TRANSFER", "income": "-90", **facts},
            ]
        elif path == "userTrades" and start <= self.at <= end:
            facts = {"symbol": BTC, "id": 3, "orderId": 2, "side": "SELL", "qty": "1", "price": "2", "maker": False}
            rows = [{**facts, "commission": "0", "commissionAsset": "USDT", "realizedPnl": "0", "time": self.at}]
        return msgspec.convert(rows, kind, strict=False)


@pytest.mark.parametrize("days", [1, 8, 20, 60])
async def test_what_happened_in_weeks_without_a_session_is_read_at_the_next_start(days: int) -> None:
    account, _ = await bare_account()
    now = account._clock.now_ms()
    answers = account._rest = OldAnswers(now, days)
    found = await account.snapshot(now - (days + 1) * DAY_MS)
    assert found.complete
    assert [row.trade_id for row in found.fills] == ["3"]
    assert [row.amount for row in found.transfers] == [-90]
    assert answers.asked <= 1 + days // 7 + 1
