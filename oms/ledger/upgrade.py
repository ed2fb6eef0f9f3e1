"""Bringing an older ledger to the schema of this program: a backup, then every migration in one transaction.

alembic is imported here only, and only when a migration is due. SQLite's DDL is transactional, but only if nothing
commits in between: the whole way from the old revision to the new one is one BEGIN IMMEDIATE, so a kill at any point
leaves the old schema and the next try starts over. Foreign keys are off while it runs, because a table that others
refer to is rebuilt by dropping it; they are checked before the commit.
"""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import select
from sqlalchemy.engine import Connection

import oms
from oms.errors import LedgerDamaged, LedgerError, LedgerFailed, LedgerForeign
from oms.ledger import engine as engines
from oms.ledger import schema
from oms.ledger.backup import backup, sole_use, stamp


def upgrade(path: Path, revision: str, *, allowed: bool, versions: Sequence[Path] = ()) -> Path | None:
    """Bring the ledger at `path` from `revision` to the newest one this program knows; returns the backup made first.

    `versions` names folders with further revisions. None is returned when another process was faster. Raises
    LedgerForeign for a revision this program does not know (a newer program made it), and for an older one when it is
    not `allowed`; LedgerBusy when another process holds the ledger; LedgerFailed or LedgerDamaged when a migration
    failed: the ledger is then as it was.
    """
    config = _config(versions)
    head = check_known(path, revision, versions=versions)
    if revision == head:
        return None
    if not allowed:
        raise LedgerForeign(
            f"the ledger {path} is at revision {revision}, this oms works with {head}",
            hint="`oms submit` or `oms reconcile` upgrades it, after a backup",
        )
    with sole_use(path):
        revision = read_revision(path)
        if revision == head:
            return None
        kept = Path(f"{path}.backup-{revision}-{stamp(time.time_ns() // 1000)}")
        backup(path, kept)
        try:
            _migrate(path, config, head)
        except LedgerFailed as exc:
            raise LedgerFailed(
                f"the upgrade of {path} from revision {revision} to {head} did not pass: {exc.message}",
                hint=f"the ledger is as it was, and a backup is {kept}; check the disk and run this again",
            ) from exc
    return kept


def check_known(path: Path, revision: str, *, versions: Sequence[Path] = ()) -> str:
    """The newest revision, if `revision` is one of those this program knows. Raises LedgerForeign otherwise."""
    scripts = ScriptDirectory.from_config(_config(versions))
    head = scripts.get_current_head()
    assert head is not None
    if revision not in {script.revision for script in scripts.walk_revisions()}:
        raise LedgerForeign(
            f"the ledger {path} is at revision {revision}; this oms ({oms.__version__}) knows none newer than {head}",
            hint="a newer oms is needed: install the one that made this ledger, or a later one",
        )
    return head


def migrate(connection: Connection, target: str = "head", *, versions: Sequence[Path] = ()) -> None:
    """Run the migrations up to `target` on a connection that is inside a transaction; the caller commits."""
    _run(connection, _config(versions), target)


def read_revision(path: Path) -> str:
    """The revision that the ledger says it is at."""
    reader = engines.reader_engine(path)
    try:
        with engines.translated(path), reader.begin() as connection:
            return str(connection.execute(select(schema.alembic_version.c.version_num)).scalar_one())
    finally:
        reader.dispose()


def _migrate(path: Path, config: Config, head: str) -> None:
    engine = engines.writer_engine(path)
    try:
        with engines.translated(path), engine.connect() as connection:
            _foreign_keys_off(connection)
            with connection.begin():
                _run(connection, config, head)
                _check_references(connection, path)
    finally:
        engine.dispose()


def _run(connection: Connection, config: Config, target: str) -> None:
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def _foreign_keys_off(connection: Connection) -> None:
    """SQLite ignores this pragma inside a transaction, so it comes before BEGIN, past SQLAlchemy's autobegin."""
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.execute("PRAGMA foreign_keys = OFF")
    assert raw.execute("PRAGMA foreign_keys").fetchone()[0] == 0


def _check_references(connection: Connection, path: Path) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(5)
    if broken:
        tables = ", ".join(sorted({f"{row[0]} -> {row[2]}" for row in broken}))
        raise LedgerDamaged(
            f"the upgrade of {path} would leave rows without the rows they refer to ({tables})",
            hint="nothing was changed; run `oms db check` and report this",
        )


def _config(versions: Sequence[Path]) -> Config:
    """What alembic needs to know, without an ini file."""
    scripts = _folder()
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    folders = "\n".join(str(folder).replace("%", "%%") for folder in (scripts / "versions", *versions))
    config.set_main_option("version_locations", folders)
    return config


def _folder() -> Path:
    """`oms/migrations` where oms is installed, `migrations` beside `oms/` in a checkout."""
    package = Path(oms.__file__).resolve().parent
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise LedgerError("the migrations of oms are not installed", hint="install oms again: its package is incomplete")
