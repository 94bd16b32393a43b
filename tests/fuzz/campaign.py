"""Feeds damaged bytes to every parser and keeps what broke; measures time and memory against right frames."""

from __future__ import annotations

import base64
import random
import tracemalloc
from collections import Counter
from collections.abc import Sequence

import msgspec

from tests.fuzz.mutate import mutated
from tests.fuzz.targets import Target
from tui_trader.clock import perf_ns

SLOWEST = 400.0
"""A damaged frame may cost this many times what a right one of its size costs (the smallest of three tries)."""
MEMORY_FACTOR = 96
"""Peak memory of a damaged frame: this many bytes for each of its own, beyond what right frames need."""
MEMORY_BASE = 65_536
MEASURE_EVERY = 50
KEPT = 20


class Finding(msgspec.Struct, frozen=True):
    """Something that broke. ``frame`` is base64, cut to its first 3,000 bytes."""

    target: str
    index: int
    what: str
    frame: str
    length: int


class Report(msgspec.Struct, kw_only=True):
    """Figures of a campaign. ``slowest`` is the largest cost relative to a right frame of that size; ``memory`` the
    largest peak beyond what right frames need, in bytes for each byte of the frame."""

    seed: int = 0
    frames: int = 0
    seconds: float = 0.0
    frames_per_s: float = 0.0
    by_target: dict[str, int] = {}
    seconds_by_target: dict[str, float] = {}
    largest_frame: int = 0
    slowest: float = 0.0
    memory: float = 0.0
    findings: int = 0
    first: list[Finding] = []


class Broken(Exception):  # noqa: N818 - a fact about the parser, carried to the report
    """Carries whatever a parser raised."""


class _Fair(msgspec.Struct, frozen=True):
    """What right frames cost: ns for one, ns for each byte, and the peak of memory."""

    cost: float
    rate: float
    peak: int


def feed(target: Target, raw: bytes) -> None:
    """Feed one frame; anything that comes out is raised as ``Broken``."""
    try:
        target.feed(raw)
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {str(error)[:600]}") from error


class Campaign:
    """A seeded run over several targets, each with its share of the frames."""

    def __init__(self, targets: Sequence[tuple[Target, float]], seed: int) -> None:
        self.targets = list(targets)
        self.report = Report(seed=seed)
        self._seed = seed
        self._known: Counter[str] = Counter()

    def run(self, frames: int) -> Report:
        """Feed ``frames`` damaged frames in all."""
        report, began = self.report, perf_ns()
        for target, share in self.targets:
            count = max(1, round(frames * share))
            started = perf_ns()
            self._attack(target, count)
            report.by_target[target.name] = count
            report.seconds_by_target[target.name] = round((perf_ns() - started) / 1e9, 2)
            report.frames += count
        report.seconds = round((perf_ns() - began) / 1e9, 2)
        report.frames_per_s = round(report.frames / max(report.seconds, 1e-9), 1)
        report.findings = sum(self._known.values())
        return report

    def _attack(self, target: Target, count: int) -> None:
        rng = random.Random(f"{self._seed} {target.name}")
        fair = self._fair(target) if target.measured else None
        for index in range(count):
            raw = mutated(rng, rng.choice(target.seeds), rng.choice(target.seeds))
            self.report.largest_frame = max(self.report.largest_frame, len(raw))
            if fair is None:
                self._timed(target, raw, index)
            elif index % MEASURE_EVERY == 0 or len(raw) > 60_000:
                self._weigh(target, raw, index, fair)
            else:
                self._clock(target, raw, index, fair)

    def _fair(self, target: Target) -> _Fair:
        costs, rates, peaks = [], [], []
        for seed in target.seeds[:: max(1, len(target.seeds) // 40)]:
            took = min(self._timed(target, seed.raw, -1) for _ in range(3))
            costs.append(took)
            rates.append(took / max(1, len(seed.raw)))
            peaks.append(self._peak(target, seed.raw, -1))
        return _Fair(cost=sorted(costs)[len(costs) // 2], rate=sorted(rates)[len(rates) // 2], peak=max(peaks))

    def _timed(self, target: Target, raw: bytes, index: int) -> int:
        started = perf_ns()
        try:
            feed(target, raw)
        except Broken as broken:
            self._found(target, raw, index, str(broken))
        return perf_ns() - started

    def _clock(self, target: Target, raw: bytes, index: int, fair: _Fair) -> None:
        took = self._timed(target, raw, index)
        usual = max(fair.cost, fair.rate * len(raw))
        if took > SLOWEST / 8 * usual:
            took = min(took, *(self._timed(target, raw, index) for _ in range(2)))
            if took > SLOWEST * usual:
                self._found(target, raw, index, f"took {took / usual:.0f} times a right frame's cost")
        self.report.slowest = max(self.report.slowest, round(took / usual, 1))

    def _peak(self, target: Target, raw: bytes, index: int) -> int:
        tracemalloc.start()
        try:
            self._timed(target, raw, index)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def _weigh(self, target: Target, raw: bytes, index: int, fair: _Fair) -> None:
        beyond = self._peak(target, raw, index) - 2 * fair.peak - MEMORY_BASE
        self.report.memory = max(self.report.memory, round(beyond / max(1, len(raw)), 1))
        if beyond > MEMORY_FACTOR * len(raw):
            self._found(target, raw, index, f"took {beyond} bytes more than right frames")

    def _found(self, target: Target, raw: bytes, index: int, what: str) -> None:
        key = f"{target.name} {what[:60]}"
        self._known[key] += 1
        if self._known[key] == 1 and len(self.report.first) < KEPT:
            frame = base64.b64encode(raw[:3_000]).decode()
            self.report.first.append(Finding(target.name, index, what, frame, len(raw)))
