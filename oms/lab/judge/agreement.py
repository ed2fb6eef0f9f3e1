"""Rules about both sides at once: what is at the exchange is what the ledger says, and nothing else is."""

from collections import Counter
from typing import Any

from oms.lab.judge.book import Position
from oms.lab.judge.case import Case, Said
from oms.lab.judge.reading import Row
from oms.lab.judge.replay import AT_EXCHANGE, UNFINISHED
from oms.lab.judge.shape import batch_head

_FIXED = ("ticker", "side")
_MOVING = ("status", "fill_count_e2", "remaining_count_e2")
_OF_TRADE = ("count_e2", "price_e6", "fee_e6")


def both_are_of_one_account(case: Case) -> Said:
    """I16."""
    if not case.is_one_account:
        (known,) = (row["user_id"] for row in case.ledger["ledger"])
        there = ", ".join(sorted(case.exchange.users)[:3])
        yield None, f"the ledger belongs to user {known}, what was read of the exchange to user {there}: not compared"


def no_order_is_doubled(case: Case) -> Said:
    """I3."""
    times = Counter(order["client_order_id"] for order in case.exchange.orders)
    for name, count in times.items():
        if count > 1 and (name in case.orders or _is_ours(case, name)):
            yield name or None, f"duplicate: {count} orders at the exchange under {name or 'no id'}"


def no_order_is_unknown(case: Case) -> Said:
    """I4."""
    for order in case.exchange.orders:
        name = order["client_order_id"]
        if name not in case.orders and _is_ours(case, name):
            yield None, f"not ours: order {order['order_id']} ({name or 'no id'}) is at the exchange and in no ledger"
    for problem in case.exchange.unread:
        yield None, problem


def _is_ours(case: Case, name: str) -> bool:
    """Whether an order must be this ledger's: in an account of its own every one, else those of its batches."""
    head = batch_head(name)
    return case.is_alone or (head is not None and any(head == x["batch_key"][:14] for x in case.ledger["batches"]))


def no_order_is_lost(case: Case) -> Said:
    """I9."""
    for name, order in case.orders.items():
        if order["status"] in AT_EXCHANGE and name not in case.there and not _is_younger(case, order):
            yield name, f"lost: {name} is {order['status']} in the ledger, and the exchange has no such order"


def _is_younger(case: Case, order: Row) -> bool:
    """Whether the order may be younger than what was read of the exchange."""
    as_of_ms = case.exchange.as_of_ms
    return as_of_ms is not None and (order["created_ts_ms"] or 0) >= as_of_ms


def order_ids_agree(case: Case) -> Said:
    """I9."""
    for name, order in case.orders.items():
        seen = case.there.get(name)
        if order["order_id"] is not None and seen is not None and seen["order_id"] != order["order_id"]:
            yield (
                name,
                f"differs: {name} order_id is {order['order_id']} in the ledger, {seen['order_id']} at the exchange",
            )


def no_stranger_is_adopted(case: Case) -> Said:
    """I21."""
    owners = {order["order_id"]: order["client_order_id"] for order in case.exchange.orders}
    for name, order in case.orders.items():
        owner = owners.get(order["order_id"], name)
        if owner != name and name not in case.renamed:
            yield name, f"{name} claims the order {order['order_id']}, which is there under {owner or 'no id'}"


def endings_are_true(case: Case) -> Said:
    """I8."""
    for name, order in case.orders.items():
        seen = case.there.get(name)
        if seen is not None and order["status"] in ("rejected", "unsent"):
            yield name, f"unknown: {name} is {order['status']} in the ledger, and {seen['status']} at the exchange"


def orders_agree(case: Case) -> Said:
    """I23."""
    doubtful = {row["order_key"] for row in case.commands.values() if row["state"] in UNFINISHED}
    for name, order in case.orders.items():
        seen = case.there.get(name)
        if seen is None or order["status"] in ("rejected", "unsent"):
            continue
        if order["status"] == "pending":
            if order["key"] not in doubtful:
                yield name, f"unknown: {name} is pending in the ledger, and {seen['status']} at the exchange"
            continue
        for field in _MOVING:
            if order[field] != seen[field]:
                yield name, _differs(name, field, order[field], seen[field])


