"""Faults of the network and of HTTP, by a server that stands between oms and its exchange and spoils what passes."""

import gzip
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.worlds import World, fault, row
from tests.crash import inspection
from tests.crash.lives import World as Lives
from tests.lab.between import Carry, between, is_create
from tests.venue.hostile import Conn, Hostile, Seen, answering, hostile, http

pytestmark = pytest.mark.slow

FOUND = ["recorded", "claimed", "attempt_unknown", "found"]
HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
BOMB = gzip.compress(bytes(200_000_000), 9)


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def flood(conn: Conn, answer: bytes) -> None:
    """100 MB, as far as anybody reads them."""
    conn.send(HEAD + b"Content-Length: 100000000\r\n\r\n")
    for _ in range(100):
        conn.send(b"[" * 1_000_000)


# What becomes of the answer to a create that the exchange has done: the bytes instead, or what is done to the wire.
SPOILED: dict[str, Callable[[bytes], bytes] | Callable[[Conn, bytes], None]] = {
    "cut in the status line": lambda answer: b"HTTP/1.1 2",
    "a garbage status line": lambda answer: b"HTTP/9.9 OK maybe\r\n\r\n",
    "cut in a header": lambda answer: HEAD + b"Content-Le",
    "a length that is too long": lambda answer: HEAD + b"Content-Length: 9999\r\n\r\n" + body_of(answer),
    "a length that is too short": lambda answer: HEAD + b"Content-Length: 7\r\n\r\n" + body_of(answer),
    "chunks that are none": lambda answer: HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body_of(answer),
    "a gzip bomb": lambda answer: http(201, BOMB, "Content-Encoding: gzip"),
    "gzip that was not asked for and is cut": lambda answer: http(
        201, gzip.compress(body_of(answer))[:-9], "Content-Encoding: gzip"
    ),
    "an unknown encoding": lambda answer: http(201, body_of(answer), "Content-Encoding: br"),
    "100 MB": flood,
    "ten thousand headers": lambda answer: HEAD + b"X: y\r\n" * 10_000 + b"\r\n" + body_of(answer),
    "an endless header": lambda answer: HEAD + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n",
    "a byte order mark": lambda answer: http(201, b"\xef\xbb\xbf" + body_of(answer)),
    "another encoding of text": lambda answer: http(201, body_of(answer).decode().encode("utf-16")),
    "NaN": lambda answer: http(201, body_of(answer).replace(b'"1.00"', b"NaN")),
    "a number beyond all numbers": lambda answer: http(201, body_of(answer).replace(b'"1.00"', b"1e400")),
    "a key given twice": lambda answer: http(201, body_of(answer).replace(b"{", b'{"order_id":"other",', 1)),
    "nested 100,000 deep": lambda answer: http(201, b"[" * 100_000 + b"]" * 100_000),
    "null": lambda answer: http(201, b"null"),
}


def spoiling(what: str, operation: Callable[[Seen], bool]) -> Callable[[Conn, Seen, Carry], bytes | None]:
    """Spoil the first answer to such a request in that way, and end the connection; all others pass."""
    left = [SPOILED[what]]
    lock = threading.Lock()

    def act(conn: Conn, seen: Seen, carry: Carry) -> bytes | None:
        answer = carry(seen)
        with lock:
            spoil: Any = left.pop() if operation(seen) and left else None
        if spoil is None:
            return answer
        if spoil is flood:
            spoil(conn, answer)
        else:
            conn.send(spoil(answer))
        return None

    return act


@pytest.mark.fault(47)
@pytest.mark.parametrize("what", SPOILED)
def test_an_answer_that_is_spoiled_is_doubt_in_bounded_time_and_memory(world: World, what: str) -> None:
    before = len(world.sent())
    with between(world.sandbox, spoiling(what, is_create)) as server:
        tracemalloc.start()
        began = time.monotonic()
        run = world.submit([row()], venue__sandbox__base_url=server.base_url, venue__timeout_s=3)
        took, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert run.exit_code == 0, run.report
    assert run.events() == FOUND
    assert run.book() == ["resting"]
    assert len(world.sent()) - before == 1
    assert took < 8
    assert peak < 60_000_000, f"{peak} bytes"


def is_listing(seen: Seen) -> bool:
    return seen.method == "GET" and "/portfolio/orders?" in seen.target


@pytest.mark.fault(47, 61)
@pytest.mark.parametrize("what", ["cut in a header", "a gzip bomb", "100 MB", "nested 100,000 deep", "null"])
def test_a_listing_that_is_spoiled_once_is_read_again_and_concludes_nothing(world: World, what: str) -> None:
    world.faults(fault("drop", commit=True))
    with between(world.sandbox, spoiling(what, is_listing)) as server:
        run = world.submit([row()], venue__sandbox__base_url=server.base_url, venue__timeout_s=3)
    assert run.exit_code in (0, 6), run.report
    settled = world.drain() if run.exit_code else run
    assert settled.exit_code == 0
    assert run.book() == ["resting"]


# -- connections


