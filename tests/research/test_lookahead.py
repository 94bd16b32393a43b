"""Strategies that cheat as people do are caught, with the first bar and both decisions; the shipped ones are clean."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.research.build import settings
from tui_trader import cli
from tui_trader.core.bars import Window
from tui_trader.core.parameters import Parameter, Values
from tui_trader.core.signals import MarketState, Signal
from tui_trader.core.types import DAY_MS
from tui_trader.research.book import HistoryBook
from tui_trader.research.history import FIELDS, instrument_of, packaged
from tui_trader.research.lookahead import LIVE, Checker, LookaheadReport
from tui_trader.strategies.base import BarStrategy, Setups, graded
from tui_trader.strategies.registry import SHIPPED
from tui_trader.strategies.volume_breakout import VolumeBreakout

Rule = Callable[[Window], np.ndarray[tuple[int], np.dtype[np.float64]]]
MINUTES = 4_000


class Ruled(BarStrategy):
    """Long where the rule's value is over zero, short where it is under; NaN is hold. Every fourth bar only."""

    name = "ruled"
    timeframe = "5m"
    parameters: tuple[Parameter, ...] = ()

    def __init__(self, rule: Rule, bars: int = 20, higher: str | None = None) -> None:
        self._rule = rule
        self._bars = bars
        self._above = higher

    def higher(self, timeframe: str) -> str | None:
        return self._above

    def history(self, values: Values) -> tuple[int, int]:
        return self._bars, 5 if self._above else 0

    def setups(self, window: Window, values: Values) -> Setups:
        bars = window.bars
        value = self._rule(window)
        due = bars.open_ms % 1_200_000 == 0
        side = np.where(due & np.isfinite(value), np.sign(value), 0).astype(np.int8)
        return Setups(
            direction=side,
            tests=(graded("always", np.ones(len(bars)), 0.5, 1.0, str),),
            stop=bars.close * (1 - 0.02 * side),
            target=np.full(len(bars), np.nan),
        )


def check(strategy: BarStrategy, cuts: int = 25) -> LookaheadReport:
    found = packaged("ETHUSDT")
    part = found.between(0, int(found.bars.open_ms[MINUTES]))
    timeframe = strategy.timeframe
    return Checker(
        strategy,
        part,
        settings(),
        instrument_of("ETHUSDT"),
        timeframe=timeframe,
        values={p.name: p.default for p in strategy.parameters},
        cuts=cuts,
    ).run()


def next_close(window: Window) -> np.ndarray:
    """shift(-1)."""
    return np.append(np.diff(window.bars.close), np.nan)


def centred(window: Window) -> np.ndarray:
    """The middle of a rolling window instead of its end."""
    close = window.bars.close
    result = np.full(len(close), np.nan)
    if len(close) >= 11:
        result[5:-5] = close[5:-5] - np.lib.stride_tricks.sliding_window_view(close, 11).mean(axis=1)
    return result


def normalised(window: Window) -> np.ndarray:
    """A z-score over the whole series."""
    close = window.bars.close
    return (close - close.mean()) / close.std()


def unclosed_hour(window: Window) -> np.ndarray:
    """The close of the hour in which the bar lies, which is known only at its end."""
    assert window.higher is not None
    at = np.searchsorted(window.higher.bars.open_ms, window.bars.open_ms, side="right") - 1
    return window.higher.bars.close[np.maximum(at, 0)] - window.bars.close


def day_low(window: Window) -> np.ndarray:
    """Distance to the low of the day, the whole day's: long at the bar that made it."""
    day = window.bars.open_ms // DAY_MS
    starts = np.flatnonzero(np.diff(day, prepend=day[0] - 1))
    lows = np.repeat(np.minimum.reduceat(window.bars.low, starts), np.diff(np.append(starts, len(day))))
    return np.where(window.bars.low <= lows * 1.001, 1.0, np.nan)


