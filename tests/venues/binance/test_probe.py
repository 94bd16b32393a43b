"""The canary: each order type of an exit is asked for, nothing is placed, and only a malformed request is a change."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from tests.venues.faults import error, world
from tui_trader.errors import VenueError
from tui_trader.exchange.rest import Request

TEST_PATH = "/fapi/v1/order/test"


async def test_an_honest_venue_takes_everything_and_nothing_is_placed() -> None:
    async with world() as here:
        assert await here.venue.probe() == ()
        asked = [parse_qs(r.query or r.body) for r in here.requests if r.path == TEST_PATH]
        assert [q["type"] for q in asked] == [["MARKET"], ["LIMIT"]]
        assert all(q["reduceOnly"] == ["true"] for q in asked)
        assert {r.path for r in here.requests if r.method == "POST" and "rder" in r.path} == {TEST_PATH}
        account = here.exchange.account
        assert (account.open_orders(), account.open_algos()) == ([], [])


@pytest.mark.parametrize("code", [-1106, -1116, -1128, -4120])
async def test_a_type_that_is_not_understood_is_named(code: int) -> None:
    async with world() as here:

        def bend(request: Request) -> object:
            limit = request.path == TEST_PATH and "type=LIMIT" in (request.query + str(request.body))
            return error(400, code, "changed") if limit else None

        here.bend = bend
        (problem,) = await here.venue.probe()
        assert "LIMIT" in problem
        assert str(code) in problem


@pytest.mark.parametrize("code", [-2022, -4118, -2019, -4131])
async def test_a_refusal_of_the_order_itself_shows_that_it_was_understood(code: int) -> None:
    async with world() as here:
        here.bend = lambda request: error(400, code) if request.path == TEST_PATH else None
        assert await here.venue.probe() == ()


async def test_a_venue_that_cannot_be_asked_proves_nothing() -> None:
    async with world() as here:
        here.bend = lambda request: error(503, 0) if request.path == TEST_PATH else None
        with pytest.raises(VenueError):
            await here.venue.probe()
