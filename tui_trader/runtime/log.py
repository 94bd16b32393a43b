"""The session's log: JSON lines in a private, rotating file; never the terminal, never a secret.

``ProcessLog`` leads everything else that this process may say (the libraries' loggers, warnings, what no handler
caught) into the same file through the same redaction.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from tui_trader import clock
from tui_trader.core.plain import plain
from tui_trader.private import open_private, tighten
from tui_trader.runtime.log_writer import LineWriter
from tui_trader.secret import Redactor

__all__ = ["LOG_FILE", "PrivateFile", "ProcessLog", "Redactor", "SessionLog"]

LOG_FILE = "session.log"
"""Its name in the folder of its account."""
MAX_BYTES = 8_000_000
KEPT = 4
_LONGEST = 20_000
_CHATTY = ("aiohttp", "asyncio", "ccxt", "websockets", "urllib3")
"""Libraries whose DEBUG lines hold whole requests and frames: they are never let below WARNING."""


class PrivateFile:
    """A line sink: ``path`` with mode 0600, rotated to ``path.1`` … at ``max_bytes``.

    A full disk loses lines, never the session; ``lost`` counts them.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        self.path = path
        self._max = max_bytes
        self._kept = kept
        self.lost = 0
        self._fd = -1
        self._size = 0
        self._torn = False
        self._guard = threading.Lock()
        try:
            self._open()
        except OSError:
            self.lost += 1
        self._tighten_older()

    def msg(self, line: str) -> bool:
        """Append one line; False when it is lost. May be called from any thread."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._guard:
            try:
                if self._fd < 0:
                    self._open()
                elif self._size + len(data) > self._max:
                    self._rotate()
                whole = self._append(b"\n" + data if self._torn else data)
            except OSError:
                whole = False
            self.lost += not whole
        return whole

    def _append(self, data: bytes) -> bool:
        """A disk that fills takes a part of a line: the next one begins on a line of its own."""
        done = os.write(self._fd, data)
        self._size += done
        self._torn = done < len(data) if done else self._torn
        return done == len(data)

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self._fd = open_private(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._size = os.fstat(self._fd).st_size

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _tighten_older(self) -> None:
        for number in range(1, self._kept + 1):
            try:
                tighten(self._older(number))
            except OSError:
                self.lost += 1

    def _rotate(self) -> None:
        self._close()
        for number in range(self._kept - 1, 0, -1):
            if self._older(number).exists():
                self._older(number).replace(self._older(number + 1))
        self.path.replace(self._older(1))
        self._open()


class SessionLog:
    """Writes sentences about what happened, each with its time (UTC wall clock) and severity."""

    def __init__(self, path: Path, redact: Redactor) -> None:
        self.path = path
        self._redact = redact
        self.writer = LineWriter(PrivateFile(path), self._gap)
        self._log = structlog.wrap_logger(
            self.writer,
            processors=[self._stamp, structlog.processors.JSONRenderer(ensure_ascii=False)],
            wrapper_class=structlog.BoundLogger,
            cache_logger_on_first_use=False,
        )

    def say(self, severity: str, text: str, **facts: object) -> None:
        """One line; may be called from any thread and never waits for the disk. ``facts`` are plain values."""
        self._log.info(text, severity=severity, **facts)

    def flush(self) -> None:
        """Wait a moment until all that was said stands in the file."""
        self.writer.flush()

    def close(self) -> None:
        """Write what waits and close the file; a line said later opens it again."""
        self.writer.close()

    def _gap(self, missing: int) -> str:
        text = f"lines missing before here: {missing}, the disk was full or did not answer"
        return json.dumps({"at": clock.iso_utc(clock.wall_ms()), "severity": "warning", "text": text})

    def _stamp(self, _: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        cleaned = {plain(self._redact(str(key))): _tame(self._redact.deep(value)) for key, value in event.items()}
        text = cleaned.pop("event", "")
        return {
            "at": clock.iso_utc(clock.wall_ms()),
            "severity": cleaned.pop("severity", "info"),
            "text": text,
            **cleaned,
        }


def _tame(value: object) -> object:
    """Every text in plain data made harmless for the terminal of whoever reads the file."""
    if isinstance(value, str):
        return plain(value[:_LONGEST])
    if isinstance(value, dict):
        return {plain(key): _tame(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_tame(inner) for inner in value]
    return value


class ProcessLog(logging.Handler):
    """Between ``install`` and ``remove`` no word of a library reaches the terminal, and none is written unredacted.

    Every log record of the process is redacted when it is made, so that no handler, whoever adds it, sees a secret.
    Warnings and what no handler caught (also in threads and finalisers) become lines of ``log``, without local values.
    """

    def __init__(self, log: SessionLog, redact: Redactor) -> None:
        super().__init__(logging.WARNING)
        self._session_log = log
        self._redact = redact
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def install(self) -> None:
        """Begin; harmless when begun."""
        if self._undo:
            return
        root, factory = logging.getLogger(), logging.getLogRecordFactory()
        self._undo.append(lambda: logging.setLogRecordFactory(factory))
        logging.setLogRecordFactory(lambda *args, **kwargs: self._redacted(factory(*args, **kwargs)))
        root.addHandler(self)
        self._undo.append(lambda: root.removeHandler(self))
        for name in _CHATTY:
            self._hush(logging.getLogger(name))
        self._replace(warnings, "showwarning", self._warning)
        self._replace(sys, "excepthook", self._uncaught)
        self._replace(sys, "unraisablehook", lambda facts: self._say_failure("not raised", facts.exc_value))
        self._replace(threading, "excepthook", lambda facts: self._say_failure("in a thread", facts.exc_value))

    def remove(self) -> None:
        """Give everything back; harmless when not begun."""
        while self._undo:
            self._undo.pop()()

    def emit(self, record: logging.LogRecord) -> None:
        """A record of a library."""
        severity = "alarm" if record.levelno >= logging.ERROR else "warning"
        where = f" ({record.exc_text})" if record.exc_text else ""
        self._session_log.say(severity, f"{record.name}: {record.getMessage()}{where}")

    def _hush(self, logger: logging.Logger) -> None:
        before = logger.level
        logger.setLevel(max(before, logging.WARNING))
        self._undo.append(lambda: logger.setLevel(before))

    def _replace(self, owner: Any, name: str, hook: object) -> None:
        before = getattr(owner, name)
        setattr(owner, name, hook)
        self._undo.append(lambda: setattr(owner, name, before))

    def _redacted(self, record: logging.LogRecord) -> logging.LogRecord:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's format and arguments may disagree; the words still count
            text = f"{record.msg!r} {record.args!r}"
        record.msg, record.args = self._redact(text), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = self._redact("".join(traceback.format_exception(record.exc_info[1])))
            record.exc_info = None
        if record.stack_info:
            record.stack_info = self._redact(record.stack_info)
        return record

    def _warning(self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
        self._session_log.say("warning", f"{category.__name__}: {message} ({filename}:{lineno})")

    def _uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        self._say_failure("nobody caught", error)

    def _say_failure(self, how: str, error: BaseException | None) -> None:
        words = "".join(traceback.format_exception(error)) if error is not None else "an unknown failure"
        self._session_log.say("alarm", f"a failure {how}: {words}")
