"""Proof of the local book on recordings: rebuild it and compare best bid and ask with bookTicker after each diff.

A recording is text or gzip, a line being ``<local receive time, ns> <JSON>``: combined-stream frames and REST depth
snapshots of one symbol. A diff up to update ``u`` belongs to the newest bookTicker with an id of at most ``u``; it is
compared once a later ticker shows that none is still under way and the next diff shows that the chain holds.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tui_trader import clock
from tui_trader.core.book import LocalBook
from tui_trader.errors import UsageError
from tui_trader.venues.binance.answers import BookAnswer
from tui_trader.venues.binance.messages import BookTicker, DepthUpdate, Unparsed
from tui_trader.venues.binance.wire import MAX_FRAME, Decoder

_SNAPSHOT = msgspec.json.Decoder(BookAnswer, strict=False)
_RECENT = 2_000


class ReplayReport(msgspec.Struct, kw_only=True):
    """Counts of one replay. ``seeds`` says how often the book had to start from a bookTicker for want of a snapshot,
    ``unsynced`` how many diffs found no synced book; ``truncated`` that the file ended before its end."""

    diffs: int = 0
    checks: int = 0
    mismatches: int = 0
    gaps: int = 0
    garbage: int = 0
    truncated: bool = False
    snapshots: int = 0
    seeds: int = 0
    unsynced: int = 0
    tickers: int = 0
    messages: int = 0
    messages_per_s: float = 0.0
    first_mismatch: str = ""


class _Check(msgspec.Struct, gc=False):
    last_id: int
    top: tuple[float, float, float, float]
    confirmed: bool = False


class _Replay:
    def __init__(self) -> None:
        self.report = ReplayReport()
        self._decoder = Decoder()
        self._book = LocalBook()
        self._symbol = ""
        self._last_id = 0
        self._snapshotted = False
        self._recent: deque[DepthUpdate] = deque(maxlen=_RECENT)
        self._tickers: deque[BookTicker] = deque()
        self._pending: deque[_Check] = deque()

    def line(self, line: bytes) -> None:
        """Take one line; never raises."""
        report = self.report
        stamp, _, body = line.strip().partition(b" ")
        if not body or not stamp.isdigit():
            self._garbage()
            return
        report.messages += 1
        if body.startswith(b'{"lastUpdateId"'):
            self._snapshot_line(body)
            return
        message = self._decoder.decode(body)
        if isinstance(message, DepthUpdate):
            self._diff(message)
        elif isinstance(message, BookTicker):
            self._ticker(message)
        elif isinstance(message, Unparsed):
            report.messages -= 1
            self._garbage()

    def _garbage(self) -> None:
        self.report.garbage += 1
        self._forget_tickers()

    def _forget_tickers(self) -> None:
        """Something is missing here: the newest ticker before it proves nothing about a diff behind it."""
        self._tickers.clear()
        self._pending.clear()

    def _snapshot_line(self, body: bytes) -> None:
        try:
            answer = _SNAPSHOT.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self.report.messages -= 1
            self._garbage()
            return
        self.report.snapshots += 1
        book = LocalBook()
        for diff in self._recent:
            book.apply(diff.first_id, diff.last_id, diff.prev_id, diff.bids, diff.asks)
        limit = min(1000, max(len(answer.bids), len(answer.asks)))
        if book.snapshot(answer.last_update_id, answer.bids, answer.asks, limit):
            self._book = book
            self._snapshotted = True
            self._pending.clear()

    def _diff(self, diff: DepthUpdate) -> None:
        report = self.report
        if not self._symbol:
            self._symbol = diff.symbol
        if diff.symbol != self._symbol or diff.last_id <= self._last_id:
            return
        report.diffs += 1
        if self._last_id and diff.prev_id != self._last_id:
            report.gaps += 1
            self._recent.clear()
            self._forget_tickers()
        elif self._pending:
            self._pending[-1].confirmed = True
        self._last_id = diff.last_id
        self._recent.append(diff)
        book = self._book
        if not book.apply(diff.first_id, diff.last_id, diff.prev_id, diff.bids, diff.asks):
            report.unsynced += 1
            self._snapshotted = False
            return
        self._pending.append(_Check(diff.last_id, (book.bid, book.bid_qty, book.ask, book.ask_qty)))

    def _ticker(self, ticker: BookTicker) -> None:
        if self._symbol and ticker.symbol != self._symbol:
            return
        self.report.tickers += 1
        if self._tickers and ticker.update_id < self._tickers[-1].update_id:
            return
        self._tickers.append(ticker)
        self._settle()
        if not self._book.synced:
            self._seed(ticker)

    def _seed(self, ticker: BookTicker) -> None:
        """Without a snapshot the ticker itself is one of one level a side; the book then knows nothing beyond it."""
        book = LocalBook()
        for diff in self._recent:
            if diff.last_id >= ticker.update_id:
                book.apply(diff.first_id, diff.last_id, diff.prev_id, diff.bids, diff.asks)
        if not self._snapshotted and book.snapshot(
            ticker.update_id, [(ticker.bid, ticker.bid_qty)], [(ticker.ask, ticker.ask_qty)], 1
        ):
            self._book = book
            self.report.seeds += 1

    def _settle(self) -> None:
        """Compare every diff for which all that belongs to it has been seen."""
        newest = self._tickers[-1].update_id
        while self._pending and self._pending[0].confirmed and self._pending[0].last_id < newest:
            check = self._pending.popleft()
            while len(self._tickers) > 1 and self._tickers[1].update_id <= check.last_id:
                self._tickers.popleft()
            if self._tickers[0].update_id <= check.last_id:
                self._compare(check, self._tickers[0])
        if not self._pending:
            while len(self._tickers) > 1:
                self._tickers.popleft()

    def _compare(self, check: _Check, ticker: BookTicker) -> None:
        report = self.report
        report.checks += 1
        told = (ticker.bid, ticker.bid_qty, ticker.ask, ticker.ask_qty)
        if check.top != told:
            report.mismatches += 1
            report.first_mismatch = report.first_mismatch or (
                f"after update {check.last_id} the book has {check.top}, bookTicker {ticker.update_id} {told}"
            )


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        return gzip.open(path, "rb") if packed else path.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}. Give the path of a recording.") from None


def _lines(stream: gzip.GzipFile | io.BufferedReader, report: ReplayReport) -> Iterator[bytes]:
    """Lines of at most ``MAX_FRAME`` bytes; a longer one is garbage and is skipped to its end."""
    skipping = False
    while True:
        try:
            line = stream.readline(MAX_FRAME)
        except (EOFError, OSError, zlib.error):
            report.truncated = True
            return
        if not line:
            return
        whole = line.endswith(b"\n")
        if not skipping and (whole or len(line) < MAX_FRAME):
            yield line
        elif not skipping:
            yield b"too long"
        skipping = not whole and len(line) >= MAX_FRAME


def replay_book(path: Path, *more: Path) -> ReplayReport:
    """Replay one recording, or several that continue each other, in the order given.

    Gaps, garbage and a truncated file are counted, never raised; raises ``UsageError`` when a file cannot be opened.
    """
    replay = _Replay()
    started = clock.perf_ns()
    for file in (path, *more):
        with _open(file) as stream:
            for line in _lines(stream, replay.report):
                replay.line(line)
    seconds = (clock.perf_ns() - started) / 1e9
    replay.report.messages_per_s = round(replay.report.messages / seconds, 1) if seconds > 0 else 0.0
    return replay.report
