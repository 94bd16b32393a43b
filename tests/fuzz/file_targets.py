"""What is read from disks and typed by people: config files, the store on recovery, the emergency log, recordings,
requests to the simulated exchange, numbers in fields."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import msgspec

from tests.core.test_executor import opened
from tests.desk import KEY, SECRET, START_MS, Desk
from tests.fuzz import rules
from tests.fuzz import seeds as good
from tests.fuzz.mutate import Seed
from tests.fuzz.targets import Plain
from tui_trader import config
from tui_trader.core import commands as cmd
from tui_trader.core import events as ev
from tui_trader.core.engine import Engine
from tui_trader.core.state import Recovered
from tui_trader.core.types import Channel, Leg, Side
from tui_trader.errors import ConfigError, StoreError
from tui_trader.exchange.fault_spec import FaultSpecError, load_faults
from tui_trader.exchange.faults import Faults
from tui_trader.exchange.rest import Request
from tui_trader.store import recover
from tui_trader.store.emergency import EmergencyLog
from tui_trader.store.journal import intent_rows
from tui_trader.store.schema import migrate, read_tables, split, statement
from tui_trader.ui.numbers import decimal_of
from tui_trader.venues.replay_book import replay_book

BTC = "BTCUSDT"


class ConfigFile(Plain):
    """The config file: any bytes give settings or a ``ConfigError`` in clean words."""

    name = "config"

    def __init__(self, folder: Path) -> None:
        text = config.packaged_config().read_text(encoding="utf-8")
        parts = [part for part in text.split("\n\n") if "=" in part]
        self.seeds = good.seeds([*parts, "[sizing]\nbase_risk_frac = 0.02\n", 'preset = "aggressive"\n'])
        self._path = folder / "config.toml"

    def feed(self, raw: bytes) -> None:
        """One file."""
        self._path.write_bytes(raw)
        try:
            config.load(self._path, environ={})
        except ConfigError as error:
            rules.check_typed(str(error))


class Emergency(Plain):
    """The emergency log: torn and damaged lines are kept as misplaced rows, never raised."""

    name = "emergency"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "emergency.jsonl"
        log = EmergencyLog(self._path)
        log.reserve()
        for order in (c for c in opened().sent if isinstance(c, cmd.PlaceOrder)):
            for row in intent_rows(order, lambda failure: None):
                log.append(row.kind, row.data)
        content = self._path.read_bytes().strip(b"\n")
        self.seeds = good.seeds([content, *content.split(b"\n")])
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
            migrate(db)
            self._table = read_tables(db)["orders"]

    def feed(self, raw: bytes) -> None:
        """One file; each row must be one that the writer can take."""
        self._path.write_bytes(raw)
        for kind, data in EmergencyLog(self._path).rows():
            if not isinstance(kind, str):
                raise rules.BrokenRuleError(f"a row of kind {kind!r}")
            split(self._table, data)


@cache
def _rows() -> tuple[tuple[str, dict[str, object]], ...]:
    """What the store holds of a session with an ended and an open position."""
    desk = opened()
    desk.process(ev.FlattenAll(ts=desk.now))
    desk.run(3_000)
    desk.process(ev.PauseEntries(ts=desk.now, paused=False))
    desk.run(1_000_000)
    desk.process(ev.OpenPosition(ts=desk.now, symbol=BTC, side=Side.LONG, qty=Decimal("0.040"), override_soft=True))
    desk.run(3_000)
    found: list[tuple[str, dict[str, object]]] = []
    for order in (c for c in desk.sent if isinstance(c, cmd.PlaceOrder)):
        found += [(row.kind, row.data) for row in intent_rows(order, lambda failure: None)]
    found += [(record.kind, record.data) for record in desk.records if record.kind != "candles"]
    found.append(("state", {"key": "tiers", "value": {"XYZ": START_MS}}))
    return tuple(found)


CELLS = (
    ("plans", "body"), ("orders", "qty"), ("orders", "filled_qty"), ("orders", "status"), ("orders", "leg"),
    ("orders", "plan_id"), ("orders", "client_id"), ("orders", "trigger_price"), ("orders", "side"), ("orders", "type"),
    ("orders", "symbol"), ("orders", "venue_id"), ("orders", "avg_price"), ("state", "value"), ("equity", "equity"),
    ("equity", "ts"), ("fills", "venue_ts"), ("fills", "trade_id"), ("trades", "pnl"), ("trades", "closed_ms"),
    ("trades", "side"), ("trades", "entry"), ("trades", "qty"), ("plans", "symbol"), ("plans", "plan_id"),
    ("plans", "closed_ms"), ("meta", "value"),
)  # fmt: skip


class Store(Plain):
    """One cell of the store damaged: recovery reads what it can, and the engine that starts from it protects."""

    name = "store"
    measured = False

    def __init__(self, folder: Path) -> None:
        self._path = folder / "store.db"
        self._db = sqlite3.connect(self._path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        migrate(self._db)
        tables = read_tables(self._db)
        for kind, data in _rows():
            columns, values = split(tables[kind], data)
            self._db.execute(statement(tables[kind], tuple(columns)), values)
        self._cells = [
            (table, column, rowid, value)
            for table, column in CELLS
            for rowid, value in self._db.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL")
        ]
        self.seeds = [
            Seed.of(f"{index}|{value}".encode()) for index, (_, _, _, value) in enumerate(self._cells)
        ]  # fmt: skip
        bodies = [seed for seed in self.seeds if b'"plan_id"' in seed.raw]
        self.seeds += bodies * 20
        self._instruments = tuple(opened().engine.state.instruments.values())

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def feed(self, raw: bytes) -> None:
        """Write, start, look, restore."""
        index, _, text = raw.partition(b"|")
        number = int(index) if index.isdigit() and len(index) < 6 else 0
        table, column, rowid, value = self._cells[number % len(self._cells)]
        try:
            damaged: object = text.decode()
        except UnicodeDecodeError:
            damaged = text
        change = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
        try:
            self._db.execute(change, (damaged, rowid))
        except (sqlite3.IntegrityError, sqlite3.DataError):
            return
        moved = rowid
        if column == "plan_id" and table == "plans":
            moved = self._db.execute("SELECT rowid FROM plans WHERE plan_id = ?", (damaged,)).fetchone()[0]
        try:
            found = recover.recovered(self._path)
        except StoreError:
            found = Recovered()
        finally:
            self._db.execute(change, (value, moved))
        self.start(found)

    def start(self, recovered: Recovered) -> None:
        """A session on what was recovered, at a venue that holds 0.040 BTC long and no order."""
        engine = Engine(config.default_settings(), {}, mode="demo", venue="binance", epoch="fuzz", recovered=recovered)
        now = START_MS + 2_000_000
        mark = ev.MarkPrice(ts=now, symbol=BTC, mark=43_500.0, index=43_500.0, funding_rate=0.0, next_funding_ms=now)
        held = ev.VenuePosition(symbol=BTC, qty=Decimal("0.040"), entry_price=Decimal(43_500))
        snapshot = ev.AccountSnapshot(ts=now, asked_at=now, positions=(held,), orders=(), wallet=Decimal(10_000))
        steps: list[ev.Event] = [
            ev.InstrumentsLoaded(ts=now, instruments=self._instruments),
            *(ev.LinkUp(ts=now, channel=channel) for channel in Channel),
            mark,
            snapshot,
            *(ev.Timer(ts=now + step * 500) for step in range(1, 30)),
        ]
        commands = [command for event in steps for command in engine.process(event)]
        engine.view(now, BTC, "1m")
        judge_start(commands)


def judge_start(commands: list[cmd.Command]) -> None:
    """A start opens nothing, and protects or closes what is held. Raises ``BrokenRuleError``."""
    placed = [c for c in commands if isinstance(c, cmd.PlaceOrder)]
    if any(c.leg is Leg.ENTRY or not c.reduce_only for c in placed):
        raise rules.BrokenRuleError("a start placed an entry")
    for order in placed:
        for number in (order.qty, order.price, order.trigger_price):
            if not number.is_finite() or number < 0:
                raise rules.BrokenRuleError(f"an order with {number}")
    guards = [c for c in placed if c.symbol == BTC and c.leg in (Leg.STOP, Leg.CLOSE) and c.qty == Decimal("0.040")]
    if not guards:
        raise rules.BrokenRuleError("0.040 is held, and neither a stop nor a close was sent")


class RecordingFile(Plain):
    """A recording as a file, packed or plain, cut anywhere."""

    name = "recording"

    def __init__(self, folder: Path) -> None:
        lines = [b"1721347061447000000 " + line for line in good.recorded()[:60]]
        plain = b"\n".join(lines) + b"\n"
        self.seeds = good.seeds([plain, gzip.compress(plain)])
        self._path = folder / "recording.gz"

    def feed(self, raw: bytes) -> None:
        """One file."""
        self._path.write_bytes(raw)
        replay_book(self._path)


class ExchangeRequests(Plain):
    """Requests to the simulated exchange: signed and unsigned, with damaged parameters and paths."""

    name = "exchange"

    def __init__(self) -> None:
        self._desk: Desk = opened()
        order = "POST /fapi/v1/order?symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.010&price=43000&timeInForce=GTC"
        lines = [f"GET {path}?{urlencode(fields)}" for path, fields, _ in good.READS]
        lines += [
            order,
            f"{order}&newClientOrderId=x-1&reduceOnly=true&newOrderRespType=RESULT",
            "POST /fapi/v1/algoOrder?symbol=BTCUSDT&side=SELL&type=STOP_MARKET&quantity=0.010&triggerPrice=42000"
            "&algoType=CONDITIONAL&workingType=MARK_PRICE&reduceOnly=true&clientAlgoId=x-2",
            "DELETE /fapi/v1/order?symbol=BTCUSDT&origClientOrderId=x-1",
            "DELETE /fapi/v1/algoOrder?clientAlgoId=x-2",
            "PUT /fapi/v1/order?symbol=BTCUSDT&orderId=1&side=BUY&quantity=0.02&price=43100",
            "DELETE /fapi/v1/allOpenOrders?symbol=BTCUSDT",
            "POST /fapi/v1/leverage?symbol=BTCUSDT&leverage=20",
            "POST /fapi/v1/marginType?symbol=BTCUSDT&marginType=CROSSED",
            "POST /fapi/v1/batchOrders?batchOrders=" + json.dumps([{"symbol": "BTCUSDT", "side": "BUY"}]),
            "POST /fapi/v1/countdownCancelAll?symbol=BTCUSDT&countdownTime=1000",
            "POST /fapi/v1/positionSide/dual?dualSidePosition=true",
            "POST /fapi/v1/listenKey?",
        ]
        self.seeds = good.seeds(lines)

    def feed(self, raw: bytes) -> None:
        """One request, signed anew where its parameters can be read; the answer is JSON with a status."""
        line = raw.decode("utf-8", "replace")
        method, _, rest = line.partition(" ")
        path, _, query = rest.partition("?")
        if len(raw) % 8:
            fields = dict(parse_qsl(query, keep_blank_values=True)) | {"timestamp": str(self._desk.now)}
            query = signed(fields)
        request = Request(method, path, query=query, headers={"x-mbx-apikey": KEY if len(raw) % 5 else line[:40]})
        reply = self._desk.api.handle(request)
        if not 200 <= reply.status < 600:
            raise rules.BrokenRuleError(f"HTTP {reply.status}")
        msgspec.json.decode(reply.body)


def signed(fields: dict[str, str]) -> str:
    """A query string with its signature."""
    import hashlib
    import hmac

    query = urlencode(fields, errors="replace")
    return f"{query}&signature=" + hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()


class FaultFile(Plain):
    """The exchange's own fault file, TOML or JSON: rules that can be meant, or words; what is accepted can be used."""

    name = "faults"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        rules_ = [
            {"kind": "delay", "rate": 0.5, "ms": 250, "path": "POST *"},
            {"kind": "http", "rate": 1.0, "status": 503, "code": -1007, "text": "Timeout", "count": 3},
            {"kind": "rate_limited", "rate": 0.1, "retry_after_s": 5, "after_ms": 1000, "for_ms": 60000},
            {"kind": "trade_elsewhere", "rate": 2.0, "symbol": "BTCUSDT", "side": "SELL", "qty": "0.010"},
            {"kind": "mangle", "rate": 0.2, "path": "*@depth*"},
        ]
        tables = "\n".join(
            "[[rule]]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in row.items()) for row in rules_
        )
        self.seeds = good.seeds(
            [tables, 'presets = ["mild"]\n' + tables, json.dumps(rules_), json.dumps({"rule": rules_[:2]})]
        )
        load_faults(self._written(self.seeds[0].raw))

    def _written(self, raw: bytes) -> str:
        path = self._folder / ("faults.json" if raw[:1] in (b"[", b"{") and raw[:2] != b"[[" else "faults.toml")
        path.write_bytes(raw)
        return str(path)

    def feed(self, raw: bytes) -> None:
        """One file; what it says strikes a request, a frame and the world."""
        try:
            found = load_faults(self._written(raw))
        except FaultSpecError as error:
            rules.check_typed(str(error))
            return
        faults = Faults(7, found)
        for now_ms in (0, 500, 5_000):
            faults.request(Request("POST", "/fapi/v1/order"), now_ms)
            faults.frame("public", "btcusdt@depth@100ms", "{}", now_ms)
            faults.acts(now_ms, 0.1)


class Numbers(Plain):
    """Numbers that a person types into a ticket."""

    name = "numbers"

    def __init__(self) -> None:
        self.seeds = good.seeds(["43500.5", "0.040", "10000", ".5", "1"])

    def feed(self, raw: bytes) -> None:
        """A positive finite decimal, or words."""
        found = decimal_of(raw.decode("utf-8", "replace"))
        if isinstance(found, Decimal):
            if not (found.is_finite() and 0 < found < Decimal(10) ** 16):
                raise rules.BrokenRuleError(f"the number {found}")
        else:
            rules.check_typed(found)
