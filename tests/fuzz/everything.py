"""All targets with their shares of a campaign."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.desk_target import Trader
from tests.fuzz.file_targets import (
    ConfigFile,
    Emergency,
    ExchangeRequests,
    FaultFile,
    Numbers,
    RecordingFile,
    Store,
)
from tests.fuzz.targets import AccountReads, Control, Errors, Market, Private, Recording, RestAnswers, Target


@contextmanager
def all_targets(only: str = "") -> Iterator[list[tuple[Target, float]]]:
    """Every target (or the one called ``only``) with its share of the frames; files live in a temporary folder."""
    with TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        makers = (
            (Market, (), 0.36), (Private, (), 0.28), (RestAnswers, (), 0.12), (AccountReads, (), 0.04),
            (Errors, (), 0.05), (Control, (), 0.03), (Recording, (), 0.06), (ExchangeRequests, (), 0.02),
            (Numbers, (), 0.01), (ConfigFile, (folder,), 0.006), (Emergency, (folder,), 0.005),
            (Store, (folder,), 0.005), (RecordingFile, (folder,), 0.002), (FaultFile, (folder,), 0.006),
            (Trader, (), 0.015),
        )  # fmt: skip
        chosen = [(maker, args, share) for maker, args, share in makers if only in ("", maker.name)]
        targets: list[tuple[Target, float]] = [(maker(*args), 1.0 if only else share) for maker, args, share in chosen]
        try:
            yield targets
        finally:
            for target, _ in targets:
                target.close()
