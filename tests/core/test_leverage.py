"""Leverage that the venue refuses: asked again in growing pauses, said once, shown by the gate, mended by settings."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core.test_reconcile import by_hand
from tests.desk import Desk
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.types import Channel, Side
from tui_trader.exchange.rest import Reply

SYMBOL = "BTCUSDT"
INVALID = Reply(400, '{"code":-4028,"msg":"Leverage 30 is not valid"}')
SILENCE = Reply(429, '{"code":-1003,"msg":"slow down"}', headers={"Retry-After": "30"})


class Refusing:
    """A desk whose venue answers each request for leverage with ``reply`` while that is set."""

    def __init__(self, reply: Reply | None) -> None:
        self.reply = reply
        self.asked: list[int] = []
        self.desk = Desk()
        self.desk.engine.state.armed = True
        self.desk.engine.state.always = (SYMBOL,)
        self.desk.faults = self._fault
        self.desk.start()

    def _fault(self, method: str, path: str, reply: Reply) -> Reply | None:
        if not path.endswith("/leverage"):
            return reply
        self.asked.append(self.desk.now)
        return self.reply or reply

    def pauses_s(self) -> list[int]:
        """Whole seconds between two requests."""
        return [round((b - a) / 1000) for a, b in zip(self.asked, self.asked[1:], strict=False)]

    def said(self) -> list[str]:
        return [text for text in self.desk.log if "leverage" in text]

    def refused(self) -> str:
        """What the gate says of an entry."""
        ticket = ev.OpenPosition(ts=self.desk.now, symbol=SYMBOL, side=Side.LONG, qty=Decimal("0.040"))
        return "; ".join(self.desk.engine.preview(ticket).hard)


def test_a_refusal_for_good_is_asked_again_in_growing_pauses_and_said_once() -> None:
    found = Refusing(INVALID)
    found.desk.run(1_500_000)
    assert found.pauses_s() == pytest.approx([10, 20, 40, 80, 160, 320, 600], abs=2)
    assert len(found.said()) == 1
    assert "Leverage 30 is not valid" in found.said()[0]
    assert "Leverage 30 is not valid; asked again in" in found.refused()


def test_it_is_asked_again_at_once_when_the_settings_change() -> None:
    found = Refusing(INVALID)
    found.desk.run(100_000)
    found.reply = None
    found.desk.process(
        ev.SettingsChanged(ts=found.desk.now, settings_json=found.desk.settings.model_dump_json().encode())
    )
    found.desk.run(2_000)
    assert SYMBOL in found.desk.engine.state.leverage_set
    assert found.said()[-1] == f"{SYMBOL}: the leverage is set now; entries are possible"
    assert "leverage" not in found.refused()


def test_what_an_open_position_forbade_is_asked_again_when_it_is_closed() -> None:
    found = Refusing(Reply(400, '{"code":-4161,"msg":"Leverage reduction is not supported"}'))
    by_hand(found.desk, "BUY", "0.010")
    found.desk.run(200_000)
    count = len(found.asked)
    by_hand(found.desk, "SELL", "0.010", reduceOnly="true")
    found.desk.run(4_000)
    assert len(found.asked) == count + 1


def test_trouble_on_the_way_is_no_verdict_and_keeps_a_short_pause() -> None:
    found = Refusing(Reply(502, "bad gateway"))
    found.desk.run(345_000)
    assert found.pauses_s() == pytest.approx([5, 10, 20, 40, 60, 60, 60, 60], abs=2)
    assert len(found.said()) == 1


def test_the_silence_that_the_venue_asked_for_is_kept() -> None:
    found = Refusing(SILENCE)
    found.desk.run(25_000)
    assert len(found.asked) == 1
    found.desk.process(ev.LinkUp(ts=found.desk.now, channel=Channel.REST))
    found.desk.run(10_000)
    assert len(found.asked) == 2


def test_a_symbol_without_a_refusal_says_that_its_leverage_is_not_set_yet() -> None:
    found = Refusing(None)
    found.desk.engine.state.leverage_set.clear()
    assert "the leverage is not set at the venue yet" in found.refused()
    found.desk.run(20_000)
    assert found.said() == []
    assert not [c for c in found.desk.sent if isinstance(c, cmd.PlaceOrder)]
