"""From options to a session: the account's lock, the demo exchange, the venue, arming."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tui_trader import clock
from tui_trader.core.settings import Settings
from tui_trader.errors import ConfigError, SessionBusyError
from tui_trader.private import private_folder, tighten_all
from tui_trader.runtime.arming import armed_for, check_permissions, on_loopback
from tui_trader.runtime.control import Request, ask, control_path
from tui_trader.runtime.lock import AccountLock, Holder, lock_path, read_holder, user_paths
from tui_trader.runtime.log import LOG_FILE, ProcessLog, Redactor, SessionLog
from tui_trader.runtime.session import Session
from tui_trader.secret import HIDDEN, Secret
from tui_trader.store import STORE_FILE
from tui_trader.store.archive import archive_store
from tui_trader.store.audit import anchor_of
from tui_trader.store.trained import carry_over
from tui_trader.venues.base import Venue
from tui_trader.venues.hosts import addresses

if TYPE_CHECKING:
    from tui_trader.config import Loaded
    from tui_trader.runtime.recorder import Recorder

TAKE_OVER_S = 12.0


def _silent(_: str) -> None:
    """Nobody listens to the progress."""


class StartOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to start. ``arm`` and ``typed_venue`` arm live trading; ``protect_only`` starts live without entries.

    ``say`` hears, line by line, what is being done. ``record`` is a file that the session is recorded to.
    """

    settings_source: Callable[[], Loaded]
    mode: str
    data_dir: Path
    environ: Mapping[str, str] = {}
    arm: bool = False
    typed_venue: str = ""
    protect_only: bool = False
    take_over: bool = False
    say: Callable[[str], None] = _silent
    record: Path | None = None

    def __repr__(self) -> str:
        return f"StartOptions(mode={self.mode!r}, data_dir={str(self.data_dir)!r}, environ={HIDDEN})"

    def __rich_repr__(self) -> Any:
        yield repr(self)


