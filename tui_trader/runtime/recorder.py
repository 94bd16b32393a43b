"""Records a session: what came in from the venue, every event of the engine and every command it answered with.

The loop only puts references into a queue; a thread encodes, redacts, compresses and writes. A disk that is slow or
full ends the recording, in words; it never holds trading.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import msgspec

import tui_trader
from tui_trader import clock
from tui_trader.core.commands import Command
from tui_trader.core.engine import Engine
from tui_trader.core.events import Event, MarketEvent, OpenPosition
from tui_trader.core.settings import Settings
from tui_trader.core.signals import Strategy
from tui_trader.core.state import Recovered
from tui_trader.core.views import Snapshot, TicketPreview
from tui_trader.errors import UsageError
from tui_trader.runtime.recording import (
    VERSION,
    Answer,
    Call,
    End,
    Frame,
    Header,
    Look,
    RecordingFile,
    Step,
)
from tui_trader.runtime.supervise import describe
from tui_trader.secret import Redactor

BACKLOG_ITEMS = 200_000
BACKLOG_BYTES = 64 << 20
FLUSH_S = 1.0
CLOSE_S = 1.0
_PRIVATE = "private"

encode = msgspec.json.Encoder(enc_hook=str).encode
"""How everything in a recording is written: decimals as text, so that they come back exact."""


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def core_version() -> str:
    """The package's version and the hash of the code that decides: a recording of other code may decide otherwise."""
    folder = Path(tui_trader.__file__).parent
    files = sorted((*folder.glob("core/*.py"), *folder.glob("strategies/*.py")))
    return f"{tui_trader.__version__} core {digest(b''.join(file.read_bytes() for file in files))[:12]}"


def strategy_hashes(strategies: Mapping[str, Strategy]) -> dict[str, str]:
    """The SHA-256 of the file that each strategy's class stands in, "" where there is none."""
    found: dict[str, str] = {}
    for name, strategy in strategies.items():
        file = getattr(sys.modules.get(type(strategy).__module__), "__file__", None)
        found[name] = digest(Path(file).read_bytes()) if file else ""
    return found


def clean(redact: Callable[[str], str], data: bytes) -> bytes:
    """A line without secrets, still JSON: where the words alone were not enough to keep it so, value by value."""
    before = data.decode()
    after = redact(before)
    if after == before:
        return data
    try:
        msgspec.json.decode(after)
    except msgspec.MsgspecError:
        return encode(_hidden(redact, msgspec.json.decode(data)))
    return after.encode()


