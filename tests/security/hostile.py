"""Strings that attack a terminal or a layout, and answers of a venue with such a string in any one place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

MARK = "HOSTILE"
"""Stands in every hostile text, so that a test sees where it came through."""

ATTACKS = (
    "\x1b[2J\x1b[1;1HHOSTILE",
    "HOSTILE\x1b]0;owned\x07",
    "\x1b]52;c;SE9TVElMRQ==\x1b\\HOSTILE",
    "\x1b]8;;http://evil.example\x1b\\HOSTILE\x1b]8;;\x1b\\",
    "\x1bP+q544e\x1b\\HOSTILE",
    "\x1b_Gi=1\x1b\\\x1b^x\x1b\\HOSTILE",
    "\x9b31mHOSTILE\x9d0;x\x9c\x90q\x9c",
    "HOSTILE\x00\x07\x08\x08\x08\x0b\x0c\x0e\x0f\x7f\x05",
    "HOSTILE\r\n\r\n\n\tcleared",
    "\u202eELITSOH HOSTILE\u202c\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    "HOSTILE\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u034f",
    "HOSTILE\u2028two\u2029three\u0085four",
    "HOSTILE" + "a" + "\u0301" * 400,
    "HOSTILE\ud800\udfff\udc80",
    "HOSTILE👩‍👩‍👧‍👦👍🏽🇩🇪❤️🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "HOSTILE안ᅟᅠㅤﾠ각ᆨᆨᆨ",
    "HOSTILE币安人生ＷＩＤＥ",
    "HOSTILE שלום العربية हिन्दी ไทยกำ",
    "HOSTILE" * 2_000,
    "[bold red]HOSTILE[/] [link=http://evil.example]x[/link] [@click=app.quit]y[/]",
    "{HOSTILE} %s %n $(reboot) `id` \\e[31m \\x1b[2J",
    "HOSTILE\U000e0001\U000e0041\U000e007f\ue000\uffff\U0010ffff\U0001f9d1",
    "",
)

_SIGNS = "\x1b[]0;m?\x07\x9b\x9d\x90\\PX^_HJK2\r\n\x08\u202e\u200d\ufe0fA一👍\u0301"
TEXTS = st.one_of(
    st.sampled_from(ATTACKS),
    st.text(st.characters(exclude_categories=[]), max_size=60).map(lambda text: f"{MARK}{text}"),
    st.text(st.sampled_from(_SIGNS), max_size=40).map(lambda text: f"{text}{MARK}"),
)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all texts in a JSON value, keys of objects not counted."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))


def with_text(value: Any, path: tuple[Any, ...], text: str) -> Any:
    """A copy of ``value`` with ``text`` at ``path``."""
    made = copy.deepcopy(value)
    if not path:
        return text
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = text
    return made


SYMBOL, ORDER_ID = "BTCUSDT", 7
STREAM: dict[str, Any] = {
    "order": {
        "e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1,
        "o": {
            "s": SYMBOL, "c": "tt-x-1-en-0", "S": "BUY", "o": "MARKET", "f": "GTC", "q": "1", "p": "0", "ap": "5",
            "sp": "0", "x": "TRADE", "X": "FILLED", "i": ORDER_ID, "l": "1", "z": "1", "L": "5", "n": "0.1",
            "N": "USDT", "T": 1, "t": 9, "m": False, "R": False, "ot": "MARKET", "ps": "BOTH", "cp": False, "rp": "0",
            "er": "3",
        },
    },
    "algo": {
        "e": "ALGO_UPDATE", "E": 1, "T": 1,
        "o": {
            "caid": "tt-x-1-sl-0", "aid": 8, "at": "CONDITIONAL", "o": "STOP_MARKET", "s": SYMBOL, "S": "SELL",
            "ps": "BOTH", "f": "GTC", "q": "1", "X": "REJECTED", "ai": "55", "ap": "0", "aq": "0", "act": "x",
            "tp": "4", "p": "0", "V": "NONE", "wt": "CONTRACT_PRICE", "pm": "NONE", "cp": False, "pP": False, "R": True,
            "tt": 0, "gtd": 0, "rm": "Reduce Only reject",
        },
    },
    "account": {
        "e": "ACCOUNT_UPDATE", "E": 1, "T": 1,
        "a": {
            "m": "ORDER",
            "B": [{"a": "USDT", "wb": "100", "cw": "100", "bc": "0"}],
            "P": [{"s": SYMBOL, "pa": "1", "ep": "5", "up": "0", "mt": "cross", "iw": "0", "ps": "BOTH"}],
        },
    },
    "expired": {"e": "listenKeyExpired", "E": "1", "listenKey": "abc"},
    "unknown": {"e": "STRATEGY_UPDATE", "E": 1, "su": {"s": SYMBOL}},
    "answer": {"id": "7", "error": {"code": 2, "msg": "Invalid request: unknown variant"}},
    "array": ["one", "two"],
    "text": "only a text",
}  # fmt: skip
"""Frames of the private stream."""

MARKET: dict[str, Any] = {
    "depth": {"e": "depthUpdate", "E": 1, "T": 1, "s": SYMBOL, "U": 1, "u": 2, "pu": 0, "b": [["100", "1"]],
              "a": [["100.1", "1"]]},
    "top": {"e": "bookTicker", "u": 4, "s": SYMBOL, "b": "5", "B": "1", "a": "6", "A": "1", "T": 1, "E": 1},
    "trade": {"e": "aggTrade", "E": 1, "a": 1, "s": SYMBOL, "p": "5", "q": "1", "f": 1, "l": 1, "T": 1, "m": True},
    "kline": {
        "e": "kline", "E": 1, "s": SYMBOL,
        "k": {"t": 0, "T": 1, "s": SYMBOL, "i": "1m", "f": 1, "L": 1, "o": "5", "c": "5", "h": "5", "l": "5", "v": "1",
              "n": 1, "x": True, "q": "1", "V": "1", "Q": "1", "B": "0"},
    },
    "mark": {"e": "markPriceUpdate", "E": 1, "s": SYMBOL, "p": "5", "i": "5", "P": "5", "r": "0.0001", "T": 1},
    "ticker": {"e": "24hrTicker", "E": 1, "s": SYMBOL, "p": "1", "P": "1", "c": "5", "q": "1e9", "v": "1"},
    "marks": [{"e": "markPriceUpdate", "E": 1, "s": SYMBOL, "p": "5", "i": "5", "P": "5", "r": "0.0001", "T": 1}],
    "answer": {"id": "7", "error": {"code": 2, "msg": "Invalid request: unknown variant"}},
}  # fmt: skip
"""Frames of the public and market streams."""

_FILTERS = [
    {"filterType": "PRICE_FILTER", "tickSize": "0.1", "minPrice": "1", "maxPrice": "9"},
    {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "100"},
    {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "100"},
    {"filterType": "MIN_NOTIONAL", "notional": "5"},
    {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95", "multiplierDecimal": "4"},
]
_ORDER = {
    "symbol": SYMBOL, "orderId": ORDER_ID, "clientOrderId": "tt-x-1-en-0", "status": "NEW", "side": "BUY",
    "origQty": "1", "type": "LIMIT", "origType": "LIMIT", "executedQty": "0", "avgPrice": "0", "price": "5",
    "stopPrice": "0", "reduceOnly": False, "closePosition": False, "updateTime": 1, "timeInForce": "GTC",
}  # fmt: skip
_ALGO = {
    "symbol": SYMBOL, "algoId": 8, "clientAlgoId": "tt-x-1-sl-0", "algoType": "CONDITIONAL", "algoStatus": "NEW",
    "side": "SELL", "orderType": "STOP_MARKET", "quantity": "1", "actualOrderId": "", "actualPrice": "",
    "actualQty": "", "triggerPrice": "4", "price": "0", "reduceOnly": True, "closePosition": False, "updateTime": 1,
}  # fmt: skip
REST: dict[str, Any] = {
    "time": {"serverTime": 1_790_000_000_000},
    "exchangeInfo": {
        "timezone": "UTC",
        "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}],
        "symbols": [
            {"symbol": SYMBOL, "pair": SYMBOL, "contractType": "PERPETUAL", "status": "TRADING", "baseAsset": "BTC",
             "quoteAsset": "USDT", "marginAsset": "USDT", "maintMarginPercent": "2.5", "requiredMarginPercent": "5",
             "filters": _FILTERS, "orderTypes": ["LIMIT"]},
        ],
    },
    "fundingInfo": [{"symbol": SYMBOL, "fundingIntervalHours": 8}],
    "leverageBracket": [{"symbol": SYMBOL, "brackets": [{"initialLeverage": 50, "maintMarginRatio": 0.01}]}],
    "positionRisk": [{"symbol": SYMBOL, "positionAmt": "1", "entryPrice": "5", "liquidationPrice": "1",
                      "positionSide": "BOTH", "leverage": "10"}],
    "openOrders": [_ORDER],
    "openAlgoOrders": [_ALGO],
    "order": _ORDER,
    "algoOrder": _ALGO,
    "balance": [{"accountAlias": "x", "asset": "USDT", "balance": "100"}],
    "positionSide/dual": {"dualSidePosition": False},
    "income": [{"symbol": SYMBOL, "incomeType": "FUNDING_FEE", "income": "-0.1", "asset": "USDT", "info": "x",
                "time": 1_790_000_000_000, "tranId": "123", "tradeId": ""}],
    "userTrades": [{"symbol": SYMBOL, "id": 9, "orderId": ORDER_ID, "side": "BUY", "qty": "1", "price": "5",
                    "commission": "0.1", "commissionAsset": "USDT", "maker": False, "realizedPnl": "0", "time": 1,
                    "positionSide": "BOTH"}],
    "klines": [[0, "5", "5", "5", "5", "1", 59_999, "1", 1, "1", "1", "0"]],
    "openInterest": {"symbol": SYMBOL, "openInterest": "5", "time": 1},
    "account/apiRestrictions": {"enableWithdrawals": False, "enableFutures": True},
    "leverage": {"symbol": SYMBOL, "leverage": 10, "maxNotionalValue": "1"},
    "marginType": {"code": 200, "msg": "success"},
    "listenKey": {"listenKey": "abc"},
}  # fmt: skip
"""REST answers by path."""
