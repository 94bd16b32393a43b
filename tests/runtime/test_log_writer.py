"""A log on a disk that is slow, full or hangs: whoever says a line never waits, and what is missing is counted."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tui_trader.runtime import log as log_module
from tui_trader.runtime import log_writer
from tui_trader.runtime.log import PrivateFile, Redactor, SessionLog
from tui_trader.runtime.log_writer import LineWriter, LogWatch


class Disk:
    """A file that takes lines, hangs until it is let go, or refuses."""

    def __init__(self) -> None:
        self.lost = 0
        self.lines: list[str] = []
        self.full = False
        self.closed = False
        self.reached = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def msg(self, line: str) -> bool:
        self.reached.set()
        self.free.wait(20)
        if self.full:
            self.lost += 1
            return False
        self.lines.append(line)
        return True

    def close(self) -> None:
        self.closed = True

    def hang(self) -> None:
        self.reached.clear()
        self.free.clear()


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.free.set()


@pytest.fixture
def writer(disk: Disk) -> Iterator[LineWriter]:
    made = LineWriter(disk, lambda missing: f"{missing} missing")
    yield made
    disk.free.set()
    made.close()


def test_lines_keep_their_order_and_are_there_after_a_flush(disk: Disk, writer: LineWriter) -> None:
    said = [str(number) for number in range(2_000)]
    for line in said:
        writer.msg(line)
    assert writer.flush(10)
    assert disk.lines == said
    assert writer.lost == 0


def test_a_disk_that_hangs_holds_nobody_and_nothing_is_lost_that_fits(disk: Disk, writer: LineWriter) -> None:
    disk.hang()
    writer.msg("a")
    assert disk.reached.wait(10)
    for number in range(1_000):
        writer.msg(str(number))
    assert writer.stuck_s > 0
    assert not writer.flush(0.01)
    assert disk.lines == []
    disk.free.set()
    assert writer.flush(10)
    assert disk.lines == ["a", *map(str, range(1_000))]
    assert (writer.stuck_s, writer.lost) == (0, 0)


@pytest.mark.parametrize(("limit", "value"), [("WAITING_MAX", 3), ("WAITING_MAX_CHARS", 30)])
def test_what_does_not_fit_is_counted_and_stands_as_a_gap(
    disk: Disk, writer: LineWriter, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(log_writer, limit, value)
    disk.hang()
    writer.msg("first")
    assert disk.reached.wait(10)
    for number in range(10):
        writer.msg(f"waiting {number}.")
    assert writer.lost == 7
    disk.free.set()
    assert writer.flush(10)
    assert disk.lines == ["first", "7 missing", "waiting 0.", "waiting 1.", "waiting 2."]
    writer.msg("later")
    assert writer.flush(10)
    assert disk.lines[-1] == "later"


def test_lines_that_a_full_disk_refused_are_counted_once(disk: Disk, writer: LineWriter) -> None:
    disk.full = True
    for number in range(5):
        writer.msg(str(number))
    assert writer.flush(10)
    disk.full = False
    writer.msg("again")
    writer.msg("and again")
    assert writer.flush(10)
    assert disk.lines == ["again", "5 missing", "and again"]


def test_closing_writes_what_waits_and_never_waits_for_a_disk_that_hangs(
    disk: Disk, writer: LineWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "CLOSE_S", 0.05)
    disk.hang()
    writer.msg("a")
    assert disk.reached.wait(10)
    writer.close()
    writer.msg("after")
    assert not disk.closed


def test_a_line_after_the_end_is_written_by_who_says_it(disk: Disk, writer: LineWriter) -> None:
    writer.msg("a")
    writer.close()
    assert disk.closed
    writer.msg("b")
    assert disk.lines == ["a", "b"]


def test_other_work_has_its_turn_and_its_failure_ends_nothing(disk: Disk, writer: LineWriter) -> None:
    writer.msg("a")
    writer.aside(lambda: disk.lines.append("work"))
    writer.aside(lambda: [].pop())  # type: ignore[func-returns-value]
    writer.msg("b")
    assert writer.flush(10)
    assert disk.lines == ["a", "work", "b", "1 missing"]


async def test_the_loop_goes_on_while_the_disk_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real session log whose write system call does not come back."""
    free, reached = threading.Event(), threading.Event()
    honest = os.write

    def hanging(descriptor: int, data: bytes) -> int:
        if b"held" in data:
            reached.set()
            free.wait(20)
        return honest(descriptor, data)

    monkeypatch.setattr(log_module.os, "write", hanging)
    log = SessionLog(tmp_path / "s.log", Redactor(("SECRETSECRET",)))
    log.say("info", "held SECRETSECRET")
    await asyncio.to_thread(reached.wait, 10)
    for number in range(100):
        log.say("info", f"line {number}")
        await asyncio.sleep(0)
    assert (tmp_path / "s.log").read_text() == ""
    free.set()
    await asyncio.to_thread(log.flush)
    texts = [json.loads(line)["text"] for line in (tmp_path / "s.log").read_text().splitlines()]
    assert texts == ["held …", *(f"line {number}" for number in range(100))]
    log.close()


def test_a_disk_that_took_half_a_line_begins_the_next_on_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = os.write
    monkeypatch.setattr(log_module.os, "write", lambda fd, data: honest(fd, data[:4] if b"torn" in data else data))
    file = PrivateFile(tmp_path / "s.log")
    assert [file.msg(line) for line in ("one", "a torn line", "two")] == [True, False, True]
    file.close()
    assert (tmp_path / "s.log").read_text() == "one\na to\ntwo\n"
    assert file.lost == 1


LEAVE = {
    "end": "",
    "exception": "raise ValueError('nobody catches this')",
    "exit": "sys.exit(3)",
    "loop": "asyncio.run(asyncio.wait_for(asyncio.sleep(9), 0.01))",
}


@pytest.mark.parametrize("how", LEAVE)
def test_whatever_ends_the_process_the_last_lines_stand_in_the_file(tmp_path: Path, how: str) -> None:
    code = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from tui_trader.runtime.log import ProcessLog, Redactor, SessionLog\n"
        f"log = SessionLog(Path({str(tmp_path / 's.log')!r}), Redactor())\n"
        "ProcessLog(log, Redactor()).install()\n"
        "for number in range(3000): log.say('info', f'line {number}')\n"
        f"{LEAVE[how]}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=60)
    texts = [json.loads(line)["text"] for line in (tmp_path / "s.log").read_text().splitlines()]
    assert texts[:3000] == [f"line {number}" for number in range(3000)]
    assert len(texts) == 3000 + (how in {"exception", "loop"})


class Slow:
    """What ``LogWatch`` sees of a writer."""

    lost = 2
    stuck_s = 0.0


def test_the_console_is_told_of_a_disk_that_hangs_or_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(log_writer.clock, "monotonic", lambda: now[0])
    told: list[str] = []
    slow = Slow()
    watch = LogWatch(slow, told.append)  # type: ignore[arg-type]
    watch.look()
    assert told == []
    slow.stuck_s = 6.0
    for _ in range(5):
        watch.look()
    assert [("has not answered" in words) for words in told] == [True]
    slow.stuck_s = 0.0
    for _ in range(100):
        slow.lost += 1
        watch.look()
        now[0] += 1.0
    assert [words.split(",")[0].split("written: ")[1] for words in told[1:]] == ["lines lost: 1", "lines lost: 60"]
