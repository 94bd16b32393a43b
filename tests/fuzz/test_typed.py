"""What people and scripts may type: fields and commands with any numbers at all end in words or in a safe trade."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.core.test_executor import opened
from tests.fuzz import rules
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.types import Leg, Side
from tui_trader.ui.numbers import decimal_of
from tui_trader.ui.screens.ticket import Typed, ticket_of

BTC = "BTCUSDT"
DESK = opened()
TEXTS = st.one_of(
    st.text(max_size=24),
    st.from_regex(r"[0-9]{0,18}[.,]?[0-9]{0,14}", fullmatch=True),
    st.sampled_from(
        ["NaN", "inf", "1e5", "-1", "+1", "0", "0.0", "١٢", "1_0", " 5 ", "5\x00", "\x1b[2J", "0x1", ".", "1.", "½"]
    ),
)
DECIMALS = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True),
    st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-9, 9), st.integers(-40, 40)),
    st.sampled_from([Decimal(text) for text in ("NaN", "sNaN", "Infinity", "-0", "1E+999999", "1E-999999", "9" * 40)]),
)


@given(TEXTS)
def test_a_typed_number_is_plain_or_refused_in_words(text: str) -> None:
    found = decimal_of(text)
    if isinstance(found, Decimal):
        assert found.is_finite()
        assert 0 < found < 10**15
        assert text.strip().isascii()
    else:
        rules.check_typed(found)


@given(
    size_by=st.sampled_from(["risk %", "quantity", "notional", "USDT", "auto", ""]),
    size=TEXTS,
    order=st.sampled_from(["market", "limit"]),
    limit=TEXTS,
    side=st.sampled_from([side.value for side in Side]),
)
def test_a_ticket_is_a_finite_command_or_words_and_its_preview_never_fails(
    size_by: str, size: str, order: str, limit: str, side: str
) -> None:
    found = ticket_of(Typed(BTC, side, size_by, size, order, limit, False), DESK.now)
    if isinstance(found, str):
        rules.check_typed(found)
        return
    rules.check(found, DESK.now)
    DESK.engine.preview(found)


@st.composite
def commands(draw: st.DrawFn) -> ev.UserCommand:
    """Any command of a person with any number in it."""
    number, other, now = draw(DECIMALS), draw(DECIMALS), DESK.now
    symbol = draw(st.sampled_from([BTC, "ETHUSDT", "", "\x1b[2J", "btcusdt"]))
    return draw(
        st.sampled_from(
            [
                ev.ClosePosition(ts=now, symbol=symbol, fraction=number),
                ev.MoveStop(ts=now, symbol=symbol, price=number),
                ev.SetTarget(ts=now, symbol=symbol, leg=draw(st.sampled_from(list(Leg))), price=number, fraction=other),
                ev.RemoveTarget(ts=now, symbol=symbol, leg=Leg.TP1),
                ev.OpenPosition(ts=now, symbol=symbol, side=Side.LONG, qty=number, limit_price=other),
                ev.OpenPosition(ts=now, symbol=symbol, side=Side.SHORT, notional=number, override_soft=True),
                ev.OpenPosition(ts=now, symbol=symbol, side=Side.LONG, risk_fraction=draw(st.floats())),
            ]
        )
    )


@given(commands())
@example(ev.MoveStop(ts=DESK.now, symbol=BTC, price=Decimal("1E+999999")))
@settings(max_examples=300)
def test_no_number_in_a_command_breaks_the_engine_or_leaves_the_venue_s_steps(command: ev.UserCommand) -> None:
    """The engine holds a position and answers in words, or with orders on the tick and the step."""
    desk = opened()
    instrument = desk.engine.state.instruments[BTC]
    for answer in desk.engine.process(command):
        if isinstance(answer, cmd.PlaceOrder):
            assert answer.qty > 0
            assert answer.qty % instrument.step_size == 0
            assert answer.price % instrument.tick_size == answer.trigger_price % instrument.tick_size == 0
            assert answer.reduce_only or answer.leg is Leg.ENTRY
    desk.engine.view(desk.now, BTC, "1m")
