"""Batches into the ledger: every intent durable as pending before anything is sent (P1), whole or not at all (P6).

A batch of up to one chunk is one transaction. A longer one is written in chunks under a batch that is `recording`,
so that a running sender never waits long, and one last flip makes it `recorded`; only then can anything of it be
claimed. What a crash left in `recording` is deleted by whoever next takes the recording lock.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import delete, select, update
from sqlalchemy.engine import Connection

from oms.errors import InputError
from oms.intake import ids
from oms.intake.intents import Intent
from oms.ledger import schema
from oms.ledger.bulk import execute, insert_rows, placeholder
from oms.ledger.chunk import Keys, insert_chunk, newest, prepare
from oms.ledger.ledger import Ledger
from oms.ledger.strangers import hold_back

CHUNK = 1_000
SHARED_ROWS_WINDOW_US = 24 * 3600 * 1_000_000

_b = schema.batches.c


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What identifies a batch before it is recorded."""

    key: bytes  # 32 bytes, of the name or of the content
    name: str | None
    source: str  # file | stdin | flags | api | retry
    content_digest: bytes
    row_count: int
    may_share_rows: bool  # False: refuse rows that a batch younger than 24 h has (design 3)
    ttl_us: int | None = None
    retry_of: bytes | None = None  # key of the batch that was first, of a retry


@dataclass(frozen=True, slots=True)
class RecordedBatch:
    """A batch that is in the ledger, durably."""

    key: int
    created_at_us: int
    preexisting: bool  # it was there before: nothing was recorded by this call


def find_batch(ledger: Ledger, key: bytes, content_digest: bytes) -> RecordedBatch | None:
    """The recorded batch of that key, or None. Raises InputError when it holds other content under that name."""
    with ledger.read() as connection:
        return _existing(connection, key, content_digest)


def _existing(connection: Connection, key: bytes, content_digest: bytes) -> RecordedBatch | None:
    row = connection.execute(
        select(schema.batches).where(_b.batch_key == key.hex(), _b.state == "recorded")
    ).one_or_none()
    if row is None:
        return None
    if row.content_digest != content_digest:
        raise InputError(
            f"batch {row.name or row.batch_key[:16]!r} was recorded before with other rows; nothing was recorded",
            hint="give these rows another name with --batch, or submit the file as it was",
        )
    return RecordedBatch(row.key, row.created_at_us, True)


def record(
    ledger: Ledger,
    batch: NewBatch,
    intents: Iterable[Intent],
    now_us: int,
    progress: Callable[[int], None] = lambda _: None,
) -> RecordedBatch:
    """Record a batch and every order of it as pending; durable on return. A batch that is there already is left as is.

    Raises InputError (nothing is recorded) when the key holds other content, a caller's client_order_id belongs to
    another batch, or rows are shared with a recent batch; whatever `intents` raises also leaves nothing behind.
    """
    with ledger.locks.recording:
        clear_dead_recordings(ledger)
        known = find_batch(ledger, batch.key, batch.content_digest)
        if known is not None:
            return known
        recent = array("Q") if batch.may_share_rows else _recent_digests(ledger, now_us)
        try:
            return _record_chunks(ledger, batch, _checked(ledger, recent, intents), now_us, progress)
        except BaseException:
            if not ledger.has_failed:
                clear_dead_recordings(ledger)
            raise


def record_within(
    connection: Connection,
    batch: NewBatch,
    intents: Sequence[Intent],
    now_us: int,
    check_new: Callable[[], None] = lambda: None,
) -> tuple[RecordedBatch, int]:
    """Record a short batch in the transaction of the run that sends; also the number of its last event, 0 if known.

    Needs no lock: keys are given out in here, and whoever else records looks at them again in its own transaction.
    Raises InputError as `record` does, and what `check_new` raises where the batch is new, before anything is written.
    """
    assert batch.may_share_rows
    assert 0 < batch.row_count == len(intents) <= CHUNK
    standing = f"SELECT {_NEWEST}, (SELECT state FROM batches WHERE batch_key = {placeholder(connection)})"  # noqa: S608
    *newest_keys, seq, key, state = execute(connection, standing, (batch.key.hex(),)).fetchone()
    if state == "recording":
        raise InputError(
            f"batch {batch.name or batch.key.hex()[:16]!r} is being recorded by another process right now;"
            " nothing was recorded by this one",
            hint="say it again when that process is done",
        )
    known = None if state is None else _existing(connection, batch.key, batch.content_digest)
    if known is not None:
        return known, 0
    check_new()
    _check_ids(connection, intents)
    _insert_batch(connection, batch, key + 1, "recorded", now_us)
    seq = insert_chunk(connection, prepare(Keys(*newest_keys), key + 1, 1, intents, batch.ttl_us, now_us), seq)
    hold_back(connection, key + 1, batch.key, now_us)
    return RecordedBatch(key + 1, now_us, False), seq


