"""Listen keys of the user data stream. They live in real time, since clients renew them by the real clock."""

import hashlib
from collections.abc import Callable

from tui_trader.exchange.accounts import Account
from tui_trader.exchange.reject import VenueError

LIFETIME_S = 3600.0
"""A key lives 60 minutes after its last renewal."""


class ListenKeys:
    """One key per account; asking again returns the same key and extends it."""

    def __init__(self, monotonic: Callable[[], float], salt: str) -> None:
        self._monotonic = monotonic
        self._salt = salt
        self._made = 0
        self._by_key: dict[str, tuple[Account, float]] = {}

    def create(self, account: Account) -> str:
        """Return the account's key, extended, or a new one."""
        for key, (owner, _) in self._by_key.items():
            if owner is account:
                self._by_key[key] = (account, self._monotonic() + LIFETIME_S)
                return key
        self._made += 1
        key = hashlib.sha256(f"{self._salt}{account.api_key}{self._made}".encode()).hexdigest()
        self._by_key[key] = (account, self._monotonic() + LIFETIME_S)
        return key

    def renew(self, account: Account) -> str:
        """Extend the account's key; raise -1125 when it has none."""
        for key, (owner, _) in self._by_key.items():
            if owner is account:
                self._by_key[key] = (account, self._monotonic() + LIFETIME_S)
                return key
        raise VenueError(-1125, "This listenKey does not exist.")

    def close(self, account: Account) -> None:
        """Forget the account's key."""
        self._by_key = {key: entry for key, entry in self._by_key.items() if entry[0] is not account}

    def forget(self) -> None:
        """Forget every key, as a restart of the venue does."""
        self._by_key.clear()

    def owner(self, key: str) -> Account | None:
        """Return the account a live key belongs to."""
        entry = self._by_key.get(key)
        return entry[0] if entry else None

    def expire(self, key: str) -> Account | None:
        """Let a key run out at once and return its account."""
        entry = self._by_key.pop(key, None)
        return entry[0] if entry else None

    def pop_expired(self) -> list[tuple[str, Account]]:
        """Forget and return the keys whose time is up."""
        now = self._monotonic()
        due = [(key, entry[0]) for key, entry in self._by_key.items() if entry[1] <= now]
        for key, _ in due:
            del self._by_key[key]
        return due
