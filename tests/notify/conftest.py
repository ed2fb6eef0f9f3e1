"""Hooks that keep what they are told, an address that does the same, and the contract's worlds."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import _worlds, own_world, world

__all__ = ["_worlds", "own_world", "world"]

HOOK = Path(__file__).parent / "hook.py"


class Kept:
    """A hook and what it was told."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.words = (sys.executable, str(HOOK), str(file))

    @property
    def deliveries(self) -> list[dict[str, Any]]:
        lines = self.file.read_bytes().splitlines() if self.file.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [message for delivery in self.deliveries for message in delivery["events"]]

    @property
    def words_told(self) -> list[str]:
        return [message["event"] for message in self.messages]

    def mark(self, what: str) -> Path:
        """Make the hook fail, hang or kill, until the file is removed."""
        path = Path(f"{self.file}.{what}")
        path.touch()
        return path


@pytest.fixture
def hook(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "told")


class Address:
    """An HTTP server on loopback that keeps every request, and answers as it is told to."""

    SECRET = "T0-s3cr3t-token"

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.raw = b""
        self.hangs = threading.Event()
        self.hangs.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/{self.SECRET}?key={self.SECRET}"

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [message for *_, body in self.requests for message in json.loads(body)["events"]]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        address = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                address.requests.append((self.path, dict(self.headers), body))
                address.hangs.wait(20)
                if address.raw:
                    self.wfile.write(address.raw)
                    return
                self.send_response(address.status)
                for name, value in address.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                address.requests.append((self.path, dict(self.headers), b""))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        return Handler


@pytest.fixture
def address() -> Iterator[Address]:
    found = Address()
    yield found
    found.hangs.set()
    found.server.shutdown()
    found.server.server_close()
