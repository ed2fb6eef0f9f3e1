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

from oms.lab.judge import judge
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
    # What the ledger before this one has sent is not on this one's record.
    found = judge(world.ledger, world.exchange, is_settled=True, is_complete=False)
    return [str(finding) for finding in found]


@pytest.mark.fault(15)
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
    assert [found for found in judge(world.ledger, world.exchange, is_settled=True) if found.invariant == "I11"]
    world.sandbox.control(faults=[])
    assert wrong(world) == []


# -- under other ids: retries and callers' own ids -------------------------------------------------------------------

RETRIED = [*LOST, dict(LOST[0])]  # two equal rows


def refuse_creates(world: World, times: int | None) -> None:
    refusal = {"kind": "answer", "status": 400, "body": '{"error": {"code": "invalid_order", "message": "not today"}}'}
    match = {"operation": "CreateOrderV2", "times": times}
    world.sandbox.control(faults=[{"match": match, "fault": refusal}] if times != 0 else [])


def lose_ledger(world: World) -> None:
    shutil.rmtree(world.ledger.parent)
    lost_at_s = time.monotonic()
    wait_for(lambda: time.monotonic() - lost_at_s > 1.5)


def orders_there(world: World) -> int:
    return len(inspection.facts(world.ledger, world.exchange).there)


@pytest.fixture(params=["forever", "open_only"])
def retried(world_of: Callable[..., World], request: pytest.FixtureRequest) -> World:
    """Of four rows three were refused and placed by a retry, of which one was refused again and retried; then all of
    that is lost, long ago."""
    world = world_of(SETTINGS, dedupe=request.param, tier="unlimited")
    file = world.file(RETRIED, "lost.jsonl")
    refuse_creates(world, 3)
    assert world.live("submit", file, "--batch", "lost").code == 5
    refuse_creates(world, 1)
    assert world.live("submit", "--retry", "lost").code == 5
    refuse_creates(world, 0)
    assert world.live("submit", "--retry", "lost~1").code == 0, "the retry of a retry"
    assert orders_there(world) == len(RETRIED)
    lose_ledger(world)
    return world


@pytest.mark.parametrize("first", [["reconcile"], None], ids=["another run first", "at once"])
def test_what_a_retry_of_a_lost_ledger_placed_is_not_placed_again(retried: World, first: list[str] | None) -> None:
    if first is not None:
        assert retried.live(*first).code == 0
    arrived = inspection.posts(retried.exchange)
    file = retried.file(RETRIED, "lost.jsonl")
    again = retried.live("submit", file, "--batch", "lost")
    assert "3 queued orders had been placed as retries" in again.err, again
    assert again.code == 0, "every intent is an order"
    assert statuses(retried).count("unsent") == 3
    for command in (["submit", file, "--batch", "lost"], ["submit"], ["submit", "--retry", "lost"]):
        retried.live(*command)
    assert inspection.posts(retried.exchange) == arrived
    assert orders_there(retried) == len(RETRIED)


def test_a_row_that_no_retry_placed_is_retried_under_a_number_of_its_own(world_of: Callable[..., World]) -> None:
    """The lost retry had two rows, the new one has one: with the lost one's number it could be taken for the other."""
    world = world_of({**SETTINGS, "submit__concurrency": "1"}, dedupe="forever", tier="unlimited")
    file = world.file([dict(LOST[2]), dict(LOST[2]), bid("0.03")], "lost.jsonl")
    refuse_creates(world, 2)
    world.live("submit", file, "--batch", "lost")
    refuse_creates(world, 1)
    world.live("submit", "--retry", "lost")
    assert orders_there(world) == 2
    lose_ledger(world)
    refuse_creates(world, 1)
    assert world.live("submit", file, "--batch", "lost").code == 5
    assert statuses(world) == ["rejected", "resting", "unsent"]
    refuse_creates(world, 0)
    assert world.live("submit", "--retry", "lost").code == 0
    assert orders_there(world) == 3
    assert world.live("submit", "--retry", "lost").code == 2, "nothing is left"


def bid(price: str) -> dict[str, Any]:
    return {"ticker": "SBXTEMP-A-T10", "side": "bid", "price": price, "count": "1"}


def test_a_callers_own_ids_are_known_again_as_well(world_of: Callable[..., World]) -> None:
    """They carry no mark of ours; executed and `open_only`, the exchange would take each of them once more."""
    world = world_of(SETTINGS, dedupe="open_only", tier="unlimited")
    own = [{**row, "client_order_id": f"mine-{n}"} for n, row in enumerate(LOST)]
    file = world.file(own, "own.jsonl")
    assert world.live("submit", file).code == 0
    lose_ledger(world)
    assert world.live("reconcile").code == 0
    arrived = inspection.posts(world.exchange)
    world.live("submit", file)
    world.live("submit")
    assert inspection.posts(world.exchange) == arrived
    assert orders_there(world) == len(own)
