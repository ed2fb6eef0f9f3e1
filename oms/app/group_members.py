"""What became of the orders in a group that was triggered or deleted, read back at once; nothing is sent."""

import msgspec

from oms.app.session import Session
from oms.errors import CredentialsError, ReadFailed
from oms.ledger import groups, listing, queries
from oms.lifecycle.states import ActionKind, CommandState
from oms.records import ActionReport

# Reads lag behind: so long for the exchange to show that none of them rests any more.
_LOOK_S = 5.0
_PAUSE_S = 0.2


def with_members(session: Session, report: ActionReport, order_group_id: str) -> ActionReport:
    """The report with what became of the orders of that group which rested, where the action takes them along.

    Exit code 5 when some still rest after a bounded time, 6 when that could not be read.
    """
    before = listing.resting_of_group(session.ledger, order_group_id)
    if report.action.state != CommandState.ACCEPTED or not before:
        return report
    if report.action.kind == ActionKind.GROUP_LIMIT and not _is_triggered(session, order_group_id):
        return report
    if report.action.kind not in (ActionKind.GROUP_TRIGGER, ActionKind.GROUP_DELETE, ActionKind.GROUP_LIMIT):
        return report
    problem = _read(session, order_group_id)
    members: dict[str, int] = {}
    for entry in queries.creates_by_order_id(session.ledger, before).values():
        members[entry.order.status.value] = members.get(entry.order.status.value, 0) + 1
    code, notes = _told(members, problem)
    return msgspec.structs.replace(
        report, members=members, notes=(*report.notes, *notes), exit_code=report.exit_code or code
    )


def _is_triggered(session: Session, order_group_id: str) -> bool:
    """Whether a new limit has triggered the group at once; the exchange is asked, and False where it cannot be."""
    try:
        seen = session.venue.groups.list_groups(None)
    except (ReadFailed, CredentialsError):
        return False
    groups.note_seen(session.ledger, seen.values(), None, session.venue.clock.now_us())
    return order_group_id in seen and seen[order_group_id].is_triggered


def _read(session: Session, order_group_id: str) -> str:
    """Read those that rest, as far as is known, until none does any more; why that failed, or ""."""
    deadline = session.ports.monotonic() + _LOOK_S
    try:
        while left := listing.resting_of_group(session.ledger, order_group_id):
            session.reconciler.look_up_all(left)
            left = listing.resting_of_group(session.ledger, order_group_id)
            if not left or session.interrupt.is_requested or session.ports.monotonic() > deadline:
                return ""
            session.ports.sleep(_PAUSE_S)
    except (ReadFailed, CredentialsError) as exc:
        return exc.message
    return ""


def _told(members: dict[str, int], problem: str) -> tuple[int, list[str]]:
    standing = ", ".join(f"{count} {status}" for status, count in members.items())
    notes = [f"of the orders of this ledger that rested in it: {standing}"]
    left = members.get("resting", 0)
    if problem:
        notes.append(f"not all of them could be read ({problem}): run `oms reconcile`")
    elif left:
        notes.append(f"{left} are still shown resting: run `oms reconcile`, then `oms cancel ORDER` for what rests")
    return (6 if problem else 5) if left else 0, notes
