"""Deposits, withdrawals and swaps move the starts of the loss limits, once, whoever tells them."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.core.build import NOW
from tests.core.test_housekeeping import DAY, engine, of, snapshot, timer
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.engine import Engine
from tui_trader.core.state import Recovered
from tui_trader.core.types import Transfer


@pytest.mark.parametrize("reason", ["COIN_SWAP_WITHDRAW", "ADMIN_WITHDRAW", "ASSET_TRANSFER", "AUTO_EXCHANGE"])
def test_what_the_account_swaps_or_hands_over_is_no_loss(reason: str) -> None:
    made = engine(limits={"daily_loss_frac": 0.05})
    snapshot(made, NOW, "10000")
    timer(made, NOW + 1_000)
    made.process(ev.BalanceUpdate(ts=NOW + 1_500, wallet=Decimal(5_000), reason=reason, change=Decimal(-5_000)))
    timer(made, NOW + 2_500)
    assert made.state.losses.refusals() == ()
    assert not made.state.killed


def ledger(made: Engine, ts: int, wallet: str, *rows: tuple[int, int]) -> list[cmd.Command]:
    """A snapshot whose ledger shows these transfers: time and amount, numbered by their time."""
    told = tuple(Transfer(amount=Decimal(a), venue_ts=at, tran_id=f"TRANSFER:{at}") for at, a in rows)
    return made.process(
        ev.AccountSnapshot(ts=ts, asked_at=ts, positions=(), orders=(), wallet=Decimal(wallet), transfers=told)
    )


def kept_losses(made: Engine) -> dict[str, object]:
    return {"losses": json.loads(json.dumps(made.state.losses.to_state()))}


def test_a_withdrawal_while_no_session_ran_is_no_loss() -> None:
    first = engine()
    snapshot(first, NOW, "10000")
    timer(first, NOW + 1_000)
    made = engine(Recovered(state=kept_losses(first)))
    later = NOW + 2 * DAY
    told = ledger(made, later, "4000", (NOW + DAY, -6_000))
    assert any("transfer" in c.text for c in of(cmd.Announce, told))
    timer(made, later + 1_000)
    assert not made.state.killed
    assert made.state.losses.total_pnl(made.state.equity()) == 0
    assert made.state.losses.day_pnl(made.state.equity()) == 0


def test_a_deposit_while_no_session_ran_hides_no_loss() -> None:
    first = engine()
    snapshot(first, NOW, "10000")
    timer(first, NOW + 1_000)
    made = engine(Recovered(state=kept_losses(first)))
    ledger(made, NOW + 60_000, "11900", (NOW + 30_000, 5_000))
    timer(made, NOW + 61_000)
    assert made.state.killed == "the total loss limit is reached"


def test_a_transfer_that_stream_and_ledger_tell_counts_once_in_either_order_and_across_a_restart() -> None:
    made = engine()
    snapshot(made, NOW, "10000")
    timer(made, NOW + 1_000)
    stream = ev.BalanceUpdate(ts=NOW + 20_100, wallet=Decimal(4_000), reason="WITHDRAW", change=Decimal(-6_000))
    made.process(stream)
    ledger(made, NOW + 30_000, "4000", (NOW + 20_000, -6_000))
    made = engine(Recovered(state=kept_losses(made)))
    ledger(made, NOW + 40_000, "4000", (NOW + 20_000, -6_000))
    ledger(made, NOW + 50_000, "1000", (NOW + 20_000, -6_000), (NOW + 45_000, -3_000))
    late = ev.BalanceUpdate(ts=NOW + 51_000, wallet=Decimal(1_000), reason="WITHDRAW", change=Decimal(-3_000))
    made.process(late)
    timer(made, NOW + 52_000)
    assert (made.state.losses.day_start, made.state.losses.baseline) == (1_000, 1_000)


def test_a_transfer_from_before_the_limits_began_is_in_them_already() -> None:
    made = engine()
    ledger(made, NOW, "10000", (NOW - 60_000, 10_000))
    timer(made, NOW + 1_000)
    ledger(made, NOW + 60_000, "10000", (NOW - 60_000, 10_000), (NOW - 30_000, 500))
    timer(made, NOW + 61_000)
    assert (made.state.losses.day_start, made.state.losses.baseline) == (10_000, 10_000)


def test_a_deposit_waits_until_no_lagging_wallet_can_lack_it_and_a_part_of_an_account_moves_nothing() -> None:
    made = engine()
    snapshot(made, NOW, "10000")
    timer(made, NOW + 1_000)
    ledger(made, NOW + 10_000, "10000", (NOW + 9_000, 5_000))
    timer(made, NOW + 11_000)
    assert made.state.losses.refusals() == ()
    row = Transfer(amount=Decimal(5_000), venue_ts=NOW + 9_000, tran_id="x")
    part = ev.AccountSnapshot(
        ts=NOW + 20_000,
        asked_at=NOW + 20_000,
        positions=(),
        orders=(),
        wallet=Decimal(1),
        transfers=(row,),
        complete=False,
    )
    made.process(part)
    timer(made, NOW + 21_000)
    assert made.state.losses.refusals() == ()
    ledger(made, NOW + 30_000, "15000", (NOW + 9_000, 5_000))
    timer(made, NOW + 31_000)
    assert made.state.losses.day_pnl(made.state.equity()) == 0


def word(at: int, wallet: int, reason: str, change: int = 0) -> ev.BalanceUpdate:
    """The stream's word on the wallet of venue time ``at``."""
    return ev.BalanceUpdate(
        ts=NOW + 2_000, wallet=Decimal(wallet), reason=reason, change=Decimal(change), venue_ts=NOW + at
    )


