"""The REST face through a real third-party client: ccxt's binanceusdm."""

from collections.abc import AsyncIterator

import pytest
from ccxt.async_support import binanceusdm
from ccxt.base.errors import BaseError

from tests.exchange.exchange_kit import START_MS, ccxt_config
from tui_trader.exchange.scripted import ScriptedMarket, scripted_spec
from tui_trader.exchange.server import RunningExchange, running_exchange

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
async def exchange() -> AsyncIterator[RunningExchange]:
    markets = {
        "BTCUSDT": ScriptedMarket(),
        "ETHUSDT": ScriptedMarket(scripted_spec("ETHUSDT", "0.01", "0.001", "20"), mid=2500),
    }
    async with running_exchange(markets=markets, start_ms=START_MS, manual_clock=True) as running:
        running.step(1000)
        yield running


@pytest.fixture
async def client(exchange: RunningExchange) -> AsyncIterator[binanceusdm]:
    client = binanceusdm(ccxt_config(exchange))
    await client.load_markets()
    yield client
    await client.close()


async def test_markets_carry_the_filters(client: binanceusdm) -> None:
    market = client.market(SYMBOL)
    assert market["precision"]["price"] == 0.1
    assert market["precision"]["amount"] == 0.001
    assert market["limits"]["cost"]["min"] == 50


async def test_public_data(client: binanceusdm, exchange: RunningExchange) -> None:
    assert await client.fetch_time() == exchange.engine.now_ms
    book = await client.fetch_order_book(SYMBOL, 5)
    assert book["bids"][0][0] == 49999.9
    assert book["asks"][0] == [50000.1, 0.999]
    tickers = await client.fetch_tickers()
    assert set(tickers) == {SYMBOL, "ETH/USDT:USDT"}
    assert tickers[SYMBOL]["last"] == 50000.1
    rates = await client.fetch_funding_rates()
    assert rates[SYMBOL]["fundingRate"] == 0.0001
    assert (await client.fetch_open_interest(SYMBOL))["openInterestAmount"] == 1000.0
    candles = await client.fetch_ohlcv(SYMBOL, "1m")
    assert candles[-1][1:5] == [49999.9, 50000.1, 49999.9, 50000.1]
    trades = await client.fetch_trades(SYMBOL)
    assert {trade["side"] for trade in trades} == {"buy", "sell"}


async def test_market_order_to_position_and_back(client: binanceusdm, exchange: RunningExchange) -> None:
    order = await client.create_order(SYMBOL, "market", "buy", 0.1)
    assert order["status"] == "closed"
    assert order["average"] == 50000.1
    positions = await client.fetch_positions([SYMBOL])
    assert positions[0]["contracts"] == 0.1
    assert positions[0]["side"] == "long"
    assert positions[0]["entryPrice"] == 50000.1
    fetched = await client.fetch_order(order["id"], SYMBOL)
    assert fetched["filled"] == 0.1
    await client.create_order(SYMBOL, "market", "sell", 0.1, None, {"reduceOnly": True})
    assert await client.fetch_positions([SYMBOL]) == []
    trades = await client.fetch_my_trades(SYMBOL)
    assert [trade["side"] for trade in trades] == ["buy", "sell"]
    balance = await client.fetch_balance()
    assert balance["USDT"]["total"] == pytest.approx(float(exchange.account.wallet))
    ledger = await client.fetch_ledger("USDT")
    assert {row["type"] for row in ledger} >= {"commission", "trade", "transfer"}
    assert sum(float(row["info"]["income"]) for row in ledger) == pytest.approx(float(exchange.account.wallet))


async def test_limit_orders(client: binanceusdm) -> None:
    order = await client.create_order(SYMBOL, "limit", "buy", 0.01, 49000, {"clientOrderId": "tt-1.E"})
    assert order["status"] == "open"
    assert order["clientOrderId"] == "tt-1.E"
    edited = await client.edit_order(order["id"], SYMBOL, "limit", "buy", 0.02, 49500)
    assert (edited["price"], edited["amount"]) == (49500, 0.02)
    opened = await client.fetch_open_orders(SYMBOL)
    assert [row["id"] for row in opened] == [order["id"]]
    cancelled = await client.cancel_order(order["id"], SYMBOL)
    assert cancelled["status"] == "canceled"
    with pytest.raises(BaseError, match="-2011"):
        await client.cancel_order(order["id"], SYMBOL)
    with pytest.raises(BaseError, match="-5022"):
        await client.create_order(SYMBOL, "limit", "buy", 0.01, 50500, {"postOnly": True})


async def test_conditional_orders_live_in_the_second_book(client: binanceusdm) -> None:
    await client.create_order(SYMBOL, "market", "buy", 0.1)
    stop = await client.create_order(
        SYMBOL, "market", "sell", 0.1, None, {"stopLossPrice": 49000, "reduceOnly": True, "clientOrderId": "tt-stop"}
    )
    assert await client.fetch_open_orders(SYMBOL) == []
    waiting = await client.fetch_open_orders(SYMBOL, params={"trigger": True})
    assert [(row["id"], row["clientOrderId"], row["triggerPrice"]) for row in waiting] == [
        (stop["id"], "tt-stop", 49000.0)
    ]
    trailing = await client.create_order(
        SYMBOL, "market", "sell", 0.1, None, {"trailingPercent": 1, "reduceOnly": True}
    )
    assert trailing["info"]["orderType"] == "TRAILING_STOP_MARKET"
    assert trailing["info"]["callbackRate"] == "1"
    fetched = await client.fetch_order(stop["id"], SYMBOL, {"trigger": True})
    assert fetched["triggerPrice"] == 49000.0
    await client.cancel_order(stop["id"], SYMBOL, {"trigger": True})
    await client.cancel_all_orders(SYMBOL, {"trigger": True})
    assert await client.fetch_open_orders(SYMBOL, params={"trigger": True}) == []


async def test_account_settings(client: binanceusdm) -> None:
    assert int((await client.set_leverage(30, SYMBOL))["leverage"]) == 30
    brackets = await client.fetch_leverage_tiers([SYMBOL])
    assert brackets[SYMBOL][0]["maxLeverage"] == 125
    with pytest.raises(BaseError, match="-4059"):
        await client.set_position_mode(False)
    with pytest.raises(BaseError, match="-4084"):
        await client.set_position_mode(True)
    assert (await client.fetch_position_mode())["hedged"] is False
    with pytest.raises(BaseError, match="-4046"):
        await client.set_margin_mode("cross", SYMBOL)
    with pytest.raises(BaseError, match="-4084"):
        await client.set_margin_mode("isolated", SYMBOL)
    restrictions = await client.sapiGetAccountApiRestrictions()
    assert restrictions["enableWithdrawals"] is False
