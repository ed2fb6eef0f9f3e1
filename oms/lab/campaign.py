"""One campaign: a seed, its options, lives with harm, then calm, in which everything must come to rest; then the judge.

`run(seed, folder)` is the whole of it. After each life what must hold at any moment is judged, at the end that nothing
is left to do and both sides agree. The same seed makes the same campaign in every process.
"""

import random
import shutil
import sqlite3
import traceback
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from oms.lab.judge import judge
from oms.lab.options import Options, drawn
from oms.lab.story import Story
from oms.lab.weather import Weather
from oms.lab.world import Breach, World

# Calm passes after which everything has to have settled: resolve, send again what was proven absent, look once more.
_PASSES = 5


@dataclass(slots=True)
class Outcome:
    """What a campaign came to."""

    seed: int
    options: Options
    lives: int = 0
    crashes: int = 0
    faults: int = 0
    requests: int = 0
    orders: int = 0  # at the exchange
    duplicates: int = 0
    lost: int = 0
    breaches: list[str] = field(default_factory=list)
    digest: str = ""
    trace: list[str] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)  # how many requests met which fate


def run(seed: int, folder: Path) -> Outcome:
    """Run the campaign of a seed in a new folder; its files stay there. Never raises for what oms does."""
    options = drawn(seed)
    outcome = Outcome(seed, options)
    rng = random.Random(f"story {seed}")  # noqa: S311 - the draw of a simulation
    weather = Weather(options, random.Random(f"weather {seed}"))  # noqa: S311
    world = World(folder, seed=str(seed % 4), fates=weather.fate, knobs=options.knobs(), settings=options.settings())
    with world:
        world.rng.seed(f"world {seed}")
        world.network.naps = weather.nap
        story = Story(world, options, rng)
        try:
            _live_through(story, outcome)
            weather.is_calm = True
            _come_to_rest(story, outcome)
        except (Exception, Breach) as exc:
            outcome.breaches.append(f"{type(exc).__name__}: {exc}")
            outcome.trace += traceback.format_exc().splitlines()
        _count(story, outcome)
    return outcome


def _live_through(story: Story, outcome: Outcome) -> None:
    for _ in range(story.options.acts):
        lives = story.world.lives
        story.act()
        if story.world.lives == lives:
            continue
        findings = _judged(story, is_settled=False)
        if findings:
            outcome.breaches += findings
            return


def _come_to_rest(story: Story, outcome: Outcome) -> None:
    if outcome.breaches:
        return
    story.calm()
    findings: list[str] = []
    for turn in range(_PASSES):
        if turn > 1:  # where no order was ever seen, one API key's silence proves nothing of what the other has sent
            story.world.use_key(turn % 2)
        story.settle()
        findings = _judged(story, is_settled=True)
        if not findings:
            outcome.breaches += story.again()
            return
    outcome.breaches += findings


def _judged(story: Story, *, is_settled: bool) -> list[str]:
    world = story.world
    if not story.scene.has_ledger:
        return []
    story.scene.note_rows()
    whole = not story.scene.was_set_back
    found = judge(
        world.ledger_path,
        world.exchange_path,
        is_settled=is_settled,
        is_alone=whole,
        is_complete=whole,
        is_timely=not story.options.clock_harm,
        told=world.told if whole else (),
    )
    # Right after a ledger went back its mark is ahead of it, until the next run begins and notices (I20).
    seen = [finding for finding in found if whole or is_settled or finding.invariant != "I20"]
    return [str(finding) for finding in seen] + story.scene.doubled() + story.scene.late()


def _count(story: Story, outcome: Outcome) -> None:
    world = story.world
    world.exchange.state.journal.commit()
    with closing(sqlite3.connect(f"{world.exchange_path.as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute(_PLACED).fetchall()
    for row in rows:
        world.note("order", *row)
    outcome.orders = len(rows)
    outcome.lives, outcome.crashes, outcome.requests = world.lives, world.crashes, world.network.requests
    outcome.met.update(world.network.met)
    outcome.faults = sum(count for name, count in outcome.met.items() if name != "well") + story.scene.harm
    by_rule = Counter(breach.partition(":")[0] for breach in outcome.breaches)
    outcome.duplicates, outcome.lost = by_rule["I3"], by_rule["I4"] + by_rule["I9"]
    outcome.digest = world.digest
    outcome.trace = world.trace + outcome.trace


_PLACED = """
SELECT client_order_id, ticker, side, status, initial_e2, fill_e2, remaining_e2 FROM orders
WHERE user_id = (SELECT value FROM meta WHERE name = 'user_id') ORDER BY seq
"""


def scratch() -> Path:
    """Where campaigns leave their files: in memory, where syncs cost nothing, if there is such a place."""
    memory = Path("/dev/shm")  # noqa: S108 - only folders of our own making are used in it
    return memory if memory.is_dir() else Path()


def keep(outcome: Outcome, folder: Path, into: Path) -> Path:
    """Keep what a failing campaign left: options, breaches and trace as text, ledger and exchange as they are."""
    kept = into / f"seed-{outcome.seed}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept)
    told = [
        f"reproduce: oms lab --seed {outcome.seed} --campaigns 1",
        outcome.options.shown,
        *outcome.breaches,
        "",
        *outcome.trace,
    ]
    (kept / "trace.txt").write_text("\n".join(told) + "\n")
    return kept
