"""Colours by meaning. Palettes are made of xterm's 256 colours, so that a terminal without truecolor shows them as is.

A *role* names a meaning ("profit", "warn", "mine"); "role@ground" puts it on another background ("text@sel"). A sign or
glyph says the same without colour everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.style import Style
from textual.theme import Theme

DEFAULT = "tui-trader-dark"
MONO = "tui-trader-mono"


@dataclass(frozen=True)
class Palette:
    """One theme: ``inks`` colour by role, ``grounds`` background by name, ``bold`` and ``reverse`` roles."""

    name: str
    title: str
    dark: bool
    inks: dict[str, str]
    grounds: dict[str, str]
    bold: frozenset[str] = frozenset(
        {"title_active", "alarm", "notice", "mode_live", "mode_demo", "mode_testnet", "key", "bright", "head_active"}
    )
    reverse: frozenset[str] = frozenset()
    mono: bool = False
    _styles: dict[str, Style] = field(default_factory=dict, repr=False, compare=False)

    def style(self, role: str) -> Style:
        """The terminal style of ``role`` or ``role@ground``; an unknown name is drawn as plain text."""
        found = self._styles.get(role)
        if found is None:
            found = self._styles[role] = self._build(role)
        return found

    def _build(self, role: str) -> Style:
        name, _, ground = role.partition("@")
        ink = self.inks.get(name, self.inks["text"])
        background = self.grounds.get(ground or name, self.grounds["base"])
        if self.mono and ground == "sel":
            # A shade of grey is lost where a terminal has eight colours; dark on light is not.
            ink, background = self.grounds["base"], self.inks["text"]
        return Style(
            color=ink, bgcolor=background, bold=name in self.bold or None, reverse=name in self.reverse or None
        )

    def textual(self) -> Theme:
        """The same colours for Textual's own widgets (inputs, palette)."""
        inks, grounds = self.inks, self.grounds
        return Theme(
            name=self.name,
            primary=inks["accent"],
            secondary=inks["mine"],
            warning=inks["warn"],
            error=inks["loss"],
            success=inks["profit"],
            accent=inks["accent"],
            foreground=inks["text"],
            background=grounds["base"],
            surface=grounds["raised"],
            panel=grounds["raised"],
            dark=self.dark,
            text_alpha=1.0,
            variables={
                "tt-rule": inks["faint"],
                "tt-dim": inks["dim"],
                "tt-raised": grounds["raised"],
                "tt-sel": grounds["sel"],
                "tt-live": grounds["mode_live"],
                "tt-testnet": grounds["mode_testnet"],
                "tt-demo": grounds["mode_demo"],
                "tt-alarm": grounds["alarm"],
                "input-cursor-background": inks["text"],
                "input-selection-background": grounds["sel"],
            },
        )


_DARK = Palette(
    name=DEFAULT,
    title="dark",
    dark=True,
    inks={
        "text": "#d0d0d0",
        "bright": "#ffffff",
        "dim": "#8a8a8a",
        "faint": "#4e4e4e",
        "head": "#767676",
        "title": "#afafaf",
        "title_active": "#5fd7ff",
        "profit": "#5fd787",
        "loss": "#ff5f5f",
        "warn": "#ffd75f",
        "accent": "#5fd7ff",
        "mine": "#d7afff",
        "key": "#5fd7ff",
        "ok": "#5fd787",
        "alarm": "#ffffff",
        "mode_live": "#ffffff",
        "mode_testnet": "#121212",
        "mode_demo": "#121212",
        "notice": "#121212",
    },
    grounds={
        "base": "#121212",
        "raised": "#1c1c1c",
        "sel": "#303030",
        "bar": "#262626",
        "alarm": "#d70000",
        "mode_live": "#d70000",
        "mode_testnet": "#ffd75f",
        "mode_demo": "#5fd7ff",
        "notice": "#ffd75f",
    },
)

