"""Faults inside the exchange: blind or stuck conditional orders, and reads that lag behind."""

import json
from typing import Any

import pytest

from tests.exchange.exchange_kit import START_MS, Desk
from tests.exchange.test_rest import Door, code
from tui_trader.exchange.fault_acts import heal
from tui_trader.exchange.fault_rules import FaultKind, FaultRule
from tui_trader.exchange.faults import Faults
from tui_trader.exchange.reject import VenueError
from tui_trader.exchange.rest import Reply

K = FaultKind


def desk(*rules: FaultRule) -> Desk:
    world = Desk()
    world.engine.faults = Faults(1, rules)
    return world


def stop(world: Desk, quantity: str | None = "0.040", **options: Any) -> Any:
    return world.algo("SELL", "STOP_MARKET", quantity, "49000", reduce_only=quantity is not None, **options)


def test_the_conditional_desk_does_not_see_a_new_position_yet() -> None:
    world = desk(FaultRule(K.algo_lag, rate=1.0, ms=800, share=1.0))
    world.order("BUY", "0.040")
    for options in ({}, {"quantity": None, "close_position": True}):
        with pytest.raises(VenueError, match="-4509 Time in Force"):
            stop(world, **options)
    world.step(799)
    with pytest.raises(VenueError, match="-4509"):
        stop(world)
    world.step(1)
    assert stop(world).is_open
    world.order("BUY", "0.010")
    assert stop(world, "0.010").is_open, "adding to a position does not open it again"
    world.algo("BUY", "STOP_MARKET", "0.010", "52000")


def test_a_position_turned_around_is_a_new_one() -> None:
    world = desk(FaultRule(K.algo_lag, rate=1.0, ms=800, share=1.0))
    world.order("BUY", "0.040")
    world.step(1_000)
    world.order("SELL", "0.080")
    with pytest.raises(VenueError, match="-4509"):
        world.algo("BUY", "STOP_MARKET", "0.040", "51000", reduce_only=True)


@pytest.mark.parametrize(("fate", "status"), [("reject", "REJECTED"), ("expire", "EXPIRED")])
def test_a_stop_that_fails_at_its_trigger_sells_nothing(fate: str, status: str) -> None:
    world = desk(FaultRule(K.stop_rejected_at_trigger, count=1, text=fate))
    world.order("BUY", "0.040")
    failed = stop(world)
    world.events.clear()
    world.move(48_500)
    assert world.names() == ["ALGO_UPDATE TRIGGERING", f"ALGO_UPDATE {status}"]
    assert bool(world.events[1]["o"].get("rm")) == (fate == "reject")
    assert (failed.status, world.lots, world.account.open_algos()) == (status, 40, [])


def test_a_stop_stuck_at_its_trigger_is_listed_and_cannot_be_cancelled() -> None:
    world = desk(FaultRule(K.stuck_triggering, count=1, ms=5_000))
    world.order("BUY", "0.040")
    stuck = stop(world)
    world.events.clear()
    world.move(48_500)
    assert world.names() == ["ALGO_UPDATE TRIGGERING"]
    assert (world.lots, [algo.status for algo in world.account.open_algos()]) == (40, ["TRIGGERING"])
    with pytest.raises(VenueError, match="-2011"):
        world.engine.algos.cancel(stuck)
    world.engine.cancel_all_algos(world.account, "BTCUSDT")
    assert stuck.status == "TRIGGERING"
    world.step(5_000)
    assert world.names()[1:3] == ["ALGO_UPDATE TRIGGERED", "ORDER_TRADE_UPDATE NEW"]
    assert (stuck.status, world.lots, world.account.open_algos()) == ("FINISHED", 0, [])


