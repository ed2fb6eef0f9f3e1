"""One request over a real socket, against servers that misbehave: never sent twice, never wrong about it (P2, P4)."""

import base64
import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from oms.errors import NotSent, OutcomeUnknown
from oms.lifecycle.events import Acknowledged, AttemptUnknown, NotProcessed
from oms.venue import transport as transport_module
from oms.venue.door import Venue
from oms.venue.keys import Key
from oms.venue.orders import OrderRequest
from oms.venue.transport import ClaimTooOld, Request

from .certificates import Authority
from .conftest import KEY_ID
from .hostile import Conn, Hostile, Script, answering, hostile, http

Connect = Callable[..., Venue]

BODY = '{"ticker":"T","client_order_id":"c-1","count":"1.00"}'
YES = {"order_id": "o-1", "client_order_id": "c-1", "fill_count": "0.00", "remaining_count": "1.00", "ts_ms": 5}
POST = Request("POST", "/portfolio/events/orders", body=BODY.encode())


def create(venue: Venue, signed_ms: int | None = None) -> object:
    request = OrderRequest(BODY, "c-1", 1)
    return venue.orders.create(venue.channel(), request, venue.clock.now_ms() if signed_ms is None else signed_ms)


# -- what goes out ------------------------------------------------------------------------------------------------


def test_a_write_is_the_stored_body_signed_with_its_claim(connect: Connect, private: rsa.RSAPrivateKey) -> None:
    with hostile(answering(http(201, YES))) as server:
        venue = connect(server.base_url)
        signed_ms = venue.clock.now_ms() - 1234
        event = create(venue, signed_ms)
    assert isinstance(event, Acknowledged)
    [seen] = server.requests
    assert (seen.method, seen.target) == ("POST", "/trade-api/v2/portfolio/events/orders")
    assert seen.body == BODY.encode()
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"
    assert seen.headers["kalshi-access-key"] == KEY_ID
    assert seen.headers["kalshi-access-timestamp"] == str(signed_ms)
    private.public_key().verify(
        base64.b64decode(seen.headers["kalshi-access-signature"]),
        f"{signed_ms}POST/trade-api/v2/portfolio/events/orders".encode(),
        padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32),
        hashes.SHA256(),
    )


def test_headers_and_body_leave_in_one_write(connect: Connect) -> None:
    with hostile(answering(http(201, YES))) as server:
        venue = connect(server.base_url)
        create(venue)
        create(venue)
    assert [seen.arrived_in_one for seen in server.requests] == [True, True]


def test_a_batch_holds_each_stored_body_byte_for_byte(connect: Connect) -> None:
    bodies = ['{"a": 1,  "client_order_id":"c-1"}', '{"client_order_id":"c-2","é":"\\u00e9"}']
    items = [dict(YES, client_order_id=name, order_id=f"o-{name}") for name in ("c-1", "c-2")]
    with hostile(answering(http(201, {"orders": items}))) as server:
        venue = connect(server.base_url)
        requests = [OrderRequest(body, f"c-{number}", 1) for number, body in enumerate(bodies, 1)]
        events = venue.orders.create_batch(venue.channel(), requests, venue.clock.now_ms())
    assert all(isinstance(event, Acknowledged) for event in events)
    assert server.requests[0].target == "/trade-api/v2/portfolio/events/orders/batched"
    assert server.requests[0].body == ('{"orders":[' + bodies[0] + "," + bodies[1] + "]}").encode()


def test_a_cancel_names_market_and_subaccount(connect: Connect) -> None:
    raw = {"order_id": "o-1", "reduced_by": "1.00", "ts_ms": 5}
    with hostile(answering(http(200, raw))) as server:
        venue = connect(server.base_url)
        venue.orders.cancel(venue.channel(), "o-1", "A&B=C", 7, 1, venue.clock.now_ms())
        venue.orders.cancel(venue.channel(), "o-1", "T", None, 1, venue.clock.now_ms())
    path = "/trade-api/v2/portfolio/events/orders/o-1"
    assert [(seen.method, seen.target) for seen in server.requests] == [
        ("DELETE", f"{path}?market_ticker=A%26B%3DC&subaccount=7"),
        ("DELETE", f"{path}?market_ticker=T"),
    ]
    assert all(seen.body == b"" for seen in server.requests)


