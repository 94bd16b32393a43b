"""Fault files: what is right is read, what is wrong is refused with what would be right."""

from pathlib import Path
from typing import Any

import pytest

from tui_trader.exchange.fault_presets import PRESETS
from tui_trader.exchange.fault_rules import Act, FaultKind, FaultRule
from tui_trader.exchange.fault_spec import FaultSpecError, load_faults, read_act, read_rule, read_rules

_EXAMPLE = Path(__file__).parents[2] / "docs" / "faults.toml"


def test_presets_and_files_together(tmp_path: Path) -> None:
    toml = tmp_path / "one.toml"
    toml.write_text('presets = ["book_gap"]\n[[rule]]\nkind = "drop_request"\nrate = 0.5\npath = "POST *"\n')
    listed = tmp_path / "two.json"
    listed.write_text('[{"kind": "adl", "count": 1, "symbol": "BTCUSDT"}]')
    assert load_faults(f"mild, {toml},{listed}") == (
        *PRESETS["mild"],
        *PRESETS["book_gap"],
        FaultRule(FaultKind.drop_request, rate=0.5, path="POST *"),
        FaultRule(FaultKind.adl, count=1, symbol="BTCUSDT"),
    )
    assert load_faults("") == ()


def test_the_example_file_is_right_and_names_every_kind() -> None:
    rules = load_faults(str(_EXAMPLE))
    assert len(rules) > len(PRESETS["mild"])
    text = _EXAMPLE.read_text()
    assert all(kind.value in text for kind in FaultKind)
    assert all(name in text for name in FaultRule.__struct_fields__)


def test_every_preset_survives_its_own_check() -> None:
    for name, rules in PRESETS.items():
        for rule in rules:
            fields = {key: getattr(rule, key) for key in FaultRule.__struct_fields__}
            assert read_rule(fields | {"kind": rule.kind.value}) == rule, name


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"kind": "drop_requests", "rate": 1}, "unknown kind 'drop_requests'; did you mean 'drop_request'?"),
        ({"kind": "nonsense", "rate": 1}, "use one of: adl, algo_lag"),
        ({"rate": 1}, "'kind' is missing"),
        ({"kind": "delay", "rte": 1}, "unknown field 'rte'; did you mean 'rate'?"),
        ({"kind": "delay"}, "it never strikes; give a rate, or a count"),
        ({"kind": "delay", "rate": 1.5}, "rate is 1.5; for delay it is a probability, between 0 and 1"),
        ({"kind": "delay", "rate": float("nan")}, "rate is nan"),
        ({"kind": "adl", "rate": 1e9}, "times per venue hour, between 0 and 3600"),
        ({"kind": "delay", "rate": -0.1}, "rate is -0.1"),
        ({"kind": "delay", "rate": "often"}, "Expected `float`, got `str`"),
        ({"kind": "delay", "rate": 1, "count": -1}, "count is -1; it must be between 0 and"),
        ({"kind": "delay", "rate": 1, "ms": -5}, "ms is -5; for delay it must be between 0 and"),
        ({"kind": "delay", "rate": 1, "after_ms": -5}, "after_ms is -5"),
        ({"kind": "http", "rate": 1, "status": 42}, "status is 42; HTTP answers have 200 to 599"),
        ({"kind": "http", "rate": 1, "share": 2}, "share is 2; it is a fraction of at most 1"),
        ({"kind": "huge_frame", "rate": 1, "size": 2**40}, "size is"),
        ({"kind": "trade_elsewhere", "rate": 1, "side": "LONG"}, "side is 'LONG'; use BUY or SELL"),
        ({"kind": "trade_elsewhere", "rate": 1, "qty": "-1"}, "qty is '-1'; use a positive decimal"),
        ({"kind": "trade_elsewhere", "rate": 1, "qty": "NaN"}, "qty is 'NaN'"),
        ({"kind": "trade_elsewhere", "rate": 1, "qty": "much"}, "qty is 'much'"),
        ({"kind": "adl", "rate": 1, "symbol": "btc"}, "symbol is 'btc'; symbols look like BTCUSDT"),
        ({"kind": "symbol_status", "rate": 1, "text": "SETLING"}, "did you mean 'SETTLING'?"),
        ({"kind": "cancel_elsewhere", "rate": 1, "text": "everything"}, "use one of: stop, target"),
        ("delay", "expected a table of fields"),
    ],
)
def test_wrong_rules(row: Any, words: str) -> None:
    with pytest.raises(FaultSpecError) as refusal:
        read_rule(row, "f.toml, rule 3")
    assert words in str(refusal.value)
    assert str(refusal.value).startswith("f.toml, rule 3: ")


def test_clocks_may_go_backwards() -> None:
    assert read_rule({"kind": "clock_step", "rate": 1, "ms": -900}).ms == -900
    assert read_act({"kind": "clock_skew", "ms": -900}) == Act(FaultKind.clock_skew, ms=-900)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"kind": "drop_request"}, "drop_request is no act, it needs a rule; acts: adl, cancel_elsewhere"),
        ({"kind": "adl", "rate": 1}, "unknown field 'rate'"),
        ({"kind": "outage", "ms": -1}, "ms is -1"),
    ],
)
def test_wrong_acts(row: Any, words: str) -> None:
    with pytest.raises(FaultSpecError) as refusal:
        read_act(row)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"rules": []}, "unknown entry 'rules'; did you mean 'rule'?"),
        ({"rule": {"kind": "delay"}}, "expected a list of rules"),
        ({"presets": ["hostil"]}, "unknown preset 'hostil'; did you mean 'hostile'?"),
        ({"presets": [3]}, "unknown preset '3'"),
        ("text", "expected a list of rules"),
        ([{}] * 1001, "1001 rules; at most 1000"),
    ],
)
def test_wrong_documents(document: Any, words: str) -> None:
    with pytest.raises(FaultSpecError) as refusal:
        read_rules(document, "f")
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bad.toml", b"[[rule]\n", "cannot read"),
        ("bad.json", b'[{"kind":', "cannot read"),
        ("deep.json", b"[" * 100_000, "cannot read"),
        ("latin.toml", b"\xff\xfe", "cannot read"),
        ("big.toml", b"#" * (2 << 20), "is larger than 1 MiB"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FaultSpecError) as refusal:
        load_faults(str(path))
    assert words in str(refusal.value)


def test_neither_preset_nor_file(tmp_path: Path) -> None:
    wrong = {"rogh": "did you mean 'rough'?", str(tmp_path / "no.toml"): "No such file", str(tmp_path): "cannot read"}
    for name, words in wrong.items():
        with pytest.raises(FaultSpecError) as refusal:
            load_faults(name)
        assert words in str(refusal.value)
