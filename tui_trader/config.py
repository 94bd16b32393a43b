"""Reads the settings: packaged defaults, preset, file, environment, flags; each value with its source.

Whatever is unknown or impossible is refused with a ``ConfigError`` that names the file and line (or the variable), the
key, the value, and what would be right. Nothing is ever silently ignored.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import platformdirs
from pydantic import BaseModel, ValidationError

from tui_trader.config_fields import (
    ENV_PREFIX,
    NOT_SETTINGS,
    FieldSpec,
    Wrong,
    closest,
    environment,
    fields,
    from_text,
    from_typed,
)
from tui_trader.core.candles import TIMEFRAMES
from tui_trader.core.settings import Settings
from tui_trader.core.types import Tier
from tui_trader.credentials import Credentials, Secret, credentials
from tui_trader.errors import ConfigError
from tui_trader.private import private_folder

__all__ = [
    "KNOWN_STRATEGIES",
    "PRESETS",
    "Credentials",
    "Loaded",
    "Secret",
    "credentials",
    "data_dir",
    "default_settings",
    "find_config",
    "load",
]

APP = "tui-trader"
MAX_FILE_BYTES = 1_000_000
KNOWN_STRATEGIES = ("ma_crossover", "htf_sweep", "volume_breakout", "divergence_capitulation")

PRESETS: Mapping[str, Mapping[str, object]] = {
    "standard": {},
    "conservative": {
        "universe.min_volume_24h": 10_000_000.0,
        "universe.max_spread_bps": 2.0,
        "sizing.base_risk_frac": 0.005,
        "sizing.max_risk_frac": 0.02,
        "ladder.atr_mult_sl": 1.5,
    },
    "aggressive": {
        "universe.min_volume_24h": 2_000_000.0,
        "universe.max_spread_bps": 5.0,
        "sizing.base_risk_frac": 0.02,
        "sizing.max_risk_frac": 0.05,
        "ladder.atr_mult_sl": 0.8,
        "ladder.atr_mult_tp2": 3.0,
    },
    "ultra_conservative": {
        "universe.min_volume_24h": 1_000_000.0,
        "sizing.model": "fixed_margin",
        "sizing.fixed_margin": Decimal("0.50"),
        "sizing.leverage_main": 10,
        "sizing.leverage_l1": 10,
        "sizing.leverage_l2": 10,
        "sizing.default_leverage": 10,
        "limits.daily_loss": Decimal("5.00"),
        "limits.total_loss": Decimal("10.00"),
        "ladder.fixed_sl_pct": 2.0,
        "ladder.fixed_tp_pct": 4.0,
    },
}
"""Values that a preset lays over the defaults."""

_FLAGS = {
    "preset": "--preset",
    "venue.name": "--venue",
    "demo.seed": "--seed",
    "demo.speed": "--speed",
    "ui.low_bandwidth": "--low-bandwidth",
}
_PROXY = re.compile(r"http://[A-Za-z0-9.-]{1,253}:[0-9]{1,5}", re.ASCII)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force, and for each path ("universe.min_depth") the words for where its value came from."""

    settings: Settings
    sources: dict[str, str]
    path: Path | None = None
    warnings: tuple[str, ...] = ()


class _Value(msgspec.Struct, frozen=True):
    value: object
    source: str


_Layer = dict[str, _Value]


