"""Run by alembic with the ledger's connection, inside the one transaction that `oms/ledger/upgrade.py` has begun.

There is no `alembic.ini`: the caller hands everything over in `config.attributes`. This file opens, commits and
configures nothing of its own, so that whatever kills the process leaves either the old schema or the new one.
"""

from alembic import context
from sqlalchemy import text

# alembic would make its own table without STRICT; the ledger's is as strict as all others.
VERSION_TABLE = """
CREATE TABLE IF NOT EXISTS alembic_version (
  version_num TEXT NOT NULL,
  CONSTRAINT pk_alembic_version PRIMARY KEY (version_num)
) STRICT
"""


def run() -> None:
    """Bring the connection's database to the wanted revision; it has to be inside a transaction."""
    connection = context.config.attributes["connection"]
    assert connection.in_transaction(), "a migration runs inside the caller's transaction"
    connection.execute(text(VERSION_TABLE))
    context.configure(connection=connection, transactional_ddl=True, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


run()
