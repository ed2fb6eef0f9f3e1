"""Copies of a ledger are whole and private, and a restored one never pretends to be up to date."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import NOW_US, acknowledged, claimed, entries, intent, opened, recorded, running, tell, used

from oms.errors import InputError, LedgerBusy, LedgerDamaged, LedgerError, LedgerForeign, LedgerReplaced
from oms.ledger import queries
from oms.ledger.backup import backup
from oms.ledger.check import check
from oms.ledger.ledger import ACCOUNT_READ, Ledger, open_ledger
from oms.ledger.lock import Locks
from oms.ledger.restore import restore

# Restores a copy again and again, killed at the first, second, ... time that a file is opened, linked, renamed,
# removed or synced, until one restore passes; forks of one process that has imported everything.
KILLER = """
import os, shutil, signal, sys
from pathlib import Path
from oms.ledger.restore import restore

copy, ledger, scratch = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
left = 0

def deadly(real):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return call

status = -1
for step in range(1, 99):
    place = scratch / f"{step}" / ledger.name
    place.parent.mkdir()
    shutil.copy(ledger, place)
    shutil.copy(f"{ledger}.mark", f"{place}.mark")
    child = os.fork()
    if child == 0:
        left = step
        for name in ("open", "link", "rename", "replace", "unlink", "fsync"):
            setattr(os, name, deadly(getattr(os, name)))
        restore(copy, place, "sandbox", now_us=5)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(step, flush=True)
    if not os.WIFSIGNALED(status):
        break
sys.exit(status)
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copies" / "copy.sqlite3"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    monkeypatch.setattr("oms.ledger.backup.WAIT_S", 0.05)
    monkeypatch.setattr("oms.ledger.restore.WAIT_S", 0.05)
    copy.parent.mkdir()


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in names}


def read_account(ledger: Ledger) -> None:
    with ledger.write() as connection:
        queries.set_watermark(connection, ACCOUNT_READ, 1, 1)
        queries.set_watermark(connection, "fills", 1, 1)


# -- backup -------------------------------------------------------------------------------------------------------


@pytest.mark.fault(36)
def test_a_copy_of_a_ledger_in_use_has_everything_but_that_the_account_was_read(path: Path, copy: Path) -> None:
    with closing(used(path)) as ledger:
        read_account(ledger)
        backup(path, copy)
        expected = content(path)
    expected["watermarks"] = [row for row in expected["watermarks"] if row[0] != ACCOUNT_READ]
    assert expected["watermarks"]
    expected["watermarks"].append(("set_back", 0, 0))  # what was sent since is not in it
    assert content(copy) == expected


