"""Files of candles: every format gives the same history; what is missing or wrong is named."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tui_trader.errors import UsageError
from tui_trader.research import files
from tui_trader.research.files import read_history, times_ms
from tui_trader.research.history import FIELDS, History, load_history, packaged

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

PART = packaged("BTCUSDT").between(1_747_440_000_000, 1_747_440_000_000 + 50 * 60_000)
HEADER = "open_time,open,high,low,close,volume"
ROW = "1747440000000,10,12,9,11,1"


def frame() -> pd.DataFrame:
    columns = {name: getattr(PART.bars, name) for name in FIELDS}
    return pd.DataFrame({"open_time": PART.bars.open_ms, **columns})


def to_npz(path: Path) -> None:
    arrays = {name: getattr(PART.bars, name) for name in FIELDS}
    np.savez(path, open_time_ms=PART.bars.open_ms, **arrays)


def to_gz(path: Path) -> None:
    path.write_bytes(gzip.compress(frame().to_csv(index=False).encode()))


def archived(path: Path) -> None:
    """As exchanges' archives have it: no header, close time and counts behind."""
    wide = frame().assign(close_time=PART.bars.open_ms + 59_999, quote=1.0, count=1, a=0, b=0, ignore=0)
    wide.to_csv(path, index=False, header=False)


def dated(path: Path) -> None:
    """freqtrade's columns."""
    frame().assign(date=pd.to_datetime(PART.bars.open_ms, unit="ms", utc=True)).drop(columns="open_time").to_feather(
        path
    )


def indexed(path: Path) -> None:
    data = frame().drop(columns="open_time").rename(columns=str.title)
    data.index = pd.to_datetime(PART.bars.open_ms, unit="ms")
    data.to_parquet(path)


def many_symbols(path: Path) -> None:
    other = frame().assign(symbol="ETH/USDT:USDT", close=-1.0)
    pd.concat([other, frame().assign(symbol="BTC/USDT:USDT")]).to_csv(path, index=False)


def paired(path: Path) -> None:
    pd.concat([frame().assign(pair="X"), frame().assign(pair="BTC-USDT")]).to_parquet(path)


def semicolons(path: Path) -> None:
    frame().to_csv(path, index=False, sep=";", encoding="utf-8-sig")


def iso(path: Path) -> None:
    data = frame()
    data["open_time"] = pd.to_datetime(data["open_time"], unit="ms").dt.strftime("%Y-%m-%d %H:%M:%S")
    data.rename(columns={"open_time": "Date", "volume": "Vol"}).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npz", to_npz),
        ("a.csv", lambda path: frame().to_csv(path, index=False)),
        ("a.csv.gz", to_gz),
        ("archive.csv", archived),
        ("iso.csv", iso),
        ("semi.csv", semicolons),
        ("many.csv", many_symbols),
        ("a.parquet", lambda path: frame().to_parquet(path)),
        ("index.parquet", indexed),
        ("many.parquet", paired),
        ("a.feather", lambda path: frame().to_feather(path)),
        ("dated.feather", dated),
    ],
)  # fmt: skip
def test_every_format_gives_the_same_history(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    found = read_history(tmp_path / name, "BTCUSDT")
    for field in ("open_ms", *FIELDS):
        np.testing.assert_array_equal(getattr(found.bars, field), getattr(PART.bars, field))
    assert found.gaps == ()
    assert found.source == str(tmp_path / name)


@given(st.integers(1_100_000_000_000, 3_000_000_000_000), st.sampled_from([1e-3, 1, 1_000, 1_000_000]))
def test_units_of_time_are_told_by_their_size(ms: int, factor: float) -> None:
    ms -= ms % 1_000
    exact = ms // 1_000 if factor < 1 else ms * int(factor)
    assert times_ms(Path("x"), np.array([exact], dtype=np.int64)).tolist() == [ms]
    assert times_ms(Path("x"), np.array([float(exact)])).tolist() == [ms]


def test_fractions_of_seconds_stay() -> None:
    assert times_ms(Path("x"), np.array([1_747_440_000.5])).tolist() == [1_747_440_000_500]


def test_funding_of_an_npz_is_taken(tmp_path: Path) -> None:
    arrays = {name: getattr(PART.bars, name) for name in FIELDS}
    path = tmp_path / "a.npz"
    stamps = PART.bars.open_ms[:1]
    np.savez(path, timestamp=PART.bars.open_ms, funding_time_ms=stamps, funding_rate=np.array([1e-4]), **arrays)
    found = load_history("BTCUSDT", file=path, start_ms=int(stamps[0]), end_ms=int(stamps[0]) + 120_000)
    assert (len(found.bars), found.funding_rate.tolist()) == (2, [1e-4])


def refused(tmp_path: Path, text: str, name: str = "x.csv") -> str:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_history(path, "BTCUSDT")
    assert name in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column 'open time'"),
        ("open_time,open,high,low,close\n1,1,1,1,1\n", "no column 'volume' (looked for volume, vol"),
        (f"{HEADER}\n", "holds no 1 m candles"),
        (f"{HEADER}\n{ROW}\n{ROW}\n", "line 3: the candle of BTCUSDT at 2025-05-17 00:00 UTC stands there twice"),
        (f"{HEADER}\n{ROW}\n\n1747439940000,1,1,1,1,1\n", "line 4: the candle of BTCUSDT at 2025-05-16 23:59 UTC"),
        (f"{HEADER}\n1747440000000,10,9,9,11,1\n", "line 2: the candle of BTCUSDT at 2025-05-17 00:00 UTC cannot be"),
        (f"{HEADER}\n{ROW},\nx,1,1,1,1,1\n", "line 3: 'x, 1, 1, 1, 1, 1' is no candle"),
        (f"{HEADER}\n2025-05-17,1,1,1,1,1\n1747440060000,1,1,1,1,1\n", "line 3: "),
        (f"{HEADER}\n1747440000000,1,1\n", "line 2: "),
        (f"{HEADER}\nnan,1,1,1,1,1\n", "row 1: nan is no time"),
        (f"{HEADER}\n1747440059999,1,1,1,1,1\n", "no whole minute"),
        (f"{HEADER}\n" + "".join(f"{1747440000 + i * 300},1,1,1,1,1\n" for i in range(4)), "lie 5 minutes apart"),
    ],
)  # fmt: skip
def test_a_csv_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, text)