def test_i6_an_older_word_on_the_wallet_that_comes_late_takes_nothing_back() -> None:
    made = engine()
    snapshot(made, NOW, "10000")
    timer(made, NOW + 1_000)
    made.process(word(1_200, 15_000, "DEPOSIT", 5_000))
    made.process(word(1_100, 10_000, "ORDER"))
    timer(made, NOW + 2_500)
    assert made.state.portfolio.wallet == 15_000
    assert not made.state.killed
    assert made.state.losses.day_pnl(made.state.equity()) == 0


@pytest.mark.parametrize("times", [1, 2])
def test_a_deposit_told_after_a_newer_word_on_the_wallet_is_no_profit(times: int) -> None:
    made = engine()
    snapshot(made, NOW, "10000")
    timer(made, NOW + 1_000)
    made.process(word(1_200, 15_010, "ORDER"))
    for _ in range(times):
        made.process(word(1_100, 15_000, "DEPOSIT", 5_000))
    timer(made, NOW + 2_500)
    assert made.state.portfolio.wallet == 15_010
    assert made.state.losses.day_pnl(made.state.equity()) == 10


def test_transfers_that_a_session_of_an_older_version_counted_are_not_counted_again() -> None:
    """Its store does not say when the starts were taken; all until its last look at the account is in them."""
    older = {"day": NOW // DAY, "day_start": "15000", "baseline": "15000"}
    made = engine(Recovered(state={"losses": older, "fills_cursor": NOW - 60_000}))
    ledger(made, NOW, "15000", (NOW - 1_800_000, 5_000), (NOW - 30_000, -1_000))
    timer(made, NOW + 1_000)
    assert (made.state.losses.day_start, made.state.losses.baseline) == (14_000, 14_000)
    assert not made.state.killed


def test_after_the_venues_clock_was_set_back_the_stream_is_believed_on_the_wallet() -> None:
    made = engine()
    snapshot(made, NOW, "10000")
    timer(made, NOW + 1_000)
    made.process(word(1_200, 9_990, "ORDER"))
    back = NOW - 3_600_000
    loss = ev.BalanceUpdate(ts=back, wallet=Decimal(4_000), reason="ORDER", venue_ts=back)
    made.process(loss)
    assert made.state.portfolio.wallet == 4_000


def test_a_second_withdrawal_of_the_same_amount_is_no_loss_when_only_the_ledger_told_the_first() -> None:
    made = engine()
    snapshot(made, NOW, "10000")
    timer(made, NOW + 1_000)
    ledger(made, NOW + 30_000, "6000", (NOW + 20_000, -4_000))
    timer(made, NOW + 31_000)
    again = ev.BalanceUpdate(ts=NOW + 300_000, wallet=Decimal(2_000), reason="WITHDRAW", change=Decimal(-4_000))
    made.process(again)
    timer(made, NOW + 301_000)
    assert not made.state.killed
    ledger(made, NOW + 330_000, "2000", (NOW + 20_000, -4_000), (NOW + 300_000, -4_000))
    timer(made, NOW + 331_000)
    assert (made.state.losses.day_start, made.state.losses.baseline) == (2_000, 2_000)
