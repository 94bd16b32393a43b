"""Settings: three statements of the defaults agree; precedence and sources; refusals in words."""

from __future__ import annotations

import contextlib
import copy
import pickle
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_trader.config import (
    KNOWN_STRATEGIES,
    PRESETS,
    Secret,
    credentials,
    data_dir,
    default_settings,
    find_config,
    load,
    packaged_config,
)
from tui_trader.config_fields import NAMED_IN_SPEC, environment, fields
from tui_trader.core.settings import Settings, SizingModel
from tui_trader.core.types import Tier
from tui_trader.errors import ConfigError
from tui_trader.strategies.registry import SHIPPED


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str = "", environ: dict[str, str] | None = None, **overrides: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), environ=environ or {}, overrides=overrides)
    return str(caught.value)


# --- one truth ---


def test_code_defaults_and_packaged_file_agree() -> None:
    packaged, code = default_settings().model_dump(), Settings().model_dump()
    lists = ("main", "l1", "l2", "defi", "infrastructure", "meme", "excluded", "renames")
    for name in lists:
        assert code["tiers"].pop(name) in ((), {}), "the tier lists stand in config.toml only"
        assert packaged["tiers"].pop(name)
    assert packaged == code


def test_every_key_has_its_variable_and_the_file_names_it() -> None:
    text = packaged_config().read_text(encoding="utf-8")
    assert len(environment()) == len(fields()), "two settings share an environment variable"
    for variable in environment():
        assert f"{variable}" in text, f"config.toml does not name {variable}"
    assert set(NAMED_IN_SPEC.values()) <= set(fields())


def test_every_setting_can_be_given_by_its_variable() -> None:
    spelled = {}
    for spec in fields().values():
        value = getattr(default_settings(), spec.path) if spec.path == "preset" else _value(spec.path)
        if isinstance(value, tuple):
            text = ",".join(str(item) for item in value)
        elif isinstance(value, dict):
            text = ",".join(f"{key}={inner}" for key, inner in value.items())
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
        spelled[spec.env] = text
    loaded = load(None, environ=spelled)
    assert loaded.settings == default_settings()
    assert set(loaded.sources.values()) == {f"environment {name}" for name in spelled}


def _value(path: str) -> object:
    section, _, key = path.partition(".")
    return getattr(getattr(default_settings(), section), key)


# --- precedence ---


def test_each_source_overrides_the_one_before(tmp_path: Path) -> None:
    path = write(tmp_path, 'preset = "aggressive"\n\n[universe]\nmax_spread_bps = 4\nmin_depth = 300_000\n')
    loaded = load(
        path, environ={"TP_MIN_DEPTH": "400000", "TP_MAX_POSITIONS": "3"}, overrides={"limits.max_positions": 2}
    )
    universe = loaded.settings.universe
    assert (universe.min_volume_24h, universe.max_spread_bps, universe.min_depth) == (2_000_000, 4, 400_000)
    assert loaded.settings.limits.max_positions == 2
    assert loaded.sources["universe.min_volume_24h"] == "preset aggressive"
    assert loaded.sources["universe.max_spread_bps"] == f"{path}:4"
    assert loaded.sources["universe.min_depth"] == "environment TP_MIN_DEPTH"
    assert loaded.sources["limits.max_positions"] == "flag limits.max_positions"
    assert loaded.sources["universe.max_size"] == "default"


def test_flag_chooses_the_preset_over_file_and_environment(tmp_path: Path) -> None:
    path = write(tmp_path, 'preset = "aggressive"\n')
    loaded = load(path, environ={"TP_PRESET": "standard"}, overrides={"preset": "conservative"})
    assert loaded.settings.sizing.base_risk_frac == 0.005
    assert loaded.sources["preset"] == "flag --preset"


def test_a_copy_of_the_packaged_file_leaves_presets_in_force(tmp_path: Path) -> None:
    path = write(tmp_path, packaged_config().read_text(encoding="utf-8"))
    loaded = load(path, environ={}, overrides={"preset": "conservative"})
    assert loaded.settings.universe.max_spread_bps == 2.0
    assert loaded.warnings == ()


def test_a_repeated_default_yields_to_the_preset_and_is_announced(tmp_path: Path) -> None:
    path = write(tmp_path, "[universe]\nmax_spread_bps = 3.0\n")
    loaded = load(path, environ={}, overrides={"preset": "conservative"})
    assert loaded.settings.universe.max_spread_bps == 2.0
    assert "universe.max_spread_bps" in loaded.warnings[0]
    assert load(path, environ={}).warnings == ()


