"""The simulated disk itself: it must lose what a disk loses, and nothing that a disk keeps.

The second part is measured against what real ext4 and xfs did when they were shut down under SQLite: WAL at FULL or
EXTRA and DELETE at EXTRA lose nothing; WAL at NORMAL and DELETE at FULL, which is SQLite's default, lose the last
commits. A model that disagrees with that would prove nothing about oms.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.lab.power.disk import PAGE, POWER, SECTOR, Disk, Inode, Loss, Off, Write
from tests.lab.power.vfs import PowerVfs, library

SEEDS = range(6)


def held(disk: Disk, loss: Loss, seed: int = 0) -> dict[str, bytes]:
    return {os.path.basename(path): data for path, data in disk.survivors(loss, seed).items()}


@pytest.fixture
def bare(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_a_write_is_lost_until_its_file_and_its_name_are_synced(bare: Disk) -> None:
    file = bare.created(f"{bare.folder}/a")
    bare.wrote(file, 0, b"hello")
    assert held(bare, Loss.NOTHING) == {"a": b"hello"}
    assert held(bare, Loss.ALL) == {}
    bare.synced(file)
    assert held(bare, Loss.ALL) == {}, "the name is not durable yet"
    bare.synced_folder(bare.folder)
    assert held(bare, Loss.ALL) == {"a": b"hello"}


def test_a_deleted_file_comes_back_until_its_folder_is_synced(bare: Disk) -> None:
    file = bare.created(f"{bare.folder}/a")
    bare.wrote(file, 0, b"old")
    bare.synced(file)
    bare.synced_folder(bare.folder)
    bare.unlinked(f"{bare.folder}/a")
    assert held(bare, Loss.ALL) == {"a": b"old"}
    assert held(bare, Loss.NOTHING) == {}
    bare.synced_folder(bare.folder)
    assert held(bare, Loss.ALL) == {}


def test_the_models_keep_what_they_say(bare: Disk) -> None:
    file = bare.created(f"{bare.folder}/a")
    bare.synced_folder(bare.folder)
    for n in range(3):
        bare.wrote(file, n, bytes([65 + n]))
    ordered = {held(bare, Loss.PREFIX, seed)["a"] for seed in range(40)}
    assert ordered == {b"", b"A", b"AB", b"ABC"}
    subsets = {held(bare, Loss.SUBSET, seed)["a"] for seed in range(200)}
    assert len(subsets) == 8
    assert b"\0\0C" in subsets


def test_a_torn_write_is_whole_in_each_sector() -> None:
    pieces = Write(Inode(), 500, bytes(1100)).pieces(SECTOR)
    assert [(piece.offset, len(piece.data or b"")) for piece in pieces] == [
        (500, 12),
        (512, SECTOR),
        (1024, 512),
        (1536, 64),
    ]


def test_a_sync_that_failed_is_made_good_only_where_the_page_changes_again(bare: Disk) -> None:
    file = bare.created(f"{bare.folder}/a")
    bare.synced_folder(bare.folder)
    bare.wrote(file, 0, b"a" * (2 * PAGE))
    bare.sync_failed(file)
    bare.synced(file)
    assert held(bare, Loss.ALL) == {"a": b""}
    bare.wrote(file, PAGE, b"b")
    bare.synced(file)
    assert held(bare, Loss.ALL) == {"a": bytes(PAGE) + b"b" + b"a" * (PAGE - 1)}


def test_a_disk_that_lies_keeps_nothing(bare: Disk) -> None:
    bare.lies = True
    file = bare.created(f"{bare.folder}/a")
    bare.wrote(file, 0, b"x")
    bare.synced(file)
    bare.synced_folder(bare.folder)
    assert held(bare, Loss.ALL) == {}


def test_after_the_end_nothing_is_done_any_more(disk: Disk, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "a.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE t (x)")
        size = (folder / "a.db").stat().st_size
        disk.off = Off()
        for statement in ("INSERT INTO t VALUES (1)", "PRAGMA journal_mode = WAL"):
            with pytest.raises(sqlite3.OperationalError):
                db.execute(statement)
    assert (folder / "a.db").stat().st_size == size
    assert disk.open_files == 0


def test_files_outside_the_folder_are_not_touched(disk: Disk, tmp_path: Path) -> None:
    disk.off = Off()
    with closing(sqlite3.connect(tmp_path / "b.db")) as db:
        assert db.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)


def test_the_default_of_sqlite_is_back_when_the_disk_is_gone(vfs: PowerVfs, folder: Path) -> None:
    disk = Disk(folder)
    with vfs.mounted(disk):
        disk.off = Off()
    with closing(sqlite3.connect(folder / "c.db")) as db:
        db.execute("CREATE TABLE t (x)")


def test_a_library_that_is_not_the_one_of_sqlite3_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 7, 5))
    assert library() is None


# -- against what real file systems did -----------------------------------------------------------------------------


def commits_lost(disk: Disk, folder: Path, journal: str, synchronous: str, rounds: int = 12) -> int:
    """How many acknowledged commits one of the models loses at the moment they are acknowledged."""
    path, lost = folder / f"{journal}-{synchronous}.db", 0
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute(f"PRAGMA journal_mode = {journal}")
        db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, filler TEXT)")
        for n in range(1, rounds + 1):
            db.execute("INSERT INTO t VALUES (?, ?)", (n, "x" * 700))
            lost += any(rows_after(disk, path, loss, seed) != n for loss in POWER for seed in SEEDS)
    return lost


def rows_after(disk: Disk, path: Path, loss: Loss, seed: int) -> int:
    """How many rows are there when the power goes now; -1 for a file that SQLite cannot read."""
    with disk.opened(path, loss, seed) as left:
        try:
            if left.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                return -1
            return int(left.execute("SELECT count(*) FROM t").fetchone()[0])
        except sqlite3.DatabaseError:
            return -1


@pytest.mark.parametrize(
    ("journal", "synchronous"),
    [("WAL", "EXTRA"), ("WAL", "FULL"), ("DELETE", "EXTRA"), ("TRUNCATE", "FULL"), ("PERSIST", "FULL")],
)
def test_settings_that_keep_every_commit_keep_it_here(disk: Disk, folder: Path, journal: str, synchronous: str) -> None:
    assert commits_lost(disk, folder, journal, synchronous) == 0


@pytest.mark.parametrize(
    ("journal", "synchronous"),
    [("WAL", "NORMAL"), ("WAL", "OFF"), ("DELETE", "FULL"), ("DELETE", "NORMAL"), ("DELETE", "OFF")],
)
def test_settings_that_lose_commits_lose_them_here(disk: Disk, folder: Path, journal: str, synchronous: str) -> None:
    assert commits_lost(disk, folder, journal, synchronous) >= 10
