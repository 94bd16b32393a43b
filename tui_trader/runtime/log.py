"""The session's log: JSON lines in a private, rotating file; never the terminal, never a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

import structlog

from tui_trader import clock

MAX_BYTES = 8_000_000
KEPT = 4
_SIGNATURE = re.compile(r"(?i)(signature|listenKey|api[-_]?key|secret)([\"']?\s*[=:]\s*[\"']?)[^\s\"'&,}]+")


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
        self._open()

    def msg(self, line: str) -> None:
        """Append one line."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        try:
            if self._fd < 0:
                self._open()
            elif self._size + len(data) > self._max:
                self._rotate()
            self._size += os.write(self._fd, data)
        except OSError:
            self.lost += 1

    debug = info = warning = error = critical = msg

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            os.fchmod(self._fd, 0o600)
            self._size = os.fstat(self._fd).st_size
        except OSError:
            self.lost += 1

    def _rotate(self) -> None:
        self.close()
        for number in range(self._kept - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._open()


class Redactor:
    """Takes known secrets and anything that looks like a signature out of a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(s for s in secrets if len(s) >= 4)

    def __call__(self, text: str) -> str:
        """``text`` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return _SIGNATURE.sub(r"\1\2…", text)


class SessionLog:
    """Writes sentences about what happened, each with its time (UTC wall clock) and severity."""

    def __init__(self, path: Path, redact: Callable[[str], str]) -> None:
        self._file = PrivateFile(path)
        self.path = path
        self._redact = redact
        self._log = structlog.wrap_logger(
            self._file,
            processors=[self._stamp, structlog.processors.JSONRenderer(ensure_ascii=False)],
            wrapper_class=structlog.BoundLogger,
            cache_logger_on_first_use=False,
        )

    def say(self, severity: str, text: str, **facts: object) -> None:
        """One line. ``facts`` are plain values."""
        self._log.info(text, severity=severity, **facts)

    def close(self) -> None:
        """Close the file; later lines are lost."""
        self._file.close()

    def _stamp(self, _: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        cleaned = {k: self._redact(v) if isinstance(v, str) else v for k, v in event.items()}
        text = cleaned.pop("event", "")
        return {
            "at": clock.iso_utc(clock.wall_ms()),
            "severity": cleaned.pop("severity", "info"),
            "text": text,
            **cleaned,
        }
