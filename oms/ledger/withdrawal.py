"""Everything that is queued and would make the account larger or other, withdrawn at once: for a halt."""

from sqlalchemy import bindparam, select, text

from oms.ledger import schema
from oms.ledger.append import Fact, append
from oms.ledger.ledger import Ledger
from oms.ledger.rows import ENTRY_SELECT, entry_of
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
