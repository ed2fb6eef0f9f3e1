"""What a run needs of the world around it, as arguments: time, waiting, and who carries its requests.

The defaults are the real ones. A simulation puts its own in their place and drives the same code in virtual time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from oms.ledger.lock import Lock
from oms.submitter.senders import Job, Senders
from oms.submitter.turn import Answer
from oms.venue.clock import system_now_us
from oms.venue.door import Venue


class Answers(Protocol):
    """Where senders put what came back, one list for each request; raises queue.Empty as a queue does."""

    def get(self, *, timeout: float) -> list[Answer]: ...

    def get_nowait(self) -> list[Answer]: ...


class Carriers(Protocol):
    """What a run asks of its senders; `oms.submitter.senders.Senders` says what each means."""

    count: int

    @property
    def answers(self) -> Answers: ...

    @property
    def waiting(self) -> int: ...

    def hand(self, jobs: Sequence[Job]) -> None: ...

    def take_back(self) -> list[Answer]: ...

    def wake(self) -> None: ...

    def stop(self, wait_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The surroundings of a run. Times in seconds but for `now_us`, the wall clock in microseconds of UTC."""

    now_us: Callable[[], int] = system_now_us
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    acquire: Callable[[Lock, float], bool] = Lock.acquire  # wait at most so long for a lock of another process
    senders: Callable[[Venue, int], Carriers] = Senders


SYSTEM = Ports()
