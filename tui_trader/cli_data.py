"""Commands over settings, the store and recordings."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tui_trader.cli_context import Globals, emit
from tui_trader.core.plain import plain
from tui_trader.errors import UsageError
from tui_trader.private import FILE_MODE


def show_settings(options: Globals, as_json: bool) -> int:
    """Each value in force with its source."""
    from tui_trader.config_fields import fields

    loaded = options.load()
    tree = loaded.settings.model_dump(mode="json")
    values = {path: _at(tree, path) for path in fields()}
    if as_json:
        settings = {
            path: {"value": value, "source": loaded.sources[path], "environment": fields()[path].env}
            for path, value in values.items()
        }
        emit(
            {
                "file": str(loaded.path) if loaded.path else None,
                "preset": loaded.settings.preset,
                "warnings": list(loaded.warnings),
                "settings": settings,
            }
        )
        return 0
    print(f"file: {loaded.path or 'none found, packaged defaults'}   preset: {loaded.settings.preset}")
    for path, value in values.items():
        text = msgspec.json.encode(value).decode()
        print(f"{path:36} {text if len(text) <= 40 else text[:39] + '…':40}  {loaded.sources[path]}")
    for warning in loaded.warnings:
        print(f"note: {warning}", file=sys.stderr)
    return 0


def _at(tree: dict[str, object], path: str) -> object:
    section, _, key = path.partition(".")
    inner = tree[section]
    return inner[key] if key and isinstance(inner, dict) else inner


def export_table(options: Globals, table: str, fmt: str, out: Path | None) -> int:
    """Stream a table to stdout or into a new file that only the owner reads."""
    from tui_trader.store.export import export

    pieces = export(options.store_path(), table, fmt)
    if out is None:
        shown = _harmless(pieces) if sys.stdout.isatty() else pieces
        for piece in shown:
            sys.stdout.write(piece)
        sys.stdout.flush()
        return 0
    _write(out, pieces)
    return 0


def _harmless(pieces: Iterator[str]) -> Iterator[str]:
    """Lines for a terminal: a stored text may hold what no program of ours wrote (a torn line, an edited store)."""
    for piece in pieces:
        yield "\n".join(plain(line) for line in piece.split("\n"))


def _write(out: Path, pieces: Iterator[str]) -> None:
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, FILE_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror}); give another file to --out.") from None


def replay_recording(file: Path, as_json: bool) -> int:
    """Rebuild the book of a recording; 1 when it differs from the venue's best prices, or nothing could be compared."""
    from tui_trader.venues.replay_book import replay_book

    if not file.is_file():
        raise UsageError(f"There is no recording at {file}.")
    try:
        report = replay_book(file)
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror or error}).") from None
    document = msgspec.to_builtins(report)
    if as_json:
        emit(document)
    else:
        for name, value in document.items():
            print(f"{name:15} {value}")
    if not report.checks:
        print(f"Nothing in {file} could be compared: it holds no recorded order book, or is damaged.", file=sys.stderr)
    return 1 if report.mismatches or not report.checks else 0
