"""The scripted market: what a quiet step may skip must make no difference."""

import random

import pytest

from tests.exchange.exchange_kit import START_MS, D
from tui_trader.exchange.contract import MakerStep
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.margin import summary
from tui_trader.exchange.orders import OrderRequest
from tui_trader.exchange.reject import VenueError
from tui_trader.exchange.scripted import ScriptedMarket


class EagerMarket(ScriptedMarket):
    """Sets every quote anew in every step."""

    def step(self, now_ms: int, own_impact_ticks: int = 0) -> MakerStep:
        moves = super().step(now_ms, own_impact_ticks)
        return MakerStep(moves.levels, moves.takers)


def drawn(rng: random.Random, market: ScriptedMarket) -> OrderRequest:
    """Return some order near the market, now and then larger than the whole book."""
    is_buy, lots = rng.random() < 0.5, rng.choice((1, 40, 900, 3_000, 30_000))
    quantity = D(lots) / 1000
    kind = rng.choice(("MARKET", "LIMIT", "STOP_MARKET", "TRAILING_STOP_MARKET"))
    offset = rng.choice((-30, -5, -1, 0, 1, 5, 30))
    price = D(str(round(market.mid + offset * 0.1, 1)))
    request = OrderRequest("BTCUSDT", is_buy, kind, quantity, reduce_only=rng.random() < 0.4)
    if kind == "LIMIT":
        request.price, request.time_in_force = price, "GTC"
    elif kind == "STOP_MARKET":
        request.trigger_price = price + (20 if is_buy else -20)
        request.working_type = rng.choice(("MARK_PRICE", "CONTRACT_PRICE"))
    elif kind == "TRAILING_STOP_MARKET":
        request.callback_rate = D("0.1")
    return request


def life(kind: type[ScriptedMarket], seed: int, steps: int = 300) -> tuple[str, list[object]]:
    rng = random.Random(seed)
    market = kind(depth=6)
    engine = ExchangeEngine({"BTCUSDT": market}, START_MS)
    events: list[object] = []
    engine.on_user_event = lambda account, event: events.append(event)
    accounts = [engine.add_account(f"k{n}", "s", D(2_000_000)) for n in range(2)]
    for _ in range(steps):
        if rng.random() < 0.3:
            market.move_to(market.mid + rng.choice((-50, -1, -0.1, 0.1, 1, 50)))
        if rng.random() < 0.2:
            market.trade(rng.random() < 0.5, "2.5")
        if rng.random() < 0.5:
            request = drawn(rng, market)
            place = engine.place_order if request.kind in {"MARKET", "LIMIT"} else engine.place_algo
            try:
                place(rng.choice(accounts), request)
            except VenueError as refusal:
                events.append(refusal.code)
        engine.advance_to(engine.now_ms + rng.choice((100, 500, 1_500)))
    return engine.digest(), events


@pytest.mark.parametrize("seed", range(6))
def test_a_repeated_quote_is_the_same_as_one_set_anew(seed: int) -> None:
    assert life(ScriptedMarket, seed) == life(EagerMarket, seed)


def test_prints_come_with_moves_and_else_as_often_as_wanted() -> None:
    market = ScriptedMarket(print_every_ms=5_000)
    engine = ExchangeEngine({"BTCUSDT": market}, START_MS)
    state = engine.states["BTCUSDT"]
    engine.advance_to(START_MS + 500)
    first = state.trade_id
    engine.advance_to(START_MS + 20_000)
    assert state.trade_id - first == 2 * 3
    market.move_to(50_100)
    engine.advance_to(START_MS + 20_500)
    assert state.last_price == 501_001


def test_nobody_near_liquidation_is_overlooked() -> None:
    for seed in range(8):
        rng = random.Random(seed)
        market = ScriptedMarket(lots=1_000_000)
        engine = ExchangeEngine({"BTCUSDT": market}, START_MS)
        account = engine.add_account("k", "s", D(1_000))
        account.leverage["BTCUSDT"] = 100
        side = rng.random() < 0.5
        engine.place_order(account, OrderRequest("BTCUSDT", side, "MARKET", D("0.5")))
        position = account.positions["BTCUSDT"]
        while position.lots:
            near = engine.risk._is_near(account)
            totals = summary(engine.venue, account)
            assert near or totals.balance >= totals.maintenance
            market.move_to(market.mid + (-1 if side else 1) * rng.uniform(0, 40))
            engine.advance_to(engine.now_ms + 500)
        assert account.forced
