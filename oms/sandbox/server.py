"""HTTP over the exchange: one process, one thread, one event loop; requests are handled one after the other.

Only this room knows sockets, files and the clock. It prints one JSON line on stdout when it listens, and serves
until SIGTERM, SIGINT or, if told so, until nobody asks any more.
"""

import asyncio
import contextlib
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qsl

import uvicorn

from oms.sandbox import control
from oms.sandbox.auth import key_of_private, new_private_pem
from oms.sandbox.delivery import Connections, Message, Receive, Send, deliver
from oms.sandbox.exchange import Exchange
from oms.sandbox.faults import Faults, Rule, read_script
from oms.sandbox.journal import Journal
from oms.sandbox.options import ENDPOINT_FILE, KEY_FILE, SERVING_LOCK, STATE_FILE, ServeOptions
from oms.sandbox.wire import PREFIX, Request, Response, json_response

IN_USE = 75  # exit code: another server has this directory (EX_TEMPFAIL)
BROKEN = 70  # exit code: a bug; the last committed state is intact (EX_SOFTWARE)
LOCK_WAIT_S = 2.0  # longer than a server takes to end after SIGTERM
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def serve(options: ServeOptions) -> int:
    """Run the sandbox in this process until it is told to stop; returns the exit code.

    Makes the directory, the key and the exchange at first, resumes them later. Raises ValueError for options
    or fault scripts that make no sense.
    """
    options.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    rules = _read_faults(options.faults)
    with only_server_of(options.dir) as is_only:
        if not is_only:
            sys.stderr.write(f"another sandbox serves {options.dir}\n")
            return IN_USE
        exchange, key_id = open_exchange(options, rules)
        with _listening_socket(options) as listener:
            shell = Shell(exchange, options)
            endpoint = _endpoint(options, listener, key_id)
            return asyncio.run(_run(shell, listener, endpoint, options))


def open_exchange(options: ServeOptions, rules: list[Rule]) -> tuple[Exchange, str]:
    """The exchange of a directory and the id of its first key, both made if there are none yet."""
    knobs = options.knobs()
    exchange = Exchange.open(
        Journal(options.dir / STATE_FILE),
        _clock_us(knobs.clock_offset_ms),
        knobs=knobs,
        faults=Faults(rules, options.fault_rate, options.seed),
        seed=options.seed,
        identity=str(uuid.uuid4()),
    )
    key = key_of_private(_private_pem(options.dir / KEY_FILE), exchange.state.user_id)
    if key.key_id not in exchange.state.keys:
        exchange.add_key(key)
    return exchange, key.key_id


def _clock_us(offset_ms: int) -> int:
    return time.time_ns() // 1000 + offset_ms * 1000


def _read_faults(given: str) -> list[Rule]:
    if not given:
        return []
    return read_script(given if given.lstrip().startswith("[") else Path(given).read_bytes())


def _private_pem(path: Path) -> bytes:
    if not path.exists():
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(new_private_pem())
        unfinished.rename(path)
    return path.read_bytes()


@contextlib.contextmanager
def only_server_of(directory: Path) -> Iterator[bool]:
    """Hold the directory's lock, which the kernel frees at death. False when another server keeps it."""
    with (directory / SERVING_LOCK).open("w") as file:
        yield _lock_within(file, LOCK_WAIT_S)