def load(
    config_file: Path | None, *, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> Loaded:
    """The settings from all sources; ``config_file`` is what ``find_config`` found, or None for none.

    ``overrides`` are flags by path ("demo.speed" → 5.0). Raises ``ConfigError``.
    """
    defaults = _packaged()
    in_file = {} if config_file is None or _is_packaged(config_file) else _file_layer(config_file)
    in_environment = _environment_layer(environ)
    in_flags = _flag_layer(overrides or {})
    preset = {**defaults, **in_file, **in_environment, **in_flags}["preset"]
    chosen = {key: _Value(value, f"preset {preset.value}") for key, value in PRESETS[str(preset.value)].items()}
    repeated = {key for key in chosen if key in in_file and in_file[key].value == defaults[key].value}
    edited = {key: value for key, value in in_file.items() if key not in repeated}
    merged = {**defaults, **chosen, **edited, **in_environment, **in_flags}
    settings = _validated(merged)
    _check_across(settings, merged)
    warnings = _preset_warning(str(preset.value), in_file, repeated, merged)
    sources = {key: merged[key].source for key in fields()}
    return Loaded(settings=settings, sources=sources, path=config_file, warnings=warnings)


def default_settings() -> Settings:
    """The packaged defaults alone: no file, no environment; for tests and for comparison."""
    return load(None, environ={}).settings


def find_config(explicit: Path | None, *, cwd: Path | None = None) -> Path | None:
    """The config file in force: ``explicit``, ``./config.toml``, the user's folder, or None (packaged defaults)."""
    if explicit is not None:
        if not explicit.is_file():
            raise ConfigError(
                f"There is no config file at {explicit}; give an existing file to --config or leave it out."
            )
        return explicit
    folders = (cwd or Path.cwd(), platformdirs.user_config_path(APP))
    return next((folder / "config.toml" for folder in folders if (folder / "config.toml").is_file()), None)


def data_dir(explicit: Path | None) -> Path:
    """The folder for store, logs and keys, created readable by its owner only (0700). Raises ``ConfigError``."""
    path = explicit if explicit is not None else platformdirs.user_data_path(APP)
    try:
        private_folder(path)
        writable = os.access(path, os.W_OK | os.X_OK)
    except OSError as error:
        raise ConfigError(
            f"The data folder {path} cannot be used ({error.strerror}); give another with --data-dir."
        ) from None
    if not writable:
        raise ConfigError(f"The data folder {path} cannot be written to; give another with --data-dir.")
    return path


@cache
def packaged_config() -> Path:
    """The ``config.toml`` with all defaults: inside the installed package, or at the top of a checkout."""
    here = Path(__file__).resolve().parent
    for candidate in (here / "config.toml", here.parent / "config.toml"):
        if candidate.is_file():
            return candidate
    raise ConfigError("The installation is incomplete: its config.toml is missing; install tui-trader again.")


@cache
def _packaged() -> _Layer:
    layer = _file_layer(packaged_config())
    missing = [key for key in fields() if key not in layer]
    if missing:
        raise ConfigError(f"The packaged config.toml lacks {', '.join(missing)}; install tui-trader again.")
    return {key: _Value(value.value, "default") for key, value in layer.items()}


def _is_packaged(path: Path) -> bool:
    try:
        return path.samefile(packaged_config()) or path.read_bytes() == packaged_config().read_bytes()
    except OSError:
        return False


# --- layers ---


def _file_layer(path: Path) -> _Layer:
    text, shown = _read(path), _shown(path)
    try:
        table = tomllib.loads(text, parse_float=Decimal)
    except RecursionError:
        raise ConfigError(f"{shown} is not valid TOML: it nests too deeply. Correct it there.") from None
    except ValueError as error:
        raise ConfigError(f"{shown} is not valid TOML: {error}. Correct it there.") from None
    lines = _key_lines(text)
    layer: _Layer = {}
    for key, value in _flatten(table):
        where = f"{shown}:{lines[key]}" if key in lines else shown
        spec = fields().get(key)
        if spec is None:
            raise ConfigError(_unknown_key(where, key))
        layer[key] = _Value(_accept(spec, value, where, from_typed), where)
    return layer


def _environment_layer(environ: Mapping[str, str]) -> _Layer:
    layer: _Layer = {}
    known = environment()
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX) or name in NOT_SETTINGS:
            continue
        if name not in known:
            hint = closest(name, [*known, *NOT_SETTINGS])
            raise ConfigError(f"The environment variable {name} is no setting of tui-trader{hint or '; unset it.'}")
        spec = fields()[known[name]]
        where = f"environment {name}"
        layer[spec.path] = _Value(_accept(spec, environ[name], where, _text_only), where)
    return layer


