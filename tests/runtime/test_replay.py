"""A recorded session gives the same decisions again; what differs, was cut off or damaged is named (I19, I20)."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.core.build import settings
from tests.runtime.test_session import enter, options, simulated, trading, until
from tui_trader import cli
from tui_trader.core.commands import Announce, Command, PlaceOrder
from tui_trader.core.engine import Engine
from tui_trader.core.events import ClosePosition, Event, FlattenAll, KillSwitch, Notice, Timer
from tui_trader.core.state import Recovered
from tui_trader.core.types import Severity
from tui_trader.errors import UsageError
from tui_trader.runtime.recorder import Recorder
from tui_trader.runtime.recording import Frame, Header, RecordingReader, Step, part_path
from tui_trader.runtime.replay import FrameCheck, Replay, ReplayReport, replay
from tui_trader.secret import Redactor

SECRET = "topsecretkey0123456789"


async def _session(folder: Path) -> Path:
    """Some seconds on the simulated exchange: a long entered by hand, protected, closed."""
    file = folder / "session.jsonl.gz"
    async with simulated() as exchange:
        async with trading(options(exchange, folder, record=file)) as session:
            await enter(session)
            session.send(ClosePosition(ts=session.now_ms(), symbol="BTCUSDT", fraction=Decimal(1)))

            def flat() -> bool:
                frame = session.view("BTCUSDT", "1m")
                return frame is not None and not frame.positions

            await until(flat)
            await asyncio.sleep(1.2)
        text = gzip.decompress(file.read_bytes()).decode()
        assert exchange.secret not in text
        assert exchange.api_key not in text
    return file


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(_session(tmp_path_factory.mktemp("recorded")))


def copy(file: Path, folder: Path, data: bytes | None = None) -> Path:
    to = folder / "copy.jsonl.gz"
    to.write_bytes(file.read_bytes() if data is None else data)
    return to


def lines_of(file: Path) -> list[bytes]:
    return gzip.decompress(file.read_bytes()).splitlines(keepends=True)


# --- the same decisions ---


def test_a_session_gives_the_same_decisions_again(recorded: Path) -> None:
    report = replay(recorded)
    assert report.difference is None
    assert report.frame_difference == ""
    assert (report.trouble, report.end) == ("", "end of the test")
    assert report.orders >= 5
    assert report.steps > 100
    assert report.frames > 100
    assert report.answers > 20
    assert report.events_checked > 100
    assert report.notes == ()


def test_the_recording_holds_entry_stop_and_close(recorded: Path) -> None:
    orders = [
        command
        for line in RecordingReader(recorded)
        if isinstance(line, Step)
        for command in msgspec.json.decode(line.commands, type=list[Command])
        if isinstance(command, PlaceOrder)
    ]
    assert {"ENTRY", "STOP", "CLOSE"} <= {order.leg.name for order in orders}


def test_replayed_twice_it_has_one_hash_whatever_the_process(recorded: Path) -> None:
    first = replay(recorded).trace_hash
    program = "import sys; from pathlib import Path; from tui_trader.runtime.replay import replay\n"
    program += "print(replay(Path(sys.argv[1])).trace_hash)"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        told = subprocess.run(
            [sys.executable, "-c", program, str(recorded)], env=environment, capture_output=True, check=True, timeout=60
        )
        assert told.stdout.decode().strip() == first
    assert replay(recorded).trace_hash == first


def test_looking_at_the_console_decides_nothing(recorded: Path) -> None:
    """I25: with and without the frames that were drawn, the decisions are the same."""
    assert Replay(recorded, looks=False).run().trace_hash == replay(recorded).trace_hash


def test_the_file_is_private_and_holds_no_secret(recorded: Path) -> None:
    assert stat.S_IMODE(recorded.stat().st_mode) == 0o600
    text = gzip.decompress(recorded.read_bytes()).decode()
    assert "signature=" not in text
    assert '"path":"listenKey"' not in text


def test_a_step_through_a_changed_engine_names_the_first_difference(recorded: Path) -> None:
    class Generous(Engine):
        """An engine whose stops are a tick off."""

        def process(self, event: Event) -> list[Command]:
            return [
                msgspec.structs.replace(c, trigger_price=c.trigger_price + 1)
                if isinstance(c, PlaceOrder) and c.trigger_price
                else c
                for c in super().process(event)
            ]

    report = Replay(recorded, make_engine=Generous).run()
    found = report.difference
    assert found is not None
    assert not report.same
    assert found.recorded[0].startswith("send STOP BTCUSDT SELL ")
    assert found.replayed[0].startswith("send STOP BTCUSDT SELL ")
    assert found.recorded[0] != found.replayed[0]
    assert report.steps == found.n


def test_a_frame_that_says_otherwise_is_named(recorded: Path, tmp_path: Path) -> None:
    changed = []
    for data in lines_of(recorded):
        line = json.loads(data)
        if line["k"] == "sum":
            continue
        if line["k"] == "frame" and line["route"] == "private" and "ORDER_TRADE_UPDATE" in line["text"]:
            line["text"] = line["text"].replace('"q":"0.010"', '"q":"0.020"')
        changed.append(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    report = replay(copy(recorded, tmp_path, gzip.compress(b"".join(changed))))
    assert report.difference is None
    assert not report.same
    assert "no frame and no answer says what the engine heard" in report.frame_difference


@pytest.mark.parametrize(
    ("path", "before", "after", "lacking"),
    [
        ("positionRisk", '"positionAmt":"0.01', '"positionAmt":"0.02', "its positions"),
        ("openAlgoOrders", '"quantity":"0.010"', '"quantity":"0.020"', "its conditional orders"),
        ("balance", '"balance":"9', '"balance":"8', "its wallet"),
        ("userTrades", '"qty":"0.010"', '"qty":"0.020"', "its fills, funding or transfers"),
        ("exchangeInfo", '"tickSize":"0.', '"tickSize":"0.7', "these rules of the contracts"),
        ("klines", "", "", "these candles"),
        ("algoOrder", '"algoId":', '"algoId":7', "this end of the place request"),
    ],
)
def test_an_answer_that_says_otherwise_is_named(
    recorded: Path, tmp_path: Path, path: str, before: str, after: str, lacking: str
) -> None:
    changed, touched = [], 0
    for data in lines_of(recorded):
        line = json.loads(data)
        if line["k"] == "sum":
            continue
        if line["k"] == "answer" and line["path"] == path:
            if path == "klines":
                line["answer"] = [[row[0], *row[2:]] for row in line["answer"]]
                touched += 1
            else:
                text = json.dumps(line["answer"], separators=(",", ":"))
                touched += before in text
                line["answer"] = json.loads(text.replace(before, after))
        changed.append(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    assert touched, f"no {path} answer holds {before}"
    report = replay(copy(recorded, tmp_path, gzip.compress(b"".join(changed))))
    assert report.difference is None
    assert f"no answer says {lacking}" in report.frame_difference


async def test_trades_a_reconnect_and_a_restart_are_replayed_without_a_difference(tmp_path: Path) -> None:
    """Two recordings of one account: the second begins with the position that the first one left protected."""
    files = [tmp_path / "first.jsonl.gz", tmp_path / "second.jsonl.gz"]
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path, record=files[0])) as session:
            await enter(session)
            await asyncio.gather(*(socket.close() for socket in tuple(exchange.server._sockets)))

            await until(lambda: session.view("BTCUSDT", "1m").header.blocks)  # type: ignore[union-attr]
            await until(lambda: not session.view("BTCUSDT", "1m").header.blocks)  # type: ignore[union-attr]
            session.send(ClosePosition(ts=session.now_ms(), symbol="BTCUSDT", fraction=Decimal(1)))
            await until(lambda: not session.view("BTCUSDT", "1m").positions)  # type: ignore[union-attr]
            await enter(session)
        async with trading(options(exchange, tmp_path, record=files[1])) as session:
            await until(lambda: session.view("BTCUSDT", "1m"))
            await until(lambda: session.view("BTCUSDT", "1m").positions)  # type: ignore[union-attr]
            session.send(FlattenAll(ts=session.now_ms()))
            await until(lambda: not session.view("BTCUSDT", "1m").positions)  # type: ignore[union-attr]
    for file in files:
        report = replay(file)
        assert (report.difference, report.frame_difference, report.trouble) == (None, "", "")
        assert report.answers > 20
        assert report.orders >= 1
    downs = [
        line for line in RecordingReader(files[0]) if isinstance(line, Step) and b'"LinkDown"' in bytes(line.event)
    ]
    assert len(downs) >= 3, "public, market and private stream were cut"


async def test_a_session_that_took_over_a_position_begins_with_what_the_store_knew(tmp_path: Path) -> None:
    file = tmp_path / "second.jsonl.gz"
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            await enter(session)
        async with trading(options(exchange, tmp_path, record=file)) as session:
            await until(lambda: session.view("BTCUSDT", "1m"))
            await until(lambda: session.view("BTCUSDT", "1m").positions)  # type: ignore[union-attr]
            session.send(FlattenAll(ts=session.now_ms()))
            await until(lambda: not session.view("BTCUSDT", "1m").positions)  # type: ignore[union-attr]
    recovered = msgspec.json.decode(RecordingReader(file).header().recovered, type=Recovered)
    assert len(recovered.plans) == 1
    report = replay(file)
    assert report.same
    assert report.orders >= 1


# --- cut off and damaged ---


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_recording_that_was_cut_off_is_replayed_as_far_as_it_goes(
    recorded: Path, tmp_path: Path, share: float
) -> None:
    data = recorded.read_bytes()
    report = replay(copy(recorded, tmp_path, data[: int(len(data) * share)]))
    assert "cut off" in report.trouble
    assert not report.damaged
    assert report.difference is None
    assert 0 < report.steps < replay(recorded).steps


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_damaged_bytes_are_told_and_nothing_after_them_is_trusted(recorded: Path, tmp_path: Path, share: float) -> None:
    data = bytearray(recorded.read_bytes())
    at = int(len(data) * share)
    data[at : at + 8] = bytes(byte ^ 0x5A for byte in data[at : at + 8])
    report = replay(copy(recorded, tmp_path, bytes(data)))
    assert report.damaged
    assert "damaged" in report.trouble
    assert report.difference is None
    assert report.steps < replay(recorded).steps


def test_a_line_changed_within_whole_gzip_is_found_by_its_sum(recorded: Path, tmp_path: Path) -> None:
    lines = lines_of(recorded)
    at = next(i for i, line in enumerate(lines) if b'"k":"step"' in line and b"MarkPrice" in line)
    lines[at] = lines[at].replace(b'"mark":', b'"mark":1')
    report = replay(copy(recorded, tmp_path, gzip.compress(b"".join(lines))))
    assert report.damaged
    assert "the sum over its lines is wrong" in report.trouble


@pytest.mark.parametrize(
    "data",
    [b"", b"no gzip at all", gzip.compress(b""), gzip.compress(b'{"k":"end"}\n')],
    ids=["empty", "no gzip", "nothing inside", "only an end"],
)
def test_what_is_no_recording_is_refused_in_words(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "odd.gz"
    file.write_bytes(data)
    with pytest.raises(UsageError, match="is no recording of a session"):
        replay(file)


def test_another_format_is_refused(recorded: Path, tmp_path: Path) -> None:
    first = lines_of(recorded)[0].replace(b'"version":1', b'"version":9')
    with pytest.raises(UsageError, match="format 9"):
        replay(copy(recorded, tmp_path, gzip.compress(first)))


# --- the recorder ---


def _recorder(folder: Path, **bounds: int) -> Recorder:
    recorder = Recorder(folder / "made.jsonl.gz", Redactor([SECRET]), backlog=bounds.pop("backlog", 1_000))
    recorder.open(**{"keep_free": 0, **bounds})
    return recorder


def _engine(recorder: Recorder) -> Engine:
    return recorder.engine(settings(), {}, mode="demo", venue="binance", epoch="recordr")


def _note(ts: int, text: str) -> Notice:
    return Notice(ts=ts, severity=Severity.WARNING, text=text)


async def _whole(recorder: Recorder, engine: Engine, events: list[Event]) -> ReplayReport:
    for event in events:
        engine.process(event)
    await recorder.aclose("done")
    return replay(recorder.path, strategies={})


async def test_frames_before_the_engine_stand_after_the_header(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path)
    recorder.frame("public", b"\xff\x00 not text", 1.5, 10)
    engine = _engine(recorder)
    report = await _whole(recorder, engine, [Timer(ts=5), KillSwitch(ts=6, reason="a test")])
    lines = list(RecordingReader(recorder.path))
    assert isinstance(lines[0], Header)
    assert isinstance(lines[1], Frame)
    assert lines[1].raw == b"\xff\x00 not text"
    assert (report.steps, report.difference, report.end) == (2, None, "done")


async def test_secrets_never_reach_the_file(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path)
    engine = _engine(recorder)
    recorder.frame("private", b'{"e":"listenKeyExpired","listenKey":"abcdefabcdef"}', 1.0, 1)
    recorder.answer("account", "GET", {"apiKey": SECRET}, {"apiKey": None, "secret": 17, "x": SECRET}, 1.0, 1)
    report = await _whole(recorder, engine, [_note(3, f"the key is {SECRET}, signature=deadbeef")])
    text = gzip.decompress(recorder.path.read_bytes()).decode()
    assert SECRET not in text
    assert "abcdefabcdef" not in text
    assert "deadbeef" not in text
    assert report.difference is None
    assert report.decisions == 1


async def test_parts_are_read_as_one(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path, part_bytes=1)
    engine = _engine(recorder)
    for ts in range(3):
        engine.process(_note(ts, f"note {ts}"))
        await asyncio.sleep(1.1)
    report = await _whole(recorder, engine, [_note(9, "last")])
    assert part_path(recorder.path, 2).exists()
    assert (report.steps, report.trouble) == (4, "")
    part_path(recorder.path, 2).unlink()
    assert "missing" in replay(recorder.path, strategies={}).trouble


async def test_what_a_killed_process_leaves_is_all_but_its_last_second(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path)
    engine = _engine(recorder)
    engine.process(_note(1, "before"))
    await asyncio.sleep(2.5)
    left = copy(recorder.path, tmp_path)
    await recorder.aclose()
    report = replay(left, strategies={})
    assert (report.steps, report.difference, report.damaged, report.end) == (1, None, False, "")
    assert "cut off, as after a crash" in report.trouble


async def test_a_full_recording_ends_in_words_and_can_be_replayed(tmp_path: Path) -> None:
    said: list[str] = []
    recorder = _recorder(tmp_path, max_bytes=1)
    recorder.on_lost = said.append
    engine = _engine(recorder)
    engine.process(_note(1, "first"))
    await until(lambda: said)
    engine.process(_note(2, "nobody records this"))
    await recorder.aclose()
    assert "it has reached" in said[0]
    assert "trading goes on" in said[0]
    report = replay(recorder.path, strategies={})
    assert (report.steps, report.difference) == (1, None)
    assert not report.damaged


async def test_a_disk_that_is_too_slow_loses_the_recording_not_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    recorder = _recorder(tmp_path, backlog=20)
    recorder.on_lost = said.append
    hold = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stuck(line: bytes) -> None:
        asyncio.run_coroutine_threadsafe(hold.wait(), loop).result()

    assert recorder._file is not None
    monkeypatch.setattr(recorder._file, "write", stuck)
    engine = _engine(recorder)
    for ts in range(100):
        commands = engine.process(_note(ts, f"note {ts}"))
        assert [type(command) for command in commands] == [Announce]
    await until(lambda: said)
    assert "the disk is too slow" in said[0]
    hold.set()
    await recorder.aclose()


async def test_a_disk_that_fails_ends_the_recording_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    recorder = _recorder(tmp_path)
    recorder.on_lost = said.append

    def full(line: bytes) -> None:
        raise OSError(28, "No space left on device")

    assert recorder._file is not None
    monkeypatch.setattr(recorder._file, "write", full)
    _engine(recorder)
    await until(lambda: said)
    assert "No space left on device" in said[0]
    await recorder.aclose()


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "made.jsonl.gz"
    file.write_text("mine")
    with pytest.raises(UsageError, match="never overwrites"):
        Recorder(file, Redactor()).open()
    assert file.read_text() == "mine"


async def test_a_defect_of_the_engine_is_recorded_and_happens_again(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path)
    engine = _engine(recorder)
    engine.state.log = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        engine.process(_note(7, "nowhere to write it"))
    await recorder.aclose("done")

    def broken(*arguments: object, **facts: object) -> Engine:
        made = Engine(*arguments, **facts)  # type: ignore[arg-type]
        made.state.log = None  # type: ignore[assignment]
        return made

    assert Replay(recorder.path, strategies={}, make_engine=broken).run().difference is None
    found = replay(recorder.path, strategies={}).difference
    assert found is not None
    assert found.recorded[-1] == "the engine raised AttributeError"


def test_what_no_frame_says_is_a_difference() -> None:
    check = FrameCheck()
    check.heard(_note(1, "not from a frame"), 1)
    assert check.difference == ""
    from tests.runtime.build import top

    check.parsed([top("BTCUSDT", 1.0), top("BTCUSDT", 2.0), top("BTCUSDT", 3.0)], 1)
    check.heard(top("BTCUSDT", 2.0), 2)
    assert (check.checked, check.difference) == (1, "")
    check.heard(top("BTCUSDT", 1.0), 3)
    assert check.difference.startswith("step 3: no frame says what the engine heard")


# --- the command line ---


def test_the_command_line(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(("replay", str(recorded))) == 0
    assert "every decision is the same" in capsys.readouterr().out
    assert cli.main(("replay", str(recorded), "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["same"] is True
    assert document["difference"] is None
    cut = copy(recorded, tmp_path, recorded.read_bytes()[:-400])
    assert cli.main(("replay", str(cut))) == 0
    assert "not read to the end" in capsys.readouterr().out
    assert cli.main(("replay", str(tmp_path / "nothing"))) == 2


def test_record_and_replay_by_the_command_line(tmp_path: Path) -> None:
    def call(*words: str) -> tuple[int, str, str]:
        environment = {
            **os.environ,
            "TP_DATA_DIR": str(tmp_path / "data"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        done = subprocess.run(
            [sys.executable, "-m", "tui_trader", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    code, _, told = call("--speed", "20", "record", "--minutes", "0.05")
    assert (code, "replay it: tui-trader replay" in told) == (0, True), told
    (file,) = (tmp_path / "data" / "demo" / "recordings").iterdir()
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    code, out, _ = call("replay", str(file), "--json")
    document = json.loads(out)
    assert (code, document["same"], document["mode"], document["end"]) == (0, True, "demo", "0.05 minutes are over")
    code, _, told = call("record", "--minutes", "0.05", "--out", str(file))
    assert (code, "never overwrites" in told) == (2, True)
