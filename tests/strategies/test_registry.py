"""Strategies by name, shipped and a person's own; what cannot be is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.build import settings
from tui_trader.errors import ConfigError
from tui_trader.strategies.registry import SHIPPED, build_strategies, known_names

OWN = """
from tui_trader.strategies.base import BarStrategy

class Mine(BarStrategy):
    name = "mine"
"""
DECLARED = """
from tui_trader.core.parameters import Parameter
Mine.parameters = (Parameter(name="n", default={default}, low={low}, high=20, step={step}, text="bars"),)
"""


def test_enabled_strategies_in_order() -> None:
    wanted = ("volume_breakout", "ma_crossover", "htf_sweep", "divergence_capitulation")
    assert tuple(build_strategies(settings(strategies={"enabled": wanted}))) == wanted


def test_a_file_in_the_own_folder_is_picked_up_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "_draft.py").write_text("raise SystemExit")
    chosen = settings(strategies={"enabled": ("mine",), "folder": str(tmp_path)})
    found = build_strategies(chosen)
    assert type(found["mine"]).__name__ == "Mine"
    assert known_names(chosen.strategies)[-1] == "mine"


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("x = 1", 0o600, "holds no class derived from BarStrategy with name = 'mine'"),
        ("1 / 0", 0o600, "cannot be run: ZeroDivisionError"),
        ("raise SystemExit(3)", 0o600, "cannot be run: SystemExit: 3"),
        (OWN + DECLARED.format(low=10, default=5, step=1), 0o600, "'n' needs low ≤ default ≤ high"),
        (OWN + DECLARED.format(low=1, default=5, step=0), 0o600, "step 0"),
        (OWN, 0o620, "may be written by others"),
        (
            OWN + "    def __init__(self):\n        raise RuntimeError('no')\n",
            0o600,
            "cannot be used: RuntimeError: no",
        ),
        (OWN + "    parameters = ({'name': 'n'},)\n", 0o600, "cannot be used: TypeError: .*'n'.* is no Parameter"),
        (OWN + "    parameters = None\n", 0o600, "cannot be used: TypeError"),
        (OWN + DECLARED.format(low=1, default="'5'", step=1), 0o600, "cannot be used: TypeError"),
        (OWN + "    timeframe = ['5m']\n", 0o600, r"its timeframe is \['5m'\]"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, mode: int, words: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=words):
        build_strategies(settings(strategies={"enabled": ("mine",), "folder": str(tmp_path)}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"enabled": ("magic",)}, "there is no strategy 'magic'"),
        ({"folder": "/nowhere/at/all"}, "is not a folder"),
        ({"parameters": {"magic.size": 1.0}}, "strategies.parameters.magic.size: there is no strategy 'magic'"),
        ({"parameters": {"ma_crossover.size": 1.0}}, "there is no parameter 'size'"),
        ({"parameters": {"ma_crossover.length": 2.0}}, "length = 2 is not within 5 to 400"),
        ({"timeframes": {"ma_crossover": "2m"}}, "use one of 1m, 5m"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_strategies(settings(strategies=changes))


def test_a_shipped_name_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "ma_crossover.py").write_text(OWN)
    with pytest.raises(ConfigError, match="name of a shipped strategy"):
        build_strategies(settings(strategies={"enabled": ("ma_crossover",), "folder": str(tmp_path)}))


@pytest.mark.parametrize("kind", SHIPPED)
def test_declared_parameters_are_consistent(kind: type) -> None:
    assert kind.parameters
    for parameter in kind.parameters:
        assert parameter.low <= parameter.default <= parameter.high
        assert parameter.checked(parameter.default) == parameter.default
        steps = (parameter.default - parameter.low) / parameter.step
        assert steps == pytest.approx(round(steps)), "a search can find the default again"
        assert parameter.text
