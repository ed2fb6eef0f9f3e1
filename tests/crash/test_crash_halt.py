"""A halt from another process, when everything else is in the way: a run in mid-batch, a full disk, a locked or damaged
ledger, a broken configuration. Real processes of their own interpreters, or lives with a disk that takes nothing more.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.crash import inspection
from tests.crash.lives import World, wait_for

pytestmark = pytest.mark.slow

SETTINGS = {"submit__in_flight_horizon_s": "0.3", "submit__concurrency": "2", "submit__batch_size": "1"}
ROWS = [
    {"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.{n:02}", "count": count}
    for count in ("1", "2")
    for n in range(1, 31)
]


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    """A ledger that has had a run already, at an exchange that takes its time."""
    world = world_of(SETTINGS, tier="unlimited", latency_ms=20)
    placed = world.live("submit", world.file([{**ROWS[0], "count": "3"}], "before.jsonl"))
    assert placed.code == 0, placed
    return world


def halt_file(world: World) -> bool:
    return os.path.exists(f"{world.ledger}.halt")


def states(world: World) -> list[str]:
    return [command["state"] for command in inspection.facts(world.ledger, world.exchange).commands]


def test_a_halt_from_another_process_stops_a_run_in_mid_batch(world: World) -> None:
    world.sandbox.control(latency_ms=300)
    living = world.begin("submit", world.file(ROWS))
    wait_for(lambda: living.seams().count("after all bytes") >= 10)
    with world.start("halt", "--reason", "enough") as halting:
        assert halting.wait(timeout=20) == 0
    halted_at_us = time.time_ns() // 1000
    life = living.end()
    assert life.code == 6, life
    assert "enough" in life.err
    assert set(states(world)) == {"accepted", "queued"}
    late = [r for r in world.sandbox.log() if r["operation"] == "CreateOrderV2" and r["at_us"] > halted_at_us + 400_000]
    assert late == []
    seen = inspection.facts(world.ledger, world.exchange)
    assert inspection.actions_safe(seen) == []
    assert sum(order["status"] == "resting" for order in seen.orders) == states(world).count("accepted")

    again = world.live("submit")
    assert (again.code, "enough" in again.err, "oms unhalt" in again.err) == (6, True, True), again
    world.sandbox.control(latency_ms=0)
    assert world.live("unhalt").code == 0
    assert world.live("submit").code == 0
    assert set(states(world)) == {"accepted"}
    assert list(inspection.once(inspection.facts(world.ledger, world.exchange))) == []


def test_a_halt_with_cancel_stops_the_run_and_clears_what_it_has_placed(world: World) -> None:
    world.sandbox.control(latency_ms=300)
    living = world.begin("submit", world.file(ROWS))
    wait_for(lambda: living.seams().count("after all bytes") >= 10)
    with world.start("halt", "--cancel", "-o", "json") as halting:
        out, err = halting.communicate(timeout=60)
    assert halting.returncode == 0, err
    answer = json.loads(out)
    assert (answer["cancel_all"], answer["resting"], answer["withdrawn"] > 0) == ("accepted", [], True)
    assert living.end().code == 6
    assert {order["status"] for order in world.sandbox.orders()} == {"canceled"}
    assert {order["status"] for order in inspection.facts(world.ledger, world.exchange).orders} == {
        "canceled",
        "unsent",
    }


def test_it_holds_on_a_full_disk(world: World) -> None:
    life = world.live("halt", "--reason", "full", largest_file=1)
    assert life.code == 0, life
    assert halt_file(world)
    assert world.live("submit", world.file(ROWS[:3])).code == 6


def test_it_holds_while_somebody_keeps_the_ledger_locked(world: World) -> None:
    with closing(sqlite3.connect(world.ledger, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        with world.start("halt") as halting:
            assert halting.wait(timeout=30) == 0
        database.execute("ROLLBACK")
    assert halt_file(world)
    assert world.live("submit", world.file(ROWS[:3])).code == 6


def test_it_holds_for_a_ledger_that_is_damaged(world: World) -> None:
    content = bytearray(world.ledger.read_bytes())
    content[:4096] = os.urandom(4096)
    world.ledger.write_bytes(content)
    life = world.live("halt", "-o", "json")
    assert life.code == 0, life
    assert json.loads(life.out)["ledgers"][0]["reason"] == "halted by hand"
    assert halt_file(world)


@pytest.mark.parametrize("content", ["[submit\nttl_s = ", '[ledger]\nurll = "x"\n'])
def test_it_holds_where_the_configuration_cannot_be_read(world: World, content: str) -> None:
    config = world.directory / "config.toml"
    config.write_text(content)
    life = world.live("halt", "--config", config, "-o", "json")
    assert life.code == 0, life
    assert [each["ledger"] for each in json.loads(life.out)["ledgers"]] == [str(world.ledger)]
    assert halt_file(world)
    assert world.live("unhalt", "--ledger", world.ledger).code == 0
    assert not halt_file(world)
    refused = world.live("halt", "--cancel", "--config", config)
    assert (refused.code, "nothing was canceled" in refused.err) == (2, True), refused
    assert halt_file(world)


def test_a_ledger_that_only_the_broken_file_names_is_found_in_it(world: World) -> None:
    config = world.directory / "config.toml"
    config.write_text(f'[ledger]\nurl = "sqlite:///{world.ledger}"\n[broken\n')
    life = world.live("halt", "--config", config, env={"OMS_LEDGER__URL": ""})
    assert life.code == 0, life
    assert halt_file(world)


def test_where_there_is_nothing_to_halt_it_says_how_to_name_it(world: World) -> None:
    config = world.directory / "config.toml"
    config.write_text("[broken\n")
    life = world.live("halt", "--config", config, env={"OMS_LEDGER__URL": ""})
    assert (life.code, "--ledger FILE" in life.err) == (2, True), life


def test_status_and_reconcile_show_it_and_the_way_out(world: World) -> None:
    assert world.live("halt", "--reason", "looking").code == 0
    status = world.live("status", "--offline", "-o", "json")
    assert (status.code, json.loads(status.out)["halted"]) == (0, "looking")
    assert "oms unhalt" in status.err
    reconciled = world.live("reconcile")
    assert (reconciled.code, "looking" in reconciled.err, "oms unhalt" in reconciled.err) == (0, True, True), reconciled
