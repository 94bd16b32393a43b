"""train, optimize and strategies on the command line: documents, what is stored, going on, a real Dask cluster."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.core.build import candle_book, settings
from tests.desk import candles as flat
from tests.research.problems import recorded
from tui_trader import cli, clock
from tui_trader.cli_strategies import in_force, unused_by
from tui_trader.cli_train import _how
from tui_trader.config import default_settings, load
from tui_trader.core.regime import Regime
from tui_trader.core.trained import TrainedSet
from tui_trader.store.trained import load_sets, save_sets
from tui_trader.strategies import volume_breakout

Capture = pytest.CaptureFixture[str]
LACKING = 36
"""Combinations that four days are too short for; they come at once."""
SYMBOL = "SOLUSDT"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TP_TRAINING_MIN_TRADES", "5")
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parents[1]))


@pytest.fixture
def candles(tmp_path: Path) -> str:
    """Four days of real candles as a file."""
    found = recorded(4)
    path = tmp_path / "candles.npz"
    columns = {name: getattr(found.bars, name) for name in ("open", "high", "low", "close", "volume")}
    np.savez(
        path,
        open_time_ms=found.bars.open_ms,
        funding_time_ms=found.funding_ms,
        funding_rate=found.funding_rate,
        **columns,
    )
    return str(path)


def call(capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = cli.main(words)
    out, err = capsys.readouterr()
    return code, out, err


def combinations(document: dict[str, object]) -> list[dict[str, object]]:
    """What must not depend on where and when it was made."""
    found = document["combinations"]
    assert isinstance(found, list)
    return [{k: v for k, v in one.items() if k != "trained"} for one in found]


def test_train_prints_54_combinations_and_stores_them(capsys: Capture, candles: str, tmp_path: Path) -> None:
    words = ("train", "--symbol", SYMBOL, "--candles", candles, "--sets", "4", "--folds", "2", "--jobs", "1", "--json")
    code, out, err = call(capsys, *words)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert len(document["combinations"]) == 54
    assert (document["symbol"], document["exchange"], document["partial"]) == (SYMBOL, "binance", False)
    assert document["data_hash"]
    assert {c["status"] for c in document["combinations"]} >= {"kept", "too_little_history"}
    sets = load_sets(tmp_path / "data" / "demo" / "store.sqlite3")
    assert len(sets) == 54
    assert sum(one.in_use for one in sets) == document["deployed"]
    assert {one.search for one in sets} == {document["search"]}
    # The same once more: everything is known, nothing is searched again, nothing is stored twice.
    code, out, err = call(capsys, *words)
    assert (code, err) == (0, "")
    assert combinations(json.loads(out)) == combinations(document)
    with closing(sqlite3.connect(tmp_path / "data" / "demo" / "store.sqlite3")) as db:
        assert db.execute("SELECT count(*) FROM trained_assets").fetchone() == (54,)
    code, out, err = call(capsys, *words[:-1])
    assert (code, err) == (0, "")
    assert "of 54 deployed" in out
    assert max(len(line) for line in out.splitlines() if "store.sqlite3" not in line) <= 100


def test_ctrl_c_keeps_what_is_finished_and_the_next_run_goes_on(
    capsys: Capture, candles: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tui_trader.store.trained as stored

    save, saved = stored.save_sets, []

    def interrupted(path: Path, sets: list[object]) -> None:
        save(path, sets)  # type: ignore[arg-type]
        saved.append(len(sets))
        if len(saved) == 14:  # twelve lack history and come at once
            signal.raise_signal(signal.SIGINT)

    words = ("train", "--symbol", SYMBOL, "--candles", candles, "--sets", "4", "--folds", "2", "--jobs", "1", "--json")
    with monkeypatch.context() as patch:
        patch.setattr(stored, "save_sets", interrupted)
        code, out, _ = call(capsys, *words)
    partial = json.loads(out)
    assert (code, partial["partial"], len(partial["combinations"])) == (130, True, 42)
    assert len(load_sets(tmp_path / "data" / "demo" / "store.sqlite3")) == 42
    code, out, _ = call(capsys, *words)
    whole = json.loads(out)
    assert (code, whole["partial"], len(whole["combinations"])) == (0, False, 54)
    before = [c for c in whole["combinations"] if c in partial["combinations"]]
    assert len(before) == 42, "what was finished was not searched again"


def test_optimize_and_going_on(capsys: Capture, candles: str) -> None:
    words = ("optimize", "--strategy", "volume_breakout", "--symbol", SYMBOL, "--candles", candles, "--timeframe", "1m")
    more = ("--folds", "2", "--jobs", "1", "--resume", "mine")
    code, out, err = call(capsys, *words, *more, "--trials", "8", "--json")
    assert (code, err) == (0, "")
    first = json.loads(out)
    assert (first["trials"], first["study"], first["engine"]["difference"]) == (8, "mine", "")
    assert Path(first["journal"]).is_file()
    code, out, err = call(capsys, *words, *more, "--trials", "16")
    assert (code, err) == (0, "")
    assert "16 trials" in out
    assert "the same trades" in out
    assert "probability of overfitting" in out
    assert max(map(len, out.splitlines())) <= 100
    code, _, err = call(capsys, *words, *more, "--seed", "8")
    assert (code, "made with other data" in err) == (2, True)
    code, _, err = call(capsys, *words, "--resume", "../x")
    assert (code, "is no name" in err) == (2, True)
    code, _, err = call(capsys, "optimize", "--strategy", "nonsense", "--candles", candles)
    assert (code, "there is no strategy 'nonsense'" in err) == (2, True)


def test_a_study_of_an_edited_strategy_is_not_gone_on_with(capsys: Capture, candles: str, tmp_path: Path) -> None:
    shipped = Path(volume_breakout.__file__).read_text()
    own = tmp_path / "own"
    own.mkdir()
    file = own / "mine.py"
    file.write_text(shipped.replace('"volume_breakout"', '"mine"'))
    file.chmod(0o600)
    config = tmp_path / "own.toml"
    config.write_text(f'[strategies]\nfolder = "{own}"\n')
    words = ("--config", str(config), "optimize", "--strategy", "mine", "--symbol", SYMBOL, "--candles", candles)
    more = ("--timeframe", "1m", "--folds", "2", "--jobs", "1", "--resume", "mine")
    for trials in ("8", "9"):
        code, _, err = call(capsys, *words, *more, "--trials", trials)
        assert (code, err) == (0, "")
    file.write_text(file.read_text() + "\nANOTHER_RULE = 1\n")
    code, _, err = call(capsys, *words, *more, "--trials", "10")
    assert (code, "made with other data, settings, bounds or rules" in err) == (2, True)


def trained(regime: Regime, **changes: object) -> TrainedSet:
    """A stored set for BTC."""
    one = TrainedSet(
        symbol="BTCUSDT",
        exchange="binance",
        strategy="volume_breakout",
        regime=regime,
        timeframe="5m",
        values={"bars": 30.0, "max_range_atr": 4.0, "volume_mult": 2.2, "atr_period": 20.0},
        trained_ms=1_748_000_000_000,
        deployed=True,
        metrics={"oos_mean_r": 0.2},
        reason="out of sample +0.20 R a trade on 34 trades (+6.8 R), the default -0.10 R a trade on 40 trades (-4.0 R)",
    )
    return msgspec.structs.replace(one, **changes)


def test_too_short_a_history_takes_no_trained_set_away(capsys: Capture, tmp_path: Path) -> None:
    store = tmp_path / "data" / "demo" / "store.sqlite3"
    before = trained(Regime.BULL, symbol=SYMBOL)
    save_sets(store, [before])
    short = recorded().bars.slice(0, 60)
    path = tmp_path / "short.npz"
    np.savez(
        path,
        open_time_ms=short.open_ms,
        **{name: getattr(short, name) for name in ("open", "high", "low", "close", "volume")},
    )
    code, out, err = call(capsys, "train", "--symbol", SYMBOL, "--candles", str(path), "--sets", "2", "--jobs", "1")
    assert (code, err) == (0, "")
    assert "bull: not searched, what was in force stays" in " ".join(out.split())
    found = {one.key: one for one in load_sets(store)}
    assert len(found) == 54
    assert found[before.key] == before


def test_a_full_disk_ends_a_search_with_a_sentence(
    capsys: Capture, candles: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tui_trader.research.optimize.optimize", full)
    words = ("optimize", "--strategy", "volume_breakout", "--symbol", SYMBOL, "--candles", candles, "--resume", "mine")
    code, out, err = call(capsys, *words, "--jobs", "1")
    assert (code, out) == (1, "")
    assert "mine.journal cannot be written (No space left on device)" in err
    assert "--resume mine" in err


def test_a_file_that_cannot_be_loaded_hides_no_other_strategy(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    monkeypatch.setenv("TP_STRATEGIES_FOLDER", str(tmp_path))
    code, out, err = call(capsys, "strategies", "--json")
    assert (code, err) == (0, "")
    rows = {row["name"]: row for row in json.loads(out)["strategies"]}
    assert len(rows) == 5
    assert "No module named 'no_such_module'" in rows["broken"]["problem"]
    assert rows["ma_crossover"]["parameters"]
    code, out, err = call(capsys, "strategies")
    assert (code, "broken: does not run" in out, "no_such_module" in out) == (0, True, True)


def test_strategies_say_values_and_their_source(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TP_STRATEGIES_PARAMETERS", "ma_crossover.length=90")
    sets = [
        trained(Regime.BULL),
        trained(Regime.BEAR, demoted="40 trades gave -0.50 R each"),
        trained(Regime.SIDEWAYS, deployed=False, reason="3 trades out of sample, 20 are needed"),
        trained(Regime.SIDEWAYS, timeframe="15m", deployed=False, reason="1 trade"),
        trained(Regime.BULL, timeframe="1m"),
    ]
    save_sets(tmp_path / "data" / "demo" / "store.sqlite3", sets)
    code, out, err = call(capsys, "strategies", "--json")
    assert (code, err) == (0, "")
    rows = {row["name"]: row for row in json.loads(out)["strategies"]}
    assert list(rows) == ["ma_crossover", "htf_sweep", "volume_breakout", "divergence_capitulation"]
    length = next(p for p in rows["ma_crossover"]["parameters"] if p["name"] == "length")
    told = tuple(length[key] for key in ("value", "source", "default", "low", "high"))
    assert told == (90, "config", 60, 5, 400)
    assert rows["volume_breakout"]["parameters"][0]["source"] == "default"
    assert [len(row["trained"]) for row in rows.values()] == [0, 0, 5, 0]
    found = {(t["regime"], t["status"], t["reason"]) for t in rows["volume_breakout"]["trained"]}
    assert ("bear", "demoted", "40 trades gave -0.50 R each") in found
    code, out, err = call(capsys, "strategies")
    assert (code, err) == (0, "")
    assert "  deployed: BTCUSDT binance bull 5m, 2025-05-23" in out
    assert "  demoted: BTCUSDT binance bear 5m" in out
    assert "  default kept: BTCUSDT binance sideways 5m: 3 trades out of sample, 20 are needed" in out
    assert "1 more was trained on other timeframes and not deployed" in out
    assert "not used: volume_breakout runs on 5m; to run it on 1m: strategies.timeframes" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("one", "changes", "why"),
    [
        (trained(Regime.BULL), {}, ""),
        (trained(Regime.BULL, deployed=False), {}, ""),
        (trained(Regime.BULL, exchange="okx"), {}, "it is for okx, the console trades on binance"),
        (trained(Regime.BULL, strategy="htf_sweep"), {}, "htf_sweep does not run: add it to strategies.enabled"),
        (
            trained(Regime.BULL, timeframe="1m"),
            {},
            'volume_breakout runs on 5m; to run it on 1m: strategies.timeframes = {volume_breakout = "1m"}',
        ),
        (trained(Regime.BULL, timeframe="1m"), {"strategies": {"timeframes": {"volume_breakout": "1m"}}}, ""),
        (trained(Regime.BULL), {"training": {"use_trained": False}}, "training.use_trained is off"),
    ],
)
def test_a_set_that_is_not_used_says_what_to_set(
    one: TrainedSet, changes: dict[str, dict[str, object]], why: str
) -> None:
    assert unused_by(one, settings(**changes)) == why


def test_the_advice_of_train_makes_the_console_use_the_set(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way of a newcomer: the advised settings leave no deployed set unused."""
    chosen = settings()
    waiting = [(one, unused_by(one, chosen)) for one in (trained(Regime.BEAR, timeframe="1m"), SWEEP, OTHER)]
    _, *command = _how(waiting, chosen)
    *variables, program = " ".join(command).replace("\\", "").split()
    assert program == "tui-trader"
    for variable in variables:
        name, _, value = variable.partition("=")
        monkeypatch.setenv(name, value)
    advised = load(None, environ=os.environ).settings
    assert [unused_by(one, advised) for one, _ in waiting] == ["", "", "it is for okx, the console trades on binance"]
    assert advised.strategies.enabled == ("ma_crossover", "volume_breakout", "htf_sweep")


