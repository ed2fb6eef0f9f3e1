"""The limiter against an exact model of the exchange's buckets, in virtual time: never a 429, and close to the rate.

The model is the sandbox's bucket, which is written from the exchange's documents: full at first, refilled
continuously, a request that finds too few tokens is refused.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oms.risk.pace import Pace
from oms.sandbox.limits import Bucket, Budget
from oms.venue import limiter as names
from oms.venue.limiter import (
    AMEND,
    BALANCE,
    CANCEL,
    CANCEL_ALL,
    CANCEL_BATCH,
    CREATE,
    DECREASE,
    REFRESH_AFTER_429_US,
    REFRESH_US,
    EndpointCosts,
    Limiter,
)

SECOND = 1_000_000
TIERS = [(100, 100), (300, 600), (300, 900), (1000, 2000), (2000, 4000), (4000, 8000)]
LIST = ("GET", "/portfolio/orders")


@dataclass
class Exchange:
    """The account's buckets at the exchange, a limiter before them, and what became of the requests."""

    write: tuple[int, int] = (100, 100)
    now_us: int = 0
    refused: int = 0
    tokens: int = 0  # granted
    limiter: Limiter = field(default_factory=Limiter)

    def __post_init__(self) -> None:
        self.limiter.learn(write=self.write, read=self.write)
        self._write = Bucket(Budget(*self.write), 0)
        self._read = Bucket(Budget(*self.write), 0)
        self._balance = Bucket(Budget(1, 1), 0)

    def arrive(self, cost: int, bucket: str = "write") -> None:
        granted = getattr(self, f"_{bucket}").spend(cost, self.now_us)
        self.refused += not granted
        self.tokens += cost * granted


asks = st.lists(
    st.tuples(
        st.sampled_from(
            ["create", "batch", "cancel", "cancels", "all", "amend", "decrease", "read", "order", "balance"]
        ),
        st.one_of(st.just(0), st.integers(0, 50_000), st.integers(0, 3 * SECOND)),
        st.integers(1, 30),
    ),
    max_size=80,
)


def ask(exchange: Exchange, what: str, items: int) -> tuple[int, int, str]:
    """Ask the limiter for one request: (microseconds to wait, tokens it costs at the exchange, which bucket)."""
    limiter, now = exchange.limiter, exchange.now_us
    items = min(items, limiter.largest_batch)
    match what:
        case "create":
            return limiter.take_create(now), 10, "write"
        case "batch":
            return limiter.take_create(now, items), 10 * items, "write"
        case "cancel":
            return limiter.take_cancel(now), 2, "write"
        case "cancels":
            return limiter.take_write(CANCEL_BATCH, now, items), 2 * items, "write"
        case "all":
            return limiter.take_write(CANCEL_ALL, now), 2, "write"
        case "amend":
            return limiter.take_write(AMEND, now), 10, "write"
        case "decrease":
            return limiter.take_write(DECREASE, now), 10, "write"
        case "read":
            return limiter.take_read(LIST, now), 10, "read"
        case "order":
            return limiter.take_read(("GET", "/portfolio/orders/:order_id"), now), 2, "read"
        case _:
            return limiter.take_read(BALANCE, now), 1, "balance"


@given(st.sampled_from(TIERS), asks)
def test_no_request_meets_an_empty_bucket(tier: tuple[int, int], asked: list[tuple[str, int, int]]) -> None:
    exchange = Exchange(tier)
    for what, pause_us, items in asked:
        exchange.now_us += pause_us
        wait_us, cost, bucket = ask(exchange, what, items)
        if wait_us:
            exchange.now_us += wait_us
            wait_us, cost, bucket = ask(exchange, what, items)
        assert wait_us == 0
        exchange.arrive(cost, bucket)
    assert exchange.refused == 0


