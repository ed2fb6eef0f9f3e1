"""Several processes on one ledger at once, the one that sends killed while the others wait: each order once (P2)."""

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.crash import inspection
from tests.crash.lives import Life, Living, World, wait_for

pytestmark = pytest.mark.slow

SETTINGS = {"submit__in_flight_horizon_s": "0.3", "submit__concurrency": "2", "submit__batch_size": "1"}


# A program that places one order after the other and goes on with its epoch where nobody came in between.
SINGLES = """
from oms import Oms
with Oms.open() as oms:
    row = {"ticker": "SBXTEMP-A-T10", "side": "bid", "price": "0.01"}
    reports = [oms.submit([{**row, "count": n}]) for n in range(1, 9)]
    print("placed", sum(report.exit_code == 0 for report in reports))
"""


def rows(first_cent: int, count: int) -> list[dict[str, Any]]:
    """Orders that rest, no two alike."""
    cents = range(first_cent, first_cent + count)
    return [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.{n:02}", "count": str(1 + n)} for n in cents]


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    """An exchange that takes its time, so that a run lasts long enough to be met by another."""
    return world_of(SETTINGS, tier="unlimited", latency_ms=25)


def make_ledger(world: World) -> None:
    """A ledger that has had a run: no first start is among those that follow."""
    assert world.live("submit", world.file(rows(30, 1), "first.jsonl")).code == 0


def sent(living: Living, orders: int) -> bool:
    return living.seams().count("after all bytes") >= orders


def wrong(world: World, expected: list[str]) -> list[str]:
    return inspection.problems(world.ledger, world.exchange, expected)


def told(*lives: Life) -> str:
    return "\n".join(map(str, lives))


@pytest.mark.fault(32)
def test_three_processes_with_three_files_place_every_order_once(world: World) -> None:
    files = [world.file(rows(1 + 7 * n, 6), f"{n}.jsonl") for n in range(3)]
    running = [world.start("submit", file, "-o", "json") for file in files]
    answers = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], answers
    for out, _ in answers:
        assert [order["status"] for order in json.loads(out)["orders"]] == ["resting"] * 6
    assert wrong(world, ["resting"] * 18) == []
    assert inspection.posts(world.exchange) == 18


@pytest.mark.fault(78)
def test_the_same_file_three_times_at_once_is_one_batch(world: World) -> None:
    file = world.file(rows(1, 8))
    lives = [living.end() for living in [world.begin("submit", file, "-o", "json") for _ in range(3)]]
    assert [life.code for life in lives] == [0, 0, 0], told(*lives)
    assert len({json.dumps([order["order_id"] for order in life.orders]) for life in lives}) == 1
    assert sorted(life.orders[0]["preexisting"] for life in lives) == [False, True, True], told(*lives)
    assert wrong(world, ["resting"] * 8) == []
    assert inspection.posts(world.exchange) == 8


@pytest.mark.fault(91)
def test_submit_cancel_and_reconcile_at_once_leave_one_truth(world: World) -> None:
    make_ledger(world)
    (first,) = inspection.facts(world.ledger, world.exchange).orders
    submitting = world.begin("submit", world.file(rows(1, 12)))
    wait_for(lambda: sent(submitting, 2))
    others = [world.begin("cancel", first["client_order_id"]), world.begin("reconcile")]
    lives = [living.end() for living in [submitting, *others]]
    assert [life.code for life in lives] == [0, 0, 0], told(*lives)
    assert wrong(world, ["canceled"] + ["resting"] * 12) == []


@pytest.mark.fault(32, 95)
def test_programs_and_the_command_line_take_turns_on_one_ledger(world: World) -> None:
    make_ledger(world)
    programs = [world.program(SINGLES) for _ in range(2)]
    lives = [world.live("submit", world.file(rows(1 + 5 * n, 4), f"{n}.jsonl")) for n in range(3)]
    answers = [program.communicate(timeout=60) for program in programs]
    assert [answer[0] for answer in answers] == ["placed 8\n"] * 2, answers
    assert [life.code for life in lives] == [0, 0, 0], told(*lives)
    assert wrong(world, ["resting"] * 29) == []
    assert inspection.posts(world.exchange) == 29


