"""SIGKILL while a long batch is being recorded: all of it or none of it is there, whoever comes next (P3, P6)."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.crash import inspection
from tests.crash.lives import World

pytestmark = pytest.mark.slow

# Two chunks of recording and the flip; trading is paused and a run does not wait, so nothing is placed.
COUNT = 1_100
SETTINGS = {"submit__wait_s": "0.1", "submit__in_flight_horizon_s": "0.3"}


def rows(count: int, ticker: str = "SBXRAIN-A-T10") -> list[dict[str, Any]]:
    return [{"ticker": ticker, "side": "bid", "price": "0.01", "count": str(n)} for n in range(1, count + 1)]


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    world = world_of(SETTINGS, tier="unlimited")
    world.sandbox.control(pause="trading")
    return world


def stored(world: World) -> dict[str, int]:
    """How many rows each table holds."""
    with closing(sqlite3.connect(world.ledger)) as ledger:
        counts = {}
        for table in ("batches", "orders", "commands", "events"):
            (counts[table],) = ledger.execute(f"SELECT count(*) FROM {table}").fetchone()
        return counts


@pytest.mark.fault(1, 2)
@pytest.mark.parametrize("nth", [3, 4, 6, 7, 8])
def test_a_recording_that_was_killed_leaves_all_or_nothing(world: World, nth: int) -> None:
    """Two seams make the ledger; two each follow for the first chunk, the second, and the flip that makes it whole."""
    file = world.file(rows(COUNT), "long.jsonl")
    killed = world.live("submit", file, nth=nth, at="commit")
    assert killed.was_killed
    is_whole = nth == 8
    assert world.live("orders", "-o", "jsonl").out.count("\n") == (COUNT if is_whole else 0)

    other = world.live("submit", world.file(rows(3, "SBXRAIN-A-T20"), "short.jsonl"))
    assert other.code == 6, other
    assert stored(world)["orders"] == 3 + (COUNT if is_whole else 0)

    again = world.live("submit", file)
    assert again.code == 6, again
    seen = stored(world)
    assert (seen["batches"], seen["orders"], seen["commands"]) == (2, COUNT + 3, COUNT + 3)
    assert inspection.torn(world.ledger, world.exchange) == []
    assert world.live("db", "check").code == 0
    assert world.sandbox.orders() == []
