"""Damaged answers on real connections: what a client's HTTP library makes of them, and that the server goes on."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.sandbox.running import Sandbox, order, signed_headers, start_sandbox

ORDERS = "/portfolio/events/orders"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with start_sandbox(tmp_path_factory.mktemp("delivery"), tier="unlimited") as running:
        yield running


def suffer(sandbox: Sandbox, name: str, **fault: Any) -> requests.Response:
    """Create one order under a fault; the next request of the same client must be answered as ever."""
    sandbox.control(faults=[{"match": {"operation": "CreateOrderV2"}, "fault": fault}])
    try:
        return sandbox.create(client_order_id=name)
    finally:
        assert sandbox.call("GET", "/portfolio/orders", limit=1).status_code == 200


def exists(sandbox: Sandbox, name: str) -> bool:
    return name in [row["client_order_id"] for row in sandbox.orders()]


@pytest.mark.parametrize("commit", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_a_dropped_connection_is_a_connection_error_on_either_side_of_the_commit(
    sandbox: Sandbox, commit: bool, reset: bool
) -> None:
    name = f"drop-{commit}-{reset}"
    with pytest.raises(requests.ConnectionError):
        suffer(sandbox, name, kind="drop", commit=commit, reset=reset)
    assert exists(sandbox, name) is commit


def test_a_hang_is_a_timeout_of_the_client_and_the_order_is_there(sandbox: Sandbox) -> None:
    sandbox.control(faults=[{"fault": {"kind": "hang", "ms": 20_000}}])
    with pytest.raises(requests.ReadTimeout):
        sandbox.call("POST", ORDERS, order(client_order_id="hang"), timeout_s=0.2)
    assert exists(sandbox, "hang")


def test_a_cut_body_is_noticed_by_the_library(sandbox: Sandbox) -> None:
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        suffer(sandbox, "cut-body", kind="cut_body")
    assert exists(sandbox, "cut-body")


def test_a_cut_in_the_headers_looks_like_a_whole_201_with_an_empty_body(sandbox: Sandbox) -> None:
    answer = suffer(sandbox, "cut-headers", kind="cut_headers")
    assert (answer.status_code, answer.content) == (201, b"")
    assert exists(sandbox, "cut-headers")


def test_a_trickle_arrives_byte_by_byte(sandbox: Sandbox) -> None:
    began = time.monotonic()
    answer = suffer(sandbox, "trickle", kind="trickle", ms=1)
    assert answer.json()["client_order_id"] == "trickle"
    assert time.monotonic() - began > 0.2


def test_a_trickle_ends_when_its_client_leaves(sandbox: Sandbox) -> None:
    sandbox.control(faults=[{"fault": {"kind": "trickle", "ms": 100}}])
    with pytest.raises(requests.ReadTimeout):
        sandbox.call("POST", ORDERS, order(), timeout_s=0.05)
    assert sandbox.call("GET", "/portfolio/orders", limit=1).status_code == 200


def test_an_empty_and_a_bodiless_answer_arrive_whole(sandbox: Sandbox) -> None:
    assert suffer(sandbox, "empty", kind="empty").content == b""
    answer = suffer(sandbox, "no-content", kind="status", status=204)
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_redirect_and_a_proxy_page_arrive_as_they_are(sandbox: Sandbox) -> None:
    answer = suffer(sandbox, "redirect", kind="redirect", body="http://127.0.0.1:9/")
    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:9/")
    answer = suffer(sandbox, "html", kind="html")
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")


def test_a_late_original_arrives_though_nobody_asks_meanwhile(sandbox: Sandbox) -> None:
    sandbox.control(faults=[{"fault": {"kind": "late", "ms": 300}}])
    with pytest.raises(requests.ConnectionError):
        sandbox.create(client_order_id="late")
    assert not exists(sandbox, "late")
    wait_for(lambda: exists(sandbox, "late"))


def wait_for(fact: Callable[[], bool], deadline_s: float = 10) -> None:
    end = time.monotonic() + deadline_s
    while not fact():
        assert time.monotonic() < end, "it never came"
        threading.Event().wait(0.01)


def test_latency_delays_each_answer_and_not_the_others(sandbox: Sandbox) -> None:
    sandbox.control(faults=[], latency_ms=250)
    began = time.monotonic()
    threads = [threading.Thread(target=unsigned, args=(sandbox,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    sandbox.control(latency_ms=0)
    assert 0.25 <= took < 1.5


def unsigned(sandbox: Sandbox) -> int:
    return requests.get(f"{sandbox.base_url}/exchange/status", timeout=10).status_code


def test_half_a_request_is_none(sandbox: Sandbox) -> None:
    path = f"/trade-api/v2{ORDERS}"
    headers = signed_headers(sandbox.key_id, sandbox.private_pem, "POST", path, time.time_ns() // 1_000_000)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 200\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    before = len(sandbox.log())
    with socket.create_connection(("127.0.0.1", sandbox.endpoint["port"])) as connection:
        connection.sendall(head.encode() + b"\r\n" + b'{"ticker":')
    assert sandbox.call("GET", "/portfolio/orders", limit=1).status_code == 200
    assert len(sandbox.log()) == before + 1


def test_the_control_endpoint_is_for_programs_on_this_machine(sandbox: Sandbox) -> None:
    url = sandbox.base_url.replace("/trade-api/v2", "/sandbox/control")
    for headers in ({"Host": "example.com"}, {"Origin": "http://127.0.0.1"}):
        assert requests.post(url, json={"tier": "basic"}, headers=headers, timeout=10).status_code == 403
    assert requests.post(url, json={"tier": "gold"}, timeout=10).status_code == 400
    assert requests.put(url, timeout=10).status_code == 404
    assert sandbox.control()["tier"] == "unlimited"


def test_the_log_tells_every_request_with_its_fault_and_its_fate(sandbox: Sandbox) -> None:
    with pytest.raises(requests.ConnectionError):
        suffer(sandbox, "logged", kind="drop", commit=True)
    url = sandbox.base_url.replace("/trade-api/v2", "/sandbox/log")
    rows = requests.get(url, timeout=10).json()["requests"]
    assert rows == sandbox.log()
    (row,) = [row for row in rows if row["client_order_ids"] == ["logged"]]
    assert (row["method"], row["operation"], row["status"], row["committed"]) == ("POST", "CreateOrderV2", 201, True)
    assert row["fault"] == {"kind": "drop", "commit": True}
    assert requests.get(url, params={"after": "yesterday"}, timeout=10).status_code == 400
    assert requests.get(url, params={"after": rows[-2]["seq"]}, timeout=10).json()["requests"] == rows[-1:]


def test_keep_alive_connections_serve_many_requests(sandbox: Sandbox) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.endpoint["port"], timeout=10)
    for _ in range(3):
        connection.request("GET", "/trade-api/v2/exchange/status")
        with connection.getresponse() as answer:
            assert answer.status == 200
            answer.read()
    connection.close()


def test_a_bug_ends_the_process_with_its_evidence_and_the_committed_state_intact(tmp_path: Path) -> None:
    with start_sandbox(tmp_path / "sandbox") as sandbox:
        sandbox.create(client_order_id="one")
        # A file somebody tampered with is the one way to break an invariant from outside.
        sandbox.rows("DROP TABLE wire")
        with pytest.raises(requests.ConnectionError):
            sandbox.create(client_order_id="two")
        assert sandbox.process.wait(timeout=10) == 70
        assert [row["client_order_id"] for row in sandbox.orders()] == ["one"]
