"""Token buckets: integers, an injected clock, and a reserve for cancels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.venue.limiter import CANCEL, CREATE, EndpointCosts, Limiter, TokenBucket

SECOND = 1_000_000


def test_a_full_bucket_gives_its_capacity_and_then_names_the_wait() -> None:
    bucket = TokenBucket(100, 100)
    assert [bucket.take(10, 0) for _ in range(10)] == [0] * 10
    assert bucket.take(10, 0) == 101_011  # a hundredth slower than the exchange's
    assert bucket.take(10, 101_010) > 0
    assert bucket.take(10, 101_011) == 0


@given(
    st.integers(1, 4000),
    st.integers(1, 12_000),
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 300_000)), max_size=60),
)
def test_no_more_than_burst_and_refill_is_ever_given(refill: int, capacity: int, asks: list[tuple[int, int]]) -> None:
    bucket = TokenBucket(refill, capacity)
    now = given_out = 0
    for cost, wait in asks:
        now += wait
        needed = bucket.take(cost, now)
        if needed == 0:
            given_out += cost
        elif cost <= capacity:
            assert TokenBucket.take(bucket, cost, now + needed) == 0
            given_out += cost
            now += needed
        assert given_out * SECOND <= capacity * SECOND + now * refill + 50 * SECOND * (capacity < 50)


def test_a_cost_above_the_capacity_waits_for_a_full_bucket_and_is_owed() -> None:
    bucket = TokenBucket(10, 10, pace=100)
    assert bucket.take(1, 0) == 0
    assert bucket.take(30, 0) == 100_000
    assert bucket.take(30, 100_000) == 0
    assert bucket.available(100_000) == -20
    assert bucket.take(1, 100_000) == 2_100_000


def test_a_drained_bucket_starts_from_nothing() -> None:
    bucket = TokenBucket(100, 100)
    bucket.drain(0)
    assert bucket.take(10, 0) == 101_011


def test_a_clock_set_back_gives_no_tokens() -> None:
    bucket = TokenBucket(100, 100)
    bucket.take(100, 10 * SECOND)
    assert bucket.take(10, 0) > 0
    assert bucket.take(10, 50_000) > 0
    assert bucket.take(10, 101_011) == 0


@pytest.mark.fault(54)
def test_creates_leave_the_reserve_to_cancels() -> None:
    limiter = Limiter()
    creates = 0
    while limiter.take_create(0) == 0:
        creates += 1
    assert creates == 9
    assert limiter.take_cancel(0) == 0


def test_a_batch_pays_for_each_of_its_orders() -> None:
    limiter = Limiter()
    assert limiter.largest_batch == 9
    assert limiter.take_create(0, orders=9) == 0
    assert limiter.take_create(0) > 0
    assert limiter.take_create(0, orders=9) == 909_091


def test_the_accounts_own_limits_and_costs_are_taken_over() -> None:
    limiter = Limiter()
    limiter.learn(read=(300, 300), write=(300, 900), costs=EndpointCosts(10, {CANCEL: 1, CREATE: 20}))
    assert limiter.costs.of(("GET", "/whatever")) == 10
    assert limiter.largest_batch == 40
    assert (limiter.write.refill_per_s, limiter.write.capacity) == (300, 900)


def test_a_full_bucket_stays_full_and_a_drained_one_empty_when_its_size_is_learned() -> None:
    limiter = Limiter()
    limiter.learn(write=(4000, 8000))
    assert limiter.take_create(0) == 0
    limiter.drain_write(0)
    limiter.learn(write=(300, 600))
    assert limiter.take_create(0) > 0


def test_the_smallest_bucket_still_lets_a_create_through() -> None:
    limiter = Limiter()
    limiter.learn(write=(1, 10))
    assert limiter.largest_batch == 1
    assert limiter.take_create(0) == 0
    assert limiter.take_create(0) == 10_101_011
    assert limiter.take_create(10_101_011) == 0


def test_what_is_not_in_the_list_costs_the_default() -> None:
    costs = EndpointCosts()
    assert costs.of(CREATE) == 10
    assert costs.of(CANCEL) == 2
    assert costs.of(("GET", "/portfolio/orders/:order_id")) == 2
    assert costs.of(("GET", "/portfolio/orders")) == 10


@pytest.mark.fault(54)
def test_a_429_on_reads_does_not_touch_writes() -> None:
    limiter = Limiter()
    limiter.drain_read(0)
    assert limiter.take_read(("GET", "/portfolio/orders"), 0) == 90_910
    assert limiter.take_create(0) == 0
    limiter.drain_write(0)
    assert limiter.take_cancel(0) == 60_607
