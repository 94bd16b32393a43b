"""Trained sets in whole sessions: told while one runs, there at the next start, handed on to a new demo account."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.runtime.test_session import options, simulated, trading, until
from tests.store.test_trained import BEAR, BULL
from tui_trader.core.trained import TrainedSet
from tui_trader.runtime.control import Request, ask
from tui_trader.runtime.lock import read_holder
from tui_trader.runtime.session import Session
from tui_trader.runtime.start import STORE_FILE, _put_aside
from tui_trader.store.trained import load_sets, save_sets


def known(session: Session) -> tuple[TrainedSet, ...]:
    return session.engine.state.trained.all()


async def test_a_running_session_takes_new_sets_and_the_next_one_has_them(tmp_path: Path) -> None:
    store = tmp_path / "live" / STORE_FILE
    async with simulated() as exchange:
        async with trading(options(exchange, tmp_path)) as session:
            assert known(session) == ()
            save_sets(store, [BULL, BEAR])
            (lock,) = (tmp_path / "live").glob("*.lock")
            holder = read_holder(lock)
            assert holder is not None
            answer = await ask(Path(holder.control), Request(do="reload"))
            assert (answer.ok, answer.text) == (True, "2 trained sets read, 1 in use")
            await until(lambda: len(known(session)) == 2)
            again = msgspec.structs.replace(BULL, trained_ms=2)
            save_sets(store, [again])
            session.reload_settings()
            await until(lambda: again in known(session))
            await until(lambda: session.engine.state.reconciled_ms)
        async with trading(options(exchange, tmp_path)) as session:
            assert {one.identity for one in known(session)} == {BEAR.identity, again.identity}
            await until(lambda: session.engine.state.reconciled_ms)


def test_a_new_demo_account_keeps_the_sets_and_nothing_else(tmp_path: Path) -> None:
    save_sets(tmp_path / STORE_FILE, [BULL, BEAR])
    _put_aside(tmp_path)
    assert load_sets(tmp_path / STORE_FILE) == (BULL, BEAR)
    archived = list(tmp_path.glob("store-*.sqlite3"))
    assert len(archived) == 1
    assert load_sets(archived[0]) == (BULL, BEAR)
