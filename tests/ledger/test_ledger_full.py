"""A full disk is named as one, with the next step, to whoever writes and to whoever only reads."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from oms.errors import LedgerFailed
from oms.ledger.engine import told_full
from oms.ledger.halt import HaltFile, halt_path, lift_path
from oms.ledger.ledger import Ledger, open_ledger
from tests.ledger.ledgers import NOW_US, recorded


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(opened(tmp_path / "ledger.sqlite3")) as found:
        yield found


def opened(path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{path}", "sandbox", create=True, upgrade=True, now_us=NOW_US)


def named(word: str) -> sqlite3.OperationalError:
    found = sqlite3.OperationalError("disk I/O error")
    found.sqlite_errorname = word
    return found


def test_a_full_disk_is_named_with_the_next_step_and_nothing_is_kept(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # at least what it has already
    with pytest.raises(LedgerFailed, match=r"is full: the disk of .* is full") as failure:
        recorded(ledger, 400)
    assert "free some space" in failure.value.hint
    with ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == 0


def test_an_io_error_where_there_is_room_is_called_no_full_disk(tmp_path: Path) -> None:
    assert told_full(named("SQLITE_IOERR_FSYNC"), tmp_path / "ledger.sqlite3") == ""
    assert told_full(named("SQLITE_CORRUPT"), tmp_path / "ledger.sqlite3") == ""
    assert told_full(named("SQLITE_IOERR_FSYNC"), tmp_path / "gone" / "ledger.sqlite3") == ""


@pytest.mark.parametrize(("blocks", "files", "said"), [(3, 10, "12 KiB"), (10_000, 0, "no file")])
def test_an_io_error_where_there_is_none_is_called_what_it_looks_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, files: int, said: str
) -> None:
    shown = os.statvfs_result((4096, 4096, 10_000, blocks, blocks, 100, files, files, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: shown)
    told = told_full(named("SQLITE_IOERR_SHMSIZE"), tmp_path / "ledger.sqlite3")
    assert told == f"the disk of {tmp_path} looks full: there is room for {said} more"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes; needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True)
    if not made or made.returncode:
        pytest.skip("no small disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs")
def test_on_a_disk_without_room_reading_says_so_and_halting_works(small_disk: Path) -> None:
    path = small_disk / "ledger.sqlite3"
    with closing(opened(path)) as ledger:
        recorded(ledger, 3)
    room = os.statvfs(small_disk)
    (small_disk / "fill").write_bytes(b"x" * (room.f_bavail * room.f_frsize))
    with pytest.raises(LedgerFailed, match="looks full") as failure:
        open_ledger(f"sqlite:///{path}", "sandbox", create=False, upgrade=False, now_us=NOW_US)
    assert "free some space" in failure.value.hint
    halted, problem = halt_path(path, "stop", NOW_US)
    assert (halted.reason, HaltFile(path).is_set()) == ("stop", True)
    assert "looks full" in problem
    was_set, problem = lift_path(path)  # a ledger that cannot be written cannot be unhalted either
    assert (was_set, HaltFile(path).is_set()) == (True, True)
    assert "looks full" in problem
    (small_disk / "fill").unlink()
    assert lift_path(path) == (True, "")
