"""SIGKILL at every system call of a real run that leaves a trace outside it; the plain command makes it whole.

Counted from the opening of the ledger to the end: every call on the ledger, its write-ahead log, its mark and its
locks, each by its number until a run survives, and every connect, send and receive. The kill comes before the kernel
acts, so the kill after one call is that before the next. Locks by fcntl are left out: they die with the process.

strace counts the calls of each thread for itself, and whoever reaches the number first is killed. So that senders are
met too, one of them sends more requests, and connects more often, than the run has reads.
"""

import itertools
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from oms.lab.judge import judge
from tests.crash import inspection
from tests.crash.lives import Nursery, World, copy_world, give_key, new_world
from tests.lab import sample
from tests.lab.real import strace
from tests.lab.real.strace import KILL, Inject, TracedLife, WaitingNursery

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tracing"), pytest.mark.timeout(300)]

AT_A_TIME = 3  # lives wait half of their time
SETTINGS = {"submit__in_flight_horizon_s": "0.3", "submit__batch_size": "1", "submit__concurrency": "1"}
# The exchange that forgives least: an id is free again once its order has ended.
EXCHANGE: dict[str, Any] = {"tier": "unlimited", "dedupe": "open_only"}
FILES, SOCKETS = "files", "sockets"
CALLS = {
    FILES: ("openat", "pwrite64", "fdatasync", "fsync", "ftruncate", "unlink", "flock"),
    SOCKETS: ("connect", "sendto", "recvfrom"),
}
CREATE = "CreateOrderV2"


def bids(count: int, first_cent: int = 1) -> list[dict[str, Any]]:
    """Orders that rest."""
    cents = range(first_cent, first_cent + count)
    return [{"ticker": "SBXRAIN-A-T10", "side": "bid", "price": f"0.{n:02}", "count": "1"} for n in cents]


def have_one(world: World) -> None:
    placed = world.live("submit", world.file(bids(1, 40), "first.jsonl"))
    assert placed.code == 0, placed


def suffer(world: World, *faults: tuple[int, int, dict[str, Any]]) -> None:
    rules = [
        {"match": {"operation": CREATE, "nth": nth, "times": times}, "fault": fault} for nth, times, fault in faults
    ]
    world.sandbox.control(faults=rules)


def lose_answers(world: World) -> None:
    """Two answers are lost, and the connection with each."""
    suffer(world, (2, 1, {"kind": "drop", "commit": True}), (4, 1, {"kind": "drop", "commit": True}))


def have_doubts(world: World) -> None:
    """Of three orders one was placed and nobody heard, one never arrived, one is on the wire."""
    have_one(world)
    suffer(world, (1, 1, {"kind": "drop", "commit": True}), (2, 1, {"kind": "drop", "commit": False}))
    assert world.live("submit", world.file(bids(3)), at="after all bytes", nth=3).was_killed
    world.sandbox.control(faults=[])


@dataclass(frozen=True)
class Scenario:
    """A command that is killed, and on which calls."""

    name: str
    on: str
    argv: tuple[str, ...]
    rows: int = 0  # of a file, added to argv
    prepare: Callable[[World], None] = have_one
    weather: Callable[[World], None] = lambda world: None  # while it is killed
    rest: tuple[tuple[str, ...], ...] = ()  # what is to be done after it
    floor: dict[str, int] = field(default_factory=dict)  # fewer kills at a call would mean that the harness went blind

    def line(self, world: World) -> list[str | Path]:
        return [*self.argv, *([world.file(bids(self.rows))] if self.rows else [])]


WRITES = {
    "pwrite64 oms.sqlite3-wal": 40,
    "pwrite64 oms.sqlite3": 12,
    "pwrite64 oms.sqlite3.mark": 4,
    "fdatasync oms.sqlite3-wal": 6,
    "fdatasync oms.sqlite3": 1,
    "fdatasync ledger": 1,
    "fsync oms.sqlite3.mark": 1,
}
SCENARIOS = [
    Scenario("submit", FILES, ("submit",), 1, floor=WRITES),
    Scenario(
        *("submit", SOCKETS, ("submit",), 8),
        weather=lose_answers,
        floor={"sendto of a sender": 2, "recvfrom of a sender": 2, "connect of a sender": 1, "sendto of the run": 4},
    ),
    Scenario("reconcile", FILES, ("reconcile",), prepare=have_doubts, floor=WRITES, rest=(("submit",),)),
    Scenario(
        *("reconcile", SOCKETS, ("reconcile",)),
        prepare=have_doubts,
        rest=(("submit",),),
        floor={"sendto of the run": 10, "recvfrom of the run": 10},
    ),
]


