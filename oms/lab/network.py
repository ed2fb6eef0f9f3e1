"""The simulated way to the exchange: what each request and its answer suffer, in virtual time.

A `Fate` says it for one request; it is drawn from a seed or handed over by a test. Requests are signed and checked for
real. A request that has left arrives whatever becomes of the life that sent it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from oms.errors import NotSent, OutcomeUnknown
from oms.lab.clock import Clock
from oms.lab.crash import Steps
from oms.sandbox import wire
from oms.sandbox.exchange import Exchange
from oms.sandbox.faults import Fault, Faults, Subject
from oms.venue.clock import ExchangeClock
from oms.venue.hosts import parse_base_url
from oms.venue.keys import Key
from oms.venue.signing import signed_headers
from oms.venue.transport import MAX_CLAIM_AGE_MS, Answer, Channel, ClaimTooOld, Objected, Request, Transport

BASE_URL = "http://127.0.0.1:9/trade-api/v2"

Ending = Answer | NotSent | OutcomeUnknown


@dataclass(frozen=True, slots=True)
class Fate:
    """What one request suffers. Times in microseconds; `fault` is one of the sandbox's own, done at the exchange."""

    name: str = "well"
    leaves: bool = True  # False: no byte leaves, and the sender knows it
    out_us: int = 5_000  # until it reaches the exchange
    arrives: bool = True
    fault: Fault | None = None
    back_us: int = 5_000  # until its answer reaches the sender
    returns: bool = True  # False: the answer is lost, and the connection with it
    is_swapped: bool = False  # what comes back is the answer to another write, or nothing where there was none


WELL = Fate()


class Drawn(Faults):
    """The faults of an exchange whose every request brings its own along."""

    def __init__(self) -> None:
        super().__init__([])
        self.next: Fault | None = None

    @property
    def is_idle(self) -> bool:
        return self.next is None

    def draw(self, subject: Subject) -> Fault | None:
        return self.next


class Network:
    """Everything between the machine and the exchange. Shared by all lives of a world."""

    def __init__(self, clock: Clock, exchange: Exchange, fates: Callable[[Request], Fate]) -> None:
        """`fates` is asked once for each request that is handed over, `naps` once for each that a sender takes up."""
        self.clock = clock
        self.exchange = exchange
        self.fates = fates
        self.naps: Callable[[], int] = lambda: 0  # microseconds until the sender's thread gets its turn
        self.on_departure: Callable[[Request, int], None] = lambda request, signed_ms: None
        self.on_arrival: Callable[[wire.Request, wire.Response], None] = lambda request, response: None
        self.met: dict[str, int] = {}  # how many requests met each fate
        self.requests = 0
        self._successes: dict[str, tuple[str, wire.Response]] = {}  # the last one of each kind of write, and its path

    def meet(self, request: Request) -> Fate:
        """The fate of a request that is about to leave."""
        fate = self.fates(request)
        self.requests += 1
        self.met[fate.name] = self.met.get(fate.name, 0) + 1
        return fate

    def carry(self, request: wire.Request, fate: Fate, timeout_us: int, done: Callable[[Ending, str], None]) -> None:
        """Let a request leave now; `done(ending, date)` is told once, at the latest when its time is over."""
        once = _Once(done)
        clock = self.clock
        lost = OutcomeUnknown("no answer from the simulated exchange", hint="run `oms reconcile`")
        if fate.arrives:
            clock.at(clock.now_us + fate.out_us, partial(self._arrive, request, fate, once))
        else:
            clock.at(clock.now_us + fate.out_us, lambda: once(lost))
        clock.at(clock.now_us + timeout_us, lambda: once(lost))

    def _arrive(self, request: wire.Request, fate: Fate, once: "_Once") -> None:
        faults, clock = self.exchange.faults, self.clock
        assert isinstance(faults, Drawn)
        faults.next = fate.fault
        try:
            response = self.exchange.handle(request, clock.now_us)
        finally:
            faults.next = None
        self.on_arrival(request, response)
        due_us = self.exchange.next_due_us()
        if due_us is not None and fate.fault is not None:  # late and duplicate requests arrive by themselves
            clock.at(due_us, lambda: self.exchange.advance(clock.now_us))
        returned = self._other(request) if fate.is_swapped else response if fate.returns else None
        if _is_success(request, response):
            self._successes[_kind(request)] = request.path, response
        ending = _ending(returned) if returned else OutcomeUnknown("the connection ended without an answer")
        date = next((value for name, value in response.headers if name == "date"), "")
        back_us = fate.back_us + response.delivery.wait_ms * 1000
        clock.at(clock.now_us + back_us, lambda: once(ending, date if isinstance(ending, Answer) else ""))

    def _other(self, request: wire.Request) -> wire.Response | None:
        """The answer to a write of that kind about another order, if there was one."""
        path, response = self._successes.get(_kind(request), ("", None))
        return None if path == request.path and not path.endswith(_TOGETHER) else response


class _Once:
    """Tells the first ending and no other."""

    def __init__(self, done: Callable[[Ending, str], None]) -> None:
        self._done: Callable[[Ending, str], None] | None = done

    def __call__(self, ending: Ending, date: str = "") -> None:
        done, self._done = self._done, None
        if done is not None:
            done(ending, date)


