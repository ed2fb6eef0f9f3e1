"""Breadth first through all that can happen: the shortest way to a duplicate, or the proof that there is none."""

from collections import Counter
from dataclasses import dataclass, field

from model_protocol import is_broken, reaches, start, steps
from model_world import State, World


@dataclass
class Found:
    """What a search came to."""

    states: int = 0
    trace: list[str] = field(default_factory=list)  # to the first state with two orders; empty: there is none
    met: Counter[str] = field(default_factory=Counter)


def search(world: World, *, most: int = 2_000_000) -> Found:
    """Every state that can be reached, until one of them has two orders of the one intent."""
    first = start()
    came: dict[State, tuple[State, str] | None] = {first: None}
    found = Found()
    frontier = [first]
    while frontier:
        following: list[State] = []
        for state in frontier:
            found.met[reaches(state)] += 1
            for label, after in steps(state, world):
                if after in came:
                    continue
                came[after] = (state, label)
                if is_broken(after):
                    found.states = len(came)
                    found.trace = _way(came, after)
                    return found
                following.append(after)
        assert len(came) < most, "the world is too large to be searched"
        frontier = following
    found.states = len(came)
    return found


def _way(came: dict[State, tuple[State, str] | None], end: State) -> list[str]:
    lines: list[str] = []
    state = end
    while (step := came[state]) is not None:
        before, label = step
        lines.append(f"tick {state.now}  {label:<55} ledger: {state.command.state}")
        state = before
    return lines[::-1]
