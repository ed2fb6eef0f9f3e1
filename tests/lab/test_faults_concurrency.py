"""Faults of what happens at once: settling, canceling, starting, ending, and threads that are no more."""

import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from oms.ledger import engine
from oms.venue import door, orders
from tests.contract import worlds
from tests.contract.worlds import row
from tests.crash import inspection
from tests.crash.lives import World, wait_for

pytestmark = pytest.mark.slow

SETTINGS = {"submit__in_flight_horizon_s": "0.3", "submit__batch_size": "1", "submit__concurrency": "2"}
ROWS = [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.{n:02}", "count": "1"} for n in range(1, 7)]


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    return world_of(SETTINGS, tier="unlimited")


def rests(world: World, *statuses: str) -> None:
    assert inspection.problems(world.ledger, world.exchange, statuses) == []


def slow_creates(world: World, ms: int, times: int = 1) -> None:
    match = {"operation": "CreateOrderV2", "times": times}
    world.sandbox.control(faults=[{"match": match, "fault": {"kind": "delay", "ms": ms}}])


@pytest.mark.fault(91, 94)
@pytest.mark.parametrize("verb", ["reconcile", "submit"])
def test_a_run_beside_one_that_lost_its_lock_settles_what_both_see_and_the_later_truth_stands(
    world: World, verb: str
) -> None:
    """The sender's answer comes when a second run has already found the order and recorded more than it tells."""
    assert world.live("reconcile").code == 0
    slow_creates(world, 1500)
    first = world.begin("submit", world.file(ROWS[:1]))
    wait_for(lambda: world.sandbox.orders())
    world.ledger.with_name(world.ledger.name + ".lock").unlink()
    (order,) = world.sandbox.orders()
    trade = {"ticker": order["ticker"], "side": "ask", "price": "0.01", "count": "1"}
    world.sandbox.control(trade={**trade, "client_order_id": order["client_order_id"]})
    second = world.live(*([verb] if verb == "reconcile" else ["submit", str(world.file(ROWS[:1]))]))
    assert second.code == 0, second
    assert first.end().code in (0, 1, 3, 6)
    assert world.live("reconcile").code == 0
    rests(world, "executed")
    assert inspection.posts(world.exchange) == 1
    assert world.live("db", "check").code == 0


@pytest.mark.fault(92)
def test_a_cancel_while_its_create_is_under_way_waits_for_it_and_one_truth_is_left(world: World) -> None:
    assert world.live("reconcile").code == 0
    slow_creates(world, 1200)
    submitting = world.begin("submit", world.file(ROWS[:2]))
    wait_for(lambda: submitting.seams().count("after all bytes") >= 1)
    names = [order["client_order_id"] for order in inspection.facts(world.ledger, world.exchange).orders]
    canceling = world.live("cancel", *names)
    ended = submitting.end()
    assert (ended.code, canceling.code) == (0, 0), f"{ended}\n{canceling}"
    seen = inspection.facts(world.ledger, world.exchange)
    statuses = [order["status"] for order in sorted(seen.orders, key=lambda x: x["row"])]
    assert set(statuses) <= {"canceled", "unsent"}
    assert "canceled" in statuses
    rests(world, *statuses)


@pytest.mark.fault(92)
@pytest.mark.parametrize("nth", [1, 2])
def test_a_cancel_of_a_create_whose_process_was_killed_ends_it_wherever_it_is(world: World, nth: int) -> None:
    killed = world.live("submit", world.file(ROWS[:2]), nth=nth, at="after all bytes")
    assert killed.was_killed
    names = [order["client_order_id"] for order in inspection.facts(world.ledger, world.exchange).orders]
    canceled = world.live("cancel", *names)
    assert canceled.code in (0, 1), canceled
    assert world.live("submit").code == 0
    assert [order["status"] for order in world.sandbox.orders() if order["status"] == "resting"] == []
    seen = inspection.facts(world.ledger, world.exchange)
    statuses = [order["status"] for order in sorted(seen.orders, key=lambda x: x["row"])]
    assert set(statuses) <= {"canceled", "unsent"}
    rests(world, *statuses)


@pytest.mark.fault(95)
def test_a_start_while_another_ends_takes_over_and_both_end_well(world: World) -> None:
    assert world.live("reconcile").code == 0
    slow_creates(world, 800, times=2)
    first = world.begin("submit", world.file(ROWS))
    wait_for(lambda: first.seams().count("after all bytes") >= 2)
    first.child.kill(signal.SIGTERM)
    second = world.live("submit", world.file(ROWS))
    assert first.end().code in (0, 143)
    assert second.code == 0, second
    rests(world, *["resting"] * len(ROWS))
    assert inspection.posts(world.exchange) == len(ROWS)


@pytest.mark.fault(13, 95)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_reconcile_that_is_ended_keeps_what_it_learned_and_the_next_goes_on(
    world: World, number: signal.Signals
) -> None:
    killed = world.live("submit", world.file(ROWS), nth=2, at="after all bytes")
    assert killed.was_killed
    slow = {"match": {"method": "GET", "path": "/portfolio/", "times": None}, "fault": {"kind": "delay", "ms": 700}}
    world.sandbox.control(faults=[slow])
    living = world.begin("reconcile")
    wait_for(lambda: living.seams().count("after read") >= 1)
    living.child.kill(number)
    life = living.end(timeout_s=10)
    assert life.code in (3, 128 + number), life
    assert inspection.torn(world.ledger, world.exchange) == []
    world.sandbox.control(faults=[])
    assert world.live("submit", world.file(ROWS)).code == 0
    rests(world, *["resting"] * len(ROWS))


# An Oms belongs to one thread of one process (docs/python.md); whoever forgets it may meet errors, and nothing worse.
FORKING = """
import os
from oms import Oms
from oms.errors import OmsError
row = {"ticker": "SBXRAIN-A-T10", "side": "bid", "price": "0.01"}
with Oms.open() as oms:
    oms.submit([{**row, "count": 1}])
    pid = os.fork()
    for n in range(1, 4):
        try:
            oms.submit([{**row, "count": n + (10 if pid else 20)}])
        except OmsError as exc:
            print(exc.code)
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
"""

THREADS = """
from concurrent.futures import ThreadPoolExecutor
from oms import Oms
from oms.errors import OmsError
row = {"ticker": "SBXRAIN-A-T10", "side": "bid", "price": "0.01"}
def place(n):
    try:
        return oms.submit([{**row, "count": n}]).exit_code
    except OmsError as exc:
        return exc.code
with Oms.open() as oms, ThreadPoolExecutor(4) as pool:
    print(list(pool.map(place, range(1, 9))))
"""


def ended(process: "subprocess.Popen[str]") -> str:
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, err
    return out


@pytest.mark.fault(34)
@pytest.mark.parametrize("program", [FORKING, THREADS], ids=["fork", "threads"])
def test_an_open_object_that_is_shared_places_no_order_twice_and_the_next_run_finishes(
    world: World, program: str
) -> None:
    told = ended(world.program(program))
    finishing = world.live("submit")
    assert finishing.code == 0, f"{told}\n{finishing}"
    recorded = len(inspection.facts(world.ledger, world.exchange).orders)
    assert recorded >= 4, told
    rests(world, *["resting"] * recorded)
    assert len(world.sandbox.orders()) == recorded
    assert world.live("db", "check").code == 0


@pytest.mark.fault(33)
def test_a_reader_that_stays_for_long_holds_up_nobody_and_the_log_shrinks_when_it_has_gone(
    own_world: worlds.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 64 * 1024
    monkeypatch.setattr(engine, "WAL_LIMIT_BYTES", limit)
    assert own_world.submit([row()]).exit_code == 0
    wal = Path(f"{own_world.ledger_path}-wal")
    with closing(sqlite3.connect(own_world.ledger_path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        (seen,) = reader.execute("SELECT count(*) FROM orders").fetchone()
        run = own_world.submit([row() for _ in range(60)])
        assert run.exit_code == 0, run.report
        assert wal.stat().st_size > limit
        assert reader.execute("SELECT count(*) FROM orders").fetchone() == (seen,)
        reader.execute("COMMIT")
    assert own_world.submit([row() for _ in range(20)]).exit_code == 0
    assert not wal.exists() or wal.stat().st_size <= 2 * limit
    assert run.book() == ["resting"] * 60


@pytest.mark.fault(96)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("where", ["beginning", "middle"])
def test_a_sender_that_dies_leaves_no_order_without_an_end(
    own_world: worlds.World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The only sender thread meets an error that is nobody's fault, when it begins or in mid request."""
    lock = threading.Lock()
    struck: list[str] = []
    owner, name = (door.Venue, "channel") if where == "beginning" else (orders.Orders, "create")
    real = getattr(owner, name)

    def dying(self: Any, *args: Any) -> Any:
        with lock:
            is_first = not struck and threading.current_thread().name.startswith("oms-sender")
            struck.extend(["x"] if is_first else [])
        if is_first:
            raise SystemExit
        return real(self, *args)

    monkeypatch.setattr(owner, name, dying)
    run = own_world.submit([row() for _ in range(6)], submit__concurrency=1)  # no other one goes on in its place
    assert struck
    if run.exit_code:
        assert run.exit_code in (1, 3, 6)
        run = own_world.drain()
    assert run.exit_code == 0, run.report
    assert [order["status"] for order in own_world.sandbox.orders()] == ["resting"] * 6
    assert own_world.is_settled()