def intents_agree(case: Case) -> Said:
    """I19."""
    changed = {row["order_key"] for row in case.commands.values() if row["kind"] in ("amend", "decrease")}
    for name, order in case.orders.items():
        seen = case.there.get(name)
        if seen is not None and order["status"] != "pending":
            for field in _FIXED:
                if order[field] != seen[field]:
                    yield name, _differs(name, field, order[field], seen[field])
            if order["key"] in changed or order["terms_elsewhere"]:
                # Whether the initial count of an order follows its amends is not settled; what rests and traded does.
                wanted = {"price_e6": seen["price_e6"], "count_e2": seen["fill_count_e2"] + seen["remaining_count_e2"]}
                if seen["status"] == "canceled":
                    del wanted["count_e2"]
                ours = {field: order[f"working_{field}"] for field in wanted}
            else:
                wanted = {field: seen[field] for field in ("price_e6", "count_e2")}
                if seen["status"] == "canceled" and not case.is_alone:
                    # It may have been amended elsewhere, or from a ledger that is lost, and the count is shown by
                    # nothing but the initial one, which may follow an amend.
                    del wanted["count_e2"]
                ours = {field: order[field] for field in wanted}
            for field, value in wanted.items():
                if ours[field] != value:
                    yield name, _differs(name, field, ours[field], value)


def nothing_is_ahead_of_the_exchange(case: Case) -> Said:
    """I10."""
    for name, order in case.orders.items():
        seen = case.there.get(name)
        if seen is not None and order["fill_count_e2"] > seen["fill_count_e2"] and not _may_lag(case):
            yield (
                name,
                f"{name} is filled by {order['fill_count_e2']} in the ledger, {seen['fill_count_e2']} at the exchange",
            )


def _may_lag(case: Case) -> bool:
    return case.exchange.as_of_ms is not None


def trades_agree(case: Case) -> Said:
    """I11."""
    order_ids = {order["order_id"] for order in case.orders.values()}
    ours = {
        (row["trade_id"], row["order_id"]): _figures(row)
        for row in case.ledger["fills"]
        if row["order_key"] is not None or row["order_id"] not in order_ids  # kept, and not counted for its order
    }
    shown = {(row["trade_id"], row["order_id"]): _figures(row) for row in case.exchange.trades}
    # Trades of orders made elsewhere need not be here; those that are, are as they are there.
    theirs = {key: trade for key, trade in shown.items() if case.is_alone or key[1] in order_ids or key in ours}
    names = {order["order_id"]: name for name, order in case.orders.items()}
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            here, there = _text(ours.get(key)), _text(theirs.get(key))
            yield (
                names.get(key[1]),
                f"trade: {key[0]} of order {key[1]} is {here} in the ledger, {there} at the exchange",
            )


def _figures(row: Row) -> tuple[int, ...]:
    return tuple(row[name] for name in _OF_TRADE)


def _text(figures: tuple[int, ...] | None) -> str:
    if figures is None:
        return "missing"
    return " ".join(f"{name}={value}" for name, value in zip(_OF_TRADE, figures, strict=True))


def positions_agree(case: Case) -> Said:
    """I23."""
    theirs, read = case.exchange.positions, case.exchange.subaccounts
    ours: dict[Position, int] = {
        (row["ticker"], row["subaccount"]): row["position_e2"]
        for row in case.ledger["positions"]
        if read is None or row["subaccount"] in read
    }
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key, 0) != theirs.get(key, 0):
            yield None, f"position: {key[0]} is {ours.get(key, 0)} in the ledger, {theirs.get(key, 0)} at the exchange"


def nothing_is_left_to_do(case: Case) -> Said:
    """I23."""
    for command in case.ledger["commands"]:
        if command["state"] in UNFINISHED:
            name = case.name(command["order_key"])
            yield name, f"unfinished: {command['kind']} of {name} is {command['state']}"


def _differs(name: str, field: str, here: Any, there: Any) -> str:
    return f"differs: {name} {field} is {here} in the ledger, {there} at the exchange"
