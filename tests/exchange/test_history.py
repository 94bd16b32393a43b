from importlib import resources

import numpy as np
import pytest

from tui_trader.exchange.history import (
    HISTORY_BEFORE_MIN,
    HOUR_MS,
    MIN_LOTS,
    FundingTape,
    build_tape,
    load_recording,
    start_index,
)
from tui_trader.exchange.specs import RECORDED, SOURCES, SPECS, TapeSource


def test_package_data_are_small_licensed_and_long_enough() -> None:
    folder = resources.files("tui_trader.exchange").joinpath("data")
    sizes = [len(entry.read_bytes()) for entry in folder.iterdir() if entry.name.endswith(".npz")]
    assert len(sizes) >= 8
    assert sum(sizes) <= 4_000_000
    assert "Permission is hereby granted" in folder.joinpath("NOTICE.md").read_text()
    assert len(load_recording("BTCUSDT").close) >= 5 * 1440


@pytest.mark.parametrize("symbol", SPECS)
def test_every_bar_is_sound_on_its_tape(symbol: str) -> None:
    tape = build_tape(SPECS[symbol], SOURCES[symbol])
    for index in range(-tape.minutes, 2 * tape.minutes, 37):
        bar = tape.at(index)
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.volume >= MIN_LOTS


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ENAUSDT", "INJUSDT"])
def test_tape_is_continuous_where_it_starts_again(symbol: str) -> None:
    tape = build_tape(SPECS[symbol], SOURCES[symbol])
    for end in (-tape.minutes, 0, tape.minutes, 2 * tape.minutes):
        assert tape.at(end).open == pytest.approx(tape.at(end - 1).close, abs=1)


def test_recorded_symbols_keep_recorded_prices() -> None:
    recording, tape = load_recording("SOLUSDT"), build_tape(SPECS["SOLUSDT"], SOURCES["SOLUSDT"])
    assert tape.at(100).high * 0.01 == pytest.approx(recording.high[100])
    assert tape.at(100).volume * 0.01 == pytest.approx(recording.volume[100])


def test_mirrored_tape_falls_where_the_recording_rises() -> None:
    parent = load_recording("AVAXUSDT")
    tape = build_tape(SPECS["INJUSDT"], SOURCES["INJUSDT"])
    up = int(np.argmax(parent.close[600:] / parent.open[600:])) + 600
    assert parent.close[up] > parent.open[up]
    assert tape.at(up).close < tape.at(up).open


def test_start_leaves_history_and_depends_on_the_seed_only() -> None:
    starts = [start_index(seed) for seed in range(12)]
    assert starts == [start_index(seed) for seed in range(12)]
    assert len(set(starts)) > 6
    assert min(starts) >= HISTORY_BEFORE_MIN >= 36 * 60
    assert max(starts) < len(load_recording("BTCUSDT").close) - 1440


def test_funding_falls_on_utc_multiples_and_uses_recorded_rates() -> None:
    zero = 1_790_000_040_000 // 60_000 * 60_000
    tape = FundingTape("ENAUSDT", TapeSource("ENAUSDT"), zero)
    recorded = set(load_recording("ENAUSDT").funding_rate)
    stamps = tape.settled_between(zero, zero + 48 * HOUR_MS)
    assert len(stamps) == 12
    assert all(stamp % (4 * HOUR_MS) == 0 for stamp in stamps)
    assert all(tape.settled_rate(stamp) in recorded for stamp in stamps)
    assert len({tape.settled_rate(stamp) for stamp in stamps}) > 3


def test_predicted_rate_meets_the_settled_one() -> None:
    tape = FundingTape("BTCUSDT", TapeSource("BTCUSDT"), 1_790_000_040_000)
    stamp = tape.next_ms(1_790_100_000_000)
    assert tape.next_ms(stamp) == stamp + 8 * HOUR_MS
    assert tape.predicted_rate(stamp) == tape.settled_rate(stamp)
    assert tape.predicted_rate(stamp - 1) == pytest.approx(tape.settled_rate(stamp), abs=1e-9)


def test_unknown_recording_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        load_recording("NOPEUSDT")


def test_all_recordings_cover_the_same_days() -> None:
    assert len({(load_recording(s).start_ms, len(load_recording(s).close)) for s in RECORDED}) == 1
