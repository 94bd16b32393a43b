"""``tui-trader backtest``: one strategy over history, with everything that it rests on."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_trader import clock
from tui_trader.cli_context import INTERRUPTED, Globals, emit, number, symbol_of
from tui_trader.errors import UsageError, missing_extra

if TYPE_CHECKING:
    from tui_trader.core.instruments import Instrument
    from tui_trader.core.settings import Settings
    from tui_trader.core.signals import Strategy
    from tui_trader.research.backtest import BacktestResult
    from tui_trader.research.history import History
    from tui_trader.research.report import Report, WithoutCosts
    from tui_trader.venues.paper import Costs

BAR_AFTER_S = 1.0


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for, as typed."""

    strategy: str
    symbol: str
    candles: Path | None = None
    exchange: str = "binance"
    begin: str = ""
    end: str = ""
    timeframe: str = ""
    params: tuple[str, ...] = ()
    wallet: str = "10000"
    spread_bps: str = ""
    slippage_bps: str = ""
    latency_ms: str = ""
    no_costs: bool = False
    fast: bool = False
    as_json: bool = False
    html: Path | None = None
    trades: Path | None = None


class Bar:
    """A progress bar on stderr, from the second on that a run takes; only for a person's terminal."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = clock.monotonic()
        self._shown = False

    def __call__(self, done: int, total: int) -> bool:
        """Draw; True: go on."""
        if sys.stderr.isatty() and clock.monotonic() - self._began > BAR_AFTER_S:
            filled = round(30 * done / max(total, 1))
            sys.stderr.write(f"\r{self._what} [{'█' * filled}{'·' * (30 - filled)}] {done / max(total, 1):4.0%} ")
            sys.stderr.flush()
            self._shown = True
        return True

    def clear(self) -> None:
        """Take the bar away again."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def run_backtest(context: Globals, question: Question) -> int:
    """Run and print; 130 when interrupted, with what was done marked as partial."""
    from tui_trader.core.parameters import ParameterError, resolve
    from tui_trader.research.history import instrument_of
    from tui_trader.research.report import make_report
    from tui_trader.strategies.registry import find_strategy

    settings = context.load().settings
    strategy = find_strategy(question.strategy, settings.strategies)
    symbol, _ = symbol_of(question.symbol)
    timeframe = timeframe_of(question.timeframe, settings, strategy)
    try:
        values = resolve(
            strategy.parameters, settings.strategies.parameters_of(strategy.name), _parameters(question.params)
        )
    except ParameterError as error:
        raise UsageError(f"--param: {error}") from None
    refuse_out_of_reach(strategy, timeframe, values)
    history = _history(context, symbol, question)
    instrument = instrument_of(symbol, history.bars)
    wallet = number("--wallet", question.wallet)
    costs = _costs(question)
    run = _fast if question.fast else _engine
    bar = Bar(f"backtest {symbol}")
    result = run(history, strategy, settings, instrument, wallet, costs, values, timeframe, bar)
    other = None
    if question.no_costs and not result.partial:
        gratis = msgspec.structs.replace(instrument, maker_fee=Decimal(0), taker_fee=Decimal(0))
        other = run(history, strategy, settings, gratis, wallet, costs.unpaid, values, timeframe, bar)
    bar.clear()
    report = make_report(
        strategy=strategy.name,
        timeframe=timeframe,
        history=history,
        result=result,
        wallet=float(wallet),
        costs=costs,
        instrument=instrument,
        parameters=values,
        warm_up_ms=_warm_up_ms(strategy, settings, timeframe, values),
        code=code_version(),
        path="kernel" if question.fast else "engine",
        without_costs=_without_costs(other, result, float(wallet)),
    )
    code = _print(question, report)
    if other is not None and other.partial:
        sys.stderr.write("The run without costs was interrupted: nothing can be said of what they take.\n")
        return code or INTERRUPTED
    return code


def _without_costs(other: BacktestResult | None, paid: BacktestResult, wallet: float) -> WithoutCosts | None:
    """The second run beside the one that paid; None where it was not made, or not to its end: a part beside the whole
    would tell of costs that nobody paid.
    """
    from tui_trader.research.report import WithoutCosts

    if other is None or other.partial:
        return None
    return WithoutCosts(
        total_return=float(other.equity[-1]) / wallet - 1.0,
        trades=len(other.trades),
        same_entries=[t.entry_bar for t in other.trades] == [t.entry_bar for t in paid.trades],
    )


def _warm_up_ms(strategy: Strategy, settings: Settings, timeframe: str, values: dict[str, float]) -> int:
    from tui_trader.core.candles import TIMEFRAMES
    from tui_trader.research.book import warm_up_ms

    ladder = settings.ladder
    return max(warm_up_ms(strategy, timeframe, values), ladder.atr_period * TIMEFRAMES[ladder.atr_timeframe])


def refuse_out_of_reach(strategy: Strategy, timeframe: str, values: dict[str, float]) -> None:
    """What no session could trade is not tested. Raises ``ConfigError``, also for a strategy that fails when asked."""
    from tui_trader.core.soundness import out_of_reach, words_of
    from tui_trader.errors import ConfigError

    try:
        why = out_of_reach(strategy, timeframe, values)
    except Exception as error:  # noqa: BLE001 - whatever a person's own code does
        why = words_of(error, strategy)
    if why:
        raise ConfigError(f"The strategy {strategy.name} cannot run on {timeframe}: {why}.")


