"""The command line. Imports only what the chosen command needs: the console must paint within a second.

Exit codes: 0 done (or allowed), 1 failed or refused, 2 called wrongly, 3 (``kill`` alone) nobody ran, 130 interrupted.
A mistake ends in a sentence on stderr, with ``--json`` in a document with ``error`` and ``exit_code`` on stdout as
well; a bug ends in a sentence and a crash file in the data folder.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from typer.exceptions import Abort, TyperException

from tui_trader.cli_context import Globals, crash_report
from tui_trader.cli_research import Json, add_research_commands, globals_of
from tui_trader.errors import TuiTraderError, UsageError

app = typer.Typer(
    name="tui-trader",
    add_completion=False,
    no_args_is_help=False,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Symbol = Annotated[str, typer.Argument(metavar="SYMBOL", help="A contract, like BTCUSDT.")]
SideArgument = Annotated[str, typer.Argument(metavar="SIDE", help="long or short.")]


@app.callback()
def console(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", envvar="TP_CONFIG", help="Config file.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", envvar="TP_DATA_DIR", help="Folder for store, logs and keys.")
    ] = None,
    mode: Annotated[str, typer.Option(help="demo (simulated exchange), testnet or live.")] = "demo",
    venue: Annotated[str | None, typer.Option(help="Venue: binance.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="standard, conservative, aggressive or ultra_conservative.")
    ] = None,
    seed: Annotated[str | None, typer.Option(help="Seed of the demo's market.")] = None,
    speed: Annotated[str | None, typer.Option(help="How many times as fast the demo's clock runs.")] = None,
    arm: Annotated[bool, typer.Option("--arm", help="Allow live entries; the venue's name is asked for.")] = False,
    take_over: Annotated[bool, typer.Option("--take-over", help="Take over from a running session.")] = False,
    low_bandwidth: Annotated[bool, typer.Option("--low-bandwidth", help="Draw less often, for slow lines.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A terminal trading console for crypto perpetual futures.

    Without a command: the console, on a simulated exchange unless --mode says otherwise. Global options stand before
    the command.
    """
    if version:
        from tui_trader import __version__

        typer.echo(f"tui-trader {__version__}")
        raise typer.Exit
    if mode not in ("demo", "testnet", "live"):
        raise UsageError(f"--mode {mode!r} is unknown; use demo, testnet or live.")
    overrides: dict[str, object] = {}
    given = {"preset": preset, "venue.name": venue, "demo.seed": seed, "demo.speed": speed}
    overrides.update({key: value for key, value in given.items() if value is not None})
    if low_bandwidth:
        overrides["ui.low_bandwidth"] = True
    context.obj = Globals(
        config=config, data_dir=data_dir, mode=mode, overrides=overrides, arm=arm, take_over=take_over
    )
    if context.invoked_subcommand is None:
        from tui_trader.cli_session import run_console

        raise typer.Exit(run_console(context.obj))


@app.command()
def run(
    context: typer.Context,
    headless: Annotated[bool, typer.Option("--headless", help="Trade without a terminal.")] = False,
    record: Annotated[Path | None, typer.Option("--record", help="Record the session to this file.")] = None,
) -> None:
    """Start a session; with --headless it needs no terminal."""
    from tui_trader.cli_session import run_console, run_headless

    options = msgspec.structs.replace(globals_of(context), record=record)
    raise typer.Exit(run_headless(options) if headless else run_console(options))


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """The running sessions: process, equity, positions with their stops, why no entries. Exit code 1 when none runs."""
    from tui_trader.cli_emergency import show_status

    raise typer.Exit(show_status(globals_of(context), _modes(context), as_json))


@app.command()
def kill(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; it is stored and shown.")] = "",
    wait: Annotated[float, typer.Option(min=0, max=600, help="Seconds to wait until all is flat.")] = 20.0,
    as_json: Json = False,
) -> None:
    """The kill switch: refuse entries, flatten everything, latched until re-armed in the console.

    Without --mode it reaches every session of the data folder. Exit code 0: killed and flat; 1: something is still open
    or nothing could be latched; 3: no session runs, the next start comes up killed.
    """
    from tui_trader.cli_emergency import kill as kill_now

    raise typer.Exit(kill_now(globals_of(context), _modes(context), reason, wait, as_json))


@app.command()
def universe(context: typer.Context, as_json: Json = False) -> None:
    """The tradeable symbols by liquidity, and why the others are refused."""
    from tui_trader.cli_market import show_universe

    raise typer.Exit(show_universe(globals_of(context), as_json))


@app.command()
def symbol(context: typer.Context, name: Symbol, as_json: Json = False) -> None:
    """One symbol: its market, tier, and whether it may be traded."""
    from tui_trader.cli_market import show_symbol

    raise typer.Exit(show_symbol(globals_of(context), name, as_json))