def _record_chunks(
    ledger: Ledger, batch: NewBatch, intents: Iterator[Intent], now_us: int, progress: Callable[[int], None]
) -> RecordedBatch:
    with ledger.read() as connection:
        key: int = execute(connection, _NEXT_BATCH_KEY).fetchone()[0]
        keys, _ = newest(connection)
    assert batch.row_count > 0
    done, is_long = 0, batch.row_count > CHUNK
    while done < batch.row_count:
        part = list(islice(intents, CHUNK))
        assert 0 < len(part) <= batch.row_count - done, "other intents than the batch has rows"
        chunk = prepare(keys, key, done + 1, part, batch.ttl_us, now_us)
        with ledger.gated_write() as connection:
            found = key
            if done == 0:  # until then a run that sends may have recorded another batch
                found = execute(connection, _NEXT_BATCH_KEY).fetchone()[0]
                _insert_batch(connection, batch, found, "recording" if is_long else "recorded", now_us)
            keys, seq = newest(connection)
            if (found, keys) != (key, chunk.behind):  # so has it, or a cancel was recorded meanwhile
                key = found
                chunk = prepare(keys, key, done + 1, part, batch.ttl_us, now_us)
            seq = insert_chunk(connection, chunk, seq)
            if not is_long:
                hold_back(connection, key, batch.key, now_us)
        keys = Keys(keys.order + len(part), keys.command + len(part))
        done += len(part)
        if is_long:
            progress(done)
        ledger.tend_while_nobody_sends()
    if is_long:
        with ledger.gated_write() as connection:
            connection.execute(update(schema.batches).where(_b.key == key).values(state="recorded"))
            hold_back(connection, key, batch.key, now_us)
    ledger.note_seq(seq)
    return RecordedBatch(key, now_us, False)


def clear_dead_recordings(ledger: Ledger) -> None:
    """Delete what a crash left half recorded. Call it with the recording lock held: then nobody is at it."""
    assert ledger.locks.recording.is_held
    with ledger.read() as connection:
        dead = [row[0] for row in execute(connection, "SELECT key FROM batches WHERE state = 'recording'")]
    for key in dead:
        while _delete_some(ledger, key):
            pass
        with ledger.gated_write() as connection:
            connection.execute(delete(schema.batches).where(_b.key == key))


def clear_if_nobody_records(ledger: Ledger) -> None:
    """At the start of a run: clear dead recordings, unless somebody is recording right now."""
    if ledger.locks.recording.acquire(0):
        try:
            clear_dead_recordings(ledger)
        finally:
            ledger.locks.recording.release()


def _delete_some(ledger: Ledger, batch_key: int) -> bool:
    with ledger.gated_write() as connection:
        keys = connection.execute(
            select(schema.orders.c.key).where(schema.orders.c.batch_key == batch_key).limit(CHUNK)
        ).scalars()
        some = list(keys)
        if some:
            low, high = min(some), max(some)  # keys of one chunk were given in one run, so this is a range
            for table, column in (
                (schema.events, schema.events.c.order_key),
                (schema.commands, schema.commands.c.order_key),
            ):
                connection.execute(delete(table).where(column.between(low, high), column.in_(some)))
            connection.execute(delete(schema.orders).where(schema.orders.c.key.in_(some)))
        return bool(some)


_BATCH_COLUMNS = (
    *("key", "batch_key", "name", "source", "state", "content_digest", "row_count", "created_at_us", "retry_of"),
)


