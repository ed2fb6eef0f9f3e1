"""The hot path's own way to the database: many rows in one statement, and no layer between it and the driver.

sqlite3 lets go of the interpreter lock once per step, so an `executemany` of g rows waits for it g times; one
statement with all the rows waits once. The texts are the same for SQLite and PostgreSQL but for the placeholder,
and each is built once per number of rows. They go to the driver's cursor directly: through SQLAlchemy a statement costs
40 us more, as much as all it does for five orders. The transaction stays the caller's.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Dialect, Select
from sqlalchemy.engine import Connection

# SQLite takes 32,766 bound values in one statement.
_MOST_VALUES = 30_000


def execute(connection: Connection, statement: str, values: Sequence[object] = ()) -> Any:
    """Run one statement in the connection's transaction; the driver's cursor, to fetch from."""
    cursor = connection.connection.cursor()
    cursor.execute(statement, values)
    return cursor


def rows_of(connection: Connection, statement: Select[Any], values: Mapping[str, object]) -> list[tuple[Any, ...]]:
    """The rows of a statement of the schema's own columns, compiled once; as the driver gives them."""
    text, given = _compiled(statement, connection.dialect)
    return list(execute(connection, text, [values.get(name, default) for name, default in given]).fetchall())


@lru_cache(maxsize=64)
def _compiled(statement: Select[Any], dialect: Dialect) -> tuple[str, list[tuple[str, object]]]:
    """The statement's text, and what is bound in it: names in order, with the values of those that are constants."""
    compiled = statement.compile(dialect=dialect)
    return compiled.string, [(name, compiled.params[name]) for name in compiled.positiontup or ()]


def insert_rows(
    connection: Connection, table: str, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]
) -> None:
    """Insert all rows, in as few statements as SQLite's limit allows."""
    mark = placeholder(connection)
    for part in _parts(rows, len(columns)):
        execute(connection, _insert_text(table, columns, len(part), mark), _flat(part))


def update_rows(
    connection: Connection, table: str, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]
) -> int:
    """Set `columns` of the rows named by (key, column values...); how many were changed."""
    mark = placeholder(connection)
    changed = 0
    for part in _parts(rows, 1 + len(columns)):
        changed += execute(connection, _update_text(table, columns, len(part), mark), _flat(part)).rowcount
    return changed


def matching_rows(
    connection: Connection, table: str, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]
) -> int:
    """How many of the rows named by (key, column values...) have these very values."""
    mark = placeholder(connection)
    found = 0
    for part in _parts(rows, 1 + len(columns)):
        found += execute(connection, _matching_text(table, columns, len(part), mark), _flat(part)).fetchone()[0]
    return found


def placeholder(connection: Connection) -> str:
    """How the driver writes a bound value."""
    return "?" if connection.dialect.paramstyle == "qmark" else "%s"


def _parts(rows: Sequence[tuple[object, ...]], width: int) -> list[Sequence[tuple[object, ...]]]:
    step = _MOST_VALUES // width
    return [rows[i : i + step] for i in range(0, len(rows), step)]


def _flat(rows: Sequence[tuple[object, ...]]) -> tuple[object, ...]:
    return tuple(chain.from_iterable(rows))


@lru_cache(maxsize=512)
def _insert_text(table: str, columns: tuple[str, ...], count: int, mark: str) -> str:
    names = ", ".join(f'"{c}"' for c in columns)
    row = "(" + ", ".join([mark] * len(columns)) + ")"
    return f"INSERT INTO {table} ({names}) VALUES " + ", ".join([row] * count)  # noqa: S608 - names are ours


@lru_cache(maxsize=512)
def _update_text(table: str, columns: tuple[str, ...], count: int, mark: str) -> str:
    sets = ", ".join(f'"{c}" = v."{c}"' for c in columns)
    return f'{_given(columns, count, mark)} UPDATE {table} SET {sets} FROM v WHERE {table}."key" = v.row_key'  # noqa: S608


@lru_cache(maxsize=512)
def _matching_text(table: str, columns: tuple[str, ...], count: int, mark: str) -> str:
    same = " AND ".join(f'{table}."{c}" = v."{c}"' for c in columns)
    given = _given(columns, count, mark)
    return f'{given} SELECT count(*) FROM v JOIN {table} ON {table}."key" = v.row_key WHERE {same}'  # noqa: S608


def _given(columns: tuple[str, ...], count: int, mark: str) -> str:
    """The values of a statement as a table `v` of so many rows."""
    names = ", ".join(f'"{c}"' for c in ("row_key", *columns))
    row = "(" + ", ".join([mark] * (1 + len(columns))) + ")"
    return f"WITH v ({names}) AS (VALUES {', '.join([row] * count)})"
