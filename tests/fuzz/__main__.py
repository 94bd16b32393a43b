"""The long command: ``python -m tests.fuzz --frames 1000000 --seed 7 --json``. Exit code 1 when anything broke."""

from __future__ import annotations

import argparse
import sys

import msgspec

from tests.fuzz.campaign import Campaign, Report
from tests.fuzz.everything import all_targets


def run(frames: int, seed: int, only: str = "") -> Report:
    """One campaign over every target, or over the one called ``only``."""
    with all_targets(only) as targets:
        return Campaign(targets, seed).run(frames)


def main(argv: list[str]) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000, help="damaged frames in all")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same frames")
    parser.add_argument("--only", default="", help="one target by name")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    chosen = parser.parse_args(argv)
    report = run(chosen.frames, chosen.seed, chosen.only)
    if chosen.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        print(f"{report.frames:,} damaged frames in {report.seconds} s ({report.frames_per_s:,.0f}/s)")
        print(f"slowest {report.slowest}×, memory {report.memory} bytes a byte, findings {report.findings}")
        for found in report.first:
            print(f"{found.target} #{found.index}: {found.what}\n  {found.frame[:400]}")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