class Loop:
    """One scenario, killed at each of its calls, some worlds at a time."""

    def __init__(
        self, scenario: Scenario, run: Callable[..., TracedLife], nursery: Nursery, key: Path, directory: Path
    ) -> None:
        self.scenario = scenario
        self.killed: Counter[str] = Counter()  # where, such as "pwrite64 oms.sqlite3-wal"
        self._run = run
        self._nursery = nursery
        self._directory = directory
        self._survived: set[str] = set()
        self._failed = threading.Event()
        give_key(directory / "template", key)
        with new_world(directory / "template", nursery, SETTINGS, **EXCHANGE) as world:
            scenario.prepare(world)

    def through(self, points: Iterator[tuple[str, int]]) -> None:
        """Kill at each of these calls."""
        taking = threading.Lock()

        def work() -> None:
            while not self._failed.is_set():
                with taking:
                    point = next(points, None)
                if point is None:
                    return
                try:
                    self._one(*point)
                except BaseException:
                    self._failed.set()
                    raise

        with ThreadPoolExecutor(AT_A_TIME) as pool:
            for finished in [pool.submit(work) for _ in range(AT_A_TIME)]:
                finished.result()

    def every(self, names: tuple[str, ...], stride: int = 1) -> Iterator[tuple[str, int]]:
        """All calls of these names (or each `stride`-th), those of one name until a run survives."""
        for nth in itertools.count(1, stride):
            left = [name for name in names if name not in self._survived]
            if not left:
                return
            yield from ((name, nth) for name in left)

    def _one(self, name: str, nth: int) -> None:
        with self._world(f"{name}{nth}") as world:
            self.scenario.weather(world)
            inject = Inject(name, KILL, str(nth))
            paths = strace.ledger_files(world) if self.scenario.on == FILES else []
            life = self._run(world, self.scenario.line(world), CALLS[self.scenario.on], [inject], paths)
            world.sandbox.control(faults=[])
            if not life.was_killed:
                assert life.code in (0, 3), life
                self._survived.add(name)
            else:
                self.killed[_where(life)] += 1
            wrong = [*torn(world), *self._recovered(world)]
            assert not wrong, "\n".join([f"{self.scenario.name}: killed at {inject}", str(life), *wrong])

    def _recovered(self, world: World) -> Iterator[str]:
        """The command once more, and what it leaves to others; after that there is nothing left to send."""
        line = self.scenario.line(world)
        lives = [world.live(*argv) for argv in (line, *self.scenario.rest)]
        writes = inspection.posts(world.exchange)
        lives += [world.live(*line), world.live("reconcile")]
        if [life.code for life in lives[1:]] != [0] * len(lives[1:]):
            yield from map(str, lives)
        if inspection.posts(world.exchange) != writes:
            yield "I25: the same command again sent something"
        yield from map(str, judge(world.ledger, world.exchange, is_settled=True))

    @contextmanager
    def _world(self, name: str) -> Iterator[World]:
        place = self._directory / name
        copy_world(self._directory / "template", place)
        with new_world(place, self._nursery, SETTINGS, **EXCHANGE) as world:
            yield world
        shutil.rmtree(place)


def torn(world: World) -> list[str]:
    """What the kill itself has broken: the judge looks at a copy, since looking at a log may tidy it up."""
    with TemporaryDirectory() as aside:
        for path in world.ledger.parent.iterdir():
            if path.name.endswith((".sqlite3", "-wal", ".mark")):
                shutil.copy(path, aside)
        copy = Path(aside, world.ledger.name)
        if not Path(f"{copy}.mark").exists() and not _has_tables(copy):
            return []  # it was being made: nothing can have been sent from it
        found = judge(copy, world.exchange, is_settled=False)
    return [str(finding) for finding in found]


