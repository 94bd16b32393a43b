"""What a faulty venue says: error answers in the venue's own words, mangled bodies and frames, impossible books."""

import random
import re
from typing import Any

import msgspec

from tui_trader.exchange.fault_rules import MIB, FaultKind, FaultRule
from tui_trader.exchange.rest import Reply, Request
from tui_trader.exchange.wire import dumps

UNKNOWN_TEXT = "Unknown error, please check your request or try again later."
_TIMEOUT_TEXT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
_BUS_TEXT = "An unexpected response was received from the message bus. Execution status unknown."
_THROTTLED_TEXT = "Request throttled by system-level protection. Reduce-only/close-position orders are exempt."
_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>nginx</body></html>"
_PAGES = {400: "400 Bad Request", 403: "403 Forbidden", 500: "500 Internal Server Error", 502: "502 Bad Gateway",
          503: "503 Service Unavailable", 504: "504 Gateway Time-out"}  # fmt: skip
_DRAWN_STATUSES = (400, 403, 408, 500, 500, 502, 502, 503, 504, 504)
_OPEN_ENDED = frozenset({408, 500, 502, 504})
"""Statuses after which the venue may have acted."""
_DEPTH = 5_000
_FOREIGN_SYMBOL = r'"s":"\u5e01\u5b89\u202e\u001b[2JUSDT"'
"""A symbol in letters that no terminal should get raw: beyond ASCII, right-to-left, and a control sequence."""


def error(status: int, code: int, text: str, retry_after_s: int = 0) -> Reply:
    """Return an error answer with the venue's body."""
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
    return Reply(status, dumps({"code": code, "msg": text}), headers)


def unknown_error(rng: random.Random) -> Reply:
    """Return one of the answers that leave open whether the venue acted."""
    drawn = rng.random()
    if drawn < 0.5:
        return error(503, -1000, UNKNOWN_TEXT)
    return error(408, -1007, _TIMEOUT_TEXT) if drawn < 0.75 else error(400, -1006, _BUS_TEXT)


def overloaded(rng: random.Random, request: Request) -> Reply | None:
    """Return one of the answers that mean "not executed"; None when the request is exempt from the one drawn."""
    drawn = rng.random()
    if drawn < 0.4:
        return error(503, -1000, "Service Unavailable.")
    if drawn < 0.7:
        return error(503, -1001, "Internal error; unable to process your request. Please try again.")
    sent = (request.query + "&" + request.body).lower()
    if "reduceonly=true" in sent or "closeposition=true" in sent or request.method == "DELETE":
        return None
    return error(503, -1008, _THROTTLED_TEXT)


def rate_limited(address: str, retry_after_s: int) -> Reply:
    """Return a 429."""
    text = f"Too many requests; current limit of IP({address}) is 2400 requests per minute. "
    return error(
        429, -1003, text + "Please use the websocket for live updates to avoid polling the API.", retry_after_s
    )


def banned(address: str, retry_after_s: int) -> Reply:
    """Return a 418."""
    return error(418, -1003, f"Way too many requests; IP({address}) banned for {retry_after_s} s.", retry_after_s)


def outage(rng: random.Random) -> Reply:
    """Return what a dead venue's front end says."""
    status = rng.choice((500, 502, 503, 504))
    return Reply(status, _HTML.format(_PAGES[status]))


def http(rng: random.Random, rule: FaultRule) -> tuple[Reply, float]:
    """Return an answer of any status, and how likely the venue acted before it said so."""
    status = rule.status or rng.choice(_DRAWN_STATUSES)
    page = _HTML.format(_PAGES.get(status, str(status)))
    body = dumps({"code": rule.code, "msg": rule.text}) if rule.code else rule.text or page
    headers = {"Retry-After": str(rule.retry_after_s)} if rule.retry_after_s else {}
    acted = 0.5 if status in _OPEN_ENDED or rule.code in {-1006, -1007} else 0.0
    if status == 503:
        acted = 0.5 if "unknown error" in body.lower() else 0.0
    return Reply(status, body, headers), acted


def mangled(text: str, seed: int) -> bytes:
    """Return `text` damaged so that it can no longer be read as JSON: cut, garbled, or buried in brackets."""
    rng = random.Random(seed)
    raw = text.encode()
    way = rng.randrange(5)
    if way == 0:
        result = raw[: rng.randrange(max(len(raw), 1))]
    elif way == 1:
        at = rng.randrange(len(raw) + 1)
        result = raw[:at] + bytes([rng.choice((0x00, 0xC0, 0xFE, 0xFF))]) + raw[at:]
    elif way == 2:
        result = rng.randbytes(rng.randrange(1, 200))
    elif way == 3:
        result = b"[" * _DEPTH + raw
    else:
        at = rng.randrange(len(raw) + 1)
        result = raw[:at] + b'"}]' + raw[at:]
    return result if not _readable(result) else raw[: len(raw) // 2] + b"\xff"


def garbled(payload: str, rng: random.Random) -> str | bytes:
    """Return what arrives instead of a frame: mostly garbage, else JSON that means nothing known."""
    drawn = rng.random()
    if drawn < 0.7:
        return mangled(payload, rng.randrange(2**31))
    if drawn < 0.85:
        return dumps({"e": "SURPRISE_UPDATE", "E": rng.randrange(2**41), "o": {"s": "BTCUSDT", "X": "SOLD", "q": None}})
    return re.sub(r'"s":"[A-Z0-9_]+"', lambda match: _FOREIGN_SYMBOL, payload)


def _readable(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def huge(rule: FaultRule) -> bytes:
    """Return a frame of absurd size that is valid JSON."""
    head, tail = b'{"e":"noise","x":"', b'"}'
    return head + b"x" * ((rule.size or 64 * MIB) - len(head) - len(tail)) + tail


def crossed(payload: str) -> str:
    """Return a book payload whose bid stands above its ask; unchanged when it is no book payload."""
    body: Any = msgspec.json.decode(payload)
    if not isinstance(body, dict) or "b" not in body or "a" not in body:
        return payload
    bids, asks = body["b"], body["a"]
    if isinstance(bids, str):
        if bids == asks:
            return payload
        body["b"], body["a"] = asks, bids
    elif asks:
        highest = max(asks, key=lambda row: float(row[0]))
        bids.insert(0, [highest[0], "1.000"])
    elif bids:
        lowest = min(bids, key=lambda row: float(row[0]))
        asks.insert(0, [lowest[0], "1.000"])
    return dumps(body)


BOOK_STREAMS = ("@depth", "@bookTicker", "!bookTicker")
"""What names of book streams contain."""


def tells_of_book(stream: str) -> bool:
    """Return whether a stream tells of books."""
    return any(part in stream for part in BOOK_STREAMS)


def book_kinds(stream: str) -> frozenset[FaultKind]:
    """Return the book faults that can be seen on a stream: only diffs have gaps."""
    if "@depth" in stream:
        return frozenset({FaultKind.book_gap, FaultKind.stale_book, FaultKind.crossed_book})
    return frozenset({FaultKind.stale_book, FaultKind.crossed_book})
