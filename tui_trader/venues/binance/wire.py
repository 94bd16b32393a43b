"""Bytes from Binance USDⓈ-M to typed messages, without any I/O. One function never raises: ``Decoder.decode``.

Combined frames name their stream first, so the typed decoder is chosen by a dict lookup on the name's bytes and the
frame is read once. Raw frames go through one tagged union on ``e``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from tui_trader.venues.binance.messages import (
    AccountUpdate,
    AggTrade,
    AlgoUpdate,
    Answer,
    BookTicker,
    DepthUpdate,
    Ignored,
    Kline,
    ListenKeyExpired,
    MarkPriceUpdate,
    Message,
    OrderTradeUpdate,
    PartialDepth,
    Single,
    Ticker,
    Trade,
    TradeLite,
    Unparsed,
)
from tui_trader.venues.text import clean

MAX_FRAME = 8 * 1024 * 1024
"""Largest frame that is looked at, in bytes: twenty times a ``!ticker@arr`` of 900 symbols."""

_PREFIX = b'{"stream":"'
_STREAMS_KEPT = 8_192


class _Envelope(msgspec.Struct, gc=False):
    stream: str
    data: msgspec.Raw


class _Head(msgspec.Struct, gc=False):
    e: str = ""


def _typed(kind: Any) -> msgspec.json.Decoder[Any]:
    envelope = msgspec.defstruct("Combined", [("data", kind)], gc=False)
    return msgspec.json.Decoder(envelope, strict=False)


_COMBINED: dict[str, msgspec.json.Decoder[Any]] = {
    "depth": _typed(DepthUpdate),
    "partial": _typed(PartialDepth),
    "bookTicker": _typed(BookTicker),
    "aggTrade": _typed(AggTrade),
    "trade": _typed(Trade),
    "kline": _typed(Kline),
    "markPrice": _typed(MarkPriceUpdate),
    "ticker": _typed(Ticker),
    "!markPrice@arr": _typed(list[MarkPriceUpdate]),
    "!ticker@arr": _typed(list[Ticker]),
    "single": _typed(Single),
}
_SAYS: dict[msgspec.json.Decoder[Any], type] = {
    _COMBINED["depth"]: DepthUpdate,
    _COMBINED["partial"]: PartialDepth,
    _COMBINED["bookTicker"]: BookTicker,
    _COMBINED["aggTrade"]: AggTrade,
    _COMBINED["trade"]: Trade,
    _COMBINED["kline"]: Kline,
    _COMBINED["markPrice"]: MarkPriceUpdate,
    _COMBINED["ticker"]: Ticker,
    _COMBINED["!markPrice@arr"]: list,
    _COMBINED["!ticker@arr"]: list,
}
_SINGLE: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Single, strict=False)
_ARRAYS: tuple[msgspec.json.Decoder[Any], ...] = (
    msgspec.json.Decoder(list[MarkPriceUpdate], strict=False),
    msgspec.json.Decoder(list[Ticker], strict=False),
    msgspec.json.Decoder(list[BookTicker], strict=False),
)
_PARTIAL: msgspec.json.Decoder[Any] = msgspec.json.Decoder(PartialDepth, strict=False)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_HEAD = msgspec.json.Decoder(_Head)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_ANSWER = msgspec.json.Decoder(Answer)
_KNOWN = frozenset(
    str(kind.__struct_config__.tag)
    for kind in (
        DepthUpdate, BookTicker, AggTrade, Trade, Kline, MarkPriceUpdate, Ticker,
        OrderTradeUpdate, AccountUpdate, AlgoUpdate, TradeLite, ListenKeyExpired,
    )
)  # fmt: skip


def stream_kind(stream: str) -> str:
    """The decoder's key for a stream: ``btcusdt@depth20@100ms`` is ``partial``, ``btcusdt@depth@100ms`` ``depth``."""
    if stream.startswith("!"):
        stream = stream.removesuffix("@1s")
    if stream in _COMBINED:
        return stream
    if stream == "!bookTicker":
        return "bookTicker"
    suffix = stream.partition("@")[2].partition("@")[0]
    if suffix.startswith("depth"):
        return "depth" if suffix == "depth" else "partial"
    if suffix.startswith("kline_"):
        return "kline"
    return suffix if suffix in _COMBINED else "single"


