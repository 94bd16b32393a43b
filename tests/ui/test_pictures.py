"""Pictures of the console at four sizes; look at the report of a failing one before updating it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.ui.shoot import SCENES, SIZES
from tui_trader.ui.app import ConsoleApp

_SCENES = {
    "main": SIZES,
    "empty": ((80, 24), (160, 50)),
    "alarm": ((80, 24), (160, 50)),
    "killed": ((80, 24), (120, 40)),
    "ticket": ((80, 24), (120, 40)),
    "help": ((120, 40),),
    "detail": ((120, 40),),
    "light": ((120, 40),),
    "mono": ((120, 40),),
    "equity": ((80, 24),),
    "chart": ((80, 24),),
    "ladder": ((80, 24),),
    "bare": ((80, 24), (160, 50)),
    "bare_mono": ((80, 24),),
    "story": ((80, 24), (160, 50)),
    "risk": ((80, 24),),
    "signals": ((80, 24),),
    "signal": ((80, 24), (160, 50)),
    "strategies": ((80, 24), (160, 50)),
    "strategy": ((80, 24), (160, 50)),
    "failed": ((80, 24),),
}


@pytest.mark.parametrize(
    ("scene", "size"),
    [(scene, size) for scene, sizes in _SCENES.items() for size in sizes],
    ids=lambda value: value if isinstance(value, str) else f"{value[0]}x{value[1]}",
)
def test_picture(scene: str, size: tuple[int, int], snap_compare: Callable[..., Any]) -> None:
    build, keys = SCENES[scene]

    async def press(pilot: Any) -> None:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()

    assert snap_compare(ConsoleApp(build()), terminal_size=size, run_before=press)