@pytest.mark.parametrize(
    ("rule", "higher"),
    [(next_close, None), (centred, None), (normalised, None), (unclosed_hour, "1h"), (day_low, None)],
)
def test_what_sees_the_future_is_caught(rule: Rule, higher: str | None) -> None:
    report = check(Ruled(rule, higher=higher))
    assert not report.clean
    assert report.lookahead
    first = report.first
    assert first is not None
    assert first.bar_ms <= first.cut_ms
    assert first.with_future != first.without
    checks = {found.check for found in report.findings if found.path == "scan"}
    assert "truncated" in checks
    assert checks & {"NaN", "huge", "shuffled", "mirrored"}


def test_the_first_bar_and_both_decisions_are_named() -> None:
    """Of every fourth bar the next close is known but at the cut; the first cut after one is the first to differ."""
    report = check(Ruled(next_close), cuts=1_000)
    first = report.first
    assert first is not None
    assert first.path == "scan"
    part = packaged("ETHUSDT").bars
    decided = [ms for ms in range(int(part.open_ms[0]), int(part.open_ms[200]), 60_000) if ms % 1_200_000 == 0]
    ready = [ms + 300_000 for ms in decided if ms + 300_000 - int(part.open_ms[0]) >= 20 * 300_000]
    assert first.bar_ms == ready[0]
    assert first.with_future.startswith(("long, conviction", "short, conviction"))
    assert first.without == "hold"


def test_a_backtest_through_the_engine_does_not_fall_for_it() -> None:
    """Its decisions come from ``on_bar``, to which the next bar is not there."""
    assert check(Ruled(next_close)).trades == 0


class Peeking(Ruled):
    """Honest as a scan; live it looks whether the book holds bars that are still to come."""

    def on_bar(self, state: MarketState) -> Signal | None:
        signal = super().on_bar(state)
        if signal is None or signal.side is None or not isinstance(state.candles, HistoryBook):
            return signal
        ahead = state.candles.frame(self.timeframe)
        at = int(np.searchsorted(ahead.close_ms, signal.bar_close_ms)) + 6
        rises = at < len(ahead) and ahead.close[at] > ahead.close[at - 6]
        return msgspec.structs.replace(signal, side=signal.side if rises else None)


def test_trades_that_change_with_the_future_are_found() -> None:
    report = check(Peeking(past_mean))
    assert report.trades
    assert {(found.path, found.check) for found in report.findings} <= {
        ("backtest", "truncated"),
        ("backtest", "mirrored"),
    }
    assert report.lookahead


def past_mean(window: Window) -> np.ndarray:
    """Honest: the mean of the last ten closes."""
    close = window.bars.close
    result = np.full(len(close), np.nan)
    if len(close) >= 10:
        result[9:] = close[9:] - np.lib.stride_tricks.sliding_window_view(close, 10).mean(axis=1)
    return result


def test_the_honest_twin_is_clean() -> None:
    report = check(Ruled(past_mean))
    assert report.findings == ()
    assert report.warm_up.stable
    assert report.warm_up.sides <= report.warm_up.declared == 20
    assert report.decisions > 100
    assert report.live_bars > 20
    assert report.trades


def test_gaps_in_the_history_are_not_blamed_on_the_strategy() -> None:
    """Holes as real files have them: over bars of 15 m and 1 h, and one that swallows the end of a bar alone."""
    found = packaged("BTCUSDT")
    bars = found.bars
    missing = np.r_[1_000:1_500, 2_013:2_015, 2_400:2_461]
    columns = {name: np.delete(getattr(bars, name)[:3_000], missing) for name in ("open_ms", *FIELDS)}
    gapped = msgspec.structs.replace(found, bars=msgspec.structs.replace(bars, **columns))
    strategy = VolumeBreakout()
    report = Checker(
        strategy,
        gapped,
        settings(),
        instrument_of("BTCUSDT"),
        timeframe=strategy.timeframe,
        values={p.name: p.default for p in strategy.parameters},
    ).run()
    assert report.findings == ()
    assert report.live_bars > 20


