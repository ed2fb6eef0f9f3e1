"""The simulated world: a life ends at any of its steps, and the next ones make whole what it left."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.lab.judge import judge
from oms.lab.world import World

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


def test_a_kill_at_every_step_of_a_submission_is_made_whole_by_the_next_one(folder: Path) -> None:
    for step in itertools.count(1):
        with World(folder / str(step)) as world:
            life = world.live("submit", ROWS, batch="b", crash_at=step)
            assert world.live("submit", ROWS, batch="b").exit_code == 0, life
            assert world.live("reconcile").exit_code == 0, life
            assert judge(world.ledger_path, world.exchange_path, is_settled=True) == [], life
        if not life.crashed:
            break
    assert step > 50
