"""Which hosts may be spoken to, and how: TLS to the venue's own hosts, plain text only on loopback, nothing else.

A key is worth money to whoever sees it, so an address is not believed because it stands in a setting: in testnet and
live mode it is one of the venue's own hosts at port 443, or this machine.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from tui_trader.errors import ConfigError, VenueUnreachable

REAL_HOSTS: Mapping[str, tuple[str, str]] = {
    "testnet": ("https://demo-fapi.binance.com", "wss://demo-fstream.binance.com"),
    "live": ("https://fapi.binance.com", "wss://fstream.binance.com"),
}
"""The venue's own addresses by mode: (REST, websockets)."""

_ALLOWED: Mapping[str, frozenset[str]] = {
    "testnet": frozenset({"demo-fapi.binance.com", "demo-fstream.binance.com"}),
    "live": frozenset({"fapi.binance.com", "fstream.binance.com"}),
}
_TLS_PORT = 443


def addresses(mode: str, rest_url: str = "", ws_url: str = "") -> tuple[str, str]:
    """The (REST, websocket) addresses of a mode with a real account; what is given takes the place of the venue's own.

    Raises ``ConfigError`` for a host that is neither the venue's for this mode nor this machine, and for a pair of
    which only one is this machine: half of a session must not run somewhere else.
    """
    own_rest, own_ws = REAL_HOSTS[mode]
    rest = checked_base(rest_url or own_rest, "rest_url", ("https", "http"))
    ws = checked_base(ws_url or own_ws, "ws_url", ("wss", "ws"))
    here = [on_loopback(url) for url in (rest, ws)]
    if here[0] != here[1]:
        raise ConfigError(
            f"venue.rest_url is {rest} and venue.ws_url is {ws}: only one of them is this machine. Give both or none."
        )
    for url, what in ((rest, "rest_url"), (ws, "ws_url")):
        host = urlsplit(url).hostname or ""
        if not on_loopback(url) and host not in _ALLOWED[mode]:
            raise ConfigError(
                f"venue.{what} names {host}, which is no host of the venue in {mode} mode; the key would go there. "
                f"Leave it empty for the venue's own ({', '.join(sorted(_ALLOWED[mode]))}). Nothing was sent."
            )
    return rest, ws


def checked_base(url: str, what: str, schemes: tuple[str, str]) -> str:
    """``url`` without a trailing slash: a scheme, a host and nothing more. ``schemes`` is (secure, plain).

    Raises ``ConfigError``.
    """
    parts, port = _split(url)
    secure, plain = schemes
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        raise ConfigError(f"{what} {_shown(url)} is not a {secure}:// address; correct venue.{what} and start again.")
    if parts.username or parts.password or "@" in parts.netloc:
        raise ConfigError(f"{what} holds a user name or password; keys belong in the credentials file.")
    loopback = on_loopback(url)
    if parts.scheme == plain and not loopback:
        raise ConfigError(
            f"{what} {_shown(url)} is not encrypted and not on this machine, so the key would travel in the open; "
            f"use {secure}://."
        )
    if not loopback and port not in (None, _TLS_PORT):
        raise ConfigError(f"{what} {_shown(url)} names port {port}; beyond this machine only 443 is spoken to.")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(f"{what} {_shown(url)} holds more than scheme and host; correct venue.{what}.")
    return url.rstrip("/")


def on_loopback(url: str) -> bool:
    """True when ``url`` points at this machine by a name or number that cannot point elsewhere."""
    parts, _ = _split(url)
    host = (parts.hostname if parts is not None else None) or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> tuple[SplitResult | None, int | None]:
    """The parts of an address and its port; None for one that only some readers would understand."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None, None
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        return None, None


def _shown(url: str) -> str:
    """An address for a message, without what stands before an @: it may be a password."""
    text = "".join(char if char.isprintable() else "�" for char in url[:100])
    head, at, tail = text.rpartition("@")
    return repr(f"…@{tail}" if at and head else text)


class HostGuard:
    """Refuses any URL outside the configured bases, so that a library's built-in address is never reached."""

    def __init__(self, *bases: str) -> None:
        self._allowed = frozenset((urlsplit(base).scheme, urlsplit(base).netloc) for base in bases)

    def check(self, url: str) -> None:
        """Raises ``VenueUnreachable`` when ``url`` is not on a configured host; nothing was sent then."""
        parts, _ = _split(url)
        if parts is None or (parts.scheme, parts.netloc) not in self._allowed:
            where = f"{parts.scheme}://{parts.hostname}" if parts is not None else "an address with odd signs"
            raise VenueUnreachable(f"not sent: {where} is not the configured venue. Check venue.rest_url.")


def tls_context() -> ssl.SSLContext:
    """TLS 1.2 or newer, certificate and host name verified against the bundled authorities.

    Nothing in the environment changes it: neither ``SSL_CERT_FILE`` (other authorities) nor ``SSLKEYLOGFILE`` (session
    keys in a file), which ``ssl.create_default_context`` both obeys.
    """
    import certifi

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=certifi.where())
    return context
