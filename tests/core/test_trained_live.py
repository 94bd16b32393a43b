"""A trained set in a trading engine: used in its regime, named by its trades, demoted when it breaks its promise."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from tests.core.build import settings
from tests.core.test_entries import MET, SYMBOL, Says, bar
from tests.desk import Desk
from tui_trader.core import events as ev
from tui_trader.core.parameters import Parameter
from tui_trader.core.regime import Regime
from tui_trader.core.signals import MarketState, Signal
from tui_trader.core.state import Recovered
from tui_trader.core.trained import TrainedSet
from tui_trader.core.types import Side

PROMISED = {
    "oos_mean_r": 0.4,
    "oos_mean_r_low": 0.2,
    "oos_loss_rate": 0.4,
    "oos_loss_rate_high": 0.5,
    "oos_spread_r": 1.0,
    "oos_trades": 60.0,
}


class Tuned(Says):
    """Says its side while its parameter is that of the trained set, and holds otherwise."""

    parameters = (Parameter(name="mood", default=1, low=0, high=9, step=1, text="what it waits for"),)

    def on_bar(self, state: MarketState) -> Signal | None:
        found = super().on_bar(state)
        if found is None or state.values["mood"] == 5.0:
            return found
        return Signal(
            strategy=self.name,
            symbol=state.symbol,
            side=None,
            conviction=0.0,
            conditions=(MET,),
            bar_close_ms=found.bar_close_ms,
            note="not tuned",
        )


def trained(regime: Regime = Regime.SIDEWAYS, **changes: object) -> TrainedSet:
    one = TrainedSet(
        symbol=SYMBOL,
        exchange="binance",
        strategy="says",
        regime=regime,
        timeframe="1m",
        values={"mood": 5.0},
        trained_ms=7,
        deployed=True,
        metrics=PROMISED,
    )
    return msgspec.structs.replace(one, **changes)


def load(desk: Desk, *sets: TrainedSet) -> None:
    desk.process(ev.TrainedLoaded(ts=desk.now, sets_json=msgspec.json.encode(sets)))


def tuned_desk(*sets: TrainedSet, **training: object) -> Desk:
    chosen = settings(
        strategies={"cooldown_min": 0.0, "enabled": ("says",)},
        training=training or {"false_alarm": 0.5},
        limits={"daily_loss_frac": 0.9, "total_loss_frac": 0.9},
    )
    desk = Desk(strategies={"says": Tuned(Side.LONG)}, settings=chosen).start()
    load(desk, *sets)
    desk.records.clear()
    return desk


def lose(desk: Desk) -> None:
    """Open at a bar's close and be stopped out at about −1 R."""
    price = desk.market.mid
    bar(desk)
    plan = desk.engine.state.plans[SYMBOL]
    desk.move(float(plan.stop_price) - 60)
    desk.run(3_000)
    assert SYMBOL not in desk.engine.state.plans
    desk.move(price)
    desk.run(1_000)


def test_the_deployed_set_of_the_regime_is_used_and_said() -> None:
    desk = tuned_desk(trained())
    bar(desk)
    plan = desk.engine.state.plans[SYMBOL]
    assert plan.trained == "binance:BTCUSDT:says:sideways:1m@7"
    row = desk.engine.state.signals[0]
    assert (row.action, row.source, row.regime) == ("opened", "trained for sideways on 1m", "sideways")
    (stored,) = [r.data for r in desk.records if r.kind == "signals"]
    assert stored["source"] == "trained for sideways on 1m"
    bodies = [r.data["body"] for r in desk.records if r.kind == "plans"]
    assert bodies[0]["trained"] == plan.trained, "known before the entry leaves"  # type: ignore[index]


@pytest.mark.parametrize(
    ("sets", "training", "source"),
    [
        ((), {}, "default: nothing trained for sideways on 1m"),
        ((trained(Regime.BULL),), {}, "default: nothing trained for sideways on 1m"),
        ((trained(exchange="bybit"),), {}, "default: nothing trained for sideways on 1m"),
        ((trained(deployed=False, reason="too few"),), {}, "default: the trained set was not deployed, too few"),
        ((trained(demoted="it lost"),), {}, "default: the trained set was demoted, it lost"),
        ((trained(),), {"use_trained": False}, "default: nothing trained for sideways on 1m"),
    ],
)
def test_otherwise_the_default_and_why(sets: tuple[TrainedSet, ...], training: dict[str, object], source: str) -> None:
    desk = tuned_desk(*sets, **training)
    bar(desk)
    row = desk.engine.state.signals[0]
    assert (row.action, row.reasons, row.source) == ("hold", ("not tuned",), source)
    assert SYMBOL not in desk.engine.state.plans