def test_presets_hold_what_the_specification_says() -> None:
    assert set(PRESETS) == {"standard", "conservative", "aggressive", "ultra_conservative"}
    got = {name: load(None, environ={}, overrides={"preset": name}).settings for name in PRESETS}
    assert got["standard"] == default_settings()
    conservative, aggressive, ultra = got["conservative"], got["aggressive"], got["ultra_conservative"]
    assert (conservative.universe.min_volume_24h, conservative.universe.max_spread_bps) == (10_000_000, 2)
    assert (conservative.sizing.max_risk_frac, conservative.ladder.atr_mult_sl) == (0.02, 1.5)
    assert (aggressive.universe.min_volume_24h, aggressive.universe.max_spread_bps) == (2_000_000, 5)
    assert (aggressive.sizing.base_risk_frac, aggressive.sizing.max_risk_frac) == (0.02, 0.05)
    assert (aggressive.ladder.atr_mult_sl, aggressive.ladder.atr_mult_tp2) == (0.8, 3.0)
    assert ultra.sizing.model is SizingModel.FIXED_MARGIN
    assert ultra.sizing.fixed_margin * ultra.sizing.leverage_main == 5
    assert (ultra.limits.daily_loss, ultra.limits.total_loss) == (Decimal("5.00"), Decimal("10.00"))
    assert (ultra.ladder.fixed_sl_pct, ultra.ladder.fixed_tp_pct) == (2.0, 4.0)
    assert ultra.universe.min_volume_24h == 1_000_000


def test_money_in_the_file_stays_exact(tmp_path: Path) -> None:
    path = write(tmp_path, "[sizing]\nfixed_margin = 0.1\n")
    assert load(path, environ={}).settings.sizing.fixed_margin == Decimal("0.1")


def test_tiers_and_renames_load() -> None:
    tiers = default_settings().tiers
    assert tiers.main == ("BTC", "ETH")
    assert tiers.renames["POL"] == "MATIC"
    assert "SNX" in tiers.l2
    assert default_settings().universe.allowed_tiers == (Tier.MAIN, Tier.L1, Tier.L2)


# --- refusals ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[universe]\n\nmin_dept = 3\n",
            "settings.toml:3: universe.min_dept is no setting; did you mean universe.min_depth?",
        ),
        ("[univers]\na = 3\n", "settings.toml:1: there is no section or key univers; did you mean universe?"),
        ("universe = 3\n", "settings.toml:1: universe is a section"),
        (
            "[universe]\nmax_spread_bps = nan\n",
            ":2: universe.max_spread_bps = NaN cannot be used; it must be a number over 0.",
        ),
        ("[universe]\nmax_spread_bps = inf\n", "it must be a number over 0."),
        ("[universe]\nmax_spread_bps = -1\n", ":2: universe.max_spread_bps = -1.0 cannot be used"),
        ("[universe]\nmax_spread_bps = true\n", "= true cannot be used"),
        ("[universe]\nmax_spread_bps = '3'\n", "without quotes"),
        ("[universe]\nmax_size = 2.5\n", "a whole number at least 1 and at most 200"),
        ("[universe]\nallowed_tiers = ['L9']\n", "any of MAIN, L1, L2"),
        ("[universe]\nallowed_tiers = ['EXCLUDED']\n", "never traded"),
        ("[limits]\nenabled = 'yes'\n", "true or false, without quotes"),
        (
            "[sizing]\nmin_margin = 2000\n",
            "min_margin 2000 must not exceed max_margin 1000. Given: sizing.min_margin = 2000",
        ),
        ("[sizing]\nmax_risk_frac = 0.5\n", "limits.max_total_risk of all trades. Given: sizing.max_risk_frac = 0.5"),
        ("[ladder]\natr_timeframe = '1h'\n", "ladder.max_atr_age_s must be over 3600, one 1h candle"),
        ("[ladder]\natr_timeframe = '7m'\n", "one of 1m, 5m, 15m, 1h, 4h, 1d"),
        ("[tiers]\nmeme = ['BTC']\n", "BTC stands in both main and meme"),
        ("[limits]\ndaily_loss_frac = 0.9\n", "must not exceed limits.total_loss_frac"),
        ("[venue]\nrest_url = 'http://example.com'\n", "must use https://"),
        ("[venue]\nws_url = 'ftp://x'\n", "must be an address like wss://host"),
        ("[venue]\nrest_url = 'https://a:b@x'\n", "user name or password"),
        ("[strategies]\nenabled = ['ma_crosover']\n", "did you mean ma_crossover?"),
        ("[[universe]]\na = 1\n", "universe is a section"),
        ("a = " + "[" * 50_000, "nests too deeply"),
        ("a =\n", "is not valid TOML"),
        ("preset = 'brave'\n", "one of standard, conservative, aggressive, ultra_conservative"),
    ],
)
def test_refused_with_place_key_value_and_what_is_right(tmp_path: Path, text: str, expected: str) -> None:
    message = refusal(tmp_path, text)
    assert expected in message
    assert "settings.toml" in message


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TP_MIN_VOLUM_24H", "3", "did you mean TP_MIN_VOLUME_24H?"),
        ("TP_MAX_POSITIONS", "٣", "a whole number at least 1"),
        ("TP_MAX_POSITIONS", "3.5", "a whole number"),
        ("TP_MAX_POSITIONS", "", "a whole number"),
        ("TP_MAX_SPREAD_BPS", "inf", "a number over 0"),
        ("TP_MAX_SPREAD_BPS", "1e999", "a number over 0"),
        ("TP_MAX_SPREAD_BPS", "0x10", "a number over 0"),
        ("TP_ENABLED", "maybe", "true or false"),
        ("TP_TIERS_RENAMES", "POL", "pairs, like A=B"),
        ("TP_UI_THEME", "x\x1b[2J", "control characters"),
    ],
)
def test_environment_refused_in_words(tmp_path: Path, variable: str, value: str, expected: str) -> None:
    message = refusal(tmp_path, environ={variable: value})
    assert expected in message
    assert variable in message
    assert "\x1b" not in message


