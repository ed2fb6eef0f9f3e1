"""Campaigns by the thousand, on several processes, for as long as asked; and what they came to in all."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from oms.lab.campaign import Outcome, keep, run, scratch


@dataclass(slots=True)
class Total:
    """What campaigns came to so far."""

    first_seed: int
    campaigns: int = 0
    lives: int = 0
    crashes: int = 0
    faults: int = 0
    requests: int = 0
    orders: int = 0
    duplicates: int = 0
    lost: int = 0
    breaches: int = 0
    failures: list[dict[str, object]] = field(default_factory=list)  # seed, breaches, where its files are

    def add(self, outcome: Outcome, kept: Path | None) -> None:
        """Take in one campaign."""
        self.campaigns += 1
        self.lives += outcome.lives
        self.crashes += outcome.crashes
        self.faults += outcome.faults
        self.requests += outcome.requests
        self.orders += outcome.orders
        self.duplicates += outcome.duplicates
        self.lost += outcome.lost
        self.breaches += len(outcome.breaches)
        if outcome.breaches:
            self.failures.append({"seed": outcome.seed, "breaches": outcome.breaches, "kept": str(kept)})

    def fields(self) -> dict[str, object]:
        """All of it by name."""
        return asdict(self)


def campaigns(
    first_seed: int,
    *,
    jobs: int,
    most: int | None,
    seconds: float,
    kept: Path,
    told: Callable[[Total], None] = lambda total: None,
) -> Total:
    """Run the campaigns of `first_seed` and those after it, `jobs` at a time, until the time is up or `most` were run.

    What a failing one left is kept in a folder under `kept`. `told` hears of every campaign.
    """
    total = Total(first_seed)
    until = time.monotonic() + seconds
    seeds = islice(count(first_seed), most)
    if jobs == 1:
        for seed in seeds:
            total.add(*_one(seed, kept))
            told(total)
            if time.monotonic() >= until:
                break
        return total
    with ProcessPoolExecutor(jobs, get_context("fork"), _quiet) as pool:
        for outcome, place in _pooled(pool, seeds, 2 * jobs, until, kept):
            total.add(outcome, place)
            told(total)
    total.failures.sort(key=lambda failure: str(failure["seed"]))
    return total


def _pooled(
    pool: ProcessPoolExecutor, seeds: Iterator[int], ahead: int, until: float, kept: Path
) -> Iterator[tuple[Outcome, Path | None]]:
    running: set[Future[tuple[Outcome, Path | None]]] = {pool.submit(_one, seed, kept) for seed in islice(seeds, ahead)}
    try:
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            if time.monotonic() < until:
                running |= {pool.submit(_one, seed, kept) for seed in islice(seeds, len(done))}
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _quiet() -> None:
    """A worker leaves signals to the process that started it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _one(seed: int, kept: Path) -> tuple[Outcome, Path | None]:
    folder = Path(mkdtemp(prefix=f"oms-lab-{os.getpid()}-", dir=scratch()))
    try:
        outcome = run(seed, folder / "world")
        place = keep(outcome, folder / "world", kept) if outcome.breaches else None
        outcome.trace = []
        return outcome, place
    finally:
        rmtree(folder, ignore_errors=True)