def test_a_stuck_stop_without_a_position_ends_when_it_gets_through() -> None:
    for quantity, status in (("0.040", "REJECTED"), (None, "EXPIRED")):
        world = desk(FaultRule(K.stuck_triggering, count=1, ms=600_000))
        world.order("BUY", "0.040")
        stuck = stop(world, quantity, close_position=quantity is None)
        world.move(48_500)
        world.order("SELL", "0.040", reduce_only=True)
        assert stuck.status == "TRIGGERING"
        heal(world.engine)
        assert (stuck.status, world.lots, world.account.open_algos()) == (status, 0, [])


def test_liquidation_passes_by_what_is_stuck() -> None:
    world = desk(FaultRule(K.stuck_triggering, count=1, ms=600_000))
    world.order("BUY", "0.040")
    stop(world)
    world.move(48_500)
    world.engine.risk.liquidate(world.account, world.state)
    assert world.lots == 0


class LaggingDoor(Door):
    """A REST face whose reads lag by two seconds."""

    def __init__(self, path: str = "") -> None:
        super().__init__()
        self.account = self.engine.venue.accounts["key"]
        self.engine.faults = Faults(1, [FaultRule(K.replica_lag, rate=1.0, ms=2_000, path=path)])
        self.wait(500)

    def wait(self, ms: int) -> None:
        self.clock.advance(ms)
        self.seconds += ms / 1000
        self.engine.advance_to(self.clock.now_ms())

    def read(self, name: str, **params: Any) -> Any:
        reply = self.call("GET", f"/fapi/{name}", **params)
        return json.loads(reply.body)

    def send(self, **params: Any) -> Reply:
        return self.call("POST", "/fapi/v1/order", symbol="BTCUSDT", **params)

    def rows(self) -> tuple[int, int, int, int]:
        """Return how many positions, orders, conditional orders and trades a reader sees."""
        held = [row for row in self.read("v3/positionRisk") if float(row["positionAmt"])]
        orders, algos = self.read("v1/openOrders"), self.read("v1/openAlgoOrders")
        return len(held), len(orders), len(algos), len(self.read("v1/userTrades", symbol="BTCUSDT"))


def test_reads_lag_behind_orders_positions_and_trades() -> None:
    door = LaggingDoor()
    door.send(side="BUY", type="MARKET", quantity="0.040", newClientOrderId="entry")
    door.send(side="SELL", type="LIMIT", quantity="0.020", price="51000", timeInForce="GTC", newClientOrderId="target")
    stopped = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.040", "triggerPrice": "49000"}
    placed = door.call("POST", "/fapi/v1/algoOrder", algoType="CONDITIONAL", clientAlgoId="stop", **stopped)
    assert placed.status == 200
    assert door.rows() == (0, 0, 0, 0)
    young = door.call("GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="target")
    assert (young.status, code(young)) == (400, -2013)
    assert code(door.call("GET", "/fapi/v1/algoOrder", clientAlgoId="stop")) == -2013
    door.wait(1_999)
    assert door.rows() == (0, 0, 0, 0)
    door.wait(1)
    assert door.rows() == (1, 1, 1, 1)
    entry = door.read("v1/order", symbol="BTCUSDT", origClientOrderId="entry")
    assert (entry["status"], entry["executedQty"]) == ("FILLED", "0.040")
    door.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="target")
    assert door.read("v1/order", symbol="BTCUSDT", origClientOrderId="target")["status"] == "NEW"
    assert len(door.read("v1/openOrders")) == 1
    door.wait(2_000)
    assert door.read("v1/order", symbol="BTCUSDT", origClientOrderId="target")["status"] == "CANCELED"
    assert door.rows() == (1, 0, 1, 1)


def test_a_lagging_balance_and_its_ledger() -> None:
    door = LaggingDoor()
    before = door.read("v3/balance")[0]["balance"]
    door.send(side="BUY", type="MARKET", quantity="0.040")
    assert door.read("v3/balance")[0]["balance"] == before
    assert [row["incomeType"] for row in door.read("v1/income")] == []
    door.wait(2_000)
    assert float(door.read("v3/balance")[0]["balance"]) < float(before)
    assert "COMMISSION" in [row["incomeType"] for row in door.read("v1/income")]


