"""API keys: read from a private place, held so that no log, repr or traceback shows them.

The first place that holds anything for the mode is used:

1. systemd credentials: ``$CREDENTIALS_DIRECTORY/tui-trader-key`` and ``tui-trader-secret`` (``LoadCredential=``);
2. ``credentials.toml`` in the data folder, mode 0600, with a section per mode;
3. the keyring of the operating system (extra ``keyring``): service ``tui-trader``, names ``live-key``, ``live-secret``;
4. ``TP_API_KEY`` and ``TP_API_SECRET`` in the environment, with a warning.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tui_trader.errors import ConfigError
from tui_trader.secret import ENVIRONMENT_NAMES, HIDDEN, Secret, everywhere, no_core_dumps

__all__ = ["CREDENTIALS_FILE", "Credentials", "Secret", "credentials"]

CREDENTIALS_FILE = "credentials.toml"
SERVICE = "tui-trader"
_MAX_BYTES = 65_536
_OS_KEYRINGS = frozenset(
    f"keyring.backends.{name}" for name in ("SecretService", "libsecret", "kwallet", "macOS", "Windows")
)
"""Backends that keep secrets in the operating system. All others (plain files, none at all) are refused."""

_Pair = tuple[str, str]


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key and its secret for one mode; ``source`` is where they came from, ``warning`` what a person should know."""

    key: str
    secret: Secret
    warning: str = ""
    source: str = ""

    def __repr__(self) -> str:
        return f"Credentials(key={self.key[:4]}{HIDDEN}, secret={HIDDEN})" if self.key else "Credentials(none)"

    def __rich_repr__(self) -> Any:
        yield repr(self)


def credentials(mode: str, environ: Mapping[str, str], data_dir: Path) -> Credentials:
    """The key for ``mode`` ("testnet" or "live"), from the places that the module names, in their order.

    Demo mode needs none and gets an empty pair. From the moment a key is read, core dumps of this process are off and
    its log never holds it. Raises ``ConfigError`` in words when there is none, when a file may be read by others, or
    when it is malformed; no message ever holds the key.
    """
    if mode == "demo":
        return Credentials(key="", secret=Secret(""))
    path = data_dir / CREDENTIALS_FILE
    no_core_dumps()
    from_environment = _environment(environ, path)
    pair, source, missing = _kept(mode, environ, path)
    warning = ""
    if pair is not None and from_environment is not None:
        warning = f"TP_API_KEY and TP_API_SECRET in the environment are not used: {source} holds the key. Unset them."
    if pair is None and from_environment is not None:
        pair, source = from_environment, "environment"
        warning = (
            "The API key comes from the environment, which other programs of this account can read; "
            f"the file {path} with mode 0600 is safer."
        )
    if pair is None:
        raise ConfigError(f"There is no API key for {mode} mode{missing}. {_how(mode, path)}")
    key, secret = (_clean(text, f"{source} {name}") for text, name in zip(pair, ("key", "secret"), strict=True))
    everywhere.learn(key, secret)
    return Credentials(key=key, secret=Secret(secret), warning=warning, source=source)


def _kept(mode: str, environ: Mapping[str, str], path: Path) -> tuple[_Pair | None, str, str]:
    """The pair from the first private place, that place in words, and what was found odd on the way."""
    pair = _from_systemd(environ)
    if pair is not None:
        return pair, "the systemd credential", ""
    pair, in_file = _from_file(mode, path)
    if pair is not None:
        return pair, str(path), ""
    pair, in_keyring = _from_keyring(mode)
    return pair, "the keyring", in_file + in_keyring


def _how(mode: str, path: Path) -> str:
    return f'Write {path} (mode 0600) with a section [{mode}] holding key = "…" and secret = "…".'


def _environment(environ: Mapping[str, str], path: Path) -> _Pair | None:
    key, secret = (environ.get(name, "").strip() for name in ENVIRONMENT_NAMES)
    if bool(key) != bool(secret):
        raise ConfigError(f"Only one of TP_API_KEY and TP_API_SECRET is set; set both, or neither and use {path}")
    return (key, secret) if key else None