def _flag_layer(overrides: Mapping[str, object]) -> _Layer:
    layer: _Layer = {}
    for key, value in overrides.items():
        where = f"flag {_FLAGS.get(key, key)}"
        spec = fields().get(key)
        if spec is None:
            raise ConfigError(_unknown_key(where, key))
        layer[key] = _Value(_accept(spec, value, where, from_text if isinstance(value, str) else from_typed), where)
    return layer


def _text_only(spec: FieldSpec, value: object) -> object:
    return from_text(spec, str(value))


def _accept(spec: FieldSpec, value: object, where: str, convert: Callable[[FieldSpec, str], object]) -> object:
    try:
        return convert(spec, value)  # type: ignore[arg-type]  # from_text is given texts, from_typed takes any
    except Wrong as wrong:
        raise ConfigError(f"{where}: {spec.path} = {_printed(value)} cannot be used; {wrong}.") from None


def _read(path: Path) -> str:
    shown = _shown(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(
                f"{shown} is larger than {MAX_FILE_BYTES:,} bytes, so it is no config file of tui-trader."
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror}.") from None


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def _flatten(table: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        spec = fields().get(name)
        if spec is None and isinstance(value, dict):
            if not any(key.startswith(f"{name}.") for key in fields()):
                yield name, value
            for key, inner in value.items():
                yield f"{name}.{key}", inner
        else:
            yield name, value


_SECTION = re.compile(r"\s*\[\s*([^\[\]#]+?)\s*\]")
_KEY = re.compile(r"""\s*([A-Za-z0-9_.\-"']+)\s*=""")


def _key_lines(text: str) -> dict[str, int]:
    """Line of each key and section, by a scan that skips multi-line strings; for messages only."""
    lines: dict[str, int] = {}
    section, inside = "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        if inside:
            inside = "" if inside in line else inside
            continue
        header, key = _SECTION.match(line), _KEY.match(line)
        if header:
            section = header[1].replace('"', "").replace("'", "")
            lines.setdefault(section, number)
        elif key:
            name = key[1].replace('"', "").replace("'", "")
            lines.setdefault(f"{section}.{name}" if section else name, number)
        inside = next((mark for mark in ('"""', "'''") if line.count(mark) % 2), "")
    return lines


def _unknown_key(where: str, key: str) -> str:
    section, dot, _ = key.partition(".")
    sections = {path.partition(".")[0] for path in fields()}
    if section not in sections:
        hint = closest(section, sections)
        return (
            f"{where}: there is no section or key {_clean(section)}{hint or '; known: ' + ', '.join(sorted(sections))}"
        )
    if not dot:
        return f"{where}: {key} is a section; write [{key}] and its keys below it."
    hint = closest(key, fields())
    return f"{where}: {_clean(key)} is no setting{hint or '; `tui-trader config` lists all settings.'}"


# --- validation ---


def _validated(merged: _Layer) -> Settings:
    tree: dict[str, object] = {}
    for key, item in merged.items():
        section, dot, name = key.partition(".")
        if dot:
            inner = tree.setdefault(section, {})
            if isinstance(inner, dict):
                inner[name] = item.value
        else:
            tree[key] = item.value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(dict(issue), merged) for issue in error.errors())) from None


def _explain(issue: dict[str, object], merged: _Layer) -> str:
    location = issue["loc"]
    parts = [str(part) for part in location] if isinstance(location, tuple) else []
    key = ".".join(parts[:2])
    if key in merged:
        item = merged[key]
        return f"{item.source}: {key} = {_printed(item.value)} cannot be used; it must be {fields()[key].right}."
    message = str(issue["msg"]).removeprefix("Value error, ")
    return f"[{key}] {message}. {_given(merged, [path for path in merged if path.startswith(key + '.')])}".strip()


def _given(merged: _Layer, paths: list[str]) -> str:
    chosen = [
        f"{path} = {_printed(merged[path].value)} ({merged[path].source})"
        for path in paths
        if merged[path].source != "default"
    ]
    return f"Given: {'; '.join(chosen)}." if chosen else ""


def _check_across(settings: Settings, merged: _Layer) -> None:
    """Refuses values that are fine alone and impossible together."""
    for paths, message in _contradictions(settings):
        raise ConfigError(f"{message} {_given(merged, paths)}".strip())