def test_a_triggered_stop_is_seen_waiting_for_a_while() -> None:
    door = LaggingDoor()
    door.send(side="BUY", type="MARKET", quantity="0.040")
    stopped = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.040", "triggerPrice": "49000"}
    door.call("POST", "/fapi/v1/algoOrder", algoType="CONDITIONAL", clientAlgoId="stop", reduceOnly="true", **stopped)
    door.wait(3_000)
    door.engine.states["BTCUSDT"].market.move_to(48_500)
    door.wait(500)
    assert door.account.open_algos() == []
    seen = door.read("v1/openAlgoOrders")
    assert [(row["algoStatus"], row["actualOrderId"]) for row in seen] == [("NEW", "")]
    assert [row["positionAmt"] for row in door.read("v3/positionRisk")] == ["0.04"]
    door.wait(2_000)
    assert door.read("v1/openAlgoOrders") == []
    assert door.read("v1/algoOrder", clientAlgoId="stop")["algoStatus"] == "FINISHED"


def test_only_reads_that_the_rule_names_lag_and_nothing_that_writes() -> None:
    door = LaggingDoor("GET /fapi/v1/order")
    door.send(side="SELL", type="LIMIT", quantity="0.020", price="51000", timeInForce="GTC", newClientOrderId="mine")
    assert len(door.read("v1/openOrders")) == 1
    assert code(door.call("GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="mine")) == -2013
    assert door.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="mine").status == 200


def test_what_stood_before_the_faults_came_is_known_to_the_replica() -> None:
    door = Door()
    sent = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "quantity": "0.020", "price": "51000"}
    door.call("POST", "/fapi/v1/order", timeInForce="GTC", newClientOrderId="old", **sent)
    door.engine.faults = Faults(1, [FaultRule(K.replica_lag, rate=1.0, ms=5_000)])
    rows = json.loads(door.call("GET", "/fapi/v1/openOrders").body)
    assert [row["clientOrderId"] for row in rows] == ["old"]
    door.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="old")
    rows = json.loads(door.call("GET", "/fapi/v1/openOrders").body)
    assert [row["clientOrderId"] for row in rows] == ["old"]


def test_a_long_life_does_not_confuse_the_replica() -> None:
    """An order that rested through thousands of other changes is still seen just before its end, and not after."""
    world = desk(FaultRule(K.replica_lag, rate=1.0, ms=2_000))
    old = world.order("SELL", "0.020", "51000", client_id="old")
    for _ in range(600):
        world.engine.cancel_order(world.order("BUY", "0.010", "49000"))
        world.step(1_000)
    replica = world.engine.venue.replicas[world.account]
    world.engine.cancel_order(old)
    now = world.engine.now_ms
    assert [order.client_id for order in replica.as_of(now - 1_000, now).open_orders()] == ["old"]
    assert replica.as_of(now, now).open_orders() == []
    assert len(replica.as_of(now, now).history) == 601
    assert replica.as_of(now - 30_500, now).history.keys() < world.account.history.keys()


def test_the_venue_s_clock_is_told_bent_and_timestamps_are_held_against_it() -> None:
    door = Door()
    wall = Door(wall_offset_ms=0)
    for world in (door, wall):
        world.engine.venue.skew(3_000)
    assert json.loads(door.plain("/fapi/v1/time").body)["serverTime"] == START_MS + 3_000
    assert door.call("GET", "/fapi/v1/openOrders", timestamp=START_MS + 3_000).status == 200
    late = door.call("GET", "/fapi/v1/openOrders", timestamp=START_MS - 2_500)
    assert code(late) == -1021
    assert "outside of the recvWindow" in late.body
    ahead = wall.call("GET", "/fapi/v1/openOrders", timestamp=START_MS + 4_500)
    assert code(ahead) == -1021
    assert "ahead of the server" in ahead.body
