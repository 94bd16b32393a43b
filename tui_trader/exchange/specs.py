"""The symbols of the simulated exchange: their filters and which recorded tape feeds each of them.

Filters are those of the real venue (exchangeInfo of Binance USDⓈ-M, 2025 and 2026) where they are known, else plausible
ones of the same kind. Ticks match the recorded prices exactly. The last seven symbols exist to be refused by a careful
trader: each is healthy except in one respect."""

from decimal import Decimal

import msgspec

from tui_trader.exchange.contract import SymbolSpec


class TapeSource(msgspec.Struct, frozen=True):
    """Which recording a symbol replays, and how it is changed on the way."""

    recording: str
    """Symbol whose recorded candles are replayed."""
    offset_minutes: int = 0
    """Shift along the recording, so that two users of one recording do not move together."""
    mirrored: bool = False
    """Replay 1/price, so that rises become falls."""
    price: float | None = None
    """Price in USDT at the start of the recording; None keeps the recorded prices and volumes."""
    daily_volume: float | None = None
    """Mean traded notional per day, USDT; None keeps the recorded one."""
    spread_bps: float = 0.0
    """Usual spread; at least one tick always."""
    depth_scale: float = 1.0
    """Resting quantity relative to what the traded volume would suggest."""
    funding_rate: float | None = None
    """Fixed rate per funding interval; None takes the recorded rates."""


def _spec(symbol: str, row: str, **extra: int | str) -> SymbolSpec:
    tick, step, max_qty, market_max, notional, low, high, band, leverage, maintenance = row.split()
    price_digits = -int(Decimal(tick).normalize().as_tuple().exponent)
    quantity_digits = max(0, -int(Decimal(step).normalize().as_tuple().exponent))
    onboard_ms = extra.get("onboard_ms", 1_569_398_400_000)
    return SymbolSpec(
        symbol=symbol,
        base_asset=symbol.removesuffix("USDT"),
        tick_size=Decimal(tick),
        step_size=Decimal(step),
        market_step_size=Decimal(step),
        min_qty=Decimal(step),
        max_qty=Decimal(max_qty),
        market_max_qty=Decimal(market_max),
        min_notional=Decimal(notional),
        min_price=Decimal(low),
        max_price=Decimal(high),
        multiplier_up=1 + Decimal(band),
        multiplier_down=1 - Decimal(band),
        price_precision=price_digits,
        quantity_precision=quantity_digits,
        max_leverage=int(leverage),
        maintenance_rate=Decimal(maintenance),
        funding_interval_hours=int(extra.get("interval", 8)),
        onboard_ms=int(onboard_ms),
        status=str(extra.get("status", "TRADING")),
        liquidation_fee=Decimal("0.0125") if Decimal(band) <= Decimal("0.05") else Decimal("0.015"),
    )


# columns: tick, step, largest limit order, largest market order, min notional, min price, max price,
# price band, max leverage, maintenance margin rate of the first bracket
_ROWS: tuple[SymbolSpec, ...] = (
    _spec("BTCUSDT", "0.1 0.001 1000 120 50 556.8 4529764 0.05 125 0.004"),
    _spec("ETHUSDT", "0.01 0.001 10000 2000 20 39.86 306177 0.05 125 0.004"),
    _spec("SOLUSDT", "0.01 0.01 1000000 80000 5 0.42 6857 0.05 100 0.005"),
    _spec("BNBUSDT", "0.01 0.01 100000 2000 5 6.6 100000 0.05 75 0.005"),
    _spec("XRPUSDT", "0.0001 0.1 10000000 2000000 5 0.0143 100000 0.05 75 0.005"),
    _spec("ADAUSDT", "0.0001 1 6000000 1300000 5 0.0174 20000 0.05 75 0.005"),
    _spec("AVAXUSDT", "0.001 1 300000 45000 5 0.2 100000 0.05 75 0.005"),
    _spec("SUIUSDT", "0.0001 0.1 7000000 1000000 5 0.01 2000 0.05 75 0.005"),
    _spec("LINKUSDT", "0.001 0.01 200000 20000 20 0.464 100000 0.1 75 0.005"),
    _spec("LTCUSDT", "0.01 0.001 10000 5000 20 3.61 100000 0.05 75 0.005"),
    _spec("XLMUSDT", "0.00001 1 10000000 1000000 5 0.00648 20000 0.05 75 0.005"),
    _spec("ENAUSDT", "0.0001 1 8000000 2000000 5 0.001 200 0.05 50 0.01", interval=4),
    _spec("TAOUSDT", "0.01 0.001 25000 5000 5 1 100000 0.1 50 0.01"),
    _spec("1000PEPEUSDT", "0.000001 1 200000000 40000000 5 0.00001 200 0.05 75 0.005"),
    _spec("METISUSDT", "0.01 0.01 5000 800 5 0.1 10000 0.15 20 0.025"),
    _spec("MANTAUSDT", "0.0001 0.1 2000000 350000 5 0.01 2000 0.1 25 0.015", interval=4),
    _spec("SEIUSDT", "0.00001 1 20000000 4000000 5 0.0001 200 0.05 50 0.01", interval=4),
    _spec("INJUSDT", "0.001 0.1 100000 20000 5 0.1 20000 0.05 50 0.01"),
    _spec("PERPUSDT", "0.0001 0.1 1000000 200000 5 0.001 2000 0.1 25 0.025", status="SETTLING"),
)

SPECS: dict[str, SymbolSpec] = {spec.symbol: spec for spec in _ROWS}
"""Every symbol the simulated exchange lists, in its listing order."""

RECORDED: tuple[str, ...] = tuple(SPECS)[:12]
"""Symbols that replay their own recording."""

SOURCES: dict[str, TapeSource] = {symbol: TapeSource(symbol) for symbol in RECORDED} | {
    "TAOUSDT": TapeSource(
        "LTCUSDT", offset_minutes=1700, price=402.0, daily_volume=90e6, spread_bps=99.0, depth_scale=0.8
    ),
    "1000PEPEUSDT": TapeSource("SUIUSDT", offset_minutes=2900, price=0.0132, daily_volume=1.1e9),
    "METISUSDT": TapeSource("LINKUSDT", offset_minutes=4100, price=41.0, daily_volume=13e6, spread_bps=2.4),
    "MANTAUSDT": TapeSource(
        "ADAUSDT", offset_minutes=5300, mirrored=True, price=0.82, daily_volume=3e6, depth_scale=14.0
    ),
    "SEIUSDT": TapeSource("SUIUSDT", offset_minutes=6400, price=0.21, daily_volume=260e6, funding_rate=0.0015),
    "INJUSDT": TapeSource(
        "AVAXUSDT", offset_minutes=3600, mirrored=True, price=12.9, daily_volume=140e6, funding_rate=-0.0005
    ),
    "PERPUSDT": TapeSource("ENAUSDT", offset_minutes=7900, price=0.31, daily_volume=40e6),
}
"""Where each symbol's prices come from."""