_TOGETHER = ("/orders", "/batched")


def _kind(request: wire.Request) -> str:
    """Of two writes of one kind an answer to the one looks like an answer to the other."""
    last = request.path.rpartition("/")[2]
    return request.method if request.method == "DELETE" and last != "batched" else f"{request.method} {last}"


def _is_success(request: wire.Request, response: wire.Response) -> bool:
    """Whether all of an answer names what it is about. No client can tell that a refusal is somebody else's."""
    is_whole = response.delivery.form is wire.Form.WHOLE and 200 <= response.status < 300
    return request.method != "GET" and is_whole and b'"error":{' not in response.body.replace(b" ", b"")


def _ending(response: wire.Response) -> Ending:
    """What a client reads of a response on its way (`oms.sandbox.delivery` acts the same out on a socket)."""
    match response.delivery.form:
        case wire.Form.WHOLE | wire.Form.TRICKLED:
            return Answer(response.status, response.body)
        case wire.Form.CUT_HEADERS:
            return Answer(response.status, b"")  # to an HTTP client it looks whole and empty
        case _:
            return OutcomeUnknown("the connection was cut", hint="run `oms reconcile`")


class UnderWay(BaseException):
    """A write has left; its sender is told the ending later, by calling the venue again."""


class SimulatedTransport(Transport):
    """The transport of one life: one machine, one key, one clock."""

    def __init__(self, key_id: str, key: Key, timeout_s: float, clock: ExchangeClock, network: Network, steps: Steps):
        self.host = parse_base_url(BASE_URL)
        self.key_id = key_id
        self.key = key
        self.timeout_s = timeout_s
        self.clock = clock
        self.objection = lambda request: ""
        self.network = network
        self.steps = steps

    def channel(self) -> "WaitingChannel":
        return WaitingChannel(self)

    def tls_context(self) -> None:
        return None


class SimulatedChannel(Channel):
    """One sender's way out; the contract of `oms.venue.transport.Channel`, without a socket.

    A read waits for its answer. A write raises UnderWay once it has left; when its ending is there, `ending` is set and
    the same call answers it.
    """

    def __init__(self, transport: SimulatedTransport) -> None:
        self._transport: SimulatedTransport = transport
        self.ending: Ending | None = None
        self.done: Callable[[], None] = lambda: None

    def write(self, request: Request, signed_ms: int) -> Answer:
        """Send a write, or answer with the ending of the one that was sent.

        Raises UnderWay when it has left, else as the real one does.
        """
        if self.ending is not None:
            return _answered(self.ending)
        there = self._transport
        age_ms = there.clock.now_ms() - signed_ms
        if abs(age_ms) > MAX_CLAIM_AGE_MS:
            raise ClaimTooOld(f"not sent: its claim is {age_ms} ms old")
        if objection := there.objection(request):
            raise Objected(f"not sent: {objection}")
        self._leave(request, signed_ms, there.timeout_s)
        raise UnderWay

    def read(self, request: Request, timeout_s: float) -> Answer:
        """Send a read and let virtual time pass until its ending is there; raises as `write` does."""
        self.ending = None
        self._leave(request, self._transport.clock.now_ms(), timeout_s)
        return self._awaited(timeout_s)

    def _awaited(self, timeout_s: float) -> Answer:
        """Let virtual time pass until the ending of what has left is there."""
        clock = self._transport.network.clock
        longest_us = clock.now_us + round(timeout_s * 1_000_000) + 1
        while self.ending is None:
            clock.step(longest_us)
        ending, self.ending = self.ending, None
        return _answered(ending)

    def close(self) -> None:
        """There is no connection."""

    def _leave(self, request: Request, signed_ms: int, timeout_s: float) -> None:
        there = self._transport
        network, steps = there.network, there.steps
        steps.reach(f"send {request.method} {request.path}")
        network.on_departure(request, signed_ms)
        fate = network.meet(request)
        if not fate.leaves:
            raise NotSent("not sent: the simulated network is down", hint="check the network connection")
        began_us = network.clock.now_us

        def done(ending: Ending, date: str) -> None:
            if steps.is_dead:
                return
            steps.reach(f"answer {request.method} {request.path}")
            if date:
                there.clock.observe(date, network.clock.now_us - began_us)
            self.ending = ending
            self.done()

        assert there.key is not None
        path = there.host.prefix + request.path
        headers = signed_headers(there.key_id, there.key, signed_ms, request.method, path)
        signed = wire.Request(request.method, path, request.query, _lowered(headers), request.body or b"")
        network.carry(signed, fate, round(timeout_s * 1_000_000), done)


class WaitingChannel(SimulatedChannel):
    """A way out for one who has nothing else to do: a write waits for its ending too."""

    def write(self, request: Request, signed_ms: int) -> Answer:
        """Send a write and let virtual time pass until its ending is there; raises as the real one does."""
        self.ending = None
        try:
            return super().write(request, signed_ms)
        except UnderWay:
            return self._awaited(self._transport.timeout_s)


def _lowered(headers: dict[str, str]) -> dict[str, Any]:
    return {name.lower(): value for name, value in headers.items()}


def _answered(ending: Ending) -> Answer:
    if isinstance(ending, Answer):
        return ending
    raise ending
