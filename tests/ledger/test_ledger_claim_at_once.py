"""resend = "at_once" beside a time to live: what is in doubt is resolved when its time is past, never withdrawn."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ledgers import NOW_US, batch, claimed, entries, intent, running, tell

from oms.ledger.claim import Desk, Now, Scope
from oms.ledger.record import record
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandState

SECOND = 1_000_000


def test_an_order_in_doubt_whose_time_passes_while_it_waits_is_neither_sent_nor_withdrawn(tmp_path: Path) -> None:
    with closing(running(tmp_path / "ledger.sqlite3")) as ledger:
        record(ledger, replace(batch(2), ttl_us=60 * SECOND), (intent(n) for n in (1, 2)), NOW_US)
        for entry in entries(ledger, 2):
            on_wire = tell(ledger, [(entry, claimed(entry))])[entry.command_key]
            tell(ledger, [(on_wire, e.AttemptUnknown(attempt=1, why="no_answer"))])
        desk = Desk(ledger, Scope(), at_once=True)
        before, after = (Now(at_us=NOW_US + s * SECOND, signed_ms=NOW_US // 1000 + s * 1000) for s in (10, 61))
        turns = [desk.turn([], 9, before, lambda entry: False), desk.turn([], 9, after)]
        assert [turn.claimed for turn in turns] == [(), ()]
        assert {entry.command.state for entry in entries(ledger, 2)} == {CommandState.IN_DOUBT}
