"""Every step of what is done to a ledger file without the exchange: its making, long recordings, upgrade, restore."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from oms.ledger import record as recording
from oms.ledger import schema
from oms.ledger.backup import backup
from oms.ledger.check import check
from oms.ledger.ledger import open_ledger
from oms.ledger.restore import restore
from oms.ledger.upgrade import read_revision, upgrade
from tests.lab.power.disk import Disk
from tests.lab.power.steps import Counted, every_step
from tests.ledger.ledgers import NOW_US, batch, intent, recorded, running

ROWS = 9


Tell = Callable[[Counted], None]
# A revision that rebuilds the table that others refer to, which is the hardest thing that a migration does.
REVISION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "next", {head!r}, None, None


def upgrade():
    with op.batch_alter_table("orders") as batch:
        batch.add_column(sa.Column("note", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE orders SET note = 'row ' || row")
"""


@pytest.fixture
def tell(record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> Tell:
    def tell(found: Counted) -> None:
        record_property("counted", f"{request.node.name}: {found}")

    return tell


def whole(path: Path) -> None:
    """The ledger opens and agrees with itself."""
    with closing(open_ledger(f"sqlite:///{path}", "sandbox", create=False)) as ledger:
        assert [record for record in check(ledger) if not record.ok] == []


class Making:
    """The first command ever: a ledger is made and a batch recorded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def act(self) -> None:
        with closing(open_ledger(f"sqlite:///{self.path}", "sandbox", create=True, now_us=NOW_US)) as ledger:
            recorded(ledger, ROWS)

    go_on = act

    def judge(self, *, has_returned: bool) -> None:
        whole(self.path)
        assert rows(self.path, "SELECT count(*) FROM orders") == [(ROWS,)]


class Recording(Making):
    """A batch of several chunks, beside one that was recorded before; the next start clears what is half there."""

    def go_on(self) -> None:
        with closing(open_ledger(f"sqlite:///{self.path}", "sandbox", create=True, now_us=NOW_US)) as ledger:
            self.left = sorted(rows(self.path, "SELECT name FROM batches WHERE state = 'recorded'"))
            recording.clear_if_nobody_records(ledger)

    def act(self) -> None:
        with closing(open_ledger(f"sqlite:///{self.path}", "sandbox", create=False)) as ledger:
            recording.record(ledger, batch(ROWS, "y"), (intent(n, "y") for n in range(1, ROWS + 1)), NOW_US)

    def judge(self, *, has_returned: bool) -> None:
        whole(self.path)
        assert self.left in ([("x",)], [("x",), ("y",)])
        assert not has_returned or ("y",) in self.left
        assert rows(self.path, "SELECT count(*) FROM orders") == [(ROWS * len(self.left),)]


class Upgrading(Making):
    """A ledger in use is backed up and brought to a newer schema."""

    def __init__(self, path: Path, versions: Path) -> None:
        super().__init__(path)
        self._versions = versions

    def act(self) -> None:
        upgrade(self.path, schema.HEAD, allowed=True, versions=[self._versions])

    def go_on(self) -> None:
        revision = read_revision(self.path)
        if revision == schema.HEAD:
            whole(self.path)
        upgrade(self.path, revision, allowed=True, versions=[self._versions])

    def judge(self, *, has_returned: bool) -> None:
        assert read_revision(self.path) == "next"
        assert rows(self.path, "SELECT count(*) FROM orders WHERE note = 'row ' || row") == [(ROWS,)]
        assert rows(self.path, "PRAGMA integrity_check") == [("ok",)]
        kept = [Path(f"{path}") for path in self.path.parent.glob("*.backup-*") if path.stat().st_size]
        assert kept
        for path in kept:
            if not path.name.endswith((".partial", "-journal", "-wal", "-shm")):
                assert rows(path, "SELECT count(*) FROM orders") == [(ROWS,)]
                assert rows(path, "SELECT version_num FROM alembic_version") == [(schema.HEAD,)]


class Restoring(Making):
    """A backup, older than the ledger in use, is put in its place."""

    def __init__(self, path: Path, source: Path) -> None:
        super().__init__(path)
        self._source = source
        self.times = 0

    def act(self) -> None:
        self.times += 1
        restore(self._source, self.path, "sandbox", now_us=NOW_US + self.times)

    def go_on(self) -> None:
        """Whichever ledger is there now, a run begins with it."""
        if (
            self.path.stat().st_nlink > 1
        ):  # ended while it had two names: every run refuses it, restoring again mends it
            self.act()
        with closing(open_ledger(f"sqlite:///{self.path}", "sandbox", create=False)) as ledger:
            self.batches = len(rows(self.path, "SELECT key FROM batches"))
            ledger.locks.take_writer(0)
            continued = ledger.open_epoch(purpose="submit", key_print=None, now_us=NOW_US)
            # The restored one has lost something: it must not take itself for the one that ran last.
            assert self.batches == 2 or not continued
            assert self.batches == 2 or rows(self.path, "SELECT name FROM watermarks") == [("set_back",)]

    def judge(self, *, has_returned: bool) -> None:
        whole(self.path)
        assert self.batches == 1 or not has_returned


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


@pytest.fixture
def used(disk: Disk, folder: Path) -> Path:
    """A ledger of one batch that a run has ended in order."""
    with closing(running(folder / "oms.sqlite3")) as ledger:
        recorded(ledger, ROWS)
    return folder / "oms.sqlite3"


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    (tmp_path / "next.py").write_text(REVISION.format(head=schema.HEAD))
    return tmp_path


@pytest.fixture
def source(used: Path, tmp_path: Path) -> Path:
    """A backup that is older than the ledger."""
    kept = tmp_path / "kept.sqlite3"
    backup(used, kept)
    with closing(running(used)) as ledger:
        recorded(ledger, ROWS, "y")
    return kept


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "CHUNK", 4)


@pytest.mark.fault(12)
def test_a_ledger_whose_making_was_cut_off_is_made_again(disk: Disk, folder: Path) -> None:
    assert every_step(disk, Making(folder / "oms.sqlite3"), stride=23).steps > 8


def test_a_recording_cut_off_anywhere_is_whole_or_gone(disk: Disk, used: Path) -> None:
    assert every_step(disk, Recording(used), stride=13).steps > 5


def test_a_restore_cut_off_anywhere_leaves_the_one_ledger_or_the_other(disk: Disk, used: Path, source: Path) -> None:
    assert every_step(disk, Restoring(used, source), stride=13).steps > 5


@pytest.mark.lab
@pytest.mark.timeout(600)
def test_recording_in_chunks_at_every_step(disk: Disk, used: Path, tell: Tell) -> None:
    tell(every_step(disk, Recording(used)))


@pytest.mark.fault(11)
@pytest.mark.lab
@pytest.mark.timeout(600)
def test_upgrading_at_every_step(disk: Disk, used: Path, versions: Path, tell: Tell) -> None:
    tell(every_step(disk, Upgrading(used, versions)))


@pytest.mark.lab
@pytest.mark.timeout(600)
def test_restoring_at_every_step(disk: Disk, used: Path, source: Path, tell: Tell) -> None:
    tell(every_step(disk, Restoring(used, source)))
