"""What no page lists, several seeds each."""

from __future__ import annotations

import pytest

from tui_trader.drill.play import play
from tui_trader.drill.scenarios import ATTACKS


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ATTACKS)
def test_protected_or_flat_and_never_doubled(name: str, seed: int) -> None:
    """I1, I2, I3, I7, I8, I10, I14, I15."""
    play(name, seed)