def _has_tables(ledger: Path) -> bool:
    with closing(sqlite3.connect(ledger)) as database:
        return bool(database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _where(life: TracedLife) -> str:
    """At which call it was killed: the last one that never returned."""
    last = [call for call in life.calls if call.ended < 0][-1]
    if not last.path.startswith("socket:"):
        return f"{last.name} {Path(last.path or last.strings[-1].decode()).name}"
    whose = "the run" if last.pid == life.calls[0].pid else "a sender"
    return f"{last.name} of {whose}"


@pytest.fixture
def loop_of(
    nursery: Nursery, waiting: WaitingNursery, exchange_key: Path, tmp_path: Path
) -> Callable[[Scenario, bool], Loop]:
    """`loop_of(scenario, is_forked)`: its lives are forked, or processes of their own."""

    def forked(world: World, *how: Any) -> TracedLife:
        return strace.forked(world, waiting, *how)

    def own(world: World, *how: Any) -> TracedLife:
        return strace.live(world, *how)

    return lambda scenario, is_forked: Loop(scenario, forked if is_forked else own, nursery, exchange_key, tmp_path)


@pytest.mark.lab
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: f"{scenario.name}-{scenario.on}")
def test_killed_at_any_system_call_a_run_is_made_whole_by_the_next(
    loop_of: Callable[[Scenario, bool], Loop], scenario: Scenario, record_property: Callable[[str, object], None]
) -> None:
    loop = loop_of(scenario, True)
    stride = 4 if scenario.on == FILES else 1
    loop.through(loop.every(CALLS[scenario.on], sample.stride(stride)))
    told = ", ".join(f"{times} {where}" for where, times in sorted(loop.killed.items()))
    record_property(
        "counted",
        f"SIGKILL at the calls of {scenario.name} on {scenario.on}{sample.told(stride)}: {loop.killed.total()}: {told}",
    )
    if sample.stride(stride) == 1:
        few = {where: loop.killed[where] for where, least in scenario.floor.items() if loop.killed[where] < least}
        assert few == {}
    assert loop.killed.total() >= sum(scenario.floor.values()) // (2 * sample.stride(stride))


@pytest.mark.lab
@pytest.mark.parametrize("scenario", [SCENARIOS[0], SCENARIOS[2]], ids=lambda scenario: scenario.name)
def test_a_process_of_its_own_killed_at_its_syncs_is_made_whole_by_the_next(
    loop_of: Callable[[Scenario, bool], Loop], scenario: Scenario, record_property: Callable[[str, object], None]
) -> None:
    loop = loop_of(scenario, False)
    loop.through(loop.every(("fdatasync", "fsync"), sample.stride(3)))
    told = f"SIGKILL at the syncs of `python -m oms {scenario.name}`{sample.told(3)}: {loop.killed.total()}"
    record_property("counted", told)
    assert loop.killed.total() >= 9 // sample.stride(3)


@pytest.mark.parametrize(
    ("scenario", "points"),
    [
        (SCENARIOS[0], [("fdatasync", 4), ("pwrite64", 33), ("unlink", 1)]),
        (SCENARIOS[1], [("sendto", 6), ("recvfrom", 7), ("connect", 2)]),
        (SCENARIOS[2], [("fdatasync", 3)]),
    ],
    ids=("submit", "senders", "reconcile"),
)
def test_killed_at_a_few_system_calls_a_run_is_made_whole_by_the_next(
    loop_of: Callable[[Scenario, bool], Loop], scenario: Scenario, points: list[tuple[str, int]]
) -> None:
    loop = loop_of(scenario, True)
    loop.through(iter(points))
    assert loop.killed.total() == len(points)


def test_a_process_of_its_own_killed_before_an_order_leaves_is_made_whole(
    loop_of: Callable[[Scenario, bool], Loop],
) -> None:
    loop = loop_of(SCENARIOS[1], False)
    loop.through(iter([("sendto", 6)]))
    assert loop.killed == {"sendto of a sender": 1}
