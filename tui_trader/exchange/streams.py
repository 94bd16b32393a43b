"""Websocket sessions without sockets: subscriptions, control messages, delivery, the user data stream."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from tui_trader.exchange.accounts import Account
from tui_trader.exchange.candles import Candle
from tui_trader.exchange.engine import ExchangeEngine
from tui_trader.exchange.feeds import PUBLIC, TICK_S, Feed, SymbolFeed, make_feed
from tui_trader.exchange.listen_keys import ListenKeys
from tui_trader.exchange.symbol_state import SymbolState
from tui_trader.exchange.wire import dumps

MAX_STREAMS = 1024
MAX_MESSAGES_PER_S = 10
_ROUTES = frozenset({"public", "market", "private"})


class Connection:
    """One client. `send` hands a text frame to the network; `route` is public, market, private or "" (unrouted)."""

    def __init__(self, send: Callable[[str], None], route: str, combined: bool) -> None:
        self.send = send
        self.route = route
        self.combined = combined
        self.streams: dict[str, None] = {}
        self.events: frozenset[str] | None = None
        """Names of the account events wanted; None wants all."""
        self._received: deque[float] = deque(maxlen=MAX_MESSAGES_PER_S)

    def hears(self, group: str) -> bool:
        """Return whether streams of a group are delivered here: unrouted connections hear public ones only."""
        return group == (self.route or PUBLIC)

    def is_flooding(self, now_s: float) -> bool:
        """Note an incoming message and return whether there were too many within a second."""
        full = len(self._received) == MAX_MESSAGES_PER_S
        flooding = full and now_s - self._received[0] < 1.0
        self._received.append(now_s)
        return flooding


class _Channel:
    """A stream with its feed and listeners."""

    __slots__ = ("connections", "feed", "name")

    def __init__(self, name: str, feed: Feed | None) -> None:
        self.name = name
        self.feed = feed
        self.connections: dict[Connection, None] = {}


class StreamHub:
    """Routes market feeds and account events to connections. Call `pump` about every TICK_S real seconds."""

    def __init__(self, engine: ExchangeEngine, keys: ListenKeys) -> None:
        self.engine = engine
        self.keys = keys
        self._channels: dict[str, _Channel] = {}
        self._by_symbol: dict[str, list[_Channel]] = {}
        engine.on_user_event = self._on_user_event
        engine.on_minute = self._on_minute

    def deliver(self, connection: Connection, stream: str, payload: str) -> None:
        """Hand one payload to a connection: the single way out of the hub."""
        connection.send(f'{{"stream":"{stream}","data":{payload}}}' if connection.combined else payload)

    # Opening and closing

    def open(self, path: str, query: str, send: Callable[[str], None]) -> Connection | None:
        """Return the connection for a websocket address, subscribed as it says; None when it is no stream address."""
        parts = [part for part in path.split("/") if part]
        route = parts.pop(0) if parts and parts[0] in _ROUTES else ""
        if not parts or parts[0] not in {"ws", "stream"}:
            return None
        combined = parts[0] == "stream"
        values = parse_qs(query)
        names = list(parts[1:])
        for group in values.get("streams", []):
            names += [name for name in group.split("/") if name]
        names += values.get("listenKey", [])
        connection = Connection(send, route, combined)
        events = "/".join(values.get("events", []))
        if events:
            connection.events = frozenset(events.replace(",", "/").split("/"))
        if len(names) > MAX_STREAMS:
            return None
        self.subscribe(connection, names)
        return connection

    def close(self, connection: Connection) -> None:
        """Forget a connection."""
        self.unsubscribe(connection, list(connection.streams))

    def subscribe(self, connection: Connection, names: Iterable[str]) -> None:
        """Add streams; unknown ones are accepted and stay silent, as on the venue."""
        for name in names:
            if name in connection.streams:
                continue
            connection.streams[name] = None
            channel = self._channels.get(name)
            if channel is None:
                channel = self._channels[name] = _Channel(name, self._new_feed(name))
                if isinstance(channel.feed, SymbolFeed):
                    self._by_symbol.setdefault(channel.feed.symbol, []).append(channel)
            channel.connections[connection] = None

    def _new_feed(self, name: str) -> Feed | None:
        self._collect()
        return make_feed(self.engine, name)

    def unsubscribe(self, connection: Connection, names: Iterable[str]) -> None:
        """Remove streams."""
        for name in names:
            connection.streams.pop(name, None)
            channel = self._channels.get(name)
            if channel is None:
                continue
            channel.connections.pop(connection, None)
            if not channel.connections:
                del self._channels[name]
                if isinstance(channel.feed, SymbolFeed):
                    self._by_symbol[channel.feed.symbol].remove(channel)

    # Control messages

    def receive(self, connection: Connection, text: str) -> None:
        """Answer one message of a client; anything unreadable is answered with an error."""
        try:
            message = msgspec.json.decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            connection.send(dumps({"error": {"code": 3, "msg": "Invalid JSON: the message cannot be read"}}))
            return
        if not isinstance(message, dict):
            connection.send(_refusal(2, "Invalid request: expected an object", None))
            return
        identity = message.get("id")
        if not isinstance(identity, int | str | None) or isinstance(identity, bool):
            connection.send(_refusal(2, "Invalid request: 'id' must be an integer or a string", None))
            return
        connection.send(self._control(connection, message, identity))

    def _control(self, connection: Connection, message: dict[str, Any], identity: int | str | None) -> str:
        method, params = message.get("method"), message.get("params", [])
        result: object = None
        if method in {"SUBSCRIBE", "UNSUBSCRIBE"}:
            if not isinstance(params, list) or not all(isinstance(name, str) and name for name in params):
                return _refusal(2, "Invalid request: 'params' must be a list of stream names", identity)
            if method == "UNSUBSCRIBE":
                self.unsubscribe(connection, params)
            elif len(connection.streams) + len(params) > MAX_STREAMS:
                return _refusal(2, f"Invalid request: more than {MAX_STREAMS} streams", identity)
            else:
                self.subscribe(connection, params)
        elif method == "LIST_SUBSCRIPTIONS":
            result = list(connection.streams)
        elif method == "SET_PROPERTY":
            if params not in (["combined", True], ["combined", False]):
                return _refusal(2, "Invalid request: unknown property", identity)
            connection.combined = params[1]
        elif method == "GET_PROPERTY":
            result = connection.combined
        else:
            return _refusal(2, "Invalid request: unknown method", identity)
        return dumps({"result": result, "id": identity})

    # Delivery

    def _collect(self) -> None:
        """Hand changed levels and new trades to the feeds of their symbols."""
        for symbol, state in self.engine.states.items():
            rows = list(state.pending)
            state.pending.clear()
            changed = state.book.take_dirty() if state.book.dirty else None
            for channel in self._by_symbol.get(symbol, ()):
                if channel.feed is None:
                    continue
                if changed:
                    channel.feed.collect_levels(changed)
                if rows:
                    channel.feed.collect_trades(rows)

    def pump(self, now_s: float) -> None:
        """Send every frame that is due at `now_s`, a monotonic time in real seconds."""
        self._collect()
        for channel in list(self._channels.values()):
            feed = channel.feed
            if feed is None or now_s < feed.due:
                continue
            late = feed.due + feed.period_s
            feed.due = late if late > now_s else now_s + feed.period_s - TICK_S / 2
            for payload in feed.frames():
                self._publish(channel, payload)
        for key, _ in self.keys.pop_expired():
            self._announce_expiry(key)

    def _publish(self, channel: _Channel, payload: str) -> None:
        group = channel.feed.group if channel.feed else ""
        for connection in list(channel.connections):
            if connection.hears(group):
                self.deliver(connection, channel.name, payload)

    def _on_minute(self, state: SymbolState, closed: list[Candle]) -> None:
        for channel in self._by_symbol.get(state.spec.symbol, ()):
            for minute in closed:
                payload = channel.feed.closed(minute) if channel.feed else None
                if payload is not None:
                    self._publish(channel, payload)

    def _on_user_event(self, account: Account, event: dict[str, object]) -> None:
        payload = ""
        for name, channel in self._channels.items():
            if channel.feed is not None or self.keys.owner(name) is not account:
                continue
            payload = payload or dumps(event)
            for connection in list(channel.connections):
                if connection.events is None or event["e"] in connection.events:
                    self.deliver(connection, name, payload)

    def expire_key(self, key: str) -> None:
        """Let a listen key run out now: its listeners are told, then hear nothing more."""
        self.keys.expire(key)
        self._announce_expiry(key)

    def _announce_expiry(self, key: str) -> None:
        channel = self._channels.get(key)
        if channel is None:
            return
        event = {"e": "listenKeyExpired", "E": str(self.engine.told_ms), "listenKey": key}
        payload = dumps(event)
        for connection in list(channel.connections):
            self.deliver(connection, key, payload)


def _refusal(code: int, message: str, identity: int | str | None) -> str:
    return dumps({"error": {"code": code, "msg": message}, "id": identity})
