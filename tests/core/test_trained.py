"""Which parameters are in force, and the words for why."""

from __future__ import annotations

import msgspec
import pytest

from tui_trader.core.regime import Regime
from tui_trader.core.trained import TrainedBook, TrainedSet, row_of
from tui_trader.strategies.volume_breakout import VolumeBreakout

SET = TrainedSet(
    symbol="BTCUSDT",
    exchange="binance",
    strategy="volume_breakout",
    regime=Regime.BULL,
    timeframe="15m",
    values={"bars": 30.0},
    trained_ms=1,
    deployed=True,
)


@pytest.mark.parametrize(
    ("changes", "regime", "configured", "bars", "source"),
    [
        ({}, Regime.BULL, {}, 30, "trained for bull on 15m"),
        ({}, Regime.BULL, {"bars": 40}, 30, "trained for bull on 15m"),
        ({}, Regime.BEAR, {}, 20, "default: nothing trained for bear on 15m"),
        ({}, None, {"bars": 40}, 40, "config: the regime is not known yet"),
        ({"demoted": "it loses"}, Regime.BULL, {}, 20, "default: the trained set was demoted, it loses"),
        ({"deployed": False, "reason": "too few trades"}, Regime.BULL, {}, 20, "was not deployed, too few trades"),
        ({"values": {"size": 1.0}}, Regime.BULL, {}, 20, "does not fit this version, there is no parameter 'size'"),
    ],
)
def test_in_force(
    changes: dict[str, object], regime: Regime | None, configured: dict[str, object], bars: int, source: str
) -> None:
    book = TrainedBook([SET, msgspec.structs.replace(SET, **changes)])
    found = book.optimized_parameters("BTCUSDT", "binance", VolumeBreakout(), regime, "15m", configured)
    assert found.values["bars"] == bars
    assert source in found.source
    assert (found.trained is not None) == found.source.startswith("trained")


def test_other_symbols_and_exchanges_have_their_own() -> None:
    book = TrainedBook([SET])
    assert book.all() == (SET,)
    for symbol, exchange in (("ETHUSDT", "binance"), ("BTCUSDT", "bybit")):
        found = book.optimized_parameters(symbol, exchange, VolumeBreakout(), Regime.BULL, "15m", {})
        assert found.trained is None


PROMISED = {
    "oos_mean_r": 0.3,
    "oos_mean_r_low": 0.1,
    "oos_loss_rate": 0.5,
    "oos_loss_rate_high": 0.6,
    "oos_spread_r": 1.1,
    "oos_trades": 60.0,
}
KEPT = msgspec.structs.replace(SET, metrics=PROMISED)


def demote(book: TrainedBook, results: list[float]) -> TrainedSet | None:
    for r in results:
        if (found := book.judge(KEPT.identity, r, 0.05)) is not None:
            return found
    return None


def test_a_set_that_parts_from_its_promise_is_demoted_once_and_stays_so() -> None:
    book = TrainedBook([KEPT])
    demoted = demote(book, [-1.0] * 40)
    assert demoted is not None
    assert demoted.demoted
    assert not demoted.in_use
    assert book.all() == (demoted,)
    assert book.judge(KEPT.identity, -1.0, 0.05) is None, "once is enough"
    assert book.reload([KEPT]) == (), "the store's older word does not bring it back"
    assert book.all() == (demoted,)
    again = msgspec.structs.replace(KEPT, trained_ms=2)
    assert book.reload([again]) == (again,), "a new training does"
    assert book.evidence(again.identity) is None


def test_the_evidence_survives_a_restart() -> None:
    whole, first, second = TrainedBook([KEPT]), TrainedBook([KEPT]), TrainedBook()
    results = [-1.0, 0.4, -1.0, 1.9, -1.0]
    assert demote(whole, results) is None
    assert demote(first, results[:3]) is None
    second.recover([KEPT], [("another@1", -1.0), *((KEPT.identity, r) for r in results[:3])])
    assert second.evidence(KEPT.identity) == first.evidence(KEPT.identity)
    assert demote(second, results[3:]) is None
    assert second.evidence(KEPT.identity) == whole.evidence(KEPT.identity)


def test_what_has_no_promise_is_not_judged() -> None:
    book = TrainedBook([SET])
    assert [book.judge(SET.identity, -1.0, 0.05) for _ in range(60)] == [None] * 60
    assert book.judge("", -1.0, 0.05) is None
    assert book.evidence(SET.identity) is None


def test_a_reload_forgets_what_the_store_forgot() -> None:
    book = TrainedBook([SET])
    assert book.reload([]) == ()
    assert book.all() == ()


def test_a_row_gives_the_set_back() -> None:
    row = row_of(KEPT)
    assert msgspec.convert(row["body"], TrainedSet) == KEPT
    assert (row["regime"], row["deployed"]) == ("bull", True)
    assert row_of(msgspec.structs.replace(KEPT, demoted="it loses"))["deployed"] is False