def _lock_within(file: TextIO, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def _listening_socket(options: ServeOptions) -> socket.socket:
    # The protocol must be named: asyncio switches Nagle's algorithm off only where it reads IPPROTO_TCP,
    # and with it every answer waits 40 ms for an acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options.port:
        listener.bind(("127.0.0.1", options.port))
        return listener
    try:
        listener.bind(("127.0.0.1", json.loads((options.dir / ENDPOINT_FILE).read_text())["port"]))
    except (OSError, ValueError, KeyError, TypeError):
        listener.bind(("127.0.0.1", 0))
    return listener


def _endpoint(options: ServeOptions, listener: socket.socket, key_id: str) -> dict[str, Any]:
    port = listener.getsockname()[1]
    return {
        "base_url": f"http://127.0.0.1:{port}{PREFIX}",
        "ws_url": None,
        "key_id": key_id,
        "private_key_path": str((options.dir / KEY_FILE).absolute()),
        "pid": os.getpid(),
        "port": port,
    }


class _Server(uvicorn.Server):
    """uvicorn that announces itself and leaves by return instead of by signal."""

    def __init__(self, config: uvicorn.Config, directory: Path, endpoint: dict[str, Any]) -> None:
        super().__init__(config)
        self.directory = directory
        self.endpoint = endpoint

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        unfinished = self.directory / (ENDPOINT_FILE + ".new")
        unfinished.write_text(json.dumps(self.endpoint) + "\n")
        unfinished.rename(self.directory / ENDPOINT_FILE)
        sys.stdout.write(json.dumps(self.endpoint) + "\n")
        sys.stdout.flush()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


async def _run(shell: "Shell", listener: socket.socket, endpoint: dict[str, Any], options: ServeOptions) -> int:
    config = uvicorn.Config(
        shell,
        http=shell.connections.protocol_class,
        ws="none",
        lifespan="off",
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config, options.dir, endpoint)
    # What is loaded now lives as long as the process: the collector need not look at it again.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    if options.idle_exit_s:
        watch = asyncio.create_task(shell.watch_idle(server, options.idle_exit_s))
        await server.serve(sockets=[listener])
        watch.cancel()
    else:
        await server.serve(sockets=[listener])
    shell.exchange.state.journal.close()
    return 0


@contextlib.contextmanager
def _dying_of_bugs() -> Iterator[None]:
    """End the process on any exception: what was committed is whole, going on with a half-made change is not."""
    try:
        yield
    except Exception:
        traceback.print_exc()
        os._exit(BROKEN)


class Shell:
    """The ASGI application: reads a request, has the exchange answer it, delivers the answer."""

    def __init__(self, exchange: Exchange, options: ServeOptions) -> None:
        self.exchange = exchange
        self.options = options
        self.connections = Connections()
        self._timer: asyncio.TimerHandle | None = None
        self._last_asked_s = time.monotonic()
        self._in_flight = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self._in_flight += 1
        try:
            body = await _read_body(receive)
            if body is not None:
                request = _request(scope, body)
                response = self._answer(request)
                if not _is_control(request):  # whoever made the exchange slow must be able to take that back
                    await self._pause(response)
                await deliver(response, self.connections.of(scope), receive, send)
        finally:
            self._in_flight -= 1
            self._last_asked_s = time.monotonic()

    def now_us(self) -> int:
        """The exchange's clock."""
        return _clock_us(self.exchange.state.knobs.clock_offset_ms)

    def _answer(self, request: Request) -> Response:
        with _dying_of_bugs():
            if _is_control(request):
                response = self._control(request)
            else:
                response = self.exchange.handle(request, self.now_us())
            self._arm()
        return response

    async def _pause(self, response: Response) -> None:
        wait_ms = self.exchange.state.knobs.latency_ms + response.delivery.wait_ms
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)

    def _arm(self) -> None:
        """Wake up when something is due, so that others who read the file see it in time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_us = self.exchange.next_due_us()
        if due_us is not None:
            wait_s = max(0.0, (due_us - self.now_us()) / 1_000_000)
            self._timer = asyncio.get_running_loop().call_later(min(wait_s, 3600.0), self._wake)

    def _wake(self) -> None:
        with _dying_of_bugs():
            self.exchange.advance(self.now_us())
            self._arm()

    async def watch_idle(self, server: uvicorn.Server, idle_s: int) -> None:
        """Stop the server once nobody has asked anything for so long."""
        while not server.should_exit:
            await asyncio.sleep(min(1.0, idle_s / 4))
            if not self._in_flight and time.monotonic() - self._last_asked_s >= idle_s:
                server.should_exit = True

    # ---- what is not the exchange's

    def _control(self, request: Request) -> Response:
        host = request.headers.get("host", "").rsplit(":", 1)[0]
        if host not in LOOPBACK or "origin" in request.headers:
            return json_response(403, {"error": "the control endpoint is for programs on this machine"})
        now_us = self.now_us()
        try:
            match request.method, request.path:
                case "GET", "/sandbox/control":
                    self.exchange.advance(now_us)
                    return json_response(200, self._described(control.state_document(self.exchange, now_us)))
                case "POST", "/sandbox/control":
                    return json_response(200, self._described(control.apply(self.exchange, request.body, now_us)))
                case "GET", "/sandbox/log":
                    return json_response(200, {"requests": self._log(request)})
        except (ValueError, OverflowError) as exc:
            return json_response(400, {"error": str(exc)})
        return json_response(404, {"error": "there are /sandbox/control and /sandbox/log"})

    def _described(self, document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "dir": str(self.options.dir.absolute()), "pid": os.getpid()}

    def _log(self, request: Request) -> list[dict[str, Any]]:
        after, limit = (int(request.first(name) or usual) for name, usual in (("after", 0), ("limit", 1_000_000)))
        self.exchange.advance(self.now_us())
        rows = [dict(row) for row in self.exchange.state.journal.read("wire", "seq > ?", (after,), limit)]
        for row in rows:
            row["client_order_ids"] = row["client_order_ids"].split(",") if row["client_order_ids"] else []
            row["fault"] = json.loads(row["fault"]) if row["fault"] else None
            row["committed"] = bool(row["committed"])
        return rows


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body; None when the client is gone before its end, as half a request is none."""
    chunks = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


def _is_control(request: Request) -> bool:
    """Whether it is about the sandbox itself, not for the exchange that it is."""
    return request.path.startswith("/sandbox/")


def _request(scope: Message, body: bytes) -> Request:
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(scope["method"], scope["raw_path"].decode("latin-1"), tuple(query), headers, body)
