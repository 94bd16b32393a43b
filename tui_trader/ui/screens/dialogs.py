"""Small questions: choose one, confirm what is dangerous, type a few values, pick from a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui_trader.ui.format import clean
from tui_trader.ui.theme import Palette, palette
from tui_trader.ui.widgets.field import TypeField

Answer = TypeVar("Answer")


def paint(mode: str) -> str:
    """The CSS class that paints a dialog in the colour of its mode."""
    known = {"live": "-live", "testnet": "-testnet", "paper": "-testnet"}
    return known.get(mode.lower(), "-demo")


class Dialog(ModalScreen[Answer | None], Generic[Answer]):
    """Base of the dialogs: Esc leaves without an answer; the border wears the mode's colour.

    Tab acts at once, so that what is typed right after it over a slow line stands in the next field.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", show=False),
        Binding("tab", "app.focus_next", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", show=False, priority=True),
    ]

    def __init__(self, title: str, *, mode: str, dangerous: bool = False) -> None:
        super().__init__()
        self.words = title
        self.mode = mode
        self.dangerous = dangerous

    @property
    def palette(self) -> Palette:
        """The colours in force."""
        return palette(self.app.theme)

    def frame_box(self, *children: Static | TypeField | Vertical | VerticalScroll) -> Vertical:
        """The box around the dialog's content, with its title and mode."""
        box = Vertical(*children, classes=f"dialog {paint(self.mode)}{' -danger' if self.dangerous else ''}")
        # Not a text: a border would read its brackets as markup, down to links and actions.
        box.border_title = Content(clean(self.words))
        box.border_subtitle = Content(clean(self.mode).upper())
        return box

    def action_leave(self) -> None:
        """Leave without doing anything."""
        self.dismiss(None)


@dataclass(frozen=True)
class Choice:
    """One line of a choice: the key that takes it, its words, whether it does harm."""

    key: str
    label: str
    value: str
    dangerous: bool = False


class ChoiceDialog(Dialog[str]):
    """Choose one by its key. Nothing is chosen beforehand, so that Enter alone does nothing.

    A ``text`` that is called for tells of the present: it is told anew while the question stands.
    """

    def __init__(
        self,
        title: str,
        text: str | Callable[[], str],
        choices: Sequence[Choice],
        *,
        mode: str,
        dangerous: bool = False,
    ) -> None:
        super().__init__(title, mode=mode, dangerous=dangerous)
        self.text = text
        self.choices = tuple(choices)

    def compose(self) -> ComposeResult:
        """The question and its answers."""
        yield self.frame_box(Static(self._body(), markup=False, id="question"))

    def on_mount(self) -> None:
        """Keep a text of the present true."""
        if not isinstance(self.text, str):
            self.set_interval(0.5, self.renew)

    def renew(self) -> None:
        """Tell the question as it is now."""
        self.query_one("#question", Static).update(self._body())

    def _body(self) -> Text:
        style = self.palette.style
        body = Text()
        text = self.text if isinstance(self.text, str) else self.text()
        if text:
            body.append(clean(text) + "\n\n")
        for choice in self.choices:
            body.append(f" {choice.key} ", style("key@raised"))
            body.append(f" {clean(choice.label)}\n", style("warn@raised" if choice.dangerous else "text@raised"))
        body.append(" Esc", style("key@raised"))
        body.append(" leave, nothing happens", style("dim@raised"))
        return body

    def on_key(self, event: events.Key) -> None:
        """A choice's key takes it; keys are told apart by case."""
        for choice in self.choices:
            if event.character == choice.key:
                event.stop()
                self.dismiss(choice.value)
                return


@dataclass(frozen=True)
class Field:
    """One value to type."""

    id: str
    label: str
    value: str = ""
    hint: str = ""


Validate = Callable[[Mapping[str, str]], str]
"""Returns "" when the values will do, else what is wrong and what would be right."""


