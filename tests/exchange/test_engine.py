"""Same seed, same market, at any speed; and the venue's own bookkeeping over a long run."""

from tests.exchange.exchange_kit import START_MS, D, Desk
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.market_maker import build_markets
from tui_trader.exchange.orders import OrderRequest

SYMBOLS = ["BTCUSDT", "ADAUSDT", "METISUSDT"]


def engine(seed: int) -> ExchangeEngine:
    return ExchangeEngine(build_markets(seed, START_MS, SYMBOLS), START_MS)


def test_same_seed_same_market_at_any_speed() -> None:
    slow, fast, other = engine(3), engine(3), engine(4)
    for _ in range(240):
        slow.advance_to(slow.now_ms + 500)
    for _ in range(6):
        fast.advance_to(fast.now_ms + 20_000)
    other.advance_to(START_MS + 120_000)
    assert slow.digest() == fast.digest()
    assert slow.digest() != other.digest()


def test_recorded_market_never_crosses_and_fills_participants() -> None:
    venue = engine(5)
    account = venue.add_account("key", "secret", D(10_000))
    state = venue.states["BTCUSDT"]
    filled = 0
    for step in range(1200):
        venue.advance_step()
        for row in venue.states.values():
            bid, ask = row.book.bids.best(), row.book.asks.best()
            assert bid is not None
            assert ask is not None
            assert bid < ask
        if step % 20 == 0:
            venue.cancel_all(account, "BTCUSDT")
            is_buy = account.position(state.spec).lots <= 0
            best = state.book.side(is_buy).best() or 0
            order = venue.place_order(
                account,
                OrderRequest("BTCUSDT", is_buy, "LIMIT", D("0.01"), state.prices.decimal(best), "GTC"),
            )
        filled += order.filled
    assert filled > 0
    assert account.wallet == sum(row.amount for row in account.income)


def test_finding_orders() -> None:
    desk = Desk()
    first = desk.order("BUY", "0.01", "49000", client_id="mine")
    desk.engine.cancel_order(first)
    second = desk.order("BUY", "0.01", "49100", client_id="mine")
    find = desk.engine.find_order
    assert find(desk.account, "BTCUSDT", None, "mine") is second
    assert find(desk.account, "BTCUSDT", first.id, None) is first
    assert find(desk.account, "BTCUSDT", first.id, None, open_only=True) is None
    assert find(desk.account, "ETHUSDT", first.id, None) is None
