"""README's picture: ``python -m tests.ui.picture docs/console.svg`` runs the demo console and draws what it shows.

Every word stands at its own cell, so that the picture lines up in any viewer and with any fixed-width font.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path

from rich.segment import Segment

from tui_trader.config import load
from tui_trader.runtime.face import SessionFace
from tui_trader.runtime.start import StartOptions, build_session
from tui_trader.ui.app import ConsoleApp

CELL, ROW, FONT, EDGE = 8.4, 18.0, 14, 10.0
GROUND, INK = "#121212", "#d0d0d0"
FAMILY = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"


def words(text: str, start: int) -> list[tuple[int, str]]:
    """The words of ``text`` with the cell at which each begins."""
    found: list[tuple[int, str]] = []
    at = 0
    for word in text.split(" "):
        if word:
            found.append((start + at, word))
        at += len(word) + 1
    return found


def _drawn(segment: Segment, x: int, y: int) -> list[str]:
    style = segment.style
    ink = style.color.get_truecolor().hex if style and style.color else INK
    ground = style.bgcolor.get_truecolor().hex if style and style.bgcolor else GROUND
    if style and style.reverse:
        ink, ground = ground, ink
    weight = ' font-weight="bold"' if style and style.bold else ""
    parts = []
    if ground != GROUND:
        left, width = EDGE + x * CELL, len(segment.text) * CELL
        parts.append(
            f'<rect x="{left:.1f}" y="{EDGE + y * ROW:.1f}" width="{width:.1f}" height="{ROW}" fill="{ground}"/>'
        )
    base = EDGE + y * ROW + ROW * 0.74
    for at, word in words(segment.text, x):
        length = f' textLength="{len(word) * CELL:.1f}" lengthAdjust="spacingAndGlyphs"'
        parts.append(
            f'<text x="{EDGE + at * CELL:.1f}" y="{base:.1f}" fill="{ink}"{weight}{length}>{escape(word)}</text>'
        )
    return parts


def svg_of(rows: Sequence[Sequence[Segment]], title: str) -> str:
    """The terminal's lines as an SVG."""
    columns = max(sum(len(segment.text) for segment in row) for row in rows)
    width, height = columns * CELL + 2 * EDGE, len(rows) * ROW + 2 * EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="{FAMILY}" font-size="{FONT}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>',
    ]
    for y, row in enumerate(rows):
        x = 0
        for segment in row:
            parts.extend(_drawn(segment, x, y))
            x += len(segment.text)
    return "\n".join([*parts, "</svg>\n"])


async def picture(seconds: float, keys: Sequence[str]) -> str:
    """Run the demo in a folder of its own for so long, press ``keys``, and draw the screen."""
    with tempfile.TemporaryDirectory() as folder:
        options = StartOptions(settings_source=partial(load, None, environ={}), mode="demo", data_dir=Path(folder))

        async def start() -> SessionFace:
            session = await build_session(options)
            await session.start()
            return session

        app = ConsoleApp(start)
        async with app.run_test(size=(160, 50)) as pilot:
            await asyncio.sleep(seconds)
            await pilot.press(*keys)
            await asyncio.sleep(2)
            rows = [list(strip) for strip in app.screen._compositor.render_strips()]
            if app.session is not None:
                await app.session.stop("the picture is taken")
        return svg_of(rows, "The tui-trader console in demo mode")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("keys", nargs="*")
    given = parser.parse_intermixed_args()
    given.out.write_text(asyncio.run(picture(given.seconds, given.keys)))


if __name__ == "__main__":
    main()
