"""Threads that carry claimed commands to the exchange: one request at a time each, once, as claimed.

A sender decides nothing: it sends what was committed, turns whatever happens into an event, and hands it back. A bug
in here becomes an unknown outcome, never a lost answer (P4).
"""

import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandKind
from oms.submitter.turn import Answer
from oms.venue.door import Venue
from oms.venue.orders import CancelRequest, OrderRequest
from oms.venue.transport import Channel

Job = tuple[Entry, ...]  # one request: one command, or several creates, or several cancels


class Senders:
    """N sender threads over one venue."""

    def __init__(self, venue: Venue, count: int) -> None:
        self.count = count
        self.answers: SimpleQueue[list[Answer]] = SimpleQueue()
        self._venue = venue
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._carry, name=f"oms-sender-{n}", daemon=True) for n in range(count)
        ]
        self._is_started = False

    def hand(self, jobs: Sequence[Job]) -> None:
        """Give claimed commands to the senders; they are sent in this order as senders become free."""
        for job in jobs:
            self._jobs.put(job)
        if not self._is_started:  # after the jobs: the first thread sends while the others start
            self._is_started = True
            for thread in self._threads:
                thread.start()

    @property
    def waiting(self) -> int:
        """Requests that no sender has begun."""
        return self._jobs.qsize()

    def take_back(self) -> list[Answer]:
        """What no sender has begun: this process knows that no byte of it left."""
        answers: list[Answer] = []
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return answers
            if job is not None:
                answers += [
                    (entry, e.NotProcessed(attempt=entry.command.attempts, why="stopped", detail="not handed over"))
                    for entry in job
                ]

    def wake(self) -> None:
        """Make a waiting reader of `answers` look up; safe in a signal handler."""
        self.answers.put([])

    def stop(self, wait_s: float) -> None:
        """End the threads as they become free, waiting at most so long for all of them."""
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + wait_s
        if self._is_started:
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _carry(self) -> None:
        channel: Channel | None = None
        while True:
            job = self._jobs.get()
            if job is None:
                if channel is not None:
                    channel.close()
                return
            try:
                channel = channel or self._venue.channel()
                answers = send(self._venue, channel, job)
            except BaseException as exc:  # a bug of ours: the request may have left
                detail = f"internal error: {type(exc).__name__}"
                answers = [
                    (entry, e.AttemptUnknown(attempt=entry.command.attempts, why="internal", detail=detail))
                    for entry in job
                ]
            self.answers.put(answers)


def send(venue: Venue, channel: Channel, job: Job) -> list[Answer]:
    """Send one job over a channel, once, as claimed; what became of each of its commands."""
    first = job[0]
    signed_ms = first.command.last_signed_ms
    assert signed_ms is not None
    match first.command.kind:
        case CommandKind.CREATE:
            return _create(venue, channel, job, signed_ms)
        case CommandKind.CANCEL:
            return _cancel(venue, channel, job, signed_ms)
        case CommandKind.AMEND | CommandKind.DECREASE as kind:
            change = venue.orders.amend if kind is CommandKind.AMEND else venue.orders.decrease
            assert first.order.order_id is not None
            attempt = first.command.attempts
            return [(first, change(channel, first.order.order_id, first.body, first.subaccount, attempt, signed_ms))]


def _cancel(venue: Venue, channel: Channel, job: Job, signed_ms: int) -> list[Answer]:
    requests = []
    for entry in job:
        assert entry.order.order_id is not None
        requests.append(CancelRequest(entry.order.order_id, entry.ticker, entry.subaccount, entry.command.attempts))
    if len(requests) > 1:
        return list(zip(job, venue.orders.cancel_batch(channel, requests, signed_ms), strict=True))
    (one,) = requests
    event = venue.orders.cancel(channel, one.order_id, one.ticker, one.subaccount, one.attempt, signed_ms)
    return [(job[0], event)]


def _create(venue: Venue, channel: Channel, job: Job, signed_ms: int) -> list[Answer]:
    requests = [OrderRequest(entry.body, entry.client_order_id, entry.command.attempts) for entry in job]
    if len(requests) == 1:
        return [(job[0], venue.orders.create(channel, requests[0], signed_ms))]
    return list(zip(job, venue.orders.create_batch(channel, requests, signed_ms), strict=True))
