"""The REST face without sockets: routing, keys, signatures, recvWindow, rate limits, error bodies.

`RestApi.handle` takes one request and returns one reply, synchronously; a server or a test calls it.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tui_trader import clock
from tui_trader.exchange.account_api import AccountApi
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.listen_keys import ListenKeys
from tui_trader.exchange.market_api import DEPTH_LIMITS, MarketApi
from tui_trader.exchange.orders_api import OrdersApi
from tui_trader.exchange.params import Params, parse_pairs
from tui_trader.exchange.ratelimits import RateLimitedError, RateLimits
from tui_trader.exchange.reject import VenueError, illegal, missing
from tui_trader.exchange.venue_clock import ExchangeClock
from tui_trader.exchange.wire import dumps

_MAX_BODY = 64 * 1024
_AHEAD_MS = 1000
_DEFAULT_WINDOW_MS = 5000
_CATCH_UP_MS = 10_000
Weight = int | Callable[[Params], int]


@dataclass(slots=True, frozen=True)
class Request:
    """One HTTP request as the network delivered it."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    address: str = "127.0.0.1"


@dataclass(slots=True)
class Reply:
    """One HTTP answer with a JSON body."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class _Public:
    handler: Callable[[Params], object]
    weight: Weight = 1
    needs_key: bool = False


@dataclass(slots=True, frozen=True)
class _Signed:
    handler: Callable[[Account, Params], object]
    weight: Weight = 1
    orders: int = 0
    key_only: bool = False


Route = _Public | _Signed


def _error(code: int, message: str, status: int) -> Reply:
    return Reply(status, dumps({"code": code, "msg": message}))


class RestApi:
    """All REST routes of the venue over one engine."""

    def __init__(
        self,
        engine: ExchangeEngine,
        venue_clock: ExchangeClock,
        keys: ListenKeys,
        limits: RateLimits,
        wall_ms: Callable[[], int] = clock.wall_ms,
    ) -> None:
        self.engine = engine
        self.clock = venue_clock
        self.keys = keys
        self.limits = limits
        self._wall_ms = wall_ms
        market = MarketApi(engine, venue_clock.speed)
        orders, account = OrdersApi(engine), AccountApi(engine)
        self._routes: dict[tuple[str, str], Route] = {}
        self._add_public(market)
        self._add_orders(orders)
        self._add_account(account)

    def _add(self, versions: str, method: str, name: str, route: Route) -> None:
        for version in versions:
            self._routes[(method, f"/fapi/v{version}/{name}")] = route

    def _add_public(self, api: MarketApi) -> None:
        routes: list[tuple[str, Route]] = [
            ("ping", _Public(api.ping)),
            ("time", _Public(api.time)),
            ("exchangeInfo", _Public(api.exchange_info)),
            ("depth", _Public(api.depth, _depth_weight)),
            ("trades", _Public(api.trades, 5)),
            ("historicalTrades", _Public(api.trades, 20, needs_key=True)),
            ("aggTrades", _Public(api.agg_trades, 20)),
            ("klines", _Public(api.klines, _klines_weight)),
            ("premiumIndex", _Public(api.premium_index, _by_symbol(1, 10))),
            ("fundingRate", _Public(api.funding_rate)),
            ("fundingInfo", _Public(api.funding_info)),
            ("ticker/24hr", _Public(api.ticker_24h, _by_symbol(1, 40))),
            ("ticker/price", _Public(api.ticker_price, _by_symbol(1, 2))),
            ("ticker/bookTicker", _Public(api.book_ticker, _by_symbol(2, 5))),
            ("openInterest", _Public(api.open_interest)),
        ]
        for name, route in routes:
            self._add("12" if name == "ticker/price" else "1", "GET", name, route)

    def _add_orders(self, api: OrdersApi) -> None:
        book = _by_symbol(1, 40)
        rows: list[tuple[str, str, Route]] = [
            ("POST", "order", _Signed(api.new_order, 0, orders=1)),
            ("POST", "order/test", _Signed(api.test_order, 0)),
            ("GET", "order", _Signed(api.query_order)),
            ("PUT", "order", _Signed(api.amend_order, 1, orders=1)),
            ("DELETE", "order", _Signed(api.cancel_order)),
            ("GET", "openOrder", _Signed(api.query_open_order)),
            ("GET", "openOrders", _Signed(api.open_orders, book)),
            ("GET", "allOrders", _Signed(api.all_orders, 5)),
            ("DELETE", "allOpenOrders", _Signed(api.cancel_all)),
            ("POST", "batchOrders", _Signed(api.new_batch, 5, orders=5)),
            ("DELETE", "batchOrders", _Signed(api.cancel_batch)),
            ("POST", "countdownCancelAll", _Signed(api.countdown, 10)),
            ("POST", "algoOrder", _Signed(api.new_algo, 0, orders=1)),
            ("GET", "algoOrder", _Signed(api.query_algo)),
            ("DELETE", "algoOrder", _Signed(api.cancel_algo)),
            ("GET", "openAlgoOrders", _Signed(api.open_algos, book)),
            ("GET", "allAlgoOrders", _Signed(api.all_algos, 5)),
            ("DELETE", "algoOpenOrders", _Signed(api.cancel_all_algos)),
            ("GET", "userTrades", _Signed(api.user_trades, 5)),
            ("GET", "forceOrders", _Signed(api.force_orders, _by_symbol(20, 50))),
        ]
        for method, name, route in rows:
            self._add("1", method, name, route)

    def _add_account(self, api: AccountApi) -> None:
        rows: list[tuple[str, str, str, Route]] = [
            ("12", "GET", "account", _Signed(api.account_v2, 5)),
            ("3", "GET", "account", _Signed(api.account_v3, 5)),
            ("123", "GET", "balance", _Signed(api.balance, 5)),
            ("12", "GET", "positionRisk", _Signed(api.position_risk_v2, 5)),
            ("3", "GET", "positionRisk", _Signed(api.position_risk_v3, 5)),
            ("1", "GET", "accountConfig", _Signed(api.account_config, 5)),
            ("1", "GET", "symbolConfig", _Signed(api.symbol_config, 5)),
            ("1", "GET", "income", _Signed(api.income, 30)),
            ("1", "POST", "leverage", _Signed(api.set_leverage)),
            ("1", "GET", "leverageBracket", _Signed(api.leverage_bracket)),
            ("1", "POST", "marginType", _Signed(api.margin_type)),
            ("1", "GET", "positionSide/dual", _Signed(api.position_mode, 30)),
            ("1", "POST", "positionSide/dual", _Signed(api.set_position_mode)),
            ("1", "GET", "multiAssetsMargin", _Signed(api.multi_assets, 30)),
            ("1", "GET", "commissionRate", _Signed(api.commission_rate, 20)),
            ("1", "GET", "adlQuantile", _Signed(api.adl_quantile, 5)),
            ("1", "POST", "listenKey", _Signed(self._create_key, key_only=True)),
            ("1", "PUT", "listenKey", _Signed(self._renew_key, key_only=True)),
            ("1", "DELETE", "listenKey", _Signed(self._close_key, key_only=True)),
        ]
        for versions, method, name, route in rows:
            self._add(versions, method, name, route)
        self._routes[("GET", "/sapi/v1/account/apiRestrictions")] = _Signed(api.restrictions)

    def _create_key(self, account: Account, params: Params) -> object:
        return {"listenKey": self.keys.create(account)}

    def _renew_key(self, account: Account, params: Params) -> object:
        return {"listenKey": self.keys.renew(account)}

    def _close_key(self, account: Account, params: Params) -> object:
        self.keys.close(account)
        return {}

    def handle(self, request: Request) -> Reply:
        """Answer one request. Never raises for anything a client can send."""
        self._catch_up()
        route = self._routes.get((request.method, request.path))
        if route is None:
            return _error(-5000, f"Path {request.path}, Method {request.method} is invalid", 404)
        headers: dict[str, str] = {}
        try:
            answer = self._answer(route, request, headers)
        except RateLimitedError as refusal:
            headers["Retry-After"] = str(refusal.retry_after_s)
            reply = _error(refusal.code, refusal.message, refusal.status)
        except VenueError as refusal:
            reply = _error(refusal.code, refusal.message, refusal.status)
        else:
            reply = Reply(200, dumps(answer))
        reply.headers = headers
        return reply

    def _catch_up(self) -> None:
        """Bring the market up to now; a long way (the machine slept) is left to the server's own loop."""
        now = self.clock.now_ms()
        if now - self.engine.next_step_ms < _CATCH_UP_MS:
            self.engine.advance_to(now)
        else:
            self.engine.touch(now)

    def _answer(self, route: Route, request: Request, headers: dict[str, str]) -> object:
        if len(request.body) + len(request.query) > _MAX_BODY:
            raise VenueError(-1101, "Too much data sent for this endpoint.", 413)
        try:
            params = Params(parse_pairs(request.query, request.body))
        except ValueError as error:
            raise illegal("query", "application/x-www-form-urlencoded") from error
        weight = route.weight if isinstance(route.weight, int) else route.weight(params)
        used = self.limits.take_weight(request.address, weight)
        headers["X-MBX-USED-WEIGHT-1M"] = str(used)
        if isinstance(route, _Public):
            if route.needs_key:
                self._account(request)
            return route.handler(params)
        account = self._account(request)
        if not route.key_only:
            self._check_signature(account, request, params)
            self._check_time(params)
        if route.orders:
            short, long = self.limits.take_orders(account.api_key, route.orders)
            headers["X-MBX-ORDER-COUNT-10S"] = str(short)
            headers["X-MBX-ORDER-COUNT-1M"] = str(long)
        return route.handler(self._as_read(account, request), params)

    def _as_read(self, account: Account, request: Request) -> Account:
        """Return the account that a request meets: for reads, by a fault, one that lags behind."""
        faults = self.engine.faults
        if faults is None or request.method != "GET":
            return account
        lag = faults.lag_ms(f"GET {request.path}")
        if not lag:
            return account
        return self.engine.venue.replicas[account].as_of(self.engine.now_ms - lag, self.engine.told_ms - lag)

    def _account(self, request: Request) -> Account:
        key = request.headers.get("x-mbx-apikey", "")
        if not key or not key.isascii() or not key.isalnum():
            raise VenueError(-2014, "API-key format invalid.", 401)
        account = self.engine.venue.accounts.get(key)
        if account is None:
            raise VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return account

    def _check_signature(self, account: Account, request: Request, params: Params) -> None:
        signature = params.required("signature")
        payload = _unsigned(request.query) + _unsigned(request.body)
        expected = hmac.new(account.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.lower().encode()):
            raise VenueError(-1022, "Signature for this request is not valid.")

    def _check_time(self, params: Params) -> None:
        """Accept a timestamp inside recvWindow of venue time, or of the wall clock where the two differ."""
        stamp = params.integer("timestamp")
        if stamp is None:
            raise missing("timestamp")
        window = params.integer("recvWindow")
        if window is None:
            window = _DEFAULT_WINDOW_MS
        if window > 60_000:
            raise VenueError(-1131, "'recvWindow' must be less than 60000.")
        now, wall, speed = self.engine.told_ms, self._wall_ms(), max(self.clock.speed, 1.0)
        if -_AHEAD_MS * speed <= now - stamp <= window * speed:
            return
        if -_AHEAD_MS <= wall - stamp <= window and self._differs_from_wall(wall):
            return
        if stamp > now:
            raise VenueError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")

    def _differs_from_wall(self, wall: int) -> bool:
        return self.clock.speed != 1.0 or abs(self.engine.now_ms - wall) > _AHEAD_MS


def _unsigned(text: str) -> str:
    """Return parameters without the signature, otherwise untouched."""
    return "&".join(part for part in text.split("&") if part and not part.startswith("signature="))


def _by_symbol(one: int, every: int) -> Callable[[Params], int]:
    """Return a weight that depends on whether a symbol is given."""
    return lambda params: one if params.has("symbol") else every


def _depth_weight(params: Params) -> int:
    text = params.text("limit") or "500"
    return DEPTH_LIMITS.get(int(text), 1) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def _klines_weight(params: Params) -> int:
    text = params.text("limit") or "500"
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 1
    for bound, weight in ((100, 1), (500, 2), (1000, 5)):
        if limit < bound or (bound == 1000 and limit == bound):
            return weight
    return 10
