"""Rules about requests that are about no order of the ledger: cancel-all, cancels of others' orders, order groups.

The table of their moves is written here a second time; a test holds it equal to that of oms.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from oms.lab.judge.case import Case, Said
from oms.lab.judge.reading import Row
from oms.lab.judge.replay import UNFINISHED

# May be sent again while another attempt is in doubt: asking twice is asking once.
_WAYS_OUT = ("cancel_all", "cancel_external", "group_trigger", "group_delete")
# event -> state -> the state after it, or with another attempt still open the one after that
MOVES: dict[str, dict[str, tuple[str, str]]] = {
    "claimed": {"queued": ("on_wire", "on_wire"), "in_doubt": ("on_wire", "on_wire")},
    "withdrawn": {"queued": ("withdrawn", "withdrawn")},
    "moot": {"queued": ("refused", "refused"), "in_doubt": ("refused", "refused")},
    "sender_died": {"on_wire": ("in_doubt", "in_doubt")},
    "requeued": {"absent": ("queued", "queued")},
    "not_processed": {"on_wire": ("queued", "in_doubt"), "in_doubt": ("queued", "in_doubt")},
    "attempt_refused": {"on_wire": ("refused", "in_doubt"), "in_doubt": ("refused", "in_doubt")},
    "attempt_unknown": {"on_wire": ("in_doubt", "in_doubt")},
    "done": dict.fromkeys(("on_wire", "in_doubt", "absent", "refused", "parked"), ("accepted", "accepted")),
    "effect_shown": dict.fromkeys(("in_doubt", "absent", "parked"), ("accepted", "accepted")),
    "effect_missing": {"in_doubt": ("absent", "absent")},
    "undecidable": {"in_doubt": ("parked", "parked")},
    "decided": {"parked": ("accepted", "absent")},
}
# Ours to decide, hence wrong where the table has no move; everything else is evidence, which is always taken.
_DECISIONS = (*("claimed", "withdrawn", "sender_died", "requeued", "moot", "effect_missing", "undecidable", "decided"),)
_KEEP_OPEN = ("claimed", "attempt_unknown", "sender_died", "undecidable", "withdrawn")
_COLUMNS = ("state", "attempts", "live", "epoch", "first_signed_ms", "last_signed_ms", "not_before_us")


@dataclass(slots=True)
class _Action:
    """One action, replayed; the fields are columns of `actions`."""

    kind: str
    state: str = "queued"
    attempts: int = 0
    open: list[int] = field(default_factory=list)
    epoch: int | None = None
    first_signed_ms: int | None = None
    last_signed_ms: int | None = None
    not_before_us: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def live(self) -> str:
        return ",".join(map(str, self.open))


def _replayed(action: Row, events: list[Row]) -> _Action:
    found = _Action(action["kind"])
    for event in events[1:]:
        if event["said"] is not None:
            _take(found, event["kind"], event["said"])
    return found


def _take(action: _Action, kind: str, said: Row) -> None:
    moved = MOVES.get(kind, {}).get(action.state)
    if moved is None or not _may(action, kind, said):
        if kind in _DECISIONS:
            action.wrong.append(f"{kind} of one that is {action.state}")
        return
    if kind in ("not_processed", "attempt_refused"):
        if said["attempt"] not in action.open:
            return
        action.open.remove(said["attempt"])
        if kind == "not_processed" and not action.open:
            action.not_before_us = said.get("not_before_us", 0)
        action.state = moved[1] if action.open else moved[0]
        return
    if kind == "claimed":
        signed_ms = said["signed_ms"]
        action.first_signed_ms = min(signed_ms, action.first_signed_ms or signed_ms)
        action.last_signed_ms = max(signed_ms, (action.last_signed_ms or 0) if action.open else 0)
        action.attempts, action.epoch, action.not_before_us = said["attempt"], said["epoch"], 0
        action.open.append(said["attempt"])
    elif kind not in _KEEP_OPEN:
        action.open = []
    action.state = moved[1] if kind == "decided" and said.get("order_group_id") is None else moved[0]


def _may(action: _Action, kind: str, said: Row) -> bool:
    if kind == "claimed":
        is_next = said["attempt"] == action.attempts + 1
        return is_next and (action.state == "queued" or action.kind in _WAYS_OUT)
    return kind != "requeued" or action.kind != "group_create"  # twice would be two groups


def _all(case: Case) -> Iterator[tuple[Row, list[Row]]]:
    events: dict[int, list[Row]] = {action["key"]: [] for action in case.ledger["actions"]}
    for event in case.ledger["action_events"]:
        events.setdefault(event["action_key"], []).append(event)
    for action in case.ledger["actions"]:
        yield action, sorted(events[action["key"]], key=lambda event: event["n"])


def _named(action: Row) -> str:
    return f"action {action['key']} ({action['kind']} {action['target']})"


def chains_are_intact(case: Case) -> Said:
    """I12."""
    for action, events in _all(case):
        head = hashlib.sha256(f"action {action['key']}".encode()).digest()[:16]
        for number, event in enumerate(events, 1):
            text = (
                f"{action['key']}|{event['n']}|None|{event['epoch']}|{event['at_us']}|{event['kind']}|{event['data']}"
            )
            head = hashlib.sha256(head + text.encode()).digest()[:16]
            if event["n"] != number or event["hash"] != head:
                yield None, f"the chain of {_named(action)} breaks at event {number} ({event['kind']})"
                break
        else:
            if (action["event_count"], action["chain_hash"]) != (len(events), head):
                yield None, f"{_named(action)} has {len(events)} events, and its row names another number or end"
    known = {action["key"] for action in case.ledger["actions"]}
    for key in sorted({event["action_key"] for event in case.ledger["action_events"]} - known):
        yield None, f"there are events of an action {key} that is not there"


def rows_follow_from_events(case: Case) -> Said:
    """I12."""
    for action, events in _all(case):
        recorded = events[0]["said"] if events and events[0]["kind"] == "action_recorded" else None
        if recorded is None:
            yield None, f"{_named(action)} has no event that recorded it"
            continue
        for column in ("kind", "target", "body"):
            if action[column] != recorded.get(column, ""):
                yield None, f"{_named(action)}: {column} is {action[column]!r}, recorded {recorded.get(column)!r}"
        found = _replayed(action, events)
        for column in _COLUMNS:
            if action[column] != getattr(found, column):
                yield (
                    None,
                    f"{_named(action)}: {column} is {action[column]!r}, by its events {getattr(found, column)!r}",
                )


def moves_are_allowed(case: Case) -> Said:
    """I10; of a claim: I6, nothing is sent again that may not be."""
    for action, events in _all(case):
        for sentence in _replayed(action, events).wrong:
            yield None, f"{_named(action)}: {sentence}"


def absence_is_fenced(case: Case) -> Said:
    """I8: that an action had no effect is concluded only once nothing of it can arrive any more."""
    for action, events in _all(case):
        signed_ms = 0
        for event in events:
            said = event["said"] or {}
            if event["kind"] == "claimed":
                signed_ms = max(signed_ms, said["signed_ms"])
            elif event["kind"] == "effect_missing" and not said["as_of_ms"] >= said["fence_ms"] > signed_ms:
                yield (
                    None,
                    (
                        f"{_named(action)} was taken for absent at {said['as_of_ms']}, sent at {signed_ms}, fence"
                        f" {said['fence_ms']}"
                    ),
                )


def every_request_was_claimed(case: Case) -> Said:
    """I1: each such request that arrived is an attempt of an action, signed with its very timestamp, and once."""
    claimed: Counter[tuple[str, str, int]] = Counter()
    for action, events in _all(case):
        for event in events:
            if event["kind"] == "claimed" and event["said"] is not None:
                claimed[action["kind"], _subject(action), event["said"]["signed_ms"]] += 1
    for request in case.requests:
        kind = OPERATIONS.get(request["operation"])
        if kind is None or request["arrival_of"] is not None or not case.is_alone:
            continue
        attempt = (kind, _subject_of(request), request["signed_ms"])
        claimed[attempt] -= 1
        if claimed[attempt] < 0:
            yield (
                None,
                (
                    f"request {request['seq']}, {request['operation']} signed at {request['signed_ms']}, was sent, and"
                    " no attempt of an action was on record"
                ),
            )


def sends(case: Case) -> Iterator[tuple[str, int]]:
    """The attempts to cancel single orders that were not placed here: order_id, signed timestamp."""
    for action, events in _all(case):
        for event in events:
            if action["kind"] == "cancel_external" and event["kind"] == "claimed" and event["said"] is not None:
                yield action["target"], event["said"]["signed_ms"]


OPERATIONS = {
    "CancelAllOrdersV2": "cancel_all",
    "CreateOrderGroup": "group_create",
    "DeleteOrderGroup": "group_delete",
    "ResetOrderGroup": "group_reset",
    "TriggerOrderGroup": "group_trigger",
    "UpdateOrderGroupLimit": "group_limit",
}


def _subject(action: Row) -> str:
    """What tells a request from others of its kind: of a group's making its bytes, else what it is about."""
    if action["kind"] == "group_create":
        return hashlib.sha256(action["body"].encode()).hexdigest()
    return str(action["target"])


def _subject_of(request: Row) -> str:
    parts: list[str] = request["path"].split("/")
    match request["operation"]:
        case "CreateOrderGroup":
            return str(request["body_sha256"])
        case "CancelAllOrdersV2":
            return ""
        case "DeleteOrderGroup":
            return parts[-1]
        case _:
            return parts[-2]


def nothing_is_left_to_do(case: Case) -> Said:
    """I23."""
    for action in case.ledger["actions"]:
        if action["state"] in UNFINISHED:
            yield None, f"unfinished: {_named(action)} is {action['state']}"


def groups_are_there(case: Case) -> Said:
    """I9: the group of every accepted making is at the exchange, or was."""
    if case.exchange.groups is None:
        return
    for action, events in _all(case):
        if action["kind"] != "group_create" or action["state"] != "accepted":
            continue
        made = [event["said"].get("order_group_id") for event in events if event["said"] is not None]
        known = [group for group in made if group is not None]
        if not known or known[-1] not in case.exchange.groups:
            yield None, f"{_named(action)} is accepted, and the exchange has no group {known[-1] if known else ''}"