def since_the_beginning(window: Window) -> np.ndarray:
    """No lookahead, but it never forgets where its history began."""
    close = window.bars.close
    return close - np.cumsum(close) / np.arange(1, len(close) + 1)


def test_dependence_on_the_beginning_is_told_and_is_no_lookahead() -> None:
    report = check(Ruled(since_the_beginning))
    assert not report.warm_up.stable
    assert not report.lookahead
    assert {found.check for found in report.findings} == {LIVE}


def test_a_strategy_that_asks_for_too_little_is_told_how_much_it_needs() -> None:
    report = check(Ruled(past_mean, bars=4))
    assert report.warm_up.declared == 4
    assert report.warm_up.sides > 4
    assert not report.lookahead


@pytest.mark.parametrize("kind", SHIPPED)
def test_the_shipped_strategies_are_clean(kind: type[BarStrategy]) -> None:
    report = check(kind())
    assert report.findings == ()
    assert report.cuts >= 25
    assert report.poisoned == 48
    assert report.warm_up.stable


OWN = """
import numpy as np
from tui_trader.strategies.base import BarStrategy, Setups, graded

class Prophet(BarStrategy):
    name = "prophet"
    timeframe = "15m"
    def history(self, values):
        return 20, 0
    def setups(self, window, values):
        close = window.bars.close
        ahead = np.append(close[1:], np.nan)
        side = np.where(np.isfinite(ahead), np.sign(ahead - close), 0).astype(np.int8)
        ones = np.ones(len(close))
        return Setups(direction=side, tests=(graded("always", ones, 0.5, 1.0, str),), stop=close * (1 - 0.01 * side),
                      target=close * np.nan)
"""


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TP_DATA_DIR", str(tmp_path / "data"))
    own = tmp_path / "own"
    own.mkdir()
    (own / "prophet.py").write_text(OWN)
    (own / "prophet.py").chmod(0o600)
    config = tmp_path / "config.toml"
    config.write_text(f'[strategies]\nfolder = "{own}"\n')
    found = packaged("ETHUSDT").bars
    candles = tmp_path / "candles.npz"
    columns = {name: getattr(found, name)[:MINUTES] for name in ("open", "high", "low", "close", "volume")}
    np.savez(candles, open_time_ms=found.open_ms[:MINUTES], **columns)
    words = ("--config", str(config), "check-lookahead", "prophet", "--symbol", "ETHUSDT", "--candles", str(candles))
    assert cli.main((*words, "--cuts", "5")) == 1
    out, _ = capsys.readouterr()
    assert "LOOKAHEAD (scan, future truncated)" in out
    assert "  without it          hold" in out
    assert cli.main((*words, "--cuts", "5", "--json")) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["clean"] is False
    assert document["first"]["without"] == "hold"
    honest = ("check-lookahead", "volume_breakout", "--symbol", "ETHUSDT", "--candles", str(candles), "--cuts", "5")
    assert cli.main(honest) == 0
    assert "no lookahead found" in capsys.readouterr().out
    assert cli.main(("check-lookahead", "nobody")) == 2


@pytest.mark.parametrize("count", [1, 10])
def test_what_is_too_short_to_be_checked_is_not_called_clean(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = packaged("ETHUSDT").bars
    file = tmp_path / "short.npz"
    columns = {name: getattr(found, name)[:count] for name in ("open", "high", "low", "close", "volume")}
    np.savez(file, open_time_ms=found.open_ms[:count], **columns)
    words = ("--data-dir", str(tmp_path), "check-lookahead", "volume_breakout", "--symbol", "ETHUSDT")
    assert cli.main((*words, "--candles", str(file))) == 2
    assert "are too few to check volume_breakout" in capsys.readouterr().err