def _from_systemd(environ: Mapping[str, str]) -> _Pair | None:
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        return None
    found = [_read_private(Path(folder) / f"tui-trader-{name}", mode_needed=False) for name in ("key", "secret")]
    if found == [None, None]:
        return None
    if found[0] is None or found[1] is None:
        raise ConfigError(
            f"Only one of the systemd credentials tui-trader-key and tui-trader-secret is in {folder}; load both."
        )
    return found[0].strip(), found[1].strip()


def _from_file(mode: str, path: Path) -> tuple[_Pair | None, str]:
    """The section of ``mode``, and in words that a file is there without one ("" when there is no file)."""
    text = _read_private(path, mode_needed=True)
    if text is None:
        return None, ""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is not valid TOML. {_how(mode, path)}") from None
    section = table.get(mode)
    if not isinstance(section, dict):
        return None, f" ({path} has no section [{mode}])"
    key, secret = section.get("key"), section.get("secret")
    if not (isinstance(key, str) and isinstance(secret, str) and key and secret):
        raise ConfigError(f"Section [{mode}] of {path} lacks key or secret. {_how(mode, path)}")
    return (key, secret), ""


def _read_private(path: Path, *, mode_needed: bool) -> str | None:
    """The text of a file whose owner and mode were looked at before a byte was read; None when there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"The API key file {path} cannot be read ({error.strerror}).") from None
    try:
        problem = _untrusted(os.fstat(descriptor), path, mode_needed)
        if problem:
            raise ConfigError(f"{problem}; nothing was read from it.")
        data = os.read(descriptor, _MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError
        return data.decode("utf-8-sig")
    except ValueError:
        raise ConfigError(f"{path} is no file of keys (not UTF-8 text, or larger than {_MAX_BYTES:,} bytes).") from None


def _untrusted(facts: os.stat_result, path: Path, mode_needed: bool) -> str:
    if not stat.S_ISREG(facts.st_mode):
        return f"{path} is not a regular file"
    if facts.st_uid not in (os.getuid(), 0):
        return f"{path} belongs to another user, who could change it"
    if mode_needed and stat.S_IMODE(facts.st_mode) & 0o077:
        return f"Others may read {path} (run: chmod 600 {path})"
    return ""


def _from_keyring(mode: str) -> tuple[_Pair | None, str]:
    """The pair in the system's keyring, and in words why it was not asked or could not answer ("" when it did)."""
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        return None, ""
    try:
        backend = keyring.get_keyring()
        odd = _not_of_the_system(backend)
        if odd:
            return None, f" (the keyring {odd} is not used: it does not keep secrets in the operating system)"
        key, secret = (backend.get_password(SERVICE, f"{mode}-{name}") for name in ("key", "secret"))
    except Exception as error:  # noqa: BLE001 - each backend has its own exceptions; a locked keyring is told, not raised
        return None, f" (the keyring does not answer: {type(error).__name__})"
    if bool(key) != bool(secret):
        raise ConfigError(f"The keyring holds only one of {mode}-key and {mode}-secret for {SERVICE}; store both.")
    return ((str(key), str(secret)) if key else None), ""


def _not_of_the_system(backend: object) -> str:
    """The name of a backend that is not the operating system's; "" when all that would be asked are."""
    parts = [backend]
    if type(backend).__module__ == "keyring.backends.chainer":
        with contextlib.suppress(TypeError):
            parts = list(getattr(backend, "backends", ()))
    for part in parts:
        kind = type(part)
        if kind.__module__ not in _OS_KEYRINGS:
            return f"{kind.__module__}.{kind.__qualname__}"[:100]
    return "" if parts else "keyring.backends.chainer (empty)"


def _clean(text: str, where: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > 4096:
        raise ConfigError(f"{where} holds characters that no API key has; paste it again without line breaks.")
    return text
