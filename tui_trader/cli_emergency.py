"""What a person reaches for in a hurry: ``kill`` and ``status``, from any terminal, whatever the session does."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from tui_trader import clock
from tui_trader.cli_context import Globals, emit
from tui_trader.errors import SessionBusyError, StoreError, TuiTraderError
from tui_trader.runtime.control import Request, ask, control_path
from tui_trader.runtime.latch import KillLatch
from tui_trader.runtime.lock import held_by_user, is_held, read_holder
from tui_trader.store import STORE_FILE

FLAT, FAILED, LATCHED_ONLY = 0, 1, 3
MODES = ("demo", "paper", "testnet", "live")
ASK_S = 5.0
POLL_S = 0.2


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One account's folder and who trades it. ``sockets`` are where its session may listen; pid 0: not said."""

    mode: str
    folder: Path
    held: bool = False
    pid: int = 0
    sockets: tuple[Path, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What ``kill`` achieved for one account."""

    mode: str
    answered: bool
    latched: bool
    flat: bool | None
    text: str
    open: list[dict[str, Any]] = []


def find(data_dir: Path, modes: tuple[str, ...]) -> list[Found]:
    """The accounts' folders that exist, with the sessions that hold them."""
    return [_look(mode, data_dir / mode) for mode in modes if (data_dir / mode).is_dir()]


def _look(mode: str, folder: Path) -> Found:
    sockets: dict[Path, None] = {}
    held, pid = False, 0
    for path in sorted(folder.glob("*.lock")):
        holder = read_holder(path)
        if is_held(path):
            held, pid = True, holder.pid if holder is not None else pid
        if holder is not None and holder.control:
            sockets[Path(holder.control)] = None
        sockets[control_path(folder, path.stem)] = None
    for path in sorted(folder.glob("*.sock")):
        sockets[path] = None
    return Found(mode=mode, folder=folder, held=held, pid=pid, sockets=tuple(p for p in sockets if p.exists()))


async def _first_answer(found: Found, request: Request, timeout_s: float = ASK_S) -> tuple[Path, Any] | None:
    for path in found.sockets:
        try:
            answer = await ask(path, request, timeout_s=timeout_s)
        except SessionBusyError:
            continue
        if answer.ok:
            return path, answer
    return None


# --- status ---


def show_status(options: Globals, modes: tuple[str, ...], as_json: bool) -> int:
    """The running sessions of the data folder. Exit code 1 when none runs (or none answers)."""
    data_dir = options.folder()
    rows = asyncio.run(_statuses(find(data_dir, modes)))
    running = [row for row in rows if row["running"]]
    if as_json:
        emit({"data_dir": str(data_dir), "sessions": rows})
    else:
        for row in rows:
            sys.stdout.write(_status_text(row) + "\n")
        if not running:
            sys.stdout.write(f"No session runs with the data folder {data_dir}.{_elsewhere(data_dir)}\n")
    return 0 if running and all(row["answered"] for row in running) else 1


async def _statuses(accounts: list[Found]) -> list[dict[str, Any]]:
    rows = []
    for found in accounts:
        answer = await _first_answer(found, Request(do="status"))
        latched = KillLatch(found.folder).read()
        row: dict[str, Any] = {
            "mode": found.mode,
            "running": found.held or answer is not None,
            "answered": answer is not None,
            "kill_file": None if latched is None else latched.reason,
        }
        if answer is not None:
            rows.append(row | answer[1].status)
        else:
            rows.append(row | {"pid": found.pid or None, "last_known": last_known(found.folder / STORE_FILE)})
    return rows


def _status_text(row: dict[str, Any]) -> str:
    if not row["running"]:
        text = f"{row['mode']}: no session runs."
        if row["kill_file"] is not None:
            text += f" The kill switch is latched ({row['kill_file']})."
        return text + _held_by(row["last_known"])
    if not row["answered"]:
        return (
            f"{row['mode']}: process {row['pid'] or '?'} holds the account but does not answer: it hangs, starts or "
            "ends. Its stops rest at the venue; see session.log."
        )
    equity = row.get("equity")
    worth = f"{equity:,.2f} USDT" if isinstance(equity, int | float) else "not known yet"
    lines = [f"{row['mode']} on {row['venue']}: process {row['pid']}, equity {worth}, {_state(row)}."]
    lines += [f"  {_position(position)}" for position in row.get("open", ())]
    lines += [f"  no entries: {block}" for block in row.get("blocks", ())]
    return "\n".join(lines)


def _state(row: dict[str, Any]) -> str:
    words = ["headless" if row.get("headless") else "with a console"]
    if row.get("killed"):
        words.append(f"KILLED ({row.get('kill_reason', '')})")
    elif row.get("armed") is False:
        words.append("not armed: it only protects")
    if row.get("stopping"):
        words.append(f"stopping ({row['stopping']})")
    if not row.get("open") and "open" in row:
        words.append("no position")
    return ", ".join(words)


def _position(row: dict[str, Any]) -> str:
    if row.get("stop_proven"):
        guard = f"stop {row['stop']:g} proven {row['proven_age_s']:.1f} s ago"
    else:
        guard = f"NO PROVEN STOP for {row['naked_s']:.1f} s"
    return f"{row['symbol']} {row['side']} {row['qty']:g} at {row['entry']:g}, P&L {row['pnl']:+.2f} USDT, {guard}"


# --- kill ---


def kill(options: Globals, modes: tuple[str, ...], reason: str, follow_s: float, as_json: bool) -> int:
    """Latch the kill switch of every account asked for and follow what runs until it is flat.

    Returns 0 when all that runs is killed and flat, 1 when something stayed open, did not answer or could not be
    latched, 3 when nothing runs: then the file latches, and the next start comes up killed and flattens.
    """
    data_dir = options.folder()
    accounts = find(data_dir, modes) or [_look(options.mode, data_dir / options.mode)]
    words = " ".join(reason.split())[:200] or "tui-trader kill"
    outcomes = asyncio.run(_kill_all(accounts, words, follow_s))
    if as_json:
        emit({"data_dir": str(data_dir), "accounts": outcomes})
    else:
        for outcome in outcomes:
            sys.stdout.write(outcome.text + "\n")
        others = "" if any(outcome.answered for outcome in outcomes) else _elsewhere(data_dir).strip()
        sys.stdout.write(f"{others}\n" if others else "")
    return _verdict(outcomes)


def _elsewhere(data_dir: Path) -> str:
    """Sessions of this user with other data folders, in words: a person in a hurry may name the wrong one."""
    here = data_dir.absolute()
    others = [h for h in held_by_user() if h.folder and Path(h.folder).parent != here]
    return "".join(
        f" But process {h.pid} trades with the data folder {Path(h.folder).parent}: to reach it, add "
        f"--data-dir {Path(h.folder).parent} before the command."
        for h in others
    )


def _verdict(outcomes: list[Outcome]) -> int:
    if any(not o.latched or (o.answered and not o.flat) or o.flat is False for o in outcomes):
        return FAILED
    return FLAT if any(o.answered for o in outcomes) else LATCHED_ONLY


async def _kill_all(accounts: list[Found], reason: str, follow_s: float) -> list[Outcome]:
    return list(await asyncio.gather(*(_kill_one(found, reason, follow_s) for found in accounts)))


async def _kill_one(found: Found, reason: str, follow_s: float) -> Outcome:
    asked = await _first_answer(found, Request(do="kill", reason=reason))
    failure = _latch(found.folder, reason)
    if asked is not None:
        return await _followed(found, asked[0], follow_s, failure)
    known = last_known(found.folder / STORE_FILE)
    if failure:
        text = f"{found.mode}: NOT latched: no session answers and {failure}.{_held_by(known)}"
    elif found.held:
        text = (
            f"{found.mode}: process {found.pid or '?'} holds the account but does not answer. The kill switch is "
            f"latched in {KillLatch(found.folder).path}: it flattens as soon as it runs again, and so does the next "
            f"start. If it hangs, end it and start tui-trader --mode {found.mode}.{_held_by(known)}"
        )
    else:
        text = (
            f"{found.mode}: no session runs with {found.folder}, so nothing was closed. The kill switch is latched: "
            "the next start comes up killed and flattens what it finds. To do that now: "
            f"tui-trader --mode {found.mode} run --headless."
            f"{_held_by(known)}"
        )
    flat = False if found.held else None
    return Outcome(mode=found.mode, answered=False, latched=not failure, flat=flat, text=text, open=known)


def _latch(folder: Path, reason: str) -> str:
    try:
        KillLatch(folder).latch(reason, clock.wall_ms())
    except OSError as error:
        return f"{KillLatch(folder).path} cannot be written ({error.strerror})"
    return ""


async def _followed(found: Found, path: Path, follow_s: float, failure: str) -> Outcome:
    """Watch the session until it has nothing open, or patience ends."""
    until = clock.monotonic() + follow_s
    status: dict[str, Any] = {}
    while True:
        try:
            status = (await ask(path, Request(do="status"), timeout_s=ASK_S)).status
        except SessionBusyError as error:
            text = f"{found.mode}: killed, but it does not answer any more: {error}"
            return Outcome(mode=found.mode, answered=True, latched=not failure, flat=False, text=text)
        flat = bool(status.get("killed")) and status.get("positions") == 0 and not status.get("under_way")
        if flat or clock.monotonic() >= until:
            break
        await asyncio.sleep(POLL_S)
    rows: Any = status.get("open", [])
    still: list[dict[str, Any]] = [] if flat else rows
    if flat:
        text = f"{found.mode}: killed and flat. No entries until a person re-arms (R in the console)."
    else:
        left = "; ".join(_position(row) for row in still) or "orders are still under way"
        text = f"{found.mode}: killed, NOT flat after {follow_s:g} s, it goes on trying: {left}"
    if failure:
        text += f" A restart may not know of it: {failure}."
    return Outcome(mode=found.mode, answered=True, latched=not failure, flat=flat, text=text, open=still)


# --- what the store last knew ---


def last_known(path: Path) -> list[dict[str, Any]]:
    """Open positions as the store last knew them; empty when it says nothing. Never raises."""
    from tui_trader.store.queries import open_read_only

    try:
        with closing(open_read_only(path)) as db:
            bodies = db.execute("SELECT body FROM plans WHERE closed_ms IS NULL ORDER BY plan_id").fetchall()
    except (sqlite3.Error, StoreError, TuiTraderError):
        return []
    return [row for (body,) in bodies if (row := _plan_facts(body)) is not None]


def _plan_facts(body: object) -> dict[str, Any] | None:
    try:
        plan = msgspec.json.decode(str(body), type=dict[str, Any])
        qty = Decimal(str(plan["entered"])) - Decimal(str(plan["exited"]))
        stop = Decimal(str(plan.get("stop_price") or 0))
    except (msgspec.MsgspecError, KeyError, InvalidOperation):
        return None
    if qty <= 0:
        return None
    return {"symbol": str(plan.get("symbol")), "side": str(plan.get("side")), "qty": str(qty), "stop": str(stop)}


def _held_by(known: list[dict[str, Any]]) -> str:
    if not known:
        return ""
    rows = ", ".join(f"{row['symbol']} {row['side']} {row['qty']} (stop {row['stop']})" for row in known)
    return f" As last known, the stops that rest at the venue hold: {rows}."
