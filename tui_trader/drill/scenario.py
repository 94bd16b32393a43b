"""A scenario is a script that acts in a world; the world may live in virtual time or behind real sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from tui_trader.core.events import UserCommand
from tui_trader.core.types import Side
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.fault_rules import Act
from tui_trader.exchange.faults import Faults
from tui_trader.runtime.trader import Trader


class Stage(Protocol):
    """What a script may do and see. Times in ms of venue time, which runs at the rate of real time here."""

    faults: Faults
    exchange: ExchangeEngine
    account: Account
    said: list[str]
    """Sentences that the trader announced, oldest first, across restarts."""

    @property
    def trader(self) -> Trader:
        """The running one. Raises ``RuntimeError`` between a crash and the restart."""
        ...

    async def sleep(self, ms: int) -> None:
        """Let time pass."""
        ...

    async def move(self, symbol: str, price: float, ms: int = 1000) -> None:
        """The market walks to ``price`` within ``ms`` and stays there."""
        ...

    async def gap(self, symbol: str, price: float) -> None:
        """The market jumps at once."""
        ...

    def user(self, command: UserCommand) -> None:
        """A person's command."""
        ...

    async def enter(
        self,
        symbol: str = "BTCUSDT",
        side: Side = Side.LONG,
        qty: str = "0.040",
        limit: str | None = None,
        wait: bool = True,
    ) -> None:
        """Enter by hand, through the gate; with ``wait`` until the position is protected, rests or was refused."""
        ...

    def act(self, act: Act) -> str:
        """Something happens in the world; returns it in words."""
        ...

    async def crash(self) -> None:
        """kill -9 of the trader: what was not durable and what it meant to send is lost."""
        ...

    async def restart(self) -> None:
        """A new trader on what was durable; returns when it has compared itself with the venue once."""
        ...

    async def until(self, condition: Callable[[], bool], ms: int = 30_000) -> None:
        """Let time pass until ``condition()``. Raises ``TimeoutError`` when it does not become true."""
        ...


@dataclass(frozen=True)
class Scenario:
    """A named script. ``row`` are the words of the fault matrix that it stands for; ``settings`` are overrides by
    dotted name ("execution.entry_timeout_s").
    """

    name: str
    row: str
    script: Callable[[Stage], Awaitable[None]]
    settings: dict[str, object] = field(default_factory=dict)
