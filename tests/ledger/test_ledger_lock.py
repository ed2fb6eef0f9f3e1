"""The OS locks beside a ledger."""

from pathlib import Path

import pytest

from oms.errors import LedgerFailed
from oms.ledger.lock import Lock


@pytest.mark.parametrize("wait_s", [None, 0.0])
def test_a_lock_whose_file_cannot_be_made_fails_at_once(wait_s: float | None) -> None:
    """Else a run would try for ever: the lock's library takes ENOENT for a file that was just removed."""
    with pytest.raises(LedgerFailed, match=r"x\.db\.gate"):
        Lock(Path("/proc/x.db"), ".gate").acquire(wait_s)


def test_a_lock_whose_file_was_removed_is_taken_again(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "ledger", ".lock")
    assert lock.acquire(0)
    lock.release()
    (tmp_path / "ledger.lock").unlink(missing_ok=True)
    assert lock.acquire(0)
    lock.release()
