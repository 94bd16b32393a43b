"""A recording through the live engine once more: the same events must give the same decisions (I19, I20)."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tui_trader import clock
from tui_trader.core import events as ev
from tui_trader.core import trace
from tui_trader.core.commands import Command
from tui_trader.core.engine import Engine
from tui_trader.core.settings import Settings
from tui_trader.core.signals import Strategy
from tui_trader.core.state import Recovered
from tui_trader.errors import TuiTraderError, UsageError
from tui_trader.runtime.recorder import clean, core_version, encode, strategy_hashes
from tui_trader.runtime.recording import Answer, Call, End, Frame, Header, Look, RecordingReader, Step
from tui_trader.secret import Redactor
from tui_trader.strategies.registry import build_strategies
from tui_trader.venues.binance.reanswer import AnswerReader
from tui_trader.venues.binance.reparse import FrameReader

_TELL_EVERY = 2_000
_UNHEARD_STEPS = 500
_UNHEARD_AT_END = 100
"""A fact of the account waits for the engine at most so many steps: the inbox lets it overtake market data. What came
in the last moment of a session is not waited for."""

_STREAMED = (
    ev.BookTop, ev.BookDepth, ev.TradePrint, ev.MarkPrice, ev.Ticker24h, ev.KlineUpdate, ev.FeedStale, ev.FeedLive,
)  # fmt: skip
_ACCOUNT = (
    ev.OrderUpdate, ev.Fill, ev.PositionUpdate, ev.BalanceUpdate, ev.FundingPayment, ev.AccountDoubt,
)  # fmt: skip


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Where recording and replay part: step ``n`` at venue time ``ts``; the event and both decisions in words."""

    n: int
    ts: int
    event: str
    recorded: tuple[str, ...]
    replayed: tuple[str, ...]


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay found. ``difference`` None: every decision was the same. ``trace_hash`` is the SHA-256 over all
    decisions of the replay; ``frame_difference`` says in words where frames or answers gave other events than
    the engine heard; ``trouble`` why the recording could not be read to its end, or "", ``damaged`` whether that is
    damage.
    """

    file: str
    mode: str
    venue: str
    started_ms: int
    code: str
    notes: tuple[str, ...]
    steps: int
    decisions: int
    orders: int
    frames: int
    answers: int
    events_checked: int
    difference: Difference | None
    frame_difference: str
    trouble: str
    damaged: bool
    end: str
    trace_hash: str

    @property
    def same(self) -> bool:
        """Whether all that could be read gave the same decisions and the same events."""
        return self.difference is None and not self.frame_difference


class _Mono:
    """A clock that stands where the recording says."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return 0


class FrameCheck:
    """Compares what frames and answers say, parsed anew, with what the engine heard.

    Of quotes, books and the like the inbox keeps only the newest: the engine heard some of them, in order. Closed
    candles, stale and live, and the account's facts it heard all of. Snapshots of the account, candle histories, the
    contracts' rules, open interest, queried orders and accepted requests must follow from the ``answers`` before them.
    """

    def __init__(self) -> None:
        self._market: dict[tuple[type, str, bool], deque[ev.Event]] = {}
        self._account: deque[tuple[int, ev.Event]] = deque()
        self.answers = AnswerReader()
        self.checked = 0
        self.difference = ""

    def parsed(self, events: list[ev.Event], steps: int) -> None:
        """What a piece of the recording said; ``steps`` is how many the engine had made."""
        for event in events:
            if isinstance(event, _STREAMED):
                self._market.setdefault(_kind(event), deque()).append(event)
            elif isinstance(event, _ACCOUNT):
                self._account.append((steps, event))

    def heard(self, event: ev.Event, step: int) -> None:
        """What the engine heard at ``step``."""
        if self.difference:
            return
        if isinstance(event, _STREAMED):
            self._match(event, step)
        elif self._account and isinstance(event, _ACCOUNT) and _same(self._account[0][1], event):
            self._account.popleft()
            self.checked += 1
        else:
            self._match_answers(event, step)
        self._find_unheard(step, _UNHEARD_STEPS)

    def _match_answers(self, event: ev.Event, step: int) -> None:
        lacking = self.answers.doubt(event)
        if lacking is None and not isinstance(event, _ACCOUNT):
            return
        if lacking == "":
            self.checked += 1
            return
        told = "no frame and no answer says what" if isinstance(event, _ACCOUNT) else f"no answer says {lacking} that"
        self.difference = f"step {step}: {told} the engine heard: {trace.sentence(event)}"

    def ended(self, step: int) -> None:
        """The recording ended in order at ``step``."""
        self._find_unheard(step, _UNHEARD_AT_END)

    def _find_unheard(self, step: int, patience: int) -> None:
        if self._account and not self.difference and step - self._account[0][0] > patience:
            words = trace.sentence(self._account[0][1])
            self.difference = f"a frame before step {self._account[0][0]} says what the engine never heard: {words}"

    def _match(self, event: ev.Event, step: int) -> None:
        waiting = self._market.get(_kind(event), deque())
        whole = isinstance(event, ev.FeedStale | ev.FeedLive) or (isinstance(event, ev.KlineUpdate) and event.closed)
        while waiting:
            if _same(waiting.popleft(), event):
                self.checked += 1
                return
            if whole:
                break
        self.difference = f"step {step}: no frame says what the engine heard: {trace.sentence(event)}"


