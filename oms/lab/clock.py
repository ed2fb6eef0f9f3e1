"""Virtual time: one true clock for everything, events in the order of their time, and a machine's own clocks on top.

Time passes only when somebody waits. Nothing here reads a real clock, so that a life of a minute costs milliseconds
and the same seed always sees the same instants.
"""

import heapq
from collections.abc import Callable

START_US = 1_790_000_000_000_000
_MICROS = 1_000_000


class Clock:
    """True time, by which the exchange lives, and what the machine's wall and monotonic clocks make of it."""

    def __init__(self, start_us: int = START_US) -> None:
        self.now_us = start_us  # true time
        self.wall_offset_us = 0  # the machine's wall clock minus true time
        self._began_us = start_us
        self._asleep_us = 0  # how long the machine was suspended: its monotonic clock stood still
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0

    def wall_us(self) -> int:
        """The machine's wall clock, microseconds of UTC."""
        return self.now_us + self.wall_offset_us

    def monotonic(self) -> float:
        """The machine's monotonic clock, seconds."""
        return (self.now_us - self._began_us - self._asleep_us) / _MICROS

    def at(self, due_us: int, action: Callable[[], None]) -> None:
        """Let something happen at a true time; what is due at once happens in the order of these calls."""
        self._number += 1
        heapq.heappush(self._events, (max(due_us, self.now_us), self._number, action))

    def step(self, until_us: int) -> bool:
        """Let the next event that is due by then happen; False, and it is `until_us`, when there is none."""
        if not self._events or self._events[0][0] > until_us:
            self.now_us = max(self.now_us, until_us)
            return False
        due_us, _, action = heapq.heappop(self._events)
        self.now_us = max(self.now_us, due_us)
        action()
        return True

    def advance(self, duration_us: int) -> None:
        """Let so much time pass, with everything that happens meanwhile."""
        until_us = self.now_us + duration_us
        while self.step(until_us):
            pass

    def sleep(self, seconds: float) -> None:
        """As `advance`, for code that sleeps in seconds."""
        self.advance(max(0, round(seconds * _MICROS)))

    def suspend(self, duration_us: int) -> None:
        """The machine sleeps: true time and its wall clock go on, its monotonic clock and its programs do not."""
        self._asleep_us += duration_us
        self.now_us += duration_us
