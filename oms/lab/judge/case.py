"""What there is to judge: one ledger, perhaps the exchange's side, and what all rules need to be worked out of them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from oms.lab.judge.book import Book
from oms.lab.judge.reading import Ledger, Row
from oms.lab.judge.replay import Life, replay
from oms.lab.judge.told import Told

# What a rule says of one thing that is wrong: the client_order_id it is about, or None, and a sentence.
Said = Iterator[tuple[str | None, str]]


@dataclass(frozen=True, slots=True)
class Case:
    """`is_level`: both sides are of one moment, so they have to agree. `is_quiet`: nothing may be left to do.

    `is_alone`: nobody else uses the account, so every order there must be in this ledger. `is_complete`: nothing of the
    ledger was ever lost, so every request that arrived is on its record. `is_timely`: the machine's clock was never set
    meanwhile, so times on record can be compared. `told`: what callers were told.
    """

    ledger: Ledger
    book: Book | None = None
    is_level: bool = False
    is_quiet: bool = False
    is_alone: bool = True
    is_complete: bool = True
    is_timely: bool = True
    told: Sequence[Told] = ()
    orders: dict[str, Row] = field(default_factory=dict)  # by client_order_id
    names: dict[int, str] = field(default_factory=dict)  # client_order_id by key
    events: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))  # by order key, in order of n
    lives: dict[int, Life] = field(default_factory=dict)  # by order key
    commands: dict[int, Row] = field(default_factory=dict)  # by key
    bodies: dict[str, str] = field(default_factory=dict)  # of the creates, by client_order_id
    changes: dict[str | None, set[str]] = field(default_factory=lambda: defaultdict(set))  # order_id -> bodies
    there: dict[str, Row] = field(default_factory=dict)  # orders at the exchange, by client_order_id
    renamed: set[str] = field(default_factory=set)  # those of them that bear another id there by now

    @property
    def exchange(self) -> Book:
        """The exchange's side, for rules that are asked only where there is one."""
        assert self.book is not None
        return self.book

    @property
    def is_one_account(self) -> bool:
        """Whether ledger and exchange may be of one account: nobody says that they are of two."""
        known = {row["user_id"] for row in self.ledger["ledger"]} - {None}
        return not known or not self.exchange.users or bool(known & self.exchange.users)

    @property
    def requests(self) -> list[Row]:
        """The writes that arrived; none where there is no log of them."""
        return (self.book.requests or []) if self.book is not None else []

    def history(self) -> Iterator[tuple[Row, Row]]:
        """Every event that can be read, with its data, in the order in which they were recorded."""
        for event in self.ledger["events"]:
            if event["said"] is not None:
                yield event, event["said"]

    def name(self, order_key: int) -> str | None:
        """The client_order_id of an order, where the ledger has that order."""
        return self.names.get(order_key)


def prepare(case: Case) -> Case:
    """Work out what rules share."""
    for order in case.ledger["orders"]:
        case.orders[order["client_order_id"]] = order
        case.names[order["key"]] = order["client_order_id"]
    for command in case.ledger["commands"]:
        case.commands[command["key"]] = command
    for event in case.ledger["events"]:
        case.events[event["order_key"]].append(event)
    for events in case.events.values():
        events.sort(key=lambda event: event["n"])
    for order in case.ledger["orders"]:
        key = order["key"]
        case.lives[key] = replay(order["count_e2"], order["price_e6"], case.events.get(key, []))
        for event in case.events.get(key, []):
            said = event["said"] if event["kind"] == "recorded" and event["said"] is not None else {}
            body = said.get("body")
            if isinstance(body, str) and body:
                if said.get("kind") == "create":
                    case.bodies[order["client_order_id"]] = body
                else:
                    case.changes[order["order_id"]].add(body)
    if case.book is not None:
        disowned = _disowned(case)
        case.there.update((x["client_order_id"], x) for x in case.book.orders if x["order_id"] not in disowned)
        if not case.is_alone:
            _add_renamed(case)
    return case


def _add_renamed(case: Case) -> None:
    """An order that was given another id elsewhere is there all the same, under the order_id it was taken as."""
    assert case.book is not None
    unnamed = {order["order_id"]: order for order in case.book.orders if order["client_order_id"] not in case.orders}
    for name, order in case.orders.items():
        seen = unnamed.get(order["order_id"])
        if seen is not None and name not in case.there and _was_taken(case, order):
            case.there[name] = seen
            case.renamed.add(name)


def _was_taken(case: Case, order: Row) -> bool:
    """Whether the ledger was shown that order_id under the order's own id before."""
    for event in case.events.get(order["key"], []):
        said = event["said"] or {}
        shown = said.get("order") if event["kind"] == "found" else {"client_order_id": order["client_order_id"], **said}
        if event["kind"] in ("acknowledged", "found") and isinstance(shown, dict):
            theirs = (shown.get("order_id"), shown.get("client_order_id"))
            if theirs == (order["order_id"], order["client_order_id"]):
                return True
    return False


def _disowned(case: Case) -> set[str]:
    """The order_ids of others' orders that have an id of ours, where a person decided that they are not ours."""
    found: set[str] = set()
    for events in case.events.values():
        strangers: set[str] = set()
        for event in events:
            said = event["said"] or {}
            if event["kind"] == "found_foreign":
                strangers.add(said["order"]["order_id"])
            elif event["kind"] == "resolved" and said.get("order_id") is None:
                found |= strangers
    return found
