"""Every setting of the product, once: its type, bounds, unit and default.

Models only: reading files and the environment is ``tui_trader.config``'s work. All models are frozen and refuse unknown
keys. Defaults here equal the packaged ``config.toml`` (a test holds them together).
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tui_trader.core.types import Tier

Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Money = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SizingModel(StrEnum):
    """How the size of a trade is chosen."""

    MARGIN_FRACTION = "margin_fraction"
    FIXED_RISK = "fixed_risk"
    FIXED_MARGIN = "fixed_margin"


class UniverseSettings(Section):
    """Liquidity gate and membership. Volumes and depths in USDT, spread in basis points, times in seconds."""

    min_volume_24h: Positive = 5_000_000.0
    max_spread_bps: Positive = 3.0
    min_depth: Positive = 200_000.0
    max_size: Annotated[int, Field(ge=1, le=200)] = 20
    refresh_s: Annotated[float, Field(ge=5, le=86_400)] = 300.0
    grace_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0
    hysteresis: Annotated[float, Field(ge=0, le=1)] = 0.10
    weight_volume: Annotated[float, Field(ge=0)] = 1.0
    weight_depth: Annotated[float, Field(ge=0)] = 1.0
    weight_spread: Annotated[float, Field(ge=0)] = 0.35
    allowed_tiers: tuple[Tier, ...] = (Tier.MAIN, Tier.L1, Tier.L2)


class TierSettings(Section):
    """Base assets by tier, and names by which venues know them; the lists themselves stand in ``config.toml``."""

    dynamic: bool = False
    main: tuple[str, ...] = ()
    l1: tuple[str, ...] = ()
    l2: tuple[str, ...] = ()
    defi: tuple[str, ...] = ()
    infrastructure: tuple[str, ...] = ()
    meme: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    renames: dict[str, str] = {}

    @model_validator(mode="after")
    def _each_asset_once(self) -> Self:
        seen: dict[str, str] = {}
        for name in ("main", "l1", "l2", "defi", "infrastructure", "meme", "excluded"):
            for asset in getattr(self, name):
                if asset in seen:
                    raise ValueError(f"{asset} stands in both {seen[asset]} and {name}; keep it in one tier")
                seen[asset] = name
        return self


class SizingSettings(Section):
    """Position sizing. Fractions of equity, money in USDT."""

    model: SizingModel = SizingModel.MARGIN_FRACTION
    base_risk_frac: Fraction = 0.01
    max_risk_frac: Fraction = 0.03
    min_ai_risk_factor: Positive = 0.5
    max_ai_risk_factor: Positive = 1.5
    min_margin: Money = Decimal(10)
    max_margin: Money = Decimal(1000)
    fixed_margin: Money = Decimal("0.50")
    fixed_risk_frac: Fraction = 0.02
    leverage_main: Annotated[int, Field(ge=1, le=125)] = 15
    leverage_l1: Annotated[int, Field(ge=1, le=125)] = 12
    leverage_l2: Annotated[int, Field(ge=1, le=125)] = 10
    leverage_min: Annotated[int, Field(ge=1, le=125)] = 8
    default_leverage: Annotated[int, Field(ge=1, le=125)] = 30

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.base_risk_frac > self.max_risk_frac:
            raise ValueError(f"base_risk_frac {self.base_risk_frac} must not exceed max_risk_frac {self.max_risk_frac}")
        if self.min_ai_risk_factor > self.max_ai_risk_factor:
            raise ValueError("min_ai_risk_factor must not exceed max_ai_risk_factor")
        if self.min_margin > self.max_margin:
            raise ValueError(f"min_margin {self.min_margin} must not exceed max_margin {self.max_margin}")
        if max(self.leverage_main, self.leverage_l1, self.leverage_l2, self.leverage_min) > self.default_leverage:
            raise ValueError("an effective leverage must not exceed default_leverage, the one set at the venue")
        return self


class LadderSettings(Section):
    """The TP/SL ladder. Multiples of ATR, fractions of the position, basis points."""

    atr_period: Annotated[int, Field(ge=2, le=500)] = 14
    atr_timeframe: Annotated[str, Field(pattern="^(1m|5m|15m|1h|4h|1d)$")] = "15m"
    atr_mult_sl: Annotated[float, Field(gt=0, le=20)] = 1.0
    atr_mult_tp1: Annotated[float, Field(gt=0, le=50)] = 1.5
    atr_mult_tp2: Annotated[float, Field(gt=0, le=100)] = 2.5
    atr_mult_be: Annotated[float, Field(gt=0, le=50)] = 1.0
    break_even_offset_bps: Annotated[float, Field(ge=0, le=100)] = 5.0
    partial_close_tp1: Annotated[float, Field(gt=0, lt=1)] = 0.5
    partial_close_tp2: Annotated[float, Field(gt=0, lt=1)] = 0.3
    trail_dist_mult: Annotated[float, Field(gt=0, le=20)] = 0.8
    max_atr_age_s: Annotated[float, Field(gt=0)] = 1_800.0
    fixed_sl_pct: Annotated[float, Field(ge=0, le=50)] = 0.0
    fixed_tp_pct: Annotated[float, Field(ge=0, le=100)] = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.partial_close_tp1 + self.partial_close_tp2 > 1:
            raise ValueError("partial_close_tp1 + partial_close_tp2 must not exceed 1")
        if self.atr_mult_tp1 >= self.atr_mult_tp2:
            raise ValueError(f"atr_mult_tp1 {self.atr_mult_tp1} must be under atr_mult_tp2 {self.atr_mult_tp2}")
        return self


class FundingSettings(Section):
    """Funding protection. Windows in minutes, rates as fractions per interval."""

    pre_window_min: Annotated[float, Field(ge=0, le=240)] = 40.0
    post_window_min: Annotated[float, Field(ge=0, le=240)] = 20.0
    min_long_funding: Annotated[float, Field(ge=-0.05, le=0)] = -0.0003
    max_short_funding: Annotated[float, Field(ge=0, le=0.05)] = 0.0003
    max_abs_funding: Annotated[float, Field(gt=0, le=0.05)] = 0.001


class LimitSettings(Section):
    """Limits and the kill switch. Money in USDT, fractions of equity."""

    enabled: bool = True
    max_positions: Annotated[int, Field(ge=1, le=100)] = 8
    max_total_risk: Fraction = 0.15
    daily_loss_frac: Fraction = 0.05
    total_loss_frac: Fraction = 0.20
    daily_loss: Annotated[Decimal, Field(ge=0)] = Decimal(0)
    total_loss: Annotated[Decimal, Field(ge=0)] = Decimal(0)
    max_notional_per_symbol: Money = Decimal(50_000)
    max_orders_per_minute: Annotated[int, Field(ge=1, le=1200)] = 60
    price_collar: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    max_slippage: Annotated[float, Field(gt=0, le=0.1)] = 0.003


class DataSettings(Section):
    """When data counts as stale. Seconds and ms of real time."""

    stale_after_s: Annotated[float, Field(ge=1, le=120)] = 5.0
    max_skew_ms: Annotated[float, Field(ge=10, le=5_000)] = 500.0
    mark_stale_after_s: Annotated[float, Field(ge=2, le=300)] = 10.0


class ExecutionSettings(Section):
    """The executor's patience. Seconds of real time."""

    entry_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    unknown_query_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    not_found_needs: Annotated[int, Field(ge=2, le=20)] = 3
    replica_lag_s: Annotated[float, Field(gt=0, le=60)] = 3.0
    naked_limit_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    stop_retry_s: Annotated[float, Field(gt=0, le=10)] = 1.0
    reconcile_s: Annotated[float, Field(ge=1, le=300)] = 7.0
    trail_step_ticks: Annotated[int, Field(ge=1, le=1_000)] = 1
    trail_min_interval_s: Annotated[float, Field(ge=0, le=600)] = 1.0
    stop_working_type: Annotated[str, Field(pattern="^(CONTRACT_PRICE|MARK_PRICE)$")] = "MARK_PRICE"


