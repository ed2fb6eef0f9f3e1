"""Every seam of a run, one after the other: SIGKILL there, run again, and hold ledger and exchange to P1-P7.

Each scenario is run with a kill at its first seam, at its second, and so on until a run survives. In a seeded share of
the runs the recovery is killed as well. Then the same command is run to its end, and once more: that must send nothing.
Reproduce one seam with OMS_TEST_SEAM=57 and -k NAME_OF_THE_SCENARIO; the seams are told in tests/crash/seams.py.
"""

import itertools
import os
import random
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.crash import inspection
from tests.crash.lives import Life, Nursery, World, copy_world, give_key, new_world
from tests.crash.zygote import LINE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ONLY = int(os.environ.get("OMS_TEST_SEAM", "0"))
# The exchange that forgives least: an id is free again once its order has ended, and reads lag.
EXCHANGE: dict[str, Any] = {"tier": "unlimited", "dedupe": "open_only", "read_lag_ms": 60}
AT_A_TIME = 3  # lives wait for disk, exchange and horizon half of their time
SECOND_KILLS = 0.4  # the share of recoveries that are killed too
DB_CHECKS = 0.3  # the share of ends at which oms checks its ledger itself


def bid(price: str, **more: Any) -> dict[str, Any]:
    return {"ticker": "SBXRAIN-A-T10", "side": "bid", "price": price, "count": "1", **more}


IOC = {"time_in_force": "immediate_or_cancel"}
ROWS = [
    *(bid(f"0.0{n}") for n in range(1, 4)),
    bid("0.99", count="2", **IOC),
    {"ticker": "SBXRAIN-A-T20", "side": "ask", "price": "0.01", "count": "3", **IOC},
    {"ticker": "SBXRAIN-A-T20", "side": "ask", "price": "0.98", "count": "3", **IOC},
    bid("0.98", post_only=True),
    {"ticker": "SBXCOIN-A-T10", "action": "buy", "side": "no", "price": "0.014", "count": "2.50"},
]
PLACED = ["resting"] * 3 + ["executed"] * 2 + ["canceled", "rejected", "resting"]


@dataclass(frozen=True)
class Scenario:
    """What is killed, and what must come of it."""

    name: str
    floor: int  # so many seams there are at least: fewer would mean that the harness has gone blind
    run: Callable[[World, int], Life]  # one life, killed at that seam (0: to its end)
    expected: list[str]
    code_again: int  # of one more life after all is done
    prepare: Callable[[World], None] = lambda world: None
    finish: Callable[[World], object] = lambda world: None
    settings: dict[str, str] = field(default_factory=dict)


def submit(world: World, nth: int = 0) -> Life:
    return world.live("submit", world.file(ROWS), nth=nth)


def place_resting(world: World) -> None:
    placed = world.live("submit", world.file([*ROWS[:3], bid("0.04"), bid("0.05"), ROWS[3]]))
    assert placed.code == 0, placed


def cancel(world: World, nth: int = 0) -> Life:
    ids = sorted(order["client_order_id"] for order in inspection.facts(world.ledger, world.exchange).orders)
    return world.live("cancel", *ids[:5], nth=nth)


def of_price(world: World, price_e6: int) -> str:
    orders = inspection.facts(world.ledger, world.exchange).orders
    return next(str(order["client_order_id"]) for order in orders if order["price_e6"] == price_e6)


def amend(world: World, nth: int = 0) -> Life:
    return world.live("amend", of_price(world, 20_000), "--price", "0.06", "--count", "4", nth=nth)


def decrease(world: World, nth: int = 0) -> Life:
    return world.live("decrease", of_price(world, 30_000), "--to", "0.40", nth=nth)


def cancel_all(world: World, nth: int = 0) -> Life:
    return world.live("cancel", "--all", nth=nth)


def leave_doubts(world: World) -> None:
    """Some on the wire and placed, some on the wire and lost, some in doubt already, some queued."""
    lost = {"match": {"operation": "CreateOrderV2", "nth": 3, "times": 2}, "fault": {"kind": "error"}}
    unheard = {"match": {"operation": "CreateOrderV2", "nth": 1, "times": 2}, "fault": {"kind": "drop", "commit": True}}
    world.sandbox.control(faults=[lost, unheard])
    assert world.live("submit", world.file(ROWS), nth=6, at="after all bytes").was_killed
    world.sandbox.control(faults=[])


def reconcile(world: World, nth: int = 0) -> Life:
    return world.live("reconcile", nth=nth)


def have_all_refused(world: World) -> None:
    refusal = {"status": 400, "body": '{"error": {"code": "invalid_order", "message": "not today"}}'}
    match = {"operation": "CreateOrderV2", "times": 4}
    world.sandbox.control(faults=[{"match": match, "fault": {"kind": "answer", **refusal}}])
    refused = world.live("submit", world.file(ROWS[:4]), "--batch", "first")
    assert refused.code == 5, refused
    world.sandbox.control(faults=[])


def retry(world: World, nth: int = 0) -> Life:
    return world.live("submit", "--retry", "first", nth=nth)


