"""What the exchange's tests share: an engine on a scripted market, and a ccxt client pointed at a server."""

from decimal import Decimal
from typing import Any

from tui_trader.exchange.accounts import Account
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.orders import OrderRequest
from tui_trader.exchange.scripted import ScriptedMarket
from tui_trader.exchange.server import RunningExchange

START_MS = 1_767_225_900_000  # 2026-01-01 00:05 UTC
D = Decimal


class Desk:
    """One account on one scripted BTCUSDT market at 50,000, and everything the venue told it."""

    def __init__(self, market: ScriptedMarket | None = None, wallet: str = "10000") -> None:
        self.market = market or ScriptedMarket()
        self.engine = ExchangeEngine({self.market.spec.symbol: self.market}, START_MS)
        self.account = self.engine.add_account("key", "secret", D(wallet))
        self.events: list[dict[str, Any]] = []
        self.engine.on_user_event = self._note
        self.state = self.engine.states[self.market.spec.symbol]
        self.step()

    def _note(self, account: Account, event: dict[str, Any]) -> None:
        if account is self.account:
            self.events.append(event)

    def step(self, ms: int = 500) -> None:
        self.engine.advance_to(self.engine.now_ms + ms)

    def move(self, price: float) -> None:
        self.market.move_to(price)
        self.step(1000)

    def order(self, side: str, quantity: str, price: str | None = None, **options: Any) -> Any:
        kind = "MARKET" if price is None else "LIMIT"
        if price is not None:
            options.setdefault("time_in_force", "GTC")
        return self.engine.place_order(self.account, self.request(side, kind, quantity, price, **options))

    def algo(self, side: str, kind: str, quantity: str | None, trigger: str | None, **options: Any) -> Any:
        price = options.pop("price", None)
        wanted = D(trigger) if trigger else None
        request = self.request(side, kind, quantity, price, trigger_price=wanted, **options)
        return self.engine.place_algo(self.account, request)

    def request(self, side: str, kind: str, quantity: str | None, price: str | None, **options: Any) -> OrderRequest:
        amount = D(quantity) if quantity else None
        limit = D(price) if price else None
        return OrderRequest(self.market.spec.symbol, side == "BUY", kind, amount, limit, **options)

    @property
    def lots(self) -> int:
        return self.account.position(self.market.spec).lots

    def names(self) -> list[str]:
        """Return what was told: the event's name and, for orders, the status."""
        return [" ".join(filter(None, [event["e"], event.get("o", {}).get("X")])) for event in self.events]


def ccxt_config(exchange: RunningExchange) -> dict[str, Any]:
    """Return the settings that point ccxt's binanceusdm at a simulated exchange and nowhere else."""
    base, ws = exchange.rest_url, exchange.ws_url
    api = {
        f"fapi{kind}{version}": f"{base}/fapi/{path}" for kind in ("Public", "Private") for version, path in _VERSIONS
    }
    api |= {"sapi": f"{base}/sapi/v1", "ws": {"linear": f"{ws}/ws"}}
    return {
        "apiKey": exchange.api_key,
        "secret": exchange.secret,
        "urls": {"api": api},
        "enableRateLimit": False,
        "options": {"fetchCurrencies": False, "fetchMargins": False, "fetchMarkets": {"types": ["linear"]}},
    }


_VERSIONS = (("", "v1"), ("V2", "v2"), ("V3", "v3"))
