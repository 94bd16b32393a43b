"""The laboratory's commands: optimize, train, strategies. Imports only what the chosen one needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui_trader.cli_context import Globals

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def globals_of(context: typer.Context) -> Globals:
    """The options that stood before the command."""
    found = context.find_object(Globals)
    return found if found is not None else Globals()


def add_research_commands(app: typer.Typer) -> None:
    """Put them on the command line."""
    for command in (optimize, train, strategies):
        app.command()(command)


def optimize(
    context: typer.Context,
    strategy: Annotated[str, typer.Option(help="Strategy, like volume_breakout.")],
    symbol: Annotated[str, typer.Option(help="A contract, like BTCUSDT.")] = "BTCUSDT",
    candles: Annotated[Path | None, typer.Option(help="File of 1 m candles; without: what the package has.")] = None,
    timeframe: Annotated[str, typer.Option(help="1m 5m 15m 1h 4h 1d; without: the strategy's own.")] = "",
    trials: Annotated[int, typer.Option(min=8, max=100_000, help="Trials, and as many again for each fold.")] = 100,
    folds: Annotated[int, typer.Option(min=1, max=20, help="Steps of the walk-forward test.")] = 4,
    rolling: Annotated[
        bool, typer.Option("--rolling/--anchored", help="Training windows: constant, or growing.")
    ] = False,
    ladder: Annotated[bool, typer.Option("--ladder", help="Search the TP/SL ladder's ATR multiples too.")] = False,
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
        jobs=jobs,
        scheduler=scheduler,
        folds=folds,
        rolling=rolling,
        seed=seed,
        as_json=as_json,
    )
    hunt = Hunt(strategy=strategy, timeframe=timeframe, trials=trials, ladder=ladder, resume=resume)
    raise typer.Exit(run_optimize(globals_of(context), where, hunt))


def train(
    context: typer.Context,
    symbol: Annotated[str, typer.Option(help="A contract, like BTCUSDT.")] = "BTCUSDT",
    exchange: Annotated[str, typer.Option(help="Where the sets are for.")] = "binance",
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
        jobs=jobs,
        scheduler=scheduler,
        folds=folds,
        rolling=rolling,
        seed=seed,
        as_json=as_json,
    )
    raise typer.Exit(run_train(globals_of(context), where, exchange, sets, again=again))


def strategies(context: typer.Context, as_json: Json = False) -> None:
    """Every strategy with its parameters, their bounds, the values in force and the trained sets."""
    from tui_trader.cli_strategies import show_strategies

    raise typer.Exit(show_strategies(globals_of(context), as_json))
