"""REST through ccxt's request path, with this product's meaning of failures, budget, host guard and clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from tui_trader.clock import VenueClock
from tui_trader.errors import OutcomeUnknown, RateLimited, VenueError, VenueRefused, VenueUnreachable
from tui_trader.secret import Redactor, Secret
from tui_trader.venues.binance.failures import HAD_EFFECT, failure
from tui_trader.venues.hosts import HostGuard, tls_context
from tui_trader.venues.ratelimit import Budget, Urgency
from tui_trader.venues.text import clean

T = TypeVar("T")

MAINNET_REST = "https://fapi.binance.com"
MAINNET_SAPI = "https://api.binance.com"
_TIMEOUT_MS = 4_500
_ANSWERS_S = (1.0, 2.0)
"""How long an answer is waited for before the question is asked anew; the last time as long as any request."""


class Transport(Protocol):
    """Carries requests, as a ccxt exchange does over the network."""

    async def request(self, path: str, api: list[str], method: str, params: dict[str, object]) -> Any:
        """The decoded answer of a success; raises ``VenueError`` as ``failures`` has it."""
        ...

    async def close(self) -> None:
        """End."""
        ...


def _import_ccxt() -> Any:
    from ccxt.async_support.binanceusdm import binanceusdm

    return binanceusdm


async def load_ccxt() -> Any:
    """ccxt's ``binanceusdm`` class, imported in a thread so that the screen keeps drawing."""
    return await asyncio.to_thread(_import_ccxt)


def _no_redirects() -> Any:
    """A trace that ends a request at a redirect: followed, it would carry the key to a host that nobody configured, and
    that host's word would pass for the venue's."""
    from aiohttp import TraceConfig

    async def refuse(session: object, context: object, params: Any) -> None:
        params.response.close()
        raise OutcomeUnknown(
            f"the venue's address answers with a redirect (HTTP {params.response.status}), which is not followed; the "
            "request may have had its effect: query, and check venue.rest_url."
        )

    trace = TraceConfig()
    trace.on_request_redirect.append(refuse)
    trace.freeze()
    return trace


class _Hidden:
    """An attribute of a ccxt instance that is a ``Secret`` until ccxt signs with it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_hidden_{name}"

    def __get__(self, instance: Any, owner: type) -> str:
        held: Secret | None = getattr(instance, self._name, None)
        return held.reveal() if held is not None else ""

    def __set__(self, instance: Any, value: str | Secret) -> None:
        setattr(instance, self._name, value if isinstance(value, Secret) else Secret(value))


class _Discreet:
    """Lies before a ccxt class: its key and secret stay hidden, and it never prints."""

    apiKey = _Hidden()  # noqa: N815 - ccxt's own name
    secret = _Hidden()

    @property
    def verbose(self) -> bool:
        """Never: ccxt's verbose mode prints keys, signatures and bodies."""
        return False

    @verbose.setter
    def verbose(self, wanted: bool) -> None:
        del wanted

    def log(self, *args: object) -> None:
        """ccxt prints; nothing here may."""


def _guarded(base: Any) -> Any:
    """A subclass of ``base`` with this product's clock, host guard, header counting and failures."""

    class GuardedExchange(_Discreet, base):  # type: ignore[misc]  # ccxt has no types
        venue_clock: VenueClock
        guard: HostGuard
        budget: Budget
        redact: Redactor

        def open(self, *args: Any, **options: Any) -> None:
            super().open(*args, **options)
            if self.session is not None and not self.session.trace_configs:
                self.session.trace_configs.append(_no_redirects())

        def nonce(self) -> int:
            return self.venue_clock.now_ms()

        async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            self.guard.check(url)
            return await super().fetch(url, method, headers, body)

        def on_rest_response(
            self, code: int, reason: str, url: str, method: str, response_headers: Mapping[str, str], *rest: Any
        ) -> Any:
            self.budget.heard(response_headers)
            return super().on_rest_response(code, reason, url, method, response_headers, *rest)

        def handle_errors(
            self, code: int, reason: str, url: str, method: str, headers: Mapping[str, str], body: str, *rest: Any
        ) -> None:
            error = failure(code, body or "", headers, self.redact)
            if error is not None:
                raise error

    return GuardedExchange


