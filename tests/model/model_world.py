"""What there is in the model of the recovery protocol: the world, the state at one moment, the rules."""

from dataclasses import dataclass
from typing import NamedTuple

from oms.lifecycle.states import Command, CommandKind, Order, Resend

TICK_MS = 10_000
BASE_MS = 100 * TICK_MS
COUNT_E2 = 100
LAGS = (0, 2)  # how old the data of a read can be
WITNESS = "witness"  # an order of this ledger that the exchange took just before

# Places of an attempt, in the order it comes through them.
HELD = "held by its sender"
FLYING = "in the network"
TAKEN = "taken by the exchange"
ANSWERED = "answered"

RULES = {
    "write_ahead": "P1: a claim is durable before its request leaves",
    "died_is_doubt": "P5: what a dead run left on the wire is in doubt, not queued",
    "unknown_is_doubt": "P4: no answer is no outcome",
    "own_attempt": "an answer settles only its own attempt",
    "taken_is_doubt": "409 order_already_exists is a reason to read, not a refusal",
    "signed_once": "an attempt is signed with the time of its claim, never again",
    "claim_age": "a claim older than a few seconds is handed back, looked at directly before the first byte",
    "fence": "absence waits until the data of a read have passed the attempt's horizon",
    "latest_attempt": "that horizon is counted from the latest attempt",
    "first_attempt": "a scan goes back to before the first attempt",
    "as_of_first": "the age of a read's data is asked before the read",
    "complete": "a scan with a hole is no observation",
    "witnessed": "a scan that misses an order we know of is no observation",
    "same_user": "a key that sees less than the sender's proves nothing",
    "one_id": "all attempts of an intent carry its one client_order_id",
    "account_read": "a ledger that was put back reads the account before it sends",
}


@dataclass(frozen=True)
class World:
    """What the exchange, the network and the user are like, and how far the search goes."""

    ticks: int = 7
    attempts: int = 3
    skew: int | None = 1  # how far a signed timestamp may be off when a request arrives; None: it is not looked at
    flight: int | None = None  # how long the network keeps a request at most; None: for ever
    commit: int = 1  # how long after it was taken an order may be committed
    horizon: int = 3  # longer than skew and commit together: two things of one tick come in any order
    clock_errors: tuple[int, ...] = (0,)
    dedupe_forever: bool = False  # else client_order_ids count only among open orders
    resend: Resend = Resend.WHEN_ABSENT
    rollbacks: int = 0
    rollback_in_flight: bool = False  # a ledger is put back while requests of it are on their way
    expires: bool = False  # its time to live may be past when absence is proven
    refuses: bool = True  # the exchange may refuse a request for what it asks
    faults: tuple[str, ...] = ("with a hole", "empty by mistake", "of a narrower key")  # lists that are not whole
    off: frozenset[str] = frozenset()  # rules left out

    def has(self, rule: str) -> bool:
        assert rule in RULES
        return rule not in self.off


class Attempt(NamedTuple):
    """One request on its way."""

    number: int
    cid: int
    signed: int
    place: str
    since: int  # tick at which it came there (HELD: of its claim)
    waited_for: bool  # the run that sent it still waits for its answer
    answer: str = ""  # yes | taken | refused


class Placed(NamedTuple):
    """One order at the exchange. Two of them is what must never happen."""

    cid: int
    tick: int
    is_open: bool


class State(NamedTuple):
    """Everything at one moment."""

    now: int
    command: Command
    order: Order
    cid: int  # of the intent as it is recorded now; another one after a person recorded a refused row again
    attempts: tuple[Attempt, ...]
    placed: tuple[Placed, ...]
    scan: int | frozenset[int] | None  # one that has begun: the age of its data, or (rule left out) what was listed
    rollbacks: int
    must_read: bool  # the account has to be read before anything is sent


Step = tuple[str, State]


def fresh() -> tuple[Command, Order]:
    """The intent as it is when it has just been recorded."""
    return Command(kind=CommandKind.CREATE), Order(count_e2=COUNT_E2, price_e6=560_000)


def ms(tick: int) -> int:
    return BASE_MS + tick * TICK_MS


def order_id(cid: int) -> str:
    return f"order-{cid}"


def client_order_id(cid: int) -> str:
    return f"id-{cid}"