@pytest.mark.parametrize("tier", TIERS)
def test_at_full_speed_at_least_0_95_of_the_rate_is_used(tier: tuple[int, int]) -> None:
    exchange = Exchange(tier)
    seconds = 60_000 // tier[0]
    while exchange.now_us < seconds * SECOND:
        wait_us = exchange.limiter.take_create(exchange.now_us)
        if wait_us:
            exchange.now_us += wait_us
        else:
            exchange.arrive(10)
    allowed = tier[0] * seconds
    assert exchange.refused == 0
    assert 0.98 * allowed <= exchange.tokens <= allowed + tier[1]


@given(st.integers(1, 200))
def test_at_full_speed_cancels_get_through_at_once(every: int) -> None:
    exchange = Exchange((100, 100))
    waited = 0
    for step in range(600):
        exchange.now_us += 5_000
        if exchange.limiter.take_create(exchange.now_us) == 0:
            exchange.arrive(10)
        if step % max(every, 40) == 0:
            waited += exchange.limiter.take_cancel(exchange.now_us)
            exchange.arrive(2)
    assert waited == 0
    assert exchange.refused == 0


@given(
    st.sampled_from(TIERS),
    st.lists(st.tuples(st.integers(0, 2 * SECOND), st.integers(0, 3 * SECOND), st.integers(1, 5)), max_size=40),
)
def test_what_was_not_answered_may_arrive_all_at_once(tier: tuple[int, int], asked: list[tuple[int, int, int]]) -> None:
    """Requests under way for any time, in any order of arrival: with `until_answered` none meets an empty bucket."""
    exchange = Exchange(tier)
    under_way: list[tuple[int, int]] = []  # (arrives at, orders)

    def pass_time(until_us: int) -> None:
        for at_us, orders in sorted(each for each in under_way if each[0] <= until_us):
            exchange.now_us = at_us
            exchange.arrive(10 * orders)
            exchange.limiter.answered(CREATE, at_us, orders)
            under_way.remove((at_us, orders))
        exchange.now_us = max(exchange.now_us, until_us)

    for pause_us, transit_us, orders in asked:
        pass_time(exchange.now_us + pause_us)
        wanted = min(orders, exchange.limiter.largest_batch)
        if exchange.limiter.take_create(exchange.now_us, wanted, until_answered=True) == 0:
            under_way.append((exchange.now_us + transit_us, wanted))
    pass_time(exchange.now_us + 10 * SECOND)
    assert exchange.refused == 0
    assert not under_way


def test_a_stall_of_all_senders_would_overdraw_the_bucket_if_they_were_not_counted() -> None:
    refused = []
    for until_answered in (False, True):
        exchange = Exchange((100, 100))
        taken = 0
        for _ in range(16):  # claimed while the network stands still
            exchange.now_us += 200_000
            taken += exchange.limiter.take_create(exchange.now_us, until_answered=until_answered) == 0
        for _ in range(taken):
            exchange.arrive(10)
            if until_answered:
                exchange.limiter.answered(CREATE, exchange.now_us)
        while exchange.limiter.take_create(exchange.now_us) == 0:
            exchange.arrive(10)
        refused.append(exchange.refused)
    assert refused[0] > 0
    assert refused[1] == 0


@pytest.mark.parametrize("fast", [0.999, 1.001, 1.009])
def test_a_clock_that_runs_off_by_under_a_hundredth_overdraws_nothing(fast: float) -> None:
    exchange = Exchange((100, 100))
    ours_us = 0
    while exchange.now_us < 3600 * SECOND:
        wait_us = exchange.limiter.take_create(ours_us)
        if wait_us:
            ours_us += wait_us
            exchange.now_us = int(ours_us / fast)
        else:
            exchange.arrive(10)
    assert exchange.refused == 0
    assert exchange.tokens >= 0.95 * 100 * 3600


