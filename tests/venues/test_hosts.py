"""Only configured hosts, only TLS beyond this machine."""

from __future__ import annotations

import random

import pytest

from tui_trader.core.settings import DataSettings, VenueSettings
from tui_trader.errors import ConfigError, VenueUnreachable
from tui_trader.venues.binance.client import BinanceVenue
from tui_trader.venues.hosts import HostGuard, checked_base


def test_hosts() -> None:
    guard = HostGuard("https://fapi.binance.com")
    guard.check("https://fapi.binance.com/fapi/v1/order?x=1")
    for url in ("https://api.binance.com/x", "http://fapi.binance.com/x", "https://fapi.binance.com.evil.example/x"):
        with pytest.raises(VenueUnreachable, match="not sent"):
            guard.check(url)
    assert checked_base("http://127.0.0.1:8/", "rest_url", ("https", "http")) == "http://127.0.0.1:8"
    for url in ("http://example.com", "ftp://x", "https://user:word@example.com", "nonsense"):
        with pytest.raises(ConfigError):
            checked_base(url, "rest_url", ("https", "http"))


@pytest.mark.parametrize(
    ("rest", "ws"),
    [
        ("http://fapi.binance.com", "wss://fstream.binance.com"),
        ("https://fapi.binance.com", "ws://fstream.binance.com"),
        ("http://127.0.0.1.example.com", "ws://127.0.0.1:1"),
        ("http://10.0.0.7:8080", "ws://127.0.0.1:1"),
        ("http://[::2]:8080", "ws://127.0.0.1:1"),
        ("http://127.0.0.1:1", "ws://user:word@127.0.0.1:1"),
        ("", ""),
    ],
)
def test_a_venue_is_not_even_built_for_an_open_wire(rest: str, ws: str) -> None:
    with pytest.raises(ConfigError):
        BinanceVenue(
            rest_url=rest, ws_url=ws, key="k", secret="s", settings=VenueSettings(), data=DataSettings(),
            rng=random.Random(1),
        )  # fmt: skip


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_may_be_spoken_to_in_the_open(host: str) -> None:
    assert checked_base(f"http://{host}:8/", "rest_url", ("https", "http")) == f"http://{host}:8"
    assert checked_base(f"ws://{host}:8", "ws_url", ("wss", "ws")) == f"ws://{host}:8"


def test_the_guard_looks_at_scheme_host_and_port() -> None:
    guard = HostGuard("http://127.0.0.1:8080")
    guard.check("http://127.0.0.1:8080/fapi/v1/ping")
    for url in (
        "http://127.0.0.1:8081/fapi/v1/ping",
        "https://127.0.0.1:8080/fapi/v1/ping",
        "http://127.0.0.1:8080@evil.example/x",
        "//127.0.0.1:8080/x",
        "",
    ):
        with pytest.raises(VenueUnreachable, match="not sent"):
            guard.check(url)
