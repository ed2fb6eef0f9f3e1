"""Every step: end the machine at the n-th change or sync of a story, with n advancing until the story completes.

At each step all models of a loss are tried on what the disk holds at that moment, and the recovery from each is judged.
In pairs, the recovery is ended at each of its steps too, and what is then left is recovered and judged.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from tests.lab.power.disk import POWER, Disk, Loss, Memory, Off
from tests.lab.power.files import GONE

Fate = tuple[Loss, int]  # what survives, by which seed
KILL_AND_POWER: tuple[Fate, ...] = ((Loss.NOTHING, 0), *((loss, seed) for loss in POWER for seed in range(1)))
WORST: tuple[Fate, ...] = ((Loss.NOTHING, 0), (Loss.ALL, 0))


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
    names: list[str] = field(default_factory=list)  # where a life ended, in order

    def __str__(self) -> str:
        return f"{self.steps} steps, {self.ends} ends recovered and judged"


def ended_at(disk: Disk, nth: int, act: Callable[[], None]) -> tuple[str | None, bool]:
    """Run until the n-th step: the name of that step, None when it was never reached; and whether `act` returned."""
    numbers = count(1)
    reached: list[str] = []

    def before(deed: str, name: str) -> None:
        if next(numbers) == nth:
            reached.append(f"{deed} {name}")
            raise Off

    disk.before = before
    try:
        act()
    except BaseException:
        if disk.off is None:
            raise
        return reached[0], False
    finally:
        disk.before = lambda deed, name: None
    return (reached[0] if reached else None), True


def every_step(
    disk: Disk, story: Story, start: Memory, fates: Sequence[Fate] = KILL_AND_POWER, *, stride: int = 1
) -> Counted:
    """End the story at each step (or each `stride`-th), recover and judge under each fate."""
    counted = Counted()
    for name, died, has_returned in _deaths(disk, story, start, counted, stride):
        for loss, seed in fates:
            _survive(disk, died, loss, seed + counted.steps)
            with _told(name, loss):
                story.go_on()
                story.judge(has_returned=has_returned)
            counted.ends += 1
    return counted


def every_pair(disk: Disk, story: Story, start: Memory, fates: Sequence[Fate] = WORST, *, stride: int = 1) -> Counted:
    """End the story at each step and then its recovery at each of its steps; the same fate befalls both."""
    counted = Counted()
    for name, died, has_returned in _deaths(disk, story, start, counted, stride):
        for loss, seed in fates:
            for nth in count(1):
                _survive(disk, died, loss, seed + counted.steps)
                again, _ = ended_at(disk, nth, story.go_on)
                if again is None:
                    break
                disk.restart(loss, seed + nth, GONE)
                with _told(f"{name}, then {again}", loss):
                    story.go_on()
                    story.judge(has_returned=has_returned)
                counted.ends += 1
    return counted


def _deaths(
    disk: Disk, story: Story, start: Memory, counted: Counted, stride: int
) -> Iterator[tuple[str, Memory, bool]]:
    for nth in count(1, stride):
        disk.recall(start, GONE)
        name, has_returned = ended_at(disk, nth, story.act)
        if name is None:
            return
        counted.steps += 1
        counted.names.append(name)
        yield f"step {nth}: {name}", disk.remembered(), has_returned


def _survive(disk: Disk, died: Memory, loss: Loss, seed: int) -> None:
    disk.recall(died, GONE if loss is not Loss.NOTHING else ())
    disk.restart(loss, seed, GONE)


class _told:  # noqa: N801 - read as a word in a with statement
    """Name the step in whatever goes wrong inside."""

    def __init__(self, step: str, loss: Loss) -> None:
        self._note = f"ended at {step}; {loss.value}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        if exc is not None:
            exc.add_note(self._note)
