"""Signed reads with a bounded number of repeats, and what a failed one means: nothing.

A read that did not succeed is no observation (ReadFailed); a refused key is CredentialsError. May be repeated because
it has no effect; the repeats stay inside one total deadline.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from oms.errors import CredentialsError, NotSent, OutcomeUnknown, ReadFailed
from oms.venue.limiter import Limiter
from oms.venue.transport import Answer, Request, Transport
from oms.venue.wire import Unreadable, clip, parse, parse_error

__all__ = ["Query", "Reader"]

Query = Mapping[str, str | int | None]

MAX_TRIES = 4
FIRST_PAUSE_S = 0.1  # doubled at each repeat
# After a 429 at least so long: the balance has a bucket of its own that fills once a second, and two runs in a row
# should not fail for it.
LIMITED_PAUSE_S = 0.4


class Reader:
    """GET with patience. Thread-safe: each thread reads over its own channel."""

    def __init__(self, transport: Transport, limiter: Limiter, sleep: Callable[[float], None] = time.sleep) -> None:
        self._transport = transport
        self._limiter = limiter
        self._sleep = sleep

    @property
    def has_key(self) -> bool:
        """Whether private reads can be made at all."""
        return self._transport.key is not None

    def get(self, path: str, query: Query | None = None, *, endpoint: str = "", also: tuple[int, ...] = ()) -> Any:
        """The parsed JSON of a 200; `endpoint` is the path with `:order_id` for what it costs.

        None when `also` names 404 and that is the answer; the parsed body for other statuses named there.
        Raises ReadFailed or CredentialsError.
        """
        answer = self._answer(Request("GET", path, _query(query)), ("GET", endpoint or path), also)
        if answer.status == 404:
            return None
        try:
            return parse(answer.body)
        except Unreadable as exc:
            raise ReadFailed(f"the answer to GET {path} is {exc}: {clip(answer.body, 200)}") from None

    def body(self, path: str, query: Query | None = None) -> bytes:
        """The bytes of a 200 of what belongs to the account, unread. Raises ReadFailed or CredentialsError."""
        self._check_key(path)
        return self._answer(Request("GET", path, _query(query)), ("GET", path), ()).body

    def private(self, path: str, query: Query | None = None, *, endpoint: str = "", also: tuple[int, ...] = ()) -> Any:
        """As `get`, for what belongs to the account: without a key it is CredentialsError, and nothing is asked."""
        self._check_key(path)
        return self.get(path, query, endpoint=endpoint, also=also)

    def _check_key(self, path: str) -> None:
        if not self.has_key:
            raise CredentialsError(
                f"GET {path} needs an API key", hint="set KALSHI_API_KEY_ID and KALSHI_PRIVATE_KEY_PATH"
            )

    def _answer(self, request: Request, endpoint: tuple[str, str], also: tuple[int, ...]) -> Answer:
        clock = self._transport.clock
        deadline = clock.monotonic() + self._transport.timeout_s
        pause_s = FIRST_PAUSE_S
        problem: Exception = ReadFailed(f"GET {request.path} was not tried")
        for tries_left in reversed(range(MAX_TRIES)):
            self._await_tokens(endpoint, deadline)
            left_s = deadline - clock.monotonic()
            if left_s <= 0:
                break
            offset_us = clock.offset_us
            try:
                answer = self._transport.channel().read(request, left_s)
            except (NotSent, OutcomeUnknown) as exc:
                problem = ReadFailed(f"GET {request.path} failed: {exc.message}", hint=exc.hint)
            else:
                if answer.status == 200 or answer.status in also:
                    return answer
                problem = _problem(request, answer)
                if answer.status == 429:
                    self._limiter.drain_read(clock.now_us(), endpoint)
                    pause_s = max(pause_s, LIMITED_PAUSE_S)
                elif answer.status == 401 and clock.offset_us != offset_us:
                    continue  # our clock was off, and its Date header has just corrected it
                elif answer.status < 500 and answer.status != 408:
                    raise problem
            if not tries_left or deadline - clock.monotonic() <= pause_s:
                break
            self._sleep(pause_s)
            pause_s *= 2
        raise problem

    def _await_tokens(self, endpoint: tuple[str, str], deadline: float) -> None:
        clock = self._transport.clock
        while wait_us := self._limiter.take_read(endpoint, clock.now_us()):
            left_s = deadline - clock.monotonic()
            if wait_us / 1e6 > left_s:
                raise ReadFailed(f"no read token for GET {endpoint[1]} within the time", hint="try again later")
            self._sleep(wait_us / 1e6)


def _query(query: Query | None) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in (query or {}).items() if value is not None and value != "")


def _problem(request: Request, answer: Answer) -> Exception:
    error = parse_error(answer.body)
    said = ": ".join(filter(None, (error.code, error.message))) or f"HTTP {answer.status}"
    if answer.status in (401, 403):
        return CredentialsError(
            f"Kalshi refused the API key at GET {request.path}: {said}",
            hint="check the key id, that the key belongs to this environment, and this machine's clock",
        )
    return ReadFailed(f"GET {request.path} was answered {answer.status}: {said}")
