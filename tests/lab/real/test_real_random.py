"""SIGKILL at random instants of real lives, by the hundred, with an exchange that answers badly.

The lives are children forked from one process that has imported everything. What happens and when is drawn from a seed;
where the kill meets a life is up to the machine, and that is the point: no seam, no list of calls, no pause.
OMS_TEST_SEED=N runs one seed alone.
"""

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from oms.lab.judge import judge
from tests.crash import inspection
from tests.crash.lives import Life, Nursery, World, give_key, new_world
from tests.lab.real.test_real_kills import torn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEEDS = [int(os.environ["OMS_TEST_SEED"])] if "OMS_TEST_SEED" in os.environ else [1, 2]
KILLS = 100  # of all seeds together
ON_WIRE = 2  # of them at least have to find orders on the wire: a busy machine needs more kills until they do
MOST_KILLS = 400
SETTINGS = {
    "submit__in_flight_horizon_s": "1.3",  # above the exchange's own bound of one second
    "submit__concurrency": "3",
    "submit__batch_size": "1",
    "submit__wait_s": "0.5",
    "venue__timeout_s": "1",
}
FAULT_RATE = 0.15
MAY_END = {0, 1, 2, 3, 5, 6, 7}  # 2: a retry of a batch of which everything is placed


class Killer:
    """One world, and the commands that a seed runs and kills in it."""

    def __init__(self, world: World, seed: int, record: Callable[[bool], bool]) -> None:
        self.world = world
        self.luck = random.Random(f"kills {seed}")
        self.told = [f"OMS_TEST_SEED={seed}"]
        self._record = record  # counts a kill, and whether it left orders on the wire; False when there were enough
        self._batches = 0

    def run(self) -> None:
        """Kill until there were enough kills, then come to rest."""
        self.world.sandbox.control(seed_faults={"rate": FAULT_RATE, "seed": str(self.luck.random())})
        goes_on = True
        while goes_on:
            life = self._one()
            if life.was_killed:
                goes_on = self._record(any(each["state"] == "on_wire" for each in self._known("commands")))
            else:
                well = life.code in MAY_END and "Traceback" not in life.err and "internal error" not in life.err
                assert well, self.report(str(life))
            found = torn(self.world) if self.world.ledger.exists() else []
            assert not found, self.report(str(life), *found)
        self._come_to_rest()

    def _one(self) -> Life:
        argv = self._command()
        after_s = self.luck.uniform(0.0, 0.6)
        self.told.append(f"{' '.join(argv)}, killed after {after_s:.3f} s")
        living = self.world.begin(*argv)
        time.sleep(after_s)  # a random instant is what is asked for
        with suppress(ProcessLookupError):  # it has ended by itself
            living.child.kill()
        return living.end()

    def _command(self) -> list[str]:
        kind = self.luck.choice(("new", "new", "new", "drain", "cancel", "reconcile", "retry"))
        if kind == "drain":
            return ["submit"]
        if kind == "reconcile":
            return ["reconcile"]
        names = self._names() if kind == "cancel" else []
        if names:
            return ["cancel", *self.luck.sample(names, min(3, len(names)))]
        if kind == "retry" and self._batches:
            return ["submit", "--retry", f"batch {self.luck.randrange(self._batches) + 1}"]
        self._batches += 1
        file = self.world.file([self._row() for _ in range(self.luck.randrange(6, 15))], f"{self._batches}.jsonl")
        return ["submit", str(file), "--batch", f"batch {self._batches}"]

    def _row(self) -> dict[str, Any]:
        price = self.luck.choice(("0.01", "0.02", "0.99"))
        ticker = self.luck.choice(("SBXRAIN-A-T10", "SBXTEMP-A-T10"))
        return {"ticker": ticker, "side": "bid", "price": price, "count": str(self.luck.randrange(1, 4))}

    def _names(self) -> list[str]:
        return [order["client_order_id"] for order in self._known("orders") if order["batch_state"] == "recorded"]

    def _known(self, what: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = getattr(inspection.facts(self.world.ledger, self.world.exchange), what)
        except (OSError, sqlite3.OperationalError):
            return []  # it was killed before there was a ledger
        return found

    def _come_to_rest(self) -> None:
        self.world.sandbox.control(seed_faults={"rate": 0, "seed": "0"})
        for argv in (["submit"], ["reconcile"], ["submit"], ["reconcile"]):
            last = self.world.live(*argv)
            self.told.append(f"{argv}: {last}")
        assert last.code == 0, self.report()
        found = judge(self.world.ledger, self.world.exchange, is_settled=True)
        assert found == [], self.report(*map(str, found))

    def report(self, *found: str) -> str:
        """What has happened, to be read by a person."""
        return "\n".join([*self.told[-40:], *found])


def killed(
    nursery: Nursery, key: Path, directory: Path, seeds: list[int], kills: int, on_wire: int = 0
) -> tuple[int, int, float]:
    """Run the seeds side by side until there were so many kills, so many of them with orders on the wire.

    How many there were, how many left orders on the wire, and in how many seconds.
    """
    counting = threading.Lock()
    met: list[bool] = []
    began = time.monotonic()

    def record(is_on_wire: bool) -> bool:
        with counting:
            met.append(is_on_wire)
            return len(met) < kills or (sum(met) < on_wire and len(met) < MOST_KILLS)

    def run(seed: int) -> None:
        give_key(directory / str(seed), key)
        options: dict[str, Any] = {"tier": "unlimited", "skew_s": 1, "latency_ms": 20, "seed": str(seed)}
        with new_world(directory / str(seed), nursery, SETTINGS, **options) as world:
            Killer(world, seed, record).run()

    with ThreadPoolExecutor(len(seeds)) as pool:
        for finished in [pool.submit(run, seed) for seed in seeds]:
            finished.result()
    return len(met), sum(met), time.monotonic() - began


@pytest.mark.lab
def test_hundreds_of_kills_at_random_instants_lose_and_double_nothing(
    nursery: Nursery, exchange_key: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    count, on_wire, took_s = killed(nursery, exchange_key, tmp_path, SEEDS, KILLS, ON_WIRE)
    record_property(
        "counted", f"SIGKILL at random instants: {count} in {took_s:.0f} s, {on_wire} with orders on the wire"
    )
    assert count >= KILLS
    assert on_wire >= ON_WIRE, "the instants miss what they are for"


def test_a_few_kills_at_random_instants_lose_and_double_nothing(
    nursery: Nursery, exchange_key: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    count, on_wire, took_s = killed(nursery, exchange_key, tmp_path, [3], 5)
    told = f"SIGKILL at random instants, a sample: {count} in {took_s:.0f} s, {on_wire} with orders on the wire"
    record_property("counted", told)