def _kind(event: ev.Event) -> tuple[type, str, bool]:
    return type(event), getattr(event, "symbol", ""), isinstance(event, ev.KlineUpdate) and event.closed


def _same(one: ev.Event, other: ev.Event) -> bool:
    """Equal but for the millisecond in which they were said, which the frame does not hold."""
    return type(one) is type(other) and msgspec.structs.replace(one, ts=0) == msgspec.structs.replace(other, ts=0)


class Replay:
    """One recording through one engine. ``strategies`` replaces those that the recorded settings name; ``folder`` is
    where a person's own strategies are here, because no recording may say which files are run. ``looks`` False leaves
    out the frames that were built for a console.

    Raises ``UsageError`` when the file is no recording, or names strategies that are not there.
    """

    def __init__(
        self,
        path: Path,
        *,
        strategies: dict[str, Strategy] | None = None,
        make_engine: Callable[..., Engine] = Engine,
        looks: bool = True,
        folder: str = "",
    ) -> None:
        self._path = path
        self._looks = looks
        self._redact = Redactor()
        self._header = header = RecordingReader(path).header()
        settings = _settings(header)
        self._strategies = strategies if strategies is not None else _strategies(settings, folder)
        self._notes = _notes(header, self._strategies)
        self._engine = make_engine(
            settings,
            self._strategies,
            mode=header.mode,
            venue=header.venue,
            epoch=header.epoch,
            capabilities_note=header.note,
            clock_rate=header.rate,
            armed=header.armed,
            recovered=msgspec.json.decode(header.recovered, type=Recovered),
            always=header.always,
        )
        self._events: msgspec.json.Decoder[ev.Event] = msgspec.json.Decoder(ev.Event)
        self._reader = FrameReader(settings.data, header.rate)
        self._check = FrameCheck()
        self._mono = _Mono()
        self._hash = hashlib.sha256(header.settings_hash.encode())
        self._steps = self._decisions = self._orders = self._frames = self._answers = 0
        self._difference: Difference | None = None
        self._end = ""

    def run(self, progress: Callable[[int], bool] = lambda steps: True) -> ReplayReport:
        """Replay until the end or the first difference; ``progress(steps)`` returns False to stop before."""
        lines = RecordingReader(self._path)
        with clock.running_on(self._mono):
            for line in lines:
                if isinstance(line, Step):
                    self._step(line)
                    if self._steps % _TELL_EVERY == 0 and not progress(self._steps):
                        self._end = "stopped by hand"
                        break
                elif isinstance(line, Frame | Call):
                    self._hear(line)
                elif isinstance(line, Answer):
                    self._take(line)
                elif isinstance(line, Look) and self._looks:
                    self._look(line)
                elif isinstance(line, End):
                    self._end = line.reason
                    self._check.ended(self._steps)
                if self._difference is not None:
                    break
        return self._report(lines)

    def _hear(self, line: Frame | Call) -> None:
        self._mono.now = line.mono
        if isinstance(line, Frame):
            self._frames += 1
            found = self._reader.frame(line.route, line.raw, line.venue_ms)
        else:
            found = self._reader.call(line.name, msgspec.json.decode(line.arguments), line.venue_ms)
        self._check.parsed(found, self._steps)

    def _take(self, line: Answer) -> None:
        self._answers += 1
        parameters = msgspec.json.decode(line.parameters, type=dict[str, Any])
        self._check.answers.take(line.path, line.method, parameters, msgspec.json.decode(line.answer))

    def _look(self, line: Look) -> None:
        if bytes(line.ticket) != b"null":
            self._quietly(lambda: self._engine.preview(msgspec.json.decode(line.ticket, type=ev.OpenPosition)))
        else:
            self._quietly(lambda: self._engine.view(line.now_ms, line.selected, line.timeframe))

    def _quietly(self, look: Callable[[], object]) -> None:
        """A look that failed when it was recorded fails again; decisions are compared, looks are not."""
        try:
            look()
        except Exception as error:  # noqa: BLE001 - the session goes on after it, so does the replay
            words = f"a look at the engine failed ({type(error).__name__}: {error})"
            if words not in self._notes:
                self._notes.append(words)

    def _step(self, line: Step) -> None:
        event = self._events.decode(line.event)
        self._check.heard(event, line.n)
        failed = ""
        try:
            commands = self._engine.process(event)
        except Exception as error:  # noqa: BLE001 - a defect of the engine is part of what was recorded
            commands, failed = list(self._engine.state.out), type(error).__name__
        replayed = clean(self._redact, encode(commands))
        self._steps += 1
        self._decisions += len(commands)
        self._orders += sum(1 for command in commands if type(command).__name__ in _SENDS)
        self._hash.update(replayed)
        if line.n != self._steps:
            raise TuiTraderError(
                f"{self._path}: step {line.n} follows step {self._steps - 1}; the recording has a hole."
            )
        if replayed != bytes(line.commands) or failed != line.failed:
            self._difference = _difference(line, event, commands, failed)

    def _report(self, lines: RecordingReader) -> ReplayReport:
        header = self._header
        return ReplayReport(
            file=str(self._path),
            mode=header.mode,
            venue=header.venue,
            started_ms=header.started_ms,
            code=header.code,
            notes=tuple(self._notes),
            steps=self._steps,
            decisions=self._decisions,
            orders=self._orders,
            frames=self._frames,
            answers=self._answers,
            events_checked=self._check.checked,
            difference=self._difference,
            frame_difference=self._check.difference,
            trouble=lines.trouble if self._difference is None else "",
            damaged=lines.damaged,
            end=self._end,
            trace_hash=self._hash.hexdigest(),
        )


