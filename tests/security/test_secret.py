"""A secret in memory shows nowhere, and is taken out of every text that leaves (I22)."""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
import pickle
import pprint
import string
import traceback
from urllib.parse import quote, urlencode

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from tui_trader.credentials import Credentials
from tui_trader.secret import HIDDEN, Redactor, Secret, forms

CANARY = "CANARY0secret9Zq+/x"
SECRET = Secret(CANARY)
HELD = Credentials(key="CANARYkey77", secret=SECRET)


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    secret: Secret


def shown() -> list[str]:
    stream = io.StringIO()
    logging.StreamHandler(stream).emit(logging.makeLogRecord({"msg": "%s %r", "args": (SECRET, HELD)}))
    console = Console(file=io.StringIO(), width=200)
    try:
        held, secret = HELD, SECRET
        raise ValueError(f"no {secret} in {held}")
    except ValueError as error:
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)
        console.print(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True))
    return [
        str(SECRET), repr(SECRET), f"{SECRET}", f"{SECRET!r:>40}", "%s %r" % (SECRET, SECRET),  # noqa: UP031
        str([SECRET]), str({"a": HELD}), repr(HELD), pprint.pformat(HELD), pretty_repr(HELD), pretty_repr([SECRET]),
        json.dumps({"a": SECRET}, default=str), json.dumps({"a": HELD}, default=repr),
        msgspec.json.encode({"a": SECRET}, enc_hook=str).decode(), str(Model(secret=SECRET)),
        structlog.processors.JSONRenderer()(None, "info", {"a": SECRET, "b": HELD}).__str__(),
        stream.getvalue(), "".join(trace.format()), console.file.getvalue(), str(dir(SECRET)),  # type: ignore[attr-defined]
    ]  # fmt: skip


def test_a_secret_never_prints() -> None:
    for text in shown():
        assert "CANARY0" not in text
        assert "CANARYkey77" not in text


@pytest.mark.parametrize(
    "leak",
    [
        lambda: pickle.dumps(SECRET),
        lambda: copy.copy(SECRET),
        lambda: copy.deepcopy(HELD),
        lambda: json.dumps(SECRET),
        lambda: msgspec.json.encode(SECRET),
        lambda: msgspec.json.encode(HELD),
        lambda: msgspec.msgpack.encode(HELD),
        lambda: msgspec.to_builtins(HELD),
        lambda: Model(secret=SECRET).model_dump_json(),
        lambda: vars(SECRET),
        lambda: hash(SECRET),
        lambda: "a" + SECRET,  # type: ignore[operator]
        lambda: SECRET.__getstate__(),
    ],
)
def test_a_secret_is_not_stored_or_sent(leak: object) -> None:
    with pytest.raises(Exception) as refused:  # noqa: PT011 - each library has its own
        leak()  # type: ignore[operator]
    assert "CANARY0" not in str(refused.value)


def test_secrets_compare_without_showing() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")


TEXTS = st.text(string.ascii_letters + string.digits + "+/=-_.:\"'\\ %&ä", min_size=6, max_size=80)


@given(TEXTS, st.binary(max_size=9), st.binary(max_size=9))
def test_every_usual_form_of_a_secret_is_taken_out(secret: str, before: bytes, after: bytes) -> None:
    redact = Redactor([secret])
    inside = base64.b64encode(before + secret.encode() + after).decode()
    texts = [secret, f"x{secret}y", quote(secret), quote(secret, safe=""), secret.encode().hex(), repr({"k": secret})]
    for text in (*texts, json.dumps({"k": secret}, ensure_ascii=False), inside):
        left = redact(text)
        assert all(form not in left for form in forms(secret))
        assert HIDDEN in left


@pytest.mark.parametrize(
    "text",
    [
        "GET https://fapi.binance.com/fapi/v1/order?symbol=X&timestamp=1&signature=LEAK0123 failed",
        "{'X-MBX-APIKEY': 'LEAK0123', 'a': 1}",
        "[(b'X-MBX-APIKEY', b'LEAK0123')]",
        "X-MBX-APIKEY: LEAK0123\r\nHost: x",
        '{"listenKey":"LEAK0123"}',
        '"{\\"listenKey\\":\\"LEAK0123\\"}"',
        "wss://h/private/ws?listenKey=LEAK0123&events=A",
        "connect wss://h/private/ws/LEAK01234567890123456789012345678901234567890 refused",
        "apiKey='LEAK0123' secret=\"LEAK0123\"",
        "api_secret: LEAK0123, passphrase=LEAK0123",
        "Authorization: Bearer LEAK0123",
        urlencode({"listenKey": "LEAK0123", "symbol": "BTCUSDT"}),
    ],
)
def test_what_is_named_like_a_secret_is_taken_out_unknown(text: str) -> None:
    left = Redactor()(text)
    assert "LEAK01" not in left
    assert HIDDEN in left


@pytest.mark.parametrize(
    "text",
    [
        "BTCUSDT: stop 42,850 proven at the venue 0.4 s ago",
        "the listen key expired; the private stream is renewed",
        "This API key can withdraw funds. A trading key must not.",
        "https://fapi.binance.com/fapi/v1/order?symbol=BTCUSDT",
    ],
)
def test_sentences_stay_whole(text: str) -> None:
    assert Redactor(["abc", ""])(text) == text


def test_nested_facts_are_redacted() -> None:
    redact = Redactor(["SECRETVALUE"])
    found = redact.deep({"SECRETVALUE": ["a SECRETVALUE", ("b", {"c": ValueError("SECRETVALUE")})], "n": 5, "t": None})
    assert found == {HIDDEN: [f"a {HIDDEN}", ["b", {"c": f"ValueError('{HIDDEN}')"}]], "n": 5, "t": None}