@pytest.mark.fault(57)
@pytest.mark.parametrize("when", ["at once", "when the next request comes"])
def test_a_kept_connection_that_the_server_closes_unasked_loses_and_doubles_nothing(world: World, when: str) -> None:
    """No `Connection: close` announces it."""
    used: set[int] = set()

    def act(conn: Conn, seen: Seen, carry: Carry) -> bytes | None:
        if not is_create(seen):
            return carry(seen)
        if when == "at once":
            conn.send(carry(seen))
            return None
        if id(conn) in used:
            return None
        used.add(id(conn))
        return carry(seen)

    with between(world.sandbox, act) as server:
        run = world.submit([row() for _ in range(6)], venue__sandbox__base_url=server.base_url)
    assert run.exit_code == 0, run.report
    assert run.book() == ["resting"] * 6
    assert run.states == ["accepted"] * 6


@pytest.mark.fault(43, 56)
def test_a_black_hole_that_lets_everything_through_at_once_makes_one_order_of_each(
    own_world: World,
) -> None:
    """What was swallowed reaches the exchange after its deadline: some of it is too old there, some is not."""
    opened = threading.Event()

    def act(conn: Conn, seen: Seen, carry: Carry) -> bytes | None:
        if is_create(seen):
            opened.wait(20)
        return carry(seen)

    rows = [row(price=f"0.0{n}") for n in range(1, 5)]
    settings = {"submit__in_flight_horizon_s": 3, "venue__timeout_s": 0.5, "submit__wait_s": 0.2}
    with between(own_world.sandbox, act) as server:
        releasing = threading.Timer(1.4, opened.set)
        releasing.start()
        run = own_world.submit(rows, name="hole", venue__sandbox__base_url=server.base_url, **settings)
        releasing.join()
        final = own_world.submit(rows, name="hole", **settings)
    assert run.exit_code in (0, 3, 6)
    assert final.exit_code == 0, final.report
    assert final.book() == ["resting"] * 4
    assert not any(order.late for order in final.orders)


@pytest.mark.fault(42, 59)
def test_an_exchange_that_restarts_in_mid_batch_and_shows_nothing_for_a_while_gets_each_order_once(
    own_world: World,
) -> None:
    asked = threading.Event()
    passed: list[str] = []

    def act(conn: Conn, seen: Seen, carry: Carry) -> bytes | None:
        if not is_create(seen):
            return carry(seen)
        passed.append(seen.target)
        if len(passed) == 3:
            carry(seen)  # it is placed, and then the exchange is gone with its answer
            own_world.sandbox.kill()
            own_world.sandbox.restart()
            own_world.faults(fault("empty_list", "GetOrders", times=3), fault("drop", times=1))
            asked.set()
            conn.reset()
            return None
        return carry(seen)

    rows = [row(price=f"0.0{n}") for n in range(1, 7)]
    with between(own_world.sandbox, act) as server:
        own = {"venue__sandbox__base_url": server.base_url, "submit__concurrency": 1, "submit__wait_s": 5}
        run = own_world.submit(rows, name="restart", **own)
    assert asked.is_set()
    final = own_world.submit(rows, name="restart")
    assert run.exit_code in (0, 3, 6), run.report
    assert final.exit_code == 0, final.report
    assert final.book() == ["resting"] * 6


# -- the surroundings


@pytest.fixture
def lives(world_of: Callable[..., Lives]) -> Lives:
    return world_of(
        {"submit__in_flight_horizon_s": "0.3", "submit__batch_size": "1", "submit__wait_s": "1"}, tier="unlimited"
    )


@pytest.mark.fault(58)
def test_variables_and_files_of_the_surroundings_lead_nothing_astray(lives: Lives, tmp_path: Path) -> None:
    trap: Hostile
    with hostile(answering(http(200, {}))) as trap:
        proxy = f"http://127.0.0.1:{trap.port}"
        (lives.directory / ".netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
        (lives.directory / ".netrc").chmod(0o600)
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        astray = {name: proxy for each in names for name in (each, each.lower())}
        keys = tmp_path / "keys.log"
        astray |= {"REQUESTS_CA_BUNDLE": "/nowhere", "SSL_CERT_FILE": "/nowhere", "SSLKEYLOGFILE": str(keys)}
        life = lives.live("submit", lives.file([row()]), "-vv", env={**astray, "NO_PROXY": "", "no_proxy": ""})
        assert life.code == 0, life
        assert trap.connections == 0
        assert not keys.exists()
    assert inspection.problems(lives.ledger, lives.exchange, ["resting"]) == []


@pytest.mark.fault(48, 58)
def test_a_redirect_to_another_host_takes_neither_order_nor_signature_there(lives: Lives) -> None:
    with hostile(answering(http(201, {}))) as trap:
        there = f"http://127.0.0.1:{trap.port}/trade-api/v2/portfolio/events/orders"
        redirect = {"match": {"operation": "CreateOrderV2"}, "fault": {"kind": "redirect", "body": there}}
        lives.sandbox.control(faults=[redirect])
        life = lives.live("submit", lives.file([row()]), "-o", "json")
        assert life.code == 0, life
        assert trap.connections == 0
    assert [order["attempts"] for order in life.orders] == [2]
    assert inspection.problems(lives.ledger, lives.exchange, ["resting"]) == []
