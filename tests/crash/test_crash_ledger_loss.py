"""The ledger lost, rolled back or copied in mid-batch, and the same file run again: never two orders for one row (P2).

Nothing but the exchange remembers then what was sent. What is in flight at the very moment of the loss is covered only
by the exchange's own deduplication; so here everything that was sent has arrived before the ledger is harmed, except in
the tests that say otherwise. Between the loss and the next run some orders trade and some are canceled, so that under
`open_only` their ids are free again.
"""

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash import inspection
from tests.crash.lives import LEDGER, Life, Nursery, World, give_key, new_world, side_by_side, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

IOC = {"time_in_force": "immediate_or_cancel"}
TICKER = "SBXRAIN-A-T10"
ROWS = [
    {"ticker": TICKER, "side": "bid", "price": "0.99", "count": "1", **IOC},
    {"ticker": "SBXRAIN-A-T20", "side": "ask", "price": "0.01", "count": "2", **IOC},
    {"ticker": TICKER, "side": "bid", "price": "0.02", "count": "1", **IOC},
    *({"ticker": TICKER, "side": "bid", "price": f"0.0{n}", "count": "1"} for n in range(1, 8)),
]
# The exchange refuses what was signed over two seconds ago; the horizon is above that.
AT_A_TIME = 8
SETTINGS = {"submit__in_flight_horizon_s": "2.3", "submit__concurrency": "2", "submit__batch_size": "1"}


@dataclass(frozen=True)
class Case:
    """One way to lose a ledger, at one kind of exchange."""

    harm: Callable[[World, Path], None]
    dedupe: str = "open_only"
    lag_ms: int = 0
    faults: Sequence[dict[str, Any]] = ()

    def __str__(self) -> str:
        lag = f"-lag{self.lag_ms}" if self.lag_ms else ""
        return f"{self.harm.__name__}-{self.dedupe}{lag}{'-faults' if self.faults else ''}"


# -- harms: the ledger as it was early in the batch is in `early`, all its files with it -----------------------------


def lose_all(world: World, early: Path) -> None:
    shutil.rmtree(world.ledger.parent)