class PromptDialog(Dialog[dict[str, str]]):
    """Type one or a few values; what is wrong is said while they are typed, and Enter waits until all is right.

    A ``text`` that is called for tells of the present: it, and the verdict, are told anew while the question stands.
    """

    def __init__(
        self,
        title: str,
        text: str | Callable[[], str],
        fields: Sequence[Field],
        validate: Validate,
        *,
        mode: str,
        dangerous: bool = False,
        tell: Callable[[Mapping[str, str]], str] | None = None,
    ) -> None:
        super().__init__(title, mode=mode, dangerous=dangerous)
        self.text = text
        self.fields = tuple(fields)
        self.validate_values = validate
        self.tell = tell

    def compose(self) -> ComposeResult:
        """Words, fields, and the verdict on what was typed."""
        parts: list[Static | TypeField] = []
        if self.text:
            parts.append(Static(self._words(), markup=False, classes="words"))
        for each in self.fields:
            parts.append(Static(each.label, markup=False, classes="label"))
            parts.append(TypeField(each.value, placeholder=each.hint, id=each.id, compact=True, classes="field"))
        parts.append(Static("", markup=False, id="verdict"))
        yield self.frame_box(*parts)

    def on_mount(self) -> None:
        """Start in the first field."""
        self.query(TypeField).first().focus()
        self._judge()
        if not isinstance(self.text, str):
            self.set_interval(0.5, self.renew)

    def renew(self) -> None:
        """Tell the words and the verdict as they are now."""
        self.query_one(".words", Static).update(self._words())
        self._judge()

    def _words(self) -> str:
        return clean(self.text if isinstance(self.text, str) else self.text())

    def values(self) -> dict[str, str]:
        """What stands in the fields."""
        return {each.id: self.query_one(f"#{each.id}", TypeField).value.strip() for each in self.fields}

    def on_input_changed(self) -> None:
        """Judge again."""
        self._judge()

    def _judge(self) -> str:
        wrong = self.validate_values(self.values())
        style = self.palette.style
        if wrong:
            text = Text(f"✗ {clean(wrong)}", style("warn@raised"))
        else:
            text = Text("✓ Enter confirms, Esc leaves", style("ok@raised"))
            if self.tell is not None:
                text = Text(f"{clean(self.tell(self.values()))}\n", style("text@raised")) + text
        self.query_one("#verdict", Static).update(text)
        return wrong

    def on_input_submitted(self) -> None:
        """Enter: accepted only when nothing is wrong."""
        if not self._judge():
            self.dismiss(self.values())


@dataclass(frozen=True)
class Item:
    """One thing to pick: what is matched and shown, a remark, and the answer."""

    name: str
    remark: str
    value: str


class PickDialog(Dialog[str]):
    """Type to narrow a list, Enter takes the marked line; exact and leading matches come first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "mark(-1)", show=False, priority=True),
        Binding("down", "mark(1)", show=False, priority=True),
    ]
    MOST = 12

    def __init__(self, title: str, items: Sequence[Item], *, mode: str, hint: str) -> None:
        super().__init__(title, mode=mode)
        self.items = tuple(items)
        self.hint = hint
        self.marked = 0

    def compose(self) -> ComposeResult:
        """The field and the list."""
        yield self.frame_box(
            TypeField(placeholder=self.hint, id="pick", compact=True, classes="field"),
            Static("", markup=False, id="list"),
        )

    def on_mount(self) -> None:
        """Show all at first."""
        self.query_one(TypeField).focus()
        self._show()

    def matches(self) -> list[Item]:
        """The items that contain what was typed, leading matches first."""
        typed = self.query_one(TypeField).value.strip().lower().replace("_", " ")
        found = [item for item in self.items if typed in item.name.lower().replace("_", " ")]
        return sorted(found, key=lambda item: not item.name.lower().replace("_", " ").startswith(typed))

    def on_input_changed(self) -> None:
        """Narrow the list."""
        self.marked = 0
        self._show()

    def action_mark(self, steps: int) -> None:
        """Move the mark."""
        self.marked = min(max(self.marked + steps, 0), max(len(self.matches()) - 1, 0))
        self._show()

    def _show(self) -> None:
        style = self.palette.style
        found = self.matches()
        first = max(self.marked - self.MOST + 1, 0)
        body = Text(no_wrap=True, overflow="ellipsis")
        for index, item in enumerate(found[first : first + self.MOST], first):
            chosen = index == self.marked
            ground = "sel" if chosen else "raised"
            body.append(f"{'▶' if chosen else ' '} {clean(item.name):<18} ", style(f"text@{ground}"))
            body.append(f"{clean(item.remark)}\n", style(f"dim@{ground}"))
        if not found:
            body.append("  nothing matches; Esc leaves", style("warn@raised"))
        elif len(found) > self.MOST:
            body.append(f"  {len(found)} in all", style("dim@raised"))
        self.query_one("#list", Static).update(body)

    def on_input_submitted(self) -> None:
        """Enter takes the marked line."""
        found = self.matches()
        if found:
            self.dismiss(found[min(self.marked, len(found) - 1)].value)


class ReadDialog(Dialog[None]):
    """A text to read and scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,question_mark", "leave", "Leave", show=False),
        Binding("j,down", "scroll(1)", show=False),
        Binding("k,up", "scroll(-1)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
    ]

    def __init__(self, title: str, body: Text, *, mode: str) -> None:
        super().__init__(title, mode=mode)
        self.body = body

    def compose(self) -> ComposeResult:
        """The text in a scrolling box."""
        box = self.frame_box(VerticalScroll(Static(self.body, markup=False), id="reading", can_focus=False))
        box.add_class("-reading")
        yield box

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines."""
        self.query_one("#reading", VerticalScroll).scroll_relative(y=lines, animate=False)
