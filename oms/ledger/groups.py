"""Order groups as this ledger knows them: their names here, and how the exchange last showed them."""

from collections.abc import Iterable, Iterator

import msgspec
from sqlalchemy import bindparam, func, insert, or_, select, text, update
from sqlalchemy.engine import Connection, Row

from oms.errors import InputError
from oms.ledger import schema
from oms.ledger.ledger import Ledger
from oms.lifecycle import events as e
from oms.lifecycle.actions import ActionRecorded, Done, GroupSeen, group_of, wanted_limit_e2
from oms.lifecycle.states import ActionKind

_g = schema.order_groups.c
# Lists lag behind: a group that was there this short a time ago is not gone because one does not show it.
_LAG_US = 60_000_000


class GroupEntry(msgspec.Struct, frozen=True):
    """One group."""

    order_group_id: str
    name: str | None
    subaccount: int | None
    exchange_index: int | None
    contracts_limit_e2: int | None
    is_auto_cancel_enabled: bool | None
    state: str  # open | triggered | deleted
    as_of_us: int


def groups(ledger: Ledger, *, deleted: bool = False) -> Iterator[GroupEntry]:
    """The groups that the ledger knows, by their ids."""
    with ledger.read() as connection:
        rows = connection.execute(_ALL if deleted else _PRESENT).all()
    return map(_entry, rows)


_ALL = text("SELECT * FROM order_groups ORDER BY order_group_id")
_PRESENT = text("SELECT * FROM order_groups WHERE state <> 'deleted' ORDER BY order_group_id")


def group_named(ledger: Ledger, name: str) -> GroupEntry:
    """The group that a person names as it is called here, or by its order_group_id. Raises InputError."""
    with ledger.read() as connection:
        row = connection.execute(_NAMED, {"name": name}).one_or_none()
    if row is None:
        raise InputError(
            f"no order group of this ledger is called {name!r}",
            hint="`oms groups` lists them, also those made elsewhere",
        )
    return _entry(row)


def names(ledger: Ledger) -> dict[str, str]:
    """What a row of input may call a group, and its order_group_id: names here and ids; deleted ones are none."""
    found: dict[str, str] = {}
    for group in groups(ledger):
        found[group.order_group_id] = group.order_group_id
        if group.name is not None:
            found[group.name] = group.order_group_id
    return found


def loosens(ledger: Ledger, recorded: ActionRecorded) -> bool:
    """Whether an action lets orders of a group be placed or trade that could not before: what a halt holds back.

    A reset, and a limit that is higher than the known one, or of which that is not known. A new group is empty, and
    every order that goes into it is a create of its own.
    """
    if recorded.kind is ActionKind.GROUP_RESET:
        return True
    if recorded.kind is not ActionKind.GROUP_LIMIT:
        return False
    with ledger.read() as connection:
        known = connection.execute(_LIMIT, {"order_group_id": recorded.target}).scalar()
    return known is None or (wanted_limit_e2(recorded) or 0) > known


_LIMIT = select(_g.contracts_limit_e2).where(_g.order_group_id == bindparam("order_group_id"))
_NAMED = select(schema.order_groups).where(
    or_(_g.name == bindparam("name"), _g.order_group_id == bindparam("name")), _g.state != "deleted"
)


def note_accepted(connection: Connection, recorded: ActionRecorded, event: e.Event, now_us: int) -> None:
    """What an accepted action makes of its group, in the transaction that accepts it."""
    match recorded.kind:
        case ActionKind.GROUP_CREATE:
            _note_created(connection, recorded, event, now_us)
        case ActionKind.GROUP_TRIGGER:
            _change(connection, recorded.target, now_us, state="triggered")
        case ActionKind.GROUP_RESET:
            _change(connection, recorded.target, now_us, state="open")
        case ActionKind.GROUP_LIMIT:
            _change(connection, recorded.target, now_us, contracts_limit_e2=wanted_limit_e2(recorded))
        case ActionKind.GROUP_DELETE:
            # Its name is free again; what belonged to it keeps its id.
            _change(connection, recorded.target, now_us, state="deleted", name=None)
        case _:
            pass


def _note_created(connection: Connection, recorded: ActionRecorded, event: e.Event, now_us: int) -> None:
    order_group_id = group_of(event)
    assert order_group_id is not None
    values = {
        "name": recorded.target or None,
        "subaccount": recorded.subaccount,
        "exchange_index": event.exchange_index if isinstance(event, Done) else None,
        "contracts_limit_e2": wanted_limit_e2(recorded),
    }
    if _change(connection, order_group_id, now_us, **values):
        return  # a list has shown it already
    row = {"order_group_id": order_group_id, "state": "open", "as_of_us": now_us, **values}
    connection.execute(insert(schema.order_groups).values(row))


def _change(connection: Connection, order_group_id: str, now_us: int, **values: object) -> bool:
    changed = connection.execute(
        update(schema.order_groups).where(_g.order_group_id == order_group_id).values(as_of_us=now_us, **values)
    )
    return changed.rowcount > 0


def note_seen(ledger: Ledger, seen: Iterable[GroupSeen], subaccount: int | None, now_us: int) -> None:
    """A complete list of the groups of one subaccount (None: of all): what it shows, and what is gone from it."""
    listed = {group.order_group_id: group for group in seen}
    with ledger.gated_write() as connection:
        for group in listed.values():
            values = {
                "contracts_limit_e2": group.contracts_limit_e2,
                "exchange_index": group.exchange_index,
                "is_auto_cancel_enabled": int(group.is_triggered),
                "state": "triggered" if group.is_triggered else "open",
            }
            if not _change(connection, group.order_group_id, now_us, **values):
                row = {"order_group_id": group.order_group_id, "subaccount": subaccount, "as_of_us": now_us, **values}
                connection.execute(insert(schema.order_groups).values(row))
        query = select(_g.order_group_id).where(_g.state != "deleted", _g.as_of_us < now_us - _LAG_US)
        if subaccount is not None:
            query = query.where(func.coalesce(_g.subaccount, 0) == subaccount)
        for gone in set(connection.execute(query).scalars()) - listed.keys():
            _change(connection, gone, now_us, state="deleted", name=None)


def _entry(row: Row[tuple[object, ...]]) -> GroupEntry:
    flag = row.is_auto_cancel_enabled
    return GroupEntry(
        order_group_id=row.order_group_id,
        name=row.name,
        subaccount=row.subaccount,
        exchange_index=row.exchange_index,
        contracts_limit_e2=row.contracts_limit_e2,
        is_auto_cancel_enabled=None if flag is None else bool(flag),
        state=row.state,
        as_of_us=row.as_of_us,
    )
