"""What is queued and must not be sent any more: everything at a halt, the retry of an order that is there after all."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select, text

from oms.ledger import schema
from oms.ledger.append import Fact, append
from oms.ledger.ledger import Ledger
from oms.ledger.rows import ENTRY_SELECT, Entry, entry_of
from oms.lifecycle import events as e
from oms.lifecycle.states import Reason

_PAGE = 1_000
_c = schema.commands.c


def withdraw_queued(ledger: Ledger, reason: Reason, detail: str, now_us: int) -> int:
    """Withdraw every queued create, amend and decrease of recorded batches; durable on return. How many there were.

    Raises EpochLost, LedgerFailed: what was withdrawn until then is.
    """
    withdrawn = 0
    while True:
        with ledger.write() as connection:
            ledger.check_epoch(connection)
            entries = [entry_of(row) for row in connection.execute(_QUEUED, {"most": _PAGE})]
            facts = [Fact(entry, e.Withdrawn(reason=reason, detail=detail)) for entry in entries]
            appended = append(connection, facts, epoch=ledger.epoch, now_us=now_us)
        ledger.note_seq(appended.newest_seq)
        ledger.on_moved(appended.entries.values())
        ledger.tend()
        withdrawn += len(entries)
        if len(entries) < _PAGE:
            return withdrawn


def withdraw_retries(ledger: Ledger, late: Sequence[Entry], now_us: int) -> int:
    """Withdraw the unsent retry of each of these orders, which turned up after they had been given up; how many.

    A retry has a row of its own under another id; it is told by the batch that it retries and by what it would send.
    Durable on return. Raises EpochLost, LedgerFailed.
    """
    with ledger.write() as connection:
        ledger.check_epoch(connection)
        facts: dict[int, Fact] = {}
        for order in late:
            for entry in map(entry_of, connection.execute(_RETRIES, {"order_key": order.order_key})):
                if entry.command_key not in facts:  # of two equal rows each has a retry of its own
                    detail = f"the order that it sends again is at the exchange after all: {order.client_order_id}"
                    facts[entry.command_key] = Fact(entry, e.Withdrawn(reason=Reason.RETRIED, detail=detail))
                    break
        appended = append(connection, list(facts.values()), epoch=ledger.epoch, now_us=now_us)
    ledger.note_seq(appended.newest_seq)
    ledger.on_moved(appended.entries.values())
    return len(facts)


_UNFINISHED_C = schema.UNFINISHED_SQL.replace("state", "commands.state", 1)
_QUEUED = (
    ENTRY_SELECT.where(
        text(_UNFINISHED_C),
        text("commands.state = 'queued' AND commands.kind IN ('create', 'amend', 'decrease')"),
        select(schema.batches.c.key)
        .where(schema.batches.c.key == _c.batch_key, schema.batches.c.state == "recorded")
        .exists(),
    )
    .order_by(_c.key)
    .limit(bindparam("most"))
)
_RETRIES = ENTRY_SELECT.where(
    text(_UNFINISHED_C),
    text(
        "commands.state = 'queued' AND commands.kind = 'create' AND commands.attempts = 0 AND EXISTS (SELECT 1"
        " FROM batches, orders AS old JOIN batches AS first ON first.key = old.batch_key WHERE old.key = :order_key"
        " AND batches.key = commands.batch_key AND batches.retry_of = COALESCE(first.retry_of, first.batch_key)"
        " AND old.ticker = orders.ticker AND old.side = orders.side AND old.price_e6 = orders.price_e6"
        " AND old.count_e2 = orders.count_e2 AND old.time_in_force = orders.time_in_force"
        " AND COALESCE(old.subaccount, 0) = COALESCE(orders.subaccount, 0))"
    ),
).order_by(_c.key)
