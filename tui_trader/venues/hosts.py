"""Which hosts may be spoken to, and how: TLS, plain text only on loopback, nothing that is not configured."""

from __future__ import annotations

from urllib.parse import urlsplit

from tui_trader.errors import ConfigError, VenueUnreachable

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def checked_base(url: str, what: str, schemes: tuple[str, str]) -> str:
    """``url`` without a trailing slash. ``schemes`` is (secure, plain). Raises ``ConfigError``."""
    parts = urlsplit(url)
    secure, plain = schemes
    if parts.scheme not in schemes or not parts.hostname:
        raise ConfigError(f"{what} {url!r} is not a {secure}:// address; correct venue.{what} and start again.")
    if parts.scheme == plain and parts.hostname not in _LOOPBACK:
        raise ConfigError(
            f"{what} {url!r} is not encrypted and not on this machine, so the key would travel in the open; use {secure}://."
        )
    if parts.username or parts.password:
        raise ConfigError(f"{what} holds a user name or password; keys belong in the credentials file.")
    return url.rstrip("/")


class HostGuard:
    """Refuses any URL outside the configured bases, so that a library's built-in address is never reached."""

    def __init__(self, *bases: str) -> None:
        self._allowed = frozenset((urlsplit(base).scheme, urlsplit(base).netloc) for base in bases)

    def check(self, url: str) -> None:
        """Raises ``VenueUnreachable`` when ``url`` is not on a configured host; nothing was sent then."""
        parts = urlsplit(url)
        if (parts.scheme, parts.netloc) not in self._allowed:
            raise VenueUnreachable(
                f"not sent: {parts.scheme}://{parts.hostname} is not the configured venue. Check venue.rest_url."
            )
