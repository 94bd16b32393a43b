"""One symbol inside the engine: its market, book, candles, trades, prices and funding."""

from collections import deque
from decimal import Decimal

from tui_trader.exchange.candles import Candle, CandleSeries, from_row
from tui_trader.exchange.contract import SymbolMarket, SymbolSpec
from tui_trader.exchange.matching import OrderBook
from tui_trader.exchange.orders import AlgoOrder
from tui_trader.exchange.wire import Scale

_TRADES_KEPT = 1000
_PENDING_LIMIT = 5000


class AggTrade:
    """Fills of one taker at one price; price in ticks, quantity in lots."""

    __slots__ = ("first", "id", "is_buy", "last", "lots", "price", "time_ms")

    def __init__(self, number: int, price: int, lots: int, trade_id: int, time_ms: int, is_buy: bool) -> None:
        self.id = number
        self.price = price
        self.lots = lots
        self.first = self.last = trade_id
        self.time_ms = time_ms
        self.is_buy = is_buy


class SymbolState:
    """Mutable state of a symbol. `mark`, `index` are floats in quote units, refreshed each step."""

    def __init__(self, market: SymbolMarket, start_ms: int) -> None:
        spec: SymbolSpec = market.spec
        self.market = market
        self.spec = spec
        self.prices = Scale(spec.tick_size, spec.price_precision)
        self.lots = Scale(spec.step_size, spec.quantity_precision)
        self.turnover = Scale(spec.tick_size * spec.step_size, 0)
        self.maintenance = float(spec.maintenance_rate)
        self.book = OrderBook(first_update_id=start_ms * 10)
        self.trade_id = start_ms * 10
        self.agg_id = start_ms * 10
        self.trades: deque[AggTrade] = deque(maxlen=_TRADES_KEPT)
        self.pending: deque[AggTrade] = deque(maxlen=_PENDING_LIMIT)
        """Trades the streams have not sent yet; bounded, so an unread symbol costs nothing."""
        self.algos: dict[int, AlgoOrder] = {}
        self.looked_at: tuple[int, float] | None = None
        """Last price and mark at which conditional orders were looked at; None when they must be looked at again."""
        self.status = spec.status
        self.halted = False
        """Nothing matches or triggers: trading is interrupted by a fault."""
        self.held: dict[tuple[bool, int], int] = {}
        """The maker's quotes since the halt, (is_bid, price in ticks) to lots."""
        self.impact = 0
        self._agg: AggTrade | None = None
        opening = market.open_book()
        for is_bid, price, lots in opening.levels:
            self.book.set_anonymous(is_bid, price, lots)
        tick, step = self.prices.unit_float, self.lots.unit_float

        def load(first_ms: int, end_ms: int) -> list[Candle]:
            return [from_row(row, tick, step) for row in market.history_1m(first_ms, end_ms - 1)]

        self._last_mid = self.book.mid() or 1.0
        self.series = CandleSeries(start_ms, round(self._last_mid), load)
        self.last_price = self.series.running.close
        self.last_lots = 0
        self.last_time_ms = start_ms
        self.funding_history: list[tuple[int, float, float]] = market.past_funding(0, start_ms)
        self.next_funding_ms = market.next_funding_ms(start_ms)
        self.mark = self.index = 0.0
        self.refresh(start_ms)

    @property
    def is_trading(self) -> bool:
        """Whether the symbol accepts orders."""
        return self.status == "TRADING"

    def mid(self) -> float:
        """Return the mid price in quote units, the last known one when a side is empty."""
        mid = self.book.mid()
        if mid is not None:
            self._last_mid = mid
        return self._last_mid * self.prices.unit_float

    def refresh(self, now_ms: int) -> None:
        """Recompute mark and index price."""
        self.mark = self.market.mark_price(now_ms, self.mid())
        self.index = self.market.index_price(now_ms)

    def mark_decimal(self) -> Decimal:
        """Return the mark price with the venue's eight decimals."""
        return Decimal(f"{self.mark:.8f}")

    def begin_taker(self) -> None:
        """Start a new taker: its first fill opens a new aggregate trade."""
        self._agg = None

    def record(self, price: int, lots: int, is_buy: bool, now_ms: int) -> int:
        """Book one trade (taker side `is_buy`) into candles and aggregates and return its id."""
        self.trade_id += 1
        agg = self._agg
        if agg is not None and agg.price == price:
            agg.lots += lots
            agg.last = self.trade_id
        else:
            self.agg_id += 1
            agg = self._agg = AggTrade(self.agg_id, price, lots, self.trade_id, now_ms, is_buy)
            self.trades.append(agg)
            self.pending.append(agg)
        self.series.trade(price, lots, is_buy, self.trade_id)
        self.last_price = price
        self.last_lots = lots
        self.last_time_ms = now_ms
        return self.trade_id

    def take_impact(self) -> int:
        """Return and forget how far participants pushed the touch, in ticks."""
        impact = self.impact
        self.impact = 0
        return impact

    def money(self, ticks_lots: int) -> Decimal:
        """Return ticks x lots as USDT, exact."""
        return self.turnover.decimal(ticks_lots)

    def average_price(self, ticks_lots: int, lots: int) -> str:
        """Return an average fill price with the symbol's decimals and two more, "0" when nothing filled."""
        if not lots:
            return "0"
        places = Decimal(1).scaleb(-(self.prices.places + 2))
        return format((self.prices.unit * ticks_lots / lots).quantize(places), "f")