class Decoder:
    """Turns frames into messages and counts what it could not use. Keeps no other state than the counts."""

    def __init__(self) -> None:
        self.garbage = 0
        self.ignored: Counter[str] = Counter()
        self.last_garbage = ""
        self._by_stream: dict[bytes, msgspec.json.Decoder[Any]] = {}

    def decode(self, raw: bytes) -> Message:
        """The message in ``raw``; ``Ignored`` or ``Unparsed`` (counted) for anything else. Never raises."""
        try:
            if raw.startswith(_PREFIX) and len(raw) <= MAX_FRAME:
                name = raw[11 : raw.index(b'"', 11, 160)]
                decoder = self._by_stream.get(name)
                if decoder is None:
                    decoder = self._learn(name)
                message: Message = decoder.decode(raw).data
                return message
            return self._other(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return self._explain(raw, error)

    def route(self, raw: bytes, message: Message) -> tuple[bytes, Callable[[bytes], Any]] | None:
        """(name bytes, decode) for the stream of a combined frame that was just decoded to ``message``.

        None for any other frame, and for a stream that may say several kinds of things: whoever keeps the route takes
        the next frame for what this one was.
        """
        if not raw.startswith(_PREFIX):
            return None
        name = raw[11 : raw.index(b'"', 11)]
        decoder = self._by_stream.get(name)
        if decoder is None or decoder is _COMBINED["single"] or type(message) is not _SAYS[decoder]:
            return None
        return name, decoder.decode

    def _learn(self, name: bytes) -> msgspec.json.Decoder[Any]:
        if len(self._by_stream) >= _STREAMS_KEPT:
            self._by_stream.clear()
        decoder = _COMBINED[stream_kind(name.decode("ascii"))]
        self._by_stream[name] = decoder
        return decoder

    def _other(self, raw: bytes) -> Message:
        if len(raw) > MAX_FRAME:
            return self._unparsed(f"a frame of {len(raw)} bytes is larger than {MAX_FRAME}")
        start = raw.lstrip()[:16]
        if start.startswith(b"["):
            return self._array(raw)
        if b'"stream"' in raw and b'"data"' in raw:
            envelope = _ENVELOPE.decode(raw)
            kind = stream_kind(envelope.stream)
            if bytes(envelope.data).startswith(b"["):
                return self._array(bytes(envelope.data))
            message: Message = (_PARTIAL if kind == "partial" else _SINGLE).decode(envelope.data)
            return message
        if b'"e"' not in raw:
            if b'"id"' not in raw and b'"error"' not in raw:
                return self._unparsed("a frame that is neither an event nor an answer")
            return _ANSWER.decode(raw)
        single: Message = _SINGLE.decode(raw)
        return single

    def _array(self, raw: bytes) -> Message:
        for decoder in _ARRAYS:
            try:
                message: Message = decoder.decode(raw)
            except msgspec.ValidationError:
                continue
            return message
        return self._salvage(raw)

    def _salvage(self, raw: bytes) -> Message:
        """The usable items of an array in which one item is off: a bad row must not blind all symbols."""
        ticks: list[Ticker] = []
        marks: list[MarkPriceUpdate] = []
        for item in _RAWS.decode(raw):
            try:
                single = _SINGLE.decode(item)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                self._explain(bytes(item), error)
                continue
            if isinstance(single, Ticker):
                ticks.append(single)
            elif isinstance(single, MarkPriceUpdate):
                marks.append(single)
        return ticks or marks or Ignored("array")

    def _count(self, event: str) -> Ignored:
        name = clean(event, 40)
        if name in self.ignored or len(self.ignored) < 64:
            self.ignored[name] += 1
        return Ignored(name)

    def _explain(self, raw: bytes, error: Exception) -> Message:
        if isinstance(error, msgspec.ValidationError):
            try:
                data = bytes(_ENVELOPE.decode(raw).data) if raw.startswith(_PREFIX) else raw
                if data.startswith(b"[") and data is not raw:
                    return self._salvage(data)
                event = _HEAD.decode(data).e
            except (msgspec.MsgspecError, ValueError, RecursionError):
                event = ""
            if event and event not in _KNOWN:
                return self._count(event)
        return self._unparsed(clean(f"{type(error).__name__}: {error}", 200))

    def _unparsed(self, reason: str) -> Unparsed:
        self.garbage += 1
        self.last_garbage = reason
        return Unparsed(reason)