@app.command()
def validate(
    context: typer.Context,
    name: Symbol,
    side: SideArgument,
    bid: Annotated[str | None, typer.Option(help="Best bid; with it the answer needs no venue.")] = None,
    ask: Annotated[str | None, typer.Option(help="Best ask.")] = None,
    volume: Annotated[str | None, typer.Option(help="Traded value in 24 h, USDT.")] = None,
    depth: Annotated[str | None, typer.Option(help="Value resting within ±0.5 %, USDT.")] = None,
    funding: Annotated[str | None, typer.Option(help="Funding rate of the interval, a fraction.")] = None,
    next_funding_min: Annotated[str | None, typer.Option(help="Minutes to the next funding time.")] = None,
    equity: Annotated[str | None, typer.Option(help="Equity, USDT.")] = None,
    atr: Annotated[str | None, typer.Option(help="Average true range, in price.")] = None,
    conviction: Annotated[str, typer.Option(help="0 to 1.")] = "0.5",
    as_json: Json = False,
) -> None:
    """Every check an order passes: allowed, or each reason why not. Exit code 1 when refused."""
    from tui_trader.cli_market import show_validate

    given = {
        "bid": bid,
        "ask": ask,
        "volume": volume,
        "depth": depth,
        "funding": funding,
        "next-funding-min": next_funding_min,
        "equity": equity,
        "atr": atr,
    }
    raise typer.Exit(show_validate(globals_of(context), name, side, given, conviction, as_json))


@app.command()
def tpsl(
    context: typer.Context,
    name: Symbol,
    side: SideArgument,
    entry: Annotated[str, typer.Option(help="Entry price.")],
    atr: Annotated[str, typer.Option(help="Average true range, in price.")],
    tick: Annotated[str, typer.Option(help="Tick size.")] = "0.01",
    qty: Annotated[str | None, typer.Option(help="Quantity, to see it split.")] = None,
    step: Annotated[str | None, typer.Option(help="Step size of quantities.")] = None,
    stop: Annotated[str | None, typer.Option(help="A stop price instead of the ATR's.")] = None,
    as_json: Json = False,
) -> None:
    """The TP/SL ladder of a position, with the reason of each level."""
    from tui_trader.cli_decide import show_tpsl

    options = globals_of(context)
    code = show_tpsl(
        options, name, side, entry=entry, atr=atr, tick=tick, qty=qty, step=step, stop=stop, as_json=as_json
    )
    raise typer.Exit(code)


@app.command()
def size(
    context: typer.Context,
    name: Symbol,
    equity: Annotated[str, typer.Option(help="Equity, USDT.")],
    entry: Annotated[str, typer.Option(help="Entry price.")],
    conviction: Annotated[str, typer.Option(help="0 to 1.")] = "0.5",
    stop: Annotated[str | None, typer.Option(help="Stop price; the fixed_risk model needs it.")] = None,
    model: Annotated[str | None, typer.Option(help="margin_fraction, fixed_risk or fixed_margin.")] = None,
    step: Annotated[str | None, typer.Option(help="Step size of quantities.")] = None,
    min_notional: Annotated[str | None, typer.Option(help="The venue's least order value, USDT.")] = None,
    as_json: Json = False,
) -> None:
    """How large a trade would be, and why. Exit code 1 when refused."""
    from tui_trader.cli_decide import show_size

    code = show_size(
        globals_of(context),
        name,
        equity=equity,
        entry=entry,
        conviction=conviction,
        stop=stop,
        model=model,
        step=step,
        min_notional=min_notional,
        as_json=as_json,
    )
    raise typer.Exit(code)


@app.command("config")
def show_config(context: typer.Context, as_json: Json = False) -> None:
    """Each setting in force and where it came from."""
    from tui_trader.cli_data import show_settings

    raise typer.Exit(show_settings(globals_of(context), as_json))


@app.command()
def export(
    context: typer.Context,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A table of the store, like trades.")] = "trades",
    fmt: Annotated[str, typer.Option("--format", help="csv or json.")] = "csv",
    out: Annotated[Path | None, typer.Option("--out", help="A file; else to stdout.")] = None,
    as_json: Json = False,
) -> None:
    """A whole table of the store as CSV or JSON."""
    from tui_trader.cli_data import export_table

    raise typer.Exit(export_table(globals_of(context), table, "json" if as_json else fmt, out))


audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The record of what was commanded, and by whom.")
app.add_typer(audit, name="audit")


@audit.command("verify")
def audit_verify(context: typer.Context, as_json: Json = False) -> None:
    """Whether the audit logs are the ones that were written. Exit code 1 when rows were changed, added or removed.

    Without --mode: of every mode that has a store in the data folder.
    """
    from tui_trader.cli_audit import verify_audit

    raise typer.Exit(verify_audit(globals_of(context), _modes(context), as_json))


