"""What an account read asks: all of it at first and after a gap, between only what can have changed (I7, I8, I13)."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal
from urllib.parse import parse_qs

import msgspec
import pytest

from tests.venues.faults import BTC, World, cancel, error, order, resting, world
from tui_trader.core.commands import PlaceOrder
from tui_trader.core.events import AccountSnapshot, VenuePosition
from tui_trader.core.types import Channel, Leg, OrderSide, OrderType
from tui_trader.exchange.fault_acts import perform
from tui_trader.exchange.fault_rules import Act, FaultKind, FaultRule
from tui_trader.exchange.faults import Faults
from tui_trader.exchange.orders import IncomeRow
from tui_trader.venues.binance import rest
from tui_trader.venues.binance.attention import FEW, Attention

OTHER = "ETHUSDT"


class Time:
    """Monotonic seconds that stand still until they are moved."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def still(here: World) -> Time:
    """Let the venue's attention go by a clock of the test's."""
    time = Time()
    here.venue.account.attention.now = time
    return time


def asked(here: World) -> Counter[tuple[str, str]]:
    """What the account reads since the last call asked, with its symbol."""
    names = ("openOrders", "openAlgoOrders", "userTrades")
    found = [
        (row.path.rsplit("/", 1)[1], parse_qs(row.query).get("symbol", ["all"])[0])
        for row in here.requests
        if row.path.endswith(names) and row.method == "GET"
    ]
    here.requests.clear()
    return Counter(found)


BOOKS = ("openOrders", "openAlgoOrders")
WHOLE = Counter((name, "all") for name in BOOKS)


def books(*symbols: str) -> Counter[tuple[str, str]]:
    return Counter((name, symbol) for name in BOOKS for symbol in symbols)


def stop(client_id: str, symbol: str = BTC) -> PlaceOrder:
    return order(
        client_id, symbol=symbol, leg=Leg.STOP, side=OrderSide.SELL, type=OrderType.STOP_MARKET,
        trigger_price=Decimal("45000.0"), reduce_only=True,
    )  # fmt: skip


async def read(here: World) -> AccountSnapshot:
    return await here.venue.snapshot(here.venue.clock.now_ms() - 60_000)


async def test_a_quiet_account_is_read_whole_twice_a_minute_and_cheaply_between() -> None:
    async with world() as here:
        time = still(here)
        await read(here)
        assert asked(here) == WHOLE
        time.now += 7
        await read(here)
        assert asked(here) == Counter()
        time.now += 23
        await read(here)
        assert asked(here) == WHOLE


async def test_a_position_s_books_are_always_read_and_its_fills_until_it_is_quiet() -> None:
    async with world() as here:
        time = still(here)
        await read(here)
        await here.venue.place(order("p-1-en-0"))
        await here.venue.place(stop("p-1-sl-0"))
        asked(here)
        fills = Counter({("userTrades", BTC): 1})
        for step, expected in ((0, fills), (7, fills), (7, fills), (7, fills), (7, Counter())):
            time.now += step
            found = await read(here)
            assert [row.client_id for row in found.orders] == ["p-1-sl-0"]
            assert asked(here) == books(BTC) + expected, time.now
        for _ in range(8):
            time.now += 7
            await read(here)
        total = asked(here)
        assert total["userTrades", BTC] == 1
        assert total["openOrders", "all"] == 2
        assert total["openOrders", BTC] == 6


def elsewhere(here: World, symbol: str, side: str) -> None:
    """Somebody trades by hand on the same account."""
    act = Act(FaultKind.trade_elsewhere, symbol=symbol, side=side, qty="0.010")
    assert " by hand." in perform(here.exchange.server.engine, act, random.Random(1))


async def test_what_no_stream_told_is_in_the_next_read() -> None:
    """The close of a position that was quiet, and a trade on a symbol that nobody here knows: their events are lost."""
    async with world(BTC, OTHER) as here:
        time = still(here)
        await here.venue.place(order("q-1-en-0"))
        for _ in range(6):
            time.now += 7
            await read(here)
        here.twist = lambda connection, stream, payload: [] if connection.route == "private" else [payload]
        elsewhere(here, OTHER, "BUY")
        time.now += 7
        asked(here)
        found = await read(here)
        assert asked(here) == books(BTC, OTHER) + Counter({("userTrades", OTHER): 1})
        assert [row.qty for row in found.positions] == [Decimal("0.01"), Decimal("0.01")]
        elsewhere(here, BTC, "SELL")
        time.now += 7
        found = await read(here)
        assert asked(here)["userTrades", BTC] == 1
        told = {(row.symbol, row.side) for row in found.fills}
        assert told >= {(OTHER, OrderSide.BUY), (BTC, OrderSide.SELL)}
        assert [row.symbol for row in found.positions] == [OTHER]


async def test_an_order_that_arrives_late_and_unheard_is_seen_at_once() -> None:
    """I8: its answer and its events are lost, and no position tells of it."""
    async with world() as here:
        time = still(here)
        for _ in range(2):
            await read(here)
        here.twist = lambda connection, stream, payload: [] if connection.route == "private" else [payload]
        await here.venue.place(resting("l-1-en-0"))
        time.now += 7
        found = await read(here)
        assert [row.client_id for row in found.orders] == ["l-1-en-0"]
        await here.venue.cancel(cancel("l-1-en-0"))
        time.now += 7
        assert not (await read(here)).orders
        assert asked(here)["openOrders", BTC] == 2


