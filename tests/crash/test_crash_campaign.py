"""Many lives with faults drawn from a seed and kills at random; then the faults end, and everything must come to rest.

Invariants are asked after every life, outcomes only at the end. A failing seed is told; OMS_TEST_SEED=N runs that one
alone (threads may interleave otherwise, the faults are the same).
"""

import os
import random
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from oms.lab.judge import judge
from tests.crash import inspection
from tests.crash.lives import Life, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SEEDS = [int(os.environ["OMS_TEST_SEED"])] if "OMS_TEST_SEED" in os.environ else [1, 2]
LIVES = 20
FAULT_RATE = 0.2
SETTINGS = {
    "submit__in_flight_horizon_s": "1.3",  # above the exchange's own bound of one second
    "submit__concurrency": "3",
    "submit__wait_s": "1",
    "venue__timeout_s": "2",
}
MARKETS = ("SBXRAIN-A-T10", "SBXRAIN-A-T20", "SBXTEMP-A-T10")
# What a life may end with: a fault is never the caller's mistake (2), and nothing of ours breaks (70, 120).
MAY_END = {0, 1, 3, 4, 5, 6, 7}


class Campaign:
    """One world and what a seed makes happen in it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.luck = random.Random(seed)
        self.batches: list[list[dict[str, Any]]] = []
        self.told = [f"OMS_TEST_SEED={seed}"]

    def live_once(self) -> None:
        """One life, or two at once, each perhaps killed; then the invariants."""
        begun = [self._begin() for _ in range(self.luck.choice((1, 1, 2)))]
        lives = [living.end(timeout_s=90) for living in begun]
        if self.luck.random() < 0.3:
            self._outside()
        for life in lives:
            is_well = life.code in MAY_END and "internal error" not in life.err
            assert life.was_killed or is_well, self.report(str(life))
        if self.world.ledger.exists():
            found = inspection.torn(self.world.ledger, self.world.exchange)
            assert not found, self.report(*found)

    def _begin(self) -> Any:
        argv = self._command()
        nth = self.luck.randrange(5, 90) if self.luck.random() < 0.6 else 0
        self.told.append(f"{' '.join(argv)} nth={nth}")
        return self.world.begin(*argv, nth=nth)

    def _command(self) -> list[str]:
        kind = self.luck.choice(("new", "new", "again", "drain", "cancel", "reconcile"))
        if kind == "new" or not self.batches:
            self.batches.append(self._rows())
            return self._submit(len(self.batches))
        if kind == "again":
            return self._submit(self.luck.randrange(len(self.batches)) + 1)
        resting = self._resting() if kind == "cancel" else []
        if resting:
            return ["cancel", *self.luck.sample(resting, min(2, len(resting)))]
        return ["reconcile"] if kind == "reconcile" else ["submit"]

    def _submit(self, number: int) -> list[str]:
        file = self.world.file(self.batches[number - 1], f"batch{number}.jsonl")
        return ["submit", str(file), "--batch", f"batch {number}"]

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for _ in range(self.luck.randrange(3, 8)):
            row = {"ticker": self.luck.choice(MARKETS), "side": "bid", "count": str(self.luck.randrange(1, 4))}
            if self.luck.random() < 0.3:
                rows.append({**row, "price": "0.99", "time_in_force": "immediate_or_cancel"})
            else:
                rows.append({**row, "price": f"0.0{self.luck.randrange(1, 6)}"})
        return rows

    def _resting(self) -> list[str]:
        try:
            seen = inspection.facts(self.world.ledger, self.world.exchange)
        except (OSError, sqlite3.OperationalError):
            return []  # it was killed before there was a ledger
        return [order["client_order_id"] for order in seen.orders if order["batch_state"] == "recorded"]

    def _outside(self) -> None:
        """Somebody trades with us, or the exchange dies and comes back."""
        if self.luck.random() < 0.3:
            self.told.append("the exchange dies")
            self.world.sandbox.kill()
            self.world.sandbox.restart()
            self.world.sandbox.control(seed_faults={"rate": FAULT_RATE, "seed": str(self.luck.random())})
            return
        trade = {"ticker": self.luck.choice(MARKETS), "side": "ask", "price": "0.01", "count": "2"}
        self.world.sandbox.control(trade=trade)

    def come_to_rest(self) -> None:
        """Without faults: a few runs, and nothing is open, nothing differs, nothing more is sent."""
        self.world.sandbox.control(seed_faults={"rate": 0, "seed": "0"})
        for number in range(1, len(self.batches) + 1):
            self._end_well(self._submit(number), {0, 5, 7})
        self._end_well(["submit"], {0, 5, 7})
        self._end_well(["reconcile"], {0, 7})
        writes = inspection.posts(self.world.exchange)
        for argv in (["submit"], ["reconcile"], ["db", "check"]):
            self._end_well(argv, {0})
        assert inspection.posts(self.world.exchange) == writes, self.report()
        seen = inspection.facts(self.world.ledger, self.world.exchange)
        found = [*inspection.unfinished(seen), *inspection.agreement(seen), *inspection.safety(seen)]
        if len(seen.orders) != sum(map(len, self.batches)):
            found.append(f"{len(seen.orders)} orders for {sum(map(len, self.batches))} rows")
        # Only a cancel that came first may keep a row from being sent: there is no time to live, and no `never`.
        ended = [order for order in seen.orders if order["status"] == "unsent"]
        found += [f"given up: {order}" for order in ended if order["reason"] != "cancel_requested"]
        judged = judge(self.world.ledger, self.world.exchange, is_settled=True)  # trades and positions too
        found += [str(finding) for finding in judged]
        assert not found, self.report(*found)

    def _end_well(self, argv: list[str], codes: set[int]) -> Life:
        life = self.world.live(*argv)
        self.told.append(f"{' '.join(argv)}: {life}")
        assert life.code in codes, self.report()
        return life

    def report(self, *found: str) -> str:
        """What has happened, to be read by a person."""
        return "\n".join([*self.told, *found])


@pytest.mark.parametrize("seed", SEEDS)
def test_after_many_killed_and_faulty_lives_everything_comes_to_rest(world_of: Callable[..., World], seed: int) -> None:
    drawn = random.Random(f"settings {seed}")
    settings = {
        **SETTINGS,
        "submit__batch_size": drawn.choice(["1", "2", "4", "auto"]),
        "submit__resend": drawn.choice(["when_absent", "at_once"]),
    }
    lag_ms = drawn.choice([0, 0, 250])
    world = world_of(settings, tier="unlimited", skew_s=1, read_lag_ms=lag_ms, seed=str(seed))
    world.sandbox.control(seed_faults={"rate": FAULT_RATE, "seed": str(seed)})
    campaign = Campaign(world, seed)
    for _ in range(LIVES):
        campaign.live_once()
    campaign.come_to_rest()