def _print(question: Question, report: Report) -> int:
    """The result, also when a file cannot be written; in JSON that stands in the same document."""
    from tui_trader.research.report import to_json, to_text

    failure = _write_files(question, report)
    if not question.as_json:
        sys.stdout.write(to_text(report, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ) + "\n")
    elif failure is None:
        sys.stdout.write(to_json(report).decode() + "\n")
    else:
        emit({**msgspec.json.decode(to_json(report)), "error": str(failure), "exit_code": failure.exit_code})
    if failure is not None:
        sys.stderr.write(f"{failure}\n")
        return failure.exit_code
    return INTERRUPTED if report.partial else 0


def _write_files(question: Question, report: Report) -> UsageError | None:
    """What kept a file from being written, or None."""
    from tui_trader.research.html import to_html
    from tui_trader.research.report import trades_csv

    for path, text in ((question.html, to_html), (question.trades, lambda r: trades_csv(r.trades))):
        if path is None:
            continue
        try:
            path.write_text(text(report), encoding="utf-8")
        except OSError as error:
            return UsageError(f"{path} cannot be written ({error.strerror}); the result is printed all the same.")
        sys.stderr.write(f"written: {path}\n")
    return None


def _engine(
    history: History,
    strategy: Strategy,
    settings: Settings,
    instrument: Instrument,
    wallet: Decimal,
    costs: Costs,
    values: dict[str, float],
    timeframe: str,
    bar: Callable[[int, int], bool],
) -> BacktestResult:
    from tui_trader.research.backtest import Backtest

    run = Backtest(
        history, strategy, settings, instrument, wallet=wallet, costs=costs, values=values, timeframe=timeframe
    )
    with interruptible() as pressed:
        return run.run(lambda done, total: bar(done, total) and not pressed())


def _fast(
    history: History,
    strategy: Strategy,
    settings: Settings,
    instrument: Instrument,
    wallet: Decimal,
    costs: Costs,
    values: dict[str, float],
    timeframe: str,
    bar: Callable[[int, int], bool],
) -> BacktestResult:
    from tui_trader.research.search import Market

    market = Market(history, instrument, settings, costs)
    try:
        return market.result(market.run(strategy, timeframe, values, wallet=wallet), strategy.name, wallet)
    except ImportError as error:
        raise missing_extra("--fast needs numba", "research", error) from None


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Within the block Ctrl-C is remembered instead of raised, so that what was done can still be shown."""
    pressed = False

    def remember(number: int, frame: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


def timeframe_of(asked: str, settings: Settings, strategy: Strategy) -> str:
    """``--timeframe``, or the one that the strategy runs on when it was not given. Raises ``UsageError``."""
    from tui_trader.core.candles import TIMEFRAMES

    timeframe = asked or settings.strategies.timeframes.get(strategy.name, strategy.timeframe)
    if timeframe not in TIMEFRAMES:
        raise UsageError(f"--timeframe {asked!r} is unknown; use one of {', '.join(TIMEFRAMES)}.")
    return timeframe


def _parameters(given: Iterable[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--param {text!r}: write it as name=value, like length=90.")
        found[name.strip()] = float(number(f"--param {name.strip()}", value.strip(), above=False))
    return found


def _costs(question: Question) -> Costs:
    from tui_trader.venues.paper import Costs

    usual = Costs()
    given = {
        "half_spread_bps": ("--spread-bps", question.spread_bps, 2),
        "slippage_bps": ("--slippage-bps", question.slippage_bps, 1),
        "latency_ms": ("--latency-ms", question.latency_ms, 1),
    }
    values = {
        name: float(number(flag, text, above=False)) / part if text else getattr(usual, name)
        for name, (flag, text, part) in given.items()
    }
    return Costs(
        half_spread_bps=values["half_spread_bps"],
        slippage_bps=values["slippage_bps"],
        latency_ms=int(values["latency_ms"]),
    )


def _history(context: Globals, symbol: str, question: Question) -> History:
    from tui_trader.research.history import load_history

    return load_history(
        symbol,
        file=question.candles,
        store_path=context.store_path(),
        start_ms=moment("--from", question.begin),
        end_ms=moment("--to", question.end),
        exchange=question.exchange,
    )


def moment(flag: str, text: str) -> int | None:
    """A date or time in UTC, like 2025-05-20 or 2025-05-20T12:00, in ms; None when nothing was given."""
    if not text:
        return None
    try:
        return clock.parse_utc(text)
    except ValueError:
        raise UsageError(f"{flag} {text!r} is no time; write 2025-05-20 or 2025-05-20T12:00 (UTC).") from None


def code_version() -> str:
    """The package's version, and the commit when this is a checkout of git."""
    import subprocess

    from tui_trader import __version__

    folder = Path(__file__).parent
    if not (folder.parent / ".git").exists():
        return __version__
    try:
        told = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty"], capture_output=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__} ({told.stdout.decode().strip()})"