SWEEP = trained(Regime.BULL, strategy="htf_sweep", timeframe="15m")
OTHER = trained(Regime.BULL, exchange="okx")


def test_validate_says_where_the_parameters_come_from(capsys: Capture) -> None:
    asked = (
        "--bid",
        "43500",
        "--ask",
        "43505",
        "--volume",
        "1e9",
        "--depth",
        "5e6",
        "--equity",
        "10000",
        "--atr",
        "650",
    )
    code, out, err = call(capsys, "validate", "BTCUSDT", "long", *asked, "--json")
    assert (code, err) == (0, "")
    rows = {row["strategy"]: row for row in json.loads(out)["parameters"]}
    assert list(rows) == list(default_settings().strategies.enabled)
    first = rows["volume_breakout"]
    assert (first["timeframe"], first["regime"]) == ("5m", "unknown")
    assert first["source"] == "default: the regime is not known yet"
    assert first["values"]["bars"] == 20


@pytest.mark.parametrize(
    ("sets", "changes", "source", "bars"),
    [
        ([trained(Regime.SIDEWAYS)], {}, "trained for sideways on 5m", 30),
        ([trained(Regime.BULL)], {}, "default: nothing trained for sideways on 5m", 20),
        ([trained(Regime.SIDEWAYS, demoted="it lost")], {}, "default: the trained set was demoted, it lost", 20),
        ([trained(Regime.SIDEWAYS)], {"use_trained": False}, "default: nothing trained for sideways on 5m", 20),
    ],
)
def test_the_parameters_in_force_are_those_of_the_regime_at_hand(
    sets: list[TrainedSet], changes: dict[str, object], source: str, bars: int
) -> None:
    chosen = settings(training=changes, strategies={"enabled": ("volume_breakout",)})
    book = candle_book(flat(43_500.0, 650.0))
    (row,) = in_force(chosen, sets, "BTCUSDT", book)
    assert (row["regime"], row["source"], row["values"]["bars"]) == ("sideways", source, bars)  # type: ignore[index]