def lose_only_the_file(world: World, early: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{world.ledger}{suffix}").unlink(missing_ok=True)


def restore_the_file(world: World, early: Path) -> None:
    """A backup of the file put back; the mark and the locks beside it are the newer ones."""
    lose_only_the_file(world, early)
    with closing(sqlite3.connect(early / LEDGER.name)) as old, closing(sqlite3.connect(world.ledger)) as new:
        old.backup(new)


def restore_the_directory(world: World, early: Path) -> None:
    """The directory as a file-level backup has it: mark and ledger agree with each other."""
    shutil.rmtree(world.ledger.parent)
    shutil.copytree(early, world.ledger.parent)


def restore_in_place(world: World, early: Path) -> None:
    """Every file written over: even the inode is the one it was."""
    for name in ("", "-wal", ".mark"):
        old = early / (LEDGER.name + name)
        Path(f"{world.ledger}{name}").write_bytes(old.read_bytes() if old.exists() else b"")
    Path(f"{world.ledger}-shm").unlink(missing_ok=True)


def move_a_copy(world: World, early: Path) -> None:
    """A copy of the file alone, under another path."""
    place = world.ledger.parent.with_name("elsewhere")
    place.mkdir()
    with closing(sqlite3.connect(early / LEDGER.name)) as old, closing(sqlite3.connect(place / LEDGER.name)) as new:
        old.backup(new)
    world.settings = {**world.settings, "ledger__url": f"sqlite:///{place / LEDGER.name}"}


HARMS = [lose_all, lose_only_the_file, restore_the_file, restore_the_directory, restore_in_place, move_a_copy]


def keep_early(world: World, to: Path) -> None:
    shutil.copytree(world.ledger.parent, to)


def meanwhile(world: World) -> None:
    """All that was sent has arrived; of what rests, one order trades and one is canceled."""
    world.sandbox.control()
    resting = [order for order in world.sandbox.orders() if order["status"] == "resting"]
    trade = {"ticker": TICKER, "side": "ask", "price": "0.01", "count": "1"}
    traded = world.sandbox.control(trade={**trade, "client_order_id": resting[0]["client_order_id"]})
    assert traded["traded_orders"] == 1
    path = f"/portfolio/events/orders/{resting[1]['order_id']}"
    # This exchange takes a timestamp for two seconds only, and a busy machine may need longer to bring it there.
    answers = (world.sandbox.call("DELETE", path, market_ticker=TICKER) for _ in range(20))
    canceled = next(answer for answer in answers if answer.status_code != 401)
    assert canceled.status_code == 200, canceled.text


def what_is_wrong(world: World, ledger: Path, last: Life) -> list[str]:
    """Every row is one order at the exchange, and the ledger says of each what the exchange says."""
    seen = inspection.facts(ledger, world.exchange)
    found = [*inspection.once(seen), *inspection.agreement(seen), *inspection.unfinished(seen)]
    if len(seen.there) != len(ROWS):
        found.append(f"{len(seen.there)} orders at the exchange for {len(ROWS)} rows")
    if last.code != 0:
        found.append("the last run did not end with 0")
    return found


def harmed(case: Case, world: World) -> list[str]:
    """Run half, harm, run again; what is wrong then."""
    file = world.file(ROWS)
    early = world.directory / "early"
    world.sandbox.control(faults=list(case.faults))
    lives = [world.live("submit", file, nth=3, at="after all bytes")]
    keep_early(world, early)
    lives.append(world.live("submit", file, nth=5, at="after all bytes"))
    assert [life.was_killed for life in lives] == [True, True], "\n".join(map(str, lives))
    meanwhile(world)
    case.harm(world, early)
    world.sandbox.control(faults=[])
    lives.append(world.live("submit", file))
    found = what_is_wrong(world, world.ledger_in_use, lives[-1])
    return [f"{case}: {each}" for each in found] + ([f"{case}: {life}" for life in lives] if found else [])


def all_harmed(cases: Sequence[Case], nursery: Nursery, key: Path, directory: Path) -> list[str]:
    """What is wrong after any of the cases."""

    def run(case: Case) -> list[str]:
        where = directory / str(case)
        give_key(where, key)
        options = {"dedupe": case.dedupe, "read_lag_ms": case.lag_ms, "skew_s": 2, "tier": "unlimited"}
        with new_world(where, nursery, SETTINGS, **options) as world:
            return harmed(case, world)

    # What is written over in place cannot be told from what was never touched: there reads must have caught up.
    told_apart = [case for case in cases if not (case.lag_ms and case.harm is restore_in_place)]
    return side_by_side(told_apart, run, AT_A_TIME)


@pytest.mark.fault(15, 17, 30, 86)
def test_a_ledger_lost_or_gone_back_in_mid_batch_places_nothing_twice(
    nursery: Nursery, exchange_key: Path, tmp_path: Path
) -> None:
    cases = [Case(harm, dedupe, lag_ms) for harm in HARMS for dedupe in ("forever", "open_only") for lag_ms in (0, 700)]
    assert all_harmed(cases, nursery, exchange_key, tmp_path) == []


@pytest.mark.fault(15, 44)
def test_nor_with_answers_lost_and_one_order_still_on_its_way(
    nursery: Nursery, exchange_key: Path, tmp_path: Path
) -> None:
    """The order that is late is in flight at the moment of the loss; the wait for what was lost covers it too."""
    unheard = {"match": {"operation": "CreateOrderV2", "nth": 1}, "fault": {"kind": "drop", "commit": True}}
    late = {"match": {"operation": "CreateOrderV2", "nth": 3}, "fault": {"kind": "late", "ms": 900}}
    cut = {"match": {"operation": "CreateOrderV2", "nth": 4, "times": 2}, "fault": {"kind": "cut_headers"}}
    cases = [Case(harm, "open_only", lag_ms, (unheard, late, cut)) for harm in HARMS for lag_ms in (0, 400)]
    assert all_harmed(cases, nursery, exchange_key, tmp_path) == []


@pytest.mark.fault(10, 15)
def test_a_recovery_killed_while_it_waits_for_what_was_lost_waits_again(world_of: Callable[..., World]) -> None:
    """One order of the lost ledger is still on its way, and its id would be free: only waiting saves it."""
    world = world_of({**SETTINGS, "submit__in_flight_horizon_s": "6"}, dedupe="open_only", skew_s=5, tier="unlimited")
    on_its_way = {"match": {"ticker": "SBXRAIN-A-T20"}, "fault": {"kind": "late", "ms": 4500, "hold_ms": 9000}}
    world.sandbox.control(faults=[on_its_way])
    file = world.file(ROWS)
    assert world.live("submit", file, nth=5, at="after all bytes").was_killed
    shutil.rmtree(world.ledger.parent)
    waiting = world.live("submit", file, nth=9, at="after read")
    assert waiting.was_killed
    assert "before first byte" not in waiting.seams
    assert not [order for order in world.sandbox.orders() if order["ticker"] == "SBXRAIN-A-T20"], "it came too early"
    last = world.live("submit", file)
    wait_for(lambda: any(request["arrival_of"] for request in world.sandbox.log()))
    assert what_is_wrong(world, world.ledger, last) == [], last


@pytest.mark.fault(15, 86)
def test_a_copy_and_its_original_both_finish_the_batch_and_agree(world_of: Callable[..., World]) -> None:
    """Two ledgers that both know the batch: what one has placed is found by the other."""
    world = world_of(SETTINGS, dedupe="open_only", skew_s=2, tier="unlimited")
    file = world.file(ROWS)
    assert world.live("submit", file, nth=4, at="after all bytes").was_killed
    early = world.directory / "early"
    keep_early(world, early)
    original = world.settings
    move_a_copy(world, early)
    copied = world.ledger_in_use
    lives = [world.live("submit", file)]
    meanwhile(world)
    world.settings = original
    lives += [world.live("submit", file), world.live("reconcile")]
    world.settings = {**original, "ledger__url": f"sqlite:///{copied}"}
    lives.append(world.live("reconcile"))
    for ledger in (world.ledger, copied):
        assert what_is_wrong(world, ledger, lives[0]) == [], "\n".join(map(str, lives))
