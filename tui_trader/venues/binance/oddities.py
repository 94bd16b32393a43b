"""What the public and market streams say that cannot be used, in words for a person: once each, so many at most."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from tui_trader.core.events import Notice
from tui_trader.core.types import Severity
from tui_trader.venues.binance.wire import Decoder
from tui_trader.venues.text import clean

_REQUESTS_KEPT = 256
_REFUSALS_TOLD = 20
_FRAMES_TOLD = 5
_KINDS_TOLD = 10
_NAMES_SHOWN = 5
_PROTECTED = "Open positions keep the stops that rest at the venue."
_AGAIN = "It is asked for again every half minute."


class Oddities:
    """Counts of a session's market streams, and the sentences about them that nobody was told yet.

    A refused subscription is told once for each text and symbols, a frame that cannot be read once for each text, an
    impossible value once for each kind of value; beyond the limits they are counted only.
    """

    def __init__(self) -> None:
        self.refused = 0
        self.impossible = 0
        self._asked: OrderedDict[int, tuple[str, tuple[str, ...]]] = OrderedDict()
        self._told: dict[str, set[str]] = {"refused": set(), "frame": set(), "value": set()}
        self._frames = 0
        self._news: list[str] = []

    def asked(self, request: int, method: str, streams: Iterable[str]) -> None:
        """A request to (un)subscribe was sent; its answer will name ``request`` only."""
        self._asked[request] = method, tuple(streams)
        if len(self._asked) > _REQUESTS_KEPT:
            self._asked.popitem(last=False)

    def answer(self, request: object, error: dict[str, object] | None) -> None:
        """The venue's word on a request; ``error`` is None when it was granted."""
        method, streams = self._asked.pop(request, ("", ())) if isinstance(request, int) else ("", ())
        if error is None:
            return
        self.refused += 1
        words = clean(f"{error.get('msg', 'no reason given')} (code {error.get('code', 'none')})", 200)
        if method == "UNSUBSCRIBE":
            text = (
                f"the venue refused to stop streaming {_names(streams)}: {words}. What it goes on sending is not used; "
                "nothing needs to be done."
            )
        else:
            text = f"the venue refused to stream {_names(streams)}: {words}. {_meaning(streams)} {_PROTECTED} {_AGAIN}"
        self._tell("refused", text, text, _REFUSALS_TOLD)

    def value(self, kind: str, symbol: str) -> None:
        """A value of ``kind`` (a quote, a candle) that cannot be true came for ``symbol`` and was left out."""
        self.impossible += 1
        text = (
            f"the venue sent {kind} of {symbol} that cannot be true: it is left out, as every later one. Where none "
            f"follows that can, the symbol grows stale and entries there are refused. {_PROTECTED} Compare with the "
            "venue's own page before trading the symbol by hand; the workers' pane (W) counts on."
        )
        self._tell("value", kind, text, _KINDS_TOLD)

    def news(self, decoder: Decoder, ts: int) -> list[Notice]:
        """What was not told yet, as of venue time ``ts`` in ms; ``decoder`` counts the frames that cannot be read."""
        if decoder.garbage > self._frames:
            self._frames = decoder.garbage
            text = (
                f"the venue sent a market frame that cannot be read and is left out: {clean(decoder.last_garbage, 200)}"
                f". A book that misses it is fetched anew; until then the symbol is stale and entries there are refused"
                f". {_PROTECTED} If the workers' pane (W) counts on, look for a newer version: the format may be "
                "the venue's new one."
            )
            self._tell("frame", text, text, _FRAMES_TOLD)
        news, self._news = self._news, []
        return [Notice(ts=ts, severity=Severity.WARNING, text=text) for text in news]

    def counts(self, reconnects: int, unread: int, private: int) -> str:
        """All counts in words, with the links made anew, the unread market frames and the unused private events."""
        return (
            f"{reconnects} reconnects, {unread} frames unread, {self.impossible} values left out, "
            f"{private} private events unused, {self.refused} requests refused"
        )

    def _tell(self, group: str, key: str, text: str, most: int) -> None:
        told = self._told[group]
        if key not in told and len(told) < most:
            told.add(key)
            self._news.append(text)


def _names(streams: Iterable[str]) -> str:
    symbols = list(dict.fromkeys(stream.partition("@")[0].upper() for stream in streams))
    if not symbols:
        return "what was asked for"
    more = f" and {len(symbols) - _NAMES_SHOWN} more" if len(symbols) > _NAMES_SHOWN else ""
    return ", ".join(symbols[:_NAMES_SHOWN]) + more


def _meaning(streams: Iterable[str]) -> str:
    """What is missing without ``streams``; the public link asks for books, the market link for trades and candles."""
    if any("@kline" in stream for stream in streams):
        return "No trades and candles come for these: their ATR grows old and entries there are refused."
    return "No book comes for these: they stay stale and entries there are refused."
