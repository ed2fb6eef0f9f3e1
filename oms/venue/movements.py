"""Money that came into the account, left it, or went from one of its subaccounts to another, as its lists tell it."""

from typing import Any, Literal

import msgspec

from oms.units import cents_to_e6
from oms.venue.wire import Unreadable, convert, identifier, integer, printable

__all__ = ["MOVEMENT_LISTS", "Movement", "MovementKind", "read_movement"]

MovementKind = Literal["deposit", "withdrawal", "transfer"]

# Of each kind its path, the name of its list, and the largest page that the exchange allows.
MOVEMENT_LISTS: dict[MovementKind, tuple[str, str, int]] = {
    "deposit": ("/portfolio/deposits", "deposits", 500),
    "withdrawal": ("/portfolio/withdrawals", "withdrawals", 500),
    "transfer": ("/portfolio/subaccounts/transfers", "transfers", 1000),
}
APPLIED, RETURNED = "applied", "returned"


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """One deposit, withdrawal or transfer. A subaccount is None where that end is outside the exchange."""

    kind: MovementKind
    movement_id: str
    status: str  # pending | applied | failed | returned, or a word that is new; of a transfer applied
    from_subaccount: int | None
    to_subaccount: int | None
    amount_e6: int
    fee_e6: int
    created_ts: int  # Unix seconds
    finalized_ts: int | None


class _Movement(msgspec.Struct, frozen=True):
    id: str | None = None
    transfer_id: str | None = None
    status: str | None = None
    from_subaccount: str | None = None
    to_subaccount: str | None = None
    amount_cents: str | None = None
    fee_cents: str | None = None
    created_ts: str | None = None
    finalized_ts: str | None = None


def read_movement(kind: MovementKind, item: Any) -> Movement:
    """An object of one of these lists; Unreadable when it lacks an id, an amount, a status, a time or an end.

    Deposits and withdrawals name no subaccount: they are the primary one's.
    """
    found = convert(item, _Movement)
    is_transfer = kind == "transfer"
    if found.amount_cents is None or found.created_ts is None or (found.status is None and not is_transfer):
        raise Unreadable("no amount_cents, created_ts or status")
    created_ts = integer(found.created_ts, "created_ts")
    return Movement(
        kind=kind,
        movement_id=identifier(found.transfer_id if is_transfer else found.id, "id"),
        status=APPLIED if is_transfer else printable(found.status or "", 64),
        from_subaccount=_end(found.from_subaccount, "from_subaccount") if is_transfer else _OUT[kind][0],
        to_subaccount=_end(found.to_subaccount, "to_subaccount") if is_transfer else _OUT[kind][1],
        amount_e6=_cents(found.amount_cents, "amount_cents"),
        fee_e6=_cents(found.fee_cents or "0", "fee_cents"),
        created_ts=created_ts,
        finalized_ts=None if found.finalized_ts is None else integer(found.finalized_ts, "finalized_ts"),
    )


_OUT: dict[MovementKind, tuple[int | None, int | None]] = {"deposit": (None, 0), "withdrawal": (0, None)}


def _end(text: str | None, what: str) -> int:
    if text is None:
        raise Unreadable(f"no {what}")
    return integer(text, what)


def _cents(text: str, what: str) -> int:
    try:
        value_e6 = cents_to_e6(text)
    except ValueError as exc:
        raise Unreadable(f"{what} {exc}") from None
    if value_e6 < 0:
        raise Unreadable(f"{what} is negative")
    return value_e6