async def together(*asks: Awaitable[Any]) -> list[Any]:
    """The answers to all; when one failed, its error, but only after each has ended: none outlives the connections."""
    answers = await asyncio.gather(*asks, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


async def asked_anew(ask: Callable[[], Awaitable[T]], *, once_more: bool = True) -> T:
    """The answer to a question without effect, asked anew when its answer is late or lost. When the venue cannot
    answer, it is asked ``once_more`` at most: in an outage, not at all. Raises what the last ``ask`` raises.
    """
    for seconds in _ANSWERS_S:
        try:
            async with asyncio.timeout(seconds):
                return await ask()
        except TimeoutError:
            continue
        except VenueUnreachable:
            if not once_more:
                raise
            break
    return await ask()


class Rest:
    """Two ccxt instances, so that an urgent exit never waits behind reads: own connections, no limiter delays."""

    def __init__(
        self,
        base_url: str,
        key: str,
        secret: str | Secret,
        *,
        recv_window_ms: int,
        clock: VenueClock,
        budget: Budget,
        timeout_ms: int = _TIMEOUT_MS,
        transport: Transport | None = None,
        proxy: str = "",
    ) -> None:
        self._base = base_url
        self._key = Secret(key)
        self._secret = secret if isinstance(secret, Secret) else Secret(secret)
        self._redact = Redactor((key, self._secret.reveal()))
        self._proxy = proxy
        self._recv_window = recv_window_ms
        self._timeout_ms = timeout_ms
        self._clock = clock
        self.budget = budget
        self.has_sapi = base_url == MAINNET_REST or base_url.startswith("http://")
        self._sapi = MAINNET_SAPI if base_url == MAINNET_REST else base_url
        self.guard = HostGuard(base_url, self._sapi)
        self._transport = transport
        self._exchanges: dict[Urgency, Any] = {}
        self.on_answer: Callable[[str, str, Mapping[str, object], object], None] | None = None
        """Told path, method, parameters and decoded answer of each request that succeeded; must not raise."""

    async def open(self) -> None:
        """Load ccxt and make the instances; sends nothing. A given ``transport`` takes the place of both."""
        if self._transport is not None:
            self._exchanges = dict.fromkeys(Urgency, self._transport)
            return
        kind = _guarded(await load_ccxt())
        reads, exits = self._make(kind), self._make(kind)
        self._exchanges = {urgency: exits if urgency is Urgency.EXIT else reads for urgency in Urgency}

    def _make(self, kind: Any) -> Any:
        exchange = kind(
            {
                "enableRateLimit": False,
                "timeout": self._timeout_ms,
                "options": {"fetchCurrencies": False, "fetchMargins": False, "recvWindow": self._recv_window},
            }
        )
        base = self._base
        exchange.urls["api"] = {
            "fapiPublic": f"{base}/fapi/v1",
            "fapiPrivate": f"{base}/fapi/v1",
            "fapiPrivateV2": f"{base}/fapi/v2",
            "fapiPrivateV3": f"{base}/fapi/v3",
            "sapi": f"{self._sapi}/sapi/v1",
        }
        exchange.apiKey = self._key
        exchange.secret = self._secret
        exchange.trust_env = exchange.aiohttp_trust_env = False
        if base.startswith("https://"):
            exchange.ssl_context = tls_context()
            exchange.https_proxy = self._proxy or None
        else:
            # ccxt waits on closing so that TLS can say goodbye; a plain connection has none.
            exchange.timeout_on_exit = 0
        exchange.venue_clock = self._clock
        exchange.guard = self.guard
        exchange.budget = self.budget
        exchange.redact = self._redact
        return exchange

    async def aclose(self) -> None:
        """Close the connections."""
        exchanges = set(self._exchanges.values())
        self._exchanges.clear()
        await asyncio.gather(*(exchange.close() for exchange in exchanges))

    async def read(
        self,
        kind: type[T] | Any,
        path: str,
        params: Mapping[str, object] | None = None,
        *,
        api: str = "fapiPublic",
        weight: int = 1,
        method: str = "GET",
        urgency: Urgency = Urgency.NORMAL,
    ) -> T:
        """One answer, converted to ``kind``; ``urgency`` says how much of the budget's reserve it may use.

        Raises ``VenueRefused``, ``RateLimited``, ``OrderNotFound`` or ``VenueUnreachable``; an undecodable answer
        counts as unreachable.
        """
        try:
            answer = await self._send(path, api, method, params or {}, weight, 0, urgency)
        except OutcomeUnknown as error:
            raise VenueUnreachable(str(error).replace(HAD_EFFECT, "."), error.code) from None
        try:
            value: T = msgspec.convert(answer, kind, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            raise VenueUnreachable(f"the answer to {path} cannot be read: {clean(error, 160)}") from None
        return value

    async def write(
        self,
        path: str,
        params: Mapping[str, object],
        *,
        method: str = "POST",
        weight: int = 1,
        orders: int = 0,
        urgent: bool = False,
    ) -> Any:
        """Send something that changes the account. Raises ``OutcomeUnknown`` when it may have had its effect."""
        urgency = Urgency.EXIT if urgent else Urgency.NORMAL
        return await self._send(path, "fapiPrivate", method, params, weight, orders, urgency)

    async def _send(
        self,
        path: str,
        api: str,
        method: str,
        params: Mapping[str, object],
        weight: int,
        orders: int,
        urgency: Urgency,
    ) -> Any:
        exchange = self._exchanges.get(urgency)
        if exchange is None:
            raise VenueUnreachable("not sent: the venue is not open (yet, or any more).")
        self.budget.take(weight, orders=orders, urgency=urgency)
        try:
            answer = await exchange.request(path, [api], method, dict(params))
        except RateLimited as error:
            if error.code not in (-1015, -1008):
                self.budget.silence(error.retry_after_ms / 1000)
            raise
        except VenueError:
            raise
        except Exception as error:
            raise _transport_failure(path, error) from error
        if self.on_answer is not None:
            self.on_answer(path, method, params, answer)
        return answer


def _transport_failure(path: str, error: Exception) -> Exception:
    """What ccxt's and aiohttp's own exceptions mean for the request. What is not a failed transport stays itself."""
    from ccxt.base.errors import AuthenticationError, BaseError

    name = type(error.__cause__ or error.__context__ or error).__name__
    if not isinstance(error, BaseError | OSError | TimeoutError):
        return error
    if isinstance(error, AuthenticationError):
        return VenueRefused(f"not sent: the API key or secret for {path} is missing. Set the credentials.")
    if name in ("ClientConnectorError", "ClientConnectorDNSError", "ClientConnectorCertificateError", "gaierror"):
        return VenueUnreachable(f"not sent: no connection to the venue for {path} ({name}). It is tried again.")
    return OutcomeUnknown(f"no usable answer to {path} ({name}){HAD_EFFECT}")
