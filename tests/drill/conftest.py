"""A kill at every effect takes minutes: it runs when asked for, with ``-m crashpoints``."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "crashpoints: a kill at every effect of every canonical scenario (minutes)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "crashpoints" in str(config.getoption("markexpr")):
        return
    left_out = [item for item in items if item.get_closest_marker("crashpoints")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
