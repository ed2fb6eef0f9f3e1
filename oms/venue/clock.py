"""The exchange's clock, as far as its answers prove it, and the detection of a local clock that jumped.

A signature carries a timestamp that Kalshi holds against its own clock (seconds of tolerance), and the proof of
absence compares exchange times only (P2). Both local clocks are injected; nothing here sleeps.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["ExchangeClock", "system_now_us"]

# A Date header has whole seconds, and servers refresh the text about once a second: the true time lies within two.
DATE_WINDOW_US = 2_000_000
# Wall against monotonic: time servers slew by far less between two looks; a suspended laptop by far more.
JUMP_US = 2_000_000


def system_now_us() -> int:
    """Wall clock in microseconds of UTC."""
    return time.time_ns() // 1000


class ExchangeClock:
    """Local wall clock plus the smallest correction that the exchange's Date headers demand. Thread-safe.

    A local clock inside the window that the headers allow is left alone (offset 0): correcting it by a header of one
    second's resolution would make it worse.
    """

    def __init__(
        self,
        now_us: Callable[[], int] = system_now_us,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now_us = now_us
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._offset_us = 0
        self._drift_us = self._wall_minus_monotonic()
        self._date_header = ""
        self._date_us: int | None = None

    @property
    def offset_us(self) -> int:
        """Exchange time minus local wall time, microseconds."""
        return self._offset_us

    def now_us(self) -> int:
        """Local wall clock, microseconds, uncorrected."""
        return self._now_us()

    def now_ms(self) -> int:
        """Exchange time now, milliseconds: what is signed."""
        return (self._now_us() + self._offset_us) // 1000

    def monotonic(self) -> float:
        """Seconds that no one can set back: for deadlines."""
        return self._monotonic()

    def observe(self, date_header: str, elapsed_us: int) -> None:
        """Learn from the Date header of an answer that just arrived, `elapsed_us` after its request was begun.

        The exchange wrote it at some moment in between, so its clock is ahead of ours by something from
        `date - now` to `date + window - (now - elapsed)`. Only an offset outside that is corrected, to its nearer end.
        A header that cannot be read says nothing.
        """
        with self._lock:
            if date_header != self._date_header:  # it changes once a second, orders come faster
                self._date_header, self._date_us = date_header, _parse_date(date_header)
            date_us = self._date_us
            if date_us is None:
                return
            now_us = self._now_us()
            least = date_us - now_us
            most = date_us + DATE_WINDOW_US - (now_us - max(elapsed_us, 0))
            self._offset_us = min(max(self._offset_us, least), most)

    def jumped(self) -> bool:
        """Whether wall and monotonic time parted by over two seconds since the last look (suspend, a clock set).

        After a jump the learned offset is void: it is forgotten and learned again from the next answer.
        """
        with self._lock:
            drift_us = self._wall_minus_monotonic()
            moved = abs(drift_us - self._drift_us) > JUMP_US
            self._drift_us = drift_us
            if moved:
                self._offset_us = 0
            return moved

    def _wall_minus_monotonic(self) -> int:
        return self._now_us() - int(self._monotonic() * 1_000_000)


def _parse_date(text: str) -> int | None:
    """An HTTP date as microseconds of UTC; None where it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * 1_000_000
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
