"""Public REST answers: market data. Weights and shapes follow the venue's 2026 bodies."""

from tui_trader.exchange.candles import INTERVALS, Candle
from tui_trader.exchange.contract import SymbolSpec
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.params import Params
from tui_trader.exchange.reject import VenueError
from tui_trader.exchange.symbol_state import AggTrade, SymbolState
from tui_trader.exchange.wire import fixed, plain

Json = dict[str, object]
DEPTH_LIMITS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_FAR_DELIVERY_MS = 4_133_404_800_000


class MarketApi:
    """Answers the unsigned endpoints from the engine's state."""

    def __init__(self, engine: ExchangeEngine, clock_rate: float) -> None:
        self.engine = engine
        self.clock_rate = clock_rate

    def _state(self, params: Params) -> SymbolState:
        return self.engine.venue.state(params.required("symbol"))

    def _states(self, params: Params) -> list[SymbolState]:
        symbol = params.text("symbol")
        return [self.engine.venue.state(symbol)] if symbol else list(self.engine.states.values())

    def _one_or_all(self, params: Params, rows: list[Json]) -> object:
        return rows[0] if params.has("symbol") else rows

    def ping(self, params: Params) -> object:
        """GET /ping."""
        return {}

    def time(self, params: Params) -> object:
        """GET /time, with the clock's rate as an extra field."""
        return {"serverTime": self.engine.told_ms, "clockRate": self.clock_rate}

    def exchange_info(self, params: Params) -> object:
        """GET /exchangeInfo: every symbol, whatever is asked, as the venue does."""
        limits = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
        ]
        return {
            "timezone": "UTC",
            "serverTime": self.engine.told_ms,
            "futuresType": "U_MARGINED",
            "rateLimits": limits,
            "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
            "symbols": [symbol_info(state) for state in self.engine.states.values()],
        }

    def depth(self, params: Params) -> object:
        """GET /depth."""
        state = self._state(params)
        limit = params.integer("limit") or 500
        if limit not in DEPTH_LIMITS:
            raise VenueError(-4021, f"{limit} is not valid depth limit")
        book = state.book
        if not book.dirty:
            # The next diff must start at or before the snapshot's id, also for a client without any diff yet.
            book.update_id += 1
        now = self.engine.told_ms
        return {
            "lastUpdateId": book.update_id,
            "E": now,
            "T": now,
            "bids": ladder(state, True, limit),
            "asks": ladder(state, False, limit),
        }

    def trades(self, params: Params) -> object:
        """GET /trades and /historicalTrades: recent trades, one row per taker and price."""
        state = self._state(params)
        rows = list(state.trades)[-params.limit(500, 1000) :]
        return [
            {
                "id": row.last,
                "price": state.prices.text(row.price),
                "qty": state.lots.text(row.lots),
                "quoteQty": plain(state.money(row.price * row.lots)),
                "time": row.time_ms,
                "isBuyerMaker": not row.is_buy,
            }
            for row in rows
        ]

    def agg_trades(self, params: Params) -> object:
        """GET /aggTrades."""
        state = self._state(params)
        limit = params.limit(500, 1000)
        start, end = params.span()
        first = params.integer("fromId")
        rows = [row for row in state.trades if start <= row.time_ms <= end and row.id >= (first or 0)]
        anchored = first is not None or params.has("startTime")
        return [agg_row(state, row) for row in (rows[:limit] if anchored else rows[-limit:])]

    def klines(self, params: Params) -> object:
        """GET /klines."""
        state = self._state(params)
        interval = params.required("interval")
        if interval not in INTERVALS:
            raise VenueError(-1120, "Invalid interval.")
        limit = min(params.limit(500, 1500), 1000)
        start, end = params.span()
        since = start or min(end, self.engine.now_ms) - limit * INTERVALS[interval]
        rows = [row for row in state.series.rows(interval, since) if start <= row.open_ms <= end]
        picked = rows[:limit] if params.has("startTime") else rows[-limit:]
        return [kline_row(state, row, INTERVALS[interval]) for row in picked]

    def premium_index(self, params: Params) -> object:
        """GET /premiumIndex."""
        now = self.engine.told_ms
        rows: list[Json] = [
            {
                "symbol": state.spec.symbol,
                "markPrice": fixed(state.mark),
                "indexPrice": fixed(state.index),
                "estimatedSettlePrice": fixed(state.index),
                "lastFundingRate": fixed(state.market.funding_rate(now)),
                "interestRate": "0.00010000",
                "nextFundingTime": state.next_funding_ms,
                "time": now,
            }
            for state in self._states(params)
        ]
        return self._one_or_all(params, rows)

    def funding_rate(self, params: Params) -> object:
        """GET /fundingRate: settled fundings, oldest first."""
        limit = params.limit(100, 1000)
        start, end = params.span()
        rows = sorted(
            (time_ms, state.spec.symbol, rate, mark)
            for state in self._states(params)
            for time_ms, rate, mark in state.funding_history
            if start <= time_ms <= end
        )
        picked = rows[:limit] if params.has("startTime") else rows[-limit:]
        return [
            {
                "symbol": symbol,
                "fundingTime": time_ms,
                "fundingRate": fixed(rate),
                "markPrice": fixed(mark),
                "rateType": "Regular",
            }
            for time_ms, symbol, rate, mark in picked
        ]

    def funding_info(self, params: Params) -> object:
        """GET /fundingInfo."""
        return [
            {
                "symbol": state.spec.symbol,
                "adjustedFundingRateCap": "0.02000000",
                "adjustedFundingRateFloor": "-0.02000000",
                "fundingIntervalHours": state.spec.funding_interval_hours,
                "disclaimer": False,
                "updateTime": None,
            }
            for state in self.engine.states.values()
        ]

    def ticker_24h(self, params: Params) -> object:
        """GET /ticker/24hr."""
        now = self.engine.told_ms
        return self._one_or_all(params, [day_row(state, now) for state in self._states(params)])

    def ticker_price(self, params: Params) -> object:
        """GET /ticker/price."""
        rows: list[Json] = [
            {
                "symbol": state.spec.symbol,
                "price": state.prices.text(state.last_price),
                "time": state.last_time_ms,
            }
            for state in self._states(params)
        ]
        return self._one_or_all(params, rows)

    def book_ticker(self, params: Params) -> object:
        """GET /ticker/bookTicker."""
        now = self.engine.told_ms
        rows: list[Json] = []
        for state in self._states(params):
            bid, bid_lots, ask, ask_lots = touch(state)
            row: Json = {"symbol": state.spec.symbol, "bidPrice": bid, "bidQty": bid_lots}
            row |= {"askPrice": ask, "askQty": ask_lots, "time": now, "lastUpdateId": state.book.update_id}
            rows.append(row)
        return self._one_or_all(params, rows)

    def open_interest(self, params: Params) -> object:
        """GET /openInterest."""
        state = self._state(params)
        now = self.engine.told_ms
        interest = fixed(state.market.open_interest(now), state.lots.places)
        return {"symbol": state.spec.symbol, "openInterest": interest, "time": now}