def _hidden(redact: Callable[[str], str], value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _hidden(redact, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(redact, inner) for inner in value]
    return value


class Recorder:
    """One recording to ``path`` (0600, must not exist). Its methods belong to one loop; none blocks or raises, but
    ``open`` and ``aclose``.

    ``on_lost`` is told, in the loop, why the recording ended before the session did; ``lost`` keeps it.
    """

    def __init__(self, path: Path, redact: Redactor, *, backlog: int = BACKLOG_ITEMS) -> None:
        self.path = path
        self.lost = ""
        self.on_lost: Callable[[str], None] = _unsaid
        self.steps = 0
        self._redact = redact
        self._backlog = backlog
        self._queue: SimpleQueue[tuple[Callable[[], bytes] | None, int]] = SimpleQueue()
        self._put_bytes = 0
        self._done_bytes = 0
        self._file: RecordingFile | None = None
        self._thread: threading.Thread | None = None
        self._reason = ""
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, **bounds: int) -> None:
        """Make the file; ``bounds`` as ``RecordingFile`` has them. Raises ``UsageError`` when it cannot be made."""
        try:
            self._file = RecordingFile(self.path, **bounds)
        except FileExistsError:
            raise UsageError(f"{self.path} exists; a recording never overwrites one. Give another file.") from None
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written ({error.strerror}); give another file.") from None

    def engine(self, settings: Settings, strategies: dict[str, Strategy], **facts: Any) -> Engine:
        """An ``Engine`` of these arguments whose every step is recorded; the recording begins with it."""
        engine = RecordedEngine(self, settings, strategies, **facts)
        self._loop = asyncio.get_running_loop()
        if self._file is not None:
            header = make_header(settings, strategies, self._redact, **facts)
            self._file.epoch = header.epoch
            self._thread = threading.Thread(target=self._run, args=(self._file, header), name="recorder", daemon=True)
            self._thread.start()
        return engine

    # --- what is heard ---

    def frame(self, route: str, raw: bytes, mono: float, venue_ms: int) -> None:
        """See ``Tap.frame``."""
        self._put(lambda: self._frame(route, raw, mono, venue_ms), len(raw))

    def call(self, name: str, arguments: Sequence[object], mono: float, venue_ms: int) -> None:
        """See ``Tap.call``."""

        def line() -> bytes:
            told = msgspec.Raw(encode(arguments))
            return encode(Call(name=name, mono=mono, venue_ms=venue_ms, arguments=told))

        self._put(line)

    def answer(
        self, path: str, method: str, parameters: Mapping[str, object], answer: object, mono: float, venue_ms: int
    ) -> None:
        """See ``Tap.answer``."""

        def line() -> bytes:
            told = Answer(
                path=path,
                method=method,
                mono=mono,
                venue_ms=venue_ms,
                parameters=msgspec.Raw(encode(dict(parameters))),
                answer=msgspec.Raw(encode(answer)),
            )
            return clean(self._redact, encode(told))

        self._put(line)

    def step(self, event: Event, commands: list[Command], failed: str = "") -> None:
        """The engine processed ``event``; ``failed`` is what it raised."""
        self.steps += 1
        number, kept = self.steps, tuple(commands)

        def line() -> bytes:
            told = Step(n=number, event=msgspec.Raw(encode(event)), commands=msgspec.Raw(encode(kept)), failed=failed)
            quiet = isinstance(event, MarketEvent) and not kept
            return encode(told) if quiet else clean(self._redact, encode(told))

        self._put(line)

    def look(self, now_ms: int, selected: str, timeframe: str) -> None:
        """A frame for the console is about to be built."""
        self._put(lambda: encode(Look(now_ms=now_ms, selected=selected, timeframe=timeframe)))

    def preview(self, ticket: OpenPosition) -> None:
        """An entry is about to be previewed."""
        self._put(lambda: encode(Look(ticket=msgspec.Raw(encode(ticket)))))

    async def aclose(self, reason: str = "the session ended") -> None:
        """Write what waits, at most a second, and close."""
        self._reason = reason
        self._queue.put((None, 0))
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_S)
        else:
            self.discard()

    def discard(self) -> None:
        """Take the file away again: nothing was recorded."""
        if self._file is not None:
            self._file.abandon()
            self.path.unlink(missing_ok=True)

    # --- the thread ---

    def _put(self, line: Callable[[], bytes], size: int = 0) -> None:
        if self.lost:
            return
        self._put_bytes += size
        waiting = self._put_bytes - self._done_bytes
        if self._queue.qsize() >= self._backlog or waiting > BACKLOG_BYTES:
            self._lose(f"the disk is too slow: {self._queue.qsize()} lines wait")
            return
        self._queue.put((line, size))

    def _lose(self, why: str) -> None:
        if self.lost:
            return
        self.lost = why
        words = f"the recording {self.path} ended: {why}; trading goes on, what was written can be replayed"
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
                self._loop.call_soon_threadsafe(self.on_lost, words)

    def _run(self, file: RecordingFile, header: Header) -> None:
        try:
            file.write(encode(header))
            self._write_all(file)
            file.close()
        except OSError as error:
            self._lose(error.strerror or str(error))
            file.abandon()
        except Exception as error:  # noqa: BLE001 - a line that cannot be written ends the recording, not the session
            self._lose(describe(error))
            file.abandon()

    def _write_all(self, file: RecordingFile) -> None:
        """Until the end is asked for, or there must not be more."""
        due = clock.monotonic()
        while True:
            try:
                line, size = self._queue.get(timeout=FLUSH_S)
            except Empty:
                line, size = _nothing, 0
            if line is None:
                file.write(encode(End(steps=self.steps, reason=self._redact(self._reason))))
                file.flush()
                return
            data = line()
            if data:
                file.write(data)
            self._done_bytes += size
            if clock.monotonic() >= due:
                due = clock.monotonic() + FLUSH_S
                full = file.flush()
                if full:
                    self._lose(full)
                    return

    def _frame(self, route: str, raw: bytes, mono: float, venue_ms: int) -> bytes:
        try:
            line = Frame(route=route, mono=mono, venue_ms=venue_ms, text=raw.decode())
        except UnicodeDecodeError:
            line = Frame(route=route, mono=mono, venue_ms=venue_ms, data=raw)
        return clean(self._redact, encode(line)) if route == _PRIVATE else encode(line)


def _unsaid(words: str) -> None:
    """Nobody wants to be told."""
    del words


def _nothing() -> bytes:
    """The line of a second in which nothing was heard."""
    return b""


class RecordedEngine(Engine):
    """An engine that tells a recorder every step, and each look at it, because looks fill its caches."""

    def __init__(self, recorder: Recorder, settings: Settings, strategies: dict[str, Strategy], **facts: Any) -> None:
        super().__init__(settings, strategies, **facts)
        self._recorder = recorder

    def process(self, event: Event) -> list[Command]:
        """See ``Engine.process``."""
        try:
            commands = super().process(event)
        except Exception as error:
            self._recorder.step(event, self.state.out, type(error).__name__)
            raise
        self._recorder.step(event, commands)
        return commands

    def view(self, now_ms: int, selected: str, timeframe: str) -> Snapshot:
        """See ``Engine.view``."""
        self._recorder.look(now_ms, selected, timeframe)
        return super().view(now_ms, selected, timeframe)

    def preview(self, ticket: OpenPosition) -> TicketPreview:
        """See ``Engine.preview``."""
        self._recorder.preview(ticket)
        return super().preview(ticket)


def make_header(
    settings: Settings,
    strategies: Mapping[str, Strategy],
    redact: Callable[[str], str],
    *,
    mode: str,
    venue: str,
    epoch: str,
    capabilities_note: str = "",
    clock_rate: float = 1.0,
    armed: bool = True,
    recovered: Recovered | None = None,
    always: tuple[str, ...] = (),
) -> Header:
    """The first line of a recording of an engine with these arguments."""
    text = clean(redact, settings.model_dump_json().encode()).decode()
    return Header(
        version=VERSION,
        code=core_version(),
        started_ms=clock.wall_ms(),
        mode=mode,
        venue=venue,
        epoch=epoch,
        note=capabilities_note,
        rate=clock_rate,
        armed=armed,
        always=always,
        settings=text,
        settings_hash=digest(text.encode()),
        strategies=strategy_hashes(strategies),
        recovered=msgspec.Raw(clean(redact, encode(recovered or Recovered()))),
    )
