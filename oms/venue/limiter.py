"""Token buckets as the exchange counts them. PURE: the time is an argument, tokens are integers x 10^6.

The local buckets only keep the pace; the exchange's 429 is the truth, and after one the bucket is drained so that
nobody storms. A part of the write bucket is kept for cancels: getting out must not wait behind getting in.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CANCEL", "CREATE", "EndpointCosts", "Limiter", "TokenBucket"]

TOKEN = 1_000_000

CREATE = ("POST", "/portfolio/events/orders")
CANCEL = ("DELETE", "/portfolio/events/orders/:order_id")

_DEFAULT_COSTS: Mapping[tuple[str, str], int] = {
    CANCEL: 2,
    ("DELETE", "/portfolio/events/orders"): 2,
    ("DELETE", "/portfolio/events/orders/batched"): 2,  # per item
    ("GET", "/portfolio/orders/:order_id"): 2,
}


class TokenBucket:
    """A bucket that refills continuously. Not thread-safe; `Limiter` is."""

    def __init__(self, refill_per_s: int, capacity: int) -> None:
        """Full at first. `capacity` is the largest burst in tokens, `refill_per_s` the steady pace."""
        assert refill_per_s > 0
        assert capacity > 0
        self.refill_per_s = refill_per_s
        self.capacity = capacity
        self._level = capacity * TOKEN
        self._at_us: int | None = None

    def take(self, cost: int, now_us: int, floor: int = 0) -> int:
        """Take `cost` tokens and return 0, or take nothing and return the microseconds until it can be tried again.

        `floor` tokens are left in the bucket for others. A cost above what the bucket can ever hold is taken from a
        full bucket, which then owes the rest.
        """
        self._refill(now_us)
        wanted = min((cost + floor) * TOKEN, self.capacity * TOKEN)
        if self._level >= wanted:
            self._level -= cost * TOKEN
            return 0
        return -((self._level - wanted) // self.refill_per_s)

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

    def _refill(self, now_us: int) -> None:
        if self._at_us is None or now_us < self._at_us:
            self._at_us = now_us  # first use, or a clock set back: no time has passed
            return
        # tokens x 10^6 per microsecond is tokens per second
        self._level = min(self._level + (now_us - self._at_us) * self.refill_per_s, self.capacity * TOKEN)
        self._at_us = now_us


@dataclass(frozen=True, slots=True)
class EndpointCosts:
    """Tokens a call costs, by method and path with `:order_id` in it; a batch costs it once per item."""

    default: int = 10
    by_endpoint: Mapping[tuple[str, str], int] = field(default_factory=lambda: dict(_DEFAULT_COSTS))

    def of(self, endpoint: tuple[str, str]) -> int:
        """Tokens of one call."""
        return self.by_endpoint.get(endpoint, self.default)


class Limiter:
    """The account's read and write buckets and what calls cost. Thread-safe.

    Starts with the smallest tier's numbers (Basic: 200 reads and 100 writes a second, one second of burst) until
    `learn` is given the account's own.
    """

    def __init__(self, costs: EndpointCosts | None = None) -> None:
        self._lock = threading.Lock()
        self.costs = costs or EndpointCosts()
        self.read = TokenBucket(200, 200)
        self.write = TokenBucket(100, 100)

    @property
    def reserve(self) -> int:
        """Write tokens that creates leave alone: a tenth of the bucket, and room for at least two cancels.

        Never so much that a create of its usual cost would not fit beside it.
        """
        wanted = max(self.write.capacity // 10, 2 * self.costs.of(CANCEL))
        return max(0, min(wanted, self.write.capacity - self.costs.of(CREATE)))

    @property
    def largest_batch(self) -> int:
        """Orders in one batched create that the write bucket can pay for at once (the exchange takes all or none)."""
        return max(1, (self.write.capacity - self.reserve) // max(1, self.costs.of(CREATE)))

    def take_create(self, now_us: int, orders: int = 1) -> int:
        """Tokens for `orders` creates: 0 when taken, else the microseconds to wait (nothing was taken)."""
        with self._lock:
            return self.write.take(orders * self.costs.of(CREATE), now_us, floor=self.reserve)

    def take_cancel(self, now_us: int) -> int:
        """Tokens for one cancel, the reserve included: 0 when taken, else the microseconds to wait."""
        with self._lock:
            return self.write.take(self.costs.of(CANCEL), now_us)

    def take_read(self, endpoint: tuple[str, str], now_us: int) -> int:
        """Tokens for one read: 0 when taken, else the microseconds to wait."""
        with self._lock:
            return self.read.take(self.costs.of(endpoint), now_us)

    def drain_write(self, now_us: int) -> None:
        """A write was answered 429."""
        with self._lock:
            self.write.drain(now_us)

    def drain_read(self, now_us: int) -> None:
        """A read was answered 429."""
        with self._lock:
            self.read.drain(now_us)

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
