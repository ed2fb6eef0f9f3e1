"""Actions in the ledger: durable before they may be sent, chained, and what a dead run leaves."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import NOW_US, opened, running

from oms.errors import EpochLost, InputError
from oms.ledger import actions, groups, queries
from oms.ledger.check import check
from oms.ledger.ledger import Ledger
from oms.lifecycle import events as e
from oms.lifecycle.actions import ActionRecorded, Done, GroupSeen
from oms.lifecycle.states import ActionKind, CommandState, Reason

LIMIT = '{"contracts_limit_fp":"5.00"}'
CREATE = ActionRecorded(kind=ActionKind.GROUP_CREATE, target="pins", body=LIMIT, before=("old",))
ALL = ActionRecorded(kind=ActionKind.CANCEL_ALL, target="")
MS = NOW_US // 1000
LATER_US = NOW_US + 120_000_000


def reopened(path: Path) -> Ledger:
    return running(path)


def done(ledger: Ledger, wanted: ActionRecorded, event: e.Event) -> actions.ActionEntry:
    (entry,) = actions.record(ledger, [wanted], NOW_US)
    entry = actions.claim(ledger, entry, MS, NOW_US, tail_ms=70_000)
    return actions.tell(ledger, entry, [event], NOW_US)


def made(ledger: Ledger) -> str:
    done(ledger, CREATE, Done(attempt=1, order_group_id="g-1", subaccount=0, exchange_index=0))
    return "g-1"


def test_an_action_is_durable_with_its_body_before_it_is_claimed_and_claimed_before_it_is_sent(
    path: Path, ledger: Ledger
) -> None:
    (entry,) = actions.record(ledger, [CREATE], NOW_US)
    with closing(opened(path, create=False)) as other:
        assert actions.unfinished(other) == [entry]
        claimed = actions.claim(ledger, entry, MS, NOW_US)
        assert actions.unfinished(other) == [claimed]
    assert (claimed.state, claimed.action.live, claimed.recorded.body) == (CommandState.ON_WIRE, (1,), LIMIT)
    assert (claimed.action.epoch, claimed.action.last_signed_ms) == (ledger.epoch, MS)


def test_a_run_that_has_lost_the_ledger_claims_no_action(path: Path, ledger: Ledger) -> None:
    (entry,) = actions.record(ledger, [ALL], NOW_US)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE ledger SET epoch = epoch + 1")
        database.commit()
    with pytest.raises(EpochLost):
        actions.claim(ledger, entry, MS, NOW_US)
    with pytest.raises(EpochLost):
        actions.record(ledger, [ALL], NOW_US)


def test_what_a_dead_run_left_is_in_doubt_if_it_may_have_left_and_else_withdrawn(path: Path) -> None:
    with closing(running(path)) as dead:
        sent, _ = actions.record(dead, [ALL, CREATE], NOW_US)
        actions.claim(dead, sent, MS, NOW_US)
    with closing(reopened(path)) as ledger:
        assert actions.has_on_wire(ledger)
        assert actions.open_run(ledger, NOW_US) == (1, 1)
        (left,) = actions.unfinished(ledger)
        assert (left.state, left.action.reason) == (CommandState.IN_DOUBT, Reason.SENDER_DIED)
        assert queries.totals(ledger).doubtful == 1
        assert actions.open_run(ledger, NOW_US) == (0, 0)
        second = actions.entry_of(ledger, 2)
        assert second is not None
        assert second.state is CommandState.WITHDRAWN
        assert all(each.ok for each in check(ledger))


def test_a_group_is_known_by_its_name_from_the_moment_that_it_was_made(ledger: Ledger) -> None:
    name = made(ledger)
    assert groups.group_named(ledger, "pins").order_group_id == name
    assert groups.names(ledger) == {"pins": name, name: name}
    assert groups.group_named(ledger, name).contracts_limit_e2 == 500
    with pytest.raises(InputError, match="no order group"):
        groups.group_named(ledger, "other")


@pytest.mark.parametrize(
    ("kind", "state", "limit_e2"),
    [
        (ActionKind.GROUP_TRIGGER, "triggered", 500),
        (ActionKind.GROUP_RESET, "open", 500),
        (ActionKind.GROUP_LIMIT, "open", 700),
    ],
)
def test_an_accepted_action_changes_its_group(ledger: Ledger, kind: ActionKind, state: str, limit_e2: int) -> None:
    name = made(ledger)
    done(ledger, ActionRecorded(kind=kind, target=name, body='{"contracts_limit_fp":"7.00"}'), Done(attempt=1))
    group = groups.group_named(ledger, name)
    assert (group.state, group.contracts_limit_e2) == (state, limit_e2)


def test_the_name_of_a_deleted_group_is_free_again(ledger: Ledger) -> None:
    name = made(ledger)
    done(ledger, ActionRecorded(kind=ActionKind.GROUP_DELETE, target=name), Done(attempt=1))
    assert groups.names(ledger) == {}
    done(ledger, CREATE, Done(attempt=1, order_group_id="g-2"))
    assert groups.names(ledger)["pins"] == "g-2"


def test_a_list_shows_groups_made_elsewhere_and_what_is_gone(ledger: Ledger) -> None:
    made(ledger)
    elsewhere = GroupSeen(order_group_id="g-9", is_triggered=True, contracts_limit_e2=100)
    groups.note_seen(ledger, [elsewhere], None, NOW_US)
    assert {group.order_group_id: group.state for group in groups.groups(ledger)} == {"g-1": "open", "g-9": "triggered"}
    groups.note_seen(ledger, [elsewhere], None, LATER_US)
    assert {group.order_group_id for group in groups.groups(ledger)} == {"g-9"}


def test_a_cancel_all_leaves_word_of_its_tail_before_it_may_leave_itself(ledger: Ledger) -> None:
    (entry,) = actions.record(ledger, [ALL], NOW_US)
    assert actions.tail_until_ms(ledger) is None
    entry = actions.claim(ledger, entry, MS, NOW_US, tail_ms=70_000)
    assert actions.tail_until_ms(ledger) == MS + 70_000
    actions.tell(ledger, entry, [Done(attempt=1)], NOW_US, tail_until_ms=MS + 60_001)
    assert actions.tail_until_ms(ledger) == MS + 60_001


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE actions SET body = '{}'",
        "UPDATE actions SET detail = 'x'",
        "UPDATE actions SET state = 'withdrawn'",
        "UPDATE actions SET target = 'another'",
        "UPDATE action_events SET data = replace(data, '\"attempt\":1', '\"attempt\":2')",
        "UPDATE action_events SET at_us = at_us + 1 WHERE n = 2",
        "DELETE FROM action_events WHERE n = 3",
    ],
)
def test_db_check_sees_what_was_changed_behind_its_back(path: Path, damage: str) -> None:
    with closing(running(path)) as ledger:
        made(ledger)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute(damage).rowcount
        database.commit()
    with closing(opened(path, create=False)) as ledger:
        assert [each.name for each in check(ledger) if not each.ok] == ["actions"]
