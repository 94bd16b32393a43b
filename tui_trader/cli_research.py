"""The laboratory's commands, from backfill to train. Imports only what the chosen one needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui_trader.cli_context import Globals

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Exchange = Annotated[str, typer.Option(help="Whose candles of the store, by the name that backfill keeps them under.")]


def globals_of(context: typer.Context) -> Globals:
    """The options that stood before the command."""
    found = context.find_object(Globals)
    return found if found is not None else Globals()


def add_research_commands(app: typer.Typer) -> None:
    """Put them on the command line."""
    for command in (backtest, backfill, optimize, train, strategies):
        app.command()(command)
    app.command("check-lookahead")(check_lookahead)


def backtest(
    context: typer.Context,
    strategy: Annotated[str, typer.Option(help="Strategy, like volume_breakout.")],
    symbol: Annotated[str, typer.Option(help="A contract, like BTCUSDT.")] = "BTCUSDT",
    candles: Annotated[Path | None, typer.Option(help="File of 1 m candles; without: what the package has.")] = None,
    exchange: Exchange = "binance",
    begin: Annotated[str, typer.Option("--from", help="First day or time, UTC.")] = "",
    end: Annotated[str, typer.Option("--to", help="End (exclusive), UTC.")] = "",
    timeframe: Annotated[str, typer.Option(help="1m 5m 15m 1h 4h 1d; without: the strategy's own.")] = "",
    param: Annotated[list[str] | None, typer.Option(help="A parameter of the strategy, name=value.")] = None,
    wallet: Annotated[str, typer.Option(help="USDT to start with.")] = "10000",
    spread_bps: Annotated[str, typer.Option(help="Whole spread, basis points.")] = "",
    slippage_bps: Annotated[str, typer.Option(help="Slippage of a market order, basis points.")] = "",
    latency_ms: Annotated[str, typer.Option(help="Latency of an order, ms.")] = "",
    no_costs: Annotated[
        bool, typer.Option("--no-costs", help="Show beside it what it would be without costs.")
    ] = False,
    fast: Annotated[bool, typer.Option("--fast", help="By the compiled kernel instead of the engine.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write a page.")] = None,
    trades: Annotated[Path | None, typer.Option(help="Also write the trades as CSV.")] = None,
    as_json: Json = False,
) -> None:
    """One strategy over history, through the live engine, with every cost and all that it rests on."""
    from tui_trader.cli_backtest import Question, run_backtest

    question = Question(
        strategy=strategy,
        symbol=symbol,
        candles=candles,
        exchange=exchange,
        begin=begin,
        end=end,
        timeframe=timeframe,
        params=tuple(param or ()),
        wallet=wallet,
        spread_bps=spread_bps,
        slippage_bps=slippage_bps,
        latency_ms=latency_ms,
        no_costs=no_costs,
        fast=fast,
        as_json=as_json,
        html=html,
        trades=trades,
    )
    raise typer.Exit(run_backtest(globals_of(context), question))


def backfill(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SYMBOL", help="A contract, like BTCUSDT.")],
    exchange: Annotated[str, typer.Option(help="Any exchange of ccxt, by its id, like bybit or okx.")] = "binanceusdm",
    days: Annotated[int, typer.Option(min=0, max=3_660, help="So many days until the end; 0: 30, or --from.")] = 0,
    begin: Annotated[str, typer.Option("--from", help="First day or time, UTC.")] = "",
    end: Annotated[str, typer.Option("--to", help="End (exclusive), UTC; without: now.")] = "",
    timeframe: Annotated[str, typer.Option(help="1m 5m 15m 1h 4h 1d; a backtest needs 1m.")] = "1m",
    url: Annotated[str, typer.Option(help="Another address of the exchange, like a simulated one.")] = "",
    as_json: Json = False,
) -> None:
    """Candles and funding rates of a contract into the store; what is there is not fetched again."""
    from tui_trader.cli_history import Wish
    from tui_trader.cli_history import backfill as fetch

    wish = Wish(
        symbol=name, exchange=exchange, timeframe=timeframe, days=days, begin=begin, end=end, url=url, as_json=as_json
    )
    raise typer.Exit(fetch(globals_of(context), wish))


def optimize(
    context: typer.Context,
    strategy: Annotated[str, typer.Option(help="Strategy, like volume_breakout.")],
    symbol: Annotated[str, typer.Option(help="A contract, like BTCUSDT.")] = "BTCUSDT",
    candles: Annotated[Path | None, typer.Option(help="File of 1 m candles; without: what the package has.")] = None,
    exchange: Exchange = "binance",
    timeframe: Annotated[str, typer.Option(help="1m 5m 15m 1h 4h 1d; without: the strategy's own.")] = "",
    trials: Annotated[int, typer.Option(min=8, max=100_000, help="Trials, and as many again for each fold.")] = 100,
    folds: Annotated[int, typer.Option(min=1, max=20, help="Steps of the walk-forward test.")] = 4,
    rolling: Annotated[
        bool, typer.Option("--rolling/--anchored", help="Training windows: constant, or growing.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another search.")] = 7,
    jobs: Annotated[int, typer.Option(min=0, max=512, help="Processes; 0: one for each core.")] = 0,
    scheduler: Annotated[str, typer.Option(help="A Dask cluster instead, like tcp://host:8786.")] = "",
    resume: Annotated[str, typer.Option(help="Go on with a study by its name.")] = "",
    as_json: Json = False,
) -> None:
    """Search a strategy's parameters: in and out of sample, walk-forward, and how much of the result is luck."""
    from tui_trader.cli_train import Hunt, Where, run_optimize

    where = Where(
        symbol=symbol,
        candles=candles,
        exchange=exchange,
        jobs=jobs,
        scheduler=scheduler,
        folds=folds,
        rolling=rolling,
        seed=seed,
        as_json=as_json,
    )
    hunt = Hunt(strategy=strategy, timeframe=timeframe, trials=trials, resume=resume)
    raise typer.Exit(run_optimize(globals_of(context), where, hunt))


