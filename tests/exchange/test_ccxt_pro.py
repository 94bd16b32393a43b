"""The websocket face through a real third-party client: ccxt.pro's binanceusdm."""

import asyncio

from ccxt.pro import binanceusdm

from tests.exchange.exchange_kit import ccxt_config
from tui_trader.exchange.server import running_exchange

SYMBOL = "BTC/USDT:USDT"


async def test_book_and_orders() -> None:
    async with running_exchange(seed=1, speed=10, symbols=["BTCUSDT"]) as exchange:
        client = binanceusdm(ccxt_config(exchange))
        try:
            await client.load_markets()
            for _ in range(3):
                book = await client.watch_order_book(SYMBOL)
            assert book["bids"][0][0] < book["asks"][0][0]
            watching = asyncio.create_task(client.watch_orders(SYMBOL))
            while len(exchange.server.connections) < 2:
                await asyncio.sleep(0.01)
            placed = await client.create_order(SYMBOL, "market", "buy", 0.01)
            seen = await watching
            while seen[-1]["status"] != "closed":
                seen = await client.watch_orders(SYMBOL)
            assert (seen[-1]["id"], seen[-1]["filled"]) == (placed["id"], 0.01)
            assert seen[-1]["average"] == placed["average"]
        finally:
            await client.close()
