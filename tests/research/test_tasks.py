"""Runs of a bench are the fast path's own; the same wherever they are done; windows and regimes hold."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from tests.research.problems import bench, problem, recorded
from tui_trader.core.parameters import defaults
from tui_trader.core.regime import Regime, regime_at
from tui_trader.core.trained import TrainedSet
from tui_trader.core.types import DAY_MS, HOUR_MS
from tui_trader.errors import TuiTraderError, UsageError
from tui_trader.research import kernel as k
from tui_trader.research import tasks
from tui_trader.research.backtest import Backtest
from tui_trader.research.book import HistoryBook
from tui_trader.research.history import make_history
from tui_trader.research.tasks import Bench, Pool, Problem, open_pool, work
from tui_trader.research.verify import engine_check, first_difference
from tui_trader.research.walkforward import Results, Span
from tui_trader.strategies.volume_breakout import VolumeBreakout

STRATEGY = VolumeBreakout()
VALUES = {**defaults(STRATEGY.parameters), "volume_mult": 1.4, "max_range_atr": 6.0}


def trades(found: Bench, span: Span, **more: object) -> Results:
    return found.trades(STRATEGY, "1m", VALUES, span, **more)  # type: ignore[arg-type]


def test_the_whole_span_gives_the_fast_path_s_trades() -> None:
    found = bench()
    ours = trades(found, problem().span)
    theirs = found.market.run(STRATEGY, "1m", VALUES, wallet=Decimal(10_000)).trades
    closed = theirs[theirs[:, k.T_OPEN] <= 0]
    assert len(ours) == len(closed) > 20
    assert ours.gain.tolist() == (closed[:, k.T_PNL] / 10_000).tolist()
    risk = np.abs(closed[:, k.T_ENTRY] - closed[:, k.T_STOP]) * closed[:, k.T_QTY]
    assert ours.r.tolist() == (closed[:, k.T_PNL] / risk).tolist()
    assert (ours.ended_ms > ours.decided_ms).all()


def test_decisions_lie_in_the_window_and_what_lies_behind_it_changes_nothing() -> None:
    found, span = bench(), problem().span
    window = Span(span.start_ms + DAY_MS, span.start_ms + 2 * DAY_MS)
    inside = trades(found, window)
    assert len(inside) > 3
    assert (inside.decided_ms > window.start_ms).all()
    assert (inside.decided_ms <= window.end_ms).all()
    kept = inside.ending_by(window.end_ms)
    whole = recorded()
    cut = msgspec.structs.replace(problem(), history=whole.between(span.start_ms, window.end_ms))
    alone = trades(Bench(cut), window)
    assert kept.r.tolist() == alone.r[: len(kept)].tolist()
    assert len(alone) == len(kept)


def test_a_regime_narrows_entries_to_its_bars_as_known_then() -> None:
    found, span = bench(), problem().span
    book = HistoryBook("SOLUSDT", recorded().bars)
    seen = 0
    for regime in Regime:
        got = found.trades(STRATEGY, "5m", VALUES, span, regime=regime)
        for decided in got.decided_ms.tolist():
            index = int(np.searchsorted(found.market.close_ms, decided))
            book.update(recorded().bars.candle(index), closed=True)
            assert regime_at(book, "5m") is regime
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("regime", list(Regime))
def test_the_engine_with_a_trained_set_enters_where_the_search_did(regime: Regime) -> None:
    """The set is deployed for one regime; the configured values, in force in the others, never enter."""
    asked = problem(2)
    run = Backtest(
        asked.history,
        STRATEGY,
        asked.settings,
        asked.instrument,
        wallet=asked.wallet,
        costs=asked.costs,
        values={**VALUES, "volume_mult": 8.0, "max_range_atr": 0.5},
        timeframe="1m",
        step_all=True,
    )
    one = TrainedSet(
        symbol="SOLUSDT",
        exchange="binance",
        strategy=STRATEGY.name,
        regime=regime,
        timeframe="1m",
        values=VALUES,
        trained_ms=1,
        deployed=True,
    )
    run._engine.state.trained.put(one)
    by_engine = [trade for trade in run.run().trades if not trade.open_at_end]
    searched = trades(bench(2), asked.span, regime=regime)
    assert len(searched) > 2
    assert [trade.decided_ms for trade in by_engine] == searched.decided_ms.tolist()
    assert [trade.r for trade in by_engine] == pytest.approx(searched.r.tolist(), abs=1e-9)


def test_regimes_do_not_look_ahead() -> None:
    span = problem().span
    cut = msgspec.structs.replace(problem(), history=recorded().between(span.start_ms, span.start_ms + 2 * DAY_MS))
    whole, part = bench(), Bench(cut)
    for regime in Regime:
        flags = part.in_regime("15m", regime)
        assert (whole.in_regime("15m", regime)[: len(flags)] == flags).all()


def with_ladder(one: Problem, **multiples: float) -> Problem:
    ladder = one.settings.ladder.model_copy(update=multiples)
    return msgspec.structs.replace(one, settings=one.settings.model_copy(update={"ladder": ladder}))


@pytest.mark.parametrize("ladder", [{}, {"atr_mult_sl": 2.0, "atr_mult_tp1": 2.0, "atr_mult_tp2": 5.0}])
@pytest.mark.parametrize("strategy", ["ma_crossover", "htf_sweep"])
def test_candidates_are_the_engine_s_too(strategy: str, ladder: dict[str, float]) -> None:
    changes = {"ma_crossover": {"length": 30.0, "band": 0.002}, "htf_sweep": {"body_atr": 0.3, "lookback": 12.0}}
    values = defaults(bench().strategy(strategy).parameters) | changes[strategy]
    checked = engine_check(with_ladder(problem(2), **ladder), strategy, "1m", values)
    assert checked.difference == ""
    assert checked.same
    assert checked.trades == checked.fast_trades > 0
    assert checked.net == pytest.approx(checked.fast_net, abs=1e-6)


def test_a_difference_is_named() -> None:
    market = bench(2).market
    one = market.trades_of(market.run(STRATEGY, "1m", VALUES, wallet=Decimal(10_000)), "x")
    assert first_difference(one, one) == ""
    other = (*one[:1], msgspec.structs.replace(one[1], pnl=one[1].pnl + 0.01), *one[2:])
    assert first_difference(one, other).startswith("trade 2: pnl is ")
    moved = (msgspec.structs.replace(one[0], exits=()), *one[1:])
    assert "leaves otherwise" in first_difference(one, moved)
    assert first_difference(one, one[:-1]) == f"{len(one)} trades by the engine, {len(one) - 1} by the fast path"


def test_the_digest_names_everything_that_can_change_a_result() -> None:
    one = problem()
    history = recorded()
    other = make_history(
        "SOLUSDT", history.bars.slice(1, len(history.bars)), history.funding_ms, history.funding_rate, ""
    )
    same = pickle.loads(pickle.dumps(one))
    assert same.digest == one.digest
    changed = [
        msgspec.structs.replace(one, history=other),
        msgspec.structs.replace(one, wallet=Decimal(9_999)),
        with_ladder(one, atr_mult_sl=1.1),
        msgspec.structs.replace(one, costs=msgspec.structs.replace(one.costs, slippage_bps=9.0)),
    ]
    assert len({one.digest, *(p.digest for p in changed)}) == 5


# --- pools ---


def total(found: Bench, hours: int) -> float:
    start = found.problem.span.start_ms
    return float(trades(found, Span(start, start + hours * HOUR_MS)).gain.sum())


def die(found: Bench, number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(found: Bench, number: int) -> int:
    if number == 1:
        raise ValueError("one went wrong")
    return number


def hears_ctrl_c(bench: Bench) -> bool:
    return signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_worker_is_deaf_to_ctrl_c_from_its_first_moment() -> None:
    with open_pool(problem(2), jobs=2) as pool:
        assert pool.all(hears_ctrl_c, [(), ()]) == [False, False]
    assert hears_ctrl_c(bench())


def test_here_and_in_two_processes_the_same() -> None:
    calls: list[tuple[object, ...]] = [(hours,) for hours in (12, 24, 36, 48, 60, 72)]
    with open_pool(problem(), jobs=1) as pool:
        here = pool.all(total, calls)
    with open_pool(problem(), jobs=2) as pool:
        assert pool.all(total, calls) == here
        assert dict(pool.each(total, calls, stop=lambda: True)).keys() <= set(range(6))
    assert len(set(here)) > 2


def test_stopping_leaves_the_rest_out() -> None:
    done: list[int] = []
    pool = Pool(None, problem())
    for number, _ in pool.each(total, [(12,), (24,), (36,)], stop=lambda: len(done) == 2):
        done.append(number)
    assert done == [0, 1]


def test_a_lost_process_is_said_and_a_failure_passed_on() -> None:
    with open_pool(problem(2), jobs=2) as pool, pytest.raises(TuiTraderError, match="ended from outside"):
        pool.all(die, [(1,)])
    for jobs in (1, 2):
        with open_pool(problem(2), jobs=jobs) as pool, pytest.raises(ValueError, match="one went wrong"):
            pool.all(fail, [(0,), (1,), (2,)])


def test_an_unreachable_cluster_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_trader.research.tasks.CONNECT_S", 0.5)
    with pytest.raises(UsageError, match="is no address"), open_pool(problem(2), scheduler="nonsense"):
        pass
    with pytest.raises(UsageError, match="cannot be reached"), open_pool(problem(2), scheduler="tcp://127.0.0.1:1"):
        pass


class Workers:
    """A cluster's client as far as it is asked for versions."""

    def __init__(self, **versions: str) -> None:
        self.versions = versions

    def run(self, function: Callable[[], str]) -> dict[str, str]:
        return {name: version or function() for name, version in self.versions.items()}


def test_workers_must_run_this_very_code() -> None:
    tasks._check_workers(Workers(one="", two=""), "tcp://x")
    with pytest.raises(UsageError, match=r"run tui-trader 0\.0 \(abc\); this is"):
        tasks._check_workers(Workers(one="", two="0.0 (abc)"), "tcp://x")
    with pytest.raises(UsageError, match="has no worker"):
        tasks._check_workers(Workers(), "tcp://x")


def test_a_worker_keeps_one_bench() -> None:
    first = work(problem(2), lambda found: id(found))
    assert work(problem(2), lambda found: id(found)) == first
