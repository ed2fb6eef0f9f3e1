"""Faults of the process: killed or stopped in the middle of a request, no descriptors, no memory, nobody listening."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oms.venue import orders
from tests.contract import worlds
from tests.crash import inspection
from tests.crash.lives import World, wait_for
from tests.lab.between import Carry, between, is_create
from tests.venue.hostile import Conn, Seen

pytestmark = pytest.mark.slow

SETTINGS = {
    "submit__in_flight_horizon_s": "0.3",
    "submit__concurrency": "2",
    "submit__batch_size": "1",
    "venue__timeout_s": "2",
    "submit__wait_s": "2",
}
ROWS = [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.{n:02}", "count": "1"} for n in range(1, 7)]
PLACED = ["resting"] * len(ROWS)


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    return world_of(SETTINGS, tier="unlimited")


def finish(world: World, expected: list[str] = PLACED) -> None:
    """The next run, undisturbed, leaves one order for each row."""
    life = world.live("submit", world.file(ROWS))
    assert life.code == 0, life
    assert inspection.problems(world.ledger, world.exchange, expected) == [], life


def through(server: Any) -> dict[str, str]:
    """The variable that leads a life through that server."""
    return {"OMS_VENUE__SANDBOX__BASE_URL": server.base_url}


@pytest.mark.fault(5)
@pytest.mark.parametrize("nth", [1, 3])
def test_half_a_request_is_nothing_to_the_exchange_and_is_sent_again(world: World, nth: int) -> None:
    life = world.live("submit", world.file(ROWS), nth=nth, at="after half")
    assert life.was_killed
    arrived = [each for each in world.sandbox.log() if each["operation"] == "CreateOrderV2"]
    assert len(arrived) < life.seams.count("before first byte")
    assert len(world.sandbox.orders()) == len(arrived)
    seen = inspection.facts(world.ledger, world.exchange)
    assert inspection.safety(seen) == []
    assert "on_wire" in {command["state"] for command in seen.commands}
    finish(world)


@pytest.mark.fault(7)
def test_killed_with_the_answer_in_its_socket_it_finds_the_order(world: World) -> None:
    pids: list[int] = []
    begun = threading.Event()

    def act(conn: Conn, seen: Seen, carry: Carry) -> bytes | None:
        if not is_create(seen):
            return carry(seen)
        begun.wait(20)
        os.kill(pids[0], signal.SIGSTOP)
        conn.send(carry(seen))
        os.kill(pids[0], signal.SIGKILL)
        return None

    with between(world.sandbox, act) as server:
        one_at_a_time = {"OMS_SUBMIT__CONCURRENCY": "1"}
        living = world.begin("submit", world.file(ROWS), env=through(server) | one_at_a_time)
        pids.append(living.child.pid)
        begun.set()
        life = living.end()
    assert life.was_killed
    assert "after answer" not in life.seams
    assert [order["status"] for order in world.sandbox.orders()] == ["resting"]
    finish(world)
    assert inspection.posts(world.exchange) == len(ROWS)


@pytest.mark.fault(14)
def test_stopped_in_mid_request_beyond_its_deadline_it_takes_up_the_order_that_was_placed(world: World) -> None:
    """The machine freezes with a request at the exchange and is resumed when its answer is old."""
    stopped: list[float] = []
    pids: list[int] = []
    begun = threading.Event()

    def act(conn: Conn, seen: Seen, carry: Carry) -> bytes | None:
        if is_create(seen) and not stopped:
            begun.wait(20)
            os.kill(pids[0], signal.SIGSTOP)
            stopped.append(time.monotonic())
        return carry(seen)

    with between(world.sandbox, act) as server:
        living = world.begin("submit", world.file(ROWS), env=through(server))
        pids.append(living.child.pid)
        begun.set()
        wait_for(lambda: stopped and time.monotonic() - stopped[0] > 2.2)
        living.child.kill(signal.SIGCONT)
        life = living.end()
    assert life.code == 0, life
    assert inspection.problems(world.ledger, world.exchange, PLACED) == []
    assert inspection.posts(world.exchange) == len(ROWS)
    stale = [
        each for each in world.sandbox.log() if each["signed_ms"] and each["at_us"] // 1000 - each["signed_ms"] > 5000
    ]
    assert stale == []


@pytest.mark.fault(18)
@pytest.mark.parametrize("bug", [MemoryError, RecursionError, SystemExit], ids=lambda bug: bug.__name__)
def test_a_sender_out_of_memory_leaves_a_doubt_and_the_order_is_found(
    own_world: worlds.World, monkeypatch: pytest.MonkeyPatch, bug: type[BaseException]
) -> None:
    """It strikes when the exchange has the order already and its answer is about to be read."""
    real = orders.read_create
    struck: list[str] = []

    def read_create(ending: Any, client_order_id: str, *rest: Any) -> Any:
        if not struck:
            struck.append(client_order_id)
            raise bug
        return real(ending, client_order_id, *rest)

    monkeypatch.setattr(orders, "read_create", read_create)
    run = own_world.submit([worlds.row() for _ in range(3)])
    assert run.exit_code == 0
    assert own_world.events(struck[0]) == ["recorded", "claimed", "attempt_unknown", "found"]
    assert run.book() == ["resting"] * 3
    assert len(own_world.sent()) == 3


@pytest.mark.fault(19)
@pytest.mark.parametrize("where", ["full", "closed"])
def test_a_talkative_run_whose_messages_go_nowhere_places_its_orders(world: World, where: str) -> None:
    file = world.file(ROWS)
    if where == "full":
        with Path("/dev/full").open("w") as full:
            process = world.start("submit", file, "-vv", stdout=full, stderr=full)
    else:
        reader, writer = os.pipe()
        os.close(reader)
        process = world.start("submit", file, "-vv", stdout=writer, stderr=writer)
        os.close(writer)
    assert process.wait(60) == 0
    assert inspection.problems(world.ledger, world.exchange, PLACED) == []
    assert inspection.posts(world.exchange) == len(ROWS)


DESCRIPTORS = """
import json, os, resource, sys
from importlib import import_module
for name in json.loads(sys.argv[1]):
    import_module(name)
