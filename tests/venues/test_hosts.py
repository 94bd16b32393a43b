"""Only configured hosts, only TLS beyond this machine."""

from __future__ import annotations

import random
import ssl
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response

from tui_trader.clock import VenueClock, monotonic
from tui_trader.core.settings import DataSettings, VenueSettings
from tui_trader.errors import ConfigError, VenueUnreachable
from tui_trader.venues.binance.client import BinanceVenue
from tui_trader.venues.binance.rest import Rest
from tui_trader.venues.hosts import REAL_HOSTS, HostGuard, addresses, checked_base, tls_context
from tui_trader.venues.link import dial
from tui_trader.venues.ratelimit import Budget


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


# --- real accounts ---

HERE = ("http://127.0.0.1:8080", "ws://127.0.0.1:8080")


@pytest.mark.parametrize("mode", ["testnet", "live"])
def test_the_venues_own_hosts_and_this_machine_are_spoken_to(mode: str) -> None:
    assert addresses(mode) == REAL_HOSTS[mode]
    assert addresses(mode, *HERE) == HERE
    rest, ws = REAL_HOSTS[mode]
    assert addresses(mode, f"{rest}:443/", ws) == (f"{rest}:443", ws)


@pytest.mark.parametrize(
    ("rest", "ws"),
    [
        ("https://example.com", ""),
        ("", "wss://example.com"),
        ("https://api.binance.com", ""),
        ("https://fapi.binance.com.example.com", ""),
        ("https://fapi.binance.com.", ""),
        ("https://xfapi.binance.com", ""),
        ("https://fapi-binance.com", ""),
        ("https://demo-fapi.binance.com", ""),
        ("https://fapi.binance.com:8443", ""),
        ("https://fapi.binance.com:0", ""),
        ("https://fapi.binance.com:99999", ""),
        ("https://key@fapi.binance.com", ""),
        ("https://@fapi.binance.com", ""),
        ("https://fapi.binance.com@example.com", ""),
        ("https://fapi.binance.com\\@example.com", ""),
        ("https://fapi.binance.com/proxy?to=", ""),
        ("https://fapi.binance.com#x", ""),
        ("http://fapi.binance.com", ""),
        ("HTTPS://fapi.binance.com\n", ""),
        ("https://fapi.bіnance.com", ""),
        ("https://104.16.0.1", ""),
        ("https://10.0.0.7", ""),
        ("wss://fapi.binance.com", ""),
        ("//fapi.binance.com", ""),
        ("fapi.binance.com", ""),
        ("", "https://fstream.binance.com"),
        ("", "ws://fstream.binance.com"),
        (HERE[0], ""),
        ("", HERE[1]),
        ("http://127.0.0.1.nip.io:80", HERE[1]),
        ("http://127.1:80", HERE[1]),
        ("http://0.0.0.0:80", HERE[1]),
        ("http://[::ffff:10.0.0.7]:80", HERE[1]),
    ],
)
def test_a_key_goes_nowhere_else(rest: str, ws: str) -> None:
    with pytest.raises(ConfigError):
        addresses("live", rest, ws)


@given(st.text(max_size=60))
def test_no_text_is_an_address_unless_it_is_one(text: str) -> None:
    with pytest.raises(ConfigError):
        addresses("live", f"https://{text}.example.com")
    with pytest.raises(VenueUnreachable, match="not sent"):
        HostGuard("https://fapi.binance.com").check(f"https://{text}@example.com/x")


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as refused:
        addresses("live", "https://me:hunter2@fapi.binance.com:44", "")
    with pytest.raises(ConfigError) as odd:
        addresses("live", "ftp://me:hunter2@fapi.binance.com", "")
    assert "hunter2" not in f"{refused.value}{odd.value}"


def test_tls_is_verified_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "mine.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    context = tls_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.keylog_filename is None
    assert len(context.get_ca_certs()) > 50
    assert not keys.exists()


async def test_rest_verifies_too_and_takes_no_proxy_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    for proxy in ("", "http://10.0.0.1:3128"):
        rest = Rest(
            "https://fapi.binance.com", "k", "s", recv_window_ms=5000, clock=VenueClock(), budget=Budget(monotonic),
            proxy=proxy,
        )  # fmt: skip
        await rest.open()
        for exchange in rest._exchanges.values():
            exchange.open()
            assert exchange.ssl_context.verify_mode is ssl.CERT_REQUIRED
            assert exchange.ssl_context.keylog_filename is None
            assert exchange.session.trust_env is False
            assert exchange.check_proxy_settings("https://fapi.binance.com/x")[1] == (proxy or None)
        await rest.aclose()


async def test_a_websocket_takes_no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "WSS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def hello(socket: ServerConnection) -> None:
        await socket.send("direct")

    async with serve(hello, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with dial(f"ws://127.0.0.1:{port}", 1000) as socket:
            assert await socket.recv(decode=False) == b"direct"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_websocket_follows_no_redirect(status: int) -> None:
    """The address holds the listen key; another host would read the account's stream with it."""
    elsewhere: list[str] = []

    def away(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(HTTPStatus(status), "")
        response.headers["Location"] = f"ws://127.0.0.1:{other.sockets[0].getsockname()[1]}/there"
        return response

    async def visited(socket: ServerConnection) -> None:
        elsewhere.append(socket.request.path if socket.request else "?")

    async with (
        serve(visited, "127.0.0.1", 0) as other,
        serve(visited, "127.0.0.1", 0, process_request=away) as server,
    ):
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(InvalidStatus):
            async with dial(f"ws://127.0.0.1:{port}/private/ws?listenKey=abc", 1000):
                pass
    assert elsewhere == []
