"""Parameters: defaults, layers, bounds; a wrong name or value is refused in words."""

from __future__ import annotations

import math

import pytest

from tui_trader.core.parameters import Parameter, ParameterError, defaults, resolve

BARS = Parameter(name="bars", default=20, low=5, high=100, step=5, text="bars of the range", whole=True)
MULT = Parameter(name="mult", default=1.8, low=1.0, high=5.0, step=0.1, text="volume against the mean")


def test_later_layers_win() -> None:
    assert defaults((BARS, MULT)) == {"bars": 20, "mult": 1.8}
    assert resolve((BARS, MULT), {"bars": 30}, {"mult": 2, "bars": 40.0}) == {"bars": 40.0, "mult": 2.0}


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"size": 1}, "no parameter 'size'; known are bars, mult"),
        ({"bars": 4}, "bars = 4 is not within 5 to 100"),
        ({"bars": 5.5}, "bars = 5.5 is not a whole number"),
        ({"mult": "2"}, "mult = '2' is not a number from 1 to 5"),
        ({"mult": math.nan}, "mult = nan is not a number"),
        ({"mult": True}, "mult = True is not a number"),
        ({"mult": None}, "mult = None is not a number"),
    ],
)
def test_what_cannot_be_is_refused(layer: dict[str, object], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        resolve((BARS, MULT), layer)
