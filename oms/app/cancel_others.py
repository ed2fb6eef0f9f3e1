"""Canceling single orders that this ledger did not place: which a person means, and what became of them.

Second orders under the id of an order of this ledger, and orders that were placed elsewhere. Each cancel is an action,
recorded before it is sent; whatever run sends next goes on with it (`oms.app.action_doubts`).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from oms.errors import UnknownOrder
from oms.ledger import actions, externals, queries, seconds
from oms.ledger.actions import ActionEntry
from oms.ledger.ledger import Ledger
from oms.ledger.seconds import Second
from oms.lifecycle.actions import ActionRecorded
from oms.lifecycle.states import DOUBTFUL, ActionKind, CommandState, Reason
from oms.records import OtherCancelRecord, SubmitReport, worst


def named_for_cancel(ledger: Ledger, names: Sequence[str]) -> tuple[list[int], list[ActionRecorded]]:
    """The orders of this ledger (keys) and the cancels of others that a person names, each once. Raises UnknownOrder.

    An id in full comes before a beginning, and a beginning has to fit one order of all.
    """
    keys: list[int] = []
    others: dict[str, ActionRecorded] = {}
    for name in dict.fromkeys(names):
        rows = externals.named(ledger, name)
        if rows and rows[0].order_id == name and not queries.creates_by_order_id(ledger, [name]):
            others[name] = cancel_of(rows[0])
            continue
        try:
            key = queries.entry_named(ledger, name).order_key
        except UnknownOrder as exc:
            if len(rows) != 1:
                raise _unknown(name, rows, exc) from None
            others[rows[0].order_id] = cancel_of(rows[0])
            continue
        if rows and not _is_whole(ledger, name):
            raise _unknown(name, rows, UnknownOrder("")) from None
        keys.append(key)
    return list(dict.fromkeys(keys)), list(others.values())


def _is_whole(ledger: Ledger, name: str) -> bool:
    return bool(queries.creates_of(ledger, [name]) or queries.creates_by_order_id(ledger, [name]))


def _unknown(name: str, rows: Sequence[Any], known: UnknownOrder) -> UnknownOrder:
    if rows:
        ids = ", ".join(row.order_id for row in rows)
        return UnknownOrder(f"{name!r} fits several orders, among them {ids}", hint="give more of the id")
    return UnknownOrder(
        known.message,
        hint=f"{known.hint}; what was placed elsewhere is known by its order_id once `oms reconcile` has seen it",
    )


def cancel_of(order: "Second | Any") -> ActionRecorded:
    """The cancel of one order that was not placed here; of a second one, or a row of `external_orders`."""
    return ActionRecorded(
        kind=ActionKind.CANCEL_EXTERNAL,
        target=order.order_id,
        ticker=order.ticker,
        subaccount=order.subaccount,
        purpose="cancel",
    )


def with_others(ledger: Ledger, report: SubmitReport, order_ids: Sequence[str]) -> SubmitReport:
    """The report of a cancel with what became of those that were not placed here, and which ones are left beside."""
    if report.stop is None or order_ids:
        report = _with_left(ledger, report, order_ids)
    if not order_ids:
        return report
    entries = {entry.recorded.target: entry for entry in actions.newest_cancels(ledger, order_ids)}
    told = [_told(ledger, order_id, entries.get(order_id)) for order_id in order_ids]
    codes = {report.exit_code, *(_code(record) for record in told)}
    doubtful = sum(record.state in DOUBTFUL for record in told)
    return msgspec.structs.replace(
        report,
        others=tuple(told),
        in_doubt=report.in_doubt + doubtful,
        notes=(*report.notes, *map(_sentence, told)),
        exit_code=worst(codes - {0}),
    )


def _with_left(ledger: Ledger, report: SubmitReport, order_ids: Sequence[str]) -> SubmitReport:
    wanted = set(report.order_keys)
    left = [x for x in seconds.resting(ledger) if x.order_key in wanted and x.order_id not in order_ids]
    notes = [
        f"another order, {x.order_id}, rests under client_order_id {x.client_order_id}: `oms cancel {x.order_id}`"
        for x in left[:10]
    ]
    return msgspec.structs.replace(report, notes=(*report.notes, *notes))


def _told(ledger: Ledger, order_id: str, entry: ActionEntry | None) -> OtherCancelRecord:
    (row,) = externals.named(ledger, order_id)
    action = entry.action if entry is not None else None
    return OtherCancelRecord(
        order_id=order_id,
        client_order_id=row.client_order_id or None,
        ticker=row.ticker,
        state=action.state.value if action is not None else "unrecorded",
        status=row.status,
        reason=action.reason.value if action is not None and action.reason is not None else None,
        detail=action.detail if action is not None else None,
    )


def _code(record: OtherCancelRecord) -> int:
    if record.state in DOUBTFUL:
        return 3
    if record.state == CommandState.ACCEPTED or (record.reason == Reason.MOOT and record.status == "canceled"):
        return 0
    if record.state in (CommandState.REFUSED, CommandState.ABSENT):
        return 5
    return 6


def _sentence(record: OtherCancelRecord) -> str:
    what = f"order {record.order_id}, not placed here"
    if record.client_order_id is not None:
        what = f"order {record.order_id}, under client_order_id {record.client_order_id}"
    code = _code(record)
    why = f" ({record.detail or record.reason})" if record.detail or record.reason else ""
    if code == 0:
        return f"{what}: canceled"
    if code == 6:
        state = "its cancel waits: the next `oms cancel` or `oms submit` sends it"
        return (
            f"{what}: {state if record.state == CommandState.QUEUED else 'its cancel was not recorded; run it again'}"
        )
    return f"{what}: its cancel is {record.state}{why}; the order was last seen {record.status}"