def touch(state: SymbolState) -> tuple[str, str, str, str]:
    """Return best bid, its quantity, best ask, its quantity; "0" where a side is empty."""
    bids, asks = state.book.bids, state.book.asks
    bid, ask = bids.best(), asks.best()
    return (
        state.prices.text(bid) if bid is not None else "0",
        state.lots.text(bids.quantity(bid)) if bid is not None else "0",
        state.prices.text(ask) if ask is not None else "0",
        state.lots.text(asks.quantity(ask)) if ask is not None else "0",
    )


def ladder(state: SymbolState, is_bid: bool, limit: int) -> list[tuple[str, str]]:
    """Return the best levels of a side as text."""
    price, lots = state.prices.text, state.lots.text
    return [(price(ticks), lots(quantity)) for ticks, quantity in state.book.side(is_bid).levels(limit)]


def agg_row(state: SymbolState, row: AggTrade) -> Json:
    """Return an aggregate trade as REST and stream share it."""
    lots = state.lots.text(row.lots)
    return {
        "a": row.id,
        "p": state.prices.text(row.price),
        "q": lots,
        "nq": lots,
        "f": row.first,
        "l": row.last,
        "T": row.time_ms,
        "m": not row.is_buy,
    }


def kline_row(state: SymbolState, row: Candle, size_ms: int) -> list[object]:
    """Return a candle as the venue's 12-element row."""
    price, lots = state.prices.text, state.lots.text
    return [
        row.open_ms,
        price(row.open),
        price(row.high),
        price(row.low),
        price(row.close),
        lots(row.volume),
        row.open_ms + size_ms - 1,
        state.turnover.text(row.turnover),
        row.trades,
        lots(row.buy_volume),
        state.turnover.text(row.buy_turnover),
        "0",
    ]


def day_row(state: SymbolState, now_ms: int) -> Json:
    """Return the 24 h statistics."""
    day = state.series.day()
    text = state.prices.text
    change = day.close - day.open
    average = (day.turnover / day.volume) if day.volume else day.close
    return {
        "symbol": state.spec.symbol,
        "priceChange": text(change),
        "priceChangePercent": f"{100 * change / day.open if day.open else 0:.3f}",
        "weightedAvgPrice": f"{average * state.prices.unit_float:.{state.prices.places}f}",
        "lastPrice": text(state.last_price),
        "lastQty": state.lots.text(state.last_lots),
        "openPrice": text(day.open),
        "highPrice": text(day.high),
        "lowPrice": text(day.low),
        "volume": state.lots.text(day.volume),
        "quoteVolume": state.turnover.text(day.turnover),
        "openTime": day.open_ms,
        "closeTime": now_ms,
        "firstId": max(day.first_trade, 0),
        "lastId": max(day.last_trade, 0),
        "count": day.trades,
    }


def symbol_info(state: SymbolState) -> Json:
    """Return a symbol's exchangeInfo entry."""
    spec = state.spec
    maintenance = format(spec.maintenance_rate * 100, "f")
    return {
        "symbol": spec.symbol,
        "pair": spec.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": _FAR_DELIVERY_MS,
        "onboardDate": spec.onboard_ms,
        "status": state.status,
        "maintMarginPercent": maintenance,
        "requiredMarginPercent": "5.0000",
        "baseAsset": spec.base_asset,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": spec.price_precision,
        "quantityPrecision": spec.quantity_precision,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": plain(spec.liquidation_fee),
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": _filters(spec),
        "orderTypes": [
            "LIMIT",
            "MARKET",
            "STOP",
            "STOP_MARKET",
            "TAKE_PROFIT",
            "TAKE_PROFIT_MARKET",
            "TRAILING_STOP_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY"],
    }


def _filters(spec: SymbolSpec) -> list[Json]:
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": plain(spec.min_price),
            "maxPrice": plain(spec.max_price),
            "tickSize": plain(spec.tick_size),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": plain(spec.min_qty),
            "maxQty": plain(spec.max_qty),
            "stepSize": plain(spec.step_size),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": plain(spec.min_qty),
            "maxQty": plain(spec.market_max_qty),
            "stepSize": plain(spec.market_step_size),
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": plain(spec.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": format(spec.multiplier_up, ".4f"),
            "multiplierDown": format(spec.multiplier_down, ".4f"),
            "multiplierDecimal": "4",
        },
    ]
