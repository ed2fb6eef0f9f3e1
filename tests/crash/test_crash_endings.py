"""Other ways for a run to end than SIGKILL: signals, a long sleep, a full disk, a ledger taken away, nobody reading.

In each the exit code tells the truth (3 while anything is unsettled, 130 and 143 for a signal), nothing is sent after
the ledger has failed (P1), and the next run finishes exactly once what this one began.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash import inspection
from tests.crash.lives import Living, World, wait_for

pytestmark = pytest.mark.slow

SETTINGS = {"submit__in_flight_horizon_s": "0.3", "submit__concurrency": "2", "submit__batch_size": "1"}
ROWS = [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.{n:02}", "count": "1"} for n in range(1, 13)]
BEFORE = [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": "0.30", "count": "1"}]
PLACED = ["resting"] * 13


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    """A ledger that has had a run already, at an exchange that takes its time."""
    world = world_of(SETTINGS, tier="unlimited", latency_ms=20)
    assert world.live("submit", world.file(BEFORE, "before.jsonl")).code == 0
    return world


def posts_after_claims(living: Living, count: int) -> bool:
    return living.seams().count("after all bytes") >= count


def begin(world: World, **how: Any) -> Living:
    return world.begin("submit", world.file(ROWS), **how)


def slow_down(world: World, nth: int, ms: int, times: int = 1) -> None:
    """From the nth create on, so many answers come that much later."""
    world.sandbox.control(
        faults=[
            {"match": {"operation": "CreateOrderV2", "nth": nth, "times": times}, "fault": {"kind": "delay", "ms": ms}}
        ]
    )


def states(world: World) -> list[str]:
    return [command["state"] for command in inspection.facts(world.ledger, world.exchange).commands]


def finish(world: World) -> None:
    """The next run, undisturbed, leaves one order for each row."""
    world.sandbox.control(faults=[])
    life = world.live("submit", world.file(ROWS))
    assert life.code == 0, life
    assert inspection.problems(world.ledger, world.exchange, PLACED) == [], life


@pytest.mark.fault(13)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_answers_in_flight_come_in_and_leaves_the_rest_queued(
    world: World, number: signal.Signals, code: int
) -> None:
    slow_down(world, nth=3, ms=600, times=2)
    living = begin(world)
    wait_for(lambda: posts_after_claims(living, 4))
    living.child.kill(number)
    life = living.end()
    assert life.code == code, life
    assert set(states(world)) == {"accepted", "queued"}
    assert life.seams.count("after all bytes") == states(world).count("accepted") - 1
    finish(world)


@pytest.mark.fault(13)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_it_at_once(world: World, number: signal.Signals, code: int) -> None:
    slow_down(world, nth=3, ms=60_000, times=2)
    living = begin(world)
    wait_for(lambda: posts_after_claims(living, 4))
    living.child.kill(number)
    wait_for(lambda: states(world).count("queued"))
    living.child.kill(number)
    assert living.end(timeout_s=5).code == code
    assert "on_wire" in states(world)
    finish(world)


@pytest.mark.fault(14)
def test_a_run_that_slept_hands_back_what_it_had_claimed_ahead(world: World) -> None:
    """Stopped for over five seconds with claims ahead of its senders: they are older than a claim may be."""
    slow_down(world, nth=3, ms=300, times=2)
    living = begin(world)
    wait_for(lambda: posts_after_claims(living, 4))
    living.child.kill(signal.SIGSTOP)
    stopped_at_us = world.sandbox.log()[-1]["at_us"]
    wait_for(lambda: time.time_ns() // 1000 - stopped_at_us > 5_200_000)
    living.child.kill(signal.SIGCONT)
    life = living.end()
    assert life.code == 0, life
    assert inspection.problems(world.ledger, world.exchange, PLACED) == []
    handed_back = [event for event in _events(world, "not_processed") if "old" in event["data"]]
    assert handed_back, "nothing had been claimed ahead"
    late = [r for r in world.sandbox.log() if r["signed_ms"] and r["at_us"] // 1000 - r["signed_ms"] > 5_000]
    assert late == []


def _events(world: World, kind: str) -> list[dict[str, Any]]:
    return [event for event in inspection.facts(world.ledger, world.exchange).events if event["kind"] == kind]


@pytest.mark.fault(21)
@pytest.mark.parametrize("largest_file", [20_000, 60_000, 120_000, 180_000])
def test_a_full_disk_ends_the_run_before_anything_else_is_sent(world: World, largest_file: int) -> None:
    life = begin(world, largest_file=largest_file).end()
    seen = inspection.facts(world.ledger, world.exchange)
    assert inspection.safety(seen) == []
    states = {command["state"] for command in seen.commands}
    # Exit 1 says that nothing of it is live, so it must not be given where some rest and others are still queued.
    is_begun = "accepted" in states and "queued" in states
    assert life.code == (3 if is_begun or states & {"on_wire", "in_doubt"} else 1), life
    assert "nothing more was sent" in life.err
    finish(world)


def rename(path: Path) -> None:
    path.rename(path.with_name("moved.sqlite3"))


def replace(path: Path) -> None:
    other = path.with_name("other.sqlite3")
    other.write_bytes(path.read_bytes())
    other.rename(path)


@pytest.mark.fault(31)
@pytest.mark.parametrize("harm", [rename, replace, Path.unlink], ids=["renamed", "replaced", "unlinked"])
def test_a_ledger_taken_away_under_a_run_stops_it(world: World, harm: Callable[[Path], None]) -> None:
    slow_down(world, nth=3, ms=300, times=2)
    living = begin(world)
    wait_for(lambda: posts_after_claims(living, 4))
    copy = world.directory / "kept.sqlite3"
    copy.hardlink_to(world.ledger)
    harm(world.ledger)
    life = living.end()
    assert life.code == 3, life
    # What was claimed by then may still leave: two senders, and one claim ahead of each.
    assert life.seams.count("after all bytes") <= 4 + 2, life
    for name in (world.ledger.name, "moved.sqlite3"):
        world.ledger.with_name(name).unlink(missing_ok=True)
    copy.rename(world.ledger)
    finish(world)


@pytest.mark.fault(19)
def test_a_reader_of_the_answer_that_goes_away_disturbs_nothing(world: World) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = world.start("submit", world.file(ROWS), "-o", "jsonl", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert inspection.problems(world.ledger, world.exchange, PLACED) == []


@pytest.mark.fault(19)
def test_an_answer_that_cannot_be_written_disturbs_nothing(world: World) -> None:
    with Path("/dev/full").open("w") as full:
        process = world.start("submit", world.file(ROWS), "-o", "json", stdout=full, stderr=full)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert inspection.problems(world.ledger, world.exchange, PLACED) == []
