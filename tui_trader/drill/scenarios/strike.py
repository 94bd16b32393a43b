"""Faults by hand: the next requests, frames or conditional orders of one kind, struck for certain."""

from __future__ import annotations

from tui_trader.drill.scenario import Stage
from tui_trader.exchange.fault_rules import FaultKind, FaultRule

PLACE = "POST /fapi/v1/order"
PLACE_STOP = "POST /fapi/v1/algoOrder"
CANCEL = "DELETE /fapi/v1/order"
CANCEL_STOP = "DELETE /fapi/v1/algoOrder"
QUERY = "GET /fapi/v1/order"
QUERY_STOP = "GET /fapi/v1/algoOrder"
READS = "GET *"
EVERYTHING = "* /fapi/*"
PRIVATE = "private*"
ORDERS = "private ORDER_TRADE_UPDATE"
ALGOS = "private ALGO_UPDATE"


def strike(
    stage: Stage,
    kind: FaultKind,
    path: str = "",
    count: int = 1,
    *,
    ms: int = 0,
    for_ms: int = 0,
    text: str = "",
    share: float = -1.0,
    retry_after_s: int = 0,
    size: int = 0,
) -> int:
    """The next ``count`` (0: all) opportunities at ``path`` are struck; returns the rule's number."""
    return stage.faults.add(
        FaultRule(
            kind=kind,
            rate=1.0,
            path=path,
            count=count,
            ms=ms,
            for_ms=for_ms,
            text=text,
            share=share,
            retry_after_s=retry_after_s,
            size=size,
        )
    )


def late(stage: Stage, path: str, ms: int, *, answer: bool = False, count: int = 1) -> int:
    """The next ``count`` (0: all) requests at ``path``, or their answers, are held up for exactly ``ms``."""
    text = "answer" if answer else "request"
    return strike(stage, FaultKind.delay, path, count, ms=ms, text=text, share=1.0)


def answer(
    stage: Stage, path: str, status: int, code: int, text: str, count: int = 1, *, acted: bool = False, for_ms: int = 0
) -> int:
    """The next ``count`` requests at ``path`` are answered with an error; ``acted`` says whether it was done all the
    same. Returns the rule's number."""
    return stage.faults.add(
        FaultRule(
            kind=FaultKind.http,
            rate=1.0,
            path=path,
            count=count,
            status=status,
            code=code,
            text=text,
            share=1.0 if acted else 0.0,
            for_ms=for_ms,
        )
    )


def hollow(stage: Stage, path: str, body: str, count: int = 1) -> int:
    """The next ``count`` (0: all) requests at ``path`` are answered with success, and nothing is done. Returns the
    rule's number."""
    rule = FaultRule(kind=FaultKind.http, rate=1.0, path=path, count=count, status=200, text=body, share=0.0)
    return stage.faults.add(rule)


class WireTap:
    """Counts the requests that arrive, by a rule that holds each up for one ms; ``refused`` those refused for being too
    many. ``counting`` ends when the rules are cleared.
    """

    def __init__(self, stage: Stage) -> None:
        self.requests = 0
        self.refused = 0
        self._stage = stage
        self._rule = strike(stage, FaultKind.reorder, EVERYTHING, 0, ms=1, share=1.0)
        self._heard = stage.faults.on_strike
        stage.faults.on_strike = self._on_strike

    @property
    def counting(self) -> bool:
        """Whether requests are still counted."""
        return self._rule in self._stage.faults.rules

    def _on_strike(self, kind: FaultKind, what: str) -> None:
        if kind is FaultKind.reorder and what.partition(" ")[2].startswith("/"):
            self.requests += 1
        elif kind in (FaultKind.rate_limited, FaultKind.banned, FaultKind.http):
            self.refused += 1
            self.requests += 1
        if self._heard is not None:
            self._heard(kind, what)
