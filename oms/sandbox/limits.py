"""Token buckets: what a tier may spend on reads and writes, and what each operation costs.

Tokens come back continuously. A request that finds too few is refused and spends nothing; there is no penalty.
Numbers per second (June 2026): Basic 200/100, Advanced 300/300, Premier 1000/1000, Paragon 2000/2000,
Prime 4000/4000; the write bucket holds two seconds, Basic's one. Balance has a bucket of its own without a burst.
"""

from typing import Any, NamedTuple

from oms.sandbox.knobs import Tier


class Budget(NamedTuple):
    """Tokens per second, and how many a full bucket holds."""

    refill_rate: int
    bucket_capacity: int


class Limits(NamedTuple):
    """One tier's budgets; `is_enforced` is False for the sandbox's own tier without limits."""

    read: Budget
    write: Budget
    balance: Budget
    is_enforced: bool = True


LIMITS: dict[Tier, Limits] = {
    "basic": Limits(Budget(200, 200), Budget(100, 100), Budget(1, 1)),
    "advanced": Limits(Budget(300, 300), Budget(300, 600), Budget(1, 1)),
    "premier": Limits(Budget(1000, 1000), Budget(1000, 2000), Budget(5, 1)),
    "paragon": Limits(Budget(2000, 2000), Budget(2000, 4000), Budget(5, 1)),
    "prime": Limits(Budget(4000, 4000), Budget(4000, 8000), Budget(5, 1)),
    "unlimited": Limits(Budget(1_000_000, 10_000), Budget(1_000_000, 10_000), Budget(1000, 1000), False),
}

DEFAULT_COST = 10
SHARDS = range(3)
COSTS = {
    ("DELETE", "/portfolio/events/orders/:order_id"): 2,
    ("DELETE", "/portfolio/events/orders/batched"): 2,
    ("DELETE", "/portfolio/events/orders"): 2,
    ("GET", "/portfolio/orders/:order_id"): 2,
}

MICRO = 1_000_000


class Bucket:
    """One bucket, in millionths of a token, so that microseconds divide evenly."""

    def __init__(self, budget: Budget, now_us: int) -> None:
        self.budget = budget
        self.level = budget.bucket_capacity * MICRO
        self.at_us = now_us

    def spend(self, cost: int, now_us: int) -> bool:
        """Take `cost` tokens; False, and nothing taken, when there are too few."""
        back = max(0, now_us - self.at_us) * self.budget.refill_rate
        self.level = min(self.budget.bucket_capacity * MICRO, self.level + back)
        self.at_us = now_us
        if cost * MICRO > self.level:
            return False
        self.level -= cost * MICRO
        return True


class Meter:
    """The buckets of all accounts under one tier."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.limits = LIMITS[tier]
        self._buckets: dict[tuple[str, str], Bucket] = {}

    def spend(self, user_id: str, bucket: str, cost: int, now_us: int) -> bool:
        """Charge an account's `read`, `write` or `balance` bucket; False when the request must be refused."""
        if not self.limits.is_enforced:
            return True
        found = self._buckets.get((user_id, bucket))
        if found is None:
            found = self._buckets[user_id, bucket] = Bucket(getattr(self.limits, bucket), now_us)
        return found.spend(cost, now_us)

    @property
    def largest_batch(self) -> int:
        """Creates in one request: the write bucket over the cost of one."""
        return self.limits.write.bucket_capacity // DEFAULT_COST

    def document(self) -> dict[str, Any]:
        """The answer of `GET /account/limits`."""
        return {
            "usage_tier": self.tier,
            "read": self.limits.read._asdict(),
            "write": self.limits.write._asdict(),
            "grants": [{"exchange_instance": "event_contract", "level": self.tier, "source": "manual"}],
        }


def costs_document() -> dict[str, Any]:
    """The answer of `GET /account/endpoint_costs`: only what differs from the default."""
    return {
        "default_cost": DEFAULT_COST,
        "endpoint_costs": [
            {"method": method, "path": f"/trade-api/v2{path}", "cost": cost} for (method, path), cost in COSTS.items()
        ],
    }