def test_a_batch_recorded_while_another_sends_is_sent_by_that_one(world: World) -> None:
    make_ledger(world)
    submitting = world.begin("submit", world.file(rows(1, 14)))
    wait_for(lambda: sent(submitting, 1))
    quick = world.live("submit", world.file(rows(40, 4), "more.jsonl"), "--no-wait")
    assert quick.code == 0, quick
    assert "before first byte" not in quick.seams
    assert submitting.end().code == 0
    assert wrong(world, ["resting"] * 19) == []


def test_when_the_sender_is_killed_one_that_waits_takes_over(world: World) -> None:
    make_ledger(world)
    sender = world.begin("submit", world.file(rows(1, 10)))
    wait_for(lambda: sent(sender, 3))
    waiting = [
        world.begin("submit", world.file(rows(20, 3), "b.jsonl")),
        world.begin("submit", world.file(rows(1, 10))),
    ]
    wait_for(lambda: "after commit" in waiting[0].seams())
    sender.child.kill(signal.SIGKILL)
    lives = [living.end() for living in waiting]
    assert sender.end().was_killed
    assert [life.code for life in lives] == [0, 0], told(*lives)
    assert wrong(world, ["resting"] * 14) == []


@pytest.mark.fault(10)
def test_each_that_takes_over_may_be_killed_too(world: World) -> None:
    make_ledger(world)
    file = world.file(rows(1, 10))
    first = world.begin("submit", file, at="after all bytes", nth=3)
    wait_for(lambda: "after .gate" in first.seams())  # it records, and sends: the others wait for it
    doomed = [first, *(world.begin("submit", file, at="after all bytes", nth=nth) for nth in (2, 1))]
    survivor = world.begin("submit", file)
    lives = [living.end() for living in [*doomed, survivor]]
    assert lives[-1].code == 0, told(*lives)
    assert sum(life.was_killed for life in lives) >= 1, told(*lives)
    assert wrong(world, ["resting"] * 11) == []


def test_a_ledger_that_stays_busy_is_exit_6_for_a_reconcile_that_will_not_wait(world: World) -> None:
    make_ledger(world)
    world.sandbox.control(faults=[{"match": {"method": "POST", "nth": 3}, "fault": {"kind": "delay", "ms": 2000}}])
    sender = world.begin("submit", world.file(rows(1, 14)))
    wait_for(lambda: sent(sender, 3))
    refused = world.live("reconcile", "--wait", "0")
    assert refused.code == 6, refused
    assert f"pid {sender.child.pid}" in refused.err
    assert sender.end().code == 0
    assert wrong(world, ["resting"] * 15) == []


@pytest.mark.fault(94)
def test_a_sender_whose_lock_was_deleted_is_fenced_by_the_epoch_of_the_next(world: World) -> None:
    """Two processes that both hold "the" lock: whoever opened the newer epoch goes on, the other sends nothing more."""
    make_ledger(world)
    match = {"operation": "CreateOrderV2", "nth": 3, "times": 2}
    world.sandbox.control(faults=[{"match": match, "fault": {"kind": "delay", "ms": 1000}}])
    file = world.file(rows(1, 12))
    first = world.begin("submit", file)
    wait_for(lambda: sent(first, 4))
    world.ledger.with_name(world.ledger.name + ".lock").unlink()
    second = world.live("submit", file)
    ended = first.end()
    assert second.code == 0, second
    assert ended.seams.count("after all bytes") <= 4 + 2, ended
    assert wrong(world, ["resting"] * 13) == []
    assert inspection.posts(world.exchange) == 13
    assert ended.code in (1, 3, 6), ended
    assert "lost this ledger" in ended.err


@pytest.mark.fault(32)
def test_a_ledger_with_a_second_name_is_refused_and_one_behind_a_symbolic_link_is_the_same(world: World) -> None:
    make_ledger(world)
    second = world.ledger.with_name("second.sqlite3")
    elsewhere = {"OMS_LEDGER__URL": f"sqlite:///{second}"}
    second.hardlink_to(world.ledger)
    refused = world.live("submit", world.file(rows(1, 3)), env=elsewhere)
    assert refused.code == 2, refused
    assert inspection.posts(world.exchange) == 1
    second.unlink()
    second.symlink_to(world.ledger)
    living = [
        world.begin("submit", world.file(rows(1, 8))),
        world.begin("submit", world.file(rows(1, 8)), env=elsewhere),
    ]
    lives = [each.end() for each in living]
    assert [life.code for life in lives] == [0, 0], told(*lives)
    assert wrong(world, ["resting"] * 9) == []
    assert inspection.posts(world.exchange) == 9