_LIGHT = Palette(
    name="tui-trader-light",
    title="light",
    dark=False,
    inks={
        "text": "#303030",
        "bright": "#000000",
        "dim": "#6c6c6c",
        "faint": "#b2b2b2",
        "head": "#767676",
        "title": "#585858",
        "title_active": "#005faf",
        "profit": "#005f00",
        "loss": "#af0000",
        "warn": "#875f00",
        "accent": "#005faf",
        "mine": "#8700af",
        "key": "#005faf",
        "ok": "#005f00",
        "alarm": "#ffffff",
        "mode_live": "#ffffff",
        "mode_testnet": "#000000",
        "mode_demo": "#ffffff",
        "notice": "#000000",
    },
    grounds={
        "base": "#ffffff",
        "raised": "#eeeeee",
        "sel": "#d7e7f7",
        "bar": "#e4e4e4",
        "alarm": "#d70000",
        "mode_live": "#d70000",
        "mode_testnet": "#ffd75f",
        "mode_demo": "#005faf",
        "notice": "#ffd75f",
    },
)

_CONTRAST = Palette(
    name="tui-trader-contrast",
    title="high contrast",
    dark=True,
    inks={
        "text": "#ffffff",
        "bright": "#ffffff",
        "dim": "#d0d0d0",
        "faint": "#8a8a8a",
        "head": "#ffffff",
        "title": "#ffffff",
        "title_active": "#ffff00",
        "profit": "#00ff00",
        "loss": "#ff8787",
        "warn": "#ffff00",
        "accent": "#00ffff",
        "mine": "#ffafff",
        "key": "#ffff00",
        "ok": "#00ff00",
        "alarm": "#ffffff",
        "mode_live": "#ffffff",
        "mode_testnet": "#000000",
        "mode_demo": "#000000",
        "notice": "#000000",
    },
    grounds={
        "base": "#000000",
        "raised": "#000000",
        "sel": "#0000af",
        "bar": "#303030",
        "alarm": "#d70000",
        "mode_live": "#d70000",
        "mode_testnet": "#ffff00",
        "mode_demo": "#00ffff",
        "notice": "#ffff00",
    },
)

_COLOUR_BLIND = Palette(
    name="tui-trader-blue-orange",
    title="blue and orange (colour-blind safe)",
    dark=True,
    inks={
        **_DARK.inks,
        "profit": "#5fafff",
        "loss": "#ffaf00",
        "warn": "#ffff87",
        "ok": "#5fafff",
        "accent": "#d7d7ff",
        "title_active": "#ffffff",
        "key": "#d7d7ff",
        "mine": "#ffafd7",
        "alarm": "#121212",
    },
    grounds={**_DARK.grounds, "alarm": "#ffaf00", "mode_demo": "#d7d7ff"},
)

_MONO = Palette(
    name=MONO,
    title="without colour",
    dark=True,
    inks={
        **dict.fromkeys(_DARK.inks, "#d0d0d0"),
        "bright": "#ffffff",
        "dim": "#a8a8a8",
        "faint": "#6c6c6c",
        "head": "#949494",
        "title_active": "#ffffff",
        "profit": "#ffffff",
        "mine": "#ffffff",
    },
    grounds={**dict.fromkeys(_DARK.grounds, "#121212"), "sel": "#3a3a3a", "raised": "#1c1c1c", "bar": "#262626"},
    bold=_DARK.bold | {"warn", "loss", "mine"},
    reverse=frozenset({"alarm", "mode_live", "notice"}),
    mono=True,
)

PALETTES: dict[str, Palette] = {each.name: each for each in (_DARK, _LIGHT, _CONTRAST, _COLOUR_BLIND, _MONO)}


def palette(name: str) -> Palette:
    """The palette called ``name``; the dark one when there is none (Textual's own themes, a typing mistake)."""
    return PALETTES.get(name, _DARK)


def following(name: str) -> str:
    """The theme after ``name``, round and round."""
    names = list(PALETTES)
    return names[(names.index(name) + 1) % len(names)] if name in names else DEFAULT


def tone(value: float) -> str:
    """The role of a gain or a loss: profit, loss, or dim for nothing."""
    if value > 0:
        return "profit"
    return "loss" if value < 0 else "dim"
