"""An error of the disk at every position of a command: nothing is sent after it, and the next life goes on (P1)."""

import errno
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from oms.errors import LedgerFailed
from oms.ledger.lock import Lock
from tests.lab import sample
from tests.lab.power.faults import Fault, every_fault
from tests.lab.power.scenarios import rows

NUMBERS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "BUSY": errno.EBUSY}


@pytest.mark.fault(21, 22, 25)
@pytest.mark.parametrize("is_sticky", [False, True], ids=["once", "sticky"])
@pytest.mark.parametrize("number", NUMBERS)
def test_after_an_error_of_the_disk_nothing_is_sent_and_the_next_life_goes_on(
    bench: Any, number: str, is_sticky: bool
) -> None:
    found = every_fault(bench("cancel"), NUMBERS[number], is_sticky=is_sticky, stride=37)
    assert found.runs > 1
    assert set(found.after) <= {"ledger_busy" if number == "BUSY" else "ledger_failed", "exit 0"}


@pytest.mark.lab
@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_sticky", [False, True], ids=["once", "sticky"])
@pytest.mark.parametrize("number", NUMBERS)
def test_every_fault(bench: Any, number: str, is_sticky: bool, record_property: Callable[[str, object], None]) -> None:
    found = every_fault(bench("answer lost"), NUMBERS[number], is_sticky=is_sticky, stride=sample.stride(3))
    kind = "sticky" if is_sticky else "once"
    record_property("counted", f"{number} {kind}{sample.told(3)}: {found}; the life ended with {dict(found.after)}")


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "oms.sqlite3.lock").mkdir()
    with pytest.raises(LedgerFailed, match=r"oms\.sqlite3\.lock"):
        Lock(tmp_path / "oms.sqlite3", ".lock").acquire(0)


@pytest.mark.fault(22)
def test_what_a_failed_sync_left_in_the_cache_is_not_built_upon(bench: Any) -> None:
    """A sync fails, the process is killed at once, another one reads while the next run begins, the power goes (P1).

    The reader keeps the WAL alive, with pages that the kernel will never write; what is committed behind them is lost.
    """
    with bench("answer lost").begun() as world:
        fault = Fault(world, errno.EIO, 3, False, deeds=("disk sync",))
        world.fault = fault
        world.live("submit", rows(2, 3), on_step=lambda steps, _: steps.end("killed") if fault.met else None)
        world.fault = lambda name: None
        with closing(sqlite3.connect(world.ledger_path)) as reader:
            reader.execute("SELECT count(*) FROM orders").fetchone()
            world.live("submit", rows(2, 3))
        assert world.witness.breaches == []