def test_a_connection_is_used_again(connect: Connect) -> None:
    with hostile(answering(http(201, YES))) as server:
        venue = connect(server.base_url)
        assert [type(create(venue)) for _ in range(4)] == [Acknowledged] * 4
        assert server.connections == 1


@pytest.mark.fault(14)
def test_a_claim_that_grew_old_before_the_first_byte_is_handed_back(connect: Connect) -> None:
    with hostile(answering(http(201, YES))) as server:
        venue = connect(server.base_url)
        for age_ms in (5_500, -5_500):
            event = create(venue, venue.clock.now_ms() - age_ms)
            assert isinstance(event, NotProcessed)
            assert event.why == "claim_too_old"
        assert server.requests == []


def test_a_claim_that_grows_old_while_connecting_is_handed_back(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall_us = [1_800_000_000_000_000]
    real = socket.getaddrinfo

    def slow(*args: object, **kwargs: object) -> object:
        wall_us[0] += 6_000_000
        return real(*args, **kwargs)  # type: ignore[arg-type]

    with hostile(answering(http(201, YES))) as server:
        venue = connect(server.base_url, now_us=lambda: wall_us[0])
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        with pytest.raises(ClaimTooOld):
            venue.channel().write(POST, venue.clock.now_ms())
        assert server.requests == []


# -- answers that are none ----------------------------------------------------------------------------------------


def after_request(*parts: bytes, reset: bool = False) -> Script:
    """Take the request, send these bytes, close (or reset)."""

    def script(conn: Conn) -> None:
        if conn.read_request() is None:
            return
        for part in parts:
            conn.send(part)
        if reset:
            conn.reset()

    return script


WHOLE = http(201, YES)
HEAD_END = WHOLE.index(b"\r\n\r\n") + 4

BROKEN: dict[str, Script] = {
    "closed without a byte": after_request(),
    "reset without a byte": after_request(reset=True),
    "half a status line": after_request(b"HTTP/1.1 20"),
    "status line only": after_request(b"HTTP/1.1 201 Created\r\n"),
    "cut in the headers": after_request(WHOLE[: HEAD_END - 12]),
    "cut before the body": after_request(WHOLE[:HEAD_END]),
    "cut in the body": after_request(WHOLE[:-5]),
    "reset in the body": after_request(WHOLE[:-5], reset=True),
    "garbage": after_request(b"\x00\xff SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "a wrong protocol": after_request(b"RTSP/1.0 201 Created\r\n\r\n"),
    "an endless header line": after_request(b"HTTP/1.1 201 Created\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"),
    "too many headers": after_request(b"HTTP/1.1 201 Created\r\n" + b"X: y\r\n" * 2_000 + b"\r\n"),
    "a length that is none": after_request(b"HTTP/1.1 201 Created\r\nContent-Length: soon\r\n\r\n{}"),
    "a negative length": after_request(b"HTTP/1.1 201 Created\r\nContent-Length: -5\r\n\r\n"),
    "garbage chunks": after_request(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    "cut chunks": after_request(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}"),
    "an encoding not asked for": after_request(http(201, b"????", "Content-Encoding: br")),
    "a body beyond the limit": after_request(http(201, b" " * (transport_module.MAX_WRITE_ANSWER + 1))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_doubt_and_is_not_asked_again(name: str, connect: Connect) -> None:
    with hostile(BROKEN[name]) as server:
        event = create(connect(server.base_url))
        assert isinstance(event, AttemptUnknown), event
        assert len(server.requests) == 1
        assert server.connections == 1


def test_a_reply_cut_in_its_headers_looks_whole_and_is_still_doubt(connect: Connect) -> None:
    with hostile(after_request(b"HTTP/1.1 201 Created\r\nDate: x\r\n")) as server:
        answer = connect(server.base_url).channel().write(POST, connect(server.base_url).clock.now_ms())
        assert (answer.status, answer.body) == (201, b"")
    with hostile(after_request(b"HTTP/1.1 201 Created\r\nDate: x\r\n")) as server:
        event = create(connect(server.base_url))
        assert isinstance(event, AttemptUnknown)
        assert event.why == "unreadable"


def dripping(whole: bytes) -> Script:
    """One byte now and then, for ever as far as a read timeout is concerned."""

    def script(conn: Conn) -> None:
        if conn.read_request() is None:
            return
        for at in range(len(whole)):
            conn.send(whole[at : at + 1])
            if conn.server.stopping.wait(0.05):
                return

    return script


def silent(conn: Conn) -> None:
    conn.read_request()
    conn.server.stopping.wait(30)


def cut_and_silent(conn: Conn) -> None:
    conn.read_request()
    conn.send(WHOLE[:-5])
    conn.server.stopping.wait(30)


@pytest.mark.fault(55)
@pytest.mark.parametrize(
    "script",
    [dripping(WHOLE), dripping(http(201, b" " * 400)[HEAD_END - 20 :]), silent, cut_and_silent],
    ids=["headers drip", "body drips", "silence", "silence within the body"],
)
def test_the_deadline_is_for_the_whole_request(script: Script, connect: Connect) -> None:
    with hostile(script) as server:
        began = time.monotonic()
        event = create(connect(server.base_url, timeout_s=0.4))
        took = time.monotonic() - began
    assert isinstance(event, AttemptUnknown)
    assert event.why == "no_answer"
    assert 0.3 < took < 1.5
    assert len(server.requests) == 1


def test_a_server_that_does_not_read_is_left_at_the_deadline(connect: Connect) -> None:
    def script(conn: Conn) -> None:
        conn.server.stopping.wait(30)

    with hostile(script) as server:
        venue = connect(server.base_url, timeout_s=0.4)
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="deadline"):
            venue.channel().write(Request("POST", "/x", body=b"y" * 30_000_000), venue.clock.now_ms())
        assert time.monotonic() - began < 1.5


def test_an_answer_after_100_continue_and_one_without_a_length_are_read(connect: Connect) -> None:
    with hostile(after_request(b"HTTP/1.1 100 Continue\r\n\r\n", WHOLE)) as server:
        assert isinstance(create(connect(server.base_url)), Acknowledged)
    without = b"HTTP/1.0 201 Created\r\nContent-Type: application/json\r\n\r\n" + WHOLE[HEAD_END:]
    with hostile(after_request(without)) as server:
        assert isinstance(create(connect(server.base_url)), Acknowledged)


def test_a_second_answer_that_nobody_asked_for_is_not_taken_for_the_next(connect: Connect) -> None:
    stray = http(201, dict(YES, order_id="o-stray"))

    def script(conn: Conn) -> None:
        conn.read_request()
        conn.send(WHOLE + stray)
        while conn.read_request() is not None:
            conn.send(WHOLE)

    with hostile(script) as server:
        venue = connect(server.base_url)
        events = [create(venue), create(venue)]
    assert [event.order_id for event in events if isinstance(event, Acknowledged)] == ["o-1", "o-1"]


def test_a_connection_that_brought_doubt_is_not_used_again(connect: Connect) -> None:
    answers = [http(500, b"?"), WHOLE]

    def script(conn: Conn) -> None:
        while conn.read_request() is not None:
            conn.send(answers.pop(0))

    with hostile(script) as server:
        venue = connect(server.base_url)
        assert isinstance(create(venue), AttemptUnknown)
        assert isinstance(create(venue), Acknowledged)
        assert server.connections == 2


# -- keep-alive -----------------------------------------------------------------------------------------------------


def wait_for(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.fault(57)
def test_a_connection_closed_while_idle_is_replaced_before_sending(connect: Connect) -> None:
    closed = []

    def one_answer_each(conn: Conn) -> None:
        conn.read_request()
        conn.send(WHOLE)
        conn.sock.shutdown(socket.SHUT_RDWR)
        closed.append(True)

    with hostile(one_answer_each) as server:
        venue = connect(server.base_url)
        for number in range(1, 4):
            assert isinstance(create(venue), Acknowledged)
            wait_for(lambda number=number: len(closed) == number)
        assert len(server.requests) == 3


def test_a_connection_closed_under_the_request_is_doubt(connect: Connect) -> None:
    def closes_on_the_second(conn: Conn) -> None:
        conn.read_request()
        conn.send(WHOLE)
        conn.read_request()

    with hostile(closes_on_the_second) as server:
        venue = connect(server.base_url)
        assert isinstance(create(venue), Acknowledged)
        assert isinstance(create(venue), AttemptUnknown)
        assert len(server.requests) == 2
        assert server.connections == 1


def test_a_long_idle_connection_is_not_trusted_with_a_write(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with hostile(answering(WHOLE)) as server:
        venue = connect(server.base_url)
        create(venue)
        monkeypatch.setattr(transport_module, "MAX_IDLE_S", -1.0)
        create(venue)
        assert server.connections == 2


# -- certainly not sent ---------------------------------------------------------------------------------------------


def not_sent(venue: Venue) -> str:
    event = create(venue)
    assert isinstance(event, NotProcessed), event
    assert event.why == "not_sent"
    return event.detail


@pytest.mark.fault(41)
def test_a_refused_connection_is_not_sent(connect: Connect) -> None:
    server = Hostile(silent)
    server.stop()
    assert "refused" in not_sent(connect(server.base_url)).lower()


@pytest.mark.fault(41)
def test_a_name_that_is_unknown_is_not_sent(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "cannot be resolved" in not_sent(connect("https://exchange.invalid/trade-api/v2"))


@pytest.mark.fault(41)
def test_a_resolver_that_hangs_is_not_waited_for(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hangs(*args: object, **kwargs: object) -> object:
        release.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    began = time.monotonic()
    assert "not resolved in time" in not_sent(connect("https://exchange.invalid/trade-api/v2", timeout_s=0.3))
    assert time.monotonic() - began < 1.5
    release.set()


@pytest.mark.fault(41)
def test_a_connection_that_does_not_come_about_is_not_sent(connect: Connect) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        began = time.monotonic()
        assert "deadline" in not_sent(connect(f"http://127.0.0.1:{port}/trade-api/v2", timeout_s=0.3))
        assert time.monotonic() - began < 1.5
        for filler in fillers:
            filler.close()


def test_the_next_address_is_tried_when_one_is_dead(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with hostile(answering(WHOLE)) as server:
        real = socket.getaddrinfo

        def two(*args: object, **kwargs: object) -> object:
            good = real("127.0.0.1", server.port, type=socket.SOCK_STREAM)
            dead = [(*entry[:4], ("127.0.0.1", 1)) for entry in good]
            return dead + good

        venue = connect(server.base_url)
        monkeypatch.setattr(socket, "getaddrinfo", two)
        assert isinstance(create(venue), Acknowledged)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_an_order_over_tls(connect: Connect, authority: Authority) -> None:
    with hostile(answering(WHOLE), authority.server()) as server:
        venue = connect(server.base_url, tls=authority.trusted())
        assert [type(create(venue)) for _ in range(3)] == [Acknowledged] * 3
        assert server.connections == 1
        assert [seen.arrived_in_one for seen in server.requests] == [True] * 3


@pytest.mark.fault(41)
def test_a_certificate_of_a_stranger_is_not_sent_to(connect: Connect, authority: Authority) -> None:
    with hostile(answering(WHOLE), authority.server()) as server:
        assert "certificate cannot be trusted" in not_sent(connect(server.base_url))
        assert server.requests == []


@pytest.mark.fault(41)
@pytest.mark.parametrize(("address", "ends"), [("127.0.0.2", timedelta(days=1)), ("127.0.0.1", timedelta(days=-1))])
def test_a_certificate_for_another_host_or_time_is_not_sent_to(
    connect: Connect, authority: Authority, address: str, ends: timedelta
) -> None:
    with hostile(answering(WHOLE), authority.server(address, ends)) as server:
        assert "certificate cannot be trusted" in not_sent(connect(server.base_url, tls=authority.trusted()))
        assert server.requests == []


def test_a_context_that_does_not_verify_is_refused(key: Key) -> None:
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    with pytest.raises(AssertionError):
        Venue.connect("https://127.0.0.1:9/trade-api/v2", KEY_ID, key, 1.0, tls=blind).channel()


def plain_text(conn: Conn) -> None:
    conn.sock.recv(100)
    conn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def drops(conn: Conn) -> None:
    conn.sock.recv(100)
    conn.reset()


def hangs_up(conn: Conn) -> None:
    conn.sock.recv(100)


def stalls(conn: Conn) -> None:
    conn.server.stopping.wait(30)


@pytest.mark.fault(41)
@pytest.mark.parametrize("script", [plain_text, drops, hangs_up, stalls])
def test_a_failed_handshake_is_not_sent(connect: Connect, script: Script) -> None:
    with hostile(script) as server:
        began = time.monotonic()
        not_sent(connect(server.base_url.replace("http:", "https:"), timeout_s=0.4))
        assert time.monotonic() - began < 1.5


def test_a_cut_tls_stream_after_the_request_is_doubt(connect: Connect, authority: Authority) -> None:
    with hostile(after_request(WHOLE[:-5], reset=True), authority.server()) as server:
        event = create(connect(server.base_url, tls=authority.trusted()))
        assert isinstance(event, AttemptUnknown)
        assert len(server.requests) == 1


# -- bodies of reads ------------------------------------------------------------------------------------------------


def read(venue: Venue) -> bytes:
    return venue.channel().read(Request("GET", "/x"), 5.0).body


def test_a_gzip_answer_is_undone(connect: Connect) -> None:
    with hostile(answering(http(200, gzip.compress(b'{"a":1}'), "Content-Encoding: gzip"))) as server:
        assert read(connect(server.base_url)) == b'{"a":1}'
        assert server.requests[0].headers["accept-encoding"] == "gzip"


def test_writes_do_not_ask_for_gzip(connect: Connect) -> None:
    with hostile(answering(WHOLE)) as server:
        create(connect(server.base_url))
        assert server.requests[0].headers["accept-encoding"] == "identity"


def bomb() -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(squeeze.compress(b"\0" * 1_000_000) for _ in range(40)) + squeeze.flush()


@pytest.mark.fault(47)
@pytest.mark.parametrize("raw", [bomb(), gzip.compress(b"x" * 100)[:-9], b"not gzip"], ids=["bomb", "cut", "none"])
def test_a_gzip_that_is_not_right_is_no_answer(connect: Connect, raw: bytes) -> None:
    with hostile(answering(http(200, raw, "Content-Encoding: gzip"))) as server, pytest.raises(OutcomeUnknown):
        read(connect(server.base_url))


@pytest.mark.fault(47)
def test_a_read_beyond_the_limit_is_no_answer(connect: Connect) -> None:
    too_much = http(200, b" " * (transport_module.MAX_READ_ANSWER + 1))
    with hostile(answering(too_much)) as server, pytest.raises(OutcomeUnknown, match="larger"):
        read(connect(server.base_url))


# -- the clock --------------------------------------------------------------------------------------------------------


def test_the_date_of_an_answer_corrects_a_clock_that_is_off(connect: Connect, tmp_path: Path) -> None:
    with hostile(answering(http(201, YES, "Date: Fri, 20 Nov 2026 08:00:00 GMT"))) as server:
        venue = connect(server.base_url, now_us=lambda: 1_795_161_600_000_000 - 90_000_000)
        create(venue)
        assert 88_000_000 <= venue.clock.offset_us <= 92_000_000


def test_the_date_out_of_a_cache_is_not_believed(connect: Connect) -> None:
    with hostile(answering(http(201, YES, "Date: Fri, 20 Nov 2020 08:00:00 GMT", "Age: 5"))) as server:
        venue = connect(server.base_url)
        create(venue)
        assert venue.clock.offset_us == 0


def test_not_sent_and_unknown_say_what_to_do(connect: Connect) -> None:
    with hostile(after_request()) as server:
        venue = connect(server.base_url)
        with pytest.raises(OutcomeUnknown) as unknown:
            venue.channel().write(POST, venue.clock.now_ms())
    with pytest.raises(NotSent) as unsent:
        venue.channel().write(POST, venue.clock.now_ms())
    assert "reconcile" in unknown.value.hint
    assert "network" in unsent.value.hint
