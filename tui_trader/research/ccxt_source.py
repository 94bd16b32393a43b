"""History of any exchange that ccxt knows: public data only, no key, paced by ccxt's own rate limiter."""

from __future__ import annotations

import asyncio
import difflib
import importlib
import math
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tui_trader.core.events import Candle
from tui_trader.core.plain import plain
from tui_trader.errors import RateLimited, UsageError, VenueRefused, VenueUnreachable
from tui_trader.store.candles import ccxt_name
from tui_trader.venues.hosts import checked_base

T = TypeVar("T")
TIMEOUT_MS = 20_000
TRIES = 4
FIRST_PAUSE_S = 1.0
USUAL_PAGE, LARGEST_PAGE = 500, 1_000
_PAGES = {"binanceusdm": 1_000, "binance": 1_000, "bybit": 1_000}
"""Candles of one answer where ccxt's own table is behind the exchange."""
_ID = re.compile(r"[a-z0-9_]{2,40}")


class CcxtSource:
    """One contract of one exchange; ``open`` first, ``aclose`` at the end.

    ``kept_as`` is the name under which its history belongs into a store: the exchange's own only when it comes from an
    address of the exchange itself.
    """

    def __init__(self, exchange: str, symbol: str, timeframe: str, *, url: str = "") -> None:
        self.exchange = self.kept_as = ccxt_name(exchange)
        self.symbol = symbol
        self.page = USUAL_PAGE
        self.has_funding = False
        self._timeframe = timeframe
        self._url = checked_base(url, "--url", ("https", "http")) if url else ""
        self._market: dict[str, Any] = {}
        self._client: Any = None

    async def open(self) -> None:
        """Load the exchange's markets and find the contract. Raises ``UsageError``, ``VenueError``."""
        self._client = self._make()
        await self._asked(self._client.load_markets)
        self._market = self._find()
        if self._timeframe not in (self._client.timeframes or {}):
            known = ", ".join(self._client.timeframes or ()) or "none"
            raise UsageError(f"{self.exchange} has no {self._timeframe} candles; it has {plain(known)}.")
        self.page = self._page()
        self.has_funding = bool(self._market.get("swap") and self._client.has.get("fetchFundingRateHistory"))

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def now_ms(self) -> int | None:
        """The exchange's time; None when it does not tell."""
        if not self._client.has.get("fetchTime"):
            return None
        return int(await self._asked(self._client.fetch_time))

    async def candles(self, since_ms: int, end_ms: int) -> Sequence[Candle]:
        """See ``Source.candles``."""
        del end_ms
        rows = await self._asked(
            lambda: self._client.fetch_ohlcv(self._market["symbol"], self._timeframe, since_ms, self.page)
        )
        found = (_candle(row) for row in rows or ())
        return sorted((row for row in found if row is not None), key=lambda row: row.open_ms)

    async def funding(self, since_ms: int, end_ms: int) -> Sequence[tuple[int, float]]:
        """See ``Source.funding``."""
        rows = await self._asked(
            lambda: self._client.fetch_funding_rate_history(
                self._market["symbol"], since_ms, LARGEST_PAGE, {"until": end_ms}
            )
        )
        found = []
        for row in rows or ():
            ms, rate = row.get("timestamp"), row.get("fundingRate")
            if isinstance(ms, int) and isinstance(rate, int | float) and math.isfinite(rate):
                found.append((ms, float(rate)))
        return sorted(found)

    # --- the exchange ---

    def _make(self) -> Any:
        name = self.exchange
        try:
            if not _ID.fullmatch(name):
                raise ImportError(name)
            kind = getattr(importlib.import_module(f"ccxt.async_support.{name}"), name)
        except (ImportError, AttributeError):
            import ccxt

            close = difflib.get_close_matches(name, ccxt.exchanges, 3)
            hint = f"; close to it are {', '.join(close)}" if close else ""
            raise UsageError(f"--exchange {plain(name)[:40]!r} is no exchange that ccxt knows{hint}.") from None
        client = kind({"enableRateLimit": True, "timeout": TIMEOUT_MS})
        # Currencies and margins are account matters of other hosts; history needs neither.
        client.options |= {"fetchCurrencies": False, "fetchMargins": False}
        if self._url:
            here = urlsplit(self._url).netloc.lower()
            if here not in _hosts(client.urls["api"]):
                self.kept_as = f"{name}@{here}"
            client.urls["api"] = _moved(client.urls["api"], self._url)
        return client

    def _find(self) -> dict[str, Any]:
        """The market for the symbol, a perpetual in its quote asset before anything else."""
        wanted = self.symbol
        found = [
            market
            for market in self._client.markets.values()
            if _letters(market.get("id") or "") == wanted
            or _letters(f"{market.get('base')}{market.get('quote')}") == wanted
        ]
        usable = [market for market in found if not (market.get("option") or market.get("future"))]
        if not usable:
            names = sorted({_letters(f"{m.get('base')}{m.get('quote')}") for m in self._client.markets.values()})
            close = difflib.get_close_matches(wanted, names, 3)
            hint = f"; close to it are {plain(', '.join(close))}" if close else ""
            raise UsageError(f"{self.exchange} has no contract {wanted}{hint}.")
        best: dict[str, Any] = max(
            usable, key=lambda m: (bool(m.get("swap")), bool(m.get("linear")), bool(m["active"]))
        )
        return best

    def _page(self) -> int:
        if self.exchange in _PAGES:
            return _PAGES[self.exchange]
        try:
            limit = self._client.feature_value(self._market["symbol"], "fetchOHLCV", "limit", USUAL_PAGE)
        except Exception:  # noqa: BLE001 - a table of hints: an exchange without it is served with small pages
            limit = USUAL_PAGE
        return min(int(limit), LARGEST_PAGE) if isinstance(limit, int | float) and limit > 0 else USUAL_PAGE

    async def _asked(self, request: Callable[[], Awaitable[T]]) -> T:
        """One request; a transport failure or a request for silence is waited out a few times."""
        from ccxt.base.errors import BaseError, NetworkError, RateLimitExceeded

        pauses = [FIRST_PAUSE_S * 2**i for i in range(TRIES - 1)]
        while True:
            try:
                return await request()
            except NetworkError as error:
                if not pauses:
                    kind = RateLimited if isinstance(error, RateLimitExceeded) else VenueUnreachable
                    raise kind(f"{self.exchange} does not answer: {plain(str(error))[:200]}") from None
                await asyncio.sleep(pauses.pop(0))
            except BaseError as error:
                words = f"{type(error).__name__}: {plain(str(error))[:200]}"
                raise VenueRefused(f"{self.exchange} refuses: {words}") from None


def _letters(text: str) -> str:
    return "".join(char for char in text.upper() if char.isalnum())


def _hosts(urls: Any) -> set[str]:
    """The hosts in an exchange's addresses."""
    if isinstance(urls, dict):
        return {host for value in urls.values() for host in _hosts(value)}
    return {urlsplit(urls).netloc.lower()} if isinstance(urls, str) else set()


def _moved(urls: Any, base: str) -> Any:
    """The exchange's addresses with another scheme and host; a test's exchange on this machine, or a mirror."""
    if isinstance(urls, dict):
        return {name: _moved(value, base) for name, value in urls.items()}
    if not isinstance(urls, str):
        return urls
    here, parts = urlsplit(base), urlsplit(urls)
    return urlunsplit((here.scheme, here.netloc, parts.path, parts.query, ""))


def _candle(row: Any) -> Candle | None:
    try:
        values = [float(value) for value in row[1:6]]
        if len(values) < 5 or not all(math.isfinite(value) for value in values):
            return None
        return Candle(int(row[0]), *values)
    except (TypeError, ValueError, IndexError):
        return None