# --- a real cluster ---


@contextlib.contextmanager
def process(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(
        [sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ.copy()
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def wait_for(path: Path, what: str, process: subprocess.Popen[bytes] | None = None, seconds: float = 60) -> None:
    until = clock.monotonic() + seconds
    while not path.exists():
        assert clock.monotonic() < until, f"{what} did not come"
        assert process is None or process.poll() is None, f"{what}: ended early"
        time.sleep(0.02)


def stored_rows(path: Path) -> int:
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=5)) as db, contextlib.suppress(sqlite3.Error):
        return int(db.execute("SELECT count(*) FROM trained_assets").fetchone()[0])
    return 0


@pytest.mark.timeout(240)
def test_a_dask_cluster_that_loses_a_worker_finds_the_same(capsys: Capture, candles: str, tmp_path: Path) -> None:
    """A scheduler and two workers as processes of their own; one is killed after the first search was stored."""
    words = ("train", "--symbol", SYMBOL, "--candles", candles, "--sets", "60", "--folds", "2", "--json")
    facts = tmp_path / "scheduler.json"
    quiet = ("--no-dashboard", "--host", "127.0.0.1", "--scheduler-file", str(facts))
    worker = (
        "distributed.cli.dask_worker", "--scheduler-file", str(facts), "--no-nanny", "--nthreads", "1",
        "--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(tmp_path),
    )  # fmt: skip
    store = tmp_path / "far" / "demo" / "store.sqlite3"
    with process("distributed.cli.dask_scheduler", *quiet, "--port", "0") as scheduler:
        wait_for(facts, "the scheduler", scheduler)
        address = json.loads(facts.read_text())["address"]
        with process(*worker, "--name", "one") as one, process(*worker, "--name", "two"):
            both_there(address)
            far = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tui_trader",
                    "--data-dir",
                    str(tmp_path / "far"),
                    *words,
                    "--scheduler",
                    address,
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            try:
                until = clock.monotonic() + 90
                while stored_rows(store) <= LACKING:
                    assert clock.monotonic() < until, "nothing was stored"
                    assert far.poll() is None, far.stderr.read().decode()  # type: ignore[union-attr]
                    time.sleep(0.02)
                one.kill()
                done = stored_rows(store)
                out, err = far.communicate(timeout=120)
            finally:
                far.kill()
                far.wait()
    assert far.returncode == 0, err.decode()
    assert LACKING < done < 54, "the worker was killed midway"
    code, near, _ = call(capsys, *words, "--jobs", "1")
    assert code == 0
    assert combinations(json.loads(out)) == combinations(json.loads(near))


def both_there(address: str) -> None:
    """Wait until both workers have said hello, asked from a process of its own."""
    ask = (
        "import sys; from distributed import Client; c = Client(sys.argv[1], timeout=30); "
        "c.wait_for_workers(2, timeout=60); c.close()"
    )
    subprocess.run([sys.executable, "-c", ask, address], check=True, capture_output=True, timeout=90)
