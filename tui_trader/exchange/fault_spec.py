"""Fault rules as people write them: names of presets, and TOML or JSON files. What is wrong is said with what would be
right; nothing is guessed and nothing is ignored.

A file holds a list of rules (TOML: `[[rule]]` tables; JSON: an object with "rule", or just the list) and may name
`presets` to begin with. See docs/faults.toml.
"""

import difflib
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from tui_trader.core.plain import plain
from tui_trader.exchange.fault_presets import PRESETS
from tui_trader.exchange.fault_rules import ACTS, MIB, Act, FaultKind, FaultRule

S = TypeVar("S", FaultRule, Act)

_MOST_RULES: Final = 1000
_MOST_FILE: Final = MIB
_DAY_MS: Final = 86_400_000
_MOST_PER_HOUR: Final = 3600.0
_SYMBOL: Final = re.compile(r"[A-Z0-9_]{1,30}\Z")
_CLOCKS: Final = frozenset({FaultKind.clock_skew, FaultKind.clock_step})
_TEXTS: Final[dict[FaultKind, tuple[str, ...]]] = {
    FaultKind.symbol_status: ("", "TRADING", "SETTLING", "CLOSE", "BREAK"),
    FaultKind.cancel_elsewhere: ("", "stop", "target"),
    FaultKind.stop_rejected_at_trigger: ("", "reject", "expire"),
    FaultKind.hedge_mode: ("", "force"),
    FaultKind.delay: ("", "request", "answer"),
}
_BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "count": (0, 10**9),
    "after_ms": (0, 366 * _DAY_MS),
    "for_ms": (0, 366 * _DAY_MS),
    "code": (-99_999, 0),
    "retry_after_s": (0, 7 * 86_400),
    "size": (0, 256 * MIB),
}


class FaultSpecError(ValueError):
    """Rules that cannot be meant; the text says where and what would be right."""

    def __init__(self, text: str) -> None:
        super().__init__(plain(text)[:2_000])


def _near(word: object, choices: Iterable[str]) -> str:
    """Return a hint: the choice that was probably meant, else all of them."""
    known = sorted(choices)
    close = difflib.get_close_matches(str(word), known, 1)
    return f"did you mean '{close[0]}'?" if close else f"use one of: {', '.join(known)}"


def read_rule(row: object, where: str = "the rule") -> FaultRule:
    """Return the rule that a decoded table means. Raises `FaultSpecError`."""
    rule = _read(row, FaultRule, where)
    _check_rate(rule, where)
    for name, (low, high) in _BOUNDS.items():
        value = getattr(rule, name)
        if not low <= value <= high:
            raise FaultSpecError(f"{where}: {name} is {value}; it must be between {low} and {high}.")
    if rule.status and not 200 <= rule.status <= 599:
        raise FaultSpecError(f"{where}: status is {rule.status}; HTTP answers have 200 to 599.")
    _check_shared(rule, where)
    return rule


def read_act(row: object, where: str = "the act") -> Act:
    """Return the act that a decoded object means. Raises `FaultSpecError`."""
    act = _read(row, Act, where)
    if act.kind not in ACTS:
        hint = (
            _near(act.kind, ACTS)
            if difflib.get_close_matches(act.kind, ACTS, 1)
            else f"acts: {', '.join(sorted(ACTS))}"
        )
        raise FaultSpecError(f"{where}: {act.kind} is no act, it needs a rule; {hint}")
    _check_shared(act, where)
    return act


def _read(row: object, shape: type[S], where: str) -> S:
    if not isinstance(row, Mapping):
        raise FaultSpecError(f'{where}: expected a table of fields, such as kind = "drop_request", rate = 0.05.')
    fields = [field.name for field in msgspec.structs.fields(shape)]
    for name in row:
        if name not in fields:
            raise FaultSpecError(f"{where}: unknown field '{name}'; {_near(name, fields)}")
    kind = row.get("kind")
    if kind is None:
        raise FaultSpecError(f"{where}: 'kind' is missing; {_near('', FaultKind)}")
    if kind not in list(FaultKind):
        raise FaultSpecError(f"{where}: unknown kind '{kind}'; {_near(kind, FaultKind)}")
    try:
        return msgspec.convert(dict(row), shape)
    except msgspec.ValidationError as error:
        raise FaultSpecError(f"{where}: {str(error).replace('$.', '')}.") from error