def test_files_that_are_no_config(tmp_path: Path) -> None:
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(binary, environ={})
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than"):
        load(big, environ={})
    with pytest.raises(ConfigError, match="There is no config file"):
        find_config(tmp_path / "absent.toml")


@given(st.text(max_size=200))
def test_any_text_loads_or_is_refused_in_words(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigError):
        load(path, environ={})


@given(st.sampled_from(sorted(environment())), st.text(max_size=30))
def test_any_variable_value_loads_or_is_refused_in_words(variable: str, value: str) -> None:
    with contextlib.suppress(ConfigError):
        load(None, environ={variable: value})


# --- folders and keys ---


def test_config_is_searched_in_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("", encoding="utf-8")
    assert find_config(None, cwd=tmp_path) == tmp_path / "config.toml"


def test_data_folder_is_private(tmp_path: Path) -> None:
    made = data_dir(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o755)
    assert data_dir(made).stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be used"):
        data_dir(tmp_path / "file")


def test_keys_come_from_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "credentials.toml"
    path.write_text('[live]\nkey = "abcdefgh"\nsecret = "s3cr3t"\n', encoding="utf-8")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        credentials("live", {}, tmp_path)
    path.chmod(0o600)
    got = credentials("live", {}, tmp_path)
    assert (got.key, got.secret.reveal(), got.warning) == ("abcdefgh", "s3cr3t", "")
    with pytest.raises(ConfigError, match=r"no section \[testnet\]"):
        credentials("testnet", {}, tmp_path)
    assert not credentials("demo", {}, tmp_path).secret


def test_keys_from_the_environment_come_with_a_warning(tmp_path: Path) -> None:
    got = credentials("live", {"TP_API_KEY": "kkkkkk", "TP_API_SECRET": "s3cr3t"}, tmp_path)
    assert got.secret == Secret("s3cr3t")
    assert "environment" in got.warning
    with pytest.raises(ConfigError, match="Only one of"):
        credentials("live", {"TP_API_KEY": "kkkkkk"}, tmp_path)
    with pytest.raises(ConfigError, match="no API key for live"):
        credentials("live", {}, tmp_path)


def test_a_secret_never_prints(tmp_path: Path) -> None:
    got = credentials("live", {"TP_API_KEY": "kkkkkk", "TP_API_SECRET": "s3cr3t"}, tmp_path)
    for shown in (repr(got), str(got), f"{got.secret}", f"{got.secret!r}", f"{got.secret:>20}", str([got.secret])):
        assert "s3cr3t" not in shown
    with pytest.raises(TypeError, match="not stored"):
        pickle.dumps(got.secret)
    with pytest.raises(TypeError, match="not stored"):
        copy.copy(got.secret)


def test_every_shipped_strategy_can_be_enabled_and_own_ones_with_a_folder(tmp_path: Path) -> None:
    assert tuple(kind.name for kind in SHIPPED) == KNOWN_STRATEGIES
    names = ",".join(KNOWN_STRATEGIES)
    assert load(None, environ={"TP_STRATEGIES_ENABLED": names}).settings.strategies.enabled == KNOWN_STRATEGIES
    own = {"TP_STRATEGIES_ENABLED": "mine", "TP_STRATEGIES_FOLDER": str(tmp_path)}
    assert load(None, environ=own).settings.strategies.enabled == ("mine",)
    with pytest.raises(ConfigError, match=r'strategies\.enabled names "mine", which is no strategy'):
        load(None, environ={"TP_STRATEGIES_ENABLED": "mine"})
