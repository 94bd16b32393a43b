"""Fault verdicts, pure: each kind does what it says, as often as it says, the same for the same seed."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tui_trader.exchange.fault_rules import ACTS, BOOK_KINDS, FRAME_KINDS, HOOK_KINDS, REQUEST_KINDS
from tui_trader.exchange.faults import PRESETS, FaultKind, FaultRule, Faults, FrameVerdict, Verdict
from tui_trader.exchange.rest import Request

ORDER = Request("POST", "/fapi/v1/order", body="symbol=BTCUSDT&side=BUY")
STOP = Request("POST", "/fapi/v1/algoOrder", body="symbol=BTCUSDT&reduceOnly=true")
READ = Request("GET", "/fapi/v1/openOrders")
FILL = '{"e":"ORDER_TRADE_UPDATE","T":1,"o":{"s":"BTCUSDT"}}'
DIFF = '{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"pu":0,"b":[["10.0","1"]],"a":[["11.0","1"]]}'
TOP = '{"e":"bookTicker","s":"BTCUSDT","b":"10.0","B":"1","a":"10.5","A":"2"}'
K = FaultKind


def always(kind: FaultKind, **fields: Any) -> Faults:
    return Faults(1, [FaultRule(kind, rate=1.0, **fields)])


def verdicts(faults: Faults, count: int, request: Request = ORDER) -> list[Verdict]:
    return [faults.request(request, number * 10_000) for number in range(count)]


def test_without_rules_everything_is_honest() -> None:
    faults = Faults(1)
    assert (faults.bends_requests, faults.bends_frames) == (False, False)
    assert faults.request(ORDER, 0) is faults.request(READ, 5) == Verdict()
    assert faults.frame("private", "key", FILL, 0) == FrameVerdict(((0, FILL),))
    assert (faults.acts(0, 0.0), faults.acts(1, 1e6), faults.lag_ms("GET /x"), faults.at_trigger("BTCUSDT", True)) == (
        [],
        [],
        0,
        ("", 0),
    )
    assert not faults.misses_position("BTCUSDT", True, 0, 0)
    assert faults.book("BTCUSDT", 0) is None
    assert faults.counts == {}


def test_every_kind_is_met_somewhere_and_has_a_preset() -> None:
    assert set(FaultKind) == REQUEST_KINDS | FRAME_KINDS | BOOK_KINDS | HOOK_KINDS | ACTS
    assert set(PRESETS) == {"calm", "mild", "rough", "hostile", *FaultKind}
    assert {rule.kind for rule in PRESETS["rough"]} == set(FaultKind) - {K.banned}
    assert PRESETS["calm"] == ()


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (K.drop_request, {}, {"lose_request": True, "handled": False}),
        (K.half_open, {}, {"lose_request": True, "handled": False}),
        (K.drop_response, {}, {"lose_answer": True}),
        (K.duplicate, {}, {"copies": 2}),
        (K.delay, {"ms": 700, "text": "request", "share": 1.0}, {"delay_ms": 700}),
        (K.delay, {"ms": 700, "text": "answer", "share": 1.0}, {"answer_delay_ms": 700}),
        (K.reorder, {"ms": 300, "share": 1.0}, {"delay_ms": 300}),
        (K.reset_before, {"share": 0.0}, {"reset": "before", "handled": False}),
        (K.reset_before, {"share": 1.0}, {"reset": "before"}),
        (K.reset_mid, {}, {"reset": "mid"}),
        (K.reset_after, {}, {"reset": "after"}),
    ],
)
def test_what_a_kind_does_to_a_request(kind: FaultKind, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert always(kind, **fields).request(ORDER, 0) == Verdict(**expected, kinds=(kind,))


def test_unknown_errors_are_executed_half_of_the_time() -> None:
    found = verdicts(always(K.unknown_error), 400)
    said = {(row.reply.status, row.reply.body) for row in found if row.reply}
    assert {status for status, _ in said} == {503, 408, 400}
    assert any("Unknown error, please check your request or try again later." in body for _, body in said)
    assert any('"code":-1007' in body for _, body in said)
    assert any('"code":-1006' in body for _, body in said)
    assert 160 < sum(row.handled for row in found) < 240


def test_overload_is_never_executed_and_spares_what_reduces() -> None:
    opening = verdicts(always(K.overloaded), 200)
    assert all(row.reply is not None and row.reply.status == 503 and not row.handled for row in opening)
    assert not any("unknown error" in row.reply.body.lower() for row in opening if row.reply)
    assert any('"code":-1008' in row.reply.body for row in opening if row.reply)
    faults = always(K.overloaded)
    reducing = verdicts(faults, 200, STOP)
    assert not any('"code":-1008' in row.reply.body for row in reducing if row.reply)
    honest = [row for row in reducing if row == Verdict()]
    assert honest
    assert faults.counts == {K.overloaded: 200 - len(honest)}


@pytest.mark.parametrize(
    ("fields", "status", "acted"),
    [
        ({"status": 502}, 502, {True, False}),
        ({"status": 502, "share": 1.0}, 502, {True}),
        ({"status": 400, "code": -2019, "text": "Margin is insufficient."}, 400, {False}),
        ({"status": 408, "code": -1007, "text": "Timeout"}, 408, {True, False}),
        ({"status": 503, "text": "Service Unavailable."}, 503, {False}),
        ({"status": 503, "text": "Unknown error, please check"}, 503, {True, False}),
        ({"status": 403}, 403, {False}),
    ],
)
def test_any_code_and_body(fields: dict[str, Any], status: int, acted: set[bool]) -> None:
    found = verdicts(always(K.http, **fields), 40)
    assert {row.reply.status for row in found if row.reply} == {status}
    assert {row.handled for row in found} == acted
    if fields.get("text"):
        assert all(fields["text"] in row.reply.body for row in found if row.reply)


def test_drawn_statuses_vary() -> None:
    assert len({row.reply.status for row in verdicts(always(K.http), 200) if row.reply}) >= 6


def test_whoever_does_not_wait_after_a_429_is_banned() -> None:
    faults = Faults(1, [FaultRule(K.rate_limited, count=1, retry_after_s=10)])

    def ask(now_ms: int) -> tuple[int, str]:
        reply = faults.request(ORDER, now_ms).reply
        return (reply.status, reply.headers["Retry-After"]) if reply else (200, "")

    assert [ask(0), ask(1_000), ask(2_500), ask(9_999)] == [(429, "10"), (429, "9"), (429, "8"), (429, "1")]
    assert ask(9_999) == (418, "120")
    assert ask(100_000) == (418, "30")
    assert ask(129_998) == (418, "1")
    assert ask(129_999) == (200, "")
    assert faults.counts == {K.rate_limited: 4, K.banned: 3}
    assert not faults.request(Request("GET", "/x", address="10.0.0.9"), 1).kinds, "others are not banned"


def test_waiting_after_a_429_is_enough() -> None:
    faults = Faults(1, [FaultRule(K.rate_limited, count=1)])
    assert faults.request(ORDER, 0).reply is not None
    assert faults.request(ORDER, 2_000) == Verdict()


def test_a_ban_from_nowhere() -> None:
    reply = always(K.banned, retry_after_s=60).request(ORDER, 0).reply
    assert reply is not None
    assert (reply.status, reply.headers) == (418, {"Retry-After": "60"})


def test_the_first_word_counts_and_losses_add_up() -> None:
    rules = [FaultRule(kind, rate=1.0) for kind in (K.overloaded, K.unknown_error, K.drop_response, K.duplicate)]
    verdict = Faults(1, rules).request(ORDER, 0)
    assert verdict.kinds == (K.overloaded, K.drop_response, K.duplicate)
    assert (verdict.handled, verdict.lose_answer, verdict.copies) == (False, True, 2)


def test_same_seed_same_verdicts_and_another_seed_others() -> None:
    def run(seed: int) -> list[object]:
        faults = Faults(seed, PRESETS["hostile"])
        rows: list[object] = verdicts(faults, 300)
        rows += [faults.frame("private", "key", FILL, 4_000_000 + number) for number in range(300)]
        rows += faults.acts(0, 0.0) + faults.acts(1, 50.0)
        rows += [faults.at_trigger("BTCUSDT", False) for _ in range(50)] + [faults.lag_ms("GET /x") for _ in range(50)]
        return rows

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_a_rule_taken_away_leaves_the_draws_of_the_others() -> None:
    rules = [FaultRule(K.duplicate, rate=0.3), FaultRule(K.delay, rate=0.3), FaultRule(K.drop_response, rate=0.3)]
    both = Faults(3, rules)
    fewer = Faults(3, rules)
    fewer.remove(2)
    assert sorted(fewer.rules) == [1, 3]
    kept = [tuple(kind for kind in row.kinds if kind is not K.delay) for row in verdicts(both, 300)]
    assert kept == [row.kinds for row in verdicts(fewer, 300)]
    with pytest.raises(KeyError):
        fewer.remove(2)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.5])
def test_rates_hold(rate: float) -> None:
    faults = Faults(11, [FaultRule(K.duplicate, rate=rate)])
    count = 20_000
    struck = sum(bool(faults.request(ORDER, 0).kinds) for _ in range(count))
    assert abs(struck / count - rate) < 4 * (rate * (1 - rate) / count) ** 0.5
    assert faults.counts == {K.duplicate: struck}


@pytest.mark.parametrize(("name", "level"), [("mild", 0.01), ("rough", 0.05), ("hostile", 0.15)])
def test_presets_strike_about_as_many_requests_as_they_promise(name: str, level: float) -> None:
    struck = sum(bool(row.kinds) for row in verdicts(Faults(5, PRESETS[name]), 20_000))
    assert 0.85 * level < struck / 20_000 < 1.15 * level


def test_a_rule_sleeps_wakes_and_ends() -> None:
    faults = Faults(1, [FaultRule(K.drop_request, rate=1.0, after_ms=1_000, for_ms=500)])
    struck = [bool(faults.request(ORDER, now).kinds) for now in (50_000, 50_999, 51_000, 51_499, 51_500, 99_000)]
    assert struck == [False, False, True, True, False, False]


def test_a_count_without_a_rate_strikes_the_first_ones() -> None:
    faults = Faults(1, [FaultRule(K.drop_request, count=2, path="POST *order")])
    requests = [READ, ORDER, STOP, ORDER, ORDER]
    assert [bool(faults.request(request, 0).kinds) for request in requests] == [False, True, False, True, False]


def test_globs_name_requests_streams_routes_and_events() -> None:
    def met(path: str) -> list[bool]:
        faults = always(K.duplicate, path=path)
        asked = [bool(faults.request(request, 0).kinds) for request in (ORDER, STOP, READ)]
        frames = (("private", "key", FILL), ("public", "btcusdt@depth", DIFF), ("public", "btcusdt@bookTicker", TOP))
        return asked + [bool(faults.frame(*frame, 0).kinds) for frame in frames]

    assert met("") == [True] * 6
    assert met("POST *") == [True, True, False, False, False, False]
    assert met("* /fapi/v1/*rder") == [True, True, False, False, False, False]
    assert met("private") == [False, False, False, True, False, False]
    assert met("private ORDER_TRADE_UPDATE") == [False, False, False, True, False, False]
    assert met("private ALGO_UPDATE") == [False] * 6
    assert met("btcusdt@depth*") == [False, False, False, False, True, False]
    wrapped = f'{{"stream":"key","data":{FILL}}}'
    assert always(K.duplicate, path="private ORDER*").frame("private", "key", wrapped, 0).kinds


def test_an_outage_ends_by_itself_or_when_all_is_cleared() -> None:
    faults = Faults(1)
    faults.begin_outage(60_000)
    rows = [faults.request(ORDER, 5_000 + number) for number in range(100)]
    assert not any(row.handled for row in rows)
    assert {row.reset for row in rows} == {"", "before"}
    assert {row.reply.status for row in rows if row.reply} == {500, 502, 503, 504}
    assert faults.frame("public", "btcusdt@depth", DIFF, 5_200).disconnect
    assert (faults.is_out(64_999), faults.is_out(65_000)) == (True, False)
    assert faults.request(ORDER, 65_000) == Verdict()
    assert not faults.bends_requests
    faults.begin_outage(60_000)
    faults.clear()
    assert not faults.is_out(70_000)


def test_frames_twice_late_and_out_of_order() -> None:
    twice = always(K.duplicate).frame("private", "key", FILL, 0)
    assert twice.frames == ((0, FILL), (0, FILL))
    much_later = always(K.duplicate, ms=120_000).frame("private", "key", FILL, 0)
    assert much_later.frames[1][0] > 0
    late = Faults(1, [FaultRule(K.delay, count=1, ms=500, share=1.0)])
    held = [late.frame("private", "key", FILL, now).frames[0][0] for now in (0, 100, 400, 500, 900)]
    assert held == [500, 400, 100, 0, 0], "what comes after a late frame waits behind it"
    other = Faults(1, [FaultRule(K.delay, count=1, ms=500, share=1.0)])
    other.frame("private", "key", FILL, 0)
    assert other.frame("private", "key", FILL, 10, connection=2).frames[0][0] == 0
    mixed = Faults(1, [FaultRule(K.reorder, count=1, ms=500, share=1.0)])
    assert [mixed.frame("private", "key", FILL, now).frames[0][0] for now in (0, 100)] == [500, 0]


@pytest.mark.parametrize("kind", [K.mute, K.half_open])
def test_silence_belongs_to_a_connection(kind: FaultKind) -> None:
    faults = Faults(1, [FaultRule(kind, count=1, ms=5_000, path="private")])
    first = faults.frame("private", "key", FILL, 0, 1)
    assert (first.frames, first.deaf) == ((), kind is K.half_open)
    assert faults.frame("private", "key", FILL, 4_999, 1).frames == ()
    assert faults.frame("private", "key", FILL, 4_999, 2).frames == ((0, FILL),)
    assert faults.frame("private", "key", FILL, 5_000, 1).frames == ((0, FILL),)
    again = Faults(1, [FaultRule(kind, count=1, ms=5_000)])
    again.frame("private", "key", FILL, 0)
    again.opened("private")
    assert again.frame("private", "key", FILL, 1).frames == ((0, FILL),)
    assert not any((again.bends_requests, again.bends_frames)) or again.rules


def test_disconnects_swollen_and_garbled_frames() -> None:
    cuts = [always(K.disconnect).frame("private", "key", FILL, 0)]
    cuts += [Faults(seed, [FaultRule(K.disconnect, rate=1.0)]).frame("private", "key", FILL, 0) for seed in range(20)]
    assert all(cut.disconnect for cut in cuts)
    assert {len(cut.frames) for cut in cuts} == {0, 1}
    swollen = always(K.huge_frame, size=100_000).frame("public", "btcusdt@depth", DIFF, 0).frames
    assert [len(frame) for _, frame in swollen] == [100_000, len(DIFF)]
    raving = always(K.mangle)
    garbled = [raving.frame("private", "key", FILL, 0).frames for _ in range(100)]
    assert {len(frames) for frames in garbled} == {1}
    assert {type(frames[0][1]) for frames in garbled} == {str, bytes}
    assert FILL not in [frames[0][1] for frames in garbled]
    assert always(K.mangle).request(ORDER, 0).mangle > 0


def test_book_faults_touch_only_what_tells_of_books() -> None:
    assert always(K.book_gap).frame("public", "btcusdt@depth@100ms", DIFF, 0).frames == ()
    assert always(K.book_gap).frame("public", "btcusdt@bookTicker", TOP, 0).frames == ((0, TOP),)
    assert always(K.crossed_book).frame("private", "key", FILL, 0).frames == ((0, FILL),)
    stale = Faults(1, [FaultRule(K.stale_book, count=1, ms=1_000)])
    heard = [stale.frame("public", "btcusdt@depth", DIFF, now).frames for now in (0, 500, 999, 1_000)]
    assert heard == [(), (), (), ((0, DIFF),)]
    assert stale.frame("public", "ethusdt@depth", DIFF, 500).frames == ((0, DIFF),)
    drill = Faults(1, [FaultRule(K.stale_book, count=1, ms=1_000), FaultRule(K.crossed_book, count=1)])
    assert [drill.book("BTCUSDT", now) for now in (0, 999, 1_000, 1_001)] == [
        K.stale_book,
        K.stale_book,
        K.crossed_book,
        None,
    ]


def test_acts_come_about_as_often_as_ordered_however_often_one_asks() -> None:
    def times(step_h: float) -> list[float]:
        faults = Faults(2, [FaultRule(K.cancel_elsewhere, rate=6.0, symbol="BTCUSDT", text="stop")])
        found: list[float] = []
        for number in range(int(200 / step_h) + 1):
            for act in faults.acts(0, 1_000 + number * step_h):
                assert (act.kind, act.symbol, act.text) == (K.cancel_elsewhere, "BTCUSDT", "stop")
                found.append(number * step_h)
        return found

    fine, coarse = times(0.01), times(1.0)
    assert len(fine) == len(coarse)
    assert 1_050 < len(fine) < 1_350
    assert all(early <= late for early, late in pairwise(fine))


def test_acts_by_count_and_by_window() -> None:
    once = Faults(1, [FaultRule(K.adl, count=1, after_ms=1_000)])
    assert [len(once.acts(now, 0.0)) for now in (0, 999, 1_000, 1_001)] == [0, 0, 1, 0]
    limited = Faults(1, [FaultRule(K.adl, rate=3600.0, count=3)])
    limited.acts(0, 0.0)
    assert len(limited.acts(1, 10.0)) == 3
    over = Faults(1, [FaultRule(K.adl, rate=3600.0, for_ms=100)])
    over.acts(0, 0.0)
    assert over.acts(100, 10.0) == []


def test_hooks_inside_the_exchange() -> None:
    faults = Faults(
        1,
        [
            FaultRule(K.replica_lag, rate=1.0, path="GET /fapi/v1/openOrders", ms=900),
            FaultRule(K.algo_lag, rate=1.0, path="closePosition *", ms=800, share=1.0),
            FaultRule(K.stop_rejected_at_trigger, count=1, text="expire"),
            FaultRule(K.stuck_triggering, count=1, ms=4_000),
        ],
    )
    assert (faults.lag_ms("GET /fapi/v1/openOrders"), faults.lag_ms("GET /fapi/v1/order")) == (900, 0)
    seen = [faults.misses_position("BTCUSDT", True, 10_000, now) for now in (10_000, 10_799, 10_800)]
    assert seen == [True, True, False]
    assert not faults.misses_position("BTCUSDT", False, 20_000, 20_000)
    fates = [faults.at_trigger("BTCUSDT", False) for _ in range(3)]
    assert fates == [("expire", 0), ("stuck", 4_000), ("", 0)]


def test_one_opening_is_drawn_once() -> None:
    faults = Faults(4, [FaultRule(K.algo_lag, rate=0.5, ms=1_000, share=1.0)])
    openings = [[faults.misses_position("BTCUSDT", True, start, start + ms) for ms in (0, 500, 999)] for start in
                range(0, 200_000, 1_000)]  # fmt: skip
    assert all(len(set(row)) == 1 for row in openings), "a retry within the lag meets the same lag"
    assert 70 < sum(row[0] for row in openings) < 130


def test_strikes_can_be_watched() -> None:
    heard: list[tuple[str, str]] = []
    faults = always(K.duplicate)
    faults.on_strike = lambda kind, what: heard.append((kind, what))
    faults.request(ORDER, 0)
    faults.frame("private", "key", FILL, 0)
    assert heard == [("duplicate", "POST /fapi/v1/order"), ("duplicate", "private ORDER_TRADE_UPDATE")]


@given(
    st.lists(st.sampled_from(sorted(REQUEST_KINDS | FRAME_KINDS | BOOK_KINDS)), max_size=8),
    st.lists(st.integers(0, 100_000), min_size=1, max_size=30),
    st.integers(0, 2**32),
)
@example([FaultKind.reset_after, FaultKind.reset_before], [0, 0], 0)
def test_verdicts_are_never_absurd(kinds: list[FaultKind], moments: list[int], seed: int) -> None:
    faults = Faults(seed, [FaultRule(kind, rate=0.5, size=1_000) for kind in kinds])
    for now in sorted(moments):
        verdict = faults.request(ORDER, now)
        assert verdict.copies >= 1
        assert min(verdict.delay_ms, verdict.answer_delay_ms) >= 0
        assert not (verdict.lose_request and verdict.handled)
        assert verdict.handled or verdict.reply is not None or verdict.lose_request or verdict.reset == "before"
        for delay_ms, payload in faults.frame("public", "btcusdt@depth", DIFF, now).frames:
            assert delay_ms >= 0
            assert payload
    faults.clear()
    assert faults.request(ORDER, 200_000) == Verdict()
    assert faults.frame("public", "btcusdt@depth", DIFF, 200_000).frames == ((0, DIFF),)
    assert not faults.bends_requests
    assert not faults.bends_frames
