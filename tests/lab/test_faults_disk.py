"""Faults of the disk under a running oms: a commit, a read or a write fails, with and without having happened.

The ledger's connections are replaced by ones that count their calls and let the nth fail, once or from then on.
"""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from oms.errors import LedgerError
from oms.sandbox.options import STATE_FILE
from tests.contract.worlds import World, row
from tests.crash import inspection

pytestmark = pytest.mark.slow

SENDERS = 2
ONCE_OR_FOR_GOOD = pytest.mark.parametrize("is_sticky", [False, True], ids=["once", "for good"])
# Some positions always, all of them in the laboratory.
EVERY = pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.lab)], ids=["some", "all"])
ROWS = 3


@dataclass
class Plan:
    """Which call on the ledger's connections fails, and how."""

    world: World
    on: str  # commit, execute
    nth: int
    is_done: bool = False  # what fails has happened all the same
    is_sticky: bool = False  # and so does everything after it
    calls: int = 0
    sent_before: int | None = None  # how many creates had arrived when it struck

    def step(self, what: str, real: Callable[[], Any], undo: Callable[[], Any]) -> Any:
        """Do it, or fail."""
        if self.sent_before is not None:
            if self.is_sticky:
                raise failure()
            return real()
        self.calls += what == self.on
        if self.calls < self.nth or what != self.on:
            return real()
        self.sent_before = len(self.world.sent())
        if self.is_done:
            real()
        else:
            undo()
        raise failure()


def failure() -> sqlite3.OperationalError:
    found = sqlite3.OperationalError("disk I/O error")
    found.sqlite_errorname = "SQLITE_IOERR_FSYNC"
    return found


@pytest.fixture
def failing(own_world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Plan | None], None]]:
    """`failing(plan)` from now on; None: no more."""
    plans: list[Plan | None] = [None]

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, values: Any = ()) -> Any:
            def real() -> Any:
                return sqlite3.Cursor.execute(self, sql, values)

            return plans[0].step("execute", real, lambda: None) if plans[0] else real()

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def commit(self) -> None:
            real = super().commit
            if plans[0] and self.in_transaction:
                plans[0].step("commit", real, self.rollback)
            else:
                real()

    connect = sqlite3.connect

    def connecting(database: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        if str(own_world.ledger_path) in str(database) and kwargs.get("isolation_level", "") is None:
            kwargs["factory"] = Connection
        return connect(database, *args, **kwargs)

    monkeypatch.setattr(sqlite3, "connect", connecting)
    yield lambda plan: plans.__setitem__(0, plan)
    plans[0] = None


def problems(world: World, orders: int) -> list[str]:
    """What is wrong when all is said to rest."""
    exchange = world.sandbox.options.dir / STATE_FILE
    return inspection.problems(world.ledger_path, exchange, ["resting"] * orders)


def torn(world: World) -> list[str]:
    return inspection.torn(world.ledger_path, world.sandbox.options.dir / STATE_FILE)


def struck(world: World, failing: Callable[[Plan | None], None], plan: Plan, done: int) -> bool:
    """One submit that meets the plan, then the same in peace; whether the plan struck at all."""
    rows, name = [row() for _ in range(ROWS)], f"struck {world.serial()}"
    failing(plan)
    try:
        code = world.submit(rows, name=name, submit__concurrency=SENDERS).exit_code
    except LedgerError as exc:
        code = exc.exit_code
    finally:
        failing(None)
    assert torn(world) == []
    if plan.sent_before is not None and (plan.on == "commit" or plan.is_sticky):
        # What was claimed before it struck may still leave: one request of each sender, and one claimed ahead of it.
        assert len(world.sent()) - plan.sent_before <= 2 * SENDERS
        assert code in (0, 1, 3), code
    again = world.submit(rows, name=name)
    assert again.exit_code == 0, again.report
    assert problems(world, done + ROWS) == []
    return plan.sent_before is not None


def through_all(world: World, failing: Callable[[Plan | None], None], on: str, step: int, **how: bool) -> int:
    """The nth call fails, for every `step`th n until a run has fewer; how many runs were struck."""
    count = 0
    while struck(world, failing, Plan(world, on, 1 + step * count, **how), ROWS * count):
        count += 1
    return count


@pytest.mark.fault(22, 24)
@ONCE_OR_FOR_GOOD
@EVERY
def test_a_commit_that_fails_sends_nothing_more_and_the_same_again_finishes(
    own_world: World, failing: Callable[[Plan | None], None], is_sticky: bool, step: int
) -> None:
    assert through_all(own_world, failing, "commit", step, is_sticky=is_sticky) >= 5 // step


@pytest.mark.fault(23)
@ONCE_OR_FOR_GOOD
@EVERY
def test_a_commit_that_fails_and_is_durable_all_the_same_places_nothing_twice(
    own_world: World, failing: Callable[[Plan | None], None], is_sticky: bool, step: int
) -> None:
    assert through_all(own_world, failing, "commit", step, is_done=True, is_sticky=is_sticky) >= 5 // step


@pytest.mark.fault(22)
@ONCE_OR_FOR_GOOD
@EVERY
def test_a_statement_that_fails_sends_nothing_that_is_not_on_the_disk(
    own_world: World, failing: Callable[[Plan | None], None], is_sticky: bool, step: int
) -> None:
    assert through_all(own_world, failing, "execute", 7 * step, is_sticky=is_sticky) >= 8 // step