class _Access(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the account; its repr shows neither key nor secret."""

    rest_url: str
    ws_url: str
    key: str
    secret: Secret
    on_stopped: Callable[[bool], Awaitable[None]] | None = None

    def __repr__(self) -> str:
        return f"_Access(rest_url={self.rest_url!r}, key={HIDDEN}, secret={HIDDEN})"

    def __rich_repr__(self) -> Any:
        yield repr(self)


async def build_session(options: StartOptions) -> Session:
    """A session that holds its account's lock and is ready for ``start``.

    Raises ``ArmingError``, ``ConfigError``, ``SessionBusyError``, ``VenueUnreachable`` in words; nothing is left behind
    then.
    """
    settings = options.settings_source().settings
    armed = armed_for(
        options.mode, settings.venue.name, arm=options.arm, typed=options.typed_venue, protect_only=options.protect_only
    )
    key = _key(options)
    lock = await _acquire(options, settings, key)
    redact = Redactor()
    recorder: Recorder | None = None
    try:
        recorder = _recorder(options, redact)
        for problem in tighten_all(_account_dir(options)):
            options.say(f"note: others may read {problem}")
        access = await _access(options, settings)
        options.say(f"connecting to {settings.venue.name} ({options.mode})")
        redact.learn(access.key, access.secret.reveal())
        venue = _venue(settings, access, recorder)
        return Session(
            settings_source=options.settings_source,
            mode=options.mode,
            venue=venue,
            store_path=_account_dir(options) / STORE_FILE,
            lock=lock,
            armed=armed,
            redact=redact,
            checked=_checks(options, settings, venue, access),
            on_stopped=access.on_stopped,
            marks=[file.with_suffix(".epoch") for file in _elsewhere(options, settings, key)],
            recorder=recorder,
        )
    except BaseException:
        if recorder is not None:
            recorder.discard()
        lock.release()
        raise


def process_log(session: Session) -> ProcessLog:
    """Leads what libraries say into the session's log while it is entered; for the process that is the session's."""
    return ProcessLog(session.log, session.redact)


async def take_over(path: Path) -> None:
    """Ask the session that holds the lock at ``path`` to leave. Raises ``SessionBusyError`` when it does not."""
    holder = read_holder(path)
    if holder is None or not holder.control:
        raise SessionBusyError(
            "A session holds this account but does not say where it listens. End that process; its stops rest at the "
            "venue."
        )
    answer = await ask(Path(holder.control), Request(do="takeover"), timeout_s=TAKE_OVER_S, until_gone=True)
    if not answer.gone:
        raise SessionBusyError(f"The running session (process {holder.pid}) refused to leave: {answer.text}")


def _account_dir(options: StartOptions) -> Path:
    """Each mode has a folder of its own, so that a demo's trades never count against a live account's limits."""
    folder = options.data_dir / options.mode
    try:
        private_folder(folder)
    except OSError as error:
        raise ConfigError(
            f"The data folder {folder} cannot be made private ({error.strerror}); give another with --data-dir."
        ) from None
    return folder


def _key(options: StartOptions) -> str:
    from tui_trader.credentials import credentials

    return credentials(options.mode, options.environ, options.data_dir).key


def _elsewhere(options: StartOptions, settings: Settings, key: str) -> tuple[Path, ...]:
    return user_paths(settings.venue.name, options.mode, key, rest_url=settings.venue.rest_url)


async def _acquire(options: StartOptions, settings: Settings, key: str) -> AccountLock:
    folder = _account_dir(options)
    path = lock_path(folder, settings.venue.name, options.mode, key)
    control = str(control_path(path.parent, path.stem).absolute())
    holder = Holder(pid=os.getpid(), started_ms=clock.wall_ms(), control=control, folder=str(folder.absolute()))
    lock = AccountLock(path, holder, _elsewhere(options, settings, key))
    try:
        return lock.acquire()
    except SessionBusyError:
        if not options.take_over:
            raise
    options.say("taking over: the running session stops its entries and leaves its positions protected")
    await take_over(lock.busy or path)
    return lock.acquire()


async def _access(options: StartOptions, settings: Settings) -> _Access:
    if options.mode == "demo":
        return await _demo_access(options, settings)
    from tui_trader.credentials import credentials

    held = credentials(options.mode, options.environ, options.data_dir)
    if held.warning:
        options.say(held.warning)
    rest_url, ws_url = addresses(options.mode, settings.venue.rest_url, settings.venue.ws_url)
    return _Access(rest_url=rest_url, ws_url=ws_url, key=held.key, secret=held.secret)


async def _demo_access(options: StartOptions, settings: Settings) -> _Access:
    from tui_trader.runtime.demo import demo_exchange

    folder = _account_dir(options)
    demo = await demo_exchange(folder, settings.demo, options.say)
    info = demo.info
    if not demo.adopted:
        await asyncio.to_thread(_put_aside, folder)

    async def on_stopped(keep: bool) -> None:
        if not keep:
            await demo.stop()

    return _Access(
        rest_url=info.rest_url,
        ws_url=info.ws_url,
        key=info.api_key,
        secret=Secret(info.secret),
        on_stopped=on_stopped,
    )


def _put_aside(folder: Path) -> None:
    """A new demo account begins with an empty past, and with the trained sets that were there; the session log notes
    that the last account's audit log ends here."""
    store = folder / STORE_FILE
    anchor = anchor_of(store)
    archived = archive_store(store, clock.wall_ms())
    if archived is None:
        return
    carry_over(archived, store)
    if anchor is not None:
        log = SessionLog(folder / LOG_FILE, Redactor())
        log.say("info", "the store of the last demo account was put aside", audit_closed=anchor.chain)
        log.close()


def _recorder(options: StartOptions, redact: Redactor) -> Recorder | None:
    if options.record is None:
        return None
    from tui_trader.runtime.recorder import Recorder

    recorder = Recorder(options.record, redact)
    recorder.open()
    options.say(f"recording to {options.record}")
    return recorder


def _venue(settings: Settings, access: _Access, recorder: Recorder | None) -> Venue:
    from tui_trader.venues.binance.client import BinanceVenue
    from tui_trader.venues.binance.taped import TapedBinance

    make: Callable[..., Venue] = BinanceVenue if recorder is None else partial(TapedBinance, recorder)
    return make(
        rest_url=access.rest_url,
        ws_url=access.ws_url,
        key=access.key,
        secret=access.secret,
        settings=settings.venue,
        data=settings.data,
        rng=random.Random(),
    )


def _checks(
    options: StartOptions, settings: Settings, venue: Venue, access: _Access
) -> Callable[[], Awaitable[None]] | None:
    if options.mode == "demo":
        return None
    real, allow_unknown = not on_loopback(access.rest_url), settings.venue.allow_unknown_permissions

    async def check() -> None:
        options.say("asking what the key may do")
        permissions = await venue.permissions()
        check_permissions(permissions, mode=options.mode, real_host=real, allow_unknown=allow_unknown)
        if permissions.ip_restricted is False and options.mode == "live":
            options.say("note: this API key works from any address; at the venue it can be bound to yours")

    return check
