"""Order groups: orders that are canceled together once too many of their contracts matched within 15 seconds."""

import msgspec

from oms.sandbox.amounts import MICROS

WINDOW_US = 15 * MICROS
MOST_GROUPS = 100_000


class Group(msgspec.Struct):
    """One group. It counts contracts in count_e2 over a rolling window; triggered, it takes no order until reset."""

    number: int
    group_id: str
    user_id: str
    subaccount: int
    exchange_index: int
    limit_e2: int
    is_triggered: bool = False
    is_deleted: bool = False
    matched: list[tuple[int, int]] = []  # when, and how many

    def match(self, count_e2: int, at_us: int) -> None:
        """Count contracts of the group that were filled."""
        self.matched = [(at, count) for at, count in self.matched if at > at_us - WINDOW_US] + [(at_us, count_e2)]

    def is_hit(self, at_us: int) -> bool:
        """Did as many contracts match within the window as the limit allows?"""
        return sum(count for at, count in self.matched if at > at_us - WINDOW_US) >= self.limit_e2

    def reset(self) -> None:
        """Count from zero and take orders again."""
        self.matched = []
        self.is_triggered = False