def test_a_set_that_loses_is_demoted_stored_audited_and_said() -> None:
    desk = tuned_desk(trained())
    count = 0
    while desk.engine.state.trained.all()[0].in_use:
        assert count < 12, "seven losses in a row were promised to happen once in a hundred lives"
        lose(desk)
        count += 1
    assert count > 2, "one loss proves nothing"
    trades = [r.data for r in desk.records if r.kind == "trades"]
    assert [t["trained"] for t in trades] == [trained().identity] * count
    assert all(-1.3 < float(str(t["r"])) < -0.9 for t in trades)
    (row,) = [r.data for r in desk.records if r.kind == "trained_assets"]
    demoted = msgspec.convert(row["body"], TrainedSet)
    assert demoted.demoted.startswith(f"{count} trades gave -1.")
    assert (demoted.key, row["deployed"]) == (trained().key, False)
    (audit,) = [r.data for r in desk.records if r.kind == "audit" and r.data["actor"] == "reliability"]
    assert audit["action"] == "DemoteTrainedSet"
    assert any("is demoted" in line.text for line in desk.engine.state.log)
    bar(desk)
    signal = desk.engine.state.signals[0]
    assert (signal.action, signal.source) == ("hold", f"default: the trained set was demoted, {demoted.demoted}")
    load(desk, trained())
    assert not desk.engine.state.trained.all()[0].in_use, "an older word of the store does not bring it back"
    load(desk, trained(trained_ms=8))
    bar(desk)
    assert desk.engine.state.plans[SYMBOL].trained.endswith("@8"), "a new training does"


def test_a_restart_remembers_sets_and_what_they_did() -> None:
    desk = tuned_desk(trained())
    lose(desk)
    lose(desk)
    before = desk.engine.state.trained.evidence(trained().identity)
    rows = [r.data for r in desk.records if r.kind == "trades"]
    results = tuple((str(t["trained"]), float(str(t["r"]))) for t in rows)
    desk.restart(Recovered(next_plan_id=9, trained=(trained(),), trained_results=results))
    assert before is not None
    assert desk.engine.state.trained.evidence(trained().identity) == before
    assert desk.engine.state.trained.all() == (trained(),)


def test_garbage_leaves_the_sets_as_they_were() -> None:
    desk = tuned_desk(trained())
    desk.process(ev.TrainedLoaded(ts=desk.now, sets_json=b'[{"symbol": 3}]'))
    assert desk.engine.state.trained.all() == (trained(),)
    assert "the old ones stay" in desk.engine.state.log[-1].text


def test_an_entry_by_hand_belongs_to_no_set() -> None:
    desk = tuned_desk(trained())
    desk.process(ev.OpenPosition(ts=desk.now, symbol=SYMBOL, side=Side.LONG, qty=Decimal("0.01")))
    desk.run(3_000)
    assert desk.engine.state.plans[SYMBOL].trained == ""
    assert desk.engine.state.signals[0].source == ""


@pytest.mark.parametrize(
    "command",
    [
        lambda now: ev.ClosePosition(ts=now, symbol=SYMBOL, fraction=Decimal(1)),
        lambda now: ev.MoveStop(ts=now, symbol=SYMBOL, price=Decimal(43_000)),
        lambda now: ev.FlattenAll(ts=now),
    ],
)
def test_what_a_person_has_a_hand_in_does_not_count(command: Callable[[int], ev.Event]) -> None:
    desk = tuned_desk(trained())
    bar(desk)
    assert desk.engine.state.plans[SYMBOL].trained
    desk.process(command(desk.now))
    desk.run(3_000)
    desk.move(42_000.0)
    desk.run(3_000)
    (trade,) = [r.data for r in desk.records if r.kind == "trades"]
    assert trade["trained"] == ""
    assert desk.engine.state.trained.evidence(trained().identity) is None


@pytest.mark.parametrize("qty", ["part", "all"])
def test_what_was_closed_at_the_venue_by_somebody_else_does_not_count(qty: str) -> None:
    desk = tuned_desk(trained())
    bar(desk)
    desk.run(1_000)
    plan = desk.engine.state.plans[SYMBOL]
    assert plan.trained
    amount = desk.position if qty == "all" else Decimal("0.001")
    order = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": str(amount), "reduceOnly": "true"}
    desk.request("POST", "/fapi/v1/order", order)
    desk.run(2_000)
    desk.move(float(plan.stop_price) - 60)
    desk.run(3_000)
    (trade,) = [r.data for r in desk.records if r.kind == "trades"]
    assert trade["trained"] == ""
    assert desk.engine.state.trained.evidence(trained().identity) is None


@pytest.mark.parametrize("client_id", ["autoclose-1", "adl_autoclose"])
def test_what_the_venue_itself_closed_counts(client_id: str) -> None:
    desk = tuned_desk(trained())
    bar(desk)
    desk.run(1_000)
    order = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": str(desk.position), "reduceOnly": "true"}
    desk.request("POST", "/fapi/v1/order", order | {"newClientOrderId": client_id})
    desk.run(4_000)
    (trade,) = [r.data for r in desk.records if r.kind == "trades"]
    assert trade["trained"] == trained().identity
    assert desk.engine.state.trained.evidence(trained().identity) is not None
