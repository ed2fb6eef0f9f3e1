"""Orders that the exchange shows and this ledger does not know; they may be known some day. Keeps P2 for lost ledgers.

Most belong to other programs. Some were sent from a ledger that is gone, and then the file they came from may be
submitted again here, long after the account was read. So what is recorded is held against what was seen: a batch with
an order among the strangers is held back (a watermark, see schema.STRANGE) until the account is read again from
there, which recognizes that order. A retry has other ids than the rows it sends again, so its orders are found by the
batch they derive from: those rows are bound to them, and never sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, text, update
from sqlalchemy.engine import Connection

from oms.intake import ids
from oms.ledger import schema
from oms.ledger.append import Fact, append
from oms.ledger.bulk import execute
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.lifecycle.events import Snapshot
from oms.lifecycle.states import Reason

_o, _s = schema.orders.c, schema.strangers.c


@dataclass(frozen=True, slots=True)
class Stranger:
    """An order at the exchange under an id that oms derived, of a batch that is not in this ledger."""

    client_order_id: str
    order_id: str


def note(ledger: Ledger, seen: Iterable[Snapshot]) -> None:
    """Remember orders that are not in this ledger; durable on return. One without a client_order_id is nobody's."""
    rows = [
        {
            "client_order_id": order.client_order_id,
            "batch_head": ids.batch_head(order.client_order_id),
            "order_id": order.order_id,
            "created_ts_ms": order.created_ts_ms or 0,
        }
        for order in seen
        if order.client_order_id
    ]
    if not rows:
        return
    with ledger.read() as connection:
        wanted = {"ids": [row["client_order_id"] for row in rows]}
        known = set(connection.execute(_KNOWN, wanted).scalars())
    rows = [row for row in rows if row["client_order_id"] not in known]
    if rows:
        with ledger.write() as connection:
            connection.execute(_NOTE, rows)


_KNOWN = select(_s.client_order_id).where(_s.client_order_id.in_(bindparam("ids", expanding=True)))
_NOTE = text(
    "INSERT INTO strangers (client_order_id, batch_head, order_id, created_ts_ms)"
    " VALUES (:client_order_id, :batch_head, :order_id, :created_ts_ms) ON CONFLICT (client_order_id) DO NOTHING"
)


# -- holding back what was seen before it was recorded --------------------------------------------------------------


def hold_back(connection: Connection, batch: int, key: bytes, now_us: int) -> None:
    """Hold a batch back where the exchange has shown orders of it, or retries of it. In the transaction that makes it
    claimable."""
    if execute(connection, "SELECT 1 FROM strangers LIMIT 1").fetchone() is None:
        return
    first_ms = connection.execute(_SEEN_OF, {"batch": batch}).scalar()
    if connection.execute(_ANY_DERIVED).scalar():
        of_retries = connection.execute(_FIRST_OF, {"heads": list(_heads_of_retries(key))}).scalar()
        first_ms = min((ms for ms in (first_ms, of_retries) if ms is not None), default=None)
    if first_ms is not None:
        row = {"name": schema.STRANGE + key.hex()[:14], "value_ms": first_ms, "at_us": now_us}
        connection.execute(_HOLD, row)


def hold_back_since(connection: Connection, batch: int, now_us: int) -> None:
    """The same for every batch recorded after `batch`: while the account was read, which could not look for it."""
    for key, name in connection.execute(_RECORDED_SINCE, {"batch": batch}).all():
        hold_back(connection, key, bytes.fromhex(name), now_us)


_SEEN_OF = text(
    "SELECT min(strangers.created_ts_ms) FROM strangers"
    " JOIN orders ON orders.client_order_id = strangers.client_order_id WHERE orders.batch_key = :batch"
)
_ANY_DERIVED = text("SELECT 1 FROM strangers WHERE batch_head IS NOT NULL LIMIT 1")
# One that was recorded here after all, under the same id, is no stranger any more.
_UNBOUND = (
    _s.batch_head.in_(bindparam("heads", expanding=True)),
    _s.stands_for.is_(None),
    ~select(_o.key).where(_o.client_order_id == _s.client_order_id).exists(),
)
_FIRST_OF = select(_s.created_ts_ms).where(*_UNBOUND).order_by(_s.created_ts_ms).limit(1)
_HOLD = text(
    "INSERT INTO watermarks (name, value_ms, at_us) VALUES (:name, :value_ms, :at_us) ON CONFLICT (name) DO NOTHING"
)
_RECORDED_SINCE = text("SELECT key, batch_key FROM batches WHERE key > :batch AND state = 'recorded'")


# -- retries that a lost ledger knew of -----------------------------------------------------------------------------


def has_derived(ledger: Ledger) -> bool:
    """Whether the exchange has shown any order whose id oms derives and that was not in this ledger then."""
    with ledger.read() as connection:
        return connection.execute(_ANY_DERIVED).scalar() is not None


def unknown_retries(ledger: Ledger, key: bytes) -> dict[int, list[Stranger]]:
    """Orders of retries of the batch `key` that are not in this ledger nor bound to a row of it, by retry number."""
    numbers = _heads_of_retries(key)
    found: dict[int, list[Stranger]] = {}
    with ledger.read() as connection:
        for row in connection.execute(_OF_HEADS, {"heads": list(numbers)}):
            stranger = Stranger(row.client_order_id, row.order_id)
            found.setdefault(numbers[row.batch_head], []).append(stranger)
    return found


def has_retry(ledger: Ledger, key: bytes, number: int) -> bool:
    """Whether the exchange has shown an order of retry `number` of the batch `key` that is not in this ledger."""
    with ledger.read() as connection:
        return connection.execute(_HAS_HEAD, {"head": ids.key_of_retry(key, number).hex()[:14]}).scalar() is not None


def bind(ledger: Ledger, rows: Mapping[str, Stranger], queued: Sequence[Entry], now_us: int) -> None:
    """Withdraw queued rows whose intent a retry has placed already; durable on return. `rows`: by client_order_id."""
    facts = [Fact(x, e.Withdrawn(reason=Reason.RETRIED, detail=_told(rows[x.client_order_id]))) for x in queued]
    bound = [{"stranger": rows[x.client_order_id].client_order_id, "row": x.client_order_id} for x in queued]
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        appended = append(connection, facts, epoch=ledger.epoch, now_us=now_us)
        connection.execute(_BIND, bound)
    ledger.note_seq(appended.newest_seq)
    ledger.on_moved(appended.entries.values())


def _told(stranger: Stranger) -> str:
    return f"a retry of this row is order {stranger.order_id} at the exchange, under {stranger.client_order_id}"


def _heads_of_retries(key: bytes) -> dict[str, int]:
    return {ids.key_of_retry(key, number).hex()[:14]: number for number in range(1, ids.MAX_RETRIES + 1)}


_OF_HEADS = select(_s.client_order_id, _s.order_id, _s.batch_head).where(*_UNBOUND)
_HAS_HEAD = text("SELECT 1 FROM strangers WHERE batch_head = :head LIMIT 1")
_BIND = update(schema.strangers).where(_s.client_order_id == bindparam("stranger")).values(stands_for=bindparam("row"))
