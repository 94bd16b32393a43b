"""Whether this process may open positions: live trading is armed by a person, for one start, with a harmless key."""

from __future__ import annotations

from tui_trader.errors import ArmingError
from tui_trader.venues.base import KeyPermissions
from tui_trader.venues.hosts import on_loopback

__all__ = ["armed_for", "check_permissions", "on_loopback"]


def armed_for(mode: str, venue: str, *, arm: bool, typed: str, protect_only: bool = False) -> bool:
    """True when entries may be opened in ``mode``; False when the session may only protect what is open.

    Demo and testnet arm themselves: no money is at stake. Live needs ``arm`` and the venue's name, typed by a person.
    Raises ``ArmingError`` when live was neither armed nor asked to protect only.
    """
    if mode != "live":
        return True
    if protect_only and not arm:
        return False
    if not arm:
        raise ArmingError(
            "Live trading is not armed, nothing was sent. Start with --mode live --arm and type the venue's name when "
            "asked."
        )
    if typed.strip().lower() != venue.lower():
        raise ArmingError(f"Live trading is not armed: the name typed is not {venue!r}. Nothing was sent; start again.")
    return True


def check_permissions(permissions: KeyPermissions, *, mode: str, real_host: bool, allow_unknown: bool = False) -> None:
    """Refuse a key that could do harm or cannot trade. Raises ``ArmingError`` in words.

    In live mode a key that may withdraw or transfer is refused, and so is one of which the venue would not say, unless
    ``allow_unknown`` (venue.allow_unknown_permissions). ``real_host`` is False for a simulated exchange on loopback,
    which may not know the question.
    """
    if permissions.hedge_mode:
        raise ArmingError(
            "The account is in hedge mode, in which reduce-only exits are not possible. Switch it to one-way mode at "
            "the venue (position mode), then start again. Nothing was sent."
        )
    if mode != "live":
        return
    for may, what in ((permissions.can_withdraw, "withdraw"), (permissions.can_transfer, "transfer")):
        if may:
            raise ArmingError(
                f"This API key can {what} funds. A trading key must not: make one without that permission at the "
                "venue, put it in place of this one, then start again. Nothing was sent."
            )
        if may is None and real_host and not allow_unknown:
            raise ArmingError(
                f"The venue would not say whether this API key can {what} funds, so it is treated as if it could. Try "
                "again later, or make a key that may read its own permissions. If the venue cannot say it at all, "
                "venue.allow_unknown_permissions = true trades on your word. Nothing was sent."
            )
    if not permissions.can_trade:
        raise ArmingError(
            "This API key may not trade futures. Allow futures trading for it at the venue, or use another key. "
            "Nothing was sent."
        )
