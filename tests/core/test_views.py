"""What the console draws is frozen and complete: no view can change the engine."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from tui_trader.core import views
from tui_trader.core.types import Channel

VIEWS = [
    kind
    for _, kind in inspect.getmembers(views, inspect.isclass)
    if issubclass(kind, views.View) and kind.__module__ == views.__name__
]


@pytest.mark.parametrize("kind", VIEWS, ids=lambda k: k.__name__)
def test_every_view_is_frozen_and_says_what_it_is(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen
    assert kind.__doc__
    hints = inspect.get_annotations(kind, eval_str=True)
    assert not [n for n, h in hints.items() if getattr(h, "__origin__", h) in (list, dict, set)], "nothing mutable"


def test_a_frozen_view_refuses_to_change() -> None:
    view = views.ChannelView(channel=Channel.REST, up=True, age_ms=0.0, latency_ms=1.0)
    with pytest.raises(AttributeError):
        view.up = False  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(view), type=views.ChannelView) == view
