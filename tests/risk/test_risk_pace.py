"""Orders per second: never more than the limit in any one second, and no longer a wait than that needs."""

from hypothesis import given
from hypothesis import strategies as st

from oms.risk.pace import SECOND_US, Pace


@given(st.integers(1, 5), st.lists(st.integers(0, 700_000), max_size=60))
def test_no_second_has_more_orders_than_the_limit(per_s: int, gaps: list[int]) -> None:
    pace, now, sent = Pace(per_s), 0, list[int]()
    for gap in gaps:
        now += gap
        wait = pace.wait_us(now)
        if wait:
            assert pace.wait_us(now + wait - 1) > 0
            now += wait
        assert pace.wait_us(now) == 0
        pace.take(now)
        sent.append(now)
        assert pace.sent_last_second(now) == sum(now - SECOND_US < at <= now for at in sent) <= per_s


@given(st.integers(1, 5), st.lists(st.integers(-(10**9), 10**9), max_size=30))
def test_a_clock_set_back_waits_a_second_at_most(per_s: int, times: list[int]) -> None:
    pace = Pace(per_s)
    for now in times:
        wait = pace.wait_us(now)
        assert 0 <= wait <= SECOND_US
        if not wait:
            pace.take(now)


def test_a_pace_of_nothing_always_waits() -> None:
    assert Pace(0).wait_us(5) == SECOND_US
