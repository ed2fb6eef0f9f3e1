"""A batch of a lost ledger comes back only after the new ledger has done other work: it is known again (P2).

The new ledger has read the account when it did not know the batch, so no later reading would go back to its orders; and
with `open_only` the ids of those that were executed are free. What the account showed of unknown batches is kept, and
nothing of such a batch is claimed before the account was read from there.
"""

import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from oms.lab.verdict import judge
from tests.crash import inspection
from tests.crash.lives import Life, World, wait_for

pytestmark = pytest.mark.slow

SETTINGS = {"submit__in_flight_horizon_s": "0.3", "submit__concurrency": "2", "submit__batch_size": "1"}
IOC = {"time_in_force": "immediate_or_cancel"}
TICKER = "SBXRAIN-A-T10"
LOST = [
    {"ticker": TICKER, "side": "bid", "price": "0.99", "count": "1", **IOC},
    {"ticker": TICKER, "side": "bid", "price": "0.99", "count": "2", **IOC},
    {"ticker": TICKER, "side": "bid", "price": "0.02", "count": "1"},
]
# Python reads it as well.
AGAIN = f"""
from oms import Oms
with Oms.open() as oms:
    oms.reconcile()
    print(oms.submit({LOST!r}, batch="lost").exit_code)
"""


def rows(count: int) -> list[dict[str, Any]]:
    return [{"ticker": "SBXTEMP-A-T10", "side": "bid", "price": "0.01", "count": str(n)} for n in range(1, count + 1)]


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    """A batch was placed, its ledger is lost, and all of that is longer ago than any reading looks back."""
    world = world_of(SETTINGS, dedupe="open_only", tier="unlimited")
    assert submit_lost(world).code == 0
    shutil.rmtree(world.ledger.parent)
    lost_at_s = time.monotonic()
    wait_for(lambda: time.monotonic() - lost_at_s > 1.5)
    return world


def submit_lost(world: World, *more: str) -> Life:
    return world.live("submit", world.file(LOST, "lost.jsonl"), "--batch", "lost", *more)


def statuses(world: World) -> list[str]:
    return sorted(order["status"] for order in inspection.facts(world.ledger, world.exchange).orders)


def wrong(world: World) -> list[str]:
    """What is not as it should be, trades included, once all of the account was brought up to date."""
    assert world.live("reconcile").code == 0
    return judge(world.ledger, world.exchange)


@pytest.mark.parametrize("first", [["reconcile"], ["submit", "other.jsonl"]], ids=["reconcile", "submit"])
def test_a_lost_batch_is_known_again_whatever_was_done_before_it(world: World, first: list[str]) -> None:
    other = world.file(rows(2), "other.jsonl")
    assert world.live(*(str(other) if word == "other.jsonl" else word for word in first)).code == 0
    arrived = inspection.posts(world.exchange)
    again = submit_lost(world)
    assert again.code == 0, again
    assert inspection.posts(world.exchange) == arrived
    assert wrong(world) == []
    assert submit_lost(world).code == 0
    assert inspection.posts(world.exchange) == arrived


def test_a_program_that_goes_on_with_its_run_reads_the_account_again_for_a_lost_batch(world: World) -> None:
    arrived = inspection.posts(world.exchange)
    out, err = world.program(AGAIN).communicate(timeout=60)
    assert out == "0\n", err
    assert inspection.posts(world.exchange) == arrived
    assert wrong(world) == []


def test_a_lost_batch_that_is_recorded_beside_a_run_is_not_sent_by_it(world: World) -> None:
    assert world.live("reconcile").code == 0
    slow = {"match": {"operation": "CreateOrderV2", "nth": 2}, "fault": {"kind": "delay", "ms": 1500}}
    world.sandbox.control(faults=[slow])
    arrived = inspection.posts(world.exchange)
    running = world.begin("submit", world.file(rows(6), "other.jsonl"))
    wait_for(lambda: running.seams().count("after all bytes") >= 2)
    assert submit_lost(world, "--no-wait").code == 0
    assert running.end().code == 0
    assert statuses(world).count("pending") == len(LOST)
    assert inspection.posts(world.exchange) == arrived + 6
    drained = world.live("submit")
    assert drained.code == 0, drained
    assert inspection.posts(world.exchange) == arrived + 6
    assert wrong(world) == []


def test_trades_that_a_listing_left_out_are_read_by_the_next_reconcile(world: World) -> None:
    """The reading that was empty counts as done; what the orders themselves say is filled shows what is missing."""
    assert submit_lost(world).code == 0
    world.sandbox.control(faults=[{"match": {"path": "/fills", "times": None}, "fault": {"kind": "empty_list"}}])
    assert world.live("reconcile").code == 0
    assert [problem for problem in judge(world.ledger, world.exchange) if problem.startswith("trade")]
    world.sandbox.control(faults=[])
    assert wrong(world) == []
