"""``tui-trader backtest``: one command without a network; text, JSON, page and CSV; Ctrl-C leaves what was done."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tui_trader import cli, cli_backtest
from tui_trader.research.backtest import Backtest
from tui_trader.research.history import FIELDS, packaged

Capture = pytest.CaptureFixture[str]
RUN = ("backtest", "--strategy", "volume_breakout", "--symbol", "SOLUSDT", "--param", "max_range_atr=6")
SHORT = ("--from", "2025-05-24", "--to", "2025-05-26T12:00")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TP_DATA_DIR", str(tmp_path / "data"))


def call(capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = cli.main(words)
    out, err = capsys.readouterr()
    return code, out, err


def document(capsys: Capture, *words: str) -> dict[str, object]:
    code, out, err = call(capsys, *RUN, *words, "--json")
    assert (code, err) == (0, "")
    loaded = json.loads(out)
    assert isinstance(loaded, dict)
    return loaded


def figure(told: dict[str, object], name: str) -> float:
    metrics = told["metrics"]
    assert isinstance(metrics, dict)
    return float(metrics[name])


def test_a_newcomers_command_works_on_what_ships(capsys: Capture) -> None:
    code, out, err = call(capsys, *RUN, *SHORT)
    assert (code, err) == (0, "")
    assert out.startswith("volume_breakout on SOLUSDT 5m\n")
    assert "equity, USDT" in out
    assert "\x1b" not in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_json_and_the_kernel_say_the_same(capsys: Capture) -> None:
    engine, fast = document(capsys, *SHORT), document(capsys, *SHORT, "--fast")
    assert (engine["path"], fast["path"]) == ("engine", "kernel")
    assert figure(engine, "trades") == figure(fast, "trades") > 0
    for name in ("net", "fees", "funding", "total_return", "exposure"):
        assert figure(engine, name) == pytest.approx(figure(fast, name), abs=1e-9)
    assert engine["data_hash"] == fast["data_hash"]
    assert engine["partial"] is False


def test_times_bound_the_run(capsys: Capture) -> None:
    told = document(capsys, *SHORT)
    assert figure(told, "days") == 2.5
    assert figure(told, "start_ms") == 1_748_044_800_000


def test_costs_parameters_timeframe_and_wallet_are_taken(capsys: Capture) -> None:
    told = document(
        capsys, *SHORT, "--timeframe", "15m", "--wallet", "2500", "--spread-bps", "2", "--slippage-bps", "0",
        "--latency-ms", "20", "--param", "bars=30",
    )  # fmt: skip
    assert told["timeframe"] == "15m"
    parameters, assumptions = told["parameters"], told["assumptions"]
    assert isinstance(parameters, dict)
    assert isinstance(assumptions, list)
    assert (parameters["bars"], parameters["max_range_atr"]) == (30, 6)
    assert "half the spread (1 bps), slippage (0 bps)" in assumptions[1]
    assert "latency 20 ms" in assumptions[1]
    assert "the first 7.8 h of the candles only warm up" in assumptions[-1], "31 bars of 15 m"
    equity = told["equity"]
    assert isinstance(equity, list)
    assert equity[0] == 2_500.0


def test_without_costs_shows_what_they_take(capsys: Capture) -> None:
    told = document(capsys, *SHORT, "--no-costs")
    assert float(str(told["without_costs"])) > figure(told, "total_return")
    assert document(capsys, *SHORT)["without_costs"] is None


@pytest.mark.parametrize("path", [(), ("--fast",)], ids=["engine", "kernel"])
def test_without_costs_nothing_else_is_decided(capsys: Capture, path: tuple[str, ...]) -> None:
    told = document(capsys, *SHORT, "--no-costs", *path)
    run = told["without_costs_run"]
    assert isinstance(run, dict)
    assert run["same_entries"] is True
    assert run["trades"] == figure(told, "trades") > 0
    wide = document(capsys, *SHORT, "--no-costs", "--spread-bps", "40", *path)
    assert figure(wide, "trades") == 0, "the gate refuses the spread"
    assert wide["without_costs_run"] == {"total_return": 0.0, "trades": 0, "same_entries": True}


def test_a_page_and_the_trades_are_written(capsys: Capture, tmp_path: Path) -> None:
    page, trades = tmp_path / "a.html", tmp_path / "t.csv"
    code, _, err = call(capsys, *RUN, *SHORT, "--html", str(page), "--trades", str(trades))
    assert (code, err) == (0, f"written: {page}\nwritten: {trades}\n")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    rows = list(csv.DictReader(io.StringIO(trades.read_text(encoding="utf-8"))))
    assert len(rows) == figure(document(capsys, *SHORT), "trades")


def test_candles_from_a_file(capsys: Capture, tmp_path: Path) -> None:
    bars = packaged("SOLUSDT").bars.slice(0, 3_000)
    path = tmp_path / "mine.npz"
    np.savez(path, open_time_ms=bars.open_ms, **{name: getattr(bars, name) for name in FIELDS})
    told = document(capsys, "--candles", str(path))
    assert figure(told, "days") == pytest.approx(3_000 / 1440)
    assert str(path) in str(told["source"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--strategy", "nothing"), "nothing"),
        (("--param", "bars"), "write it as name=value"),
        (("--param", "bars=7.5"), "is not a whole number"),
        (("--param", "wings=2"), "there is no parameter 'wings'"),
        (("--param", "bars=nan"), "--param bars"),
        (("--timeframe", "7m"), "--timeframe '7m' is unknown"),
        (("--from", "yesterday"), "--from 'yesterday' is no time"),
        (("--from", "2025-05-26", "--to", "2025-05-25"), "must lie after"),
        (("--from", "2031-01-01"), "SOLUSDT"),
        (("--wallet", "-5"), "--wallet"),
        (("--candles", "no-such-file.npz"), "no-such-file.npz"),
        (("--fast", "--latency-ms", "5"), "knows no latency"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(capsys: Capture, words: tuple[str, ...], sentence: str) -> None:
    code, out, err = call(capsys, *RUN, *words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err


def test_a_file_that_cannot_be_written_is_named_after_the_result(capsys: Capture, tmp_path: Path) -> None:
    code, out, err = call(capsys, *RUN, *SHORT, "--html", str(tmp_path / "none" / "a.html"))
    assert code == 2
    assert out.startswith("volume_breakout on SOLUSDT")
    assert "cannot be written (No such file or directory); the result is printed all the same" in err
    code, out, _ = call(capsys, *RUN, *SHORT, "--html", str(tmp_path / "none" / "a.html"), "--json")
    told = json.loads(out)
    assert (code, told["exit_code"]) == (2, 2), "one document: the result, and what went wrong after it"
    assert "cannot be written" in told["error"]
    assert figure(told, "trades") == figure(document(capsys, *SHORT), "trades")


def test_ctrl_c_leaves_a_partial_result(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Backtest._bar

    def interrupted(self: Backtest, index: int) -> None:
        plain(self, index)
        if index > 3_000 and not told:
            told.append(index)
            os.kill(os.getpid(), signal.SIGINT)

    told: list[int] = []
    monkeypatch.setattr(Backtest, "_bar", interrupted)
    code, out, err = call(capsys, *RUN)
    assert (code, err) == (cli_backtest.INTERRUPTED, "")
    assert out.startswith("volume_breakout on SOLUSDT 5m · PARTIAL\n")
    assert "the run was cut short" in out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_ctrl_c_in_the_second_run_leaves_no_figure_of_half_a_run(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    plain = Backtest._bar

    def interrupted(self: Backtest, index: int) -> None:
        plain(self, index)
        if self._instrument.taker_fee == 0 and index > 3_000 and not told:
            told.append(index)
            os.kill(os.getpid(), signal.SIGINT)

    told: list[int] = []
    monkeypatch.setattr(Backtest, "_bar", interrupted)
    code, out, err = call(capsys, *RUN, "--no-costs", *form)
    assert told
    assert code == cli_backtest.INTERRUPTED
    assert "without costs was interrupted" in err
    assert "PARTIAL" not in out
    assert "nothing paid" not in out
    if form:
        assert json.loads(out)["without_costs_run"] is None


def test_a_bar_is_drawn_for_a_person_who_waits(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar = cli_backtest.Bar("backtest X")
    assert bar(1, 10)
    bar.clear()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(cli_backtest, "BAR_AFTER_S", -1.0)
    assert bar(5, 10)
    bar.clear()
    assert capsys.readouterr().err == "\rbacktest X [███████████████···············]  50% \r\x1b[K"


def test_the_version_names_the_commit_of_a_checkout() -> None:
    from tui_trader import __version__

    assert cli_backtest.code_version().startswith(__version__)


def test_help_needs_no_numpy() -> None:
    code = "import sys; from tui_trader import cli_backtest; sys.exit('numpy' in sys.modules or 'numba' in sys.modules)"
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60, cwd=root).returncode == 0
