"""Price-time priority book of one symbol, in whole ticks and lots.

A price level holds anonymous liquidity (the market maker's, given as an absolute quantity) and participants' orders in
arrival order. Each participant's order remembers how much anonymous quantity stands ahead of it; anonymous additions
join the back, anonymous cancellations are taken from the back first, so a queue position never improves for free.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Protocol

from tui_trader.exchange.orders import Order


class MatchListener(Protocol):
    """Receives what happens inside `OrderBook.execute`, at the moment it happens."""

    def fillable(self, order: Order) -> int:
        """Return how many lots of a resting order may trade now (its position cap when reduce-only)."""
        ...

    def on_match(self, maker: Order | None, price: int, lots: int) -> None:
        """A trade of `lots` at `price` ticks against `maker`, or against anonymous liquidity when None."""
        ...

    def on_expired(self, maker: Order) -> None:
        """A resting order left the book unfilled: self-trade prevention, or nothing left to reduce."""
        ...


class Queued:
    """A participant's order in a level's queue with the anonymous lots that stand ahead of it."""

    __slots__ = ("ahead", "order")

    def __init__(self, order: Order, ahead: int) -> None:
        self.order = order
        self.ahead = ahead


class BookSide:
    """One side; `sign` is 1 for bids and -1 for asks, so the best level always has the greatest key."""

    __slots__ = ("anonymous", "keys", "own", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.anonymous: dict[int, int] = {}
        self.own: dict[int, list[Queued]] = {}

    def best(self) -> int | None:
        """Return the best price in ticks, or None when the side is empty."""
        return self.sign * self.keys[-1] if self.keys else None

    def quantity(self, price: int) -> int:
        """Return all lots resting at `price`."""
        lots = self.anonymous.get(price, 0)
        queue = self.own.get(price)
        if queue:
            lots += sum(entry.order.remaining for entry in queue)
        return lots

    def levels(self, limit: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield (price, lots) from the best price outwards."""
        keys = self.keys
        count = len(keys) if limit is None else min(limit, len(keys))
        for index in range(1, count + 1):
            price = self.sign * keys[-index]
            yield price, self.quantity(price)

    def add_key(self, price: int) -> None:
        """Make `price` a level unless it is one."""
        if price not in self.anonymous and price not in self.own:
            insort(self.keys, self.sign * price)

    def drop_key(self, price: int) -> None:
        """Forget `price` when nothing rests there any more."""
        if price not in self.anonymous and price not in self.own:
            del self.keys[bisect_left(self.keys, self.sign * price)]


