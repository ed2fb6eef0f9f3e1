"""The verbs of `Oms` about the account as a whole: halt, clear what rests, order groups."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from oms.app.changing import numbered
from oms.app.core import LOCK_WAIT_S, Core, Report, silent
from oms.errors import CredentialsError, InputError, ReadFailed
from oms.intake.fields import is_group_id, read_count
from oms.ledger import actions, groups, listing
from oms.ledger.actions import ActionEntry
from oms.ledger.engine import real_path
from oms.ledger.halt import halt_path
from oms.lifecycle.actions import WAYS_OUT, ActionRecorded, Decided
from oms.lifecycle.states import DOUBTFUL, UNFINISHED, ActionKind, CommandState
from oms.records import ActionRecord, ActionReport, ClearReport, GroupRecord, RestingRecord
from oms.units import format_count, format_time

if TYPE_CHECKING:
    from oms.app.action_runs import ActionRuns
    from oms.app.session import Session

BY_HAND = "halted by hand"
_MAX_NAME = 64


class Guarding(Core):
    """The part of `Oms` that stops, clears and guards."""

    # -- halt -------------------------------------------------------------------------------------------------------

    def halt(self, reason: str = BY_HAND) -> str:
        """Stop sending in every process that uses this ledger, at once and until `unhalt`; why it is halted now.

        Durable on return, also where the ledger is locked, damaged or on a full disk: by a file beside it. A halt that
        stands already keeps its reason. Cancels go on. Raises LedgerFailed when neither file nor row could be set.
        """
        halted, _ = halt_path(real_path(self.config.ledger_url), reason, self._now_us())
        return halted.reason

    def clear(self, *, progress: Report | None = None) -> ClearReport:
        """Withdraw what is queued, cancel what rests, send the exchange's cancel-all; for a ledger that is halted.

        The exchange may cancel what is placed within a minute of a cancel-all, so nothing is sent from this ledger for
        that long. Raises LedgerBusy when another run keeps the ledger, LedgerError, InputError when nothing is halted.
        """
        from oms.app.account_cancel import clear_account
        from oms.app.session import HALT

        ledger = self._open(create=True)
        reason = self.halted()
        if reason is None:
            raise InputError("sending is not halted, and what is canceled could be placed again", hint="`oms halt`")
        report = progress or silent
        # Who only cancels does not give way to a halt, and may wait for what became of a cancel.
        wait_s = LOCK_WAIT_S + self.config.submit.in_flight_horizon_us / 1e6
        self._refuse_beside_line()
        with self._action_runs().opened(HALT, report, wait_s) as (session, _):
            assert ledger.epoch is not None
            return clear_account(session, report, blunt=True, detail=reason)

    def halted(self) -> str | None:
        """Why sending is halted, None when it is not. Raises LedgerMissing."""
        from oms.ledger.queries import halt_reason

        return halt_reason(self._open(create=False))

    # -- everything -------------------------------------------------------------------------------------------------

    def resting_at_exchange(self) -> tuple[RestingRecord, ...]:
        """What rests in the account, whoever placed it. Raises ReadFailed, CredentialsError, LedgerBusy."""
        from oms.app.account_cancel import resting_now

        with self._session() as session:
            return resting_now(session)

    def cancel_account(self, *, progress: Report | None = None) -> ClearReport:
        """Cancel everything that rests in the account, also what was placed elsewhere; a halt does not stop it.

        Orders of this ledger by ordinary cancels, each other one by an action of its own: recorded before it is sent,
        in doubt until it is known. Raises CredentialsError, ReadFailed, LedgerError.
        """
        from oms.app.account_cancel import clear_account

        with self._session(progress, purpose="account") as session:
            return clear_account(session, progress or silent, blunt=False)

    # -- order groups -----------------------------------------------------------------------------------------------

    def groups(self, *, ask_exchange: bool = True) -> Iterator[GroupRecord]:
        """The order groups of the account, by their ids. Raises ReadFailed, CredentialsError, LedgerMissing."""
        ledger = self._open(create=False, writable=True)
        if ask_exchange:
            venue = self._action_runs().connected()
            groups.note_seen(ledger, venue.groups.list_groups().values(), None, self._now_us())
        resting = listing.resting_by_group(ledger)
        return (_group_record(group, resting.get(group.order_group_id, 0)) for group in groups.groups(ledger))

    def create_group(
        self, limit: Decimal | str, *, name: str | None = None, subaccount: int | None = None
    ) -> ActionReport:
        """Make an order group: when more than `limit` contracts of it match in 15 seconds, all its orders are canceled.

        Made at most once: where no answer comes, the groups of the account are listed until it is certain, and what
        cannot be told waits for `settle_action`. Raises InputError, CredentialsError, ReadFailed, LedgerBusy.
        """
        limit_e2 = numbered(read_count, limit, "limit")
        with self._session() as session:
            resumed = _resumed(session, name or "", _limit_body(limit_e2, subaccount))
            if resumed is not None:
                return _action_report(session, resumed)
            if name is not None:
                _check_name(session, name)
            seen = session.venue.groups.list_groups(subaccount)
            wanted = ActionRecorded(
                kind=ActionKind.GROUP_CREATE,
                target=name or "",
                subaccount=subaccount,
                body=_limit_body(limit_e2, subaccount),
                before=tuple(sorted(seen)),
                purpose="group",
            )
            return self._carried(session, wanted)

    def trigger_group(self, name: str) -> ActionReport:
        """Cancel all orders of a group; it takes none until it is reset. Raises InputError (no such group)."""
        return self._change_group(name, ActionKind.GROUP_TRIGGER, "{}")

    def reset_group(self, name: str) -> ActionReport:
        """Let a group take orders again, its count at zero. Raises InputError (no such group)."""
        return self._change_group(name, ActionKind.GROUP_RESET, "{}")

    def limit_group(self, name: str, limit: Decimal | str) -> ActionReport:
        """Change the limit of a group. Raises InputError."""
        return self._change_group(name, ActionKind.GROUP_LIMIT, _limit_body(numbered(read_count, limit, "limit"), None))

    def delete_group(self, name: str) -> ActionReport:
        """Cancel all orders of a group and remove it for good. Raises InputError (no such group)."""
        return self._change_group(name, ActionKind.GROUP_DELETE, "")

    def settle_action(self, number: int, *, order_group_id: str | None = None, absent: bool = False) -> ActionReport:
        """Decide about a parked action: it made that group, or none. Raises InputError, LedgerBusy."""
        if (order_group_id is None) == (not absent):
            raise InputError(
                "say either which group it is or that there is none", hint="--order-group-id ID or --absent"
            )
        with self._session() as session:
            entry = actions.entry_of(session.ledger, number)
            if entry is None or entry.state is not CommandState.PARKED:
                raise InputError(f"there is no parked action {number}", hint="`oms status` tells of parked ones")
            if order_group_id is not None and order_group_id not in session.venue.groups.list_groups(None):
                raise InputError(f"the exchange shows no order group {order_group_id}", hint="`oms groups` lists them")
            event = Decided(order_group_id=order_group_id)
            entry = actions.tell(session.ledger, entry, [event], session.venue.clock.now_us())
            return _action_report(session, entry)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _change_group(self, name: str, kind: ActionKind, body: str) -> ActionReport:
        from oms.app.group_members import with_members

        with self._session() as session:
            group = _group(session, name)
            left = [x for x in actions.unfinished(session.ledger) if x.recorded.target == group.order_group_id]
            if left and kind not in WAYS_OUT:
                _resolve(session)  # what is still on its way must not come after this
            wanted = ActionRecorded(
                kind=kind, target=group.order_group_id, subaccount=group.subaccount or None, body=body, purpose="group"
            )
            report = self._carried(session, wanted)
            if left and kind in WAYS_OUT:
                _resolve(session)  # getting out did not wait for it
            return with_members(session, report, group.order_group_id)

    @staticmethod
    def _carried(session: "Session", wanted: ActionRecorded) -> ActionReport:
        from oms.app.action_carrier import record_and_carry

        (entry,) = record_and_carry(session, [wanted])
        return _action_report(session, entry)

    def _action_runs(self) -> "ActionRuns":
        from oms.app.action_runs import ActionRuns

        ledger = self._open(create=True)
        self._has_sent = True
        given = () if self._ports is None else (self._ports,)
        return ActionRuns(self.config, ledger, self._interrupt, self._memory, *given)

    def _session(self, progress: Report | None = None, purpose: str = "group") -> "_Opened":
        self._refuse_beside_line()
        return _Opened(self._action_runs, progress or silent, purpose)


class _Opened:
    """A session as a context manager that gives the session alone."""

    def __init__(self, runs: Callable[[], "ActionRuns"], progress: Report, purpose: str) -> None:
        self._opened = runs().opened(purpose, progress, LOCK_WAIT_S)

    def __enter__(self) -> "Session":
        session, _ = self._opened.__enter__()
        if session.stop is not None and session.stop.code != "halted":
            stop = session.stop
            self._opened.__exit__(None, None, None)
            kind = CredentialsError if stop.code == "credentials" else ReadFailed
            raise kind(stop.message, hint=stop.hint)
        return session

    def __exit__(self, *raised: object) -> None:
        self._opened.__exit__(*raised)  # type: ignore[arg-type]


def _group(session: "Session", name: str) -> groups.GroupEntry:
    """A group of this ledger, or one that only the exchange knows so far."""
    try:
        return groups.group_named(session.ledger, name)
    except InputError:
        seen = session.venue.groups.list_groups(None)
        if name not in seen:
            raise
        groups.note_seen(session.ledger, seen.values(), None, session.venue.clock.now_us())
        return groups.group_named(session.ledger, name)


def _check_name(session: "Session", name: str) -> None:
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable() or name != name.strip():
        raise InputError(f"{name[:80]!r} is no name for a group", hint=f"1 to {_MAX_NAME} printable characters")
    if is_group_id(name):
        raise InputError(f"{name!r} looks like an order_group_id", hint="give it a name that no id can be")
    if name in groups.names(session.ledger):
        raise InputError(f"there is an order group {name!r} already", hint="`oms groups` lists them")


def _resumed(session: "Session", name: str, body: str) -> ActionEntry | None:
    """The same group_create of a run that ended early, where it turns out to have made the group (P6).

    Raises InputError while it is not known what became of one: another new group could not be told from it.
    """
    left = [entry for entry in actions.unfinished(session.ledger) if entry.kind is ActionKind.GROUP_CREATE]
    if left:
        _resolve(session)
    for key in [entry.key for entry in left]:
        entry = actions.entry_of(session.ledger, key)
        assert entry is not None
        if entry.state in UNFINISHED:
            raise InputError(
                f"whether action {entry.key} has made an order group is not known yet ({entry.state})",
                hint=f"run `oms reconcile`; where that cannot tell, `oms group settle {entry.key}`",
            )
        if entry.state is CommandState.ACCEPTED and (entry.recorded.target, entry.recorded.body) == (name, body):
            return entry
    return None


def _resolve(session: "Session") -> None:
    """Settle what earlier runs left in doubt, as far as that goes within the horizon."""
    from oms.app.drive import resolve_all

    resolve_all(session, silent)


def _limit_body(limit_e2: int, subaccount: int | None) -> str:
    more = "" if subaccount is None else f',"subaccount":{subaccount:d}'
    return f'{{"contracts_limit_fp":"{format_count(limit_e2)}"{more}}}'


def _action_report(session: "Session", entry: ActionEntry) -> ActionReport:
    codes = {
        CommandState.ACCEPTED: 0,
        CommandState.REFUSED: 5,
        CommandState.WITHDRAWN: 6,
        CommandState.ABSENT: 1,
    }
    return ActionReport(
        environment=session.ledger.environment,
        action=_action_record(session, entry),
        notes=tuple(session.notes),
        exit_code=codes.get(entry.state, 3),
    )


def _action_record(session: "Session", entry: ActionEntry) -> ActionRecord:
    recorded, action = entry.recorded, entry.action
    group_id: str | None = recorded.target if recorded.kind.value.startswith("group_") else None
    if recorded.kind is ActionKind.GROUP_CREATE:
        group_id = actions.group_made_by(session.ledger, entry.key)
    return ActionRecord(
        action=entry.key,
        kind=recorded.kind.value,
        target=recorded.target,
        subaccount=recorded.subaccount,
        state=action.state.value,
        in_doubt=action.state in DOUBTFUL,
        attempts=action.attempts,
        order_group_id=group_id,
        reason=action.reason.value if action.reason is not None else None,
        detail=action.detail,
        created_at=format_time(entry.created_at_us),
    )


def _group_record(group: groups.GroupEntry, resting: int) -> GroupRecord:
    limit = group.contracts_limit_e2
    return GroupRecord(
        order_group_id=group.order_group_id,
        name=group.name,
        subaccount=group.subaccount,
        contracts_limit=None if limit is None else format_count(limit),
        state=group.state,
        orders=resting,
        updated_at=format_time(group.as_of_us),
    )
