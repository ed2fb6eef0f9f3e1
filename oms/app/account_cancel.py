"""Leave nothing resting: the orders of this ledger by ordinary cancels, those of others by name, and all at once.

Nothing of it waits for a listing that makes sense: ids are taken out of whatever the exchange answers, and what the
ledger knows to rest is canceled without asking.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from oms.app.action_carrier import record_and_carry
from oms.app.drive import Drive
from oms.app.session import Report, Session
from oms.errors import CredentialsError, ReadFailed
from oms.ledger import listing, queries
from oms.ledger.actions import ActionEntry
from oms.ledger.changes import record_cancels
from oms.ledger.claim import Scope
from oms.ledger.withdrawal import withdraw_queued
from oms.lifecycle.actions import ActionRecorded
from oms.lifecycle.states import DOUBTFUL, ActionKind, CommandState, Reason
from oms.records import ClearReport, RestingRecord, Stop, worst
from oms.venue.resting import RestingOrder

# No batch has a higher number: nothing that places an order is sent.
_NO_BATCH = 2**62
# Reads lag behind: so long for the exchange to show that nothing rests any more.
_LOOK_S = 5.0
_PAUSE_S = 0.2


@dataclass(slots=True)
class _Work:
    """What one clearing has done so far."""

    keys: list[int] = field(default_factory=list)
    external: list[ActionEntry] = field(default_factory=list)
    cancel_all: ActionEntry | None = None
    withdrawn: int = 0
    notes: list[str] = field(default_factory=list)
    stop: Stop | None = None


def clear_account(session: Session, progress: Report, *, blunt: bool, detail: str = "") -> ClearReport:
    """Cancel what rests in the account, whoever placed it, and report what still does. Durable on return.

    `blunt`: first what is queued is withdrawn, at the end the exchange's own cancel-all is sent. Raises LedgerError.
    """
    work = _Work()
    before = queries.live_keys(session.ledger)
    if blunt:
        work.withdrawn = withdraw_queued(session.ledger, Reason.HALTED, detail, session.venue.clock.now_us())
    try:
        _cancel_ours(session, work, _raw(session, work), progress, drain_only=blunt)
        if blunt:
            (work.cancel_all,) = record_and_carry(
                session, [ActionRecorded(kind=ActionKind.CANCEL_ALL, target="", purpose="halt")], progress
            )
            _cancel_ours(session, work, [], progress, drain_only=False)
        if not blunt or work.cancel_all is None or work.cancel_all.state is not CommandState.ACCEPTED:
            _cancel_others(session, work, _raw(session, work), progress)
    except CredentialsError as exc:
        work.stop = Stop(code="credentials", message=exc.message, hint=exc.hint, exit_code=exc.exit_code)
    work.keys = list(dict.fromkeys([*before, *work.keys]))
    return _reported(session, work)


def _raw(session: Session, work: _Work) -> list[RestingOrder]:
    try:
        return session.venue.resting_orders()
    except ReadFailed as exc:
        work.notes.append(f"what rests could not be listed: {exc.message}")
        return []


def _cancel_ours(
    session: Session, work: _Work, resting: Sequence[RestingOrder], progress: Report, *, drain_only: bool
) -> None:
    """Ordinary cancels for every order of this ledger that rests, here or there."""
    ledger = session.ledger
    there = queries.creates_by_order_id(ledger, [order.order_id for order in resting])
    keys = list(dict.fromkeys([*queries.live_keys(ledger), *(entry.order_key for entry in there.values())]))
    record_cancels(ledger, keys, session.venue.clock.now_us())
    work.keys += keys
    drive = Drive(session, Scope(newer_than=_NO_BATCH, creates=False, despite_halt=True), progress, len(keys))
    if drain_only:
        drive.send()
        drive.close()
    else:
        drive.go()
    work.stop = work.stop or drive.stop


def _cancel_others(session: Session, work: _Work, resting: Sequence[RestingOrder], progress: Report) -> None:
    ours = queries.creates_by_order_id(session.ledger, [order.order_id for order in resting])
    wanted = [
        ActionRecorded(
            kind=ActionKind.CANCEL_EXTERNAL,
            target=order.order_id,
            ticker=order.ticker,
            subaccount=order.subaccount,
            purpose="cancel",
        )
        for order in resting
        if order.order_id not in ours
    ]
    if wanted:
        work.external += record_and_carry(session, wanted, progress)


def resting_now(session: Session) -> tuple[RestingRecord, ...]:
    """What the exchange shows as resting, raw. Raises ReadFailed, CredentialsError."""
    found = session.venue.resting_orders()
    ours = queries.creates_by_order_id(session.ledger, [order.order_id for order in found])
    return tuple(
        RestingRecord(
            order_id=order.order_id,
            ticker=order.ticker,
            subaccount=order.subaccount,
            client_order_id=ours[order.order_id].client_order_id if order.order_id in ours else None,
        )
        for order in found
    )


def _await_empty(session: Session) -> tuple[RestingRecord, ...] | None:
    """What still rests once nothing changes any more; None when the exchange cannot be asked."""
    deadline = session.ports.monotonic() + _LOOK_S
    try:
        while True:
            left = resting_now(session)
            if not left or session.interrupt.is_requested or session.ports.monotonic() > deadline:
                return left
            session.ports.sleep(_PAUSE_S)
    except (ReadFailed, CredentialsError):
        return None


def _reported(session: Session, work: _Work) -> ClearReport:
    ledger = session.ledger
    left = _await_empty(session)
    counts = listing.counts_by_status(ledger, work.keys)
    done = [entry for entry in work.external if entry.state is CommandState.ACCEPTED]
    all_actions = [*work.external, *([work.cancel_all] if work.cancel_all is not None else [])]
    doubtful = listing.unfinished_of_orders(ledger, work.keys)[1] + sum(x.state in DOUBTFUL for x in all_actions)
    codes = {work.stop.exit_code} if work.stop is not None else set()
    codes |= {3} if doubtful else set()
    codes |= {5} if left else set()
    codes |= {6} if left is None else set()
    return ClearReport(
        environment=ledger.environment,
        withdrawn=work.withdrawn,
        canceled=counts.get("canceled", 0),
        external=len(done),
        cancel_all=work.cancel_all.state.value if work.cancel_all is not None else None,
        in_doubt=doubtful,
        resting=left,
        stop=work.stop,
        notes=(*session.notes, *work.notes, *_told(all_actions)),
        exit_code=worst(codes),
    )


def _told(entries: Sequence[ActionEntry]) -> list[str]:
    """What did not go as it should, each in one line."""
    return [
        f"{entry.kind} {entry.recorded.target}: {entry.state} ({entry.action.detail or entry.action.reason})"
        for entry in entries
        if entry.state is not CommandState.ACCEPTED and entry.action.reason is not Reason.MOOT
    ][:20]