class OrderBook:
    """Both sides of one symbol and the update ids that the depth streams are built from."""

    __slots__ = ("asks", "bids", "dirty", "eaten", "update_id")

    def __init__(self, first_update_id: int = 1) -> None:
        self.bids = BookSide(1)
        self.asks = BookSide(-1)
        self.update_id = first_update_id
        self.dirty: set[tuple[bool, int]] = set()
        """(is_bid, price) of the levels changed since `take_dirty`."""
        self.eaten: set[tuple[bool, int]] = set()
        """(is_bid, price) of the levels that are not as the maker quoted them last, because of trades."""

    def side(self, is_bid: bool) -> BookSide:
        """Return the bids or the asks."""
        return self.bids if is_bid else self.asks

    def take_dirty(self) -> set[tuple[bool, int]]:
        """Return and forget the changed levels."""
        dirty = self.dirty
        self.dirty = set()
        return dirty

    def _touch(self, is_bid: bool, price: int) -> None:
        self.update_id += 1
        self.dirty.add((is_bid, price))

    def set_anonymous(self, is_bid: bool, price: int, lots: int) -> None:
        """Set the anonymous quantity of a level; 0 removes it. Does not match: see `apply_levels`."""
        side = self.bids if is_bid else self.asks
        current = side.anonymous.get(price, 0)
        if lots == current:
            return
        if lots:
            if not current:
                side.add_key(price)
            side.anonymous[price] = lots
        else:
            del side.anonymous[price]
            side.drop_key(price)
        if lots < current:
            for entry in side.own.get(price, ()):
                entry.ahead = min(entry.ahead, lots)
        self._touch(is_bid, price)

    def apply_levels(self, levels: Iterable[tuple[bool, int, int]], listener: MatchListener) -> None:
        """Apply the maker's absolute quantities: reductions first, then additions.

        An addition that reaches participants' orders on the other side trades with them before it rests, so the book
        never crosses.
        """
        additions: list[tuple[bool, int, int]] = []
        for level in levels:
            is_bid, price, lots = level
            side = self.bids if is_bid else self.asks
            if lots > side.anonymous.get(price, 0):
                additions.append(level)
            else:
                self.set_anonymous(is_bid, price, lots)
        for is_bid, price, lots in additions:
            opposite = (self.asks if is_bid else self.bids).best()
            if opposite is not None and (opposite <= price if is_bid else opposite >= price):
                current = self.side(is_bid).anonymous.get(price, 0)
                lots = current + self.execute(is_bid, lots - current, price, None, listener)
                self.eaten.add((is_bid, price))
            self.set_anonymous(is_bid, price, lots)

    def available(self, is_buy: bool, limit: int | None, enough: int, taker: Order, listener: MatchListener) -> int:
        """Return the lots `taker` could trade at `limit` or better, counting no further than `enough`."""
        side = self.side(not is_buy)
        total = 0
        for key in reversed(side.keys):
            price = side.sign * key
            if total >= enough or (limit is not None and (price > limit if is_buy else price < limit)):
                break
            total += side.anonymous.get(price, 0)
            for entry in side.own.get(price, ()):
                if entry.order.account is not taker.account:
                    total += min(entry.order.remaining, listener.fillable(entry.order))
        return total

    def execute(self, is_buy: bool, lots: int, limit: int | None, taker: Order | None, listener: MatchListener) -> int:
        """Trade up to `lots` at `limit` ticks or better and return what is left.

        A resting order of the taker's own account expires instead of trading (EXPIRE_MAKER).
        """
        side = self.asks if is_buy else self.bids
        while lots > 0 and side.keys:
            price = side.sign * side.keys[-1]
            if limit is not None and (price > limit if is_buy else price < limit):
                break
            queue = side.own.get(price)
            if queue:
                lots = self._trade_queue(side, price, lots, taker, listener)
                continue
            resting = side.anonymous[price]
            traded = min(lots, resting)
            if traded == resting:
                del side.anonymous[price]
                side.keys.pop()
            else:
                side.anonymous[price] = resting - traded
            self._touch(not is_buy, price)
            self.eaten.add((not is_buy, price))
            lots -= traded
            listener.on_match(None, price, traded)
        return lots

    def _trade_queue(self, side: BookSide, price: int, lots: int, taker: Order | None, listener: MatchListener) -> int:
        """Trade with the front of a level that holds participants' orders: one maker, or what stands ahead."""
        queue = side.own[price]
        front = queue[0]
        maker = front.order
        if front.ahead > 0:
            traded = min(lots, front.ahead)
            left = side.anonymous[price] - traded
            if left:
                side.anonymous[price] = left
            else:
                del side.anonymous[price]
            for entry in queue:
                entry.ahead -= traded
            self._touch(side.sign > 0, price)
            self.eaten.add((side.sign > 0, price))
            listener.on_match(None, price, traded)
            return lots - traded
        allowed = 0 if taker is not None and taker.account is maker.account else listener.fillable(maker)
        if allowed <= 0:
            self.remove(maker)
            listener.on_expired(maker)
            return lots
        traded = min(lots, allowed, maker.remaining)
        maker.filled += traded
        maker.notional += traded * price
        if maker.remaining == 0:
            self.remove(maker)
        self._touch(side.sign > 0, price)
        listener.on_match(maker, price, traded)
        return lots - traded

    def rest(self, order: Order) -> None:
        """Queue what remains of `order` at its price, behind everything already there."""
        side = self.side(order.is_buy)
        side.add_key(order.price)
        ahead = side.anonymous.get(order.price, 0)
        side.own.setdefault(order.price, []).append(Queued(order, ahead))
        order.resting = True
        self._touch(order.is_buy, order.price)

    def remove(self, order: Order) -> None:
        """Take a resting order out of its queue."""
        side = self.side(order.is_buy)
        queue = side.own[order.price]
        queue[:] = [entry for entry in queue if entry.order is not order]
        if not queue:
            del side.own[order.price]
            side.drop_key(order.price)
        order.resting = False
        self._touch(order.is_buy, order.price)

    def reduce(self, order: Order, lots: int) -> None:
        """Shrink a resting order's total quantity to `lots`; it keeps its place in the queue."""
        order.lots = lots
        self._touch(order.is_buy, order.price)

    def mid(self) -> float | None:
        """Return the mid price in ticks, or None when a side is empty."""
        bid, ask = self.bids.best(), self.asks.best()
        return None if bid is None or ask is None else (bid + ask) / 2
