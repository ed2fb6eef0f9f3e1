"""Opening a ledger: what is made, how it is made durable, and what is refused by name."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ledgers import NOW_US, entries, opened, recorded, running, tell, used

from oms.errors import ConfigError, LedgerBusy, LedgerFailed, LedgerForeign, LedgerMissing, LedgerReplaced
from oms.ledger import engine, schema
from oms.ledger.ledger import open_ledger
from oms.lifecycle import events as e
from oms.lifecycle.states import Reason


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "er" / "ledger.sqlite3"


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def edit(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(sql)
        db.commit()


# -- making


@pytest.mark.fault(37)
def test_a_new_ledger_and_its_folder_are_for_the_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(running(path)) as ledger:
            recorded(ledger, 1)
            modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}, modes
    assert {path.name, f"{path.name}-wal", f"{path.name}.lock", f"{path.name}.mark"} <= set(modes)


@pytest.mark.fault(28)
def test_reading_makes_nothing_where_there_is_no_ledger(path: Path) -> None:
    with pytest.raises(LedgerMissing, match="there is no ledger at"):
        opened(path, create=False)
    assert not path.parent.parent.exists()


@pytest.mark.fault(12, 28)
def test_an_empty_file_and_one_whose_making_was_cut_off_become_a_ledger(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch(0o600)
    with pytest.raises(LedgerMissing):
        opened(path, create=False)
    opened(path).close()
    path.unlink()
    with closing(sqlite3.connect(path)) as db:  # a header, and no table
        db.execute("PRAGMA journal_mode = WAL")
    opened(path).close()
    with closing(opened(path, create=False)) as ledger:
        assert ledger.identity().epoch == 0


def test_two_that_make_a_ledger_at_once_make_one(path: Path) -> None:
    ids: list[str] = []
    together = threading.Barrier(4)

    def make() -> None:
        together.wait()
        with closing(opened(path)) as ledger:
            ids.append(ledger.ledger_id)

    makers = [threading.Thread(target=make) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(ids) == 4
    assert len(set(ids)) == 1


def test_two_names_of_one_ledger_meet_on_one_lock(path: Path, tmp_path: Path) -> None:
    with closing(running(path)):
        other = tmp_path / "alias.sqlite3"
        other.symlink_to(path)
        with closing(open_ledger(url(other), "sandbox", create=False)) as second:
            assert second.path == path
            with pytest.raises(LedgerBusy, match="another process sends from this ledger: pid"):
                second.locks.take_writer(0)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"):
        opened(tmp_path / "file" / "ledger.sqlite3")


# -- durability


def test_the_writer_is_durable_and_the_reader_can_only_read(path: Path) -> None:
    def pragma(connection: sqlite3.Connection, name: str) -> object:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    opened(path).close()
    with (
        closing(engine._connect(path, writable=True)) as writer,
        closing(engine._connect(path, writable=False)) as reader,
    ):
        assert [pragma(writer, name) for name in ("journal_mode", "synchronous", "foreign_keys")] == ["wal", 3, 1]
        assert [pragma(each, "wal_autocheckpoint") for each in (writer, reader)] == [0, 0]
        assert [pragma(each, "trusted_schema") for each in (writer, reader)] == [0, 0]
        assert pragma(reader, "query_only") == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM orders")


@pytest.mark.fault(35)
def test_the_writer_that_cannot_be_made_durable_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(path).close()

    class Deaf(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
            return super().execute("PRAGMA synchronous" if sql == "PRAGMA synchronous = EXTRA" else sql, parameters)

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, factory=Deaf, **k))
    with pytest.raises(LedgerFailed, match=r"cannot be made durable: journal_mode=wal, synchronous=\d"):
        engine._connect(path, writable=True)


@pytest.mark.fault(26)
def test_every_write_begins_immediately_and_a_read_never_waits_for_it(path: Path) -> None:
    with closing(opened(path)) as ledger, closing(opened(path)) as other, ledger.write() as connection:
        connection.exec_driver_sql("UPDATE ledger SET host = 'h'")
        with other.read() as reading:
            assert reading.exec_driver_sql("SELECT host FROM ledger").scalar() is None


def test_after_a_failed_write_the_ledger_is_done_for_this_process(path: Path) -> None:
    with closing(running(path)) as ledger:
        recorded(ledger, 2)
        with pytest.raises(LedgerFailed), ledger.write() as connection:
            connection.exec_driver_sql("UPDATE orders SET status = 'nonsense'")
        assert ledger.has_failed
        with pytest.raises(LedgerFailed):
            recorded(ledger, 2, "later")
    with closing(opened(path, create=False)) as again:
        assert [x.order.status for x in entries(again, 2)] == ["pending", "pending"]


def test_what_is_committed_survives_the_death_of_the_process(path: Path) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\nsys.path.insert(0, 'tests/ledger')\n"
        "from ledgers import recorded, running\n"
        f"recorded(running(Path({str(path)!r})), 3)\nos._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 9
    with closing(running(path)) as ledger:
        assert len(entries(ledger, 3)) == 3


# -- refusals


@pytest.mark.fault(28)
def test_what_is_no_ledger_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    for content, said in ((b"not a database, but long enough to look at" * 30, "is not a SQLite file"),):
        path.write_bytes(content)
        with pytest.raises(LedgerForeign, match=said):
            opened(path)
        assert path.read_bytes() == content
    path.unlink()
    edit(path, "CREATE TABLE theirs (x)")
    with pytest.raises(LedgerForeign, match="some other program"):
        opened(path)
    with closing(sqlite3.connect(path)) as db:
        assert [row[0] for row in db.execute("SELECT name FROM sqlite_master")] == ["theirs"]


def test_a_directory_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(LedgerForeign, match="is not a file"):
        opened(path)


@pytest.mark.fault(28, 87)
@pytest.mark.parametrize("revision", ["9999", "0000"])
def test_a_ledger_of_a_revision_this_program_does_not_know_is_refused_by_name(path: Path, revision: str) -> None:
    opened(path).close()
    edit(path, f"UPDATE alembic_version SET version_num = '{revision}'")
    with pytest.raises(LedgerForeign, match=revision):
        opened(path)


@pytest.mark.fault(82)
@pytest.mark.parametrize("environment", ["demo", "prod"])
def test_the_ledger_of_another_environment_is_refused_by_name(path: Path, environment: str) -> None:
    opened(path).close()
    with pytest.raises(LedgerForeign, match=f"belongs to environment sandbox, not {environment}"):
        open_ledger(url(path), environment, create=True)


def test_a_ledger_belongs_to_the_first_exchange_it_was_used_with(path: Path) -> None:
    with closing(opened(path)) as ledger:
        ledger.bind_host("127.0.0.1")
        ledger.bind_host("127.0.0.1")
        with pytest.raises(LedgerForeign, match=r"belongs to the exchange at 127\.0\.0\.1, not 127\.0\.0\.2"):
            ledger.bind_host("127.0.0.2")


@pytest.mark.parametrize("given", ["mysql://x/y", "postgresql://x/y", "sqlite://", "sqlite:///:memory:", "::"])
def test_an_address_that_is_no_file_is_a_wrong_configuration(given: str) -> None:
    with pytest.raises(ConfigError, match=r"ledger\.url"):
        open_ledger(given, "sandbox", create=True)


# -- moved, copied, replaced


@pytest.mark.fault(31)
@pytest.mark.parametrize("how", ["replaced", "deleted"])
def test_a_ledger_that_was_replaced_or_deleted_under_a_run_ends_it(path: Path, how: str) -> None:
    with closing(running(path)) as ledger:
        path.rename(path.with_suffix(".away"))
        if how == "replaced":
            shutil.copy(path.with_suffix(".away"), path)
        with pytest.raises(LedgerReplaced, match="was moved, replaced or deleted"):
            ledger.check_place()
        with pytest.raises(LedgerFailed), ledger.write():
            pytest.fail("nothing more is written")


def open_run(path: Path) -> bool:
    """Begin and end a run; whether the ledger was the one that ran last, as it was left."""
    with closing(opened(path, create=False)) as ledger:
        ledger.locks.take_writer(0)
        continued = ledger.open_epoch(purpose="submit", key_print=None, now_us=NOW_US)
        ledger.end_epoch()
        return continued


def test_a_run_after_a_run_continues_it(path: Path) -> None:
    used(path).close()
    assert open_run(path)
    assert open_run(path)


@pytest.mark.fault(30, 86)
@pytest.mark.parametrize("what", ["copied", "restored", "without its mark", "another's mark", "a torn mark"])
def test_a_ledger_that_is_not_as_it_was_left_is_noticed(path: Path, what: str) -> None:
    used(path).close()
    mark = Path(f"{path}.mark")
    older = path.with_suffix(".older")
    shutil.copy(path, older)
    match what:
        case "copied":
            moved = path.with_name("copy.sqlite3")
            shutil.copy(path, moved)
            shutil.copy(mark, f"{moved}.mark")
            assert not open_run(moved)
            return
        case "restored":
            assert open_run(path)
            path.unlink()
            older.rename(path)
        case "without its mark":
            mark.unlink()
        case "another's mark":
            mark.write_text(json.dumps(json.loads(mark.read_text()) | {"id": "another"}).ljust(200))
        case "a torn mark":
            mark.write_bytes(mark.read_bytes()[:40])
    assert not open_run(path)
    assert open_run(path), "once it has been noticed, it goes on from there"


def test_what_was_noticed_is_a_duty_until_it_is_done(path: Path) -> None:
    used(path).close()
    edit(path, f"INSERT INTO watermarks VALUES ('{schema.ACCOUNT_READ}', 5, 5)")
    Path(f"{path}.mark").unlink()
    assert not open_run(path)
    assert open_run(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM watermarks").fetchall() == [(schema.SET_BACK,)]


def test_an_answer_cannot_be_recorded_without_an_epoch_of_this_run(path: Path) -> None:
    with closing(running(path)) as first:
        recorded(first, 1)
        epoch = first.epoch
        first.end_epoch()
        assert first.epoch is None
        with closing(running(path)) as second:
            assert second.epoch is not None
            assert epoch is not None
            assert second.epoch == epoch + 1
            tell(second, [(entries(second, 1)[0], e.Withdrawn(reason=Reason.WITHDRAWN))])
