"""What the venue refuses to close: a remainder below what it trades is tried in growing pauses, a position goes on."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest

from tests.core.test_executor import opened, prices
from tests.core.test_reconcile import by_hand, remembered, revive
from tests.desk import Desk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.oco import Stage
from tui_trader.core.types import Leg
from tui_trader.exchange.rest import Reply

SYMBOL = "BTCUSDT"
TOO_SMALL = '{"code":-4004,"msg":"Quantity less than min quantity."}'
DUST = Decimal("0.004")


def left_over(qty: str = "0.004") -> Desk:
    """A position of which only ``qty`` is left, less than the contract's smallest order of 0.010."""
    desk = opened(spec={"min_qty": Decimal("0.010")})
    by_hand(desk, "SELL", f"{Decimal('0.040') - Decimal(qty)}", reduceOnly="true")
    desk.run(3_000)
    assert desk.position == Decimal(qty)
    return desk


def refuse_orders(desk: Desk, body: str = TOO_SMALL) -> list[cmd.PlaceOrder]:
    """The venue refuses every order from now on; what was tried, as it comes."""
    tried: list[cmd.PlaceOrder] = []

    def place(order: cmd.PlaceOrder) -> None:
        tried.append(order)
        desk._outcome(ev.SendAction.PLACE, order.symbol, order.client_id, Reply(400, body))

    desk._place = place  # type: ignore[method-assign]
    return tried


def close(desk: Desk) -> None:
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal(1)))


def seconds_between(tried: list[cmd.PlaceOrder], leg: Leg) -> list[int]:
    times = [order.ts for order in tried if order.leg is leg]
    return [round((b - a) / 1000) for a, b in itertools.pairwise(times)]


def test_i18_a_remainder_below_the_minimum_is_covered_and_closed_by_the_smallest_order() -> None:
    desk = left_over()
    assert [qty for qty, _ in prices(desk, "STOP_MARKET")] == ["0.010"]
    assert desk.engine.state.plans[SYMBOL].naked_since_ms == 0
    close(desk)
    desk.run(5_000)
    assert (desk.position, desk.resting(), desk.engine.state.plans) == (0, [], {})
    assert not [text for text in desk.log if "refuse" in text]


def test_i18_a_remainder_that_the_venue_refuses_to_close_is_owned_shown_and_tried_in_growing_pauses() -> None:
    desk = left_over()
    tried = refuse_orders(desk)
    desk.log.clear()
    close(desk)
    desk.run(1_300_000)
    plan = desk.engine.state.plans[SYMBOL]
    assert (plan.stage, plan.dust, desk.engine.state.open_qty(plan)) == (Stage.CLOSING, True, DUST)
    assert seconds_between(tried, Leg.CLOSE) == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300], abs=1)
    assert [row.symbol for row in desk.engine.view(desk.now, SYMBOL, "15m").positions] == [SYMBOL]
    told = [text for text in desk.log if "is left, less than the venue trades" in text]
    assert len(told) == 1
    assert desk.engine.state.alarm == told[0]
    assert len(desk.log) <= 5, desk.log
    assert (desk.engine.state.halted, desk.engine.state.violations) == ("", 0)


def test_i1_a_remainder_in_a_symbol_that_takes_no_orders_is_closed_within_seconds_of_its_opening() -> None:
    desk = left_over()
    tried = refuse_orders(desk, '{"code":-4141,"msg":"Symbol is closed."}')
    close(desk)
    desk.run(120_000)
    assert not desk.engine.state.plans[SYMBOL].dust
    assert max(seconds_between(tried, Leg.CLOSE)) <= 6
    del desk._place
    desk.run(10_000)
    assert (desk.position, desk.resting(), desk.engine.state.plans) == (0, [], {})


def test_a_bare_remainder_whose_stop_is_refused_too_halts_nothing() -> None:
    desk = opened(spec={"min_qty": Decimal("0.010")})
    tried = refuse_orders(desk)
    by_hand(desk, "SELL", "0.036", reduceOnly="true")
    desk.run(900_000)
    assert desk.engine.state.plans[SYMBOL].dust
    assert (desk.engine.state.halted, desk.engine.state.violations) == ("", 0)
    assert len(tried) <= 30


def test_i1_a_remainder_that_somebody_adds_to_is_a_position_again_and_closed_at_once() -> None:
    desk = left_over()
    tried = refuse_orders(desk)
    close(desk)
    desk.run(100_000)
    tried.clear()
    del desk._place
    by_hand(desk, "BUY", "0.040")
    desk.run(3_000)
    assert desk.position == 0
    assert desk.engine.state.plans == {}


def test_a_restart_says_nothing_new_about_a_remainder_and_keeps_it() -> None:
    desk = left_over()
    refuse_orders(desk)
    close(desk)
    desk.run(5_000)
    desk.log.clear()
    revive(desk, remembered(desk))
    desk.run(30_000)
    plan = desk.engine.state.plans[SYMBOL]
    assert (plan.dust, desk.engine.state.open_qty(plan)) == (True, DUST)
    assert not [text for text in desk.log if "less than the venue trades" in text]


def test_a_whole_position_that_the_venue_refuses_to_close_is_tried_every_few_seconds_and_said_ever_more_rarely() -> (
    None
):
    desk = opened()
    tried = refuse_orders(desk, '{"code":-2010,"msg":"New order rejected."}')
    desk.log.clear()
    close(desk)
    desk.run(60_000)
    pauses = seconds_between(tried, Leg.CLOSE)
    assert pauses[:9] == pytest.approx([1] * 9, abs=1)
    assert max(pauses) <= 6
    said = [text for text in desk.log if "was refused by the venue" in text]
    assert 1 <= len(said) <= 5


def test_a_part_smaller_than_the_minimum_is_closed_as_the_minimum() -> None:
    desk = opened(spec={"min_qty": Decimal("0.010")})
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal("0.1")))
    desk.run(4_000)
    assert desk.position == Decimal("0.030")
    assert desk.engine.state.plans[SYMBOL].close_qty is None
