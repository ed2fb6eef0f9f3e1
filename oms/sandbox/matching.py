"""Matching: what an incoming order would do to the book. It only plans; `desk` carries the plan out."""

from collections.abc import Callable
from typing import NamedTuple

from oms.sandbox.book import Half
from oms.sandbox.orders import Order


class Take(NamedTuple):
    """One trade to be: so many contracts of a resting order, at the resting order's price."""

    maker: Order
    count_e2: int


class Plan(NamedTuple):
    """The trades in their order, own resting orders to be canceled, and whether the order met itself."""

    takes: list[Take]
    self_canceled: list[Order]
    stopped: bool

    @property
    def count_e2(self) -> int:
        """Contracts that would trade."""
        return sum(take.count_e2 for take in self.takes)


def plan(
    facing: Half,
    price_e4: int,
    count_e2: int,
    user_id: str,
    self_trade_prevention_type: str,
    accept: Callable[[Order], bool] | None = None,
) -> Plan:
    """Match an order of `user_id` by price, then time, against the half that faces it.

    Meeting an own order, `taker_at_cross` ends the incoming one and `maker` cancels the resting one.
    `accept` narrows whom the order may trade with (None: everybody).
    """
    takes: list[Take] = []
    self_canceled: list[Order] = []
    left = count_e2
    for maker in facing.best_first():
        beyond = maker.now.price_e4 > price_e4 if facing.side == "ask" else maker.now.price_e4 < price_e4
        if left == 0 or beyond:
            break
        if accept is not None and not accept(maker):
            continue
        if maker.user_id == user_id:
            if self_trade_prevention_type == "taker_at_cross":
                return Plan(takes, self_canceled, True)
            self_canceled.append(maker)
            continue
        count = min(left, maker.now.remaining_e2)
        takes.append(Take(maker, count))
        left -= count
    return Plan(takes, self_canceled, False)
