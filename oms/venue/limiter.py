"""Token buckets as the exchange counts them. PURE: the time is an argument, tokens are integers x 10^8.

Never over the rate, and close to it. The local bucket is full at most when the exchange's is: it refills a hundredth
slower, so that neither a clock that runs fast nor a request that arrives a little sooner after its forerunner than it
left overdraws the real one; and tokens of requests that were not answered yet (`until_answered`) leave no room to
refill, since the exchange may see them all at once after a stall. The exchange's 429 is the truth all the same: after
one the bucket is drained so that nobody storms, and the account's limits are read again.

A floor of the write bucket is kept for cancels: getting out must not wait behind getting in. It costs no rate, because
a bucket that rests at its floor refills as fast as one that rests at nothing.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from oms.risk.pace import Pace

__all__ = [
    "AMEND",
    "BALANCE",
    "CANCEL",
    "CANCEL_ALL",
    "CANCEL_BATCH",
    "CREATE",
    "CREATE_BATCH",
    "DECREASE",
    "EndpointCosts",
    "Limiter",
    "TokenBucket",
]

Endpoint = tuple[str, str]  # method, and path with :order_id in it

TOKEN = 100_000_000
# Hundredths of the exchange's rate at which a bucket refills here.
_PACE = 99
# One call a second, and too slow rather than too fast: the bucket holds one call, so that nothing evens out jitter.
_BALANCE_PACE = 80
# How often the limits are read again, and how soon after a 429 (once: a row of them tells nothing more).
REFRESH_US = 3_600_000_000
REFRESH_AFTER_429_US = 1_000_000
_SOONEST_AGAIN_US = 60_000_000

CREATE: Endpoint = ("POST", "/portfolio/events/orders")
CREATE_BATCH: Endpoint = ("POST", "/portfolio/events/orders/batched")
AMEND: Endpoint = ("POST", "/portfolio/events/orders/:order_id/amend")
DECREASE: Endpoint = ("POST", "/portfolio/events/orders/:order_id/decrease")
CANCEL: Endpoint = ("DELETE", "/portfolio/events/orders/:order_id")
CANCEL_BATCH: Endpoint = ("DELETE", "/portfolio/events/orders/batched")
CANCEL_ALL: Endpoint = ("DELETE", "/portfolio/events/orders")
BALANCE: Endpoint = ("GET", "/portfolio/balance")

_DEFAULT_COSTS: Mapping[Endpoint, int] = {
    CANCEL: 2,
    CANCEL_ALL: 2,
    CANCEL_BATCH: 2,  # per item
    ("GET", "/portfolio/orders/:order_id"): 2,
}
_WAYS_OUT = (CANCEL, CANCEL_ALL, CANCEL_BATCH)


class TokenBucket:
    """A bucket that refills continuously. Not thread-safe; `Limiter` is."""

    def __init__(self, refill_per_s: int, capacity: int, *, pace: int = _PACE) -> None:
        """Full at first. `capacity` is the largest burst in tokens, `refill_per_s` the exchange's steady rate."""
        assert refill_per_s > 0
        assert capacity > 0
        self.refill_per_s = refill_per_s
        self.capacity = capacity
        self._pace = pace
        self._level = capacity * TOKEN
        self._held = 0  # taken by requests that may not have arrived yet
        self._at_us: int | None = None

    def take(self, cost: int, now_us: int, floor: int = 0, *, until_answered: bool = False) -> int:
        """Take `cost` tokens and return 0, or take nothing and return the microseconds until it can be tried again.

        `floor` tokens are left in the bucket for others. A cost above what the bucket can ever hold is taken from a
        full bucket, which then owes the rest. With `until_answered` the tokens have to be told to have `landed`.
        """
        self._refill(now_us)
        wanted = min((cost + floor) * TOKEN, self.capacity * TOKEN)
        if self._level >= wanted:
            self._level -= cost * TOKEN
            self._held += cost * TOKEN * until_answered
            return 0
        return -((self._level - wanted) // self._per_us)

    def landed(self, cost: int, now_us: int) -> None:
        """A request that took so many tokens `until_answered` was answered, or cannot be any more."""
        self._refill(now_us)
        self._held = max(0, self._held - cost * TOKEN)

    def empty(self, at_us: int) -> None:
        """Nothing was in it then."""
        self._level, self._at_us = 0, at_us

    def spent(self, cost: int, at_us: int) -> None:
        """Tokens that were spent then without having been taken here: by an earlier process of the same account."""
        self._refill(at_us)
        self._level = max(min(self._level, 0), self._level - cost * TOKEN)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was asked of it so far."""
        return self._at_us is None

    def available(self, now_us: int) -> int:
        """Whole tokens in the bucket now; negative while it owes."""
        self._refill(now_us)
        return self._level // TOKEN

    def drain(self, now_us: int) -> None:
        """The exchange said 429: whatever we believed, there is nothing in it."""
        self._refill(now_us)
        self._level = min(self._level, 0)

    def resize(self, refill_per_s: int, capacity: int) -> None:
        """The account's real limits have been read; the bucket stays as full as it was, in proportion."""
        assert refill_per_s > 0
        assert capacity > 0
        # Else a large account's first order would wait until the reserve of the large bucket had come in.
        self._level = self._level * capacity // self.capacity
        self.refill_per_s = refill_per_s
        self.capacity = capacity

    @property
    def _per_us(self) -> int:
        # tokens x 10^8 per microsecond is hundredths of tokens per second
        return self.refill_per_s * self._pace

    def _refill(self, now_us: int) -> None:
        if self._at_us is None or now_us < self._at_us:
            self._at_us = now_us  # first use, or a clock set back: no time has passed
            return
        full = max(self._level, self.capacity * TOKEN - self._held)
        self._level = min(self._level + (now_us - self._at_us) * self._per_us, full)
        self._at_us = now_us


@dataclass(frozen=True, slots=True)
class EndpointCosts:
    """Tokens a call costs, by method and path with `:order_id` in it; a batch costs it once per item."""

    default: int = 10
    by_endpoint: Mapping[Endpoint, int] = field(default_factory=lambda: dict(_DEFAULT_COSTS))
    # Tokens of one order, whichever way it goes: whether it goes alone is decided after it was paid for.
    of_create: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "of_create", max(self.of(CREATE), self.of(CREATE_BATCH)))

    def of(self, endpoint: Endpoint) -> int:
        """Tokens of one call."""
        return self.by_endpoint.get(endpoint, self.default)


