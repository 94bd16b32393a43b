"""The admin routes of an exchange that was started with faults: for curl on the same machine, not for trading clients.

curl http://127.0.0.1:PORT/admin/faults                                  what is in force, and how often it struck
curl -d '{"kind":"drop_request","rate":0.2}' …/admin/faults              one rule; a list, or {"preset":"rough"}
curl -X DELETE …/admin/faults[?number=3]                                 lift one rule, or all and heal the venue
curl -d '{"kind":"cancel_elsewhere","text":"stop"}' …/admin/act          something happens now
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

import msgspec

from tui_trader.exchange.fault_spec import FaultSpecError, check_symbols, preset, read_act, read_rule, read_rules
from tui_trader.exchange.fault_wire import FaultWire
from tui_trader.exchange.rest import Reply, Request
from tui_trader.exchange.wire import dumps

PREFIX: Final = "/admin/"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")


def _refused(status: int, text: str) -> Reply:
    return Reply(status, dumps({"error": text}))


class FaultAdmin:
    """Answers the admin routes. Nothing here is part of the venue's protocol."""

    def __init__(self, wire: FaultWire) -> None:
        self._wire = wire
        self._routes: dict[tuple[str, str], Callable[[Request], object]] = {
            ("GET", "/admin/faults"): self._show,
            ("POST", "/admin/faults"): self._add,
            ("DELETE", "/admin/faults"): self._lift,
            ("POST", "/admin/act"): self._act,
        }

    def handle(self, request: Request) -> Reply:
        """Answer one admin request; refuses anything that does not come from this machine, or from a web page."""
        host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        if request.address not in _LOOPBACK or host not in _HOSTS or "origin" in request.headers:
            return _refused(403, "The admin routes answer programs on this machine only.")
        route = self._routes.get((request.method, request.path))
        if route is None:
            return _refused(404, "Use GET, POST or DELETE /admin/faults, or POST /admin/act.")
        try:
            return Reply(200, dumps(route(request)))
        except (FaultSpecError, ValueError, msgspec.MsgspecError, RecursionError) as error:
            return _refused(400, f"{error}")

    def _show(self, request: Request) -> object:
        faults = self._wire.faults
        return {
            "seed": faults.seed,
            "rules": {str(number): msgspec.to_builtins(rule) for number, rule in faults.rules.items()},
            "struck": {kind.value: count for kind, count in sorted(faults.counts.items())},
            "said": list(self._wire.said),
        }

    def _add(self, request: Request) -> object:
        body = msgspec.json.decode(request.body)
        if isinstance(body, dict) and set(body) == {"preset"}:
            rules = preset(body["preset"])
        elif isinstance(body, dict) and "kind" in body:
            rules = (read_rule(body),)
        else:
            rules = read_rules(body, "the request")
        check_symbols(rules, self._wire.engine.states)
        return {"numbers": [self._wire.faults.add(rule) for rule in rules]}

    def _lift(self, request: Request) -> object:
        (number,) = parse_qs(request.query).get("number", [""])[:1]
        if not number:
            self._wire.heal()
            return {"rules": {}}
        if not number.isdigit() or int(number) not in self._wire.faults.rules:
            raise FaultSpecError(f"there is no rule {number}; GET /admin/faults lists them")
        self._wire.faults.remove(int(number))
        return {"removed": int(number)}

    def _act(self, request: Request) -> object:
        return {"said": self._wire.act(read_act(msgspec.json.decode(request.body)))}
