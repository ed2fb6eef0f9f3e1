"""What becomes of an order whose answer was lost, by policy, by time to live and by accident; across restarts."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash import inspection
from tests.crash.lives import Life, Nursery, World, give_key, new_world, side_by_side, wait_for

pytestmark = pytest.mark.slow

HORIZON_S = 0.3
SETTINGS = {"submit__in_flight_horizon_s": str(HORIZON_S), "submit__concurrency": "2", "submit__batch_size": "1"}
ROWS = [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.{n:02}", "count": "1"} for n in range(1, 7)]
POLICIES = ("when_absent", "at_once", "never")

# Of the six: the second never arrives, the third arrives and is not heard of, the fourth is answered by a proxy.
LOST, UNHEARD, GARBLED = 2, 3, 4
ACCIDENTS = [
    {"match": {"operation": "CreateOrderV2", "nth": LOST}, "fault": {"kind": "drop"}},
    {"match": {"operation": "CreateOrderV2", "nth": UNHEARD}, "fault": {"kind": "drop", "commit": True}},
    {"match": {"operation": "CreateOrderV2", "nth": GARBLED}, "fault": {"kind": "html", "commit": True}},
]


def world_with(world_of: Callable[..., World], policy: str, **more: Any) -> World:
    return world_of({**SETTINGS, "submit__resend": policy}, **{"tier": "unlimited", **more})


def submit(world: World, *more: str, **how: Any) -> Life:
    return world.live("submit", world.file(ROWS), "-o", "json", *more, **how)


def creates(world: World) -> Counter[str]:
    """How often a create of each id was received."""
    return Counter(name for request in world.sandbox.log() for name in request["client_order_ids"])


def problems(world: World, *not_placed: str) -> list[str]:
    """Broken promises, when all rows rest but those that are `not_placed`."""
    statuses = [order["status"] for order in inspection.facts(world.ledger, world.exchange).orders]
    assert sorted(statuses) == sorted(["resting"] * (len(ROWS) - len(not_placed)) + list(not_placed))
    return inspection.problems(world.ledger, world.exchange, statuses)


@pytest.mark.fault(42, 53, 68)
@pytest.mark.parametrize("policy", ["when_absent", "at_once"])
@pytest.mark.parametrize("dedupe", ["forever", "open_only"])
def test_lost_orders_are_sent_again_under_the_same_id(world_of: Callable[..., World], policy: str, dedupe: str) -> None:
    world = world_with(world_of, policy, dedupe=dedupe)
    world.sandbox.control(faults=ACCIDENTS)
    life = submit(world)
    assert life.code == 0, life
    assert problems(world) == []
    assert sorted(creates(world).values()) == [1, 1, 1, 1, 1, 2], "only the one that never arrived is sent again"


def test_what_is_in_doubt_is_not_sent_again_before_its_absence_is_proven(world_of: Callable[..., World]) -> None:
    world = world_with(world_of, "when_absent")
    world.sandbox.control(faults=ACCIDENTS[:1])
    assert submit(world).code == 0
    sent = [request for request in world.sandbox.log() if request["method"] == "POST"]
    (twice,) = [name for name, times in creates(world).items() if times == 2]
    first, second = [request["at_us"] for request in sent if request["client_order_ids"] == [twice]]
    assert second - first >= HORIZON_S * 1_000_000 - 20_000  # it is counted from the signature, not from the arrival


def test_never_leaves_a_lost_order_unsent_and_finds_one_unheard_of(world_of: Callable[..., World]) -> None:
    world = world_with(world_of, "never")
    world.sandbox.control(faults=ACCIDENTS)
    life = submit(world)
    assert life.code == 1, life
    assert problems(world, "unsent") == []
    assert set(creates(world).values()) == {1}
    (unsent,) = [order for order in life.orders if order["status"] == "unsent"]
    assert (unsent["reason"], unsent["late"]) == ("proven_absent", False)


@pytest.mark.fault(6)
def test_killed_in_mid_send_every_policy_ends_with_one_order_at_most(
    nursery: Nursery, exchange_key: Path, tmp_path: Path
) -> None:
    def run(case: tuple[str, str, int]) -> list[str]:
        policy, seam, nth = case
        where = tmp_path / f"{policy} {seam}"
        give_key(where, exchange_key)
        with new_world(where, nursery, {**SETTINGS, "submit__resend": policy}, tier="unlimited") as world:
            world.sandbox.control(faults=ACCIDENTS)
            lives = [submit(world, nth=nth, at=seam), submit(world)]
            absent = ["unsent"] * sum(order["status"] == "unsent" for order in lives[1].orders)
            found = problems(world, *absent)
            found += ["it was not killed"] if not lives[0].was_killed else []
            found += ["it was given up"] if absent and policy != "never" else []
            found += ["wrong exit code"] if lives[1].code != (1 if absent else 0) else []
            return [f"{case}: {each}" for each in (*found, *lives)] if found else []

    seams = (("before first byte", 5), ("after all bytes", 5), ("after answer", 3))
    assert side_by_side([(policy, *seam) for policy in POLICIES for seam in seams], run, 5) == []


def test_time_to_live_goes_on_while_nothing_runs(world_of: Callable[..., World]) -> None:
    """Killed with some on the wire and some queued: in time none of them is sent any more, what arrived is found."""
    world = world_with(world_of, "when_absent")
    world.sandbox.control(faults=ACCIDENTS[:1])
    began_s = time.monotonic()
    assert submit(world, "--ttl", "1", nth=4, at="after all bytes").was_killed
    arrived = len(world.sandbox.orders())
    wait_for(lambda: time.monotonic() - began_s > 1.1)
    life = submit(world)
    assert life.code == 1, life
    placed = [order for order in life.orders if order["status"] == "resting"]
    assert {order["reason"] for order in life.orders if order not in placed} == {"expired"}
    assert len(placed) == len(world.sandbox.orders()) >= arrived
    assert set(creates(world).values()) == {1}
    assert problems(world, *["unsent"] * (len(ROWS) - len(placed))) == []


@pytest.mark.fault(44)
def test_an_order_that_arrives_after_its_absence_was_concluded_is_late_and_a_break(
    world_of: Callable[..., World],
) -> None:
    """The exchange admits what is older than the horizon: the horizon is too short for it, and that must show."""
    world = world_with(world_of, "never", skew_s=10)
    late = {"match": {"operation": "CreateOrderV2", "nth": LOST}, "fault": {"kind": "late", "ms": 1800}}
    world.sandbox.control(faults=[late])
    life = submit(world)
    assert life.code == 1, life
    (unsent,) = [order for order in life.orders if order["status"] == "unsent"]
    wait_for(lambda: len(world.sandbox.orders()) == len(ROWS))
    reconciled = world.live("reconcile", "-o", "json")
    assert reconciled.code == 7, reconciled
    (found,) = json.loads(reconciled.out)["breaks"]
    assert (found["kind"], found["client_order_id"]) == ("late", unsent["client_order_id"])
    orders = {order["client_order_id"]: order for order in submit(world).orders}
    assert (orders[unsent["client_order_id"]]["status"], orders[unsent["client_order_id"]]["late"]) == ("resting", True)
    assert problems(world) == []
    assert world.live("reconcile").code == 0, "a break is told once"


@pytest.mark.fault(44, 68)
def test_an_order_that_arrives_after_it_was_sent_again_is_refused_by_the_exchange(
    world_of: Callable[..., World],
) -> None:
    world = world_with(world_of, "when_absent", skew_s=10, dedupe="open_only")
    late = {"match": {"operation": "CreateOrderV2", "nth": LOST}, "fault": {"kind": "late", "ms": 1800}}
    world.sandbox.control(faults=[late])
    assert submit(world).code == 0
    wait_for(lambda: any(request["arrival_of"] for request in world.sandbox.log()))
    assert world.live("reconcile").code == 0
    assert problems(world) == []