def train(
    context: typer.Context,
    symbol: Annotated[str, typer.Option(help="A contract, like BTCUSDT.")] = "BTCUSDT",
    exchange: Annotated[str, typer.Option(help="Whose candles of the store, and for which the sets are.")] = "binance",
    candles: Annotated[Path | None, typer.Option(help="File of 1 m candles; without: what the package has.")] = None,
    sets: Annotated[int, typer.Option(min=2, max=10_000, help="Parameter sets for each combination.")] = 50,
    folds: Annotated[int, typer.Option(min=1, max=20, help="Steps of the walk-forward test.")] = 4,
    rolling: Annotated[
        bool, typer.Option("--rolling/--anchored", help="Training windows: constant, or growing.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other sets.")] = 7,
    jobs: Annotated[int, typer.Option(min=0, max=512, help="Processes; 0: one for each core.")] = 0,
    scheduler: Annotated[str, typer.Option(help="A Dask cluster instead, like tcp://host:8786.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Search again what an earlier run has finished.")] = False,
    as_json: Json = False,
) -> None:
    """Train a symbol: 3 strategies in 3 regimes on 6 timeframes; what beats the default out of sample is deployed."""
    from tui_trader.cli_train import Where, run_train

    where = Where(
        symbol=symbol,
        candles=candles,
        exchange=exchange,
        jobs=jobs,
        scheduler=scheduler,
        folds=folds,
        rolling=rolling,
        seed=seed,
        as_json=as_json,
    )
    raise typer.Exit(run_train(globals_of(context), where, sets, again=again))


def strategies(context: typer.Context, as_json: Json = False) -> None:
    """Every strategy with its parameters, their bounds, the values in force and the trained sets."""
    from tui_trader.cli_strategies import show_strategies

    raise typer.Exit(show_strategies(globals_of(context), as_json))


def check_lookahead(
    context: typer.Context,
    strategy: Annotated[str, typer.Argument(metavar="STRATEGY", help="Strategy, like volume_breakout.")],
    symbol: Annotated[str, typer.Option(help="A contract, like BTCUSDT.")] = "BTCUSDT",
    candles: Annotated[Path | None, typer.Option(help="File of 1 m candles; without: what the package has.")] = None,
    timeframe: Annotated[str, typer.Option(help="1m 5m 15m 1h 4h 1d; without: the strategy's own.")] = "",
    cuts: Annotated[int, typer.Option(min=1, max=100_000, help="Most decision bars to cut after.")] = 100,
    as_json: Json = False,
) -> None:
    """Decide again without the future, and with a poisoned one. Exit code 1 when a decision changes: lookahead."""
    from tui_trader.cli_lookahead import check_lookahead as check

    raise typer.Exit(check(globals_of(context), strategy, symbol, candles, timeframe, cuts, as_json))