class StrategySettings(Section):
    """Which strategies run, and on what. Parameters and their bounds are declared by each strategy itself.

    ``timeframes`` are by strategy name, ``parameters`` by ``strategy.parameter``; ``folder`` holds a person's own
    strategies, one file each.
    """

    enabled: tuple[str, ...] = ("ma_crossover", "volume_breakout")
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.8
    cooldown_min: Annotated[float, Field(ge=0, le=1_440)] = 15.0
    folder: str = ""
    timeframes: dict[str, str] = {}
    parameters: dict[str, float] = {}

    def parameters_of(self, strategy: str) -> dict[str, float]:
        """The configured parameters of one strategy by their own names."""
        prefix = f"{strategy}."
        return {name.removeprefix(prefix): v for name, v in self.parameters.items() if name.startswith(prefix)}


class TrainingSettings(Section):
    """Trained parameter sets: when one is deployed, whether it is used, and when it is demoted.

    ``min_trades`` out of sample; ``false_alarm`` is the chance over its whole life that a set which keeps its promise
    is demoted.
    """

    use_trained: bool = True
    min_trades: Annotated[int, Field(ge=5, le=10_000)] = 20
    false_alarm: Annotated[float, Field(gt=0, le=0.5)] = 0.05


class VenueSettings(Section):
    """Where to connect. An empty URL means the venue's own for the mode."""

    name: Annotated[str, Field(pattern="^(binance)$")] = "binance"
    rest_url: str = ""
    ws_url: str = ""
    recv_window_ms: Annotated[int, Field(ge=100, le=60_000)] = 5_000
    weight_reserve: Annotated[float, Field(ge=0, lt=1)] = 0.25
    proxy: str = ""
    allow_unknown_permissions: bool = False


class DemoSettings(Section):
    """The embedded simulated exchange."""

    seed: int = 7
    speed: Annotated[float, Field(gt=0, le=200)] = 20.0
    wallet: Money = Decimal(10_000)


class UiSettings(Section):
    """The console."""

    fps: Annotated[float, Field(ge=0.5, le=10)] = 5.0
    low_bandwidth_fps: Annotated[float, Field(ge=0.2, le=5)] = 1.0
    low_bandwidth: bool = False
    theme: str = "tui-trader-dark"
    keymap: dict[str, str] = {}


class Settings(Section):
    """All settings in force. ``preset`` names the set of defaults the file, environment and flags were laid over."""

    preset: Annotated[str, Field(pattern="^(standard|conservative|aggressive|ultra_conservative)$")] = "standard"
    universe: UniverseSettings = UniverseSettings()
    tiers: TierSettings = TierSettings()
    sizing: SizingSettings = SizingSettings()
    ladder: LadderSettings = LadderSettings()
    funding: FundingSettings = FundingSettings()
    limits: LimitSettings = LimitSettings()
    data: DataSettings = DataSettings()
    execution: ExecutionSettings = ExecutionSettings()
    strategies: StrategySettings = StrategySettings()
    training: TrainingSettings = TrainingSettings()
    venue: VenueSettings = VenueSettings()
    demo: DemoSettings = DemoSettings()
    ui: UiSettings = UiSettings()