from oms.cli.entry import run
for limit in json.loads(sys.argv[2]):
    pid = os.fork()
    if not pid:
        devnull = os.open(os.devnull, os.O_RDWR)
        os.dup2(devnull, 1), os.dup2(devnull, 2), os.close(devnull)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        os._exit(run(["submit", sys.argv[3], "--batch", f"with {limit}"]))
    print(limit, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.mark.fault(20)
def test_without_descriptors_nothing_leaves_that_is_not_in_the_ledger(world: World) -> None:
    """Lives with three descriptors, with five, and so on until nothing is lacking: each fails somewhere else."""
    from tests.crash.zygote import EARLY

    assert world.live("submit", world.file(ROWS, "first.jsonl")).code == 0
    file = world.file(ROWS[:2])
    limits = range(3, 27, 2)
    words = ["-c", DESCRIPTORS, repr(list(EARLY)).replace("'", '"'), str(list(limits)), str(file)]
    done = subprocess.run(
        [sys.executable, *words], env=world.env, cwd=world.directory, capture_output=True, text=True, check=False
    )
    codes = dict(tuple(map(int, line.split())) for line in done.stdout.splitlines())
    assert set(codes) == set(limits), done.stderr
    seen = inspection.facts(world.ledger, world.exchange)
    assert inspection.safety(seen) == []
    assert codes[limits[-1]] == 0
    assert len({code for code in codes.values() if code}) >= 1, "no limit was felt"
    assert set(codes.values()) <= {0, 1, 2, 3, 4, 6}, codes
    for limit in limits:
        assert world.live("submit", file, "--batch", f"with {limit}").code == 0
    expected = PLACED + ["resting"] * (2 * len(limits))
    assert inspection.problems(world.ledger, world.exchange, expected) == []
    assert inspection.posts(world.exchange) == len(expected)
