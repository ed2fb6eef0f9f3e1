"""Every seam of halting, clearing, canceling the account and order groups: SIGKILL there, and run the command again.

What must come of it: nothing rests, one group and no second, nothing unfinished, everything that arrived was claimed
(P1), and the ledger passes its own check. Reproduce one seam with OMS_TEST_SEAM=57 and -k NAME_OF_THE_SCENARIO.
"""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash import inspection
from tests.crash.lives import Life, Nursery, World, copy_world, give_key, new_world, side_by_side, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ONLY = int(os.environ.get("OMS_TEST_SEAM", "0"))
EXCHANGE: dict[str, Any] = {"tier": "unlimited", "read_lag_ms": 60, "dedupe": "open_only"}
SETTINGS = {"submit__in_flight_horizon_s": "0.3", "submit__concurrency": "2", "submit__batch_size": "1"}
AT_A_TIME = 3
MOST_TRIES = 5


def bid(price: str) -> dict[str, Any]:
    return {"ticker": "SBXRAIN-A-T10", "side": "bid", "price": price, "count": "1"}


def place(world: World) -> None:
    """Three orders of ours that rest, and one that somebody else has placed."""
    placed = world.live("submit", world.file([bid(f"0.0{n}") for n in range(1, 4)]))
    assert placed.code == 0, placed
    create(world, "theirs")


def create(world: World, client_order_id: str) -> None:
    """An order placed elsewhere; on return the listings, which lag, show it."""
    created = world.sandbox.create(client_order_id=client_order_id)
    assert created.ok, created
    order_id = created.json()["order_id"]

    def is_listed() -> bool:
        return any(x["order_id"] == order_id for x in world.sandbox.call("GET", "/portfolio/orders").json()["orders"])

    wait_for(is_listed)


def place_and_see(world: World) -> None:
    """The same, and the ledger has seen the other's order."""
    place(world)
    assert world.live("reconcile").code == 0


def place_and_queue(world: World) -> None:
    place(world)
    assert world.live("halt", "--reason", "first").code == 0
    queued = world.live("submit", world.file([bid("0.05"), bid("0.06")], "queued.jsonl"))
    assert queued.code == 6, queued
    assert world.live("unhalt").code == 0


def queue(world: World) -> None:
    """Two orders that were never sent, beside three that rest."""
    place(world)
    assert world.live("halt").code == 0
    assert world.live("submit", world.file([bid("0.05"), bid("0.06")], "queued.jsonl"), "--batch", "queued").code == 6
    assert world.live("unhalt").code == 0


def double(world: World) -> None:
    """A second order under the id of one of ours, which was canceled elsewhere; the ledger has seen it."""
    place(world)
    first = next(order for order in world.sandbox.orders() if order["client_order_id"] != "theirs")
    path = f"/portfolio/events/orders/{first['order_id']}"
    assert world.sandbox.call("DELETE", path, market_ticker="SBXRAIN-A-T10").ok
    create(world, first["client_order_id"])
    assert world.live("reconcile").code == 7
    assert world.live("unhalt").code == 0


def one_group(world: World) -> None:
    made = world.live("group", "create", "--limit", "5", "--name", "old")
    assert made.code == 0, made


def one_triggered_group(world: World) -> None:
    one_group(world)
    assert world.live("group", "trigger", "old").code == 0


