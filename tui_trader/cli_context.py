"""What the commands share: global options, numbers from people, JSON out, the crash file."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_trader.errors import TuiTraderError, UsageError
from tui_trader.store import STORE_FILE

if TYPE_CHECKING:
    from tui_trader.config import Loaded

INTERRUPTED = 130
"""Exit code of what Ctrl-C cut short."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_SYMBOL = re.compile(r"[A-Z0-9]{2,30}(_[0-9]{6})?", re.ASCII)
_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD")
_LARGEST = Decimal(10) ** 15
_SMALLEST = Decimal(10) ** -12


class Globals(msgspec.Struct, frozen=True, kw_only=True):
    """Options that stand before the command. ``overrides`` are settings given as flags, by path;
    ``record`` is a file that the session is recorded to."""

    config: Path | None = None
    data_dir: Path | None = None
    mode: str = "demo"
    overrides: dict[str, object] = {}
    arm: bool = False
    take_over: bool = False
    record: Path | None = None

    def load(self, more: Mapping[str, object] | None = None) -> Loaded:
        """The settings in force; ``more`` are overrides of the command itself. Raises ``ConfigError``."""
        from tui_trader.config import find_config, load

        return load(find_config(self.config), environ=os.environ, overrides={**self.overrides, **(more or {})})

    def folder(self) -> Path:
        """The data folder, made if need be. Raises ``ConfigError``."""
        from tui_trader.config import data_dir

        return data_dir(self.data_dir)

    def store_path(self) -> Path:
        """The store of this mode: a demo's trades never stand beside a live account's."""
        return self.folder() / self.mode / STORE_FILE


def number(
    name: str, text: str, *, low: Decimal | int = 0, above: bool = True, high: Decimal | int = _LARGEST
) -> Decimal:
    """A number a person typed: plain ASCII digits, finite, over ``low`` (or equal, unless ``above``), ≤ ``high``.

    Raises ``UsageError`` that names the option, what was typed and what would be right.
    """
    right = f"a number {'over' if above else 'at least'} {low:,} and at most {high:,}"
    if not (len(text) <= 40 and _NUMBER.fullmatch(text)):
        raise UsageError(f"{name} {_shown(text)} cannot be used: it must be {right}, in plain digits like 43500.5.")
    value = Decimal(text)
    if value < low or (above and value == low) or value > high:
        raise UsageError(f"{name} {_shown(text)} cannot be used: it must be {right}.")
    if value != 0 and abs(value) < _SMALLEST:
        raise UsageError(f"{name} {_shown(text)} cannot be used: no venue has numbers that small.")
    return value


def optional(name: str, text: str | None, *, low: Decimal | int = 0, above: bool = True) -> Decimal | None:
    """Like ``number``, for an option that may be missing."""
    return None if text is None else number(name, text, low=low, above=above)


def symbol_of(text: str) -> tuple[str, str]:
    """A contract's symbol and its base asset. Raises ``UsageError``."""
    name = text.upper() if text.isascii() else text
    if not _SYMBOL.fullmatch(name):
        raise UsageError(f"{_shown(text)} is no symbol; it must be letters and digits, like BTCUSDT.")
    quote = next((quote for quote in _QUOTES if name.endswith(quote) and len(name) > len(quote)), "")
    return name, name.removesuffix(quote)


def side_of(text: str) -> str:
    """The side, as long or short. Raises ``UsageError``."""
    known = {"long": "long", "buy": "long", "short": "short", "sell": "short"}
    if text.lower() not in known:
        raise UsageError(f"{_shown(text)} is no side; use long or short.")
    return known[text.lower()]


def emit(document: object) -> None:
    """One JSON document on stdout; amounts as exact text."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=2).decode("utf-8") + "\n")


def crash_report(error: Exception, words: list[str]) -> str:
    """Write a crash file and say where it is. Local values are not written: they may hold keys."""
    import traceback

    from tui_trader import __version__, clock
    from tui_trader.config import data_dir
    from tui_trader.private import open_private
    from tui_trader.secret import everywhere

    text = everywhere("".join(traceback.format_exception(error)))
    what = f"tui-trader met a bug ({type(error).__name__}). Positions keep the stops that rest at the venue."
    explicit = os.environ.get("TP_DATA_DIR")
    for word, following in pairwise([*words, ""]):
        if word.partition("=")[0] == "--data-dir":
            explicit = word.partition("=")[2] or following or explicit
    try:
        path = data_dir(Path(explicit) if explicit else None) / f"crash-{clock.wall_ms()}.txt"
        descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"tui-trader {__version__}, Python {sys.version}\n\n{text}")
    except (TuiTraderError, OSError):
        return f"{what} No crash file could be written. The last line was: {text.strip().splitlines()[-1]}"
    return f"{what} Details for a report stand in {path}."


def _shown(text: str) -> str:
    return '"' + "".join(char if char.isprintable() else "�" for char in text[:40]) + '"'