def _check_rate(rule: FaultRule, where: str) -> None:
    is_act = rule.kind in ACTS
    most = _MOST_PER_HOUR if is_act else 1.0
    if not 0 <= rule.rate <= most:
        unit = "times per venue hour" if is_act else "a probability"
        raise FaultSpecError(f"{where}: rate is {rule.rate:g}; for {rule.kind} it is {unit}, between 0 and {most:g}.")
    if not rule.rate and not rule.count:
        raise FaultSpecError(f"{where}: it never strikes; give a rate, or a count to strike the first ones.")


def _check_shared(row: FaultRule | Act, where: str) -> None:
    low = -_DAY_MS if row.kind in _CLOCKS else 0
    if not low <= row.ms <= _DAY_MS:
        raise FaultSpecError(f"{where}: ms is {row.ms}; for {row.kind} it must be between {low} and {_DAY_MS}.")
    if not -1 <= row.share <= 1:
        raise FaultSpecError(f"{where}: share is {row.share:g}; it is a fraction of at most 1.")
    if row.side not in {"", "BUY", "SELL"}:
        raise FaultSpecError(f"{where}: side is '{row.side}'; use BUY or SELL.")
    if row.symbol and not _SYMBOL.match(row.symbol):
        raise FaultSpecError(f"{where}: symbol is '{row.symbol}'; symbols look like BTCUSDT.")
    if row.qty and not _is_quantity(row.qty):
        raise FaultSpecError(f"{where}: qty is '{row.qty}'; use a positive decimal in quotes, such as \"0.010\".")
    texts = _TEXTS.get(row.kind)
    if texts is not None and row.text not in texts:
        raise FaultSpecError(f"{where}: text is '{row.text}'; for {row.kind} {_near(row.text, filter(None, texts))}")


def check_symbols(rules: Iterable[FaultRule], symbols: Collection[str]) -> None:
    """Refuse rules about symbols that an exchange does not list. Raises `FaultSpecError`."""
    for rule in rules:
        if rule.symbol and rule.symbol not in symbols:
            raise FaultSpecError(f"{rule.kind}: there is no symbol {rule.symbol} here; {_near(rule.symbol, symbols)}")


def _is_quantity(text: str) -> bool:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return False
    return value.is_finite() and 0 < value < 10**12


def read_rules(document: object, where: str) -> tuple[FaultRule, ...]:
    """Return the rules of a decoded file. Raises `FaultSpecError`."""
    presets: object = ()
    if isinstance(document, Mapping):
        for name in document:
            if name not in {"rule", "presets"}:
                raise FaultSpecError(f"{where}: unknown entry '{name}'; {_near(name, ('rule', 'presets'))}")
        rows, presets = document.get("rule", []), document.get("presets", ())
    else:
        rows = document
    if not isinstance(rows, list) or not isinstance(presets, list | tuple):
        raise FaultSpecError(f"{where}: expected a list of rules ([[rule]] tables) and, if wanted, a list of presets.")
    if len(rows) > _MOST_RULES:
        raise FaultSpecError(f"{where}: {len(rows)} rules; at most {_MOST_RULES} are read.")
    rules = [rule for name in presets for rule in preset(name)]
    rules += [read_rule(row, f"{where}, rule {number}") for number, row in enumerate(rows, 1)]
    return tuple(rules)


def preset(name: object) -> tuple[FaultRule, ...]:
    """Return a preset's rules. Raises `FaultSpecError`."""
    found = PRESETS.get(name) if isinstance(name, str) else None
    if found is None:
        raise FaultSpecError(f"unknown preset '{name}'; {_near(name, PRESETS)}")
    return found


def load_faults(names: str) -> tuple[FaultRule, ...]:
    """Return the rules of presets and files, comma-separated. Raises `FaultSpecError`."""
    rules: list[FaultRule] = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        path = Path(name)
        if name in PRESETS:
            rules += PRESETS[name]
        elif path.suffix in {".toml", ".json"} or path.exists():
            rules += _load_file(path)
        else:
            raise FaultSpecError(f"'{name}' is neither a preset nor a file; {_near(name, PRESETS)}")
    return tuple(rules)


def _load_file(path: Path) -> tuple[FaultRule, ...]:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_FILE + 1)
    except OSError as error:
        raise FaultSpecError(f"cannot read {path}: {error.strerror or error}.") from error
    if len(raw) > _MOST_FILE:
        raise FaultSpecError(f"{path} is larger than {_MOST_FILE // MIB} MiB; no list of rules is.")
    try:
        text = raw.decode()
        document = msgspec.json.decode(text) if path.suffix == ".json" else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FaultSpecError(f"cannot read {path}: {error}.") from error
    return read_rules(document, str(path))