@pytest.mark.parametrize("name", ["x.npz", "x.parquet", "x.feather", "x.csv.gz"])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, name: str) -> None:
    refused(tmp_path, "this is no such file, whatever its name says\n" * 3, name)


def to_packed_npz(path: Path) -> None:
    np.savez_compressed(path, time=PART.bars.open_ms, **{name: getattr(PART.bars, name) for name in FIELDS})


@pytest.mark.parametrize(("name", "write"), [("a.csv.gz", to_gz), ("a.npz", to_packed_npz)])
def test_a_file_damaged_at_any_place_is_refused_and_no_crash(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    write(path)
    whole, refused = path.read_bytes(), 0
    for at in range(0, 600, 20):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 0xFF,)) + whole[at + 1 :])
        try:
            read_history(path, "BTCUSDT")
        except UsageError as error:
            refused += name in str(error)
    assert refused > 20, "a few bytes of a name or a stamp tell nothing"


@pytest.mark.parametrize("name", ["a.parquet", "a.feather"])
def test_dates_that_can_be_read_in_two_ways_are_refused(tmp_path: Path, name: str) -> None:
    times = pd.to_datetime(PART.bars.open_ms - 12 * 86_400_000, unit="ms")
    for words, good in (("%Y-%m-%d %H:%M:%S", True), ("%Y-%m-%dT%H:%M:%SZ", True), ("%d/%m/%Y %H:%M", False)):
        data = frame().assign(open_time=times.strftime(words))
        data.to_parquet(tmp_path / name) if name.endswith("parquet") else data.to_feather(tmp_path / name)
        if good:
            assert read_history(tmp_path / name, "BTCUSDT").bars.open_ms[0] == PART.bars.open_ms[0] - 12 * 86_400_000
            continue
        with pytest.raises(UsageError, match="open times cannot be read"):
            read_history(tmp_path / name, "BTCUSDT")


def test_other_suffixes_and_missing_files_are_refused(tmp_path: Path) -> None:
    assert "use .npz, .csv" in refused(tmp_path, ROW, "x.txt")
    with pytest.raises(UsageError, match=r"cannot be read \(No such file"):
        read_history(tmp_path / "none.csv", "BTCUSDT")


def test_too_large_a_file_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_CANDLES", 40)
    for name, write in (
        ("a.npz", to_npz),
        ("a.csv", lambda path: frame().to_csv(path, index=False)),
        ("a.feather", lambda path: frame().to_feather(path)),
    ):
        write(tmp_path / name)
        with pytest.raises(UsageError, match="more than 40"):
            read_history(tmp_path / name, "BTCUSDT")


def test_arrays_of_several_lengths_and_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    good = {name: getattr(PART.bars, name) for name in FIELDS}
    np.savez(path, timestamp=PART.bars.open_ms[:3], **good)
    with pytest.raises(UsageError, match="of one length"):
        read_history(path, "BTCUSDT")
    np.savez(path, timestamp=np.array(["x"] * 50), **good)
    with pytest.raises(UsageError, match="not numbers or dates"):
        read_history(path, "BTCUSDT")
    np.savez(path, timestamp=PART.bars.open_ms, **{**good, "close": np.array(["x"] * 50)})
    with pytest.raises(UsageError, match="'close' holds what are no numbers"):
        read_history(path, "BTCUSDT")


LINES = frame().to_csv(index=False).splitlines(keepends=True)


@given(drop=st.sets(st.integers(1, 48), max_size=20))
@example(drop=set())
def test_what_a_file_lacks_is_a_gap_and_nothing_else_changes(drop: set[int]) -> None:
    with NamedTemporaryFile("w", suffix=".csv") as file:
        file.writelines(line for i, line in enumerate(LINES, -1) if i not in drop)
        file.flush()
        found: History = read_history(Path(file.name), "BTCUSDT")
    keep = [i for i in range(50) if i not in drop]
    np.testing.assert_array_equal(found.bars.close, PART.bars.close[keep])
    missing = sum((end - start) // 60_000 for start, end in found.gaps)
    assert missing == len(drop)
