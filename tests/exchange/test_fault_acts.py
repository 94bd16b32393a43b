"""What happens in the world, done to a scripted exchange: events in the venue's order, and the state that remains."""

import random
from typing import Any

import pytest

from tests.exchange.exchange_kit import Desk
from tui_trader.exchange.fault_acts import heal, perform
from tui_trader.exchange.fault_rules import ACTS, Act, FaultKind
from tui_trader.exchange.faults import Faults
from tui_trader.exchange.reject import VenueError

K = FaultKind


class World(Desk):
    """A desk at an exchange that can have faults."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = Faults(1)
        self.engine.faults = self.faults
        self.rng = random.Random(1)

    def act(self, kind: FaultKind, **fields: Any) -> str:
        return perform(self.engine, Act(kind, **fields), self.rng)

    def long_with_legs(self) -> tuple[Any, Any]:
        """Hold 0.040 with a stop and a target, and forget the events that led here."""
        self.order("BUY", "0.040")
        stop = self.algo("SELL", "STOP_MARKET", "0.040", "49000", reduce_only=True, client_id="stop")
        target = self.order("SELL", "0.020", "51000", reduce_only=True, client_id="target")
        self.events.clear()
        return stop, target

    def code(self, *order: Any, **options: Any) -> int:
        with pytest.raises(VenueError) as refusal:
            self.order(*order, **options)
        return refusal.value.code


@pytest.mark.parametrize("kind", sorted(ACTS))
def test_every_act_copes_with_an_empty_account(kind: FaultKind) -> None:
    assert World().act(kind).endswith(".")


def test_what_is_no_act_is_refused() -> None:
    world = World()
    with pytest.raises(ValueError, match="drop_request is no act"):
        world.act(K.drop_request)
    with pytest.raises(ValueError, match="there is no symbol NOPE"):
        world.act(K.adl, symbol="NOPE")
    with pytest.raises(ValueError, match="unknown status HALF"):
        world.act(K.symbol_status, text="HALF")
    world.engine.faults = None
    with pytest.raises(ValueError, match="an outage needs an exchange with faults"):
        world.act(K.outage)


def test_somebody_cancels_a_stop_or_a_target() -> None:
    world = World()
    stop, target = world.long_with_legs()
    assert world.act(K.cancel_elsewhere, text="stop") == "Somebody cancelled the stop market order stop in BTCUSDT."
    assert (stop.status, target.status) == ("CANCELED", "NEW")
    assert world.names() == ["ALGO_UPDATE CANCELED"]
    assert world.act(K.cancel_elsewhere, text="target") == "Somebody cancelled the limit order target in BTCUSDT."
    assert world.names()[1:] == ["ORDER_TRADE_UPDATE CANCELED"]
    assert "nobody" in world.act(K.cancel_elsewhere).lower()


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"side": "SELL", "share": 0.5}, 20),
        ({"side": "SELL", "share": 1.0}, 0),
        ({"side": "BUY", "qty": "0.010"}, 50),
        ({"side": "SELL", "qty": "0.060"}, -20),
    ],
)
def test_somebody_trades_by_hand(fields: dict[str, Any], left: int) -> None:
    world = World()
    world.long_with_legs()
    assert world.act(K.trade_elsewhere, symbol="BTCUSDT", **fields).endswith("BTCUSDT by hand.")
    assert world.lots == left
    first = world.events[0]["o"]
    assert first["c"].split("_")[0] in {"web", "android", "ios"}
    assert world.names()[:4] == [
        "ORDER_TRADE_UPDATE NEW",
        "TRADE_LITE",
        "ORDER_TRADE_UPDATE FILLED",
        "ACCOUNT_UPDATE",
    ]


def test_somebody_opens_a_position_only_when_told_to() -> None:
    world = World()
    assert world.act(K.trade_elsewhere) == "Nobody traded: no position is open."
    world.act(K.trade_elsewhere, symbol="BTCUSDT", side="SELL", qty="0.015")
    assert world.lots == -15


def test_a_hand_trade_that_the_venue_refuses_is_a_sentence() -> None:
    world = World()
    said = world.act(K.trade_elsewhere, symbol="BTCUSDT", side="BUY", qty="100000")
    assert "the venue refused" in said


def test_liquidation_takes_orders_first_and_then_the_position() -> None:
    world = World()
    stop, target = world.long_with_legs()
    wallet = world.account.wallet
    assert world.act(K.liquidation) == "The venue liquidated 0.040 BTCUSDT."
    assert (world.lots, stop.status, target.status) == (0, "EXPIRED", "CANCELED")
    assert world.names()[:3] == ["ORDER_TRADE_UPDATE CANCELED", "ALGO_UPDATE EXPIRED", "ORDER_TRADE_UPDATE NEW"]
    forced = [
        event["o"] for event in world.events if event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["X"] == "FILLED"
    ]
    assert [(row["c"].startswith("autoclose-"), row["o"], row["x"]) for row in forced] == [
        (True, "LIQUIDATION", "CALCULATED")
    ]
    assert world.account.wallet < wallet
    assert world.account.wallet == sum(row.amount for row in world.account.income)


def test_deleveraging_takes_a_share_at_the_mark_and_leaves_the_stop() -> None:
    world = World()
    stop, target = world.long_with_legs()
    best = world.state.book.bids.best()
    assert world.act(K.adl, share=0.25) == "The venue deleveraged 0.010 BTCUSDT."
    assert (world.lots, stop.is_open, target.is_open) == (30, True, True)
    fill = next(event["o"] for event in world.events if event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["x"] != "NEW")
    assert (fill["c"], fill["x"], fill["X"], fill["L"], fill["l"]) == (
        "adl_autoclose",
        "CALCULATED",
        "FILLED",
        "50000.00",
        "0.010",
    )
    assert world.state.book.bids.best() == best, "nobody in the book took part"
    assert world.act(K.adl, share=1.0) == "The venue deleveraged 0.030 BTCUSDT."
    assert (world.lots, target.status, stop.is_open) == (0, "EXPIRED", True), "a quantity stop outlives its position"
    assert world.account.wallet == sum(row.amount for row in world.account.income)
    assert [order.client_id for order in world.account.forced] == ["adl_autoclose"] * 2


def test_funding_at_an_odd_time_is_a_ledger_row() -> None:
    world = World()
    world.long_with_legs()
    assert world.act(K.funding, share=0.001) == "Funding of 0.100000% was charged in BTCUSDT, outside its time."
    assert world.names() == ["ACCOUNT_UPDATE"]
    assert world.events[0]["a"]["m"] == "FUNDING_FEE"
    assert [row.amount for row in world.account.income if row.kind == "FUNDING_FEE"] == [-2]


@pytest.mark.parametrize(
    ("status", "opening", "closing"),
    [("SETTLING", -4141, 0), ("CLOSE", -4141, -4141), ("BREAK", -4140, -4141)],
)
def test_a_symbol_that_stops_trading_refuses_orders_and_trades_again(status: str, opening: int, closing: int) -> None:
    world = World()
    world.order("BUY", "0.040")
    assert world.act(K.symbol_status, text=status, ms=10_000) == f"BTCUSDT is {status} for 10 s."
    assert world.code("BUY", "0.010", "49000") == opening
    if closing:
        assert world.code("SELL", "0.010", reduce_only=True) == closing
    else:
        world.order("SELL", "0.010", reduce_only=True)
    world.step(11_000)
    assert world.order("BUY", "0.010", "49000").is_open


def test_a_halt_freezes_the_book_and_lets_the_market_in_together_afterwards() -> None:
    world = World()
    stop, _ = world.long_with_legs()
    world.act(K.symbol_status, text="BREAK", ms=10_000)
    world.move(48_000)
    world.step(2_000)
    assert (world.state.last_price, stop.status) == (500_001, "NEW")
    world.step(10_000)
    assert world.state.last_price == 480_001
    assert (stop.status, world.lots) == ("FINISHED", 0)
    world.move(50_000)
    assert world.state.book.bids.best() == 499_999
    assert world.state.book.asks.best() == 500_001


def test_settlement_closes_what_is_left_at_its_end() -> None:
    world = World()
    stop, target = world.long_with_legs()
    world.act(K.symbol_status, text="SETTLING", ms=5_000)
    world.step(4_000)
    assert world.lots == 40
    world.step(2_000)
    assert (world.lots, stop.status, target.status, world.state.status) == (0, "EXPIRED", "CANCELED", "TRADING")
    names = [event["o"]["c"] for event in world.events if event["e"] == "ORDER_TRADE_UPDATE"]
    assert any(name.startswith("settlement_autoclose-") for name in names)


def test_a_later_status_is_not_ended_by_an_earlier_one() -> None:
    world = World()
    world.act(K.symbol_status, text="CLOSE", ms=5_000)
    world.act(K.symbol_status, text="BREAK", ms=60_000)
    world.step(10_000)
    assert world.state.status == "BREAK"
    world.act(K.symbol_status, text="TRADING")
    assert world.order("BUY", "0.010", "49000").is_open


def test_hedge_mode_refuses_orders_until_it_ends() -> None:
    world = World()
    assert world.act(K.hedge_mode, ms=5_000) == "Somebody switched the account to hedge mode for 5 s."
    assert world.code("BUY", "0.010") == -4061
    with pytest.raises(VenueError, match="-4061"):
        world.algo("SELL", "STOP_MARKET", "0.010", "49000", reduce_only=True)
    world.step(6_000)
    world.order("BUY", "0.010")
    assert "refused: there are open orders or positions" in world.act(K.hedge_mode)
    world.order("BUY", "0.010")
    world.act(K.hedge_mode, text="force")
    assert world.code("BUY", "0.010") == -4061


def test_the_clock_drifts_and_jumps_for_whoever_reads_it() -> None:
    world = World()
    start = world.engine.now_ms
    world.act(K.clock_step, ms=1_500)
    assert world.engine.told_ms - world.engine.now_ms == 1_500
    world.order("BUY", "0.010")
    assert {event["E"] for event in world.events} == {start + 1_500}
    assert world.account.trades[-1].time_ms == start + 1_500
    world.act(K.clock_skew, ms=-600)
    gaps = []
    for _ in range(4):
        world.step(20_000)
        gaps.append(world.engine.told_ms - world.engine.now_ms)
    assert gaps == [1_300, 1_100, 900, 900]
    assert world.engine.now_ms == start + 80_000, "the market's own time is untouched"


def test_a_wandering_clock_does_not_run_away() -> None:
    world = World()
    for _ in range(200):
        world.act(K.clock_step)
        assert abs(world.engine.told_ms - world.engine.now_ms) <= 5_000


def test_outage_and_restart_that_keeps_its_orders() -> None:
    world = World()
    stop, target = world.long_with_legs()
    restarts: list[int] = []
    world.engine.on_restart = lambda: restarts.append(1)
    assert world.act(K.outage, ms=60_000) == "The venue is down for 60 s."
    assert world.faults.is_out(0)
    assert restarts == []
    assert world.act(K.restart_keep, ms=5_000) == "The venue restarts, down for 5 s; it keeps its orders."
    assert (restarts, stop.is_open, target.is_open, world.events) == ([1], True, True, [])


def test_a_restart_that_loses_its_orders_forgets_them_without_a_word() -> None:
    world = World()
    stop, target = world.long_with_legs()
    half = world.order("SELL", "0.020", "50000.1", reduce_only=True, client_id="half")
    world.market.trade(True, "0.001")
    world.state.book.set_anonymous(False, 500_001, 0)
    world.step()
    assert 0 < half.filled < half.lots
    world.events.clear()
    assert world.act(K.restart_lose) == "The venue restarts, down for 5 s, and has forgotten 3 open orders."
    assert world.events == []
    assert (world.account.open_orders(), world.account.open_algos()) == ([], [])
    find = world.engine.find_order
    assert find(world.account, "BTCUSDT", target.id, None) is None
    assert world.engine.find_algo(world.account, stop.id, None) is None
    kept = find(world.account, "BTCUSDT", half.id, None)
    assert kept is not None
    assert kept.status == "EXPIRED", "what traded is remembered"
    assert world.lots == 40 - half.filled
    world.move(48_000)
    assert world.lots == 40 - half.filled, "the lost stop does not trigger"


def test_same_generator_same_choices() -> None:
    def run() -> list[str]:
        world = World()
        world.long_with_legs()
        return [world.act(kind) for kind in sorted(ACTS) for _ in range(3)]

    assert run() == run()


def test_healing_puts_everything_back() -> None:
    world = World()
    world.act(K.symbol_status, text="BREAK", ms=600_000)
    world.act(K.hedge_mode, text="force", ms=600_000)
    world.act(K.clock_step, ms=3_000)
    world.act(K.outage)
    heal(world.engine)
    world.faults.clear()
    world.order("BUY", "0.010")
    assert (world.engine.told_ms - world.engine.now_ms, world.faults.is_out(0)) == (0, False)
    world.step(700_000)
    assert world.state.is_trading
