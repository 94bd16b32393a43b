"""Request weights per address and order counts per account, in real time as the real venue counts them."""

from collections.abc import Callable

from tui_trader.exchange.reject import VenueError

WEIGHT_PER_MINUTE = 2400
ORDERS_PER_10S = 300
ORDERS_PER_MINUTE = 1200
_PATIENCE = 20
"""Requests that may still arrive after a 429 before the address is banned."""
_BAN_S = 120.0


class RateLimitedError(VenueError):
    """A refusal with the seconds to stay away."""

    def __init__(self, code: int, message: str, status: int, retry_after_s: int) -> None:
        super().__init__(code, message, status)
        self.retry_after_s = retry_after_s


class _Window:
    __slots__ = ("count", "index")

    def __init__(self) -> None:
        self.index = -1
        self.count = 0

    def add(self, index: int, amount: int) -> int:
        if index != self.index:
            self.index, self.count = index, 0
        self.count += amount
        return self.count


class RateLimits:
    """Counts in fixed windows, as the venue's headers show them."""

    def __init__(self, monotonic: Callable[[], float], weight_limit: int = WEIGHT_PER_MINUTE) -> None:
        self._monotonic = monotonic
        self.weight_limit = weight_limit
        self._weights: dict[str, _Window] = {}
        self._ignored: dict[str, int] = {}
        self._banned_until: dict[str, float] = {}
        self._orders: dict[tuple[str, int], _Window] = {}

    def take_weight(self, address: str, weight: int) -> int:
        """Count a request and return the weight used this minute; raise 429 or 418."""
        now = self._monotonic()
        until = self._banned_until.get(address, 0.0)
        if now < until:
            wait = int(until - now) + 1
            raise RateLimitedError(-1003, f"Way too many requests; IP({address}) banned for {wait} s.", 418, wait)
        used = self._weights.setdefault(address, _Window()).add(int(now // 60), weight)
        if used <= self.weight_limit:
            self._ignored[address] = 0
            return used
        self._ignored[address] = self._ignored.get(address, 0) + 1
        if self._ignored[address] > _PATIENCE:
            self._banned_until[address] = now + _BAN_S
            text = f"Way too many requests; IP({address}) banned for {int(_BAN_S)} s."
            raise RateLimitedError(-1003, text, 418, int(_BAN_S))
        text = (
            f"Too many requests; current limit of IP({address}) is {self.weight_limit} requests per minute. "
            "Please use the websocket for live updates to avoid polling the API."
        )
        raise RateLimitedError(-1003, text, 429, 60 - int(now % 60))

    def take_orders(self, api_key: str, count: int) -> tuple[int, int]:
        """Count orders and return how many were sent in this 10 s and this minute; raise -1015."""
        now = self._monotonic()
        short = self._orders.setdefault((api_key, 10), _Window()).add(int(now // 10), count)
        long = self._orders.setdefault((api_key, 60), _Window()).add(int(now // 60), count)
        if short > ORDERS_PER_10S:
            text = f"Too many new orders; current limit is {ORDERS_PER_10S} orders per TEN_SECONDS."
            raise RateLimitedError(-1015, text, 429, 10 - int(now % 10))
        if long > ORDERS_PER_MINUTE:
            text = f"Too many new orders; current limit is {ORDERS_PER_MINUTE} orders per MINUTE."
            raise RateLimitedError(-1015, text, 429, 60 - int(now % 60))
        return short, long
