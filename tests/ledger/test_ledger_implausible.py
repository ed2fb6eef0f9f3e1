"""Answers that cannot be true of their order become doubt about that one order; its neighbors keep theirs (P4)."""

from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from oms.lifecycle.states import CommandState, OrderStatus
from tests.ledger.ledgers import acknowledged, claimed, entries, recorded, running, tell


@pytest.mark.fault(46)
def test_an_order_id_of_another_order_is_doubt_and_rolls_nothing_back(path: Path) -> None:
    with closing(running(path)) as ledger:
        recorded(ledger, 3)
        sent = [tell(ledger, [(entry, claimed(entry))])[entry.command_key] for entry in entries(ledger, 3)]
        first, second, third = (acknowledged(entry) for entry in sent)
        wrong = replace(second, order_id=first.order_id)
        after = list(tell(ledger, [(sent[0], first), (sent[1], wrong), (sent[2], third)]).values())
        assert [x.command.state for x in after] == [
            CommandState.ACCEPTED,
            CommandState.IN_DOUBT,
            CommandState.ACCEPTED,
        ]
        assert after[1].order.order_id is None
        later = tell(ledger, [(after[1], second)])[sent[1].command_key]
        assert later.command.state is CommandState.ACCEPTED


def test_more_contracts_than_were_asked_for_are_doubt(path: Path) -> None:
    with closing(running(path)) as ledger:
        recorded(ledger, 1)
        (entry,) = entries(ledger, 1)
        sent = tell(ledger, [(entry, claimed(entry))])[entry.command_key]
        absurd = replace(acknowledged(sent), fill_count_e2=sent.order.count_e2 + 1, remaining_count_e2=0)
        after = tell(ledger, [(sent, absurd)])[entry.command_key]
        assert after.command.state is CommandState.IN_DOUBT
        assert (after.order.status, after.order.fill_count_e2) == (OrderStatus.PENDING, 0)
