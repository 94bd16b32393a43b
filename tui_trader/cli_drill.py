"""``tui-trader drill``: the simulation from the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import typer

from tui_trader import clock
from tui_trader.cli_context import INTERRUPTED, Globals, emit
from tui_trader.drill.campaign import Report, campaign
from tui_trader.drill.draw import draw
from tui_trader.drill.minimise import minimise
from tui_trader.drill.swarm import Result, live
from tui_trader.errors import UsageError
from tui_trader.exchange.fault_presets import PRESETS
from tui_trader.exchange.fault_rules import FaultRule


class DrillOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. ``steps`` are engine events for each seed."""

    seeds: int
    steps: int
    first_seed: int
    preset: str
    jobs: int
    as_json: bool
    minimise: int | None
    trace: Path | None


def run_drill(context: Globals, options: DrillOptions) -> int:
    """Run the drill; 1 when anything was violated. Raises ``UsageError``."""
    del context
    preset = _preset(options)
    if options.minimise is not None:
        return _minimise(options, options.minimise, preset)
    if options.trace is not None:
        return _trace(options, options.trace, preset)
    began = clock.monotonic()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    hours = [0.0]

    def progress(done: int, result: Result) -> None:
        hours[0] += result.virtual_hours
        if result.counts:
            _say(f"seed {result.seed} violates {_counts(result.counts)}; repeat it with: {again(options, result.seed)}")
        if sys.stderr.isatty():
            spent = clock.monotonic() - began
            text = f"{done} of {options.seeds} seeds, {hours[0]:.1f} virtual hours, {spent:.0f} s"
            sys.stderr.write(f"\r{text}\x1b[K")
            sys.stderr.flush()

    report = campaign(seeds, options.steps, preset, options.jobs, progress)
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    _print(report, clock.monotonic() - began, options)
    if report.violations:
        return 1
    return INTERRUPTED if report.partial else 0


def _preset(options: DrillOptions) -> tuple[FaultRule, ...] | None:
    if not options.preset:
        return None
    if options.preset not in PRESETS:
        raise UsageError(f"there is no preset {options.preset!r}; there are {', '.join(sorted(PRESETS))}.")
    return PRESETS[options.preset]


def again(options: DrillOptions, seed: int) -> str:
    """The command that repeats one seed."""
    return f"tui-trader drill --seeds 1 --first-seed {seed} {_world(options)} --trace trace-{seed}.txt"


def _world(options: DrillOptions) -> str:
    return f"--steps {options.steps}" + (f" --preset {options.preset}" if options.preset else "")


def _say(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    sys.stderr.write(text + "\n")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items())) or "nothing"


def _print(report: Report, seconds: float, options: DrillOptions) -> None:
    if options.as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
        return
    times = report.unprotected_s
    lines = [
        f"{report.seeds} seeds, {report.steps:,} steps, {report.virtual_hours:.1f} virtual hours, "
        f"{report.crashes} crashes, {report.positions} positions"
        + (" (interrupted: partial)" if report.partial else ""),
        f"faults: {_counts(report.faults)}",
        f"without a proven stop while reachable, per position: p50 {times['p50']:.2f} s, p99 {times['p99']:.2f} s, "
        f"max {times['max']:.2f} s",
        f"violations: {_counts(report.violations)}",
        f"said by the trader's own watch: {_counts(report.watched)}",
        f"trace hash {report.trace_hash}",
        f"{report.steps / max(seconds, 1e-9):,.0f} steps/s, {report.virtual_hours / max(seconds, 1e-9) * 3600:,.0f} "
        f"virtual seconds a second",
    ]
    lines += report.told[:40]
    lines += [f"repeat seed {seed}: {again(options, seed)}" for seed in report.failed_seeds[:10]]
    lines += [f"make it small: tui-trader drill --minimise {s} {_world(options)}" for s in report.failed_seeds[:1]]
    typer.echo("\n".join(lines))


def _minimise(options: DrillOptions, seed: int, preset: tuple[FaultRule, ...] | None) -> int:
    small = minimise(seed, options.steps, preset, _say)
    if options.as_json:
        found = {} if small is None else {"trace_hash": small.result.trace_hash, "words": small.words().splitlines()}
        emit({"seed": seed, "violates": small is not None, **found})
    elif small is None:
        typer.echo(f"seed {seed} violates nothing within {options.steps} steps")
    else:
        typer.echo(small.words())
    return 0 if small is None else 1


def _trace(options: DrillOptions, path: Path, preset: tuple[FaultRule, ...] | None) -> int:
    if options.seeds != 1:
        raise UsageError("--trace writes one seed's story: give --seeds 1 --first-seed N.")
    try:
        with path.open("w", encoding="utf-8") as file:
            result = live(draw(options.first_seed, preset), options.steps, keep_trace=True)
            file.writelines(result.trace)
    except OSError as error:
        raise UsageError(f"--trace {path} cannot be written ({error.strerror}); nothing was traced.") from None
    violations = [f"{v.at_ms / 1000:.1f} s: {v.invariant}: {v.words}" for v in result.violations]
    if options.as_json:
        lines = len(result.trace)
        emit({"file": str(path), "lines": lines, "trace_hash": result.trace_hash, "violations": violations})
    else:
        typer.echo("\n".join([f"{len(result.trace)} lines in {path}, trace hash {result.trace_hash}", *violations]))
    return 1 if result.counts else 0
