"""Numbers as a person reads them in a reason."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tui_trader.core.text import number, percent, whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("43521.7500"), "43,521.75"),
        (200_000, "200,000"),
        (1.150, "1.15"),
        (0, "0"),
        (-0.000000001, "0"),
        (Decimal("-12.50"), "-12.5"),
        (100, "100"),
    ],
)
def test_number(value: Decimal | float, text: str) -> None:
    assert number(value) == text


def test_places_percent_and_whole() -> None:
    assert number(1.23456, 2) == "1.23"
    assert [percent(0.034), percent(Decimal("0.15")), percent(0.00034, 3)] == ["3.4 %", "15 %", "0.034 %"]
    assert [whole(1_234_567.8), whole(Decimal("0.4"))] == ["1,234,568", "0"]
