from hypothesis import given, settings
from hypothesis import strategies as st

from tui_trader.exchange.history import MIN_LOTS, TapeMinute
from tui_trader.exchange.minute_plan import STEPS, Shape, plan_minute


@st.composite
def minutes(draw: st.DrawFn) -> TapeMinute:
    low = draw(st.integers(5, 2_000_000))
    span = draw(st.integers(0, 4_000))
    inside = st.integers(low, low + span)
    volume = draw(st.integers(MIN_LOTS, 50_000_000))
    return TapeMinute(draw(inside), low + span, low, draw(inside), volume)


@settings(max_examples=150)
@given(minute=minutes(), index=st.integers(0, 10**7), seed=st.integers(0, 2**40))
def test_any_candle_is_traded_exactly_and_the_same_way_each_time(minute: TapeMinute, index: int, seed: int) -> None:
    shape = Shape(seed, "XUSDT", 1e-6, max(1.0, minute.volume / 3), 0.0)
    plan = plan_minute(minute, index, shape)
    prints = []
    for step in range(STEPS):
        assert 0 < plan.bids[step] < plan.asks[step]
        for is_buy, lots in plan.takers[step]:
            assert lots > 0
            prints.append((plan.asks[step] if is_buy else plan.bids[step], lots))
    prices = [price for price, _ in prints]
    assert (prices[0], max(prices), min(prices), prices[-1]) == (minute.open, minute.high, minute.low, minute.close)
    assert sum(lots for _, lots in prints) == minute.volume
    assert plan == plan_minute(minute, index, shape)
