"""A migrated ledger is the same as a fresh one, and a kill in mid-migration leaves the old one."""

import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from alembic.script import ScriptDirectory

from oms.errors import LedgerBusy, LedgerDamaged, LedgerFailed, LedgerForeign
from oms.ledger import engine as engines
from oms.ledger import schema, upgrade
from oms.ledger.ledger import open_ledger
from oms.ledger.lock import Locks

ORDERS = 50

# Revision 0005 rebuilds `orders`, to which three tables refer, and fills its new column; 0006 moves data out of
# `fills` into a table of its own. Between them they do everything that SQLite makes hard.
REVISION_2 = '''
"""A new column on the parent table."""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "0005", "0004", None, None


def upgrade():
    with op.batch_alter_table("orders") as batch:
        batch.add_column(sa.Column("note", sa.Text(), nullable=False, server_default=""))
        batch.create_check_constraint("ck_orders_note_length", "length(note) < 100")
    op.execute("UPDATE orders SET note = 'row ' || row")
'''
REVISION_3 = '''
"""Venue trade ids in a table of their own."""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "0006", "0005", None, None


def upgrade():
    op.create_table(
        "trades",
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("order_key", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("trade_id", name="pk_trades"),
        sa.ForeignKeyConstraint(["order_key"], ["orders.key"], name="fk_trades_order_key"),
        sqlite_strict=True,
    )
    op.execute("INSERT INTO trades SELECT trade_id, order_key FROM fills")
    with op.batch_alter_table("fills") as batch:
        batch.drop_column("is_taker")
        batch.drop_constraint("ck_fills_is_taker_flag", type_="check")
'''
BREAKS_A_REFERENCE = '''
"""Loses the orders that events refer to."""
from alembic import op

revision, down_revision, branch_labels, depends_on = "0005", "0004", None, None


def upgrade():
    op.execute("DELETE FROM orders WHERE key = 7")
'''
MEETS_A_BAD_ROW = '''
"""A rule that a row in the ledger does not meet."""
from alembic import op

revision, down_revision, branch_labels, depends_on = "0005", "0004", None, None


def upgrade():
    op.execute("CREATE TABLE half_way (x INTEGER) STRICT")
    with op.batch_alter_table("orders") as batch:
        batch.create_check_constraint("ck_orders_row_small", "row < 10")
'''

# Upgrades once to count the statements and commits, then again and again, killed at every one that the stride meets
# and at the last three (the check before the commit, and the commit); forks of one process that has imported it all.
KILLER = """
import os, shutil, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from oms.ledger.upgrade import upgrade

ledger, versions, scratch, stride = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
done, deadly = 0, None

def step(*_):
    global done
    done += 1
    if done == deadly:
        os.kill(os.getpid(), signal.SIGKILL)

for name in ("before_cursor_execute", "commit"):
    event.listen(Engine, name, step)

def copied(number):
    path = scratch / f"{number}" / "ledger.sqlite3"
    path.parent.mkdir()
    return shutil.copy(ledger, path)

upgrade(copied(0), "0004", allowed=True, versions=[versions])
total = done
print(total)
for deadly in sorted({*range(1, total + 1, stride), total - 2, total - 1, total}):
    path = copied(deadly)
    child = os.fork()
    if child == 0:
        done = 0
        upgrade(path, "0004", allowed=True, versions=[versions])
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), (deadly, status)
    print(deadly, flush=True)
"""
STRIDE = 10


def make(path: Path) -> None:
    """A ledger with orders, commands, events and fills, as one that has been used."""
    open_ledger(f"sqlite:///{path}", "sandbox", create=True, now_us=1).close()
    with connected(path) as connection:
        connection.execute("INSERT INTO batches VALUES (1, 'k', NULL, 'file', 'recorded', x'00', 50, 1, NULL)")
        for key in range(1, ORDERS + 1):
            connection.execute(ORDER, {"key": key, "id": f"order-{key}"})
            connection.execute(COMMAND, {"key": key})
            connection.execute("INSERT INTO events VALUES (?, ?, 1, ?, NULL, 1, 'recorded', '{}', x'01')", (key,) * 3)
            connection.execute(
                "INSERT INTO fills VALUES (?, ?, 'x', 'T', 'bid', 1, 1, 0, 1, 1, NULL)", (f"t{key}", key)
            )
        connection.execute("INSERT INTO watermarks VALUES ('account_read', 1, 1)")