def _insert_batch(connection: Connection, batch: NewBatch, key: int, state: str, now_us: int) -> None:
    retry_of = batch.retry_of.hex() if batch.retry_of is not None else None
    what = (batch.key.hex(), batch.name, batch.source, state, batch.content_digest, batch.row_count, now_us, retry_of)
    insert_rows(connection, "batches", _BATCH_COLUMNS, [(key, *what)])


# -- checks against what is recorded --------------------------------------------------------------------------------


def _recent_digests(ledger: Ledger, now_us: int) -> "array[int]":
    """Row digests of all batches younger than 24 h, sorted: 8 bytes a row, so a million rows stay small."""
    found = array("Q")
    with ledger.read() as connection:
        query = (
            select(schema.orders.c.row_digest)
            .join(schema.batches, _b.key == schema.orders.c.batch_key)
            .where(_b.created_at_us > now_us - SHARED_ROWS_WINDOW_US, _b.state == "recorded")
        )
        rows = connection.execution_options(yield_per=10_000).execute(query)
        found.extend(int.from_bytes(digest, "big") for digest in rows.scalars())
    return array("Q", sorted(found))


def _checked(ledger: Ledger, recent: "array[int]", intents: Iterable[Intent]) -> Iterator[Intent]:
    for intent in intents:
        if recent:
            wanted = int.from_bytes(ids.row_digest(intent), "big")
            place = bisect_left(recent, wanted)
            if place < len(recent) and recent[place] == wanted:
                raise _shared(ledger, ids.row_digest(intent), intent)
        if intent.own_id:
            _check_own_id(ledger, intent)
        yield intent


def _check_own_id(ledger: Ledger, intent: Intent) -> None:
    with ledger.read() as connection:
        row = connection.execute(
            select(_b.name, _b.batch_key, schema.orders.c.row)
            .join(schema.orders, schema.orders.c.batch_key == _b.key)
            .where(schema.orders.c.client_order_id == intent.client_order_id, _b.state == "recorded")
        ).one_or_none()
    if row is not None:
        raise _id_taken(intent.client_order_id, row.row, row.name or row.batch_key[:16])


def _check_ids(connection: Connection, intents: Sequence[Intent]) -> None:
    """Raise InputError where an id that a caller brought is taken, if only by a recording that is under way."""
    query = _ROW_OF_ID + placeholder(connection)
    for intent in intents:
        row = execute(connection, query, (intent.client_order_id,)).fetchone() if intent.own_id else None
        if row is not None:
            raise _id_taken(intent.client_order_id, row[0], row[1] or row[2][:16])


def _id_taken(client_order_id: str, row: int, batch: str) -> InputError:
    return InputError(
        f"client_order_id {client_order_id} belongs to row {row} of batch {batch!r}; nothing was recorded",
        hint="an id is never used twice: give the new order another one, or none",
    )


# All of them in one question: it is asked once for each order that is placed over a line.
_NEWEST = ", ".join(
    f"(SELECT coalesce(max({column}), 0) FROM {table})"  # noqa: S608
    for column, table in (("key", "orders"), ("key", "commands"), ("seq", "events"), ("key", "batches"))
)
_NEXT_BATCH_KEY = "SELECT coalesce(max(key), 0) + 1 FROM batches"
_ROW_OF_ID = (
    "SELECT o.row, b.name, b.batch_key FROM orders AS o JOIN batches AS b ON b.key = o.batch_key"
    " WHERE o.client_order_id = "
)


def _shared(ledger: Ledger, digest: bytes, intent: Intent) -> InputError:
    with ledger.read() as connection:
        row = connection.execute(
            select(_b.name, _b.batch_key, schema.orders.c.row)
            .join(schema.orders, schema.orders.c.batch_key == _b.key)
            .where(schema.orders.c.row_digest == digest)
            .order_by(_b.key.desc())
            .limit(1)
        ).one()
    batch = row.name or row.batch_key[:16]
    return InputError(
        f"the row for {intent.ticker} is also row {row.row} of batch {batch!r}, recorded less than 24 h ago;"
        " nothing was recorded, so that no order is placed twice",
        hint=f"`--batch NAME` says that it is meant; `--retry {batch}` sends again what was rejected or unsent",
    )
