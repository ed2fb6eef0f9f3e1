"""Order groups as reads show them."""

from typing import Any
from urllib.parse import quote

import msgspec

from oms.errors import ReadFailed
from oms.lifecycle.actions import GroupSeen
from oms.venue.account_writes import GROUPS_PATH
from oms.venue.reads import Reader
from oms.venue.wire import Unreadable, convert, count_e2, identifier, integer

__all__ = ["Groups"]


class Groups:
    """Reads of order groups."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def list_groups(self, subaccount: int | None = None) -> dict[str, GroupSeen]:
        """All groups of a subaccount (None: of all), by order_group_id: one page, whatever their number.

        Raises ReadFailed, also where one of them cannot be read: nothing may be concluded from what is missing then.
        """
        body = self._reader.private(GROUPS_PATH, {"subaccount": subaccount})
        listed = body.get("order_groups") if isinstance(body, dict) else None
        if listed is None and isinstance(body, dict):
            listed = []  # the exchange leaves out what is empty
        if not isinstance(listed, list):
            raise ReadFailed(f"the answer to GET {GROUPS_PATH} has no list of groups")
        try:
            groups = [_read(item) for item in listed]
        except Unreadable as exc:
            raise ReadFailed(f"the answer to GET {GROUPS_PATH} cannot be read: {exc}") from None
        return {group.order_group_id: group for group in groups}

    def orders_of(self, order_group_id: str, subaccount: int | None = None) -> list[str] | None:
        """The order_ids that belong to a group now; None when the exchange answers 404. Raises ReadFailed."""
        path = f"{GROUPS_PATH}/{quote(order_group_id, safe='')}"
        endpoint = f"{GROUPS_PATH}/:order_group_id"
        body = self._reader.private(path, {"subaccount": subaccount}, endpoint=endpoint, also=(404,))
        if body is None:
            return None
        listed = body.get("orders") if isinstance(body, dict) else None
        if not isinstance(listed, list):
            raise ReadFailed(f"the answer to GET {path} has no list of orders")
        return [name for name in listed if isinstance(name, str)]


class _Group(msgspec.Struct, frozen=True):
    id: str | None = None
    is_auto_cancel_enabled: bool | None = None
    contracts_limit_fp: str | None = None
    exchange_index: str | None = None


def _read(item: Any) -> GroupSeen:
    group = convert(item, _Group)
    if group.is_auto_cancel_enabled is None:
        raise Unreadable("no is_auto_cancel_enabled")
    limit, shard = group.contracts_limit_fp, group.exchange_index
    return GroupSeen(
        order_group_id=identifier(group.id, "id"),
        # The name misleads: a client's test against the demo shows it true once a group was triggered, until its reset.
        is_triggered=group.is_auto_cancel_enabled,
        contracts_limit_e2=count_e2(limit, "contracts_limit_fp") if limit else None,
        exchange_index=integer(shard, "exchange_index") if shard is not None else None,
    )
