"""The requests about subaccounts: create, balances, transfer, transfers, netting. Money is kept per shard."""

import re
from typing import Any

from oms.sandbox import amounts, incidents
from oms.sandbox.account import Account, Movement
from oms.sandbox.calls import Call
from oms.sandbox.limits import SHARDS
from oms.sandbox.listing import newest_first
from oms.sandbox.refusals import refuse
from oms.sandbox.tickets import parse_object, typed
from oms.sandbox.wire import Response, json_response

LAST = 63
CREATE_FIELDS = {"exchange_index": "int"}
TRANSFER_FIELDS = {
    "client_transfer_id": "string",
    "from_subaccount": "int",
    "to_subaccount": "int",
    "amount_cents": "int64",
    "exchange_index": "int",
}
NETTING_FIELDS = {"subaccount_number": "int", "enabled": "bool"}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def _numbers(account: Account) -> list[int]:
    """The subaccounts there are: the primary one, those created, and those that ever held money."""
    funded = {subaccount for (subaccount, _), purse in account.purses.items() if purse.is_used}
    return sorted({0, *account.netting, *funded})


def _refuse_locked(call: Call) -> None:
    if call.key is not None and call.key.subaccount is not None:
        raise refuse(403, "forbidden", details="the key is restricted to one subaccount")


def create(call: Call) -> Response:
    """POST /portfolio/subaccounts: 201 with its number; Basic accounts may not."""
    _refuse_locked(call)
    if call.meter.tier == "basic":
        raise refuse(403, "forbidden", details="subaccounts need the Advanced tier")
    if call.request.body:
        typed(parse_object(call.request.body), CREATE_FIELDS, "CreateSubaccountRequest")
    number = _numbers(call.account)[-1] + 1
    if number > LAST:
        raise refuse(400, "invalid_parameters", details=f"at most {LAST} subaccounts")
    call.state.set_netting(call.account, number, is_netting=True)
    return json_response(201, {"subaccount_number": number})


def list_balances(call: Call) -> Response:
    """GET /portfolio/subaccounts/balances: of all, or of the one the key is locked to."""
    locked = call.subaccount(None, None)
    rows = []
    for number in _numbers(call.account):
        shards = {index: purse for (of, index), purse in call.account.purses.items() if of == number and purse.is_used}
        for index, purse in sorted(shards.items() or {0: call.account.purse(number, 0)}.items()):
            seen = purse.seen(call.as_of_us)
            rows.append(
                {
                    "subaccount_number": number,
                    "exchange_index": index,
                    "balance": amounts.balance_text(seen.available_e6),
                    "updated_ts": seen.at_us // amounts.MICROS,
                }
            )
    return json_response(
        200, {"subaccount_balances": [row for row in rows if locked in (None, row["subaccount_number"])]}
    )


def transfer(call: Call) -> Response:
    """POST /portfolio/subaccounts/transfer: 200; a repeated client_transfer_id moves nothing again."""
    _refuse_locked(call)
    given = typed(parse_object(call.request.body), TRANSFER_FIELDS, "ApplySubaccountTransferRequest")
    made = _read_transfer(call, given)
    if all(made.client_transfer_id != earlier.client_transfer_id for earlier in call.account.movements):
        _check_transfer(call, made)
        incidents.move_money(call.desk, call.account, made, call.when)
    return json_response(200, {})


def _read_transfer(call: Call, given: dict[str, Any]) -> Movement:
    missing = [name for name in TRANSFER_FIELDS if name != "exchange_index" and name not in given]
    if missing:
        raise refuse(400, "missing_parameters", details=f"{missing[0]} is required")
    if _UUID.fullmatch(given["client_transfer_id"]) is None:
        raise refuse(400, "invalid_parameters", details="client_transfer_id is a UUID")
    number = len(call.account.movements)
    return Movement(
        movement_id=call.state.ids.uuid("movement", call.account.user_id, number),
        kind="transfer",
        from_subaccount=given["from_subaccount"],
        to_subaccount=given["to_subaccount"],
        exchange_index=given.get("exchange_index", 0),
        amount_e6=given["amount_cents"] * 10_000,
        at_us=call.when.at_us,
        client_transfer_id=given["client_transfer_id"].lower(),
    )


def _check_transfer(call: Call, made: Movement) -> None:
    known, ends = _numbers(call.account), (made.from_subaccount, made.to_subaccount)
    if any(end not in known for end in ends) or made.from_subaccount == made.to_subaccount:
        raise refuse(400, "invalid_parameters", details="from and to are two subaccounts of this account")
    if made.exchange_index not in SHARDS or made.amount_e6 <= 0:
        raise refuse(400, "invalid_parameters", details="exchange_index is 0 to 2, amount_cents above 0")
    if call.account.purse(made.from_subaccount or 0, made.exchange_index).available_e6 < made.amount_e6:
        raise refuse(400, "insufficient_balance")


def list_transfers(call: Call) -> Response:
    """GET /portfolio/subaccounts/transfers, newest first."""
    locked = call.subaccount(None, None)

    def show(movement: Movement) -> dict[str, Any] | None:
        if movement.kind != "transfer" or movement.at_us > call.as_of_us:
            return None
        if locked not in (None, movement.from_subaccount, movement.to_subaccount):
            return None
        return {
            "transfer_id": movement.movement_id,
            "from_subaccount": movement.from_subaccount,
            "to_subaccount": movement.to_subaccount,
            "amount_cents": movement.amount_e6 // 10_000,
            "created_ts": movement.at_us // amounts.MICROS,
            "exchange_index": movement.exchange_index,
        }

    rows, cursor = newest_first(call, call.account.movements, show)
    return json_response(200, {"transfers": rows, "cursor": cursor})


def list_netting(call: Call) -> Response:
    """GET /portfolio/subaccounts/netting."""
    rows = [
        {"subaccount_number": number, "enabled": call.account.netting.get(number, True), "exchange_index": 0}
        for number in _numbers(call.account)
    ]
    return json_response(200, {"netting_configs": rows})


def update_netting(call: Call) -> Response:
    """PUT /portfolio/subaccounts/netting: kept and shown; positions here net whatever it says."""
    given = typed(parse_object(call.request.body), NETTING_FIELDS, "UpdateSubaccountNettingRequest")
    number = given.get("subaccount_number")
    if number is None or "enabled" not in given:
        raise refuse(400, "missing_parameters", details="subaccount_number and enabled are required")
    number = call.subaccount(number, 0)
    if number not in _numbers(call.account):
        raise refuse(400, "invalid_parameters", details="no such subaccount")
    call.state.set_netting(call.account, number or 0, is_netting=given["enabled"])
    return json_response(200, {})
