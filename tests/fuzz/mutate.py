"""Damage for frames: what a broken line, a hostile venue or a bad disk may make of bytes that were once right.

A seed is cut into its JSON tokens once; mutators then work on the bytes, on single tokens, or on two seeds together, so
that most of what comes out is still JSON and reaches the checks behind the decoder. All randomness comes from the
``random.Random`` given.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import msgspec

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null')
_PAIR = re.compile(rb'"[A-Za-z_!@0-9]{1,32}":(?:"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null)')
_EVENT = re.compile(rb'"e":"([A-Za-z_0-9]+)"')
_STREAM = re.compile(rb'^\{"stream":"([^"]*)"')
_SYMBOL = re.compile(rb'"(BTCUSDT|ETHUSDT)"')
_TIME = re.compile(rb"(?<![0-9.])1[0-9]{12}(?![0-9.])")
_DIGIT = re.compile(rb"[0-9]")

DEEP = 100_000
HUGE = 16 * 1024 * 1024

ODD_VALUES: tuple[bytes, ...] = (
    b"0", b"-0", b"-1", b"1", b'"0"', b'"-1"', b'"-0.001"', b'""', b'" "', b"null", b"true", b"false", b"[]", b"{}",
    b"[[]]", b'[["1","2"]]', b"1e309", b"-1e309", b"1e-400", b'"1e309"', b'"1E+24"', b'"1E+99"', b'"1E-99"', b"NaN",
    b'"NaN"', b'"sNaN"', b'"-NaN"', b"Infinity", b"-Infinity", b'"Infinity"', b'"-inf"', b"1e5", b"0.1", b"1.5",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616",
    b"1000000000000000000000000000000", b'"9223372036854775808"', b"9" * 400, b"9" * 5_000, b'"' + b"9" * 5_000 + b'"',
    b'"0.' + b"0" * 60 + b'1"', b'"' + "١٢٣".encode() + b'"', b'"' + "１２".encode() + b'"', b'"1_000"', b'"0x10"',
    b'"+5"', b'" 5 "', b'"5\\u0000"', b'"\\u0000"', b'"\\u001b[2J"', b'"\\u202eTDSUCTB"', b'"\\ud800"',
    b'"\\udfff\\ud800"', b'"' + "币安人生USDT".encode() + b'"', b'"' + b"A" * 300 + b'"', b'"\\\\"', b'"\xff\xfe"',
    b'"\xc0\x80"', b"undefined",
    b'"FILLED"', b'"NEW"', b'"CANCELED"', b'"EXPIRED"', b'"TRIGGERED"', b'"FINISHED"', b'"BUY"', b'"SELL"', b'"LONG"',
)  # fmt: skip
"""Values that stand where another one is expected."""

EVENTS = (
    b"depthUpdate", b"bookTicker", b"aggTrade", b"trade", b"kline", b"markPriceUpdate", b"24hrTicker", b"TRADE_LITE",
    b"ORDER_TRADE_UPDATE", b"ACCOUNT_UPDATE", b"ALGO_UPDATE", b"listenKeyExpired", b"MARGIN_CALL", b"", b"\\u001b]0;x",
)  # fmt: skip
STREAMS = (
    b"btcusdt@depth@100ms", b"btcusdt@depth20@100ms", b"btcusdt@bookTicker", b"!bookTicker", b"btcusdt@aggTrade",
    b"btcusdt@trade", b"btcusdt@kline_1m", b"!markPrice@arr", b"!markPrice@arr@1s", b"!ticker@arr", b"btcusdt@ticker",
    b"btcusdt@unheardOf", b"", b"@", b"\xff@depth", b"x" * 200, b"listenkey",
)  # fmt: skip
SYMBOLS = (
    b"ETHUSDT", b"btcusdt", b"XUSDT", "币安".encode(), b"BTCUSDT\\u001b[2J", b"", b"A" * 100, "BTC１".encode(),
    b"BTC USDT", b"__proto__", b"..", b"BTCUSDT\\u0000",
)  # fmt: skip
TIMES = (
    b"0", b"-1", b"1", b"1e13", b"99999999999999", b"9223372036854775807", b"-9223372036854775808",
    b"253402300800000", b"1" + b"0" * 40, b'"1747980000000"', b"1747980000000.5", b"1947980000000",
)  # fmt: skip


class Seed(msgspec.Struct, frozen=True):
    """Bytes that were right, cut into tokens: (start, end) of each string, number and word."""

    raw: bytes
    tokens: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, raw: bytes) -> Seed:
        """The tokens and the ``"key":value`` pairs of ``raw``; none where it is no JSON."""
        return cls(
            raw=raw,
            tokens=tuple(m.span() for m in _TOKEN.finditer(raw)),
            pairs=tuple(m.span() for m in _PAIR.finditer(raw)),
        )


def _replaced(raw: bytes, span: tuple[int, int], new: bytes) -> bytes:
    return raw[: span[0]] + new + raw[span[1] :]


def _flip(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    raw = bytearray(seed.raw)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if raw:
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(raw)


def _truncate(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    cut = rng.randrange(len(seed.raw) + 1)
    return seed.raw[:cut] if rng.random() < 0.7 else seed.raw[cut:]


def _repeat(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    start = rng.randrange(len(seed.raw) + 1)
    end = min(len(seed.raw), start + rng.randrange(1, 64))
    return seed.raw[:end] + seed.raw[start:end] * rng.choice((1, 2, 50)) + seed.raw[end:]


def _splice(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    return seed.raw[: rng.randrange(len(seed.raw) + 1)] + other.raw[rng.randrange(len(other.raw) + 1) :]


def _insert(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    at = rng.randrange(len(seed.raw) + 1)
    junk = rng.choice(
        (b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\n", b" " * 40, b"\x1b[2J", b",", b"}", b"{")
    )
    return seed.raw[:at] + junk + seed.raw[at:]


def _odd_value(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    raw = seed.raw
    if not seed.tokens:
        return raw + rng.choice(ODD_VALUES)
    return _replaced(raw, rng.choice(seed.tokens), rng.choice(ODD_VALUES))


def _odd_of_key(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    """A pair's value replaced, its key kept: reaches the field's own checks."""
    if not seed.pairs:
        return _odd_value(rng, seed, other)
    start, end = rng.choice(seed.pairs)
    colon = seed.raw.index(b":", start)
    return _replaced(seed.raw, (colon + 1, end), rng.choice(ODD_VALUES))


def _digit(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    """One digit of one number changed: a lie that looks right."""
    found = _DIGIT.search(seed.raw, rng.randrange(len(seed.raw) + 1)) or _DIGIT.search(seed.raw)
    return seed.raw if found is None else _replaced(seed.raw, found.span(), b"%d" % rng.randrange(10))


def _sign_or_scale(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    for _ in range(20):
        start, end = rng.choice(seed.tokens) if seed.tokens else (0, 0)
        text = seed.raw[start:end]
        if text.strip(b'"')[:1].isdigit():
            break
    else:
        return seed.raw
    quote = b'"' if text.startswith(b'"') else b""
    inner = text.strip(b'"')
    return _replaced(
        seed.raw, (start, end), quote + rng.choice((b"-%s", b"%s0", b"%se3", b"%s000000", b"0%s")) % inner + quote
    )


def _swap(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    if len(seed.tokens) < 2:
        return seed.raw
    first, second = sorted(rng.sample(seed.tokens, 2))
    raw = seed.raw
    return raw[: first[0]] + raw[slice(*second)] + raw[first[1] : second[0]] + raw[slice(*first)] + raw[second[1] :]


def _borrow(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    if not (seed.tokens and other.tokens):
        return seed.raw
    return _replaced(seed.raw, rng.choice(seed.tokens), other.raw[slice(*rng.choice(other.tokens))])


def _drop_pair(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    if not seed.pairs:
        return seed.raw
    start, end = rng.choice(seed.pairs)
    if seed.raw[end : end + 1] == b",":
        end += 1
    return _replaced(seed.raw, (start, end), b"")


def _double_pair(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    """The same key twice, the second time with another value."""
    if not seed.pairs:
        return seed.raw
    start, end = rng.choice(seed.pairs)
    key = seed.raw[start : seed.raw.index(b":", start) + 1]
    return seed.raw[:end] + b"," + key + rng.choice(ODD_VALUES) + seed.raw[end:]


def _foreign_pair(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    if not (seed.pairs and other.pairs):
        return seed.raw
    end = rng.choice(seed.pairs)[1]
    return seed.raw[:end] + b"," + other.raw[slice(*rng.choice(other.pairs))] + seed.raw[end:]


def _of_pattern(pattern: re.Pattern[bytes], values: Sequence[bytes], group: int) -> Callable[..., bytes]:
    def mutate(rng: random.Random, seed: Seed, other: Seed) -> bytes:
        found = list(pattern.finditer(seed.raw))
        if not found:
            return _odd_value(rng, seed, other)
        return _replaced(seed.raw, rng.choice(found).span(group), rng.choice(values))

    return mutate


def _deep(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    nest = rng.choice((b"[", b'{"a":', b"[[],")) * rng.choice((600, 5_000, DEEP))
    if not seed.tokens or rng.random() < 0.3:
        return nest
    return _replaced(seed.raw, rng.choice(seed.tokens), nest)


def _huge(rng: random.Random, seed: Seed, other: Seed) -> bytes:
    if not seed.tokens:
        return seed.raw * (HUGE // max(1, len(seed.raw)))
    size = rng.choice((70_000, 1_000_000, HUGE))
    value = rng.choice((b'"' + b"a" * size + b'"', b"9" * size, b"[" + b"0," * (size // 2) + b"0]"))
    return _replaced(seed.raw, rng.choice(seed.tokens), value)


_USUAL: tuple[tuple[Callable[[random.Random, Seed, Seed], bytes], int], ...] = (
    (_flip, 8), (_truncate, 5), (_repeat, 4), (_splice, 6), (_insert, 4), (_odd_value, 14), (_odd_of_key, 22),
    (_digit, 14), (_sign_or_scale, 10), (_swap, 8), (_borrow, 6), (_drop_pair, 6), (_double_pair, 5),
    (_foreign_pair, 3), (_of_pattern(_EVENT, EVENTS, 1), 3), (_of_pattern(_STREAM, STREAMS, 1), 3),
    (_of_pattern(_SYMBOL, SYMBOLS, 1), 4), (_of_pattern(_TIME, TIMES, 0), 6),
)  # fmt: skip
_MUTATORS = [mutator for mutator, _ in _USUAL]
_WEIGHTS = [sum(weight for _, weight in _USUAL[: index + 1]) for index in range(len(_USUAL))]


def mutated(rng: random.Random, seed: Seed, other: Seed, *, monsters: bool = True) -> bytes:
    """One damaged copy of ``seed``; ``other`` lends parts. One in 4,000 is a monster (nested 10⁵ deep, or 16 MiB)."""
    if monsters and rng.random() < 1 / 4_000:
        return rng.choice((_deep, _deep, _huge))(rng, seed, other)
    raw = rng.choices(_MUTATORS, cum_weights=_WEIGHTS)[0](rng, seed, other)
    while rng.random() < 0.25:
        raw = rng.choices(_MUTATORS, cum_weights=_WEIGHTS)[0](rng, Seed.of(raw), other)
    return raw
