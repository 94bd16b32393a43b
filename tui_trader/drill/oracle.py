"""The judge: reads the exchange's own state, the wire and the durable rows, and never believes the engine's memory.

It watches from when it is made; ``finish`` is asked a minute after the last fault. Times are virtual seconds.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from math import inf
from typing import Any

import msgspec

from tui_trader.core.events import KillSwitch, Rearm, UserCommand
from tui_trader.core.orders import ClientId, parse_client_id
from tui_trader.core.types import Leg
from tui_trader.drill.ending import at_the_end, when_flat
from tui_trader.drill.network import Call
from tui_trader.drill.world import SimWorld
from tui_trader.exchange.accounts import Account
from tui_trader.exchange.fault_rules import FaultKind
from tui_trader.exchange.rest import Reply

LIMIT_S = 10.0
"""How long a reachable position may lack a stop without being flattened (I1)."""
FLAT_S = 30.0
"""How long a flattening may take while the venue answers."""
FLATTENING_S = 3.0
"""A close was tried so recently that the position counts as being flattened."""
HOPELESS_S = 60.0
"""Even being flattened must end, while the venue answers."""
TRIGGERING_S = 2.0
REACHABLE_S = 2.0
ORPHAN_S = 10.0
_KILL_SLACK_S = 0.05
_BLIND_SLACK_S = 1.5
_DOUBLED_S = 15.0
_NOTED_S = 1.0
_LEARN_S = 10.0
"""Until then what others trade may be unknown while the private stream is mute (I7)."""
_MAX_KEPT = 200
_UNNAMED_SILENCE_S = {418: 120.0, 429: 15.0, 403: 15.0}
"""How long nothing can be expected of who was told to be silent, when the venue does not say for how long."""
_ID_FIELDS = ("newClientOrderId", "clientAlgoId", "origClientOrderId")
_ORDER_PATHS = frozenset({"/fapi/v1/order", "/fapi/v1/algoOrder"})


class Violation(msgspec.Struct, frozen=True):
    """One thing that must never happen and did; ``at_ms`` is virtual time since the beginning."""

    invariant: str
    at_ms: int
    words: str


class Cover(msgspec.Struct):
    """One symbol's protection; ``longest`` is the longest lack of this position while the venue could be reached.

    ``lacks`` are (since when, up to how many lots) without a stop, oldest first: a fill that no stop covers yet is as
    old as the fill, however many came after it.
    """

    held: bool = False
    lacks: list[tuple[float, int]] = []
    longest: float = 0.0
    flat_since: float = 0.0
    triggered: float = -inf
    closing: float = -inf
    doubled: float = -inf
    approved: int = 0
    foreign: int = 0
    foreign_fills: list[tuple[float, int]] = []
    foreign_cancel: float = -inf
    told: bool = False
    killed_since: float = inf


class Oracle:
    """Collects ``violations`` (at most 200 are kept, all are counted) and ``unprotected`` seconds, one per position."""

    def __init__(self, world: SimWorld) -> None:
        self.world = world
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.unprotected: list[float] = []
        self._covers = {symbol: Cover() for symbol in world.markets}
        self._sent: dict[str, tuple[object, ...]] = {}
        self._cancels: dict[str, int] = {}
        self._orders_of: dict[str, set[object]] = {}
        self._silent_until = 0.0
        self._excused_until = 0.0
        self._killed_at = inf
        self._last_good = 0.0
        self._last_bad = -inf
        self._private_down = 0.0
        self._store_bad = -inf
        self._settling = False
        self._process: object = None
        self._watch()

    def _watch(self) -> None:
        world = self.world
        world.network.on_sent = self._on_sent
        world.network.on_handled = self._on_handled
        world.network.on_heard = self._on_heard
        world.on_step = self._on_step
        world.on_command = self._on_command
        deliver = world.exchange.on_user_event

        def on_event(account: Account, event: dict[str, object]) -> None:
            self._on_event(event)
            deliver(account, event)

        world.exchange.on_user_event = on_event

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.world.loop.monotonic()

    def accuse(self, invariant: str, words: str) -> None:
        """Note a violation."""
        self.counts[invariant] += 1
        self.world.trace.add(self.now, "VIOLATION", f"{invariant} {words}")
        if len(self.violations) < _MAX_KEPT:
            self.violations.append(Violation(invariant=invariant, at_ms=int(self.now * 1000), words=words))

    # --- the person ---

    def _on_command(self, command: UserCommand) -> None:
        if isinstance(command, KillSwitch):
            self._killed_at = min(self._killed_at, self.now)
        elif isinstance(command, Rearm):
            self._killed_at = inf

    # --- the wire ---

    def _on_sent(self, call: Call) -> None:
        self._new_process()
        if self.now < self._silent_until - 0.001:
            left = self._silent_until - self.now
            self.accuse("I13", f"{call.method} {call.path} was sent {left:.1f} s before the venue's silence ended")
        if call.path.endswith(("allOpenOrders", "algoOpenOrders", "batchOrders", "countdownCancelAll")):
            self.accuse("I8", f"{call.method} {call.path} touches orders that are not ours")
        if call.path in _ORDER_PATHS and call.method != "GET":
            self._order_sent(call)

    def _new_process(self) -> None:
        """A process that just started knows nothing of a silence that an earlier one was asked for."""
        if self.world.process is not self._process:
            self._process = self.world.process
            self._silent_until = self._excused_until = 0.0
            self._private_down = self.now
            self._last_good, self._last_bad = self.now, -inf
            if self._killed_at < inf and not self._kill_is_durable():
                self._killed_at = inf

    def _kill_is_durable(self) -> bool:
        rows = self.world.disk.rows("SELECT value FROM state WHERE key = 'kill'")
        return bool(rows) and rows[0][0] not in (None, "null")

    def _order_sent(self, call: Call) -> None:
        params = call.params
        text = next((str(params[name]) for name in _ID_FIELDS if params.get(name)), "")
        cid = parse_client_id(text)
        if cid is None:
            self.accuse("I8", f"{call.method} {call.path} names an order that is not ours: {text!r}")
            return
        if call.method != "POST":
            self._cancels[text] = self._lots(str(params["symbol"]))
            return
        symbol = str(params["symbol"])
        self._journalled(text, cid)
        body = (call.path, *sorted((k, str(v)) for k, v in params.items()))
        if self._sent.setdefault(text, body) != body:
            self.accuse("I4", f"the id {text} was used for two different orders")
        if cid.leg is Leg.ENTRY:
            self._entry_sent(symbol, text)
            return
        if params.get("reduceOnly") != "true" and params.get("closePosition") != "true":
            self.accuse("I3", f"the exit {text} is not reduce-only")
        if cid.leg is Leg.CLOSE:
            self._covers[symbol].closing = self.now

    def _journalled(self, text: str, cid: ClientId) -> None:
        if text in self.world.disk.intents:
            return
        if self.world.disk.full:
            self._store_bad = self.now
        if cid.leg is Leg.ENTRY or self.now - self._store_bad > LIMIT_S:
            self.accuse("I4", f"{text} left before its intent was durable")

    def _entry_sent(self, symbol: str, text: str) -> None:
        if self.now > self._killed_at + _KILL_SLACK_S:
            self.accuse("I15", f"{symbol}: the entry {text} left {self.now - self._killed_at:.2f} s after the kill")
        if not self.world.network.connected and self.now - self._private_down > _BLIND_SLACK_S:
            self.accuse("I11", f"{symbol}: the entry {text} left while the private stream was down")
        process = self.world.process
        age = process.venue.heard_ago(symbol) if process is not None else 0.0
        if age > self.world.settings.data.stale_after_s + _BLIND_SLACK_S:
            self.accuse("I11", f"{symbol}: the entry {text} left on a book {age:.1f} s old")

    def _on_handled(self, call: Call) -> None:
        honest = call.honest
        if honest is None:
            return
        if honest.status in (418, 429) and call.handled == 1:
            self.accuse("I13", f"over the venue's budget: {call.method} {call.path} {honest.body[:120]}")
        if FaultKind.duplicate in call.faults and call.method == "POST" and call.path in _ORDER_PATHS:
            cover = self._covers.get(str(call.params.get("symbol")))
            if cover is not None:
                cover.doubled = self.now

    def _on_heard(self, call: Call) -> None:
        reply = call.reply
        if reply is not None and reply.status in _UNNAMED_SILENCE_S:
            self._asked_for_silence(reply)
        if not call.signed:
            return
        if reply is not None and reply.status == 200:
            self._last_good = self.now
        elif reply is None or reply.status >= 500 or reply.status in (408, 418, 429, 403):
            self._last_bad = self.now

    def _asked_for_silence(self, reply: Reply) -> None:
        asked = reply.headers.get("Retry-After", "")
        seconds = float(asked) if asked.isdigit() else _UNNAMED_SILENCE_S[reply.status]
        self._excused_until = max(self._excused_until, self.now + seconds)
        if asked.isdigit() and reply.status != 403 and "-1015" not in reply.body and "-1008" not in reply.body:
            self._silent_until = max(self._silent_until, self.now + seconds)

    def reachable(self, symbol: str) -> bool:
        """Whether signed requests can be expected to work, for this symbol."""
        world = self.world
        process = world.process
        if process is None or not process.alive or not process.ready:
            return False
        if world.faults.is_out(world.network.now_ms) or self.now < self._excused_until:
            return False
        if world.account.dual_side or not world.exchange.states[symbol].is_trading:
            return False
        return not (self._last_bad > self._last_good and self.now - self._last_good > REACHABLE_S)

    # --- the exchange ---

    def _on_event(self, event: dict[str, object]) -> None:
        if not self._settling:
            # What the exchange does in one instant is judged when it is done with it.
            self._settling = True
            self.world.loop.call_soon(self._settle)
        body: Any = event.get("o")
        if not isinstance(body, dict) or body.get("s") not in self._covers or "X" not in body:
            # Scenarios let the exchange say what makes no sense.
            return
        if event["e"] == "ORDER_TRADE_UPDATE":
            self._order_event(body)
        elif event["e"] == "ALGO_UPDATE":
            self._algo_event(body)

    def _algo_event(self, body: dict[str, Any]) -> None:
        cover = self._covers[body["s"]]
        if body["X"] in ("TRIGGERING", "TRIGGERED"):
            cover.triggered = self.now
        elif body["X"] == "NEW":
            self._count_order(body["caid"], ("algo", body["aid"]), body["s"])
        elif body["X"] == "CANCELED" and body["R"]:
            self._stop_cancelled(body["s"], body["caid"])

    def _stop_cancelled(self, symbol: str, text: str) -> None:
        """I10: a cancel of our own must leave stops for what was open when it was sent and is open still.

        What somebody else traded a moment before need not be known yet: that lack is I1's.
        """
        cover = self._covers[symbol]
        before = self._cancels.get(text)
        if before is None:
            cover.foreign_cancel = self.now
            return
        if self.now - cover.foreign_cancel <= _DOUBLED_S or cover.lacks:
            return
        unknown = abs(sum(lots for at, lots in cover.foreign_fills if self.now - at <= _LEARN_S))
        if self.world.coverage(symbol) < min(before, self._lots(symbol)) - unknown:
            self.accuse("I10", f"{symbol}: cancelling {text} left the position without a stop")

    def _lots(self, symbol: str) -> int:
        position = self.world.account.positions.get(symbol)
        return abs(position.lots) if position is not None else 0

    def _count_order(self, text: str, number: object, symbol: str) -> None:
        if parse_client_id(text) is None:
            return
        orders = self._orders_of.setdefault(text, set())
        orders.add(number)
        if len(orders) > 1 and self.now - self._covers[symbol].doubled > 0.001:
            self.accuse("I2", f"{symbol}: {len(orders)} orders under the one id {text}")

    def _order_event(self, body: dict[str, Any]) -> None:
        symbol, text = body["s"], body["c"]
        cid = parse_client_id(text)
        cover = self._covers[symbol]
        state = self.world.exchange.states[symbol]
        if body["x"] == "NEW" and "aid" not in body:
            self._count_order(text, body["i"], symbol)
            if cid is not None and cid.leg is Leg.ENTRY:
                cover.approved = max(cover.approved, state.lots.units(Decimal(body["q"])) or 0)
        if body["x"] not in ("TRADE", "CALCULATED"):
            return
        signed = (state.lots.units(Decimal(body["l"])) or 0) * (1 if body["S"] == "BUY" else -1)
        after = self.world.account.position(state.spec).lots
        before = after - signed
        if cid is None:
            cover.foreign += signed
            cover.foreign_fills.append((self.now, signed))
        elif cid.leg is not Leg.ENTRY and (abs(after) >= abs(before) or after * before < 0):
            self.accuse("I3", f"{symbol}: the exit {text} took the position from {before} to {after} lots")
        elif cid.leg is Leg.ENTRY and self.now - cover.doubled > _DOUBLED_S:
            self._approved(symbol, cover, after)

    def _approved(self, symbol: str, cover: Cover, after: int) -> None:
        if abs(after) > cover.approved + abs(cover.foreign):
            self.accuse("I2", f"{symbol}: {after} lots are open, {cover.approved} were approved")

    # --- protection ---

    def _settle(self) -> None:
        self._settling = False
        for symbol in self._covers:
            self._judge(symbol)

    def _on_step(self) -> None:
        self._new_process()
        if self.world.network.connected:
            self._private_down = self.now
        if self.world.disk.full:
            self._store_bad = self.now
        for symbol in self._covers:
            self._judge(symbol)

    def _judge(self, symbol: str) -> None:
        cover, now = self._covers[symbol], self.now
        lots = self._lots(symbol)
        if not lots:
            self._flat(symbol, cover)
            return
        cover.held = True
        self._judge_kill(symbol, cover)
        stopped = lots if now - cover.triggered <= TRIGGERING_S else self.world.coverage(symbol)
        if stopped >= lots or not self.reachable(symbol):
            self._ends_lacking(symbol, cover)
            return
        cover.lacks = _lacking(cover.lacks, stopped, lots, now)
        lacking = now - cover.lacks[0][0]
        cover.longest = max(cover.longest, lacking)
        flattening = now - cover.closing <= FLATTENING_S
        if not cover.told and (lacking > HOPELESS_S or (lacking > LIMIT_S and not flattening)):
            cover.told = True
            self.accuse("I1", f"{symbol}: {lots} lots without a stop for {lacking:.1f} s while the venue answered")

    def _judge_kill(self, symbol: str, cover: Cover) -> None:
        """I15: after a kill a position goes, as soon as the venue answers."""
        if self.now < self._killed_at or not self.reachable(symbol):
            cover.killed_since = inf
        elif cover.killed_since == inf:
            cover.killed_since = self.now
        elif self.now - cover.killed_since > FLAT_S:
            cover.killed_since = inf
            self.accuse("I15", f"{symbol}: still open {FLAT_S:.0f} s after a kill while the venue answered")

    def _ends_lacking(self, symbol: str, cover: Cover) -> None:
        if cover.lacks:
            lacking = self.now - cover.lacks[0][0]
            cover.longest = max(cover.longest, lacking)
            cover.lacks = []
            if lacking > _NOTED_S:
                self.world.trace.add(self.now, "lack", f"{symbol} had no stop for {lacking:.2f} s")
        cover.told = False

    def _flat(self, symbol: str, cover: Cover) -> None:
        now = self.now
        if cover.held:
            self._ends_lacking(symbol, cover)
            self.unprotected.append(cover.longest)
            self._covers[symbol] = cover = Cover(flat_since=now)
        if not self.reachable(symbol):
            cover.flat_since = now
        elif now - cover.flat_since > ORPHAN_S and not cover.told:
            left = self.own_exits(symbol)
            if left:
                cover.told = True
                self.accuse("I8", f"{symbol}: {', '.join(left)} rest {now - cover.flat_since:.0f} s after flat")

    def own_exits(self, symbol: str) -> list[str]:
        """Client ids of own exits that rest in either book."""
        account = self.world.account
        texts = [o.client_id for o in account.orders.values() if o.symbol == symbol]
        texts += [a.client_id for a in account.algos.values() if a.symbol == symbol]
        found = ((text, parse_client_id(text)) for text in texts)
        return [text for text, cid in found if cid is not None and cid.leg is not Leg.ENTRY]

    def finish(self) -> None:
        """A minute after the last fault everything must be as if there had been none."""
        for symbol, cover in self._covers.items():
            if cover.held:
                self.unprotected.append(cover.longest)
            if not self.world.covered(symbol):
                self.accuse("I1", f"{symbol}: without a stop a minute after the last fault")
        for invariant, words in at_the_end(self.world):
            self.accuse(invariant, words)

    def flattened(self) -> None:
        """After "flatten all" in calm: nothing is open, nothing of ours rests, the trades tell where the money went."""
        for symbol in self._covers:
            if self._lots(symbol):
                self.accuse("I15", f"{symbol}: still open {FLAT_S:.0f} s after flattening all")
        for invariant, words in when_flat(self.world):
            self.accuse(invariant, words)


def _lacking(lacks: list[tuple[float, int]], stopped: int, lots: int, now: float) -> list[tuple[float, int]]:
    """``lacks`` as they are now that stops cover ``stopped`` of ``lots``."""
    kept = [(since, min(upto, lots)) for since, upto in lacks if upto > stopped]
    if not kept or kept[-1][1] < lots:
        kept.append((now, lots))
    return kept
