"""Rules about what happened to each order, as its events tell it. Ledger alone."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator

from oms.lab.judge.case import Case, Said
from oms.lab.judge.reading import Row
from oms.lab.judge.replay import AT_EXCHANGE, DOUBT, TERMINAL

_ORDER_COLUMNS = (
    *("status", "order_id", "fill_count_e2", "remaining_count_e2", "average_fill_price_e6", "fees_e6"),
    *("traded_count_e2", "traded_value_e8", "traded_fees_e6", "fact_ts_ms", "created_ts_ms", "late", "sent_at_us"),
    *("working_price_e6", "working_count_e2", "terms_elsewhere"),
)
_COMMAND_COLUMNS = (
    *("kind", "state", "attempts", "live", "id_taken", "epoch", "first_signed_ms", "last_signed_ms", "not_before_us"),
)
_SHOWS = ("acknowledged", "found", "observed", "effect_seen", "resolved")


def chains_are_intact(case: Case) -> Said:
    """I12."""
    for order in case.ledger["orders"]:
        name = order["client_order_id"]
        head = hashlib.sha256(name.encode()).digest()[:16]
        events = case.events.get(order["key"], [])
        for number, event in enumerate(events, 1):
            head = _hash(head, event)
            if event["n"] != number or event["hash"] != head:
                yield name, f"the chain of {name} breaks at event {number} ({event['kind']})"
                break
        else:
            if (order["event_count"], order["chain_hash"]) != (len(events), head):
                yield name, f"{name} has {len(events)} events, and its row names {order['event_count']} or another end"
    for key in case.events.keys() - case.names.keys():
        yield None, f"there are {len(case.events[key])} events of an order {key} that is not there"


def _hash(before: bytes, event: Row) -> bytes:
    head = (
        f"{event['order_key']}|{event['n']}|{event['command_key']}|{event['epoch']}|{event['at_us']}|{event['kind']}|"
    )
    return hashlib.sha256(before + head.encode() + str(event["data"]).encode()).digest()[:16]


def rows_follow_from_events(case: Case) -> Said:
    """I12."""
    stored: dict[int, dict[int, Row]] = defaultdict(dict)
    for key, command in case.commands.items():
        stored[command["order_key"]][key] = command
    for order in case.ledger["orders"]:
        name, life = order["client_order_id"], case.lives[order["key"]]
        yield from ((name, f"{name}: {sentence}") for invariant, sentence in life.wrong if invariant == "I12")
        for column in _ORDER_COLUMNS:
            if order[column] != getattr(life.order, column):
                yield name, f"{name}: {column} is {order[column]!r}, by its events {getattr(life.order, column)!r}"
        commands = stored[order["key"]]
        if commands.keys() != life.commands.keys():
            yield name, f"{name}: it has commands {sorted(commands)}, by its events {sorted(life.commands)}"
        for key in commands.keys() & life.commands.keys():
            for column in _COMMAND_COLUMNS:
                was, now = commands[key][column], getattr(life.commands[key], column)
                if was != now:
                    yield name, f"{name}: {column} of its {commands[key]['kind']} is {was!r}, by its events {now!r}"


def nothing_is_sent_after_its_outcome(case: Case) -> Said:
    """I6."""
    yield from _wrong(case, "I6")


def moves_are_allowed(case: Case) -> Said:
    """I10."""
    yield from _wrong(case, "I10")


def _wrong(case: Case, invariant: str) -> Said:
    for key, life in case.lives.items():
        for found, sentence in life.wrong:
            if found == invariant:
                yield case.name(key), f"{case.name(key)}: {sentence}"


def doubt_ends_by_evidence(case: Case) -> Said:
    """I8."""
    yield from _wrong(case, "I8")
    for order_key, life in case.lives.items():
        name = case.name(order_key)
        for key, command in life.commands.items():
            row = case.commands.get(key)
            if row is not None and command.state in DOUBT and row["state"] not in DOUBT:
                yield name, f"{name}: its {command.kind} is {row['state']}, and no event ended the doubt about it"
    for event, said in case.history():
        if event["kind"] == "attempt_refused" and _is_no_refusal(said):
            name = case.name(event["order_key"])
            yield name, f"{name}: HTTP {said.get('http_status')} {said.get('code')!r} was taken for a refusal"


# A no to the order itself comes with one of these, or in an item of a batch that was answered well.
_REFUSALS = (400, 403, 404, 409, 410, 200, 201, 207)
# These say nothing of the order that was sent, or that there is one under its id.
_NO_REFUSALS = ("order_already_exists", "trading_is_paused", "exchange_is_paused", "exchange_unavailable")


def _is_no_refusal(said: Row) -> bool:
    """Whether an answer says nothing of the order: a server's trouble, a timeout, a rate limit, a key refused."""
    code = str(said.get("code") or "").lower()
    return not code or code in _NO_REFUSALS or said.get("http_status") not in _REFUSALS