ORDER = """
INSERT INTO orders VALUES (:key, :id, 1, :key, 'T', 'bid', 560000, 100, 'good_till_canceled', 'taker_at_cross', 0, 0,
  NULL, NULL, NULL, 'buy', 'yes', 0, NULL, NULL, x'00', 1, 'pending', NULL, 560000, 100, 0, 0, NULL, NULL, NULL,
  0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, 1, 1, x'01')
"""
COMMAND = """
INSERT INTO commands VALUES (:key, :key, 1, 'create', 'queued', 0, '', 0, NULL, NULL, NULL, 0, NULL, NULL, NULL, :key,
  x'00', 1, 1)
"""


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A plain connection to a ledger file; commits at the end."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def shape(path: Path) -> dict[str, object]:
    """Everything the schema says, whatever the order in which constraints were written down."""
    with connected(path) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        found: dict[str, object] = {f"{kind} {name}": _normal(sql) for kind, name, sql in rows}
        found["application_id"] = connection.execute("PRAGMA application_id").fetchone()[0]
    return found


def _normal(sql: str | None) -> object:
    if sql is None:
        return None
    words = re.sub(r"\s+", " ", sql.replace('"', "")).strip()
    if not words.startswith("CREATE TABLE"):
        return words
    head, _, rest = words.partition("(")
    inside, _, tail = rest.rpartition(")")
    parts = list(_top_level(inside))
    columns = [part for part in parts if not part.startswith("CONSTRAINT")]
    return head.strip(), columns, sorted(part for part in parts if part.startswith("CONSTRAINT")), tail.strip()


