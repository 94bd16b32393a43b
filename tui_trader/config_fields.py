"""What each setting accepts and what its environment variable is called; derived from ``core.settings``.

Nothing here reads a file or the environment: ``tui_trader.config`` does. Values from a file arrive typed, values from
the environment as text; both are turned into what the field wants, or refused with words that say what would be right.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import get_args, get_origin

import annotated_types
import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tui_trader.core.settings import Settings

ENV_PREFIX = "TP_"

NAMED_IN_SPEC: Mapping[str, str] = {
    "TP_MIN_VOLUME_24H": "universe.min_volume_24h",
    "TP_MAX_SPREAD_BPS": "universe.max_spread_bps",
    "TP_MIN_DEPTH": "universe.min_depth",
    "TP_MAX_UNIVERSE_SIZE": "universe.max_size",
    "TP_AUTO_UPDATE_SECONDS": "universe.refresh_s",
    "TP_ALLOWED_TIERS": "universe.allowed_tiers",
    "TP_BASE_RISK_FRAC": "sizing.base_risk_frac",
    "TP_MIN_AI_RISK_FACTOR": "sizing.min_ai_risk_factor",
    "TP_MAX_AI_RISK_FACTOR": "sizing.max_ai_risk_factor",
    "TP_MAX_RISK_FRAC": "sizing.max_risk_frac",
    "TP_MIN_MARGIN": "sizing.min_margin",
    "TP_MAX_MARGIN": "sizing.max_margin",
    "TP_LEVERAGE_MAIN": "sizing.leverage_main",
    "TP_LEVERAGE_L1": "sizing.leverage_l1",
    "TP_LEVERAGE_L2": "sizing.leverage_l2",
    "TP_LEVERAGE_MIN": "sizing.leverage_min",
    "TP_DEFAULT_LEVERAGE": "sizing.default_leverage",
    "TP_MAX_TOTAL_RISK": "limits.max_total_risk",
    "TP_MAX_POSITIONS": "limits.max_positions",
    "TP_ENABLED": "limits.enabled",
    "TP_ATR_PERIOD": "ladder.atr_period",
    "TP_ATR_TIMEFRAME": "ladder.atr_timeframe",
    "TP_ATR_MULT_SL": "ladder.atr_mult_sl",
    "TP_ATR_MULT_TP1": "ladder.atr_mult_tp1",
    "TP_ATR_MULT_TP2": "ladder.atr_mult_tp2",
    "TP_ATR_MULT_BE": "ladder.atr_mult_be",
    "TP_PARTIAL_CLOSE_TP1": "ladder.partial_close_tp1",
    "TP_PARTIAL_CLOSE_TP2": "ladder.partial_close_tp2",
    "TP_TRAIL_DIST_MULT": "ladder.trail_dist_mult",
    "TP_FUNDING_PRE_WINDOW": "funding.pre_window_min",
    "TP_FUNDING_POST_WINDOW": "funding.post_window_min",
    "TP_MIN_LONG_FUNDING": "funding.min_long_funding",
    "TP_MAX_SHORT_FUNDING": "funding.max_short_funding",
    "TP_MAX_ABS_FUNDING": "funding.max_abs_funding",
}
"""Environment names of their own; every other key's is ``TP_<SECTION>_<KEY>``."""

NOT_SETTINGS = frozenset({"TP_API_KEY", "TP_API_SECRET", "TP_CONFIG", "TP_DATA_DIR", "TP_LOCK_DIR"})
"""Names with the prefix that the product reads elsewhere."""

_NUMBER = re.compile(r"[+-]?(\d[\d_]*)?(\.\d[\d_]*)?([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d[\d_]*", re.ASCII)
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


class Wrong(ValueError):  # noqa: N818 - a verdict on one value, turned into a ConfigError by the caller
    """A value is not what its field wants; the text says what would be right."""


class FieldSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: ``path`` is "section.key" (or "preset"), ``right`` the words for what it accepts."""

    path: str
    kind: str
    right: str
    env: str
    default: object
    choices: tuple[str, ...] = ()


@cache
def fields() -> dict[str, FieldSpec]:
    """Every setting by its path, in the order of ``core.settings``."""
    by_path = {path: env for env, path in NAMED_IN_SPEC.items()}
    found: dict[str, FieldSpec] = {}
    for name, info in Settings.model_fields.items():
        model = info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            for key, inner in model.model_fields.items():
                path = f"{name}.{key}"
                found[path] = _spec(path, inner, by_path.get(path, f"{ENV_PREFIX}{name}_{key}".upper()))
        else:
            found[name] = _spec(name, info, f"{ENV_PREFIX}{name}".upper())
    return found


@cache
def environment() -> dict[str, str]:
    """Environment variable → setting path, for every setting."""
    return {spec.env: path for path, spec in fields().items()}


def closest(word: str, known: Iterable[str]) -> str:
    """A "did you mean" for a misspelt name, or the empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def from_text(spec: FieldSpec, text: str) -> object:
    """The value of an environment variable or a flag, as the field's type. Raises ``Wrong``."""
    text = text.strip()
    if spec.kind == "bool":
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise Wrong("it must be true or false")
    if spec.kind in ("float", "decimal", "int"):
        return _number(spec, text)
    if spec.kind == "list":
        return tuple(_choice(spec, part.strip()) for part in text.split(",") if part.strip())
    if spec.kind in ("map", "numbers"):
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        if any(not (key.strip() and equals and value.strip()) for key, equals, value in pairs):
            raise Wrong("it must be pairs, like A=B,C=D")
        texts = {key.strip(): value.strip() for key, _, value in pairs}
        return texts if spec.kind == "map" else {key: _number(spec, value) for key, value in texts.items()}
    return _choice(spec, text)


