"""API keys: read from a private file, held so that no log, repr or traceback shows them."""

from __future__ import annotations

import hmac
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import msgspec

from tui_trader.errors import ConfigError

CREDENTIALS_FILE = "credentials.toml"


class Secret:
    """A text that never prints. ``reveal`` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for signing and nothing else."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(…)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not stored or sent")


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key and its secret for one mode; ``warning`` is what a person should be told about where they came from."""

    key: str
    secret: Secret
    warning: str = ""

    def __repr__(self) -> str:
        return f"Credentials(key={self.key[:4]}…, secret=…)" if self.key else "Credentials(none)"


def credentials(mode: str, environ: Mapping[str, str], data_dir: Path) -> Credentials:
    """The key for ``mode`` ("testnet" or "live"), from ``TP_API_KEY``/``TP_API_SECRET`` or ``credentials.toml``.

    Demo mode needs none and gets an empty pair. Raises ``ConfigError`` in words when there is none, when the file may
    be read by others, or when it is malformed; no message ever holds the key.
    """
    if mode == "demo":
        return Credentials(key="", secret=Secret(""))
    path = data_dir / CREDENTIALS_FILE
    key, secret = environ.get("TP_API_KEY", "").strip(), environ.get("TP_API_SECRET", "").strip()
    if bool(key) != bool(secret):
        raise ConfigError("Only one of TP_API_KEY and TP_API_SECRET is set; set both, or neither and use " + str(path))
    if key:
        warning = (
            "The API key comes from the environment, which other programs of this account can read; "
            f"the file {path} with mode 0600 is safer."
        )
        return Credentials(
            key=_clean(key, "TP_API_KEY"), secret=Secret(_clean(secret, "TP_API_SECRET")), warning=warning
        )
    return _from_file(mode, path)


def _from_file(mode: str, path: Path) -> Credentials:
    how = f'Write {path} (mode 0600) with a section [{mode}] holding key = "…" and secret = "…".'
    try:
        status = path.stat()
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"There is no API key for {mode} mode. {how}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The API key file {path} cannot be read ({type(error).__name__}). {how}") from None
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(f"Others may read {path}; nothing was read from it. Run: chmod 600 {path}")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise ConfigError(f"{path} is not valid TOML. {how}") from None
    section = table.get(mode)
    if not isinstance(section, dict):
        raise ConfigError(f"{path} has no section [{mode}]. {how}")
    key, secret = section.get("key"), section.get("secret")
    if not (isinstance(key, str) and isinstance(secret, str) and key and secret):
        raise ConfigError(f"Section [{mode}] of {path} lacks key or secret. {how}")
    return Credentials(key=_clean(key, f"{path} key"), secret=Secret(_clean(secret, f"{path} secret")))


def _clean(text: str, where: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > 512:
        raise ConfigError(f"{where} holds characters that no API key has; paste it again without line breaks.")
    return text
