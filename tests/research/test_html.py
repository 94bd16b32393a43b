"""The page: whole, self-contained, escaped, the same figures as the text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec

from tests.research.build import backtest, history
from tests.research.test_report import LOSES, WINS, report
from tui_trader.research.html import to_html
from tui_trader.research.report import figures

VOID = {"meta", "path", "rect"}


class Page(HTMLParser):
    """Collects tags, attributes and text; fails on a tag closed out of order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        while self._open and self._open[-1] == "li" != tag:
            self._open.pop()
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_holds_everything_and_asks_nobody() -> None:
    found = report(history(WINS))
    page = Page(to_html(found))
    assert page.links == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 3
    assert not re.search(r"https?:|url\(|@import", to_html(found))
    for name, value in figures(found):
        assert name in page.text
        assert value in page.text
    for words in (found.verdict, found.data_hash, found.code, *found.assumptions, "TP1 101500 × 0.011"):
        assert words in page.text


def test_it_fits_light_and_dark_and_warns() -> None:
    result = msgspec.structs.replace(backtest(history(LOSES)), partial=True)
    text = to_html(report(history(LOSES), result))
    assert "color-scheme: light dark" in text
    assert "<p class=warn>PARTIAL" in text
    assert "· PARTIAL</h1>" in text


def test_foreign_words_are_text() -> None:
    found = report(history(WINS), strategy="<script>alert(1)</script>", code='"><img src=x>')
    found = msgspec.structs.replace(found, source="<b>file</b>")
    page = Page(to_html(found))
    assert {"script", "img", "b"}.isdisjoint(page.tags)
    assert "<script>alert(1)</script>" in page.text


def test_curves_stay_within_their_frame() -> None:
    for rows in (WINS, LOSES, WINS[:1]):
        text = to_html(report(history(rows)))
        for path in re.findall(r' d="M([^"]*)"', text):
            numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
            assert all(0 <= x <= 900 for x in numbers[::2])
            assert all(0 <= y <= 240 for y in numbers[1::2])


def test_a_run_without_trades_is_a_page_too() -> None:
    found = report(history(WINS), backtest(history(WINS), values={"at": 0.0}))
    page = Page(to_html(found))
    assert "No trade was made" in page.text
    assert page.tags.count("tr") == len(figures(found)) + 1
