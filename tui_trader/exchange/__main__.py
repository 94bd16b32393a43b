"""`tui-trader exchange`: run the simulated exchange alone until it is interrupted."""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from tui_trader import clock
from tui_trader.exchange.fault_spec import FaultSpecError, check_symbols, load_faults
from tui_trader.exchange.faults import Faults
from tui_trader.exchange.server import ExchangeServer, build_server, demo_keys
from tui_trader.exchange.venue_clock import align_start
from tui_trader.exchange.wire import dumps


def _speed(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 100:
        raise argparse.ArgumentTypeError("must be between 0.1 and 100 times real time")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError("must be between 0 (any free port) and 65535")
    return value


def _linger(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86_400:
        raise argparse.ArgumentTypeError("must be between 1 and 86400 seconds")
    return value


def _start_ms(text: str) -> int:
    value = int(text)
    if not 1_500_000_000_000 <= value <= 4_000_000_000_000:
        raise argparse.ArgumentTypeError("must be milliseconds since 1970-01-01 UTC, between 2017 and 2096")
    return value


def _wallet(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise argparse.ArgumentTypeError("must be an amount of USDT, such as 10000") from error
    if not (value.is_finite() and 0 <= value <= 10**12):
        raise argparse.ArgumentTypeError("must be between 0 and 1,000,000,000,000 USDT")
    return value.quantize(Decimal("0.00000001"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tui-trader exchange",
        description="A simulated exchange on this machine that speaks the Binance USDⓈ-M futures protocol.",
    )
    parser.add_argument("--port", type=_port, default=0, help="port on 127.0.0.1; 0 takes a free one (default)")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same market (default 1)")
    parser.add_argument("--speed", type=_speed, default=1.0, help="how many times as fast as real time (default 1)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--start-ms", type=_start_ms, help="venue time at the start, ms UTC (default: now)")
    start.add_argument("--align-start", action="store_true", help="start 25 min after the last 8 h funding time")
    parser.add_argument("--wallet", type=_wallet, default=Decimal(10_000), help="USDT of the account (default 10000)")
    parser.add_argument("--symbols", help="only these, comma-separated (default: all)")
    parser.add_argument("--withdrawals", action="store_true", help="let the key withdraw, to test its refusal")
    parser.add_argument(
        "--faults",
        metavar="FILE|PRESET,…",
        help="misbehave as these say: presets (calm, mild, rough, hostile, or a kind of fault) and TOML or JSON files",
    )
    parser.add_argument("--fault-seed", type=int, default=1, help="same seed and rules, same faults (default 1)")
    parser.add_argument("--admin", action="store_true", help="answer /admin/faults and /admin/act; --faults does, too")
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--json", action="store_true", help="print how to connect as one line of JSON")
    told.add_argument("--env", action="store_true", help="print how to connect as lines of a shell, for --mode testnet")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when standard input ends")
    parser.add_argument("--linger-s", type=_linger, help="stop when no client was connected for this many real seconds")
    return parser


def _describe(server: ExchangeServer, options: argparse.Namespace) -> str:
    key, secret = demo_keys(options.seed)
    if options.env:
        return (
            f"export TP_VENUE_REST_URL={server.rest_url} TP_VENUE_WS_URL={server.ws_url} "
            f"TP_API_KEY={key} TP_API_SECRET={secret}"
        )
    facts = {
        "rest_url": server.rest_url,
        "ws_url": server.ws_url,
        "port": server.port,
        "api_key": key,
        "secret": secret,
        "seed": options.seed,
        "speed": options.speed,
        "start_ms": server.engine.start_ms,
        "symbols": list(server.engine.states),
    }
    if server.wire is not None:
        facts["admin_url"] = server.rest_url + "/admin"
    if options.json:
        return dumps(facts)
    lines = [
        "The simulated exchange is running (Binance USDⓈ-M protocol, no real money).",
        f"  REST        {server.rest_url}/fapi/v1/…",
        f"  websockets  {server.ws_url}/public, /market, /private",
        f"  API key     {key}",
        f"  secret      {secret}",
        f"  {len(server.engine.states)} symbols, speed {options.speed:g}, seed {options.seed}. Ctrl-C stops it.",
    ]
    if server.wire is not None:
        faults = server.wire.faults
        lines.append(f"  faults      {len(faults.rules)} rules, seed {faults.seed}; {server.rest_url}/admin/faults")
    return "\n".join(lines)


async def _stdin_end() -> None:
    """Return when standard input is closed: the parent process is gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass


async def _deserted(server: ExchangeServer, linger_s: float) -> None:
    """Return when no websocket has been open for ``linger_s`` real seconds."""
    alone_since = clock.monotonic()
    while clock.monotonic() - alone_since < linger_s:
        await asyncio.sleep(min(1.0, linger_s / 4))
        if server.clients:
            alone_since = clock.monotonic()


async def _serve(server: ExchangeServer, options: argparse.Namespace) -> int:
    try:
        await server.start(options.port)
    except OSError as error:
        reason = error.strerror or str(error)
        sys.stderr.write(f"Cannot listen on 127.0.0.1:{options.port}: {reason}. Choose another --port.\n")
        return 1
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        # A platform without signal handlers (Windows) stops by KeyboardInterrupt instead.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, stop.set)
    sys.stdout.write(_describe(server, options) + "\n")
    sys.stdout.flush()
    waits = [asyncio.create_task(stop.wait()), asyncio.create_task(server.wait())]
    if options.until_stdin_closes:
        waits.append(asyncio.create_task(_stdin_end()))
    if options.linger_s:
        waits.append(asyncio.create_task(_deserted(server, options.linger_s)))
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    await server.close()
    for task in done:
        task.result()
    return 0


def _faults(options: argparse.Namespace) -> Faults | None:
    """Return the faults that were asked for; None for an honest exchange. Raises FaultSpecError."""
    if options.faults is None and not options.admin:
        return None
    return Faults(options.fault_seed, load_faults(options.faults or ""))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the exchange until SIGINT or SIGTERM; return the exit status."""
    options = _parser().parse_args(argv)
    now = clock.wall_ms()
    start = options.start_ms or (align_start(now) if options.align_start else now)
    symbols = [name.strip().upper() for name in options.symbols.split(",")] if options.symbols else None
    try:
        faults = _faults(options)
        server = build_server(options.seed, options.speed, start, options.wallet, symbols, faults=faults)
        check_symbols(faults.rules.values() if faults else (), server.engine.states)
    except FaultSpecError as error:
        sys.stderr.write(f"Cannot use --faults {options.faults}: {error}\nNothing was started.\n")
        return 2
    except (KeyError, ValueError) as error:
        sys.stderr.write(f"Cannot build the market: {error}. Nothing was started; check --symbols.\n")
        return 2
    for account in server.engine.venue.accounts.values():
        account.can_withdraw = options.withdrawals
    try:
        return asyncio.run(_serve(server, options))
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
