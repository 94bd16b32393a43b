"""The outbox: carries the engine's approved commands to the venue, journalled first, and brings every ending back."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Iterable
from typing import Protocol

from tui_trader.core.commands import Approval, CancelOrder, PlaceOrder, QueryOrder, SetLeverage
from tui_trader.core.events import Notice, SendAction, SendOutcome, SendResult, WorkerFailed
from tui_trader.core.types import Severity
from tui_trader.errors import (
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    StoreError,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from tui_trader.runtime.supervise import describe
from tui_trader.venues.base import Sink, Venue

Sendable = PlaceOrder | CancelOrder | QueryOrder | SetLeverage

_IDS_KEPT = 20_000


class Journal(Protocol):
    """The part of the store that the outbox needs."""

    async def intent(self, order: PlaceOrder | CancelOrder) -> None:
        """Return when the intent is durable; raises ``StoreError``."""
        ...


class _Job:
    """One command on its way. ``sent`` is set once bytes may have left; ``withdrawn`` keeps an unsent entry here."""

    __slots__ = ("command", "sent", "task", "withdrawn")

    def __init__(self, command: Sendable) -> None:
        self.command = command
        self.sent = False
        self.withdrawn = ""
        self.task: asyncio.Task[None] | None = None


class Outbox:
    """Sends commands concurrently; those of one client id, and an entry after its leverage, one after the other. Only a
    query does not wait for the answer to what it asks about.

    Exits of a batch leave before its entries. Nothing is ever placed twice by itself. ``sink`` receives one event for
    every command: a ``SendOutcome``, or the ``OrderUpdate`` that a query brought.
    """

    def __init__(
        self,
        venue: Venue,
        journal: Journal,
        sink: Sink,
        *,
        venue_timeout_s: float = 5.0,
        journal_timeout_s: float = 2.0,
        entries_at_once: int = 4,
    ) -> None:
        self._venue = venue
        self._journal = journal
        self._sink = sink
        self._venue_timeout = venue_timeout_s
        self._journal_timeout = journal_timeout_s
        self._entries = asyncio.Semaphore(entries_at_once)
        self._jobs: set[_Job] = set()
        self._last_of: dict[str, _Job] = {}
        self._leverage_of: dict[str, _Job] = {}
        self._leverage_failed: dict[str, str] = {}
        self._unsent_exits = 0
        self._exits_away = asyncio.Event()
        self._exits_away.set()
        self._placed: OrderedDict[str, None] = OrderedDict()
        self._approved: OrderedDict[int, str] = OrderedDict()
        self._no_entries = ""

    def submit(self, commands: Iterable[Sendable]) -> None:
        """Start sending ``commands`` (of one engine call). Never blocks, never raises.

        A place without the gate's approval, above its quantity, or with a used client id is not sent: it comes back
        refused, and ``WorkerFailed`` halts entries, because such a command can only come from a defect.
        """
        for command in _by_urgency(commands):
            fault = self._fault(command) if isinstance(command, PlaceOrder) else ""
            if fault:
                self._refuse_defect(command, fault)
                continue
            self._launch(command)

    @property
    def pending(self) -> int:
        """How many commands have not ended yet."""
        return len(self._jobs)

    def stop_entries(self, reason: str) -> None:
        """From now on no entry leaves, also none that is already waiting here."""
        self._no_entries = reason

    async def aclose(self, timeout_s: float) -> None:
        """Wait for what is under way; what has not ended after ``timeout_s`` is abandoned as unknown."""
        self.stop_entries("the session is stopping")
        tasks = [job.task for job in self._jobs if job.task is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _fault(self, order: PlaceOrder) -> str:
        approval: object = order.approval
        if not isinstance(approval, Approval):
            return "it carries no approval of the gate"
        if not order.qty.is_finite() or order.qty <= 0:
            return f"its quantity {order.qty} is not positive"
        if order.qty > approval.max_qty:
            return f"its quantity {order.qty} exceeds the approved {approval.max_qty}"
        if approval.exit and not order.reduce_only:
            return "it is approved as an exit but not reduce-only, so it could open a position"
        if order.client_id in self._placed and not order.resend:
            return f"its client id {order.client_id} was already used"
        if self._approved.get(approval.sequence, order.client_id) != order.client_id:
            return f"its approval {approval.sequence} was already used for {self._approved[approval.sequence]}"
        self._remember(order)
        return ""

    def _remember(self, order: PlaceOrder) -> None:
        self._placed[order.client_id] = None
        self._approved[order.approval.sequence] = order.client_id
        while len(self._placed) > _IDS_KEPT:
            self._placed.popitem(last=False)
        while len(self._approved) > _IDS_KEPT:
            self._approved.popitem(last=False)

    def _refuse_defect(self, command: Sendable, fault: str) -> None:
        text = f"order not sent: {fault}"
        self._end(command, SendResult.REJECTED, reason=text)
        name = command.client_id if not isinstance(command, SetLeverage) else command.symbol
        self._sink(WorkerFailed(ts=self._now(), worker="outbox", reason=f"{name}: {text}"))

    def _launch(self, command: Sendable) -> None:
        job = _Job(command)
        before = self._predecessors(job)
        exit_order = isinstance(command, PlaceOrder) and command.approval.exit
        if exit_order:
            self._unsent_exits += 1
            self._exits_away.clear()
        self._jobs.add(job)
        job.task = asyncio.get_running_loop().create_task(self._run(job, before), name=f"send {_key(command)}")
        job.task.add_done_callback(lambda task: self._done(job, task))

    def _predecessors(self, job: _Job) -> list[_Job]:
        """The jobs that must end before ``job`` may leave; registers it for its successors."""
        command = job.command
        before: list[_Job] = []
        if isinstance(command, SetLeverage):
            earlier = self._leverage_of.get(command.symbol)
            self._leverage_of[command.symbol] = job
            return [earlier] if earlier is not None else before
        earlier = self._last_of.get(command.client_id)
        if earlier is not None:
            before.append(earlier)
            if isinstance(command, CancelOrder) and _is_entry(earlier.command) and not earlier.sent:
                earlier.withdrawn = "cancelled before it was sent"
            if isinstance(command, QueryOrder) and earlier.sent:
                # The answer to what was sent may never come; the venue is asked about it meanwhile.
                return []
        self._last_of[command.client_id] = job
        if _is_entry(command) and command.symbol in self._leverage_of:
            before.append(self._leverage_of[command.symbol])
        return before

    def _done(self, job: _Job, task: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        command = job.command
        self._mark_sent(job)
        if isinstance(command, SetLeverage):
            if self._leverage_of.get(command.symbol) is job:
                del self._leverage_of[command.symbol]
        elif self._last_of.get(command.client_id) is job:
            del self._last_of[command.client_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._sink(WorkerFailed(ts=self._now(), worker="outbox", reason=f"{_key(command)}: {describe(error)}"))

    async def _run(self, job: _Job, before: list[_Job]) -> None:
        command = job.command
        try:
            await _ended(before)
            if isinstance(command, PlaceOrder) and not command.approval.exit:
                async with self._entries:
                    await self._send_journalled(job, command)
            elif isinstance(command, PlaceOrder | CancelOrder):
                await self._send_journalled(job, command)
            else:
                await self._send(job)
        except asyncio.CancelledError:
            if job.sent:
                self._end(command, SendResult.UNKNOWN, reason="abandoned while stopping")
            else:
                self._end_unsent(command, "the session is stopping")
            raise

    async def _send_journalled(self, job: _Job, command: PlaceOrder | CancelOrder) -> None:
        if self._kept_here(job):
            return
        failure = await self._journalled(command)
        if failure and _is_entry(command):
            self._end_unsent(command, failure, action=SendAction.JOURNAL)
            return
        if failure:
            text = f"the store failed ({failure}); {_key(command)} of {command.symbol} is sent without its journal row"
            self._sink(Notice(ts=self._now(), severity=Severity.ALARM, text=text))
        if _is_entry(command):
            await self._exits_away.wait()
            if self._kept_here(job):
                return
        await self._send(job)

    async def _journalled(self, command: PlaceOrder | CancelOrder) -> str:
        """Make the intent durable; returns "" or why it could not be.

        The time allowed is short: a stop that waits for a stalled disk is a naked position.
        """
        try:
            async with asyncio.timeout(self._journal_timeout):
                await self._journal.intent(command)
        except TimeoutError:
            return f"the store took longer than {self._journal_timeout:g} s"
        except StoreError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - any failure here means: not durable; entries stay, exits go
            return describe(error)
        return ""

    def _kept_here(self, job: _Job) -> bool:
        """End an entry that must not leave any more; True when it was ended."""
        command = job.command
        if not isinstance(command, PlaceOrder) or command.approval.exit:
            return False
        reason = job.withdrawn or self._no_entries or self._leverage_failed.get(command.symbol, "")
        if reason:
            self._end_unsent(command, reason)
        return bool(reason)

    def _end_unsent(self, command: Sendable, reason: str, action: SendAction | None = None) -> None:
        """End a command that did not leave. An earlier send of a resent order may have had its effect: unknown."""
        resent = isinstance(command, PlaceOrder) and command.resend
        result = SendResult.UNKNOWN if resent else SendResult.REJECTED
        self._end(command, result, action=action, reason=f"not sent: {reason}")

    async def _send(self, job: _Job) -> None:
        command = job.command
        job_call = self._call(command)
        self._mark_sent(job)
        job.sent = True
        try:
            async with asyncio.timeout(self._venue_timeout):
                answer = await job_call
        except VenueError as error:
            self._end_by_error(command, error)
        except TimeoutError:
            self._end(command, SendResult.UNKNOWN, reason=f"no answer within {self._venue_timeout:g} s")
        except Exception as error:
            # Whatever broke, the venue may have acted: unknown, and reported by the task's end.
            self._end(command, SendResult.UNKNOWN, reason=describe(error))
            raise
        else:
            self._end_well(command, answer)

    def _call(self, command: Sendable) -> Coroutine[object, object, object]:
        if isinstance(command, PlaceOrder):
            return self._venue.place(command)
        if isinstance(command, CancelOrder):
            return self._venue.cancel(command)
        if isinstance(command, QueryOrder):
            return self._venue.query(command)
        return self._venue.set_leverage(command.symbol, command.leverage)

    def _mark_sent(self, job: _Job) -> None:
        if job.sent or not (isinstance(job.command, PlaceOrder) and job.command.approval.exit):
            return
        job.sent = True
        self._unsent_exits -= 1
        if self._unsent_exits == 0:
            self._exits_away.set()

    def _end_well(self, command: Sendable, answer: object) -> None:
        if isinstance(command, QueryOrder):
            self._sink(answer)  # type: ignore[arg-type]  # a query answers with an OrderUpdate, see _call
            return
        if isinstance(command, SetLeverage):
            self._leverage_failed.pop(command.symbol, None)
        venue_id = answer if isinstance(answer, str) else ""
        self._end(command, SendResult.ACCEPTED, venue_id=venue_id)

    def _end_by_error(self, command: Sendable, error: VenueError) -> None:
        retry_at = 0
        if error.retry_after_ms > 0:
            retry_at = self._now() + int(error.retry_after_ms * self._venue.clock.rate)
        self._end(command, _result_of(command, error), code=error.code, reason=str(error), retry_at=retry_at)

    def _end(
        self,
        command: Sendable,
        result: SendResult,
        *,
        action: SendAction | None = None,
        venue_id: str = "",
        code: int = 0,
        reason: str = "",
        retry_at: int = 0,
    ) -> None:
        if isinstance(command, SetLeverage) and result is not SendResult.ACCEPTED:
            self._leverage_failed[command.symbol] = f"the venue's leverage of {command.symbol} was not set ({reason})"
        outcome = SendOutcome(
            ts=self._now(),
            action=action or _action(command),
            result=result,
            symbol=command.symbol,
            client_id="" if isinstance(command, SetLeverage) else command.client_id,
            venue_id=venue_id,
            code=code,
            reason=reason,
            retry_at=retry_at,
        )
        self._sink(outcome)

    def _now(self) -> int:
        return self._venue.clock.now_ms()


async def _ended(jobs: Iterable[_Job]) -> None:
    tasks = [job.task for job in jobs if job.task is not None]
    if tasks:
        await asyncio.wait(tasks)


def _result_of(command: Sendable, error: VenueError) -> SendResult:
    """What a venue's error says about the command's effect."""
    if isinstance(error, OutcomeUnknown):
        return SendResult.UNKNOWN
    if isinstance(error, OrderNotFound):
        return SendResult.UNKNOWN if isinstance(command, PlaceOrder) else SendResult.NOT_FOUND
    if isinstance(error, VenueUnreachable):
        return SendResult.UNKNOWN if isinstance(command, QueryOrder) else SendResult.REJECTED
    if isinstance(error, VenueRefused | RateLimited):
        return SendResult.REJECTED
    return SendResult.UNKNOWN


def _is_entry(command: Sendable) -> bool:
    return isinstance(command, PlaceOrder) and not command.approval.exit


def _action(command: Sendable) -> SendAction:
    if isinstance(command, PlaceOrder):
        return SendAction.PLACE
    if isinstance(command, CancelOrder):
        return SendAction.CANCEL
    if isinstance(command, QueryOrder):
        return SendAction.QUERY
    return SendAction.LEVERAGE


def _by_urgency(commands: Iterable[Sendable]) -> list[Sendable]:
    """Exits and cancels, then queries, then leverage, then entries; what follows a place of its own id stays behind."""
    listed = list(commands)
    placed = {c.client_id: _urgency(c) for c in listed if isinstance(c, PlaceOrder)}

    def rank(command: Sendable) -> int:
        own = _urgency(command)
        return own if isinstance(command, SetLeverage) else max(own, placed.get(command.client_id, own))

    return sorted(listed, key=rank)


def _urgency(command: Sendable) -> int:
    if isinstance(command, PlaceOrder):
        return 0 if isinstance(command.approval, Approval) and command.approval.exit else 3
    if isinstance(command, CancelOrder):
        return 0
    return 2 if isinstance(command, SetLeverage) else 1


def _key(command: Sendable) -> str:
    return f"{_action(command)} {command.symbol if isinstance(command, SetLeverage) else command.client_id}"
