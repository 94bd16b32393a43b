"""The command line: worked examples, exit codes, sentences instead of tracebacks, a lean start."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.build import record
from tui_trader import cli, cli_data
from tui_trader.cli_context import number
from tui_trader.errors import UsageError
from tui_trader.store.journal import Store

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TP_DATA_DIR", str(tmp_path / "data"))


def call(capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = cli.main(words)
    out, err = capsys.readouterr()
    return code, out, err


def document(capsys: Capture, *words: str, code: int = 0) -> dict[str, object]:
    got, out, err = call(capsys, *words)
    assert (got, err) == (code, "")
    loaded = json.loads(out)
    assert isinstance(loaded, dict)
    return loaded


# --- the specification's examples ---


def test_spec_3_ladder_long(capsys: Capture) -> None:
    got = document(capsys, "tpsl", "BTCUSDT", "long", "--entry", "43500", "--atr", "650", "--tick", "1", "--json")
    levels = {key: float(str(got[key])) for key in ("sl", "tp1", "tp2", "be_trigger", "be_price", "trail_from")}
    assert levels == {
        "sl": 42_850,
        "tp1": 44_475,
        "tp2": 45_125,
        "be_trigger": 44_150,
        "be_price": 43_522,
        "trail_from": 45_125,
    }
    assert float(str(got["trail_distance"])) == 520


def test_spec_3_ladder_short(capsys: Capture) -> None:
    got = document(capsys, "tpsl", "BTCUSDT", "short", "--entry", "43500", "--atr", "650", "--tick", "1", "--json")
    assert (float(str(got["sl"])), float(str(got["tp1"]))) == (44_150, 42_525)


def test_tpsl_splits_a_quantity(capsys: Capture) -> None:
    words = [
        "tpsl",
        "BTCUSDT",
        "long",
        "--entry",
        "43500",
        "--atr",
        "650",
        "--tick",
        "1",
        "--qty",
        "0.1",
        "--step",
        "0.001",
        "--json",
    ]
    got = document(capsys, *words)
    targets = got["targets"]
    assert isinstance(targets, list)
    assert [row["qty"] for row in targets] == ["0.05", "0.03"]
    assert float(str(got["runner_qty"])) == 0.02


def test_spec_2_size(capsys: Capture) -> None:
    words = ["size", "BTCUSDT", "--equity", "10000", "--conviction", "0.85", "--entry", "43500", "--json"]
    got = document(capsys, *words)
    assert (got["leverage"], got["tier"], got["allowed"]) == (15, "MAIN", True)
    assert str(got["quantity"]).startswith("0.04655")
    assert float(str(got["notional"])) == pytest.approx(2_025, abs=0.01)
    assert float(str(got["margin"])) == pytest.approx(135, abs=0.01)


def test_spec_2_size_by_fixed_risk(capsys: Capture) -> None:
    words = [
        "--config",
        "c.toml",
        "size",
        "BTCUSDT",
        "--equity",
        "100000",
        "--entry",
        "50000",
        "--stop",
        "48000",
        "--model",
        "fixed_risk",
        "--json",
    ]
    Path("c.toml").write_text("[sizing]\nmax_margin = 100_000\n", encoding="utf-8")
    assert float(str(document(capsys, *words)["quantity"])) == 1.0


def test_spec_2_equity_too_small_is_refused(capsys: Capture) -> None:
    code, out, _ = call(capsys, *["size", "BTCUSDT", "--equity", "200", "--conviction", "0.85", "--entry", "43500"])
    assert code == 1
    assert "equity 200 too small" in out


OFFLINE = ["--ask", "43500.1", "--volume", "1e9", "--depth", "5e6", "--equity", "10000", "--atr", "650"]


def test_validate_offline_allows_and_refuses(capsys: Capture) -> None:
    allowed = document(capsys, "validate", "BTCUSDT", "long", "--bid", "43500", *OFFLINE, "--json")
    assert (allowed["allowed"], allowed["reasons"]) == (True, [])
    refused = document(
        capsys,
        *("validate", "TAOUSDT", "long", "--bid", "43100", *OFFLINE),
        *("--funding", "0.002", "--next-funding-min", "31", "--json"),
        code=1,
    )
    reasons = refused["reasons"]
    assert isinstance(reasons, list)
    texts = " | ".join(str(reason["text"]) for reason in reasons)
    for part in ("EXCLUDED", "bps > 3.0 bps", "funding in 3", "funding rate"):
        assert part in texts


def test_validate_needs_all_or_nothing(capsys: Capture) -> None:
    code, _, err = call(capsys, "validate", "BTCUSDT", "long", "--bid", "1")
    assert code == 2
    assert "--ask, --volume, --depth, --equity, --atr must be given too" in err


# --- settings and store ---


def test_config_json_names_value_source_and_variable(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TP_MAX_POSITIONS", "3")
    got = document(capsys, "--preset", "conservative", "--speed", "5", "config", "--json")
    values = got["settings"]
    assert isinstance(values, dict)
    assert values["limits.max_positions"] == {
        "value": 3,
        "source": "environment TP_MAX_POSITIONS",
        "environment": "TP_MAX_POSITIONS",
    }
    assert values["universe.max_spread_bps"]["source"] == "preset conservative"
    assert values["demo.speed"] == {"value": 5.0, "source": "flag --speed", "environment": "TP_DEMO_SPEED"}
    assert got["preset"] == "conservative"


async def _stored(folder: Path) -> None:
    folder.mkdir(parents=True)
    store = await Store.open(folder / "store.sqlite3", lambda text: None)
    store.record(record("trades", plan_id=1, symbol="BTCUSDT", pnl="0.10"))
    await store.aclose()


async def test_export(capsys: Capture, tmp_path: Path) -> None:
    await _stored(tmp_path / "data" / "demo")
    code, out, err = call(capsys, "export", "trades", "--format", "csv")
    assert (code, err) == (0, "")
    assert [row["pnl"] for row in csv.DictReader(io.StringIO(out))] == ["0.10"]
    assert call(capsys, "export", "trades", "--format", "json", "--out", "t.json")[0] == 0
    assert json.loads(Path("t.json").read_text(encoding="utf-8"))[0]["symbol"] == "BTCUSDT"
    assert call(capsys, "export", "trades", "--out", "/absent/x")[0] == 2
    code, _, err = call(capsys, "export", "trads")
    assert code == 2
    assert "did you mean trades" in err


def test_a_file_that_is_no_recording_is_counted_and_refused(capsys: Capture) -> None:
    Path("junk.gz").write_bytes(bytes(range(256)) * 4)
    code, out, err = call(capsys, "replay-book", "junk.gz", "--json")
    assert code == 1
    assert json.loads(out)["checks"] == 0
    assert "could be compared" in err


# --- mistakes ---


@pytest.mark.parametrize(
    ("line", "code", "expected"),
    [
        ("foo", 2, "No such command"),
        ("tpsl", 2, "Missing argument 'SYMBOL'"),
        ("tpsl BTCUSDT up --entry 1 --atr 1", 2, "use long or short"),
        ("tpsl BTC/USDT long --entry 1 --atr 1", 2, "is no symbol"),
        ("tpsl BTCUSDT long --entry nan --atr 1", 2, '--entry "nan" cannot be used'),
        ("tpsl BTCUSDT long --entry inf --atr 1", 2, "plain digits"),
        ("tpsl BTCUSDT long --entry -5 --atr 1", 2, "a number over 0"),
        ("tpsl BTCUSDT long --entry 0 --atr 1", 2, "a number over 0"),
        ("tpsl BTCUSDT long --entry ٤٣ --atr 1", 2, "plain digits"),
        ("tpsl BTCUSDT long --entry 1e99 --atr 1", 2, "at most"),
        ("tpsl BTCUSDT long --entry 1_000 --atr 1", 2, "plain digits"),
        ("tpsl BTCUSDT long --entry 100 --atr 500", 2, ""),
        ("size BTCUSDT --equity 1e4 --entry 1 --conviction 2", 2, "at most 1"),
        ("size BTCUSDT --equity 1e4 --entry 1 --model brave", 2, "one of margin_fraction"),
        ("--mode paper config", 2, "use demo, testnet or live"),
        ("--preset brave config", 2, "one of standard"),
        ("--venue kraken config", 2, "flag --venue: venue.name"),
        ("--speed fast config", 2, "flag --speed: demo.speed"),
        ("--config absent.toml config", 2, "There is no config file"),
        ("export trades", 1, "There is no store"),
        ("replay-book absent.gz", 2, "There is no recording"),
        ("--mode live", 2, "not armed: this start adopts and protects what is open"),
        ("--mode live --arm run --headless", 1, "by a person at a terminal"),
        ("", 2, "needs a terminal"),
    ],
)
def test_mistakes_end_in_a_sentence(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, line: str, code: int, expected: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    got, out, err = call(capsys, *line.split())
    assert (got, out) == (code, "")
    assert expected in err
    assert err.strip()
    assert "Traceback" not in err


def test_an_unknown_variable_is_refused(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TP_MAX_POSITION", "3")
    code, _, err = call(capsys, "config")
    assert code == 2
    assert "did you mean TP_MAX_POSITIONS?" in err


def test_a_bug_ends_in_a_sentence_and_a_private_file(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> int:
        raise RuntimeError("boom")

    monkeypatch.setattr(cli_data, "show_settings", broken)
    code, _, err = call(capsys, "config")
    assert code == 1
    assert "met a bug (RuntimeError)" in err
    (file,) = (tmp_path / "data").glob("crash-*.txt")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "boom" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [["--data-dir=there", "config"], ["--data-dir", "there", "config"]])
def test_a_crash_file_stands_in_the_folder_that_was_named(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    def broken(*_: object) -> int:
        raise RuntimeError("boom")

    monkeypatch.setattr(cli_data, "show_settings", broken)
    code, _, err = call(capsys, *words)
    (file,) = Path("there").glob("crash-*.txt")
    assert (code, str(file) in err) == (1, True)


def test_a_trace_that_cannot_be_written_is_refused_before_the_drill(capsys: Capture, tmp_path: Path) -> None:
    code, _, err = call(capsys, "drill", "--seeds", "1", "--trace", str(tmp_path / "none" / "trace.txt"))
    assert (code, "cannot be written" in err) == (2, True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_words_end_without_a_traceback(capsys: Capture, words: list[str]) -> None:
    code, _, err = call(capsys, "tpsl", "BTCUSDT", *words)
    assert code in (0, 1, 2)
    assert "met a bug" not in err


@given(st.text(max_size=45))
def test_a_number_is_finite_and_in_bounds_or_refused(text: str) -> None:
    try:
        value = number("--x", text)
    except UsageError:
        return
    assert value.is_finite()
    assert 0 < value <= 10**15


def test_the_command_line_starts_lean() -> None:
    heavy = "{'ccxt', 'pandas', 'textual', 'numpy', 'aiohttp', 'pydantic', 'websockets', 'plotext', 'rich'}"
    code = f"import sys, tui_trader.cli; print(sorted({heavy} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