class Limiter:
    """The account's buckets (read, write, and the balance's own) and what calls cost. Thread-safe.

    Starts with the smallest tier's numbers (Basic: 200 reads and 100 writes a second, one second of burst) until
    `learn` is given the account's own. `on_due` is called, outside the lock and on whatever thread asks for tokens
    next, when they should be read again: an hour after the last time, and soon after a 429.
    """

    def __init__(self, costs: EndpointCosts | None = None) -> None:
        self._lock = threading.Lock()
        self.costs = costs or EndpointCosts()
        self.read = TokenBucket(200, 200)
        self.write = TokenBucket(100, 100)
        self.balance = TokenBucket(1, 1, pace=_BALANCE_PACE)
        self.pace: Pace | None = None  # the trader's own limit of orders per second
        self.on_due: Callable[[], None] | None = None
        self._asked_us: int | None = None  # when reading the limits was last asked for
        self._due_us: int | None = None

    @property
    def slack(self) -> int:
        """Write tokens that even cancels leave alone: what requests that overtake each other may cost."""
        return self.write.capacity // 25

    @property
    def reserve(self) -> int:
        """Write tokens that creates leave alone: a tenth of the bucket, and room for at least two cancels.

        Never so much that a create of its usual cost would not fit beside it.
        """
        wanted = max(self.write.capacity // 10, self.slack + 2 * self.costs.of(CANCEL))
        return max(0, min(wanted, self.write.capacity - self.costs.of_create))

    @property
    def largest_batch(self) -> int:
        """Orders in one batched create that the write bucket can pay for at once (the exchange takes all or none)."""
        return max(1, (self.write.capacity - self.reserve) // max(1, self.costs.of_create))

    def take_create(self, now_us: int, orders: int = 1, *, until_answered: bool = False) -> int:
        """Tokens for `orders` creates: 0 when taken, else the microseconds to wait (nothing was taken).

        The trader's own pace, where there is one, is kept too. With `until_answered` every order has to be told to
        have been `answered`.
        """
        with self._lock:
            wait_us = self.pace.wait_us(now_us) if self.pace is not None else 0
            cost = orders * self.costs.of_create
            wait_us = wait_us or self.write.take(cost, now_us, self.reserve, until_answered=until_answered)
            if self.pace is not None and not wait_us:
                for _ in range(orders):
                    self.pace.take(now_us)
        self._look(now_us)
        return wait_us

    def take_cancel(self, now_us: int, *, until_answered: bool = False) -> int:
        """Tokens for one cancel, the reserve included: 0 when taken, else the microseconds to wait."""
        return self.take_write(CANCEL, now_us, until_answered=until_answered)

    def take_write(self, endpoint: Endpoint, now_us: int, items: int = 1, *, until_answered: bool = False) -> int:
        """Tokens for any write but a create; ways out (cancels) may take from the reserve.

        0 when taken, else the microseconds to wait (nothing was taken).
        """
        with self._lock:
            floor = self.slack if endpoint in _WAYS_OUT else self.reserve
            cost = items * self.costs.of(endpoint)
            wait_us = self.write.take(cost, now_us, floor, until_answered=until_answered)
        self._look(now_us)
        return wait_us

    def answered(self, endpoint: Endpoint, now_us: int, items: int = 1) -> None:
        """Writes whose tokens were taken `until_answered` have an answer, or will not get one any more."""
        with self._lock:
            cost = self.costs.of_create if endpoint in (CREATE, CREATE_BATCH) else self.costs.of(endpoint)
            self.write.landed(items * cost, now_us)

    def take_read(self, endpoint: Endpoint, now_us: int) -> int:
        """Tokens for one read: 0 when taken, else the microseconds to wait. The balance has a bucket of its own."""
        with self._lock:
            if endpoint == BALANCE:
                wait_us = self.balance.take(1, now_us)
            else:
                wait_us = self.read.take(self.costs.of(endpoint), now_us, self.read.capacity // 25)
        self._look(now_us)
        return wait_us

    def remember(self, writes: Iterable[tuple[int, Endpoint]], since_us: int) -> None:
        """What earlier processes wrote since then, (our clock, endpoint) in the order of time.

        Where there was anything, the bucket counts as empty at `since_us`: what was written before is not told, and
        a run at full speed leaves nothing in it. Changes nothing once this process has written itself, since then it
        knows.
        """
        with self._lock:
            if self.write.is_untouched:
                for n, (at_us, endpoint) in enumerate(writes):
                    if n == 0:
                        self.write.empty(since_us)
                    self.write.spent(self.costs.of_create if endpoint == CREATE else self.costs.of(endpoint), at_us)

    def drain_write(self, now_us: int) -> None:
        """A write was answered 429."""
        with self._lock:
            self.write.drain(now_us)
            self._soon(now_us)

    def drain_read(self, now_us: int, endpoint: Endpoint = ("GET", "")) -> None:
        """A read was answered 429."""
        with self._lock:
            (self.balance if endpoint == BALANCE else self.read).drain(now_us)
            self._soon(now_us)

    def learn(
        self,
        *,
        read: tuple[int, int] | None = None,
        write: tuple[int, int] | None = None,
        costs: EndpointCosts | None = None,
    ) -> None:
        """Take over the account's own (refill per second, capacity) and costs."""
        with self._lock:
            if read is not None:
                self.read.resize(*read)
            if write is not None:
                self.write.resize(*write)
            if costs is not None:
                self.costs = costs

    def _soon(self, now_us: int) -> None:
        again_us = now_us + REFRESH_AFTER_429_US
        if self._asked_us is not None:
            again_us = max(again_us, self._asked_us + _SOONEST_AGAIN_US)
        self._due_us = again_us if self._due_us is None else min(self._due_us, again_us)

    def _look(self, now_us: int) -> None:
        """Ask for fresh limits when it is time; the first use only starts the hour, since a run reads them first."""
        with self._lock:
            if self._due_us is None or self._due_us > now_us + REFRESH_US:  # the latter: a clock set back
                self._due_us = now_us + REFRESH_US
            is_due = now_us >= self._due_us
            if is_due:
                self._asked_us, self._due_us = now_us, now_us + REFRESH_US
        if is_due and self.on_due is not None:
            self.on_due()
