"""Every step of a life before a live exchange: end it there, cut the power or not, go on as a user would, and judge.

A step is a change of a file, a sync, a request handed over, an answer, a wait. SQL statements are none: before a commit
they change nothing. At each step of a life all of it is run again from the same beginning, because what is on its way
to the exchange cannot be copied.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from oms.lab.crash import Steps
from oms.lab.judge import judge, tally
from oms.lab.network import WELL, Fate
from oms.lab.world import Life
from oms.venue.transport import Request
from tests.lab.power.disk import Disk, Loss, Memory
from tests.lab.power.files import GONE
from tests.lab.power.steps import fates_at
from tests.lab.power.worlds import PowerWorld

_NO_STEPS = ("sql ", "commit")
_MIXED = (Loss.PREFIX, Loss.SUBSET, Loss.TORN)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One command in one situation; the same command again is how a user goes on."""

    verb: str
    arguments: tuple[Any, ...]
    orders: int  # at the exchange, when all is done
    settings: Mapping[str, str] = field(default_factory=dict)
    fates: Callable[[], Callable[[Request], Fate]] = lambda: lambda request: WELL
    before: Callable[[PowerWorld], object] = lambda world: None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Counted:
    """What a loop has done."""

    steps: int = 0
    runs: int = 0
    sends: int = 0
    opened: int = 0
    after: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.steps} steps, {self.runs} runs judged, {self.sends} sends witnessed on {self.opened} opened disks"
        )


class Bench:
    """One scenario, begun again and again in one folder."""

    def __init__(self, folder: Path, power: Disk, scenario: Scenario, name: str) -> None:
        self.scenario, self.name = scenario, name
        self.counted = Counted()
        self.lies = False  # the disk says that it syncs, and does not, until the first end
        self.power = power
        self._folder = folder
        self._fates = scenario.fates
        world = PowerWorld(folder, power, settings=scenario.settings)
        with world:
            scenario.before(world)
        self._now_us = world.clock.now_us
        self._memory: Memory = power.remembered()
        self._exchange = world.exchange_path.read_bytes()

    def begun(self) -> PowerWorld:
        """The world as it is when the command is typed."""
        self.power.recall(self._memory, GONE)
        self.power.lies = self.lies
        path = self._folder / "exchange.sqlite3"
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        path.write_bytes(self._exchange)
        world = PowerWorld(self._folder, self.power, self._fates(), self.scenario.settings)
        world.clock.now_us = self._now_us
        return world

    def live(self, world: PowerWorld, on_step: Callable[[Steps, str], None] = lambda steps, name: None) -> Life:
        """The scenario's command as one life."""
        return world.live(self.scenario.verb, *self.scenario.arguments, on_step=on_step, **self.scenario.options)

    def names(self) -> list[str]:
        """The steps of a whole life, in order."""
        reached: list[str] = []
        with self.begun() as world:
            life = self.live(world, lambda steps, name: reached.append(name) if is_step(name) else None)
            assert life.error is None, life.error
            self.conclude(world, "no crash")
        return reached

    def fates(self, names: list[str], nth: int) -> list[Loss]:
        """What may follow an end there; where the disk lies, all it ever took is lost, or nothing."""
        return [loss for loss in fates_at(names, nth) if not self.lies or loss in (Loss.NOTHING, Loss.ALL)]

    def ended(self, world: PowerWorld, nth: int, loss: Loss, counts: Callable[[str], bool] | None = None) -> Life:
        """The command, ended at its n-th step (of those that count)."""
        world.adapter.loss, world.adapter.seed = loss, nth
        numbers, is_counted = count(1), counts or is_step

        def end(steps: Steps, name: str) -> None:
            if is_counted(name) and not steps.is_dead and next(numbers) == nth:
                steps.end(name)

        return self.live(world, end)

    def conclude(self, world: PowerWorld, what: str) -> None:
        """Go on as a user would, until all is done; then judge. After a lie only the number of orders is judged."""
        self.power.lies = False
        again, read = self.live(world), world.live("reconcile")
        told = f"{self.name}: {what}"
        assert (again.error, read.error) == (None, None), f"{told}: {again.error}, {read.error}"
        assert read.exit_code == 0, f"{told}: {read.report}"
        if not self.lies:
            assert not world.witness.breaches, f"{told}: {world.witness.breaches}"
            found = judge(world.ledger_path, world.exchange_path, is_settled=True, told=world.told)
            assert not found, f"{told}: {found}"
        orders = tally(world.ledger_path, world.exchange_path)[1]
        assert orders == self.scenario.orders, f"{told}: {orders} orders at the exchange"
        self.counted.runs += 1
        self.counted.sends += world.witness.sends
        self.counted.opened += world.witness.opened


def is_step(name: str) -> bool:
    return not name.startswith(_NO_STEPS)


def every_step(bench: Bench, stride: int = 1) -> Counted:
    """End the command at each (or each `stride`-th) step under each fate; go on; judge."""
    names = bench.names()
    for nth in range(1, len(names) + 1, stride):
        bench.counted.steps += 1
        for loss in bench.fates(names, nth):
            with bench.begun() as world:
                life = bench.ended(world, nth, loss)
                # Of a commit one page more or less may be written from life to life: the step is told as it was, and
                # the last of them may not come.
                assert life.crashed or nth > len(names) - 3, (
                    f"{bench.name}: it lived through step {nth} of {len(names)}"
                )
                bench.conclude(world, f"ended at step {nth}, {life.crashed}; {loss.value}")
    return bench.counted


def every_pair(bench: Bench, stride: int = 1) -> Counted:
    """End the command at each telling step, and what goes on from there at each (or each `stride`-th) of its own."""
    names = bench.names()
    for nth in [n for n, name in enumerate(names, 1) if is_telling(name)]:
        bench.counted.steps += 1
        for second in count(1 + nth % stride, stride):
            loss = (Loss.NOTHING, Loss.ALL, _MIXED[second % len(_MIXED)])[(nth + second // stride) % 3]
            with bench.begun() as world:
                first = bench.ended(world, nth, loss)
                life = bench.ended(world, second, loss, is_telling)
                if not life.crashed:
                    break
                bench.conclude(world, f"ended at step {nth}, {first.crashed}, then at {life.crashed}; {loss.value}")
    return bench.counted


def is_telling(name: str) -> bool:
    """Steps between which nothing becomes durable and nothing leaves: syncs, deletions, requests, answers, waits."""
    return is_step(name) and not name.startswith(("disk write", "disk create"))