async def test_nothing_is_left_out_while_no_private_stream_stands_and_after_it_came_back() -> None:
    async with world() as here:
        time = still(here)
        await here.venue.place(order("d-1-en-0"))
        for _ in range(6):
            time.now += 7
            await read(here)
        asked(here)
        here.venue._down(Channel.PRIVATE, "test")
        everything = WHOLE + Counter({("userTrades", BTC): 1})
        for _ in range(2):
            time.now += 7
            await read(here)
            assert asked(here) == everything
        await here.venue._private_up(1.0)
        await read(here)
        assert asked(here) == everything
        time.now += 7
        await read(here)
        assert asked(here) == books(BTC) + Counter({("userTrades", BTC): 1})


async def test_fills_that_could_not_be_read_are_asked_again() -> None:
    async with world() as here:
        time = still(here)
        await here.venue.place(order("a-1-en-0"))
        for _ in range(6):
            time.now += 7
            await read(here)
        here.venue.account.attention.sign(BTC)
        here.bend = lambda request: error(500, -1000) if request.path.endswith("userTrades") else None
        for _ in range(6):
            time.now += 7
            assert not (await read(here)).complete
        here.bend = lambda request: None
        asked(here)
        found = await read(here)
        assert found.complete
        assert asked(here)["userTrades", BTC] == 1


def held(symbol: str, qty: str = "1") -> VenuePosition:
    return VenuePosition(symbol=symbol, qty=Decimal(qty), entry_price=Decimal(5))


def test_many_symbols_are_read_in_one_request() -> None:
    attention = heard(Time())
    names = [f"C{number}USDT" for number in range(FEW + 1)]
    attention.saw(None, 1_000.0, [held(name) for name in names[:-1]], [])
    assert attention.books() == tuple(sorted(names[:-1]))
    attention.sign(names[-1])
    assert attention.books() is None


def test_fills_are_read_from_where_they_were_read_last() -> None:
    """The caller's cursor moves on with every read; a symbol that was left out must not miss what it passed."""
    attention = heard(Time())
    attention.sign(BTC)
    assert attention.fills() == [BTC]
    assert attention.since(BTC, 500_000, 60_000) == 500_000
    attention.filled(BTC, 1_000.0, 510_000)
    assert attention.since(BTC, 900_000, 60_000) == 450_000
    assert attention.since(BTC, 400_000, 60_000) == 400_000


def test_what_the_market_moves_is_no_sign() -> None:
    time = Time()
    attention = heard(time)
    for price in ("1", "2"):
        row = msgspec.structs.replace(held(BTC), liquidation_price=Decimal(price))
        attention.saw((BTC,), time.now, [row], [])
        attention.filled(BTC, time.now, 1)
        time.now += 25
    attention.filled(BTC, time.now, 1)
    assert attention.fills() == []
    attention.saw((BTC,), time.now, [held(BTC, "2")], [])
    assert attention.fills() == [BTC]


def heard(time: Time) -> Attention:
    """A private stream stands and a whole read was made."""
    made = Attention(time)
    made.deaf = False
    made.saw(None, time.now, [], [])
    return made


async def test_a_ledger_of_many_pages_is_read_to_its_end() -> None:
    """A thousand bookings an hour are an ordinary day of a busy account; each page holds a thousand."""
    async with world() as here:
        add_income(here, 2_500)
        found = await read(here)
        assert found.complete
        assert len({row.tran_id for row in found.funding}) == 2_500
        assert len(here.asked("GET", "income")) == 3


async def test_a_ledger_that_is_longer_still_is_read_on_with_the_next_snapshots() -> None:
    async with world() as here:
        add_income(here, 7_300)
        first, second, third = [await read(here) for _ in range(3)]
        assert [row.complete for row in (first, second, third)] == [False, True, True]
        told = {row.tran_id for snapshot in (first, second) for row in snapshot.funding}
        assert len(told) == 7_300
        assert len(here.asked("GET", "income")) == 8


def add_income(here: World, count: int) -> None:
    """Funding rows, several in each millisecond."""
    account = next(iter(here.exchange.server.engine.venue.accounts.values()))
    begin = account.income[-1].time_ms
    for number in range(count):
        row = IncomeRow(BTC, "FUNDING_FEE", Decimal("-0.001"), begin + number // 7, 1_000_000 + number)
        account.income.append(row)


@pytest.mark.parametrize("name", ["positionRisk", "balance", "openOrders", "openAlgoOrders", "income", "userTrades"])
async def test_a_part_whose_answer_is_lost_twice_is_asked_a_third_time_within_the_read(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_ANSWERS_S", (0.3, 0.3))
    async with world(faults=Faults(1, ())) as here:
        await here.until(lambda: here.links(Channel.PRIVATE))
        row = IncomeRow(BTC, "COMMISSION", Decimal(-1), here.venue.clock.now_ms(), 1)
        here.exchange.account.income.append(row)
        wire = here.exchange.server.wire
        assert wire is not None
        wire.faults.add(FaultRule(FaultKind.drop_response, path=f"GET /fapi/*/{name}", count=2))
        assert (await read(here)).complete
        assert len([one for one in here.requests if one.path.endswith(f"/{name}")]) == 3