@given(st.lists(st.integers(0, SECOND), min_size=1, max_size=30), st.integers(0, 2 * SECOND))
@example([0] * 10 + [SECOND // 10] * 40, 0)  # at full speed for longer than is looked back
def test_a_new_process_knows_what_the_one_before_it_sent(gaps: list[int], pause_us: int) -> None:
    exchange = Exchange((100, 100))
    written = []
    for gap_us in gaps:
        exchange.now_us += gap_us
        if exchange.limiter.take_create(exchange.now_us) == 0:
            exchange.arrive(10)
            written.append((exchange.now_us, CREATE))
    exchange.now_us += pause_us
    exchange.limiter = Limiter()
    since_us = exchange.now_us - 3 * SECOND
    told = [(at_us, endpoint) for at_us, endpoint in written if at_us >= since_us]
    exchange.limiter.remember(told, since_us)
    exchange.limiter.remember(told, since_us)  # once is enough
    while exchange.limiter.take_create(exchange.now_us) == 0:
        exchange.arrive(10)
    exchange.limiter.remember([(exchange.now_us, CREATE)] * 9, since_us)
    # How much the run before had left for cancels is not known: one may have to wait for its own tokens to come in.
    wait_us = exchange.limiter.take_cancel(exchange.now_us)
    assert wait_us <= SECOND // 10
    if wait_us:
        exchange.now_us += wait_us
        assert exchange.limiter.take_cancel(exchange.now_us) == 0
    exchange.arrive(2)
    assert exchange.refused == 0


def test_the_balance_is_asked_about_once_a_second() -> None:
    limiter = Limiter()
    assert limiter.take_read(BALANCE, 0) == 0
    assert limiter.take_read(BALANCE, 0) == 1_250_000
    assert limiter.take_read(LIST, 0) == 0
    limiter.drain_read(1_250_000, BALANCE)
    assert limiter.take_read(BALANCE, 1_250_000) == 1_250_000
    assert limiter.read.available(1_250_000) == 200


def test_costs_of_every_write_are_the_exchanges_own() -> None:
    costs = EndpointCosts()
    tens = (CREATE, names.CREATE_BATCH, AMEND, DECREASE)
    assert [costs.of(each) for each in tens] == [10] * 4
    assert [costs.of(each) for each in (CANCEL, CANCEL_BATCH, CANCEL_ALL)] == [2] * 3
    dear = EndpointCosts(10, {names.CREATE_BATCH: 12})
    assert dear.of_create == 12


def test_an_amend_leaves_the_reserve_alone_and_a_cancel_may_take_it() -> None:
    limiter = Limiter()
    while limiter.take_create(0) == 0:
        pass
    assert limiter.take_write(AMEND, 0) > 0
    assert limiter.take_write(DECREASE, 0) > 0
    assert limiter.take_write(CANCEL_BATCH, 0, 3) == 0
    assert limiter.take_cancel(0) > 0  # what requests that overtake each other may cost stays


def test_the_traders_own_pace_is_kept_too() -> None:
    limiter = Limiter()
    limiter.learn(write=(1000, 2000))
    limiter.pace = Pace(3)
    assert [limiter.take_create(now) for now in (0, 100_000, 200_000)] == [0, 0, 0]
    assert limiter.take_create(300_000) == 700_000
    assert limiter.write.available(300_000) >= 1970
    assert limiter.take_cancel(300_000) == 0
    assert limiter.take_create(SECOND) == 0


def test_limits_are_asked_for_again_every_hour() -> None:
    limiter, asked = Limiter(), list[int]()
    for minute in range(181):
        limiter.on_due = lambda at=minute: asked.append(at)  # type: ignore[misc]
        limiter.take_read(LIST, minute * 60 * SECOND)
    assert asked == [60, 120, 180]
    limiter.take_cancel(0)  # a clock set back by hours
    limiter.on_due = lambda: asked.append(-1)
    limiter.take_cancel(REFRESH_US)
    assert asked[-1] == -1


def test_limits_are_asked_for_again_soon_after_a_429_and_not_at_each_of_them() -> None:
    limiter, asked = Limiter(), list[int]()
    now = 0
    for _ in range(200):
        limiter.on_due = lambda at=now: asked.append(at)  # type: ignore[misc]
        limiter.drain_write(now)
        limiter.take_cancel(now)
        now += SECOND // 2
    assert asked[0] == REFRESH_AFTER_429_US
    assert asked[1:] == [REFRESH_AFTER_429_US + 60 * SECOND]
