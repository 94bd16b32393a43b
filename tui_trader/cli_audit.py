"""``tui-trader audit verify``: whether the audit log is the one that was written."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from tui_trader.cli_context import Globals, emit
from tui_trader.core.plain import plain
from tui_trader.errors import StoreError
from tui_trader.runtime.log import LOG_FILE
from tui_trader.store import STORE_FILE
from tui_trader.store.audit import Notes, Report, anchor_of, verify
from tui_trader.store.queries import open_read_only

_SHOWN = 20


def verify_audit(options: Globals, modes: tuple[str, ...], as_json: bool) -> int:
    """Check the chain of each mode's store against itself and the session logs beside it; 1 when anything is wrong.

    Raises ``StoreError`` when there is no store at all.
    """
    folder = options.folder()
    stores = [(mode, folder / mode / STORE_FILE) for mode in modes]
    there = [(mode, path) for mode, path in stores if path.exists()]
    if not there:
        where = stores[0][1] if len(stores) == 1 else folder
        raise StoreError(
            f"There is no store at {where}, so there is no audit log: nothing was recorded yet with this data folder. "
            "Another one is named by --data-dir before the command."
        )
    found = [(mode, path, _checked(path)) for mode, path in there]
    whole = all(isinstance(report, Report) and report.whole for _, _, report in found)
    if as_json:
        stores_told = [_document(mode, path, report) for mode, path, report in found]
        emit({"data_dir": str(folder), "whole": whole, "stores": stores_told})
    else:
        for mode, path, report in found:
            _say(mode, path, report)
    return 0 if whole else 1


def _checked(path: Path) -> Report | str:
    """The report on a store, or why there is none."""
    try:
        return check(path)
    except StoreError as error:
        return str(error)


def _document(mode: str, path: Path, report: Report | str) -> dict[str, object]:
    if isinstance(report, str):
        return {"mode": mode, "store": str(path), "whole": False, "error": report}
    return {
        "mode": mode,
        "store": str(path),
        "whole": report.whole,
        "rows": report.rows,
        "chain": report.chain,
        "head": {"seq": report.head.seq, "hash": report.head.hash},
        "anchors": report.anchors,
        "others": list(report.others),
        "faults": [{"row": f.row, "kind": f.kind, "words": f.words} for f in report.faults],
    }


def check(path: Path) -> Report:
    """The report on the store at ``path``. Raises ``StoreError``."""
    try:
        with closing(open_read_only(path)) as db:
            return verify(db, _notes(path))
    except sqlite3.Error as error:
        raise StoreError(
            f"The audit log of {path} cannot be checked ({error}). A store of an older tui-trader gets its chain at "
            "the next start; a damaged one is restored from a backup."
        ) from None


def _notes(path: Path) -> Notes:
    """What the session logs beside the store say, oldest first; a log that cannot be read proves nothing, so it is
    said. A store that stands aside in the same folder accounts for its own log.
    """
    notes = Notes()
    for log in sorted(path.parent.glob(f"{LOG_FILE}*"), reverse=True):
        try:
            with log.open("rb") as file:
                notes.read(file)
        except OSError as error:
            sys.stderr.write(f"note: {log} cannot be read ({error.strerror}); its heads are not compared\n")
    for aside in path.parent.glob(f"{path.stem}-*{path.suffix}"):
        anchor = anchor_of(aside)
        if anchor is not None:
            notes.closed.add(anchor.chain)
    return notes


def _say(mode: str, path: Path, report: Report | str) -> None:
    if isinstance(report, str):
        print(f"✗ {mode}: {plain(report)}")
        return
    for fault in report.faults[:_SHOWN]:
        print(f"✗ {plain(fault.words)}")
    if len(report.faults) > _SHOWN:
        print(f"✗ and {len(report.faults) - _SHOWN} more")
    notes = f"{report.anchors} note{'s' * (report.anchors != 1)} of the session log compared"
    if report.whole:
        print(f"✓ {mode}: the audit log of {path} is whole: {report.rows} rows, {notes}")
        print(f"  newest row {report.head}")
        if report.others:
            print(f"  Logs of stores that were put aside here: {', '.join(report.others)}.")
        if not report.anchors and report.rows:
            print("  No start or stop is noted in the session log yet: an older copy would not show.")
    else:
        first = min((fault.row for fault in report.faults if fault.row), default=0)
        where = f"; the first wrong row is {first}" if first else ""
        print(
            f"✗ {mode}: the audit log of {path} is NOT the one that was written{where} ({report.rows} rows, {notes})."
        )
        print("  Trust the venue's own account history, keep a copy of this folder, and find out who could write here.")
