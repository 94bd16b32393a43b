"""The report: an honest sentence, what it rests on, text within 100 columns, JSON and CSV that say the same."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import numpy as np
import pytest

from tests.research.build import BTC, START, WARM, backtest, history
from tui_trader.research.backtest import BacktestResult
from tui_trader.research.history import FIELDS, History
from tui_trader.research.report import Report, WithoutCosts, figures, make_report, to_json, to_text, trades_csv, verdict
from tui_trader.venues.paper import Costs

WINS = [(100_000.0, 100_000.0, 100_000.0, 100_000.0), (100_000.0, 103_000.0, 100_000.0, 102_000.0)]
LOSES = [(100_000.0, 100_000.0, 100_000.0, 100_000.0), (100_000.0, 102_000.0, 98_900.0, 99_000.0)]


def report(found: History, result: BacktestResult | None = None, **changes: object) -> Report:
    given = {
        "strategy": "once",
        "timeframe": "1m",
        "history": found,
        "result": result or backtest(found),
        "wallet": 10_000.0,
        "costs": Costs(half_spread_bps=0.7, slippage_bps=0.3, latency_ms=50),
        "instrument": BTC,
        "parameters": {"at": 239.0, "side": 1.0},
        "warm_up_ms": 12_600_000,
        "code": "1.2.3 (abc)",
    }
    return make_report(**(given | changes))  # type: ignore[arg-type]


def test_one_sentence_says_what_came_of_it() -> None:
    assert report(history(WINS)).verdict == (
        "It earns 0.41% after costs, less than buy and hold (+1.90%); 1 trade is too few to tell skill from luck."
    )
    assert report(history(LOSES)).verdict == (
        "It loses 0.24% after costs, more than buy and hold (-1.10%); 1 trade is too few to tell skill from luck."
    )
    under_water = [WINS[0], (100_000.0, 100_000.0, 99_500.0, 99_500.0)]
    paid = history(under_water, funding=[(START + (WARM + 1) * 60_000, -0.002)])
    open_funded = report(paid)
    assert open_funded.metrics.net > 0 > open_funded.metrics.total_return
    assert open_funded.verdict.startswith("It loses 0.0"), "what is open counts as well"
    nothing = report(history(WINS), backtest(history(WINS), values={"at": 0.0}))
    assert nothing.verdict == "No trade was made: nothing can be said about this strategy here."


def test_many_trades_need_no_excuse_and_a_cut_run_says_so() -> None:
    found = report(history(WINS))
    many = msgspec.structs.replace(found.metrics, trades=30)
    result = backtest(history(WINS))
    assert "luck" not in verdict(many, result)
    assert verdict(many, msgspec.structs.replace(result, partial=True)).endswith("; the run was cut short.")


def test_it_says_what_it_rests_on() -> None:
    text = "\n".join(report(history(WINS)).assumptions)
    for words in (
        "0.7 bps",
        "0.3 bps",
        "0.050%",
        "0.020%",
        "50 ms",
        "5,000,000 USDT",
        "stop before a target",
        "first 3.5 h",
        "ticks of 0.10",
    ):
        assert words in text
    assert "not charged: no rates are recorded" in text
    funded = report(history(WINS, funding=[(START, 0.0001)]))
    assert "at its recorded rates" in "\n".join(funded.assumptions)
    assert "up to a minute later" in text
    assert "up to a minute later" not in "\n".join(report(history(WINS), costs=Costs()).assumptions)


def test_it_warns_of_gaps_ambiguity_open_trades_and_interruption() -> None:
    found = history(LOSES)
    gaps = tuple((START + i * 600_000, START + i * 600_000 + 120_000) for i in range(7))
    result = msgspec.structs.replace(backtest(found), partial=True, killed="the total loss limit is reached")
    warned = report(msgspec.structs.replace(found, gaps=gaps), result).warnings
    assert warned[0] == "no candles from 2025-05-17T00:00:00.000Z to 2025-05-17T00:02:00.000Z (2 min)"
    assert warned[5:] == (
        "2 more gaps in the candles",
        "1 trade ended in a minute that held both stop and target: counted as stopped",
        "trading ended early: the total loss limit is reached",
        "PARTIAL: the run was interrupted, the figures are of the part that was done",
    )
    assert report(history(WINS[:1])).warnings == ("the last trade is still open; its result is that so far booked",)


def test_it_warns_of_time_without_funding_rates() -> None:
    stamps = [(START + hour * 3_600_000, 0.0001) for hour in (8, 16)]
    day = history(WINS, warm=1_438, funding=stamps)
    assert not any("funding" in words for words in report(day).warnings)
    hole = history(WINS, warm=1_438, funding=stamps[:1])
    assert "no funding rates for 16 h of this time: none was charged then" in report(hole).warnings


def test_it_names_funding_that_fell_due_where_candles_are_missing() -> None:
    stamps = [(START + minute * 60_000, 0.0001) for minute in (10, 20, 30)]
    whole = history(WINS, funding=stamps)
    words = "funding fell due 2 x within gaps: what was open paid at the last price before"
    assert words not in report(whole).warnings
    columns = {name: np.delete(getattr(whole.bars, name), slice(15, 31)) for name in ("open_ms", *FIELDS)}
    gapped = msgspec.structs.replace(whole, bars=msgspec.structs.replace(whole.bars, **columns))
    assert words in report(gapped).warnings


def test_curves_are_thinned_and_end_with_the_last_bar() -> None:
    found = report(history(WINS, warm=2_000), backtest(history(WINS, warm=2_000), values={"at": 1_999.0}))
    assert len(found.times) == len(found.equity) == len(found.hold) == len(found.drawdown) == 400
    assert found.times[-1] == START + 2_002 * 60_000
    assert found.equity[-1] == pytest.approx(10_000 + found.metrics.net)
    assert found.hold[-1] == pytest.approx(10_200.0)
    assert found.drawdown[-1] == 0.0
    fell = report(history(LOSES))
    assert max(fell.drawdown) == pytest.approx(fell.metrics.drawdown.depth)  # type: ignore[union-attr]


def test_the_drawdown_curve_counts_from_the_wallet() -> None:
    found = history(LOSES)
    result = msgspec.structs.replace(backtest(found), equity=np.full(len(found.bars), 9_000.0))
    assert report(found, result).drawdown[0] == pytest.approx(0.1)


def test_text_is_plain_and_narrow() -> None:
    found = history(WINS, warm=2_000)
    free = WithoutCosts(total_return=0.05, trades=1, same_entries=True)
    text = to_text(report(found, backtest(found, values={"at": 1_999.0}), without_costs=free))
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 100
    for words in (
        "once on BTCUSDT 1m",
        "equity, USDT",
        "drawdown, %",
        found.digest[:16],
        "1.2.3 (abc)",
        "path: engine",
    ):
        assert words in text
    assert "nothing paid, same gate" in text
    assert "(the same entries)" in text
    coloured = to_text(report(found), colour=True)
    assert "\x1b" in coloured
    assert "\x1b[48;5;" not in coloured, "the plots lie on the terminal's own background"
    assert "equity, USDT" not in to_text(report(found), plots=False)


def test_a_partial_run_and_refusals_are_seen_at_once() -> None:
    found = history(WINS)
    result = msgspec.structs.replace(backtest(found), partial=True, refused={"volume": 3, "atr": 1})
    text = to_text(report(found, result), plots=False)
    assert text.splitlines()[0] == "once on BTCUSDT 1m · PARTIAL"
    assert "refused by the gate: volume 3, atr 1" in text


def test_figures_say_not_defined_instead_of_a_number() -> None:
    rows = dict(figures(report(history(WINS), backtest(history(WINS), values={"at": 0.0}))))
    undefined = (
        "win rate",
        "profit factor",
        "Sharpe (daily, annualised)",
        "VaR 95, one day",
        "annual return",
        "Calmar",
    )
    assert {rows[name] for name in undefined} == {"not defined"}
    assert rows["maximum drawdown"] == "none"
    fell = dict(figures(report(history(LOSES))))
    assert fell["maximum drawdown"] == "0.24% (2025-05-17 to 2025-05-17, not recovered)"
    assert fell["after costs"] == "−24.19 USDT"
    assert fell["fees"] == "−2.19 USDT"


def test_json_is_one_document_with_every_trade() -> None:
    found = report(history(WINS))
    told = json.loads(to_json(found))
    assert told["metrics"]["trades"] == len(told["trades"]) == 1
    assert told["data_hash"] == history(WINS).digest
    assert [leg["leg"] for leg in told["trades"][0]["exits"]] == ["TP1", "TP2", "STOP"]
    assert (told["partial"], told["path"], told["without_costs"]) == (False, "engine", None)


def test_csv_has_a_line_for_each_trade() -> None:
    found = history(WINS)
    trades = backtest(found).trades
    (row,) = csv.DictReader(io.StringIO(trades_csv(trades)))
    assert row["entry_time"] == "2025-05-17T04:00:00.000Z"
    assert row["exit_time"] == "2025-05-17T04:02:00.000Z"
    assert row["exits"] == "TP1:101500×0.011 TP2:102500×0.006 STOP:102200×0.005"
    assert float(row["pnl"]) == pytest.approx(trades[0].pnl, abs=1e-6)
    assert (row["side"], row["ambiguous"], row["open_at_end"]) == ("long", "0", "0")
    exact = msgspec.structs.replace(trades[0], entry=102_724.3, stop=0.00001234567)
    (row,) = csv.DictReader(io.StringIO(trades_csv([exact])))
    assert (row["entry"], float(row["stop"])) == ("102724.3", 0.00001234567), "every digit of a price"
    (still,) = csv.DictReader(io.StringIO(trades_csv(backtest(history(WINS[:1])).trades)))
    assert (still["exit_time"], still["open_at_end"]) == ("", "1")
    assert backtest(found).trades[0].entry_bar == WARM
