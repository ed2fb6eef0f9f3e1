"""Every step: end the machine at the n-th change or sync of a story, with n advancing until the story completes.

What the disk holds at that moment is recovered and judged after a kill and after power cuts by several models.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.lab.power.disk import Disk, Loss, Off
from tests.lab.power.files import GONE

_MIXED = (Loss.PREFIX, Loss.SUBSET, Loss.TORN)


def fates_at(names: Sequence[str], nth: int) -> Iterator[Loss]:
    """What may follow an end at that step and differs from what followed an end one step earlier.

    Between two syncs a power cut that takes all leaves the same, and any that mixes may leave the same; so within a row
    of writes to one file only the last one is followed by power cuts.
    """
    yield Loss.NOTHING
    if nth == len(names) or names[nth - 1] != names[nth] or not names[nth].removeprefix("disk ").startswith("write "):
        yield Loss.ALL
        yield _MIXED[nth % len(_MIXED)]


class Story(Protocol):
    """Something that can be ended anywhere, and how to go on afterwards."""

    def act(self) -> None:
        """What is ended at a step. It closes whatever it opened, however it ends."""

    def go_on(self) -> None:
        """The recovery, to its end; it may be ended at a step too. It closes whatever it opened."""

    def judge(self, *, has_returned: bool) -> None:
        """Assert that all is well after a recovery; whether `act` had returned before the end."""


@dataclass(slots=True)
class Counted:
    """What a loop has done."""

    steps: int = 0
    ends: int = 0

    def __str__(self) -> str:
        return f"{self.steps} steps, {self.ends} ends recovered and judged"


def ended_at(disk: Disk, nth: int | None, act: Callable[[], None]) -> tuple[list[str], bool]:
    """Run until the n-th step (None: to the end): the steps that were reached, and whether `act` returned."""
    reached: list[str] = []

    def before(deed: str, name: str) -> None:
        reached.append(f"{deed} {name}")
        if len(reached) == nth:
            raise Off

    disk.before = before
    try:
        act()
    except BaseException:
        if disk.off is None:
            raise
        return reached, False
    finally:
        disk.before = lambda deed, name: None
    return reached, True


def every_step(disk: Disk, story: Story, *, stride: int = 1) -> Counted:
    """End the story at each step (or each `stride`-th) beginning where the disk is now; recover, judge."""
    counted, start = Counted(), disk.remembered()
    names, _ = ended_at(disk, None, story.act)
    for nth in range(1, len(names) + 1, stride):
        disk.recall(start, GONE)
        _, has_returned = ended_at(disk, nth, story.act)
        died = disk.remembered()
        counted.steps += 1
        for loss in fates_at(names, nth):
            disk.recall(died, () if loss is Loss.NOTHING else GONE)
            disk.restart(loss, nth, GONE)
            with _told(f"step {nth}: {names[nth - 1]}", loss):
                story.go_on()
                story.judge(has_returned=has_returned)
            counted.ends += 1
    return counted


class _told:  # noqa: N801 - read as a word in a with statement
    """Name the step in whatever goes wrong inside."""

    def __init__(self, step: str, loss: Loss) -> None:
        self._note = f"ended at {step}; {loss.value}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        if exc is not None:
            exc.add_note(self._note)
