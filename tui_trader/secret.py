"""Secrets in memory: a text that never prints, and what takes secrets out of texts that leave the process."""

from __future__ import annotations

import base64
import contextlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import NoReturn
from urllib.parse import quote, quote_plus

HIDDEN = "…"
ENVIRONMENT_NAMES = ("TP_API_KEY", "TP_API_SECRET")
"""Environment variables that hold secrets: read once, never handed to a child process."""
_LEAST = 4
"""Shorter texts are no secrets; replacing them would tear up ordinary words."""

_NAMED = re.compile(
    r"(?i)(signature|listen[-_]?key|api[-_]?key|api[-_]?secret|secret(?:[-_]?key)?|passphrase|authorization)"
    r"""(\\*["']?\s*[=:]\s*(?:bearer\s+)?\\*b?\\*["']?)[^\s"'\\&,;})\]]+"""
)
_HEADER = re.compile(r"""(?i)(x-mbx-apikey)(\\*["']?\s*[:=,]\s*b?\\*["']?)[^\s"'\\&,;})\]]+""")
_STREAM = re.compile(r"(?i)(/(?:ws|stream)/)[0-9a-z_-]{40,}")


class Secret:
    """A text that never prints: not by ``str``, ``repr``, ``format``, pickle, copy, JSON, nor in a traceback's locals.

    ``reveal`` is the only way to it, for signing and nothing else.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment]  # Python's own way to make it unhashable

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return f"Secret({HIDDEN})"

    def __rich_repr__(self) -> Iterable[str]:
        yield HIDDEN

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not stored, copied or sent")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret is not stored, copied or sent")

    def __dir__(self) -> list[str]:
        return ["reveal"]


def forms(secret: str) -> tuple[str, ...]:
    """How ``secret`` may stand in a text: as it is, percent-encoded, in hex, in base64 (at any of its three offsets),
    as JSON or Python escapes it. Longest first.
    """
    data = secret.encode("utf-8", "surrogatepass")
    found = {secret, data.hex(), data.hex().upper(), repr(secret)[1:-1]}
    found |= {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    found.add(secret.replace("\\", "\\\\").replace('"', '\\"'))
    for offset in range(3):
        # Six bits a sign: the signs that also hold bits of the neighbours are cut off.
        text = base64.b64encode(b"\0" * offset + data).decode().rstrip("=")
        whole = text[(0, 2, 3)[offset] : (offset + len(data)) * 8 // 6]
        found |= {whole, whole.replace("+", "-").replace("/", "_")}
    return tuple(sorted((form for form in found if len(form) >= _LEAST), key=len, reverse=True))


class Redactor:
    """Takes known secrets, and whatever is named like one (signature, listenKey, X-MBX-APIKEY …), out of a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: tuple[str, ...] = ()
        self.learn(*secrets)

    def learn(self, *secrets: str) -> None:
        """From now on these are taken out, too; texts shorter than four characters are not secrets."""
        new = {form for secret in secrets if len(secret) >= _LEAST for form in forms(secret)}
        self._forms = tuple(sorted({*self._forms, *new}, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """``text`` without secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        text = _NAMED.sub(rf"\1\2{HIDDEN}", text)
        text = _HEADER.sub(rf"\1\2{HIDDEN}", text)
        return _STREAM.sub(rf"\1{HIDDEN}", text)

    def deep(self, value: object) -> object:
        """``value`` with every text in it redacted; what is not plain data becomes its redacted ``repr``."""
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {self(str(key)): self.deep(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.deep(inner) for inner in value]
        return self(repr(value))


everywhere = Redactor()
"""Knows every secret that this process has read, for what is written where no session is at hand (a crash file)."""


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` for a child process: the variables that hold keys are left out."""
    return {name: value for name, value in environ.items() if name not in ENVIRONMENT_NAMES}


def no_core_dumps() -> None:
    """From now on a crash of this process leaves no image of its memory on the disk."""
    try:
        import resource
    except ImportError:  # a system without such limits
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
