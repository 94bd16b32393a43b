"""A rich, deterministic picture of a trading session, and a session that records what it is told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import msgspec

from tests.ui.sample_strategies import regimes, signals, strategies
from tui_trader.core.events import Candle, OpenPosition, UserCommand
from tui_trader.core.settings import Settings
from tui_trader.core.types import Channel, Leg, Severity, Side, Tier
from tui_trader.core.views import (
    BookLevel,
    BookView,
    ChannelView,
    ChartLine,
    ChartView,
    EquityPoint,
    HeaderView,
    LadderRow,
    LadderView,
    LogRow,
    Meter,
    OrderRow,
    PositionRow,
    PreviewLeg,
    PreviewLimit,
    ProtectionView,
    RiskView,
    Snapshot,
    TicketPreview,
    TradeRow,
    UniverseRow,
    UniverseView,
    WorkerRow,
)

NOW = 1_790_000_000_000
MINUTE = 60_000
_MEMBERS = (
    ("BTCUSDT", Tier.MAIN, 43_512.4, 1, 1.21, 1.2e9, 1.15, 0.0001),
    ("ETHUSDT", Tier.MAIN, 2_611.3, 2, -0.40, 8.7e8, 1.6, 0.00008),
    ("SOLUSDT", Tier.L1, 98.11, 2, 3.02, 4.1e8, 2.1, -0.00002),
    ("XRPUSDT", Tier.L1, 0.5713, 4, 0.18, 2.2e8, 1.8, 0.00011),
    ("BNBUSDT", Tier.L1, 312.55, 2, -1.07, 1.9e8, 1.4, 0.00009),
    ("AVAXUSDT", Tier.L1, 36.412, 3, 5.33, 9.7e7, 2.4, 0.00035),
    ("LINKUSDT", Tier.L2, 14.872, 3, -2.61, 7.1e7, 2.2, 0.0001),
    ("ARBUSDT", Tier.L2, 1.8931, 4, 0.02, 5.5e7, 2.8, -0.00015),
    ("INJUSDT", Tier.L1, 38.114, 3, -0.77, 4.8e7, 2.9, 0.00005),
    ("SUIUSDT", Tier.L1, 1.20415, 5, 7.48, 4.1e7, 2.7, 0.0001),
    ("APTUSDT", Tier.L1, 9.3811, 4, 0.91, 3.2e7, 2.6, 0.0001),
    ("SEIUSDT", Tier.L1, 0.72284, 5, -4.12, 2.9e7, 3.0, 0.0001),
)
_REFUSED = (
    ("1000PEPEUSDT", Tier.MEME, 0.0012345, 7, ("tier MEME is not allowed",)),
    ("TAOUSDT", Tier.EXCLUDED, 281.4, 2, ("tier EXCLUDED is not allowed", "spread 99.0 bps > 3.0 bps")),
    ("GMXUSDT", Tier.DEFI, 44.21, 2, ("tier DEFI is not allowed", "depth 81.2k < 200k")),
    ("METISUSDT", Tier.L2, 71.3, 2, ("volume 2.1M < 5.0M", "spread 7.4 bps > 3.0 bps", "depth 40.1k < 200k")),
    ("MANTAUSDT", Tier.L2, 2.31, 3, ("spread 3.9 bps > 3.0 bps",)),
)

NAMES = tuple(member[0] for member in _MEMBERS)


def _universe(now: int, wave: float) -> UniverseView:
    members = tuple(
        UniverseRow(
            rank=rank,
            symbol=symbol,
            tier=tier,
            last=last * (1 + 0.001 * wave),
            change_pct=change + wave,
            quote_volume=volume,
            spread_bps=spread,
            depth=volume / 250,
            depth_is_lower_bound=rank == 1,
            funding_rate=funding,
            next_funding_ms=NOW + 8_040_000,
            score=16.0 - rank / 3,
            price_decimals=decimals,
            regimes=regimes(rank),
            has_position=rank <= 2,
            paused=symbol == "ARBUSDT",
        )
        for rank, (symbol, tier, last, decimals, change, volume, spread, funding) in enumerate(_MEMBERS, 1)
    )
    refused = tuple(
        UniverseRow(
            rank=0,
            symbol=symbol,
            tier=tier,
            last=last,
            change_pct=0.0,
            quote_volume=2.1e6,
            spread_bps=9.0,
            depth=4e4,
            depth_is_lower_bound=False,
            funding_rate=0.0,
            next_funding_ms=0,
            score=0.0,
            price_decimals=decimals,
            reasons=reasons,
        )
        for symbol, tier, last, decimals, reasons in _REFUSED
    )
    return UniverseView(
        members=members,
        refused=refused,
        total=len(members) + len(refused),
        next_refresh_ms=NOW + 192_000,
        mean_spread_bps=2.1,
        mean_volume=2.9e8,
        rejection_rates=(("tier", 3), ("spread", 3)),
    )


def candles(count: int = 120, last: float = 43_512.4, step_ms: int = 15 * MINUTE) -> tuple[Candle, ...]:
    """A smooth, deterministic walk that ends at ``last``."""
    closes = [
        43_250 + 380 * math.sin(i / 9) + 160 * math.sin(i / 3.1) + 1.6 * i - 60 * math.cos(i * 1.7)
        for i in range(count)
    ]
    shift = last - closes[-1]
    rows = []
    before = closes[0] + shift
    for i, close in enumerate(closes):
        close += shift
        reach = 40 + 35 * abs(math.sin(i * 2.3))
        opened = (NOW // step_ms - count + 1 + i) * step_ms
        volume = 120 + 90 * abs(math.sin(i / 4)) + 60 * abs(math.cos(i * 1.9))
        rows.append(Candle(opened, before, max(before, close) + reach, min(before, close) - reach, close, volume))
        before = close
    return tuple(rows)


def _book(mid: float, wave: float) -> BookView:
    def levels(sign: int) -> tuple[BookLevel, ...]:
        rows = []
        for i in range(20):
            price = mid + sign * (0.3 + 0.7 * i + 0.2 * (i % 3))
            qty = 0.2 + 2.4 * abs(math.sin(i * 1.3 + sign + wave))
            mine = {(1, 7): "TP1", (-1, 5): "entry"}.get((sign, i), "")
            rows.append(BookLevel(price=price, qty=qty, mine=mine, mine_qty=0.023 if mine else 0.0))
        return tuple(rows)

    return BookView(
        symbol="BTCUSDT",
        bids=levels(-1),
        asks=levels(1),
        bid_depth=4.9e6,
        ask_depth=5.2e6,
        bid_reach=0.0024,
        ask_reach=0.0028,
        spread_bps=1.15,
        synced=True,
        price_decimals=1,
        qty_decimals=3,
    )


def _positions(last: float) -> tuple[PositionRow, ...]:
    pnl = (last - 43_500.0) * 0.046
    return (
        PositionRow(
            plan_id=1,
            symbol="BTCUSDT",
            side=Side.LONG,
            qty=0.046,
            entry=43_500.0,
            mark=last,
            pnl=pnl,
            pnl_pct=pnl / 133.4 * 100,
            r=pnl / 29.9,
            stop=42_850.0,
            stop_proven=True,
            proven_age_s=0.4,
            naked_s=0.0,
            longest_naked_s=0.31,
            liquidation=29_104.5,
            margin=133.4,
            strategy="volume_breakout",
            stage="to TP1",
            funding_paid=-0.02,
            fees=1.0,
            opened_ms=NOW - 734_000,
            price_decimals=1,
            qty_decimals=3,
        ),
        PositionRow(
            plan_id=2,
            symbol="ETHUSDT",
            side=Side.SHORT,
            qty=0.31,
            entry=2_620.5,
            mark=2_611.31,
            pnl=2.85,
            pnl_pct=5.3,
            r=0.31,
            stop=2_641.20,
            stop_proven=True,
            proven_age_s=1.2,
            naked_s=0.0,
            longest_naked_s=0.44,
            liquidation=3_301.05,
            margin=54.1,
            strategy="ma_crossover",
            stage="break-even",
            funding_paid=0.011,
            fees=0.41,
            opened_ms=NOW - 5_734_000,
            price_decimals=2,
            qty_decimals=3,
        ),
    )


def _ladder(last: float) -> LadderView:
    def rung(leg: str, price: float, fraction: float, qty: float, state: str) -> LadderRow:
        return LadderRow(
            leg=leg,
            price=price,
            fraction=fraction,
            qty=qty,
            r=(price - 43_500) / 650,
            distance_pct=(price / last - 1) * 100,
            progress=min(max((last - 43_500) / (price - 43_500), 0), 1),
            state=state,
        )

    return LadderView(
        symbol="BTCUSDT",
        side=Side.LONG,
        qty=0.046,
        now=last,
        now_r=(last - 43_500) / 650,
        rows=(
            rung("TP2", 45_125.0, 0.3, 0.014, "resting"),
            rung("TP1", 44_475.0, 0.5, 0.023, "resting"),
            rung("BE", 44_150.0, 0.0, 0.0, "trigger"),
            rung("SL", 42_850.0, 1.0, 0.046, "proven"),
        ),
        why=(
            "ATR 650.0 (14 × 15m) at entry",
            "confidence 0.86: targets ×1.00",
            "risk calm ×1.00",
            "dust 0.009 rides the runner",
        ),
        price_decimals=1,
        qty_decimals=3,
        trailing=False,
        oco="emulated by the executor",
    )


def _orders() -> tuple[OrderRow, ...]:
    def row(**changes: object) -> OrderRow:
        base: dict[str, object] = {
            "ts": NOW - 60_000,
            "symbol": "BTCUSDT",
            "leg": "SL",
            "side": "SELL",
            "type": "STOP_MARKET",
            "qty": 0.046,
            "filled": 0.0,
            "price": 0.0,
            "trigger": 42_850.0,
            "status": "working",
            "reduce_only": True,
            "client_id": "k3x9a1b-7-sl-1",
            "proven_age_s": 0.4,
            "price_decimals": 1,
            "qty_decimals": 3,
        }
        return msgspec.convert({**base, **changes}, OrderRow)

    return (
        row(),
        row(leg="TP1", type="LIMIT", qty=0.023, price=44_475.0, trigger=0.0, client_id="k3x9a1b-7-t1-1"),
        row(leg="TP2", type="LIMIT", qty=0.014, price=45_125.0, trigger=0.0, client_id="k3x9a1b-7-t2-1"),
        row(
            leg="entry",
            side="BUY",
            type="MARKET",
            filled=0.046,
            trigger=0.0,
            status="filled",
            reduce_only=False,
            client_id="k3x9a1b-7-en-1",
            ts=NOW - 61_000,
        ),
        row(
            symbol="ETHUSDT",
            side="BUY",
            qty=0.31,
            trigger=2_641.2,
            price_decimals=2,
            client_id="k3x9a1b-4-sl-3",
            ts=NOW - 240_000,
        ),
        row(
            symbol="SOLUSDT",
            leg="entry",
            side="BUY",
            type="LIMIT",
            qty=3.0,
            price=97.5,
            trigger=0.0,
            reduce_only=False,
            price_decimals=2,
            qty_decimals=1,
            client_id="k3x9a1b-9-en-1",
            ts=NOW - 20_000,
        ),
    )


def _trades() -> tuple[TradeRow, ...]:
    rows = []
    for i in range(24):
        symbol, _, last, decimals, *_ = _MEMBERS[i % len(_MEMBERS)]
        r = (1.5, -1.0, 0.05, 2.1, -0.4)[i % 5]
        rows.append(
            TradeRow(
                closed_ms=NOW - i * 700_000 - 90_000,
                opened_ms=NOW - i * 700_000 - 2_090_000,
                symbol=symbol,
                side=Side.LONG if i % 3 else Side.SHORT,
                strategy=("volume_breakout", "ma_crossover")[i % 2],
                qty=12.0 / last,
                entry=last,
                exit=last * (1 + r * 0.008),
                pnl=r * 9.7,
                r=r,
                fees=0.41,
                funding=-0.01,
                reason=("TP2, trailed", "stop", "break-even")[i % 3],
                price_decimals=decimals,
                qty_decimals=3,
            )
        )
    return tuple(rows)


def _log() -> tuple[LogRow, ...]:
    return (
        LogRow(ts=NOW - 60_000, severity=Severity.GOOD, text="BTCUSDT: stop proven at 42,850.0, 0.31 s after the fill"),
        LogRow(
            ts=NOW - 61_000, severity=Severity.INFO, text="BTCUSDT: entry filled 0.046 at 43,500.0, slippage 0.002 %"
        ),
        LogRow(ts=NOW - 62_000, severity=Severity.INFO, text="BTCUSDT: volume_breakout long, conviction 0.86, allowed"),
        LogRow(
            ts=NOW - 300_000, severity=Severity.WARNING, text="public stream reconnected after 1.2 s; books resynced"
        ),
        LogRow(
            ts=NOW - 900_000, severity=Severity.INFO, text="universe refreshed: 12 of 17 pass; TAOUSDT left (spread)"
        ),
        LogRow(ts=NOW - 3_600_000, severity=Severity.INFO, text="session started on simulated, demo, seed 7, 20×"),
    )


def _told(seconds_ago: float, severity: Severity, text: str) -> LogRow:
    return LogRow(ts=NOW - int(seconds_ago * 1000), severity=severity, text=f"BTCUSDT: {text}", symbol="BTCUSDT")


STORY = (
    _told(
        734.2, Severity.INFO, "long 0.046 decided by volume_breakout, conviction 0.86: the entry order is on its way"
    ),
    _told(734.0, Severity.GOOD, "entry filled: 0.046 at 43500.0"),
    _told(734.0, Severity.INFO, "levels set: stop 42850.0, TP1 44475.0, TP2 45125.0"),
    _told(733.7, Severity.GOOD, "the stop at 42850.0 is proven, 0.31 s after the fill"),
    _told(300.0, Severity.ALARM, "the stop was cancelled from outside; replacing it"),
    _told(299.4, Severity.GOOD, "the stop at 42850.0 is proven, 0.60 s after it was lost"),
)


def bare_snapshot() -> Snapshot:
    """A fill of a second ago: its stop is on the way, within what is promised."""
    full = snapshot()
    first = msgspec.structs.replace(full.positions[0], stop_proven=False, naked_s=1.2, longest_naked_s=1.2)
    header = msgspec.structs.replace(full.header, naked=1, naked_s=1.2, longest_naked_s=1.2)
    return msgspec.structs.replace(full, header=header, positions=(first, full.positions[1]), ladder=_unproven(full))


def _unproven(full: Snapshot) -> LadderView:
    rows = tuple(msgspec.structs.replace(r, state="sent") if r.leg == "SL" else r for r in full.ladder.rows)
    return msgspec.structs.replace(full.ladder, rows=rows)


def snapshot(step: int = 0) -> Snapshot:
    """The sample; ``step`` moves prices, sizes, ages and the clock as a live session would."""
    wave = math.sin(step / 7) if step else 0.0
    last = round(43_512.4 + 40 * wave, 1)
    now = NOW + step * 200
    equity = 10_034.21 + 3 * wave
    curve = tuple(
        EquityPoint(ts=NOW - (240 - i) * 6 * MINUTE, equity=9_990 + 30 * math.sin(i / 30) + i / 6) for i in range(241)
    )
    channels = tuple(
        ChannelView(channel=channel, up=True, age_ms=120.0, latency_ms=12.0 + round(3 * wave)) for channel in Channel
    )
    return Snapshot(
        ts=now,
        sequence=step,
        header=HeaderView(
            mode="demo",
            venue="simulated",
            detail="seed 7 · 20×",
            equity=equity,
            day_pnl=equity - 10_000,
            day_pnl_pct=(equity - 10_000) / 100,
            equity_spark=tuple(point.equity for point in curve[::10]),
            open_risk=0.012,
            margin_used=0.041,
            positions=2,
            max_positions=8,
            naked=0,
            protected_age_s=0.4 + (step % 10) / 10,
            channels=channels,
            armed=True,
            entries_paused=False,
            blocks=(),
            killed=False,
            kill_reason="",
            strategies_running=2,
            strategies_total=4,
            longest_naked_s=0.44,
        ),
        universe=_universe(now, round(wave / 10, 3)),
        chart=ChartView(
            symbol="BTCUSDT",
            timeframe="15m",
            candles=candles(last=last),
            lines=(
                ChartLine(kind="tp", label="TP2", price=45_125.0),
                ChartLine(kind="tp", label="TP1", price=44_475.0),
                ChartLine(kind="be", label="BE", price=44_150.0),
                ChartLine(kind="entry", label="entry", price=43_500.0),
                ChartLine(kind="stop", label="SL", price=42_850.0),
            ),
            last=last,
            atr=650.0,
            regimes=regimes(0),
            price_decimals=1,
        ),
        book=_book(last, wave),
        positions=_positions(last),
        ladder=_ladder(last),
        risk=RiskView(
            meters=(
                Meter(name="day loss", value=0.0, limit=500.0, unit="USDT", level=0.0),
                Meter(name="total loss", value=112.5, limit=2_000.0, unit="USDT", level=0.056),
                Meter(name="margin", value=4.1, limit=15.0, unit="%", level=0.273),
                Meter(name="positions", value=2, limit=8, unit="count", level=0.25),
                Meter(name="notional BTC", value=2_001.6, limit=50_000.0, unit="USDT", level=0.04),
                Meter(name="orders", value=9, limit=60, unit="/min", level=0.15),
            ),
            open_risk_usdt=120.4,
            var95=82.0,
            ess=1.1,
            systemic=0.34,
            correlation=0.41,
            heat=0.55,
        ),
        orders=_orders(),
        trades=_trades(),
        signals=signals(NOW, NAMES),
        strategies=strategies(NAMES),
        equity=curve,
        log=_log(),
        story=STORY,
        protection=ProtectionView(count=41, p50_s=0.21, p99_s=0.87, max_s=1.12),
        workers=(
            WorkerRow(name="feeds", state="running", detail="20 symbols, 412 messages/s"),
            WorkerRow(name="engine", state="running", detail="lag p99 3 ms"),
            WorkerRow(name="outbox", state="running", detail="0 waiting"),
            WorkerRow(name="reconcile", state="running", detail="last 4 s ago, equal"),
            WorkerRow(name="store", state="running", detail="0 waiting"),
        ),
    )


def empty_snapshot() -> Snapshot:
    """A session that has started and knows nothing yet."""
    full = snapshot()
    header = msgspec.structs.replace(
        full.header, positions=0, protected_age_s=0.0, equity_spark=(), open_risk=0.0, margin_used=0.0
    )
    return msgspec.structs.replace(
        full,
        header=header,
        universe=msgspec.structs.replace(full.universe, members=(), refused=(), total=0),
        chart=msgspec.structs.replace(full.chart, candles=(), lines=(), empty_reason="Loading candles of BTCUSDT."),
        book=msgspec.structs.replace(full.book, bids=(), asks=(), empty_reason="The book of BTCUSDT is being built."),
        positions=(),
        ladder=msgspec.structs.replace(full.ladder, side=None, rows=(), why=(), empty_reason=""),
        risk=RiskView(meters=(), open_risk_usdt=0.0, var95=None, ess=None, systemic=None, correlation=None, heat=None),
        orders=(),
        trades=(),
        signals=(),
        strategies=(),
        equity=(),
        log=(),
        workers=(),
    )


def alarm_snapshot(*, killed: bool = False, mode: str = "live") -> Snapshot:
    """Loud: a naked position, a channel down, limits used up; or the kill switch set."""
    full = snapshot()
    channels = (
        msgspec.structs.replace(full.header.channels[0], up=False, age_ms=8_400.0, reason="silent"),
        *full.header.channels[1:],
    )
    header = msgspec.structs.replace(
        full.header,
        mode=mode,
        venue="binance",
        detail="",
        naked=0 if killed else 1,
        naked_s=0.0 if killed else 4.2,
        longest_naked_s=4.2,
        channels=channels,
        blocks=("public stream silent 8.4 s", "daily loss 512.40 ≥ 500.00"),
        killed=killed,
        kill_reason="total loss 2,004.10 ≥ 2,000.00" if killed else "",
        day_pnl=-512.4,
        day_pnl_pct=-5.12,
    )
    first = msgspec.structs.replace(full.positions[0], stop_proven=False, naked_s=4.2, longest_naked_s=4.2)
    meters = (msgspec.structs.replace(full.risk.meters[0], value=512.4, level=1.02), *full.risk.meters[1:])
    alarm = "" if killed else "BTCUSDT has had no proven stop for 4.2 s: placing it again, flattening at 10 s"
    told = LogRow(ts=NOW, severity=Severity.ALARM, text=alarm, symbol="BTCUSDT")
    return msgspec.structs.replace(
        full,
        header=header,
        positions=() if killed else (first, full.positions[1]),
        ladder=full.ladder if killed else _unproven(full),
        protection=ProtectionView(count=42, p50_s=0.21, p99_s=4.2, max_s=4.2, violations=1),
        risk=msgspec.structs.replace(full.risk, meters=meters),
        log=full.log if killed else (told, *full.log),
        alarm=alarm,
    )


def preview(ticket: OpenPosition) -> TicketPreview:
    """Consequences of a ticket, as the engine would answer."""
    if ticket.symbol == "SOLUSDT":
        return TicketPreview(symbol=ticket.symbol, side=ticket.side, error="no ATR yet: 9 of 14 candles of 15m")
    hard = ("positions 8 of 8: close one first",) if ticket.symbol == "AVAXUSDT" else ()
    soft = ("funding in 31 min (< 40 min)",) if ticket.symbol == "ETHUSDT" else ()
    qty = ticket.qty or "0.046"
    return TicketPreview(
        symbol=ticket.symbol,
        side=ticket.side,
        qty=str(qty),
        notional=2_001.6,
        margin=133.4,
        leverage=15,
        venue_leverage=30,
        entry="43,514.1" if ticket.limit_price is None else str(ticket.limit_price),
        expected_slippage_pct=0.004,
        risk_usdt=29.9,
        risk_pct=0.3,
        legs=(
            PreviewLeg(leg=Leg.STOP, price="42864.1", qty="0.046", r=-1.0, pnl=-29.9),
            PreviewLeg(leg=Leg.TP1, price="44489.1", qty="0.023", r=1.5, pnl=22.4),
            PreviewLeg(leg=Leg.TP2, price="45139.1", qty="0.014", r=2.5, pnl=22.7),
        ),
        break_even="44164.1 → 43535.9",
        dust="0.009 rides the runner",
        fee_entry=1.0008,
        fee_exit=0.9902,
        funding_cost=-0.2,
        next_funding_ms=NOW + 8_040_000,
        liquidation="29104.5",
        limits=(
            PreviewLimit(name="margin", before=187.5, after=320.9, limit=1_505.1, unit="USDT", ok=True),
            PreviewLimit(name="positions", before=2, after=3, limit=8, unit="count", ok=not hard),
            PreviewLimit(name="notional", before=2_001.6, after=4_003.2, limit=50_000.0, unit="USDT", ok=True),
        ),
        hard=hard,
        soft=soft,
        sizing_note="margin_fraction, conviction 0.50",
        why=("ATR 650.0 (14 × 15m)", "risk calm ×1.00"),
    )


@dataclass
class FakeSession:
    """A ``SessionFace`` that shows what it is given and records what it is told."""

    shown: Snapshot | None = field(default_factory=snapshot)
    mode: str = "demo"
    venue: str = "simulated"
    settings: Settings = field(default_factory=Settings)
    moving: bool = False
    sent: list[UserCommand] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    step: int = 0

    def now_ms(self) -> int:
        return NOW

    def view(self, selected: str, timeframe: str) -> Snapshot | None:
        self.asked.append((selected, timeframe))
        del self.asked[:-50]
        if self.moving:
            self.step += 1
            self.shown = snapshot(self.step)
        if self.shown is None:
            return None
        chart = msgspec.structs.replace(self.shown.chart, timeframe=timeframe)
        return msgspec.structs.replace(self.shown, chart=chart)

    def send(self, command: UserCommand) -> None:
        self.sent.append(command)

    def preview(self, ticket: OpenPosition) -> TicketPreview:
        return preview(ticket)

    def reload_settings(self) -> str:
        return "Settings read again: nothing changed."

    def detach(self, reason: str) -> None:
        self.left.append(f"detach: {reason}")

    async def stop(self, reason: str) -> None:
        self.left.append(f"stop: {reason}")
