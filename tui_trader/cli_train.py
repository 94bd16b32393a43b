"""``tui-trader train`` and ``optimize``: parameters searched over history, with what is luck in the result."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_trader import clock
from tui_trader.cli_backtest import Bar, code_version, interruptible, refuse_out_of_reach, timeframe_of
from tui_trader.cli_context import INTERRUPTED, Globals, emit, symbol_of
from tui_trader.errors import SessionBusyError, StoreError, UsageError, missing_extra

if TYPE_CHECKING:
    from tui_trader.core.settings import Settings
    from tui_trader.core.trained import TrainedSet
    from tui_trader.research.optimize import Optimized
    from tui_trader.research.tasks import Pool, Problem
    from tui_trader.research.train import Grid, Tried
    from tui_trader.research.walkforward import Span, Worth

WALLET = Decimal(10_000)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TELL_S = 5.0
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """What both commands take: the history, and where the work is done."""

    symbol: str
    candles: Path | None = None
    exchange: str = "binance"
    jobs: int = 0
    scheduler: str = ""
    folds: int = 4
    rolling: bool = False
    seed: int = 7
    as_json: bool = False


def _problem(options: Globals, where: Where) -> Problem:
    from tui_trader.research.history import instrument_of, load_history
    from tui_trader.research.tasks import Problem
    from tui_trader.venues.paper import Costs

    symbol, _ = symbol_of(where.symbol)
    history = load_history(
        symbol,
        file=where.candles,
        store_path=options.store_path(),
        exchange=where.exchange,
    )
    settings = options.load().settings
    instrument = instrument_of(symbol, history.bars)
    return Problem(history=history, instrument=instrument, settings=settings, costs=Costs(), wallet=WALLET)


@contextlib.contextmanager
def _pool(problem: Problem, where: Where) -> Iterator[Pool]:
    from tui_trader.research.tasks import open_pool

    try:
        import numba  # noqa: F401 - asked for here, so that its lack is said before anything runs
    except ImportError as error:
        raise missing_extra("A search needs numba", "research", error) from None
    with open_pool(problem, jobs=where.jobs, scheduler=where.scheduler) as pool:
        yield pool


# --- train ---


def run_train(options: Globals, where: Where, sets: int, *, again: bool) -> int:
    """Search the whole grid, store every outcome as it comes, tell a running session; 130 when interrupted."""
    from tui_trader.research.train import Grid, search_name, to_set, train
    from tui_trader.store.trained import load_sets, save_sets

    began = clock.monotonic()
    problem, exchange = _problem(options, where), where.exchange
    symbol, path, code = problem.history.symbol, options.store_path(), code_version()
    grid = Grid(
        sets=sets,
        folds=where.folds,
        anchored=not where.rolling,
        seed=where.seed,
        min_trades=problem.settings.training.min_trades,
    )
    search = search_name(problem, grid, code)
    stored = load_sets(path)
    earlier = {one.key for one in stored if one.metrics}
    mine = [s for s in stored if (s.symbol, s.exchange, s.search) == (symbol, exchange, search) and not again]
    known = _whole(mine, grid)
    found = [one for one in mine if (one.strategy, one.timeframe) in known]
    bar = Bar(f"train {symbol}")

    def done(tried: Sequence[Tried]) -> None:
        now = clock.wall_ms()
        made = [to_set(t, problem, exchange=exchange, trained_ms=now, code=code, search=search) for t in tried]
        # What could not be searched says nothing against the set that an earlier, longer history gave.
        save_sets(path, [one for one in made if one.metrics or one.key not in earlier])
        found.extend(made)

    with _pool(problem, where) as pool, interruptible() as pressed:
        whole = train(pool, problem, grid, known, done, pressed, bar)
    bar.clear()
    told = _tell_session(options, exchange) if any(one.trained_ms for one in found) else ""
    found.sort(key=lambda one: _order(one, grid))
    if where.as_json:
        emit(_document(problem, found, exchange, search, code, whole, clock.monotonic() - began, path, told))
    else:
        sys.stdout.write(_train_text(problem, found, grid, whole, path, told) + "\n")
    return 0 if whole else INTERRUPTED


def _whole(sets: Sequence[TrainedSet], grid: Grid) -> set[tuple[str, str]]:
    """Strategy and timeframe of which every regime is there already."""
    have = {(s.strategy, s.timeframe, s.regime) for s in sets}
    return {(n, t) for n in grid.strategies for t in grid.timeframes if all((n, t, r) in have for r in grid.regimes)}


def _order(one: TrainedSet, grid: Grid) -> tuple[int, int, int]:
    return (
        grid.strategies.index(one.strategy),
        grid.timeframes.index(one.timeframe),
        grid.regimes.index(one.regime),
    )


def _tell_session(options: Globals, exchange: str) -> str:
    """Have a running session of this mode read the sets; what it said, or ""."""
    from tui_trader.cli_emergency import find
    from tui_trader.runtime.control import Request, ask

    for account in find(options.folder(), (options.mode,)):
        for socket in account.sockets:
            with contextlib.suppress(SessionBusyError):
                return asyncio.run(ask(socket, Request(do="reload"), timeout_s=_TELL_S)).text
    return ""


def status_of(one: TrainedSet) -> str:
    """deployed, demoted, kept (searched, not deployed) or too_little_history."""
    if one.demoted:
        return "demoted"
    if one.deployed:
        return "deployed"
    return "kept" if one.metrics else "too_little_history"


def _document(
    problem: Problem,
    found: Sequence[TrainedSet],
    exchange: str,
    search: str,
    code: str,
    whole: bool,
    seconds: float,
    path: Path,
    told: str,
) -> dict[str, object]:
    from tui_trader.cli_strategies import unused_by

    span = problem.span
    return {
        "symbol": problem.history.symbol,
        "exchange": exchange,
        "partial": not whole,
        "deployed": sum(one.in_use for one in found),
        "window": [clock.iso_utc(span.start_ms), clock.iso_utc(span.end_ms)],
        "days": span.days,
        "source": problem.history.source,
        "data_hash": problem.history.digest,
        "code": code,
        "search": search,
        "seconds": seconds,
        "store": str(path),
        "session": told,
        "combinations": [
            {
                "strategy": one.strategy,
                "regime": one.regime.value,
                "timeframe": one.timeframe,
                "status": status_of(one),
                "reason": one.demoted or one.reason,
                "unused": unused_by(one, problem.settings),
                "values": one.values,
                "metrics": one.metrics,
                "trained": clock.iso_utc(one.trained_ms),
                "oos_r": one.oos_r,
            }
            for one in found
        ],
    }


def _train_text(problem: Problem, found: Sequence[TrainedSet], grid: Grid, whole: bool, path: Path, told: str) -> str:
    span = problem.span
    lines = [
        f"{problem.history.symbol}: {span.days:.1f} days of 1 m bars, {clock.iso_utc(span.start_ms)} to "
        f"{clock.iso_utc(span.end_ms)}",
        f"{grid.sets} parameter sets each, {grid.folds} folds, {'anchored' if grid.anchored else 'rolling'}",
        "out of sample, after costs: R a trade of the search / of the default, and their trades",
        "",
        f"{'':28}" + "".join(f"{regime.value:>24}" for regime in grid.regimes),
    ]
    cells = {(s.strategy, s.timeframe, s.regime): s for s in found}
    for strategy in grid.strategies:
        for timeframe in grid.timeframes:
            row = [cells.get((strategy, timeframe, regime)) for regime in grid.regimes]
            lines.append(f"{strategy:24}{timeframe:>4}" + "".join(f"{_cell(one):>24}" for one in row))
    counts = {name: sum(status_of(one) == name for one in found) for name in ("deployed", "kept", "too_little_history")}
    lines += ["", *_deployed_lines(found), *_console_lines(found, problem)]
    lines.append(
        f"{counts['deployed']} of {grid.combinations} deployed (✓); {counts['kept']} searched, the default stays; "
        f"{counts['too_little_history']} have too little history"
    )
    if not whole:
        lines.append(f"Cut short: {len(found)} of {grid.combinations} are done and kept; the same command goes on.")
    lines.append(
        f"Stored in {path}" + (f"; the running session: {told}" if told else "; the console reads them when it starts")
    )
    return _joined(lines)


def _joined(lines: Sequence[str]) -> str:
    """Lines of at most 100 columns; words that are longer, like paths, stay whole, and so do commands."""
    wrapped = [
        textwrap.wrap(line, 100, subsequent_indent=_indent(line), break_long_words=False, break_on_hyphens=False)
        if len(line) > 100 and not line.lstrip().startswith("TP_")
        else [line]
        for line in lines
    ]
    return "\n".join(line for part in wrapped for line in part)


def _indent(line: str) -> str:
    return " " * (len(line) - len(line.lstrip()) + 2)


def _cell(one: TrainedSet | None) -> str:
    if one is None:
        return "not tried"
    status, m = status_of(one), one.metrics
    if status == "too_little_history":
        return "too little history"
    mark = {"deployed": "✓ ", "demoted": "✗ "}.get(status, "")
    ours, plain = int(m.get("oos_trades", 0)), int(m.get("default_oos_trades", 0))
    if not ours and not plain:
        return "no trades"
    mine = f"{m['oos_mean_r']:+.2f}" if ours > 1 else "–"
    other = f"{m['default_oos_mean_r']:+.2f}" if plain else "–"
    return f"{mark}{mine} / {other}  {ours}/{plain}"


def _deployed_lines(found: Sequence[TrainedSet]) -> list[str]:
    lines = []
    for one in found:
        if one.deployed:
            values = ", ".join(f"{name} {value:g}" for name, value in one.values.items())
            state = f"demoted: {one.demoted}" if one.demoted else one.reason
            lines += [f"✓ {one.strategy} {one.timeframe} {one.regime.value}: {values}", f"  {state}"]
    return [*lines, ""] if lines else lines


def _console_lines(found: Sequence[TrainedSet], problem: Problem) -> list[str]:
    """What the console trades with after this: each set on the timeframes that it runs on, and what waits elsewhere."""
    from tui_trader.cli_strategies import unused_by
    from tui_trader.strategies.registry import build_strategies

    chosen = problem.settings.strategies
    lines = ["In the console:"]
    for name, strategy in build_strategies(problem.settings).items():
        timeframe = chosen.timeframes.get(name, strategy.timeframe)
        mine = [one for one in found if (one.strategy, one.timeframe) == (name, timeframe)]
        lines += [f"  {name} runs on {timeframe}" + ("" if mine else "; nothing was trained for that")]
        lines += [f"    {one.regime.value}: {_fate(one)}" for one in mine]
    waiting = [(one, why) for one in found if (why := unused_by(one, problem.settings))]
    lines += [f"  ✓ {one.strategy} {one.timeframe} {one.regime.value} is not used: {why}" for one, why in waiting]
    return [*lines, *_how(waiting, problem.settings), ""]


def _fate(one: TrainedSet) -> str:
    if one.in_use:
        return "✓ the trained set is used while the market is in this regime"
    if one.demoted:
        return f"demoted: {one.demoted}"
    return f"default kept: {one.reason}" if one.metrics else f"not searched, what was in force stays: {one.reason}"


def _how(waiting: Sequence[tuple[TrainedSet, str]], settings: Settings) -> list[str]:
    """The command that runs the console with the sets that wait, each strategy on the first of their timeframes."""
    mine = {one.strategy: one.timeframe for one, _ in reversed(waiting) if one.exchange == settings.venue.name}
    if not mine or not settings.training.use_trained:
        return []
    chosen = settings.strategies
    frames = ",".join(f"{name}={timeframe}" for name, timeframe in (chosen.timeframes | mine).items())
    enabled = tuple(dict.fromkeys((*chosen.enabled, *mine)))
    more = [f"    TP_STRATEGIES_ENABLED={','.join(enabled)} \\"] if enabled != chosen.enabled else []
    return [
        "  To trade with them; what they earned or lost out of sample stands above:",
        *more,
        f"    TP_STRATEGIES_TIMEFRAMES={frames} tui-trader",
    ]


# --- optimize ---


class Hunt(msgspec.Struct, frozen=True, kw_only=True):
    """What ``optimize`` takes beside ``Where``."""

    strategy: str
    timeframe: str = ""
    trials: int = 100
    resume: str = ""


def run_optimize(options: Globals, where: Where, hunt: Hunt) -> int:
    """Search one strategy; 130 when interrupted, with what was found until then."""
    from tui_trader.core.parameters import resolve
    from tui_trader.research.optimize import Hooks, optimize
    from tui_trader.research.study import Order, open_journal
    from tui_trader.strategies.registry import find_strategy

    problem = _problem(options, where)
    strategy = find_strategy(hunt.strategy, problem.settings.strategies)
    timeframe = timeframe_of(hunt.timeframe, problem.settings, strategy)
    values = resolve(strategy.parameters, problem.settings.strategies.parameters_of(strategy.name))
    refuse_out_of_reach(strategy, timeframe, values)
    order = Order(
        strategy=hunt.strategy,
        timeframe=timeframe,
        trials=hunt.trials,
        folds=where.folds,
        anchored=not where.rolling,
        seed=where.seed,
    )
    name = _study_name(hunt, order.timeframe, problem.history.symbol)
    journal = options.folder() / "studies" / f"{name}.journal"
    storage = open_journal(journal)
    bar = Bar(f"optimize {hunt.strategy}")
    total, count = order.trials * (order.folds + 1), 0

    def tick() -> None:
        nonlocal count
        count += 1
        bar(count, total)

    try:
        with _pool(problem, where) as pool, interruptible() as pressed:
            found = optimize(pool, problem, order, storage, name, hooks=Hooks(tick, pressed), code=code_version())
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise StoreError(
            f"The study {journal} cannot be written ({error.strerror}); what is in it stays. Make room and go on with "
            f"--resume {name}."
        ) from None
    bar.clear()
    if where.as_json:
        emit(msgspec.to_builtins(found, enc_hook=str) | {"journal": str(journal)})
    else:
        sys.stdout.write(_optimize_text(found) + "\n")
    return INTERRUPTED if found.partial else 0


def _study_name(hunt: Hunt, timeframe: str, symbol: str) -> str:
    name = hunt.resume or f"{hunt.strategy}-{symbol}-{timeframe}-{clock.wall_ms()}"
    if not _NAME.fullmatch(name):
        raise UsageError(f"--resume {hunt.resume[:100]!r} is no name; use letters, digits, dots and dashes.")
    return name


def _optimize_text(found: Optimized) -> str:
    lines = [
        found.verdict,
        "",
        f"{found.strategy} on {found.symbol}, {found.timeframe}; study {found.study}: {found.trials} trials "
        f"({found.pruned} pruned) and {found.folds_trials} in the walk-forward test",
        f"in sample {_window(found.in_window)}, out of sample {_window(found.out_window)}, "
        f"{found.purge_hours:.1f} h purged",
        "",
        f"{'':24}{'trades':>8}{'R a trade':>11}{'total R':>9}{'losses':>8}{'return':>9}",
    ]
    rows = (
        ("best, in sample", found.in_sample),
        ("best, out of sample", found.out_of_sample),
        ("default, in sample", found.default_in_sample),
        ("default, out of sample", found.default_out_of_sample),
        ("walk-forward", found.walk_forward),
        ("walk-forward, default", found.walk_forward_default),
    )
    lines += [_worth_line(name, one) for name, one in rows]
    lines += ["", f"{'parameter':24}{'default':>10}{'best':>10}   over the folds"]
    for name, value in found.best.values.items():
        low, high = found.spread.get(name, (value, value))
        lines.append(f"{name:24}{found.default.values[name]:>10g}{value:>10g}   {low:g} to {high:g}")
    lines += ["", *_luck_lines(found)]
    if found.partial:
        lines.append(f"Cut short; go on with --resume {found.study}.")
    return _joined(lines)


def _window(span: Span) -> str:
    return f"{clock.iso_utc(span.start_ms)[:16]} to {clock.iso_utc(span.end_ms)[:16]}"


def _worth_line(name: str, one: Worth) -> str:
    mean = f"{one.mean_r:+.2f}" if one.mean_r is not None else "–"
    losses = f"{one.loss_rate:.0%}" if one.loss_rate is not None else "–"
    return f"{name:24}{one.trades:>8}{mean:>11}{one.total_r:>+9.1f}{losses:>8}{one.total_return:>+9.2%}"


def _luck_lines(found: Optimized) -> list[str]:
    def shown(value: float | None, form: str) -> str:
        return format(value, form) if value is not None else "not defined here"

    lines = [
        f"efficiency (R a trade out of sample ÷ in sample): {shown(found.efficiency, '.2f')}, walk-forward "
        f"{shown(found.walk_forward_efficiency, '.2f')}; better than the default in {found.folds_better} of "
        f"{len(found.folds)} folds",
        f"deflated Sharpe ratio (probability of an edge, {found.trials} trials counted): "
        f"{shown(found.deflated_sharpe, '.0%')}",
        f"probability of overfitting (CSCV over the {found.trials - found.pruned} trials that were not pruned): "
        f"{shown(found.overfitting_probability, '.0%')}",
    ]
    if found.engine is not None:
        same = "the same trades" if found.engine.same else f"NOT the same: {found.engine.difference}"
        lines.append(f"the engine's own run of the best over all of it: {found.engine.trades} trades, {same}")
    return lines
