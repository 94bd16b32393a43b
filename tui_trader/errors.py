"""Errors, named by what to do next. Each message says what happened, what it means and what to do."""

from __future__ import annotations

import sys


class TuiTraderError(Exception):
    """Base of the errors that end a command with a sentence instead of a traceback."""

    exit_code = 1


class ConfigError(TuiTraderError):
    """A setting is unknown or impossible: correct it and start again."""

    exit_code = 2


class UsageError(TuiTraderError):
    """The arguments are off: call again, corrected."""

    exit_code = 2


def missing_extra(what: str, extra: str, error: ImportError) -> UsageError:
    """``what`` needs a package that stands in an extra of ours: how to install it into this very environment."""
    command = f"{sys.executable} -m pip install -e '.[{extra}]'"
    return UsageError(f"{what} ({error}); in the folder of tui-trader: {command}")


class StoreError(TuiTraderError):
    """The store cannot be read or written: entries stop, exits go on; free or mend the disk."""


class SessionBusyError(TuiTraderError):
    """Another session holds this account: take it over or leave it."""


class ArmingError(TuiTraderError):
    """Live trading was not armed: nothing was sent."""


class VenueError(TuiTraderError):
    """Base of what a venue answers. ``code`` is the venue's own code, 0 when there is none."""

    def __init__(self, message: str, code: int = 0, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_ms = retry_after_ms


class VenueRefused(VenueError):  # noqa: N818 - named by what it is: the venue's definite no
    """A definite no: the request had no effect."""


class OutcomeUnknown(VenueError):  # noqa: N818 - named by what it is: nobody knows yet
    """The request may or may not have had its effect: query, never send a new id."""


class OrderNotFound(VenueError):  # noqa: N818 - the venue's word, which alone proves nothing
    """The venue does not know the order; just after placing this proves nothing."""


class RateLimited(VenueError):  # noqa: N818 - named by what to do: wait until retry_after_ms
    """The request was not executed: be silent until ``retry_after_ms`` from now."""


class OverBudget(RateLimited):
    """This program's own budget refused the request: nothing was sent, and the venue did not say a word."""


class VenueUnreachable(VenueError):  # noqa: N818 - named by what it is
    """Nothing was sent, or a read got no answer: back off and try again."""