def from_typed(spec: FieldSpec, value: object) -> object:
    """A value as TOML or Python gave it, as the field's type. Raises ``Wrong``; never guesses across types."""
    if isinstance(value, StrEnum):
        value = str(value)
    if spec.kind == "bool":
        return _expect(isinstance(value, bool), value, "true or false, without quotes")
    if spec.kind in ("float", "decimal", "int"):
        return _typed_number(spec, value)
    if spec.kind == "list":
        _expect(isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value), value, "a list of texts")
        return tuple(_choice(spec, item) for item in value)  # type: ignore[attr-defined]  # a list by now
    if spec.kind == "map":
        good = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
        return _expect(good, value, "a table of texts, like POL = 'MATIC'")
    if spec.kind == "numbers":
        _expect(isinstance(value, dict), value, "a table of numbers, like 'ma_crossover.length' = 90")
        return {str(key): _typed_number(spec, number) for key, number in value.items()}  # type: ignore[attr-defined]  # a table
    _expect(isinstance(value, str), value, "a text in quotes")
    return _choice(spec, str(value))


def _spec(path: str, info: FieldInfo, env: str) -> FieldSpec:
    kind, choices = _kind(info.annotation)
    pattern = next((m.pattern for m in info.metadata if getattr(m, "pattern", None)), "")
    if pattern:
        choices = tuple(pattern.strip("^$()").split("|"))
    return FieldSpec(
        path=path, kind=kind, right=_words(kind, choices, info.metadata), env=env, default=info.default, choices=choices
    )


def _kind(annotation: object) -> tuple[str, tuple[str, ...]]:
    if get_origin(annotation) is dict:
        return "numbers" if get_args(annotation)[1] is float else "map", ()
    if get_origin(annotation) is tuple:
        return "list", _kind(get_args(annotation)[0])[1]
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return "text", tuple(str(member) for member in annotation)
    kinds: dict[object, str] = {bool: "bool", int: "int", float: "float", Decimal: "decimal", str: "text"}
    return kinds[annotation], ()


def _words(kind: str, choices: tuple[str, ...], metadata: list[object]) -> str:
    if choices:
        return ("any of " if kind == "list" else "one of ") + ", ".join(choices)
    base = {
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number",
        "decimal": "an amount",
        "text": "a text",
        "list": "a list of texts",
        "map": "a table of texts",
        "numbers": "a table of numbers",
    }[kind]
    bounds = [words for item in metadata for words in _bound_words(item)]
    return f"{base} {' and '.join(bounds)}" if bounds else base


def _bound_words(item: object) -> list[str]:
    found = []
    for cls, attribute, words in (
        (annotated_types.Gt, "gt", "over"),
        (annotated_types.Ge, "ge", "at least"),
        (annotated_types.Lt, "lt", "under"),
        (annotated_types.Le, "le", "at most"),
    ):
        if isinstance(item, cls):
            limit = getattr(item, attribute)
            found.append(f"{words} {limit:,}" if isinstance(limit, int) else f"{words} {limit}")
    return found


def _expect(good: bool, value: object, words: str) -> object:
    if not good:
        raise Wrong(f"it must be {words}")
    return value


def _choice(spec: FieldSpec, text: str) -> str:
    if spec.choices and text not in spec.choices:
        for choice in spec.choices:
            if choice.lower() == text.lower():
                return choice
        raise Wrong(f"it must be {spec.right}")
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise Wrong("it must not hold control characters")
    return text


def _number(spec: FieldSpec, text: str) -> object:
    pattern = _WHOLE if spec.kind == "int" else _NUMBER
    if not (pattern.fullmatch(text) and any(char.isdigit() for char in text) and len(text) <= 40):
        raise Wrong(f"it must be {spec.right}")
    plain = text.replace("_", "")
    if spec.kind == "int":
        return int(plain)
    return Decimal(plain) if spec.kind == "decimal" else float(plain)


def _typed_number(spec: FieldSpec, value: object) -> object:
    if isinstance(value, str):
        if spec.kind == "decimal":
            return _number(spec, value)
        raise Wrong(f"it must be {spec.right}, without quotes")
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise Wrong(f"it must be {spec.right}")
    exact = Decimal(str(value))
    if not exact.is_finite() or exact.adjusted() > 18:
        raise Wrong(f"it must be {spec.right}")
    if spec.kind == "int":
        if exact != exact.to_integral_value():
            raise Wrong(f"it must be {spec.right}")
        return int(exact)
    return exact if spec.kind == "decimal" else float(exact)