def over_a_line(world: World, nth: int = 0) -> Life:
    """A bot that names its decisions; whatever it was told is recorded has to be (P3)."""
    named = [{**order, "client_order_id": f"decision-{n}"} for n, order in enumerate(ROWS[2:7])]
    life = world.live(LINE, world.file(named), nth=nth)
    if life.out:
        recorded = {order["client_order_id"] for order in inspection.facts(world.ledger, world.exchange).orders}
        assert set(life.out.split()) <= recorded, life
    return life


# Nothing arrives late here: an exchange on this machine has read what was sent long before.
ALL = {"submit__in_flight_horizon_s": "0.3", "submit__concurrency": "2"}
ONE_BY_ONE = {**ALL, "submit__batch_size": "1"}
RETRIED = ["rejected"] * 4 + ["resting"] * 3 + ["executed"]
CANCELED = ["canceled"] * 5 + ["executed"]
RESTING = ["resting"] * 5 + ["executed"]
BATCHED = {**ALL, "submit__batch_size": "4"}

SCENARIOS = [
    Scenario("submit_one_by_one", 76, submit, PLACED, 0, settings=ONE_BY_ONE),
    Scenario("submit_batched", 47, submit, PLACED, 0, settings=BATCHED),
    Scenario("over_a_line", 60, over_a_line, PLACED[2:7], 0, settings=ONE_BY_ONE),
    Scenario("cancel", 56, cancel, CANCELED, 0, prepare=place_resting, settings=ONE_BY_ONE),
    Scenario("cancel_all_batched", 41, cancel_all, CANCELED, 0, prepare=place_resting, settings=BATCHED),
    Scenario("amend", 40, amend, RESTING, 0, prepare=place_resting, settings=ONE_BY_ONE),
    Scenario("decrease", 40, decrease, RESTING, 0, prepare=place_resting, settings=ONE_BY_ONE),
    # Once every order of the batch is placed, there is nothing to retry: a mistake of whoever asks (2).
    Scenario("retry", 47, retry, RETRIED, 2, prepare=have_all_refused, settings=ONE_BY_ONE),
    Scenario("reconcile", 43, reconcile, PLACED, 0, prepare=leave_doubts, finish=submit, settings=ONE_BY_ONE),
]


def one_seam(scenario: Scenario, nth: int, world: World) -> bool:
    """Kill at that seam, recover, compare; whether the life survived because it has fewer seams."""
    history = [scenario.run(world, nth)]
    survived = not history[0].was_killed
    luck = random.Random(f"{scenario.name} {nth}")
    if not survived:
        found = inspection.torn(world.ledger, world.exchange)
        assert not found, tell(scenario, nth, history, found)
        if luck.random() < SECOND_KILLS:
            history.append(scenario.run(world, luck.randrange(1, 60)))
        history.append(scenario.run(world, 0))
    scenario.finish(world)
    writes = inspection.posts(world.exchange)
    history.append(scenario.run(world, 0))
    found = inspection.problems(world.ledger, world.exchange, scenario.expected)
    if inspection.posts(world.exchange) != writes:
        found.append("P6: the same command again sent something")
    if history[-1].code != scenario.code_again:
        found.append(f"the same command again ended with {history[-1].code}, not {scenario.code_again}")
    if luck.random() < DB_CHECKS:
        history.append(world.live("db", "check"))
        found += [] if history[-1].code == 0 else ["P7: `oms db check` found damage"]
    assert not found, tell(scenario, nth, history, found)
    return survived


def tell(scenario: Scenario, nth: int, history: list[Life], found: list[str] | None = None) -> str:
    lines = [f"{scenario.name}: OMS_TEST_SEAM={nth}", *(found or []), *map(str, history)]
    return "\n".join(lines)


def template_of(scenario: Scenario, nursery: Nursery, key: Path, directory: Path) -> Path:
    """The files of the world in which each life of the scenario begins."""
    template = directory / "template"
    give_key(template, key)
    with new_world(template, nursery, scenario.settings, **EXCHANGE) as world:
        scenario.prepare(world)
    return template


def through_all(scenario: Scenario, nursery: Nursery, key: Path, directory: Path) -> int:
    """Every seam until a life survives, some at a time; how many seams there were."""
    template = template_of(scenario, nursery, key, directory)
    numbers = iter([ONLY]) if ONLY else itertools.count(1)
    survivors: list[int] = []
    failed = threading.Event()

    def work() -> None:
        for nth in numbers:
            if survivors or failed.is_set():
                return
            place = directory / str(nth)
            copy_world(template, place)
            try:
                with new_world(place, nursery, scenario.settings, **EXCHANGE) as world:
                    if one_seam(scenario, nth, world):
                        survivors.append(nth)
            except BaseException:
                failed.set()
                raise
            shutil.rmtree(place)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for finished in [pool.submit(work) for _ in range(AT_A_TIME)]:
            finished.result()
    return min(survivors, default=1) - 1


@pytest.mark.fault(1, 3, 4, 6, 8, 10)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_killed_at_any_seam_a_run_is_finished_by_the_next_exactly_once(
    scenario: Scenario,
    nursery: Nursery,
    exchange_key: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    seams = through_all(scenario, nursery, exchange_key, tmp_path)
    record_property("counted", f"{scenario.name}: killed at each of {seams} seams, at least {scenario.floor}")
    assert ONLY or seams >= scenario.floor
