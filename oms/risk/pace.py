"""Never more than so many orders in any one second. PURE: the time is an argument."""

from collections import deque

__all__ = ["Pace"]

SECOND_US = 1_000_000


class Pace:
    """The times of the latest orders."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._sent: deque[int] = deque(maxlen=per_s)

    def wait_us(self, now_us: int) -> int:
        """0 where one more order may go now, else the microseconds until it may; a pace of 0 always waits."""
        if self._per_s == 0:
            return SECOND_US
        if len(self._sent) < self._per_s:
            return 0
        # By a clock that has been set back since, it was sent now.
        return max(0, min(self._sent[0], now_us) + SECOND_US - now_us)

    def take(self, now_us: int) -> None:
        """An order goes now."""
        if self._sent and self._sent[-1] > now_us:
            self._sent = deque((min(at_us, now_us) for at_us in self._sent), maxlen=self._per_s)
        self._sent.append(now_us)

    def sent_last_second(self, now_us: int) -> int:
        """How many orders went in the second that ends now."""
        return sum(now_us - SECOND_US < at_us <= now_us for at_us in self._sent)
