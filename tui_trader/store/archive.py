"""Put a store aside whole, so that a new one can begin: a new demo account must not inherit another one's past."""

from __future__ import annotations

import re
from pathlib import Path

from tui_trader.errors import StoreError
from tui_trader.store.emergency import FILE_NAME
from tui_trader.store.opening import PARTS, EpochMark, put_aside


def archive_store(path: Path, stamp_ms: int, keep: int = 5) -> Path | None:
    """Rename the closed store at ``path`` (and its emergency log) by ``stamp_ms``; keep the newest ``keep`` archives.

    Returns the archive's path, None when there was no store. Call only while no process has the store open. Raises
    ``StoreError`` when it cannot be moved.
    """
    if not path.exists():
        return None
    try:
        target = put_aside(path, "", stamp_ms)
        mark = EpochMark(path).path
        if mark.exists():
            mark.rename(target.with_suffix(".epoch"))
        emergency = path.with_name(FILE_NAME)
        if emergency.exists():
            emergency.rename(target.with_suffix(".emergency.jsonl"))
        _prune(path, keep)
    except OSError as error:
        raise StoreError(
            f"The store of the last demo account, {path}, cannot be put aside ({error.strerror}). Nothing was started; "
            "make the folder writable or name another with --data-dir."
        ) from error
    return target


def _prune(path: Path, keep: int) -> None:
    pattern = re.compile(rf"^{re.escape(path.stem)}-(\d+){re.escape(path.suffix)}$")
    found = sorted((int(m.group(1)), p) for p in path.parent.iterdir() if (m := pattern.match(p.name)))
    for _, old in found[: max(0, len(found) - keep)]:
        for part in PARTS:
            old.with_name(old.name + part).unlink(missing_ok=True)
        old.with_suffix(".epoch").unlink(missing_ok=True)
        old.with_suffix(".emergency.jsonl").unlink(missing_ok=True)