_SENDS = frozenset({"PlaceOrder", "CancelOrder", "QueryOrder", "SetLeverage"})


def _settings(header: Header) -> Settings:
    try:
        return Settings.model_validate_json(header.settings)
    except ValueError as error:
        raise UsageError(f"The recording's settings do not fit this version: {error}") from None


def _strategies(settings: Settings, folder: str) -> dict[str, Strategy]:
    chosen = settings.strategies.model_copy(update={"folder": folder})
    return build_strategies(settings.model_copy(update={"strategies": chosen}))


def _notes(header: Header, strategies: dict[str, Strategy]) -> list[str]:
    notes: list[str] = []
    here = core_version()
    if header.code != here:
        notes.append(f"recorded by {header.code}, replayed by {here}: a difference may be what was changed")
    hashes = strategy_hashes(strategies)
    if list(hashes) != list(header.strategies):
        raise UsageError(
            f"The recording ran the strategies {', '.join(header.strategies) or 'none'}; here are "
            f"{', '.join(hashes) or 'none'}."
        )
    notes += [
        f"the file of strategy {name} has changed" for name, found in hashes.items() if found != header.strategies[name]
    ]
    return notes


def _difference(line: Step, event: ev.Event, commands: list[Command], failed: str) -> Difference:
    """From the first command that differs on, in words; in full where the words are the same."""
    recorded = msgspec.json.decode(line.commands, type=list[msgspec.Raw])
    replayed = [encode(command) for command in commands]
    same = 0
    while same < min(len(recorded), len(replayed)) and bytes(recorded[same]) == replayed[same]:
        same += 1
    before, after = [bytes(raw) for raw in recorded[same:]], replayed[same:]
    tell = _words if [_words(data) for data in before] != [_words(data) for data in after] else _text
    return Difference(
        n=line.n,
        ts=event.ts,
        event=trace.sentence(event),
        recorded=tuple(tell(data) for data in before) + _raised(line.failed),
        replayed=tuple(tell(data) for data in after) + _raised(failed),
    )


def _raised(failed: str) -> tuple[str, ...]:
    return (f"the engine raised {failed}",) if failed else ()


def _words(data: bytes) -> str:
    try:
        return trace.sentence(msgspec.json.decode(data, type=Command))
    except msgspec.MsgspecError:
        return _text(data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def replay(
    path: Path,
    *,
    strategies: dict[str, Strategy] | None = None,
    folder: str = "",
    progress: Callable[[int], bool] = lambda steps: True,
) -> ReplayReport:
    """Replay a recording (see ``Replay``). Raises ``UsageError``."""
    return Replay(path, strategies=strategies, folder=folder).run(progress)
