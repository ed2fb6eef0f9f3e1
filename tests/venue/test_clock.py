"""The exchange's clock out of Date headers, and jumps of our own."""

from email.utils import formatdate

from oms.venue.clock import ExchangeClock


class Clocks:
    """A wall and a monotonic clock that the test moves."""

    def __init__(self, wall_s: float = 1_800_000_000.5) -> None:
        self.wall_us = int(wall_s * 1_000_000)
        self.monotonic_s = 1000.0

    def tick(self, seconds: float) -> None:
        self.wall_us += int(seconds * 1_000_000)
        self.monotonic_s += seconds

    def clock(self) -> ExchangeClock:
        return ExchangeClock(lambda: self.wall_us, lambda: self.monotonic_s)


def date(at_us: float) -> str:
    return formatdate(at_us // 1_000_000, usegmt=True)


def test_a_clock_that_is_right_is_left_alone() -> None:
    clocks = Clocks()
    clock = clocks.clock()
    for step in range(50):
        clock.observe(date(clocks.wall_us - 30_000), 60_000)
        assert clock.offset_us == 0, step
        clocks.tick(0.37)
    assert clock.now_ms() == clocks.wall_us // 1000


def test_a_slow_or_fast_clock_is_brought_within_the_window() -> None:
    for off_s in (-3600, -30, -4, 4, 30, 3600, 86_400 * 365):
        clocks = Clocks()
        clock = clocks.clock()
        true_us = clocks.wall_us + off_s * 1_000_000
        clock.observe(date(true_us - 20_000), 40_000)
        assert abs(clock.now_ms() * 1000 - true_us) <= 2_100_000, off_s
        assert clock.now_us() == clocks.wall_us


def test_more_answers_only_narrow_the_error() -> None:
    clocks = Clocks()
    clock = clocks.clock()
    for _ in range(100):
        clock.observe(date(clocks.wall_us + 30_000_000), 10_000)
        clocks.tick(0.173)
    assert abs(clock.offset_us - 30_000_000) <= 1_000_000


def test_headers_that_are_no_dates_say_nothing() -> None:
    clock = Clocks().clock()
    for text in (
        "",
        "yesterday",
        "Mon, 99 Foo 2026 25:61:61 GMT",
        "\x00",
        "Fri, 31 Dec 99999999 00:00:00 GMT",
        "1" * 999,
    ):
        clock.observe(text, 1000)
    assert clock.offset_us == 0


def test_a_slow_answer_proves_less() -> None:
    clocks = Clocks()
    clock = clocks.clock()
    clock.observe(date(clocks.wall_us - 8_000_000), 9_000_000)  # written eight seconds before it arrived
    assert clock.offset_us == 0


def test_a_jump_of_the_wall_clock_is_seen_once_and_voids_what_was_learned() -> None:
    clocks = Clocks()
    clock = clocks.clock()
    clock.observe(date(clocks.wall_us + 60_000_000), 0)
    assert clock.offset_us > 50_000_000
    clocks.tick(500)
    assert not clock.jumped()
    clocks.wall_us += 60_000_000  # someone set the clock
    assert clock.jumped()
    assert clock.offset_us == 0
    assert not clock.jumped()
    clocks.wall_us -= 5_000_000
    assert clock.jumped()


def test_slewing_by_a_time_server_is_no_jump() -> None:
    clocks = Clocks()
    clock = clocks.clock()
    for _ in range(1000):
        clocks.tick(10)
        clocks.wall_us += 5000  # 500 ppm
        assert not clock.jumped()