def groups(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.sandbox.call("GET", "/portfolio/order_groups").json()["order_groups"]
    return found


def nothing_rests(world: World) -> Iterator[str]:
    for order in world.sandbox.orders():
        if order["status"] == "resting":
            yield f"{order['client_order_id']} still rests"


def cleared(world: World) -> Iterator[str]:
    yield from nothing_rests(world)
    seen = inspection.facts(world.ledger, world.exchange)
    statuses = sorted(order["status"] for order in seen.orders)
    if statuses != ["canceled"] * 3 + ["unsent"] * 2:
        yield f"statuses are {statuses}"
    if [control["reason"] for control in seen.controls] != ["halted by hand"]:
        yield "it is not halted any more"


def account_canceled(world: World) -> Iterator[str]:
    yield from nothing_rests(world)


def theirs_canceled(world: World) -> Iterator[str]:
    by_status = sorted(order["status"] for order in world.sandbox.orders() if order["client_order_id"] != "theirs")
    if by_status != ["resting"] * 3:
        yield f"our orders are {by_status}"
    if any(order["status"] == "resting" for order in world.sandbox.orders() if order["client_order_id"] == "theirs"):
        yield "the other's order still rests"


def withdrawn(world: World) -> Iterator[str]:
    seen = inspection.facts(world.ledger, world.exchange)
    statuses = sorted(order["status"] for order in seen.orders)
    if statuses != ["resting"] * 3 + ["unsent"] * 2:
        yield f"statuses are {statuses}"


def looked_at(world: World) -> Iterator[str]:
    found = world.live("reconcile")
    if found.code != 0 or "duplicate" in found.out:
        yield f"the second order is still told: {found.out}"


def second_canceled(world: World) -> Iterator[str]:
    by_id = Counter(order["client_order_id"] for order in world.sandbox.orders())
    rest = Counter(order["client_order_id"] for order in world.sandbox.orders() if order["status"] == "resting")
    if [rest[each] for each, count in by_id.items() if count > 1] != [0]:
        yield "the second order still rests"
    if rest.total() != 3:
        yield f"{rest.total()} orders rest"


def one_more_group(world: World) -> Iterator[str]:
    there = [group for group in groups(world) if group["contracts_limit_fp"] == "7.00"]
    if len(there) != 1:
        yield f"{len(there)} groups were made"


def triggered(world: World) -> Iterator[str]:
    if not all(group["is_auto_cancel_enabled"] for group in groups(world)):
        yield "the group is not triggered"


def gone(world: World) -> Iterator[str]:
    if groups(world):
        yield "the group is still there"


def taking_orders(world: World) -> Iterator[str]:
    if any(group["is_auto_cancel_enabled"] for group in groups(world)):
        yield "the group is still triggered"


def limited(world: World) -> Iterator[str]:
    if [group["contracts_limit_fp"] for group in groups(world)] != ["9.00"]:
        yield "the group does not have its new limit"


@dataclass(frozen=True)
class Scenario:
    """What is killed, and what must come of it."""

    name: str
    argv: tuple[str, ...]  # THEIRS: the order_id of the other's order; FIRST, SECOND: of two under one id
    floor: int  # so many seams there are at least
    prepare: Callable[[World], None]
    wrong: Callable[[World], Iterator[str]]


SCENARIOS = [
    Scenario("clear", ("halt", "--cancel"), 40, place_and_queue, cleared),
    Scenario("cancel_account", ("cancel", "--account"), 40, place, account_canceled),
    Scenario("cancel_other", ("cancel", "THEIRS"), 20, place_and_see, theirs_canceled),
    Scenario("cancel_second", ("cancel", "SECOND"), 20, double, second_canceled),
    Scenario("withdraw", ("withdraw", "--batch", "queued"), 7, queue, withdrawn),
    Scenario("acknowledge", ("resolve", "FIRST", "--acknowledge", "SECOND"), 7, double, looked_at),
    Scenario("group_create", ("group", "create", "--limit", "7", "--name", "new"), 14, one_group, one_more_group),
    Scenario("group_trigger", ("group", "trigger", "old"), 14, one_group, triggered),
    Scenario("group_reset", ("group", "reset", "old"), 14, one_triggered_group, taking_orders),
    Scenario("group_delete", ("group", "delete", "old"), 14, one_group, gone),
    Scenario("group_limit", ("group", "limit", "old", "9"), 14, one_group, limited),
]


def _named(world: World) -> dict[str, str]:
    """The words for order_ids in a scenario, as far as there are such orders."""
    orders = [(str(order["client_order_id"]), str(order["order_id"])) for order in world.sandbox.orders()]
    names = {name.upper(): order_id for name, order_id in orders if name == "theirs"}
    twice = [order_id for name, order_id in orders if [each for each, _ in orders].count(name) > 1]
    return names | dict(zip(("FIRST", "SECOND"), twice, strict=False))


def lives(scenario: Scenario, world: World, nth: int) -> list[Life]:
    """Killed at that seam, then run again until it says that it is done."""
    argv = [_named(world).get(word, word) for word in scenario.argv]
    history = [world.live(*argv, nth=nth)]
    while history[-1].code not in (0, 2) and len(history) <= MOST_TRIES:
        history.append(world.live(*argv))
    return history


def problems(world: World, prepared: int) -> Iterator[str]:
    """What must never be, of all requests after the one that ended the preparation."""
    seen = inspection.facts(world.ledger, world.exchange)
    yield from inspection.unfinished(seen)
    for action in seen.actions:
        if action["state"] in ("queued", "on_wire", "in_doubt", "parked"):
            yield f"unfinished: {action['kind']} {action['key']} is {action['state']}"
    signed = {request["signed_ms"] for request in seen.wire if request["seq"] <= prepared}
    yield from (each for each in inspection.actions_safe(seen) if not any(str(ms) in each for ms in signed))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_kill_at_any_seam_leaves_nothing_half_done(
    scenario: Scenario, nursery: Nursery, exchange_key: Path, tmp_path: Path
) -> None:
    template = tmp_path / "template"
    give_key(template, exchange_key)
    with new_world(template, nursery, SETTINGS, **EXCHANGE) as world:
        scenario.prepare(world)
        prepared = max((request["seq"] for request in world.sandbox.log()), default=0)
    with_all = tmp_path / "whole"
    copy_world(template, with_all)
    with new_world(with_all, nursery, SETTINGS, **EXCHANGE) as world:
        (whole,) = lives(scenario, world, 0)
        assert list(scenario.wrong(world)) == [], whole
        assert list(problems(world, prepared)) == [], whole
    assert len(whole.seams) >= scenario.floor

    def one_seam(nth: int) -> list[str]:
        place = tmp_path / str(nth)
        copy_world(template, place)
        with new_world(place, nursery, SETTINGS, **EXCHANGE) as world:
            history = lives(scenario, world, nth)
            found = [*scenario.wrong(world), *problems(world, prepared)]
            # Killed where it had done all, a group_create says the second time that the name is taken (2).
            if history[-1].code not in (0, 2):
                found.append(f"it ended with {history[-1].code}")
            check = world.live("db", "check")
            found += [] if check.code == 0 else [f"P7: `oms db check`: {check.out}"]
            return [f"{scenario.name} OMS_TEST_SEAM={nth}: {each}\n{chr(10).join(map(str, history))}" for each in found]

    numbers = [ONLY] if ONLY else list(range(1, len(whole.seams) + 1))
    found = list(itertools.chain(side_by_side(numbers, one_seam, AT_A_TIME)))
    assert not found, "\n".join(found[:3])
