"""Stands in for `oms.submitter.senders.Senders` without threads: N requests at a time, each when its time has come.

What a request says and how its answer is read is the product's own `send`: it is called once to let the request
leave, and once more when the ending is there.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial
from queue import Empty

from oms.lab.network import SimulatedChannel, SimulatedTransport, UnderWay
from oms.lifecycle import events as e
from oms.submitter.senders import Job, send
from oms.submitter.turn import Answer
from oms.venue.door import Venue

_MICROS = 1_000_000


class SimulatedSenders:
    """N senders over one venue, driven by whoever waits for their answers."""

    def __init__(self, venue: Venue, count: int) -> None:
        assert isinstance(venue.transport, SimulatedTransport)
        self.count = count
        self._venue = venue
        self._transport = venue.transport
        self._network = venue.transport.network
        self._steps = venue.transport.steps
        self._jobs: deque[Job] = deque()
        self._answers: deque[list[Answer]] = deque()
        self._idle = count

    @property
    def answers(self) -> "SimulatedSenders":
        return self

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    def hand(self, jobs: Sequence[Job]) -> None:
        if jobs:
            self._steps.reach(f"hand over {len(jobs)}")
        self._jobs.extend(jobs)
        while self._idle and self._jobs:
            self._idle -= 1
            self._take_up()

    def take_back(self) -> list[Answer]:
        jobs, self._jobs = self._jobs, deque()
        return [
            (entry, e.NotProcessed(attempt=entry.command.attempts, why="stopped", detail="not handed over"))
            for job in jobs
            for entry in job
        ]

    def wake(self) -> None:
        self._answers.append([])

    def stop(self, wait_s: float) -> None:
        """Let those under way end, as the product's threads are waited for: a process does not outlive its requests."""
        until_us = self._network.clock.now_us + round(wait_s * _MICROS)
        while self._idle < self.count and not self._steps.is_dead:
            if not self._network.clock.step(until_us):
                return

    def get(self, *, timeout: float) -> list[Answer]:
        """The next answers, letting virtual time pass until they are there or `timeout` seconds have passed."""
        until_us = self._network.clock.now_us + round(timeout * _MICROS)
        while not self._answers:
            if not self._network.clock.step(until_us):
                break
        return self.get_nowait()

    def get_nowait(self) -> list[Answer]:
        if not self._answers:
            raise Empty
        return self._answers.popleft()

    def _take_up(self) -> None:
        clock = self._network.clock
        clock.at(clock.now_us + self._network.naps(), partial(self._leave, self._jobs.popleft()))

    def _leave(self, job: Job) -> None:
        if self._steps.is_dead:
            return
        channel = SimulatedChannel(self._transport)
        channel.done = partial(self._end, channel, job)
        try:
            answers = send(self._venue, channel, job)
        except UnderWay:
            return
        self._free(answers)  # it never left

    def _end(self, channel: SimulatedChannel, job: Job) -> None:
        self._free(send(self._venue, channel, job))

    def _free(self, answers: list[Answer]) -> None:
        self._answers.append(answers)
        if self._jobs:
            self._take_up()
        else:
            self._idle += 1