def _contradictions(settings: Settings) -> Iterator[tuple[list[str], str]]:
    limits, ladder, sizing = settings.limits, settings.ladder, settings.sizing
    if Tier.EXCLUDED in settings.universe.allowed_tiers:
        yield ["universe.allowed_tiers"], "universe.allowed_tiers must not hold EXCLUDED: that tier is never traded."
    if limits.daily_loss_frac > limits.total_loss_frac:
        paths = ["limits.daily_loss_frac", "limits.total_loss_frac"]
        yield paths, "limits.daily_loss_frac must not exceed limits.total_loss_frac: the day's limit would never act."
    if limits.total_loss and limits.daily_loss > limits.total_loss:
        paths = ["limits.daily_loss", "limits.total_loss"]
        yield paths, "limits.daily_loss must not exceed limits.total_loss: the day's limit would never act."
    if sizing.max_risk_frac > limits.max_total_risk:
        paths = ["sizing.max_risk_frac", "limits.max_total_risk"]
        yield paths, "sizing.max_risk_frac of one trade must not exceed limits.max_total_risk of all trades."
    bar = TIMEFRAMES[ladder.atr_timeframe] // 1000
    if ladder.max_atr_age_s <= bar:
        paths = ["ladder.max_atr_age_s", "ladder.atr_timeframe"]
        yield paths, f"ladder.max_atr_age_s must be over {bar}, one {ladder.atr_timeframe} candle, or no entry passes."
    if settings.ui.low_bandwidth_fps > settings.ui.fps:
        yield ["ui.low_bandwidth_fps", "ui.fps"], "ui.low_bandwidth_fps must not exceed ui.fps."
    yield from _impossible_names(settings)


def _impossible_names(settings: Settings) -> Iterator[tuple[list[str], str]]:
    # A person's own strategies are known once their folder has been read, where the strategies are built.
    for name in settings.strategies.enabled if not settings.strategies.folder else ():
        if name not in KNOWN_STRATEGIES:
            hint = closest(name, KNOWN_STRATEGIES) or f"; known: {', '.join(KNOWN_STRATEGIES)}"
            yield ["strategies.enabled"], f"strategies.enabled names {_printed(name)}, which is no strategy{hint}"
    for key, secure, plain in (("rest_url", "https", "http"), ("ws_url", "wss", "ws")):
        problem = _url_problem(getattr(settings.venue, key), secure, plain)
        if problem:
            yield [f"venue.{key}"], f"venue.{key} {problem}."
    if settings.venue.proxy and not _PROXY.fullmatch(settings.venue.proxy):
        yield ["venue.proxy"], "venue.proxy must be an address like http://10.0.0.1:3128, without a password."


def _url_problem(url: str, secure: str, plain: str) -> str:
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is not an address"
    if parts.scheme not in (secure, plain) or not host or port == 0:
        return f"must be an address like {secure}://host"
    if parts.username or parts.password:
        return "must not hold a user name or password"
    if parts.scheme == plain and host not in _LOOPBACK:
        return (
            f"must use {secure}:// : plain {plain}:// is allowed to this machine only, keys would travel in the clear"
        )
    return ""


def _preset_warning(preset: str, in_file: _Layer, repeated: set[str], merged: _Layer) -> tuple[str, ...]:
    hidden = sorted(key for key in repeated if merged[key].source == f"preset {preset}")
    if not hidden:
        return ()
    named = ", ".join(f"{key} ({in_file[key].source})" for key in hidden[:3]) + (" …" if len(hidden) > 3 else "")
    return (
        f"Preset {preset} decides {len(hidden)} settings that the file repeats at their default: {named}. "
        "To keep a default against the preset, set its environment variable.",
    )


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in text)[:80]


def _printed(value: object) -> str:
    if isinstance(value, BaseModel):
        return type(value).__name__
    if isinstance(value, (list, tuple)):
        return _clean("[" + ", ".join(str(item) for item in value) + "]")
    return _clean(
        f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    )
