"""The judge bites: each rule, broken on purpose, is found; a world without a fault is not accused of anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from tui_trader.core.events import FlattenAll, KillSwitch, Rearm
from tui_trader.drill.ending import at_the_end, when_flat
from tui_trader.drill.network import Call
from tui_trader.drill.oracle import Oracle
from tui_trader.drill.world import Setup, SimWorld, run_world
from tui_trader.exchange.fault_rules import Act, FaultKind, FaultRule
from tui_trader.exchange.orders import OrderRequest
from tui_trader.exchange.rest import Reply

BTC = "BTCUSDT"


def judged(script: Callable[[SimWorld, Oracle], Awaitable[None]], setup: Setup | None = None) -> Oracle:
    held: list[Oracle] = []

    async def whole(it: SimWorld) -> None:
        held.append(Oracle(it))
        await it.start()
        await script(it, held[0])

    run_world(setup or Setup(), whole)
    return held[0]


def post(it: SimWorld, text: str, path: str = "/fapi/v1/order", **params: object) -> Call:
    name = "clientAlgoId" if path.endswith("algoOrder") else "newClientOrderId"
    fields = {"symbol": BTC, "side": "SELL", "quantity": "0.001", name: text, **params}
    return Call("POST", path, fields, it.loop.time(), True)


def send(it: SimWorld, call: Call) -> None:
    it.network.on_sent(call)


def durable(it: SimWorld, *texts: str) -> None:
    it.disk.intents.update(texts)


def test_an_honest_world_is_not_accused() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        await it.enter()
        await it.move(BTC, 44_500.0, 20_000)
        await it.gap(BTC, 41_000.0)
        await it.sleep(65_000)
        oracle.finish()

    oracle = judged(script)
    assert oracle.violations == []
    assert len(oracle.unprotected) == 1
    assert 0 < oracle.unprotected[0] < 1


def test_a_position_that_stays_without_a_stop_is_found() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        it.faults.add(FaultRule(FaultKind.http, rate=1.0, path="POST /fapi/v1/algoOrder", status=400, code=-1111))
        await it.enter(wait=False)
        await it.until(lambda: bool(it.account.history))
        it.faults.add(FaultRule(FaultKind.http, rate=1.0, path="POST /fapi/v1/order", status=400, code=-1111))
        await it.sleep(90_000)
        oracle.finish()

    oracle = judged(script)
    assert oracle.counts["I1"] >= 2
    assert max(oracle.unprotected) > 60


def test_a_lack_while_the_venue_is_gone_is_not_counted() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        await it.enter()
        it.faults.begin_outage(120_000)
        for algo in list(it.account.algos.values()):
            it.exchange.algos.cancel(algo)
        await it.sleep(60_000)
        assert not it.covered(BTC)

    assert judged(script).counts["I1"] == 0


@pytest.mark.parametrize(
    ("invariant", "wrong"),
    [
        ("I3", lambda it: (durable(it, "tt-1-1-sl-1"), send(it, post(it, "tt-1-1-sl-1", "/fapi/v1/algoOrder")))),
        ("I4", lambda it: send(it, post(it, "tt-1-1-en-1"))),
        (
            "I4",
            lambda it: (
                durable(it, "tt-1-1-en-1"),
                send(it, post(it, "tt-1-1-en-1")),
                send(it, post(it, "tt-1-1-en-1", quantity="0.002")),
            ),
        ),
        ("I8", lambda it: send(it, Call("DELETE", "/fapi/v1/allOpenOrders", {"symbol": BTC}, 0.0, True))),
        (
            "I8",
            lambda it: send(
                it, Call("DELETE", "/fapi/v1/order", {"symbol": BTC, "origClientOrderId": "web_1"}, 0.0, True)
            ),
        ),
    ],
)
def test_what_must_never_be_sent_is_seen_on_the_wire(invariant: str, wrong: Callable[[SimWorld], object]) -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        assert oracle.counts == {}
        wrong(it)
        assert oracle.counts[invariant] == 1, oracle.violations

    judged(script)


def test_a_resend_of_the_same_order_is_no_second_use_of_its_id() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        durable(it, "tt-1-1-en-1")
        send(it, post(it, "tt-1-1-en-1"))
        send(it, post(it, "tt-1-1-en-1"))
        assert oracle.violations == []

    judged(script)


def test_an_entry_after_a_kill_is_found_and_after_a_rearm_allowed() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        durable(it, "tt-1-1-en-1", "tt-1-2-en-1")
        it.user(KillSwitch(ts=0, reason="test"))
        await it.sleep(1_000)
        send(it, post(it, "tt-1-1-en-1"))
        assert oracle.counts["I15"] == 1
        it.user(Rearm(ts=0))
        send(it, post(it, "tt-1-2-en-1"))
        assert oracle.counts["I15"] == 1

    judged(script)


def test_a_request_during_the_silence_that_the_venue_asked_for_is_found() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        call = Call("GET", "/fapi/v1/openOrders", {}, it.loop.time(), True)
        call.reply = Reply(429, '{"code":-1003,"msg":"Too many requests"}', {"Retry-After": "5"})
        it.network.on_heard(call)
        await it.sleep(500)
        send(it, Call("GET", "/fapi/v1/time", {}, it.loop.time(), False))
        assert oracle.counts["I13"] >= 1

    judged(script)


def test_an_entry_on_a_dead_private_stream_is_found() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        durable(it, "tt-1-1-en-1")
        it.faults.add(FaultRule(FaultKind.http, rate=1.0, path="POST /fapi/v1/listenKey", status=500))
        it.network.cut_all("test")
        await it.sleep(3_000)
        send(it, post(it, "tt-1-1-en-1"))
        assert oracle.counts["I11"] == 1

    judged(script)


def test_an_orphan_is_found() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        it.faults.add(FaultRule(FaultKind.http, rate=1.0, path="DELETE *", status=400, code=-1111))
        request = OrderRequest(
            BTC, False, "STOP_MARKET", Decimal("0.001"), reduce_only=True, client_id="tt-1-1-sl-1",
            trigger_price=Decimal(40_000),
        )  # fmt: skip
        it.exchange.place_algo(it.account, request)
        await it.sleep(15_000)
        assert oracle.counts["I8"] == 1

    judged(script)


def test_two_orders_under_one_id_and_an_exit_that_opens_are_found() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        for _ in range(2):
            it.exchange.place_order(
                it.account, OrderRequest(BTC, False, "MARKET", Decimal("0.010"), client_id="tt-1-1-cl-1")
            )
        await it.sleep(100)
        assert oracle.counts["I2"] == 1
        assert oracle.counts["I3"] == 2

    judged(script)


def test_a_cancel_of_ours_that_strips_a_position_is_found() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        await it.enter()
        (algo,) = it.account.algos.values()
        send(it, Call("DELETE", "/fapi/v1/algoOrder", {"symbol": BTC, "clientAlgoId": algo.client_id}, 0.0, True))
        it.exchange.algos.cancel(algo)
        assert oracle.counts["I10"] == 1

    judged(script)


@pytest.mark.parametrize(("after", "accused"), [(1_000, 0), (11_000, 1)])
def test_what_others_opened_a_moment_ago_need_not_be_covered_by_a_moved_stop(after: int, accused: int) -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        await it.enter()
        await it.sleep(2_000)
        await it.crash()
        (old,) = it.account.algos.values()
        it.exchange.place_order(it.account, OrderRequest(BTC, True, "MARKET", Decimal("0.010"), client_id="phone"))
        moved = OrderRequest(
            BTC,
            False,
            "STOP_MARKET",
            it.exchange.states[BTC].lots.decimal(old.lots),
            trigger_price=Decimal("42900"),
            reduce_only=True,
            client_id="tt-1-1-sl-9",
        )
        it.exchange.place_algo(it.account, moved)
        await it.sleep(after)
        send(it, Call("DELETE", "/fapi/v1/algoOrder", {"symbol": BTC, "clientAlgoId": old.client_id}, 0.0, True))
        it.exchange.algos.cancel(old)
        assert oracle.counts["I10"] == accused

    judged(script)


def test_the_end_compares_venue_local_account_and_store() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        await it.enter()
        await it.sleep(2_000)
        assert list(at_the_end(it)) == []
        it.disk.db.execute("DELETE FROM fills")
        it.disk.db.execute("UPDATE plans SET closed_ms = 1")
        it.disk.db.execute("INSERT INTO orders(client_id, status) VALUES('tt-1-1-en-1', 'unknown')")
        it.account.wallet += 1
        found = {invariant for invariant, _ in at_the_end(it)}
        assert found == {"I5", "I6", "I7", "I17"}
        await it.crash()
        assert "I14" in {invariant for invariant, _ in at_the_end(it)}

    judged(script)


def test_after_flattening_nothing_may_be_left_and_the_money_must_be_told() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        await it.enter()
        await it.sleep(2_000)
        oracle.flattened()
        assert oracle.counts["I15"] == 1
        assert oracle.counts["I8"] == 3
        it.user(FlattenAll(ts=0))
        await it.sleep(10_000)
        assert list(when_flat(it)) == []
        it.disk.db.execute("UPDATE trades SET pnl = '1.00'")
        it.disk.db.execute("UPDATE plans SET closed_ms = NULL")
        assert [invariant for invariant, _ in when_flat(it)] == ["I7", "I17"]

    judged(script)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM funding", "is not in the store"),
        ("UPDATE funding SET amount = '5'", "is stored as 5"),
        ("UPDATE trades SET funding = '0'", "counts 0 of funding"),
        ("UPDATE funding SET plan_id = NULL", "is booked to no trade"),
        ("UPDATE trades SET opened_ms = 1, closed_ms = 2", "is booked to plan 1"),
    ],
)
def test_funding_that_is_lost_changed_or_given_to_the_wrong_trade_is_found(change: str, words: str) -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        await it.enter()
        await it.sleep(2_000)
        it.act(Act(kind=FaultKind.funding, symbol=BTC, share=0.001))
        await it.sleep(100)
        it.user(FlattenAll(ts=0))
        await it.sleep(80_000)
        assert list(at_the_end(it)) == []
        assert list(when_flat(it)) == []
        it.disk.db.execute(change)
        assert any(words in text for _, text in at_the_end(it))

    judged(script)


def test_a_kill_that_does_not_flatten_is_found() -> None:
    async def script(it: SimWorld, oracle: Oracle) -> None:
        await it.enter()
        it.faults.add(FaultRule(FaultKind.http, rate=1.0, path="POST /fapi/v1/order", status=400, code=-1111))
        it.user(KillSwitch(ts=0, reason="test"))
        await it.sleep(40_000)
        assert oracle.counts["I15"] == 1

    judged(script)
