"""Budget: never over the venue's limits, the reserve for exits, silence until Retry-After."""

from __future__ import annotations

import pytest

from tui_trader.errors import RateLimited
from tui_trader.venues.ratelimit import Budget, Urgency


class Time:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_the_reserve_is_for_exits_only() -> None:
    budget = Budget(Time(), weight=100, reserve=0.25)
    budget.take(75)
    with pytest.raises(RateLimited, match="reserved for exits") as refused:
        budget.take(1)
    assert refused.value.retry_after_ms == 60_000
    budget.take(25, urgency=Urgency.EXIT)
    with pytest.raises(RateLimited):
        budget.take(1, urgency=Urgency.EXIT)


def test_reading_the_account_never_keeps_an_exit_from_leaving() -> None:
    budget = Budget(Time(), weight=1_000, reserve=0.25)
    for _ in range(22):
        budget.take(40, urgency=Urgency.ACCOUNT)
    with pytest.raises(RateLimited, match="10% stay reserved for exits"):
        budget.take(40, urgency=Urgency.ACCOUNT)
    for _ in range(100):
        budget.take(1, urgency=Urgency.EXIT)


def test_books_leave_half_of_the_budget_to_the_account_and_to_exits() -> None:
    budget = Budget(Time(), weight=1_000, reserve=0.25)
    for _ in range(25):
        budget.take(20, urgency=Urgency.BOOK)
    with pytest.raises(RateLimited, match="50% stay reserved for the account and exits"):
        budget.take(20, urgency=Urgency.BOOK)
    budget.take(250)
    budget.take(150, urgency=Urgency.ACCOUNT)
    budget.take(100, urgency=Urgency.EXIT)


def test_the_window_ends() -> None:
    time = Time()
    budget = Budget(time, weight=100, reserve=0)
    budget.take(100)
    time.now += 60
    budget.take(100)


def test_orders_have_their_own_windows() -> None:
    time = Time()
    budget = Budget(time, orders_10s=4, orders_1m=10, reserve=0)
    for _ in range(4):
        budget.take(1, orders=1)
    with pytest.raises(RateLimited):
        budget.take(1, orders=1)
    budget.take(1)
    time.now += 10
    budget.take(1, orders=1)


def test_the_venues_count_wins_when_it_is_higher() -> None:
    budget = Budget(Time(), weight=100, reserve=0)
    budget.take(1)
    budget.heard({"X-MBX-USED-WEIGHT-1M": "99", "X-MBX-ORDER-COUNT-10S": "x"})
    budget.take(1)
    with pytest.raises(RateLimited):
        budget.take(1)


def test_the_venue_s_new_minute_is_ours() -> None:
    """Our window began 5 s before the venue's: its old, high count must not hold requests back for a whole minute."""
    time = Time()
    budget = Budget(time, weight=100, reserve=0)
    budget.heard({"X-MBX-USED-WEIGHT-1M": "99"})
    time.now += 60
    budget.heard({"X-MBX-USED-WEIGHT-1M": "98"})
    with pytest.raises(RateLimited):
        budget.take(5)
    time.now += 5
    budget.heard({"X-MBX-USED-WEIGHT-1M": "1"})
    budget.take(5)
    budget.heard({"X-MBX-USED-WEIGHT-1M": "4"})
    assert budget.used == 0.06


def test_silence_also_holds_exits_back_until_it_ends() -> None:
    time = Time()
    budget = Budget(time)
    budget.silence(30)
    budget.silence(10)
    with pytest.raises(RateLimited) as refused:
        budget.take(1, urgency=Urgency.EXIT)
    assert refused.value.retry_after_ms == 30_000
    time.now += 30
    budget.take(1)
