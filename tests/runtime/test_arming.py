from __future__ import annotations

import pytest

from tui_trader.errors import ArmingError
from tui_trader.runtime.arming import armed_for, check_permissions, on_loopback
from tui_trader.venues.base import KeyPermissions


@pytest.mark.parametrize("mode", ["demo", "testnet"])
def test_where_no_money_is_at_stake_a_session_arms_itself(mode: str) -> None:
    assert armed_for(mode, "binance", arm=False, typed="")


def test_live_needs_the_flag_and_the_typed_name() -> None:
    """I24."""
    assert armed_for("live", "binance", arm=True, typed=" Binance ")
    for arm, typed in ((False, ""), (False, "binance"), (True, ""), (True, "bybit")):
        with pytest.raises(ArmingError):
            armed_for("live", "binance", arm=arm, typed=typed)


def test_live_without_arming_may_only_protect() -> None:
    assert armed_for("live", "binance", arm=False, typed="", protect_only=True) is False
    with pytest.raises(ArmingError):
        armed_for("live", "binance", arm=True, typed="wrong", protect_only=True)


def allowed(**changes: object) -> KeyPermissions:
    facts: dict[str, object] = {"can_trade": True, "can_withdraw": False, "can_transfer": False, "hedge_mode": False}
    return KeyPermissions(**(facts | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("permissions", "word"),
    [
        (allowed(can_withdraw=True), "withdraw"),
        (allowed(can_withdraw=None), "would not say whether this API key can withdraw"),
        (allowed(can_transfer=True), "can transfer"),
        (allowed(can_transfer=None), "would not say whether this API key can transfer"),
        (allowed(hedge_mode=True), "hedge"),
        (allowed(can_trade=False), "may not trade"),
    ],
)
def test_a_harmful_or_useless_key_is_refused(permissions: KeyPermissions, word: str) -> None:
    with pytest.raises(ArmingError, match=word):
        check_permissions(permissions, mode="live", real_host=True)


def test_what_is_let_through() -> None:
    check_permissions(allowed(), mode="live", real_host=True)
    check_permissions(allowed(can_withdraw=None), mode="live", real_host=False)
    check_permissions(allowed(can_withdraw=True, can_transfer=True), mode="testnet", real_host=True)
    unsaid = allowed(can_withdraw=None, can_transfer=None)
    check_permissions(unsaid, mode="live", real_host=True, allow_unknown=True)
    for harmful in (allowed(can_withdraw=True), allowed(can_withdraw=None, can_transfer=True)):
        with pytest.raises(ArmingError, match="must not"):
            check_permissions(harmful, mode="live", real_host=True, allow_unknown=True)
    with pytest.raises(ArmingError):
        check_permissions(allowed(can_withdraw=True), mode="live", real_host=False)
    with pytest.raises(ArmingError):
        check_permissions(allowed(hedge_mode=True), mode="testnet", real_host=True)


def test_loopback() -> None:
    assert on_loopback("http://127.0.0.1:1")
    assert on_loopback("http://localhost:1")
    assert on_loopback("http://[::1]:1")
    assert not on_loopback("https://fapi.binance.com")
    assert not on_loopback("https://127.0.0.1.example.com")
