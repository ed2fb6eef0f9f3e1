"""A disk that fails: EIO, ENOSPC, or a lock that is not free, once or from then on, at every position of a life.

After an error nothing more may be claimed and sent in that life: a commit that raised may be durable or not. Once the
disk is well again, the same command goes on from whatever is there.
"""

import errno
from dataclasses import dataclass, field
from itertools import count

from tests.lab.power.bench import Bench, Counted
from tests.lab.power.worlds import PowerWorld

DEEDS = {
    errno.EIO: ("disk write", "disk sync", "disk truncate", "disk create", "disk delete", "disk read", "disk map"),
    errno.ENOSPC: ("disk write", "disk create", "disk map"),
    errno.EBUSY: ("disk lock",),
}
# SQLite tells nobody when it could not delete a WAL whose content is in the database already.
HARMLESS = ("disk delete -wal",)


@dataclass(slots=True)
class Fault:
    """The n-th of the deeds that can fail so does, and all after it when it is sticky."""

    world: PowerWorld
    number: int
    nth: int
    is_sticky: bool
    deeds: tuple[str, ...] = ()  # instead of all that can
    seen: int = 0
    met: str = ""  # the first deed that failed
    met_ms: int = field(default=0)  # when it failed

    def __call__(self, name: str) -> None:
        if not name.startswith(self.deeds or DEEDS[self.number]):
            return
        self.seen += 1
        if self.seen == self.nth or (self.is_sticky and self.met):
            if not self.met:
                self.met, self.met_ms = name, self.world.clock.now_us // 1000
            raise OSError(self.number, "planted")

    @property
    def has_sent_after(self) -> bool:
        """Whether anything claimed since was sent; what a sender had taken up by then was durable before."""
        return any(claimed_ms >= self.met_ms for claimed_ms in self.world.writes)

    @property
    def is_noticed(self) -> bool:
        """Whether anybody is told: SQLite waits and tries again where a lock is not free, and says nothing of some."""
        return self.met not in HARMLESS and (self.is_sticky or self.number != errno.EBUSY)


def every_fault(bench: Bench, number: int, *, is_sticky: bool, stride: int = 1) -> Counted:
    """Plant the fault at each (or each `stride`-th) position of the command; go on with a disk that is well; judge."""
    bench.power.watches_all = True
    for nth in count(1, stride):
        with bench.begun() as world:
            fault = Fault(world, number, nth, is_sticky)
            world.fault = fault
            code = _ended(bench, world)
            world.fault = lambda name: None
            if not fault.met:
                return bench.counted
            told = f"{errno.errorcode[number]} at position {nth}, {fault.met}: {code}"
            assert not (fault.is_noticed and fault.has_sent_after), f"{bench.name}: sent after {told}"
            bench.conclude(world, told)
            bench.counted.steps += 1
            bench.counted.after[code] += 1
    raise AssertionError("it never ends")


def _ended(bench: Bench, world: PowerWorld) -> str:
    """How the life ended; a function of its own, so that nothing of the error keeps a file open."""
    life = bench.live(world)
    return life.error.code if life.error is not None else f"exit {life.exit_code}"
