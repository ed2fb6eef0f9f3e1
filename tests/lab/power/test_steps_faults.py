"""An error of the disk at every position of a command: nothing is sent after it, and the next life goes on (P1)."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oms.errors import LedgerFailed
from oms.ledger.lock import Lock
from tests.lab.power.faults import every_fault

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
    found = every_fault(bench("answer lost"), NUMBERS[number], is_sticky=is_sticky)
    kind = "sticky" if is_sticky else "once"
    record_property("counted", f"{number} {kind}: {found}; the life ended with {dict(found.after)}")


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "oms.sqlite3.lock").mkdir()
    with pytest.raises(LedgerFailed, match=r"oms\.sqlite3\.lock"):
        Lock(tmp_path / "oms.sqlite3", ".lock").acquire(0)
