"""The control socket of a running session: one JSON object a line, on a unix socket only its owner can open.

Requests: ``{"do": "status"}``, ``{"do": "takeover"}``, ``{"do": "kill", "reason": "…"}``, ``{"do": "reload"}`` (trained
sets). Each is answered by one line with ``ok``; a takeover is answered when it began and again, with ``gone``, when the
session has left the account.
``version`` in every answer lets a later console attach to a running session over the same socket.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec

from tui_trader.errors import SessionBusyError
from tui_trader.venues.text import clean

VERSION = 1
LINE_LIMIT = 16_384
ANSWER_LIMIT = 1_000_000
"""An answer names every open position; an account may have hundreds."""
IDLE_S = 30.0
_PATH_LIMIT = 100  # sun_path holds 104 bytes on some systems, 108 on Linux


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request."""

    do: str
    reason: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. ``gone`` is True when the session has left the account and its lock is free."""

    ok: bool
    version: int = VERSION
    text: str = ""
    gone: bool = False
    status: dict[str, object] = {}


class Controlled(Protocol):
    """What the control socket may do with a session."""

    def status(self) -> dict[str, object]:
        """Plain facts for a person or a script."""
        ...

    async def latch_kill(self, reason: str) -> bool:
        """Latch the kill switch; True once it is latched for restarts, too."""
        ...

    def reload_trained(self) -> str:
        """Read the trained sets again; what came of it, in words."""
        ...

    async def hand_over(self, reason: str) -> None:
        """Leave the account, positions protected; returns when its lock is free."""
        ...


def control_path(data_dir: Path, name: str) -> Path:
    """Where the socket of the session ``name`` lives: the data folder, or, when that path is too long for a unix
    socket, a folder of this user alone under the temporary folder.
    """
    path = data_dir / f"{name}.sock"
    if len(os.fsencode(path)) <= _PATH_LIMIT:
        return path
    short = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"tui-trader-{os.getuid()}"
    return folder / f"{short}.sock"


def _own_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")


class ControlServer:
    """Serves one session on ``path`` until closed."""

    def __init__(self, path: Path, session: Controlled) -> None:
        self.path = path
        self._session = session
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Bind and listen. The account lock is held by now, so a socket left by a dead process may be replaced."""
        _own_folder(self.path.parent)
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(os.fspath(self.path))
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(mask)
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=LINE_LIMIT)

    async def aclose(self) -> None:
        """Stop listening, remove the socket, and let the answers that are due be written (at most 1 s)."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self.path.unlink(missing_ok=True)
        waiting = {task for task in self._clients if task is not asyncio.current_task()}
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=1.0)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, ValueError):
            # The other end went away, fell silent or sent an endless line: it is its own loss.
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._server is not None:
            async with asyncio.timeout(IDLE_S):
                line = await reader.readline()
            if not line:
                return
            await self._answer(line, lambda answer: _write(writer, answer))

    async def _answer(self, line: bytes, reply: Callable[[Answer], Awaitable[None]]) -> None:
        try:
            request = msgspec.json.decode(line, type=Request)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            await reply(Answer(ok=False, text=f"not a request: {clean(error, 200)}"))
            return
        reason = clean(" ".join(request.reason.split()), 200)
        if request.do == "status":
            await reply(Answer(ok=True, status=self._session.status()))
        elif request.do == "kill":
            kept = await self._session.latch_kill(reason or "over the control socket")
            beyond = "" if kept else "; NOT YET on the disk: a restart may not know of it"
            text = f"kill switch latched: everything is being flattened, entries refused{beyond}"
            await reply(Answer(ok=True, text=text))
        elif request.do == "reload":
            await reply(Answer(ok=True, text=self._session.reload_trained()))
        elif request.do == "takeover":
            await reply(Answer(ok=True, text="stopping: no new entries, positions stay protected"))
            await self._session.hand_over(reason or "taken over by another session")
            await reply(Answer(ok=True, gone=True, text="gone: positions are protected at the venue"))
        else:
            await reply(
                Answer(ok=False, text=f"unknown request {request.do[:40]!r}; known: status, reload, takeover, kill")
            )


async def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(msgspec.json.encode(answer) + b"\n")
    await writer.drain()


async def ask(path: Path, request: Request, *, timeout_s: float = 10.0, until_gone: bool = False) -> Answer:
    """Send one request to the session at ``path`` and return its answer (with ``until_gone`` the last one).

    Raises ``SessionBusyError`` when nobody answers there in time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(os.fspath(path), limit=ANSWER_LIMIT)
            try:
                writer.write(msgspec.json.encode(request) + b"\n")
                await writer.drain()
                answer = msgspec.json.decode(await reader.readline(), type=Answer)
                while until_gone and answer.ok and not answer.gone:
                    answer = msgspec.json.decode(await reader.readline(), type=Answer)
                return answer
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
        raise SessionBusyError(
            f"The running session does not answer at {path} ({type(error).__name__}). It may be hanging; its stops "
            "rest at the venue. Look at its log, end that process, then start again: the new one adopts its positions."
        ) from error
