"""Faults of the clocks: far off, jumping, standing still, begun anew; and times that pass while nobody looks.

Programs here see other clocks than this machine's: they replace `time` before oms is imported.
"""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from oms.ledger import schema
from tests.contract.worlds import LIST, World, fault, row
from tests.crash import inspection
from tests.crash.lives import World as Lives
from tests.crash.lives import wait_for

pytestmark = pytest.mark.slow

SETTINGS = {"submit__in_flight_horizon_s": "1.3", "submit__batch_size": "1", "submit__concurrency": "2"}
ROWS = [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.{n:02}", "count": "1"} for n in range(1, 7)]
HOUR_NS = 3_600_000_000_000

PROGRAM = """
import time
wall_ns, monotonic = time.time_ns, time.monotonic
{clock}
time.time = lambda: time.time_ns() / 1e9
from oms.cli.entry import run
raise SystemExit(run({argv!r}))
"""
# What each program has for a clock, and whether what it signs is right in the end.
CLOCKS = {
    "an hour fast": f"time.time_ns = lambda: wall_ns() + {HOUR_NS}",
    "two hours slow": f"time.time_ns = lambda: wall_ns() - {2 * HOUR_NS}",
    "in 1970": "began = wall_ns(); time.time_ns = lambda: wall_ns() - began + 1_000_000_000",
    "in 2038": "began = wall_ns(); time.time_ns = lambda: wall_ns() - began + (2**31 + 5) * 1_000_000_000",
    "an hour forward after a second": f"""
began = monotonic()
time.time_ns = lambda: wall_ns() + {HOUR_NS} * (monotonic() - began > 1)""",
    "two hours back after a second": f"""
began = monotonic()
time.time_ns = lambda: wall_ns() - {2 * HOUR_NS} * (monotonic() - began > 1)""",
    "slewed by a tenth": "began = wall_ns(); time.time_ns = lambda: began + (wall_ns() - began) * 11 // 10",
    "ticking once in three seconds": "time.time_ns = lambda: wall_ns() // 3_000_000_000 * 3_000_000_000",
}


# Those that found something, and one of each kind; all of them in the laboratory.
ALWAYS = ("in 1970", "an hour forward after a second", "ticking once in three seconds")
EACH = [what if what in ALWAYS else pytest.param(what, marks=pytest.mark.lab) for what in CLOCKS]


@pytest.fixture
def lives(world_of: Callable[..., Lives]) -> Lives:
    return world_of(SETTINGS, tier="unlimited", latency_ms=150)


def under(lives: Lives, clock: str, *argv: str) -> "subprocess.CompletedProcess[str]":
    process = lives.program(PROGRAM.format(clock=clock, argv=list(argv)))
    out, err = process.communicate(timeout=90)
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


@pytest.mark.fault(72, 73)
@pytest.mark.parametrize("what", EACH)
def test_whatever_the_clock_says_each_order_is_placed_once_with_a_time_that_is_right(lives: Lives, what: str) -> None:
    file = str(lives.file(ROWS))
    ended = under(lives, CLOCKS[what], "submit", file)
    if ended.returncode != 0:  # a jump may end a run, and nothing is lost by that
        assert ended.returncode in (3, 4, 6), ended.stderr
        ended = under(lives, CLOCKS[what], "submit", file)
    assert ended.returncode == 0, ended.stderr
    assert inspection.problems(lives.ledger, lives.exchange, ["resting"] * len(ROWS)) == []
    taken = [each for each in lives.sandbox.log() if each["operation"] == "CreateOrderV2" and each["committed"]]
    assert len(taken) == len(ROWS)
    assert all(abs(each["at_us"] // 1000 - each["signed_ms"]) < 6_000 for each in taken)
    assert lives.live("reconcile").code == 0
    assert inspection.problems(lives.ledger, lives.exchange, ["resting"] * len(ROWS)) == []


@pytest.mark.fault(73)
def test_two_programs_in_one_instant_make_ids_and_events_of_their_own(lives: Lives) -> None:
    """Both see a wall clock that stands for three seconds at a time; orders by flags have no content to differ in."""
    words = ["--ticker", "SBXRAIN-A-T10", "--action", "buy", "--side", "yes", "--count", "1", "--price", "0.01"]
    clock = CLOCKS["ticking once in three seconds"]
    started = [lives.program(PROGRAM.format(clock=clock, argv=["submit", *words, "-o", "json"])) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0], answers
    ids = {json.loads(out)["orders"][0]["client_order_id"] for out, _ in answers}
    assert len(ids) == 2
    assert inspection.problems(lives.ledger, lives.exchange, ["resting"] * 2) == []


@pytest.mark.fault(75)
def test_a_monotonic_clock_that_has_begun_anew_changes_nothing(lives: Lives) -> None:
    """The machine was switched off in the middle of a batch: its monotonic clock is far behind where it was."""
    late = "time.monotonic = lambda: monotonic() + 10_000_000"
    slow = {"match": {"operation": "CreateOrderV2", "nth": 3}, "fault": {"kind": "hang", "ms": 20_000}}
    lives.sandbox.control(faults=[slow])
    file = str(lives.file(ROWS))
    process = lives.program(PROGRAM.format(clock=late, argv=["submit", file]))
    wait_for(lambda: len(lives.sandbox.orders()) >= 4)
    process.kill()
    process.communicate()
    lives.sandbox.control(faults=[])
    early = "began = monotonic(); time.monotonic = lambda: monotonic() - began + 0.001"
    ended = under(lives, early, "submit", file)
    assert ended.returncode == 0, ended.stderr
    assert inspection.problems(lives.ledger, lives.exchange, ["resting"] * len(ROWS)) == []
    assert inspection.posts(lives.exchange) == len(ROWS)


@pytest.mark.fault(75)
def test_every_time_that_is_stored_says_which_clock_it_is_of() -> None:
    """Of the wall's or the exchange's, in microseconds or milliseconds; a time of any other clock has no name here."""
    times = [
        column.name
        for table in schema.metadata.tables.values()
        for column in table.columns
        if any(part in column.name for part in ("_at", "_us", "_ms", "monotonic", "time"))
    ]
    odd = {name for name in times if not name.endswith(("_us", "_ms"))}
    assert odd <= {"time_in_force", "expiration_time", "settled_time"}
    assert not [name for name in times if "monotonic" in name]


@pytest.mark.fault(74)
def test_an_expiration_that_passes_before_the_next_attempt_leaves_no_live_order(own_world: World) -> None:
    """The first request was lost; until its absence is proven the order's own time is over."""
    soon = int(time.time()) + 2
    own_world.faults(fault("drop"))
    run = own_world.submit([row(expiration_time=soon)], submit__in_flight_horizon_s=2.5)
    (order,) = run.orders
    assert order.status in ("rejected", "unsent", "canceled"), order
    assert not order.in_doubt
    assert "resting" not in [each["status"] for each in own_world.sandbox.orders()]
    assert own_world.drain().exit_code == 0


@pytest.mark.fault(74)
def test_a_lost_order_that_turns_out_to_have_been_placed_and_expired_is_known_as_that(own_world: World) -> None:
    soon = int(time.time()) + 5  # time enough for it to arrive on a busy machine
    own_world.faults(fault("drop", commit=True), fault("error", LIST, times=3))
    run = own_world.submit([row(expiration_time=soon)])
    wait_for(lambda: time.time() > soon + 0.2)
    own_world.sandbox.control()
    final: Any = own_world.drain()
    with own_world.opened() as oms:
        oms.reconcile()
    order = own_world.order(run.orders[0].client_order_id)
    assert final.exit_code == 0
    assert (order.status, order.fill_count, order.remaining_count) == ("canceled", "0.00", "0.00")
    assert own_world.book([order]) == ["canceled"]