@app.command()
def record(
    context: typer.Context,
    minutes: Annotated[str, typer.Option(help="How long; without: until it is stopped.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="A new file; without: one in the data folder.")] = None,
) -> None:
    """A session without a terminal, with all that it heard and decided stored in a file for `replay`."""
    from tui_trader.cli_replay import record as record_now

    raise typer.Exit(record_now(globals_of(context), minutes, out))


@app.command()
def replay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording of a session.")],
    as_json: Json = False,
) -> None:
    """A recording through the live engine once more. Exit code 1 at the first decision that differs."""
    from tui_trader.cli_replay import show_replay

    raise typer.Exit(show_replay(globals_of(context), file, as_json))


@app.command("replay-book")
def replay_book(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A gzipped recording of frames.")],
    as_json: Json = False,
) -> None:
    """Rebuild the order book of a recording and compare it with its best prices. Exit code 1 on a mismatch."""
    from tui_trader.cli_data import replay_recording

    raise typer.Exit(replay_recording(file, as_json))


@app.command()
def drill(
    context: typer.Context,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Engine events for each seed.")] = 20_000,
    first_seed: Annotated[int, typer.Option(help="The first seed; the others follow.")] = 1,
    preset: Annotated[str, typer.Option(help="Faults of this preset instead of drawn ones.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 2,
    minimise: Annotated[int | None, typer.Option(help="Find the least that makes this seed fail.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Write one seed's whole story to a file.")] = None,
    scenario: Annotated[str, typer.Option(help="Play scripted worlds: a name, or a glob as 'stop-*'.")] = "",
    sockets: Annotated[
        bool, typer.Option("--sockets", help="Scripted worlds over real sockets, in real time; alone: the canonical.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The executor against every fault, in simulated time. Exit code 1 when an invariant is violated."""
    if scenario or sockets:
        from tui_trader.cli_scenarios import refuse_drawn, run_scenarios

        refuse_drawn(context)
        raise typer.Exit(run_scenarios(scenario, seed=first_seed, sockets=sockets, as_json=as_json))
    from tui_trader.cli_drill import DrillOptions, run_drill

    options = DrillOptions(
        seeds=seeds,
        steps=steps,
        first_seed=first_seed,
        preset=preset,
        jobs=jobs,
        as_json=as_json,
        minimise=minimise,
        trace=trace,
    )
    raise typer.Exit(run_drill(globals_of(context), options))


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    help="The simulated exchange alone, for any Binance client; `exchange --help` lists its options.",
)
def exchange(context: typer.Context) -> None:
    """Hand the rest of the line to the exchange."""
    from tui_trader.exchange.__main__ import main as exchange_main

    raise typer.Exit(exchange_main(context.args))


add_research_commands(app)


_ANSWER_CUT_OFF = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""How a write to standard output fails when its reader is gone or the disk is full; a file's error names the file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns its exit code and never lets a traceback out."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # A stream that was closed before the start is None; what is said there is lost, and nothing else.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - open until the end
    sys.stderr = sys.stderr or sys.stdout
    try:
        code = _run(words)
        sys.stdout.flush()
    except OSError as error:
        # Writing the rest at exit would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 0
        return _fail(f"The answer could not be written ({error.strerror}); it is cut off.", 1, ())
    return code


def _run(words: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        # Not through the command's own main(), which swallows Ctrl-C and a pipe that was closed.
        with command.make_context("tui-trader", list(words)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except OSError as error:
        if error.errno in _ANSWER_CUT_OFF and error.filename is None:
            raise
        return _fail(crash_report(error, words), 1, words)
    except (TyperException, TuiTraderError, KeyboardInterrupt, Abort) as error:
        return _fail(*_told(error), words)
    except Exception as error:  # noqa: BLE001 - the last guard: a person gets a sentence, the developer a file
        return _fail(crash_report(error, words), 1, words)
    return 0


def _told(error: BaseException) -> tuple[str, int]:
    """What a person is told of an error that needs no report, and the exit code."""
    if isinstance(error, TuiTraderError):
        return str(error), error.exit_code
    if not isinstance(error, TyperException):
        return "Interrupted.", 130
    text = error.format_message().rstrip()
    if text.startswith("Usage:"):
        return text, error.exit_code
    asked = getattr(error, "ctx", None)
    command = asked.command_path if asked is not None else "tui-trader"
    return f"{text.rstrip('.')}. See {command} --help.", error.exit_code


def _modes(context: typer.Context) -> tuple[str, ...]:
    """The mode given on this command line, else all."""
    from tui_trader.cli_emergency import MODES

    root = context.find_root()
    given = root.get_parameter_source("mode")
    return (globals_of(context).mode,) if given is not None and given.name == "COMMANDLINE" else MODES


def _fail(text: str, code: int, words: Sequence[str]) -> int:
    """Say what went wrong on stderr; where a document was asked for, stdout gets one."""
    from tui_trader.cli_context import emit
    from tui_trader.secret import everywhere

    text = "".join(char if char.isprintable() or char == "\n" else "�" for char in everywhere(text))
    if "--json" in words:
        emit({"error": text, "exit_code": code})
    sys.stderr.write(text + "\n")
    return code
