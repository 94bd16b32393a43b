"""Who wants to enter and what became of it: one gate for strategies and hands, every refusal kept with its reasons."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.core.build import settings
from tests.core.test_executor import QTY, opened, prices
from tests.desk import Desk, candles
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.bars import Window
from tui_trader.core.parameters import Parameter, Values
from tui_trader.core.signals import Condition, MarketState, Scan, Signal
from tui_trader.core.state import Recovered
from tui_trader.core.types import Leg, Origin, Side

SYMBOL = "BTCUSDT"
MET = Condition(name="breakout", value=1.0, limit=0.5, text="1.0 > 0.5", met=True, score=1.0)


class Says:
    """A strategy that says the same at every bar."""

    name = "says"
    timeframe = "1m"
    parameters: tuple[Parameter, ...] = ()

    def __init__(self, side: Side | None = Side.LONG, conviction: float = 0.9, **hints: object) -> None:
        self.side, self.conviction, self.hints, self.asked = side, conviction, hints, 0

    def higher(self, timeframe: str) -> str | None:
        return None

    def history(self, values: Values) -> tuple[int, int]:
        return 1, 0

    def scan(self, window: Window, values: Values) -> Scan:
        raise NotImplementedError

    def on_bar(self, state: MarketState) -> Signal | None:
        self.asked += 1
        return Signal(
            strategy=self.name,
            symbol=state.symbol,
            side=self.side,
            conviction=self.conviction,
            conditions=(MET,),
            bar_close_ms=state.candles.last_closed_ms("1m"),
            **self.hints,
        )


def bar(desk: Desk, *, late_ms: int = 0) -> None:
    """Let time pass to the close of a minute and tell it, ``late_ms`` later."""
    desk.run(60_000 - desk.now % 60_000 + late_ms)
    open_ms = (desk.now - late_ms) // 60_000 * 60_000 - 60_000
    price = desk.market.mid
    candle = ev.Candle(open_ms, price, price, price, price, 1.0)
    desk.process(ev.KlineUpdate(ts=desk.now, symbol=SYMBOL, candle=candle, closed=True))
    desk.run(3_000)


def desk_with(strategy: Says, **changes: object) -> Desk:
    desk = Desk(strategies={strategy.name: strategy}, **changes).start()
    desk.records.clear()
    return desk


def actions(desk: Desk) -> list[tuple[str, tuple[str, ...]]]:
    return [(row.action, row.reasons) for row in desk.engine.state.signals]


@pytest.mark.parametrize("side", list(Side))
def test_a_signal_becomes_a_protected_position(side: Side) -> None:
    stop = Decimal(43_500) - side.sign * 400
    desk = desk_with(Says(side, stop=stop))
    bar(desk)
    plan = desk.engine.state.plans[SYMBOL]
    assert (plan.origin, plan.strategy, plan.side, plan.conviction) == (Origin.STRATEGY, "says", side, 0.9)
    assert plan.stop_price == stop
    assert len(prices(desk, "STOP_MARKET")) == 1
    # equity 10,000 · 0.01 · clamp(0.5 + 0.9, 0.5, 1.5) = 140 of margin, 15x, at 43,500
    assert abs(plan.entered * plan.avg_entry - 2_100) < 50
    assert actions(desk) == [("opened", ())]
    (stored,) = [r.data for r in desk.records if r.kind == "signals"]
    assert (stored["action"], stored["conditions"][0]["text"]) == ("opened", "1.0 > 0.5")


def test_a_signal_is_stored_with_its_arithmetic_and_comes_back_after_a_restart() -> None:
    desk = desk_with(Says(stop=Decimal(43_100)))
    bar(desk)
    desk.process(ev.PauseEntries(ts=desk.now, paused=True))
    bar(desk)
    rows = [r.data for r in desk.records if r.kind == "signals"]
    assert rows[0]["conditions"] == (
        {"name": "breakout", "value": 1.0, "limit": 0.5, "text": "1.0 > 0.5", "met": True, "score": 1.0, "weight": 1.0},
    )
    names = ("source", "regime", "timeframe", "threshold", "stop", "target")
    source = "default: nothing trained for sideways on 1m"
    assert [rows[0][name] for name in names] == [source, "sideways", "1m", 0.8, 43_100.0, 0.0]
    shown = tuple(desk.engine.state.signals)
    assert [row.action for row in shown] == ["refused", "opened"]
    columns = ("ts", "symbol", "side", "strategy", "conviction", "action", "reasons", "conditions")
    stored = [
        {
            **{k: msgspec.to_builtins(row[k]) for k in columns},
            "extra": {k: v for k, v in row.items() if k not in columns},
        }
        for row in msgspec.json.decode(msgspec.json.encode(rows))
    ]
    desk.restart(Recovered(signals=tuple(reversed(stored))))
    assert tuple(desk.engine.state.signals) == shown


def test_a_damaged_signal_is_left_out_and_old_conditions_without_values_too() -> None:
    good = {"ts": 1, "symbol": "X", "side": "long", "strategy": "s", "conviction": 0.5, "action": "hold", "reasons": []}
    rows = (
        {**good, "conditions": ["only words"], "extra": None},
        {**good, "ts": "when", "conditions": []},
        {**good, "conviction": float("inf"), "conditions": []},
        {"symbol": "X"},
        {**good, "conditions": [{"name": 7}]},
    )
    desk = Desk()
    desk.restart(Recovered(signals=rows))
    assert [(row.ts, row.conditions) for row in desk.engine.state.signals] == [(1, ())]


def test_hold_and_low_conviction_are_kept_and_open_nothing() -> None:
    quiet = desk_with(Says(None, note="waiting"))
    bar(quiet)
    assert actions(quiet) == [("hold", ("waiting",))]
    weak = desk_with(Says(conviction=0.59), settings=settings(strategies={"threshold": 0.6}))
    bar(weak)
    assert actions(weak) == [("refused", ("conviction 0.59 < 0.60",))]
    assert quiet.sent == weak.sent == []


def test_a_refusal_is_stored_with_every_reason() -> None:
    desk = desk_with(Says())
    desk.process(ev.ClockSkew(ts=desk.now, skew_ms=900.0))
    desk.process(ev.PauseEntries(ts=desk.now, paused=True, symbol=SYMBOL))
    bar(desk)
    assert desk.sent == []
    (row,) = [r.data for r in desk.records if r.kind == "rejections"]
    assert row["codes"] == ["skew", "paused"]
    assert [len(row["reasons"]), row["origin"], row["overridden"]] == [2, "strategy", False]
    assert actions(desk)[0][0] == "refused"


def test_a_second_signal_does_not_add_to_the_position() -> None:
    desk = desk_with(Says())
    bar(desk)
    bar(desk)
    assert len([c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.ENTRY]) == 1
    assert [a for a, _ in actions(desk)] == ["refused", "opened"]


def test_after_a_trade_the_strategy_cools_down_and_then_may_trade() -> None:
    desk = desk_with(Says(), settings=settings(strategies={"cooldown_min": 2}))
    bar(desk)
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal(1)))
    bar(desk)
    assert actions(desk)[0][0] == "refused"
    assert "cooling down" in actions(desk)[0][1][0]
    bar(desk)
    bar(desk)
    assert actions(desk)[0][0] == "opened"


def test_a_paused_strategy_is_not_even_asked() -> None:
    strategy = Says()
    desk = desk_with(strategy)
    desk.process(ev.PauseEntries(ts=desk.now, paused=True, strategy="says"))
    bar(desk)
    assert (strategy.asked, desk.sent) == (0, [])


def test_a_bar_heard_late_is_not_traded_on() -> None:
    strategy = Says()
    desk = desk_with(strategy)
    bar(desk, late_ms=31_000)
    assert (strategy.asked, desk.sent) == (0, [])


def test_a_bar_of_a_symbol_outside_the_universe_is_not_traded_on() -> None:
    strategy = Says()
    desk = desk_with(strategy)
    candle = ev.Candle(desk.now // 60_000 * 60_000 - 60_000, 1.0, 1.0, 1.0, 1.0, 1.0)
    desk.process(ev.KlineUpdate(ts=desk.now, symbol="NOPEUSDT", candle=candle, closed=True))
    assert strategy.asked == 0


def by_hand(desk: Desk, **fields: object) -> None:
    ticket = {"ts": desk.now, "symbol": SYMBOL, "side": Side.LONG, "qty": QTY} | fields
    desk.process(ev.OpenPosition(**ticket))
    desk.run(3_000)


def wide(**changes: object) -> Desk:
    """A desk whose symbol fails a soft reason: volume under the limit."""
    return Desk(settings=settings(universe={"min_volume_24h": 2e9}), **changes).start()


def test_an_impossible_ticket_is_in_the_audit_log_too() -> None:
    desk = Desk().start()
    by_hand(desk, qty=Decimal("-1"))
    (audit,) = [r for r in desk.records if r.kind == "audit"]
    assert audit.durable
    assert audit.data["detail"]["reasons"] == ["the quantity must be a positive number, got -1"]


def test_a_soft_reason_may_be_overridden_and_that_is_kept() -> None:
    desk = wide()
    desk.engine.state.leverage_set[SYMBOL] = 30
    by_hand(desk)
    assert desk.position == 0
    by_hand(desk, override_soft=True)
    assert desk.position == QTY
    rows = [r.data for r in desk.records if r.kind == "rejections"]
    assert [(r["codes"], r["overridden"]) for r in rows] == [(["volume"], False), (["volume"], True)]
    audits = [r.data["detail"] for r in desk.records if r.kind == "audit"]
    assert [(a["allowed"], a["overridden"]) for a in audits] == [(False, []), (True, ["volume"])]
    assert [audit["qty"] for audit in audits] == [str(QTY)] * 2
    assert all(any(text.startswith("volume ") for text in audit["reasons"]) for audit in audits)
    (entry,) = [c for c in desk.sent if isinstance(c, cmd.PlaceOrder) and c.leg is Leg.ENTRY]
    assert entry.approval.overridden == ("volume",)


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("killed", ev.KillSwitch(ts=0, reason="x")),
        ("paused", ev.PauseEntries(ts=0, paused=True)),
        ("halted", ev.WorkerFailed(ts=0, worker="feed", reason="x")),
        ("skew", ev.ClockSkew(ts=0, skew_ms=-501.0)),
        ("stopping", ev.ShutdownRequested(ts=0, reason="x")),
    ],
)
def test_a_hard_reason_is_never_overridden(code: str, event: ev.Event) -> None:
    desk = wide()
    desk.engine.state.leverage_set[SYMBOL] = 30
    desk.process(event)
    by_hand(desk, override_soft=True)
    assert (desk.position, desk.sent) == (0, [])
    assert code in next(r.data for r in desk.records if r.kind == "rejections")["codes"]


def test_min_notional_collar_and_size_are_hard() -> None:
    desk = Desk().start()
    by_hand(desk, qty=Decimal("0.0001"), override_soft=True)
    by_hand(desk, limit_price=Decimal(20_000), override_soft=True)
    by_hand(desk, qty=Decimal(100), override_soft=True)
    assert (desk.position, desk.sent) == (0, [])
    rows = [set(r.data["codes"]) for r in desk.records if r.kind == "rejections"]
    assert "collar" in rows[1]
    assert {"notional", "total_margin"} <= rows[2]


@pytest.mark.parametrize(
    "fields",
    [
        {"qty": Decimal("NaN")},
        {"qty": Decimal("Infinity")},
        {"qty": Decimal(0)},
        {"qty": Decimal(-1)},
        {"qty": None, "notional": Decimal("-Infinity")},
        {"qty": None, "risk_fraction": float("nan")},
        {"limit_price": Decimal(0)},
        {"limit_price": Decimal("NaN")},
        {"limit_price": Decimal(-43_500)},
    ],
)
def test_impossible_numbers_are_refused_in_words(fields: dict[str, object]) -> None:
    desk = Desk().start()
    by_hand(desk, **fields)
    assert (desk.position, desk.sent) == (0, [])
    assert "must be a positive number" in desk.log[-1]
    ticket = ev.OpenPosition(**({"ts": 0, "symbol": SYMBOL, "side": Side.LONG, "qty": QTY} | fields))
    assert "must be a positive number" in desk.engine.preview(ticket).error


def test_an_unknown_symbol_is_refused() -> None:
    desk = Desk().start()
    by_hand(desk, symbol="NOPEUSDT")
    assert desk.sent == []
    assert "refused" in desk.log[-1]


@pytest.mark.parametrize("side", list(Side))
def test_a_limit_price_goes_out_on_the_tick_that_pays_less(side: Side) -> None:
    desk = Desk().start()
    by_hand(desk, side=side, limit_price=Decimal(43_500) - side.sign * Decimal("100.07"))
    ((_, price),) = prices(desk, "LIMIT")
    assert price == ("43399.9" if side is Side.LONG else "43600.1")


def test_the_preview_is_what_happens() -> None:
    desk = Desk().start()
    ticket = ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY)
    seen = desk.engine.preview(ticket)
    desk.process(ticket)
    desk.run(3_000)
    plan = desk.engine.state.plans[SYMBOL]
    assert (Decimal(seen.qty), Decimal(seen.entry)) == (plan.entered, plan.avg_entry)
    legs = {leg.leg: (Decimal(leg.price), Decimal(leg.qty)) for leg in seen.legs}
    assert legs[Leg.STOP] == (plan.stop_price, QTY)
    assert {t.leg: (t.price, t.qty) for t in plan.targets} == {k: v for k, v in legs.items() if k.target}


def test_without_leverage_at_the_venue_no_entry() -> None:
    desk = opened()
    desk.process(ev.ClosePosition(ts=desk.now, symbol=SYMBOL, fraction=Decimal(1)))
    desk.run(3_000)
    desk.engine.state.leverage_set.clear()
    replies = desk.engine.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY))
    assert [c.leverage for c in replies if isinstance(c, cmd.SetLeverage)] == [30]
    assert not [c for c in replies if isinstance(c, cmd.PlaceOrder)]


def test_i11_while_minutes_are_missing_neither_a_strategy_nor_atr_is_trusted() -> None:
    strategy = Says()
    desk = desk_with(strategy, settings=settings(ladder={"atr_timeframe": "1m"}))
    desk.run(300_000)
    bar(desk)
    assert (strategy.asked, actions(desk)) == (0, [])
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=QTY, override_soft=True))
    assert SYMBOL not in desk.engine.state.plans
    assert desk.log[-1] == f"{SYMBOL}: entry refused: 5 of its minutes were not heard and are being loaded"
    history = candles(43_500.0, 650.0, count=1_500, end_ms=desk.now)
    desk.process(ev.CandleHistory(ts=desk.now, symbol=SYMBOL, candles=history))
    bar(desk)
    assert (strategy.asked, [action for action, _ in actions(desk)]) == (1, ["opened", "refused"])


class Moody(Says):
    """Takes one number."""

    parameters = (Parameter(name="mood", default=1, low=0, high=9, step=1, text="what it waits for"),)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parameters": {"says.mood": 99}}, "strategies.parameters.says: mood = 99 is not within 0 to 9"),
        ({"parameters": {"says.mode": 1}}, "strategies.parameters.says: there is no parameter 'mode'; known are mood"),
        ({"timeframes": {"says": "7m"}}, "strategies.timeframes.says = '7m'; use one of 1m, 5m, 15m"),
    ],
)
def test_settings_that_a_running_strategy_cannot_take_are_not_adopted(changes: dict[str, object], words: str) -> None:
    desk = desk_with(Moody(None), settings=settings(strategies={"enabled": ("says",)}))
    before = desk.engine.state.settings
    wanted = settings(strategies={"enabled": ("says",), "threshold": 0.7, **changes})
    desk.process(ev.SettingsChanged(ts=desk.now, settings_json=wanted.model_dump_json().encode()))
    assert f"settings not reloaded, the old ones stay: {words}" in desk.engine.state.log[-1].text
    bar(desk)
    assert desk.engine.state.settings == before
    assert actions(desk) == [("hold", ())], "it still judges every bar"
    good = settings(strategies={"enabled": ("says",), "threshold": 0.7, "parameters": {"says.mood": 9}})
    desk.process(ev.SettingsChanged(ts=desk.now, settings_json=good.model_dump_json().encode()))
    assert desk.engine.state.settings.strategies.threshold == 0.7
