"""Rules about every request that reached the exchange, by the exchange's own log of them."""

import hashlib
from collections import Counter

from oms.lab.judge import actions
from oms.lab.judge.book import CREATES
from oms.lab.judge.case import Case, Said
from oms.lab.judge.reading import Row


def every_request_was_claimed(case: Case) -> Said:
    """I1: each write that arrived is an attempt of the ledger, signed with its very timestamp, and each only once."""
    claimed: Counter[tuple[str, int]] = Counter()
    for event, said in case.history():
        command = case.commands.get(event["command_key"])
        name = case.name(event["order_key"])
        if event["kind"] != "claimed" or command is None or name is None:
            continue
        subject = name if command["kind"] == "create" else case.orders[name]["order_id"]
        claimed[subject, said["signed_ms"]] += 1
    claimed.update(actions.sends(case))
    cancels = {said["signed_ms"] for event, said in case.history() if _is_cancel(case, event)}
    for request in case.requests:
        if request["operation"] == "BatchCancelOrdersV2" and case.is_alone and request["signed_ms"] not in cancels:
            yield (
                None,
                f"request {request['seq']} canceled orders at {request['signed_ms']}, and no attempt did so then",
            )
        # What the network itself delivers late or twice was sent once.
        if request["arrival_of"] is not None:
            continue
        for subject in _subjects(request):
            attempt = (subject, request["signed_ms"])
            claimed[attempt] -= 1
            if claimed[attempt] < 0 and (case.is_alone or subject in case.orders):
                name = subject if subject in case.orders else None
                what = f"request {request['seq']}, {request['operation']} of {subject},"
                yield name, f"{what} was sent, and no attempt of it was on record"


def _is_cancel(case: Case, event: Row) -> bool:
    command = case.commands.get(event["command_key"])
    return event["kind"] == "claimed" and command is not None and command["kind"] == "cancel"


def _subjects(request: Row) -> list[str]:
    """What a write is about: the ids of the orders it creates, or the order_id that it cancels or changes."""
    if request["operation"] in CREATES:
        return [name for name in request["client_order_ids"].split(",") if name]
    if request["operation"] == "CancelOrderV2":
        return [request["path"].rpartition("/")[2]]
    if request["operation"] in CHANGES:
        return [request["path"].split("/")[-2]]
    return []


def every_attempt_sends_the_same(case: Case) -> Said:
    """I5: what arrived has the recorded bytes: creates, alone or among others, amends and decreases."""
    for request in case.requests:
        yield from _change_is_as_recorded(case, request)
        names = _subjects(request) if request["operation"] in CREATES else []
        if not names or any(name not in case.bodies for name in names):
            continue
        body = ",".join(case.bodies[name] for name in names)
        if request["operation"] == "BatchCreateOrdersV2":
            body = f'{{"orders":[{body}]}}'
        if hashlib.sha256(body.encode()).hexdigest() != request["body_sha256"]:
            yield (
                names[0],
                f"request {request['seq']}: what was sent for {', '.join(names[:3])} is not what was recorded",
            )


def _change_is_as_recorded(case: Case, request: Row) -> Said:
    if request["operation"] not in CHANGES:
        return
    (order_id,) = _subjects(request)
    recorded = {hashlib.sha256(body.encode()).hexdigest() for body in case.changes.get(order_id, ())}
    if recorded and request["body_sha256"] not in recorded:
        yield order_id, f"request {request['seq']}: no {request['operation']} of {order_id} was recorded with that body"


def no_tight_loop(case: Case) -> Said:
    """I24: no order is sent again and again within a second."""
    within: dict[str, list[int]] = {}
    told: set[str] = set()
    for request in case.requests:
        for subject in _subjects(request) if request["arrival_of"] is None else ():
            times = within.setdefault(subject, [])
            times.append(request["at_us"])
            if len(times) > MOST_A_SECOND and times[-1] - times[-1 - MOST_A_SECOND] < 1_000_000 and subject not in told:
                told.add(subject)
                name = subject if subject in case.orders else None
                yield name, f"{subject} was sent more than {MOST_A_SECOND} times within a second"


CHANGES = ("AmendOrderV2", "DecreaseOrderV2")
# Far above what any pause, rate limit or clock correction makes of one order.
MOST_A_SECOND = 20
