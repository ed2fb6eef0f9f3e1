"""Every single step, and pairs of steps, of six commands before the sandbox exchange (P1-P6)."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from oms.lab.judge import tally
from oms.ledger import engine
from tests.lab import sample
from tests.lab.power.bench import every_pair, every_step
from tests.lab.power.disk import Loss
from tests.lab.power.files import GONE
from tests.lab.power.scenarios import SCENARIOS, row


@pytest.mark.fault(9, 16)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_command_ended_anywhere_goes_on_and_both_sides_agree(bench: Any, name: str) -> None:
    assert every_step(bench(name), stride=67).runs > 2


def test_a_ledger_that_syncs_too_little_is_caught_by_name(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    configure = engine._configure

    def careless(connection: sqlite3.Connection, *, writable: bool) -> None:
        configure(connection, writable=writable)
        connection.execute("PRAGMA synchronous = NORMAL")

    monkeypatch.setattr(engine, "_configure", careless)
    with pytest.raises(AssertionError, match=r"I1: row-2, claimed at .* all lost"):
        every_step(bench("one by one"))


@pytest.mark.fault(17)
def test_what_a_disk_that_lies_has_lost_is_told_and_not_sent_again(bench: Any) -> None:
    """No program can keep P1 there: the ledger is back where it was, and so is its mark."""
    lied_to = bench("one by one")
    lied_to.lies = True
    lost, other = [row(2, client_order_id=None)], [row(3)]
    with lied_to.begun() as world:
        assert world.live("submit", lost, batch="lost").exit_code == 0
        world.power.restart(Loss.ALL, 0, GONE)
        world.power.lies = False
        told = world.live("submit", other, batch="other")
        assert any("recent orders made by oms that this ledger had not sent" in note for note in told.report.notes)
        again = world.live("submit", lost, batch="lost")
        assert any("at the exchange already" in note for note in again.report.notes)
        assert (told.exit_code, again.exit_code, world.live("reconcile").exit_code) == (0, 0, 0)
        assert tally(world.ledger_path, world.exchange_path) == (3, 3)


@pytest.mark.parametrize("name", ["one by one", "answer lost"])
def test_a_disk_that_lies_never_makes_two_orders_of_one(bench: Any, name: str) -> None:
    """No program can keep P1 on it (fault 17); the same rows again are recognized at the exchange (P2)."""
    lied_to = bench(name)
    lied_to.lies = True
    assert every_step(lied_to, stride=31).runs > 4


@pytest.mark.lab
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_command_ended_at_every_step(bench: Any, name: str, record_property: Callable[[str, object], None]) -> None:
    record_property("counted", f"every step, {name}: {every_step(bench(name))}")


@pytest.mark.lab
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["answer lost", "cancel"])
def test_pairs_of_steps(bench: Any, name: str, record_property: Callable[[str, object], None]) -> None:
    """Every telling step; of the life after it every twentieth, beginning elsewhere each time, or all."""
    found = every_pair(bench(name), stride=sample.stride(20))
    record_property("counted", f"pairs of steps, {name}{sample.told(20)}: {found}")