def successes_have_proof(case: Case) -> Said:
    """I9."""
    shown: dict[int, set[str]] = defaultdict(set)
    for event, said in case.history():
        if event["kind"] in _SHOWS:
            seen = said.get("order", said)
            other = seen.get("client_order_id")
            if seen.get("order_id") and other in (None, case.name(event["order_key"])):
                shown[event["order_key"]].add(seen["order_id"])
    owners = Counter(order["order_id"] for order in case.ledger["orders"] if order["order_id"] is not None)
    for order in case.ledger["orders"]:
        name, order_id = order["client_order_id"], order["order_id"]
        if order["status"] in AT_EXCHANGE and order_id is None:
            yield name, f"{name} is {order['status']} without an order_id"
        if order_id is not None and order_id not in shown[order["key"]]:
            yield name, f"{name} has order_id {order_id}, which no answer and no reading named under its id"
        if order_id is not None and owners[order_id] > 1:
            yield name, f"{owners[order_id]} intents claim the order {order_id}"


def own_ids_are_no_proof_alone(case: Case) -> Said:
    """I21: anybody may use a caller's own id; the order first found under it must be what was asked for."""
    proven: set[int] = set()
    for event, said in case.history():
        key, name = event["order_key"], case.name(event["order_key"])
        if name is None or key in proven or event["kind"] not in _SHOWS:
            continue
        proven.add(key)
        if event["kind"] == "found" and case.orders[name]["own_id"]:
            seen = said.get("order", {})
            shown = {**seen, "count_e2": seen.get("initial_count_e2")}
            for field in ("ticker", "side", "price_e6", "count_e2"):
                if shown.get(field) != case.orders[name][field]:
                    yield (
                        name,
                        f"{name}, an id of the caller's own, was found with {field} {shown.get(field)}, and taken",
                    )


def _may_be_in_effect(case: Case, event: Row) -> bool:
    command = case.commands.get(event["command_key"])
    return command is not None and command["state"] not in ("queued", "refused", "withdrawn")


def nothing_goes_back(case: Case) -> Said:
    """I10."""
    ended: dict[int, str] = {}
    filled: dict[int, int] = {}
    most = {order["key"]: order["count_e2"] for order in case.ledger["orders"]}
    for event, said in case.history():
        key, seen = event["order_key"], said.get("order", said)
        if (
            key in most
            and event["kind"] == "recorded"
            and said.get("kind") == "amend"
            and _may_be_in_effect(case, event)
        ):
            most[key] = max(most[key], said.get("count_e2") or 0)
        if event["kind"] not in _SHOWS or event["kind"] == "resolved" or key not in most:
            continue
        if seen.get("order_id") != _order_id(case, key):
            continue
        if seen.get("status") in TERMINAL:
            ended.setdefault(key, seen["status"])
        filled[key] = max(filled.get(key, 0), seen.get("fill_count_e2", 0))
        most[key] = max(most[key], seen.get("initial_count_e2", 0))
    for order in case.ledger["orders"]:
        name, key = order["client_order_id"], order["key"]
        if key in ended and order["status"] not in TERMINAL:
            yield name, f"{name} was shown {ended[key]} and is {order['status']} again"
        if order["fill_count_e2"] < filled.get(key, 0):
            yield name, f"fill_count of {name} fell from {filled[key]} to {order['fill_count_e2']} hundredths"
        if order["fill_count_e2"] > most[key]:
            yield name, f"{name} is filled by {order['fill_count_e2']} hundredths of {most[key]}"


def _order_id(case: Case, key: int) -> str | None:
    name = case.name(key)
    found: str | None = case.orders[name]["order_id"] if name is not None else None
    return found