def _top_level(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            yield text[start:place].strip()
            start = place + 1
    yield text[start:].strip()


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows that existed before any revision came, in the columns that they had."""
    with connected(path) as connection:
        wanted = {
            "orders": "key, client_order_id, batch_key, row, ticker, price_e6, status, chain_hash",
            "commands": "key, order_key, state, live",
            "events": "seq, order_key, n, data, hash",
            "fills": "trade_id, order_key, count_e2",
            "batches": "*",
            "ledger": "*",
            "watermarks": "*",
        }
        return {t: connection.execute(f"SELECT {c} FROM {t} ORDER BY 1").fetchall() for t, c in wanted.items()}


def versions(folder: Path, *texts: str) -> Path:
    made = folder / "versions"
    made.mkdir()
    for number, text in enumerate(texts):
        (made / f"r{number}.py").write_text(dedent(text))
    return made


def backups(path: Path) -> list[Path]:
    return sorted(path.parent.glob("ledger.sqlite3.backup-*"))


# -- the schema ---------------------------------------------------------------------------------------------------


def test_a_fresh_ledger_equals_one_that_was_migrated_from_nothing(path: Path, tmp_path: Path) -> None:
    open_ledger(f"sqlite:///{path}", "sandbox", create=True).close()
    migrated = tmp_path / "migrated.sqlite3"
    migrated.touch()
    engine = engines.writer_engine(migrated)
    with engine.begin() as connection:
        upgrade.migrate(connection)
    engine.dispose()
    fresh = shape(path)
    assert shape(migrated) == fresh
    assert fresh["application_id"] == schema.APPLICATION_ID
    assert all(found[3] == "STRICT" for name, found in fresh.items() if isinstance(found, tuple))


def test_head_of_the_schema_is_head_of_the_migrations() -> None:
    scripts = ScriptDirectory.from_config(upgrade._config(()))
    assert scripts.get_heads() == [schema.HEAD]


def test_migrations_import_nothing_that_may_change() -> None:
    for file in (Path(upgrade._folder()) / "versions").glob("*.py"):
        assert not re.search(r"^\s*(from|import) oms", file.read_text(), re.MULTILINE), file


def test_every_index_of_the_schema_is_used_with_its_own_condition(path: Path) -> None:
    open_ledger(f"sqlite:///{path}", "sandbox", create=True).close()
    found = shape(path)
    assert str(found["index ix_commands_unfinished"]).endswith(f"WHERE {schema.UNFINISHED_SQL}")


# -- upgrading ----------------------------------------------------------------------------------------------------


def test_an_upgrade_moves_data_keeps_references_and_makes_a_backup(path: Path, tmp_path: Path) -> None:
    make(path)
    before, old = rows_of(path), shape(path)
    kept = upgrade.upgrade(path, "0004", allowed=True, versions=[versions(tmp_path, REVISION_2, REVISION_3)])
    assert rows_of(path) == before
    with connected(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0006",)]
        assert connection.execute("SELECT note FROM orders WHERE key = 9").fetchone() == ("row 9",)
        assert connection.execute("SELECT count(*) FROM trades").fetchone() == (ORDERS,)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            connection.execute("DELETE FROM orders WHERE key = 1")
        with pytest.raises(sqlite3.IntegrityError, match="ck_orders_note_length"):
            connection.execute("UPDATE orders SET note = hex(zeroblob(60)) WHERE key = 1")
    assert kept is not None
    assert backups(path) == [kept]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert shape(kept) == old
    assert rows_of(kept) == {**before, "watermarks": [("set_back", 0, 0)]}, "a copy has not read the account"


def test_a_rebuilt_table_keeps_every_rule_and_index(path: Path, tmp_path: Path) -> None:
    make(path)
    before = shape(path)
    upgrade.upgrade(path, "0004", allowed=True, versions=[versions(tmp_path, REVISION_2)])
    after = shape(path)
    was, now = before.pop("table orders"), after.pop("table orders")
    assert isinstance(was, tuple)
    assert isinstance(now, tuple)
    assert after == before
    assert set(now[2]) - set(was[2]) == {"CONSTRAINT ck_orders_note_length CHECK (length(note) < 100)"}
    assert set(was[2]) <= set(now[2])
    assert now[3] == was[3] == "STRICT"


@pytest.mark.fault(87)
def test_a_revision_from_a_newer_program_is_refused_by_name(path: Path) -> None:
    make(path)
    with connected(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0042'")
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(LedgerForeign, match=r"0042.*0004") as caught:
            open_ledger(f"sqlite:///{path}", "sandbox", create=create)
        assert "newer oms is needed" in caught.value.hint
    assert path.read_bytes() == before
    assert backups(path) == []


def test_a_reading_command_upgrades_nothing_and_names_the_ones_that_do(path: Path, tmp_path: Path) -> None:
    make(path)
    before = path.read_bytes()
    with pytest.raises(LedgerForeign, match="revision 0004, this oms works with 0005") as caught:
        upgrade.upgrade(path, "0004", allowed=False, versions=[versions(tmp_path, REVISION_2)])
    assert "oms submit" in caught.value.hint
    assert path.read_bytes() == before
    assert backups(path) == []


@pytest.mark.parametrize("name", ["writer", "recording", "gate"])
def test_an_upgrade_gives_way_to_whoever_uses_the_ledger(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make(path)
    before = path.read_bytes()
    monkeypatch.setattr("oms.ledger.backup.WAIT_S", 0.05)
    held = Locks(path)
    assert getattr(held, name).acquire(0)
    try:
        with pytest.raises(LedgerBusy):
            upgrade.upgrade(path, "0004", allowed=True, versions=[versions(tmp_path, REVISION_2)])
    finally:
        held.close()
    assert path.read_bytes() == before
    assert backups(path) == []


def test_of_two_that_upgrade_the_second_finds_it_done(path: Path, tmp_path: Path) -> None:
    make(path)
    folder = versions(tmp_path, REVISION_2)
    assert upgrade.upgrade(path, "0004", allowed=True, versions=[folder]) is not None
    assert upgrade.upgrade(path, "0004", allowed=True, versions=[folder]) is None
    assert len(backups(path)) == 1


@pytest.mark.fault(40)
@pytest.mark.parametrize(
    ("text", "error"), [(BREAKS_A_REFERENCE, LedgerDamaged), (MEETS_A_BAD_ROW, LedgerFailed)], ids=["reference", "rule"]
)
def test_a_migration_that_fails_leaves_the_ledger_as_it_was(
    path: Path, tmp_path: Path, text: str, error: type[Exception]
) -> None:
    make(path)
    before, old = rows_of(path), shape(path)
    with pytest.raises(error):
        upgrade.upgrade(path, "0004", allowed=True, versions=[versions(tmp_path, text)])
    assert (rows_of(path), shape(path)) == (before, old)
    open_ledger(f"sqlite:///{path}", "sandbox", create=True).close()


@pytest.mark.fault(11)
@pytest.mark.slow
def test_a_kill_at_any_statement_leaves_the_old_schema_and_the_retry_passes(path: Path, tmp_path: Path) -> None:
    make(path)
    before, old = rows_of(path), shape(path)
    folder = versions(tmp_path, REVISION_2, REVISION_3)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", KILLER, str(path), str(folder), str(scratch), str(STRIDE)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr
    total, *killed_at = map(int, run.stdout.split())
    assert total > 40, "the kill points have to reach into both revisions"
    assert killed_at[-1] == total
    for number in killed_at:
        copy = scratch / f"{number}" / "ledger.sqlite3"
        assert shape(copy) == old, f"killed at statement {number}"
        assert rows_of(copy) == before
        assert upgrade.upgrade(copy, "0004", allowed=True, versions=[folder]) is not None
        assert upgrade.read_revision(copy) == "0006"
        assert rows_of(copy) == before
        with connected(copy) as connection:
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            assert connection.execute("SELECT count(*) FROM trades").fetchone() == (ORDERS,)


def test_alembic_is_not_imported_when_no_migration_is_due(path: Path) -> None:
    script = (
        "import sys\n"
        "from oms.ledger.ledger import open_ledger\n"
        f"open_ledger({f'sqlite:///{path}'!r}, 'sandbox', create=True).close()\n"
        f"open_ledger({f'sqlite:///{path}'!r}, 'sandbox', create=False).close()\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], env=os.environ, timeout=60).returncode == 0
