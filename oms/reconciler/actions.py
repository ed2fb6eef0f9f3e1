"""What became of an action in doubt, as readings show it. Reads only; what is concluded is for the caller to record."""

from oms.errors import ReadFailed
from oms.ledger.actions import ActionEntry
from oms.lifecycle import events as e
from oms.lifecycle.actions import EffectMissing, EffectShown, GroupSeen, Reading, settle_group
from oms.lifecycle.states import ActionKind, OrderStatus
from oms.venue.door import Venue


def fence_ms(entry: ActionEntry, horizon_ms: int) -> int:
    """Exchange time from which on nothing of any attempt of it is under way."""
    assert entry.action.last_signed_ms is not None
    return entry.action.last_signed_ms + horizon_ms


def settle(entry: ActionEntry, venue: Venue, horizon_ms: int) -> e.Event | None:
    """What a reading made now says of an action in doubt; None: nothing yet. Raises ReadFailed, CredentialsError."""
    as_of_ms = venue.exchange.user_data_timestamp_ms()
    match entry.kind:
        case ActionKind.CANCEL_ALL:
            return _settle_cancel_all(entry, venue, as_of_ms, horizon_ms)
        case ActionKind.CANCEL_EXTERNAL:
            return _settle_cancel(entry, venue, as_of_ms, horizon_ms)
        case _:
            reading = Reading(as_of_ms=as_of_ms, groups=groups_of(venue, entry.recorded.subaccount))
            return settle_group(entry.action, entry.recorded, reading, fence_ms(entry, horizon_ms))


def groups_of(venue: Venue, subaccount: int | None) -> dict[str, GroupSeen]:
    """The groups among which one of that subaccount has to be. Raises ReadFailed."""
    return venue.groups.list_groups(subaccount)


def _settle_cancel_all(entry: ActionEntry, venue: Venue, as_of_ms: int, horizon_ms: int) -> e.Event | None:
    action = entry.action
    assert action.first_signed_ms is not None
    assert action.last_signed_ms is not None
    fence = fence_ms(entry, horizon_ms)
    if as_of_ms < action.last_signed_ms:
        return None  # it shows the account as it was before
    listing = venue.account.list_orders(status="resting", subaccount=entry.recorded.subaccount)
    left = [x.order_id for x in listing if x.status == "resting" and (x.created_ts_ms or 0) < action.first_signed_ms]
    if listing.unreadable:
        raise ReadFailed(f"{len(listing.unreadable)} resting orders cannot be read")
    if not left:
        return EffectShown(as_of_ms=as_of_ms, detail="nothing rests that was there before")
    if as_of_ms < fence:
        return None
    return EffectMissing(as_of_ms=as_of_ms, fence_ms=fence, detail=f"{len(left)} orders still rest, first {left[0]}")


def _settle_cancel(entry: ActionEntry, venue: Venue, as_of_ms: int, horizon_ms: int) -> e.Event | None:
    fence = fence_ms(entry, horizon_ms)
    order = venue.account.get_order(entry.recorded.target)
    if order is None:
        return e.Moot(detail="the exchange does not show the order") if as_of_ms >= fence else None
    if order.status == OrderStatus.CANCELED:
        return EffectShown(as_of_ms=as_of_ms, detail="the order is canceled")
    if order.status == OrderStatus.EXECUTED:
        return e.Moot(detail="the order is executed")
    if as_of_ms < fence:
        return None
    return EffectMissing(as_of_ms=as_of_ms, fence_ms=fence, detail=f"the order is {order.status}")
