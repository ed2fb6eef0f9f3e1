"""The simulated world: a life ends at any of its steps, and the next ones make whole what it left."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.errors import LedgerBusy
from oms.lab.crash import Steps
from oms.lab.judge import judge
from oms.lab.network import WELL, Fate
from oms.lab.world import Life, World

ROWS = [
    {"ticker": "SBXRAIN-A-T10", "side": "bid", "count": 2, "price": "0.01"},
    {"ticker": "SBXGAME-A-T10", "action": "buy", "side": "no", "count": 1, "price": "0.30"},
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder where syncs cost nothing, if there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


def test_a_life_without_harm_places_every_order(folder: Path) -> None:
    with World(folder) as world:
        life = world.live("submit", ROWS, batch="b")
        assert (life.exit_code, life.report.counts, life.crashed) == (0, {"resting": 2}, "")
        assert world.live("reconcile").exit_code == 0
        assert judge(world.ledger_path, world.exchange_path, is_settled=True) == []


def test_a_kill_at_many_steps_of_a_submission_is_made_whole_by_the_next_one(folder: Path) -> None:
    """At every step of many scenarios: tests marked lab."""
    for step in itertools.count(1, 9):
        with World(folder / str(step)) as world:
            life = world.live("submit", ROWS, batch="b", crash_at=step)
            assert world.live("submit", ROWS, batch="b").exit_code == 0, life
            assert world.live("reconcile").exit_code == 0, life
            assert judge(world.ledger_path, world.exchange_path, is_settled=True) == [], life
        if not life.crashed:
            break
    assert step > 50


def test_a_second_process_beside_a_sleeping_one_learns_that_the_ledger_is_in_use(folder: Path) -> None:
    seen: list[Life] = []
    with World(folder) as world:

        def beside(steps: Steps, name: str) -> None:
            if name.startswith("send POST") and not seen:
                seen.append(world.live("reconcile", wait_s=0))
                seen.append(world.live("submit", ROWS[:1], batch="c", wait=False))

        assert world.live("submit", ROWS, batch="b", on_step=beside).exit_code == 0
        assert isinstance(seen[0].error, LedgerBusy)
        assert seen[1].report.queued == 1 or seen[1].report.counts == {"resting": 1}
        assert world.live("drain").exit_code == 0
        assert world.live("reconcile").exit_code == 0
        assert judge(world.ledger_path, world.exchange_path, is_settled=True) == []


def test_a_life_that_is_asked_to_stop_leaves_the_rest_queued(folder: Path) -> None:
    rows = [{**ROWS[0], "tag": str(number)} for number in range(40)]

    def stop(steps: Steps, name: str) -> None:
        if name.startswith("answer POST"):
            steps.interrupt(15)

    with World(folder, settings={"OMS_SUBMIT__BATCH_SIZE": "1"}) as world:
        life = world.live("submit", rows, batch="b", on_step=stop)
        assert (life.exit_code, life.report.in_doubt, life.crashed) == (143, 0, "")
        assert life.report.queued > 0
        assert judge(world.ledger_path, world.exchange_path, is_settled=False) == []


def test_what_has_left_arrives_after_its_sender_has_died(folder: Path) -> None:
    slow = Fate("slow", out_us=400_000)
    one_each = {"OMS_SUBMIT__BATCH_SIZE": "1"}
    with World(folder, settings=one_each, fates=lambda x: slow if x.method == "POST" else WELL) as world:

        def placed() -> int:
            return len(world.exchange.state.accounts[world.exchange.state.user_id].orders)

        def die(steps: Steps, name: str) -> None:
            if name.startswith("send POST") and world.network.met.get("slow"):
                steps.end(name)  # the first has left, the second has not

        assert world.live("submit", ROWS, batch="b", on_step=die).crashed
        assert placed() == 0
        world.wait(1)
        assert placed() == 1
        assert world.live("submit", ROWS, batch="b").exit_code == 0
        assert world.live("reconcile").exit_code == 0
        assert placed() == 2
        assert judge(world.ledger_path, world.exchange_path, is_settled=True) == []