def trades_count_once(case: Case) -> Said:
    """I11."""
    told: dict[int, dict[str, Row]] = defaultdict(dict)
    owners: dict[str, str | None] = {}
    for event, said in case.history():
        if event["kind"] == "filled":
            name, trade_id = case.name(event["order_key"]), said.get("trade_id", "")
            if trade_id in owners:
                yield name, f"trade {trade_id} of {owners[trade_id]} was counted again for {name}"
            owners[trade_id] = name
            told[event["order_key"]][trade_id] = said
    booked: dict[int, dict[str, Row]] = defaultdict(dict)
    for fill in case.ledger["fills"]:
        booked[fill["order_key"]][fill["trade_id"]] = fill
    for order in case.ledger["orders"]:
        name, key = order["client_order_id"], order["key"]
        for trade_id in sorted(booked[key].keys() ^ told[key].keys()):
            yield name, f"trade {trade_id} of {name} is in its events or in fills, not in both"
        for trade_id in booked[key].keys() & told[key].keys():
            for column in ("count_e2", "price_e6", "fee_e6", "ts_ms"):
                was, now = booked[key][trade_id][column], told[key][trade_id].get(column)
                if was != now:
                    yield name, f"{column} of trade {trade_id} of {name} is {was}, by its event {now}"
        total = sum(fill["count_e2"] for fill in booked[key].values())
        if total != order["traded_count_e2"] or total > order["fill_count_e2"]:
            yield (
                name,
                f"the trades of {name} add up to {total} hundredths; its row says {order['traded_count_e2']} traded,"
                f" {order['fill_count_e2']} filled",
            )


def one_run_sends_at_a_time(case: Case) -> Said:
    """I17."""
    known = {row["epoch"] for row in case.ledger["epochs"]}
    current = max((row["epoch"] for row in case.ledger["ledger"]), default=0)
    if current != max(known, default=0):
        yield None, f"the ledger is at run {current}, the newest run on record is {max(known, default=0)}"
    newest = 0
    for event, said in case.history():
        epoch = event["epoch"]
        if epoch is None:
            continue
        name = case.name(event["order_key"])
        if epoch not in known:
            yield name, f"{name}: event {event['n']} was recorded by run {epoch}, which was never opened"
        if event["kind"] == "claimed" and (epoch < newest or said.get("epoch") != epoch):
            yield name, f"{name} was claimed by run {said.get('epoch')} after run {newest} had begun"
        newest = max(newest, epoch)


def no_run_outlives_the_next(case: Case) -> Said:
    """I17, by the times on record: it also holds of a run that recorded nothing."""
    soonest: dict[int, tuple[int, int]] = {}  # epoch -> when the first of those after it was opened, and which
    first = (2**63, 0)
    for row in sorted(case.ledger["epochs"], key=lambda row: -row["epoch"]):
        soonest[row["epoch"]] = first
        first = min(first, (row["opened_at_us"], row["epoch"]))
    for event, name in _claims(case):
        opened_at_us, newer = soonest.get(event["epoch"], (2**63, 0))
        if event["at_us"] > opened_at_us:
            late_us = event["at_us"] - opened_at_us
            yield name, f"{name} was claimed by run {event['epoch']}, {late_us} us after run {newer} had begun"


def nothing_is_claimed_while_halted(case: Case) -> Said:
    """I16, of a halt that still stands; it stops everything but cancels."""
    for halt in (row for row in case.ledger["controls"] if row["name"] == "halt"):
        for event, name in _claims(case):
            command = case.commands.get(event["command_key"])
            if event["at_us"] > halt["at_us"] and (command is None or command["kind"] != "cancel"):
                yield name, f"{name} was claimed {event['at_us'] - halt['at_us']} us after sending had been halted"


def nothing_is_claimed_past_its_time(case: Case) -> Said:
    """I16: run and time to live are compared by one clock, at one moment."""
    for event, name in _claims(case):
        command = case.commands.get(event["command_key"])
        if command is not None and command["expires_at_us"] is not None and event["at_us"] >= command["expires_at_us"]:
            late_us = event["at_us"] - command["expires_at_us"]
            yield name, f"{name} was claimed {late_us} us after the time until which it might be sent"


def _claims(case: Case) -> Iterator[tuple[Row, str | None]]:
    for event in case.ledger["events"]:
        if event["kind"] == "claimed":
            yield event, case.name(event["order_key"])


def what_was_told_is_there(case: Case) -> Said:
    """I13: an order may have come further since it was told, never back."""
    for told in dict.fromkeys(case.told):
        row, name = case.orders.get(told.client_order_id), told.client_order_id
        if row is None:
            yield name, f"{name} was told to be {told.status}, and is not in the ledger"
        elif not _may_have_become(told.status, row["status"], is_late=bool(row["late"])):
            yield name, f"{name} was told to be {told.status}, and is {row['status']}"
        elif told.order_id not in (None, row["order_id"]):
            yield name, f"{name} was told to be the order {told.order_id}, and is {row['order_id']}"
        elif told.fill_count_e2 > row["fill_count_e2"]:
            yield (
                name,
                f"{name} was told to be filled by {told.fill_count_e2} hundredths, and is by {row['fill_count_e2']}",
            )


def _may_have_become(before: str, after: str, *, is_late: bool) -> bool:
    if before == after or before == "pending":
        return True
    if before in ("rejected", "unsent"):
        return is_late and after in AT_EXCHANGE
    return before == "resting" and after in TERMINAL
