"""The tier of power loss for planted bugs: one command, the power cut at every n-th of its steps, every send witnessed.

And that of a failing disk: one command, an error of the disk at every n-th position.
"""

import errno
from pathlib import Path

from oms.lab.judge import judge
from tests.lab.mutants.planting import Trial
from tests.lab.power.bench import Bench, fates_at
from tests.lab.power.disk import Disk
from tests.lab.power.faults import every_fault
from tests.lab.power.files import covered
from tests.lab.power.scenarios import SCENARIOS
from tests.lab.power.vfs import PowerVfs, library
from tests.lab.power.worlds import PowerWorld


def power(trial: Trial, folder: Path) -> tuple[list[str], int, int]:
    """Breaches, and how many lives and runs it took to the first."""
    found = library()
    assert found is not None, "this Python's SQLite cannot be reached"
    made = folder / "ledger"
    made.mkdir()
    disk = Disk(made)
    with PowerVfs(found).mounted(disk), covered(disk):
        bench = Bench(folder, disk, SCENARIOS[trial.story], trial.story)
        return _failed(bench, trial.budget) if trial.tier == "disk" else _cut(bench, trial.budget)


def _failed(bench: Bench, stride: int) -> tuple[list[str], int, int]:
    said = []
    try:
        every_fault(bench, errno.EIO, is_sticky=False, stride=stride)
    except AssertionError as exc:
        said = [f"I15: {exc}"]
    runs = bench.counted.runs + len(said)
    return said, 3 * runs, runs


def _cut(bench: Bench, stride: int) -> tuple[list[str], int, int]:
    lives, runs = 0, 0
    with bench.begun() as world:
        bench.live(world)
        if world.witness.breaches:
            return world.witness.breaches, 1, 1
    names = bench.names()
    for nth in range(1, len(names) + 1, stride):
        for loss in fates_at(names, nth):
            with bench.begun() as world:
                bench.ended(world, nth, loss)
                breaches = _concluded(bench, world)
                lives, runs = lives + 3, runs + 1
            if breaches:
                return breaches, lives, runs
    return [], lives, runs


def _concluded(bench: Bench, world: PowerWorld) -> list[str]:
    bench.live(world)
    world.live("reconcile")
    found = judge(world.ledger_path, world.exchange_path, is_settled=True)
    return [*world.witness.breaches, *map(str, found)]
