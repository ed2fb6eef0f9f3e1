"""Exports: orders, fills or events of a ledger as csv, jsonl or parquet, row by row into a file or stream.

Text stays text of ours in csv and jsonl: exact decimals, UTC times. A spreadsheet takes no cell for a formula: text
that begins like one is given an apostrophe, unless it is a plain number. Parquet has the same values in types of its
own: decimal128, microseconds of UTC. Holds no secret, because the ledger holds none.
"""

from collections.abc import Callable, Iterable
from typing import BinaryIO

from oms.app.export.tables import TABLES, Columns, Line
from oms.app.export.text import write_csv, write_jsonl
from oms.errors import InputError
from oms.ledger import listing
from oms.ledger.export import Span
from oms.ledger.ledger import Ledger

FORMATS = ("csv", "jsonl", "parquet")


def export(
    ledger: Ledger, what: str, sink: BinaryIO, *, form: str, since_us: int | None = None, batch: str | None = None
) -> int:
    """Write everything of one kind to `sink`; how many rows.

    Raises InputError for a kind or form that is not known and for parquet without pyarrow, UnknownOrder for a batch
    that is not there; both before anything is written.
    """
    table = TABLES.get(what)
    if table is None:
        raise InputError(f"{what!r} cannot be exported", hint=f"one of {', '.join(TABLES)}")
    if form not in FORMATS:
        raise InputError(f"{form!r} is not a form of export", hint=f"one of {', '.join(FORMATS)}")
    write = {"csv": write_csv, "jsonl": write_jsonl}.get(form) or _parquet_writer()
    key = None if batch is None else int(listing.batch_named(ledger, batch)._mapping["key"])
    return write(sink, table.columns, table.lines(ledger, Span(since_us, key)))


def _parquet_writer() -> Callable[[BinaryIO, Columns, Iterable[Line]], int]:
    try:
        from oms.app.export.parquet import write
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "pyarrow":
            raise
        raise InputError(
            "parquet needs pyarrow, which is not installed; nothing was written",
            hint="pip install 'oms[parquet]', or in a clone: .venv/bin/pip install -e '.[parquet]'",
        ) from None
    return write
