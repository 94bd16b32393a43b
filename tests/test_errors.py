"""Errors carry an exit code, and a venue's error its code."""

from __future__ import annotations

import inspect
import sys

from tui_trader import errors
from tui_trader.errors import ConfigError, RateLimited, StoreError, TuiTraderError, UsageError, VenueError


def test_every_error_ends_a_command_and_says_what_to_do() -> None:
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) > 10
    for cls in classes:
        assert issubclass(cls, TuiTraderError)
        assert cls.exit_code in (1, 2)
        assert cls.__doc__


def test_mistakes_of_the_caller_exit_with_two() -> None:
    assert (ConfigError.exit_code, UsageError.exit_code, StoreError.exit_code) == (2, 2, 1)


def test_a_venue_error_keeps_the_venues_code() -> None:
    error = RateLimited("wait", code=-1003, retry_after_ms=1_500)
    assert isinstance(error, VenueError)
    assert (str(error), error.code, error.retry_after_ms) == ("wait", -1003, 1_500)


def test_a_missing_extra_names_the_command_for_this_environment() -> None:
    error = errors.missing_extra("--fast needs numba", "research", ImportError("No module named 'numba'"))
    assert error.exit_code == 2
    assert str(error) == (
        "--fast needs numba (No module named 'numba'); in the folder of tui-trader: "
        f"{sys.executable} -m pip install -e '.[research]'"
    )