def test_a_copy_is_one_file_that_only_its_owner_can_read(path: Path, copy: Path) -> None:
    before = os.umask(0)
    try:
        with closing(used(path)):
            backup(path, copy)
    finally:
        os.umask(before)
    assert [each.name for each in copy.parent.iterdir()] == [copy.name]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_paths_may_be_relative(path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with closing(used(path)):
        backup(path, Path("here.sqlite3"))
    restore(Path("here.sqlite3"), Path(path.name), "sandbox", now_us=NOW_US)
    assert content(path) == content(path.with_name("here.sqlite3"))


def test_a_copy_never_overwrites(path: Path, copy: Path) -> None:
    copy.write_bytes(b"mine")
    with closing(used(path)), pytest.raises(InputError, match="never overwritten"):
        backup(path, copy)
    assert copy.read_bytes() == b"mine"


def test_a_copy_of_a_damaged_ledger_is_not_kept(path: Path, copy: Path) -> None:
    with closing(used(path, 600)):
        pass
    with path.open("r+b") as file:
        file.seek(4096 * 8)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(LedgerDamaged):
        backup(path, copy)
    assert list(copy.parent.iterdir()) == []


def test_a_copy_that_cannot_be_written_leaves_nothing_behind(path: Path, tmp_path: Path) -> None:
    with closing(used(path)):
        with pytest.raises(LedgerError, match="cannot be written"):
            backup(path, tmp_path / "missing" / "copy.sqlite3")
        backup(path, tmp_path / "copy.sqlite3")


@pytest.mark.fault(36)
def test_a_copy_lets_the_sender_go_on(path: Path, copy: Path) -> None:
    with closing(running(path)) as ledger:
        recorded(ledger, 3_000)
        copier = threading.Thread(target=backup, args=(path, copy))
        copier.start()
        turns = 0
        while copier.is_alive():
            turns += 1
            recorded(ledger, 1, name=f"turn-{turns}")
        copier.join()
        assert turns > 0
    with closing(open_ledger(f"sqlite:///{copy}", "sandbox", create=False)) as ledger:
        assert all(each.ok for each in check(ledger))


@pytest.mark.fault(31)
def test_the_file_of_the_ledger_is_never_opened_but_through_sqlite(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = os.open

    def noted(name: "str | Path", *args: int, **kwargs: int) -> int:
        seen.append(str(name))
        return real(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", noted)
    with closing(used(path)):
        backup(path, copy)
        seen.clear()
        backup(path, copy.with_name("second.sqlite3"))
        assert seen
        assert not {str(path), f"{path}-wal", f"{path}-shm"} & set(seen)


# -- restore ------------------------------------------------------------------------------------------------------


def test_a_restored_ledger_has_what_the_copy_had_and_the_replaced_one_is_kept(path: Path, copy: Path) -> None:
    with closing(used(path)) as ledger:
        read_account(ledger)
        backup(path, copy)
        recorded(ledger, 2, name="later")
    late = content(path)
    kept = restore(copy, path, "sandbox", now_us=NOW_US)
    assert content(path) == content(copy)
    assert kept is not None
    assert kept.parent == path.parent
    assert content(kept) == late
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.fault(30, 36)
def test_a_restored_ledger_reads_the_account_before_it_sends(path: Path, copy: Path) -> None:
    with closing(used(path)) as ledger:
        backup(path, copy)
        read_account(ledger)
    restore(copy, path, "sandbox", now_us=NOW_US)
    assert not Path(f"{path}.mark").exists()
    with closing(opened(path)) as ledger:
        ledger.locks.take_writer(0)
        assert not ledger.open_epoch(purpose="submit", key_print=None, now_us=NOW_US)
        assert queries.watermark(ledger) is None


@pytest.mark.fault(30)
def test_a_copy_put_in_place_by_hand_reads_the_account_too(path: Path, copy: Path) -> None:
    with closing(used(path)) as ledger:
        read_account(ledger)
    shutil.copy(path, copy)
    os.replace(copy, path)
    with closing(opened(path)) as ledger:
        ledger.locks.take_writer(0)
        assert not ledger.open_epoch(purpose="submit", key_print=None, now_us=NOW_US)
        assert queries.watermark(ledger) is None


def test_a_copy_is_restored_where_there_is_no_ledger(path: Path, copy: Path, tmp_path: Path) -> None:
    with closing(used(path)):
        backup(path, copy)
    elsewhere = tmp_path / "new" / "folder" / "ledger.sqlite3"
    assert restore(copy, elsewhere, "sandbox", now_us=NOW_US) is None
    with closing(open_ledger(f"sqlite:///{elsewhere}", "sandbox", create=False)) as ledger:
        assert all(each.ok for each in check(ledger))


@pytest.mark.fault(30)
def test_the_wal_of_the_replaced_ledger_never_reaches_the_restored_one(path: Path, copy: Path) -> None:
    with closing(used(path)):
        backup(path, copy)
    left = "import os, sys; sys.path.insert(0, sys.argv[2]); from ledgers import running, recorded; from pathlib import"
    left += " Path; recorded(running(Path(sys.argv[1])), 50, name='late'); os._exit(0)"
    subprocess.run([sys.executable, "-c", left, str(path), str(Path(__file__).parent)], check=True, timeout=60)
    assert Path(f"{path}-wal").stat().st_size > 0, "a run that died has left its WAL"
    kept = restore(copy, path, "sandbox", now_us=NOW_US)
    assert content(path) == content(copy)
    assert kept is not None
    with closing(open_ledger(f"sqlite:///{kept}", "sandbox", create=False)) as ledger:
        assert len(entries(ledger, 50, name="late")) == 50


@pytest.mark.fault(30)
def test_a_stray_wal_of_a_ledger_that_is_gone_is_not_applied(path: Path, copy: Path) -> None:
    with closing(used(path)):
        backup(path, copy)
        recorded_wal = Path(f"{path}-wal").read_bytes()
    path.unlink()
    Path(f"{path}-wal").write_bytes(recorded_wal)
    restore(copy, path, "sandbox", now_us=NOW_US)
    assert content(path) == content(copy)


@pytest.mark.parametrize("name", ["writer", "recording", "gate"])
def test_a_restore_gives_way_to_whoever_uses_the_ledger(path: Path, copy: Path, name: str) -> None:
    with closing(used(path)):
        backup(path, copy)
    before = path.read_bytes()
    held = Locks(path)
    assert getattr(held, name).acquire(0)
    with pytest.raises(LedgerBusy):
        restore(copy, path, "sandbox", now_us=NOW_US)
    held.close()
    assert path.read_bytes() == before


def test_a_restore_waits_for_readers_and_says_so(path: Path, copy: Path) -> None:
    with closing(used(path)):
        backup(path, copy)
    with closing(opened(path)) as ledger:
        recorded(ledger, 1, name="in the WAL")
        with ledger.read() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM orders").fetchone()
            recorded(opened(path), 1, name="after the reader began")
            with pytest.raises(LedgerBusy, match="reading"):
                restore(copy, path, "sandbox", now_us=NOW_US)
    assert not list(path.parent.glob("*.replaced-*"))
    assert not list(path.parent.glob("*.restoring*"))


def test_only_a_ledger_of_this_environment_is_restored(path: Path, copy: Path, tmp_path: Path) -> None:
    open_ledger(f"sqlite:///{copy}", "demo", create=True).close()
    with pytest.raises(LedgerForeign, match="belongs to environment demo, not sandbox"):
        restore(copy, path, "sandbox", now_us=NOW_US)
    other = tmp_path / "other.sqlite3"
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(LedgerForeign, match="not a ledger of oms"):
        restore(other, path, "sandbox", now_us=NOW_US)
    other.write_text("no database at all, but long enough to look like a file that somebody might name here\n" * 9)
    with pytest.raises(LedgerForeign):
        restore(other, path, "sandbox", now_us=NOW_US)
    with pytest.raises(InputError, match="there is no file"):
        restore(tmp_path / "missing", path, "sandbox", now_us=NOW_US)
    assert not path.exists()


@pytest.mark.fault(87)
def test_a_ledger_of_a_newer_program_is_not_restored(path: Path, copy: Path) -> None:
    with closing(used(path)):
        backup(path, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
    before = path.read_bytes()
    with pytest.raises(LedgerForeign, match="0099"):
        restore(copy, path, "sandbox", now_us=NOW_US)
    assert path.read_bytes() == before


def test_what_is_not_our_ledger_is_never_replaced(path: Path, copy: Path) -> None:
    with closing(used(path)):
        backup(path, copy)
    path.unlink()
    Path(f"{path}.mark").unlink()
    for make in (lambda: path.write_text("a letter to my aunt\n" * 50), lambda: path.mkdir()):
        make()
        with pytest.raises(LedgerForeign):
            restore(copy, path, "sandbox", now_us=NOW_US)
        if path.is_file():
            path.unlink()
    path.rmdir()
    open_ledger(f"sqlite:///{path}", "demo", create=True).close()
    with pytest.raises(LedgerForeign, match="demo"):
        restore(copy, path, "sandbox", now_us=NOW_US)


@pytest.mark.parametrize("place", [0, 4096 * 2], ids=["header", "content"])
def test_a_damaged_ledger_is_replaced_and_kept(path: Path, copy: Path, place: int) -> None:
    with closing(used(path, 200)):
        backup(path, copy)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 4096)
    damaged = path.read_bytes()
    kept = restore(copy, path, "sandbox", now_us=NOW_US)
    assert kept is not None
    assert kept.read_bytes() == damaged
    assert content(path) == content(copy)


def test_a_copy_that_is_damaged_is_not_restored(path: Path, copy: Path) -> None:
    with closing(used(path, 600)):
        backup(path, copy)
    before = path.read_bytes()
    with copy.open("r+b") as file:
        file.seek(4096 * 8)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(LedgerDamaged):
        restore(copy, path, "sandbox", now_us=NOW_US)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.restoring*"))


@pytest.mark.fault(31)
def test_a_waiting_run_does_not_send_from_the_ledger_that_was_replaced(path: Path, copy: Path) -> None:
    """It holds connections to the old file; the new one under the path is not what it opened."""
    with closing(used(path)):
        backup(path, copy)
    with closing(opened(path)) as waiting:
        recorded(waiting, 1, name="while waiting")
        restore(copy, path, "sandbox", now_us=NOW_US)
        waiting.locks.take_writer(0)
        with pytest.raises(LedgerReplaced):
            waiting.open_epoch(purpose="submit", key_print=None, now_us=NOW_US)


def test_an_older_ledger_goes_on_from_where_it_was(path: Path, copy: Path) -> None:
    with closing(used(path, 6)) as ledger:
        backup(path, copy)
        entry = entries(ledger, 6)[5]
        moved = tell(ledger, [(entry, claimed(entry))])[entry.command_key]
        tell(ledger, [(moved, acknowledged(moved))])
    restore(copy, path, "sandbox", now_us=NOW_US)
    with closing(running(path)) as ledger:
        assert entries(ledger, 6)[5].command.attempts == 0
        assert all(each.ok for each in check(ledger))
        assert intent(6).client_order_id == entries(ledger, 6)[5].client_order_id


@pytest.mark.fault(36)
@pytest.mark.slow
def test_a_kill_while_restoring_leaves_the_old_ledger_or_the_new_one(path: Path, copy: Path, tmp_path: Path) -> None:
    with closing(used(path)):
        backup(path, copy)
        recorded(opened(path), 3, name="late")
    old, new = content(path), content(copy)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", KILLER, str(copy), str(path), str(scratch)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr
    outcomes = []
    for step in run.stdout.split():
        place = scratch / step / path.name
        found = content(place) if place.exists() else {}
        outcomes.append("old" if found == old else "new" if found == new else "broken")
        restore(copy, place, "sandbox", now_us=NOW_US)
        assert content(place) == new
    assert set(outcomes) == {"old", "new"}
    assert outcomes == sorted(outcomes, key=("old", "new").index)
